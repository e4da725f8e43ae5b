"""Handle the response of a CUPS server as a Basics Station does.

``CupsExchange`` is the state machine of one exchange. It does no I/O: everything that would change a file goes through
the ``Storage`` protocol. ``take_reply`` feeds an HTTP response to it.

Source: Basics Station 2.0.6, cups.c and sys.c, and 80 recorded replies. Some behaviour is surprising:

* The file is renamed to update.bin *before* its signature is checked. If the update runs, only the update itself
  removes the file.
* The key CRC of a reply is only logged; all keys on the gateway are tried in their order.
* A gateway requires signatures only if it has sig-0.key. Without that file it runs unsigned updates.
* A refused update is a *successful* exchange: the next check comes after the regular interval.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

from lorafw.cups.credentials import Credentials, Layout, layout, parse_credentials
from lorafw.cups.parser import (
    Complete,
    ProtocolError,
    ResponseDecoder,
    ResponseEvent,
    Segment,
    SegmentBegin,
    SegmentData,
    SegmentEnd,
)
from lorafw.errors import MalformedResponse
from lorafw.station.http import HttpReply, StationCrash, TransportError
from lorafw.station.log import Level, LogLine, credential_lines, format_interval
from lorafw.station.signature import station_verifies
from lorafw.text import decode_lossless

# A response has up to six segments: an address and credentials for each of the two servers of a station (the CUPS
# server and the TC server, which handles the LoRaWAN traffic), the signature of an update, and the update itself.

_LABEL_BY_SEGMENT: Final = {
    Segment.CUPS_URI: "CUPS URI",
    Segment.TC_URI: "TC URI",
    Segment.CUPS_CRED: "CUPS Credentials",
    Segment.TC_CRED: "TC Credentials",
    Segment.SIGNATURE: "FW Signature",
    Segment.UPDATE: "FW Update",
}
"""The name of each segment in the station's log."""
_CATEGORY_BY_SEGMENT: Final = {
    Segment.CUPS_URI: "cups",
    Segment.TC_URI: "tc",
    Segment.CUPS_CRED: "cups",
    Segment.TC_CRED: "tc",
}
"""The server that an address or credentials are for, as the beginning of the names of their files."""
_URI_SEGMENTS: Final = (Segment.CUPS_URI, Segment.TC_URI)
_CREDENTIAL_SEGMENTS: Final = (Segment.CUPS_CRED, Segment.TC_CRED)


class ExchangeOutcome(StrEnum):
    """How an exchange ended."""

    DONE = "done"
    FAILED = "failed"
    CUPS_UPDATES = "cups-updates"
    """Done, and the station reconnects because its CUPS URI or credentials changed."""
    NONE = "none"
    """The station crashed before the exchange had ended."""


class UpdateAction(StrEnum):
    """What the station did with the update."""

    RUN = "run"
    REFUSED = "refused"
    NONE = "none"
    """The response contained no update, or the update could not be written."""


class Storage(Protocol):
    """The files of a station that a response can change.

    In all methods, ``category`` is ``cups`` or ``tc``.
    """

    def reset_config(self) -> None:
        """Remove the temporary files that an earlier exchange left behind."""

    def save_uri(self, category: str, uri: str) -> None:
        """Write a URI to a temporary file."""

    def save_credentials(self, category: str, credentials: Credentials) -> None:
        """Write the trust, certificate and key to temporary files."""

    def commit_config(self) -> None:
        """Rename the temporary files to the regular ones, so that the station uses them from now on."""

    def begin_update(self, length: int) -> Iterable[LogLine]:
        """Open the file for the update. Return the lines that a station logs if that fails."""
        ...

    def write_update(self, data: bytes) -> Iterable[LogLine]:
        """Write more of the update. Return the lines that a station logs when writing fails for the first time."""
        ...

    def commit_update(self) -> bool:
        """Rename the file to update.bin. Return False if the update could not be written."""
        ...

    def discard_update(self) -> None:
        """Remove update.bin."""

    def run_update(self) -> Iterable[LogLine]:
        """Start update.bin as a background process. Return the lines that a station logs."""
        ...


@dataclass(frozen=True, slots=True)
class Timers:
    """The intervals of station.conf, in seconds. The defaults are those of the station."""

    oksync_s: float = 24 * 3600.0
    """CUPS_OKSYNC_INTV: the time until the next poll after a successful exchange."""
    resync_s: float = 60.0
    """CUPS_RESYNC_INTV: the time until the next poll after any other exchange."""
    conn_timeout_s: float = 60.0
    """CUPS_CONN_TIMEOUT: the time in which each full buffer must arrive."""


DEFAULT_TIMERS: Final = Timers()

RESPAWN_S: Final = 0.5
"""The time after which a crashed station runs again, if it was started with ``-d`` (observed)."""

NOTE_MODULE: Final = "___"
"""The module name of lines that the station did not write itself, such as the output of an update."""


@dataclass(frozen=True, slots=True)
class ExchangeResult:
    """What the station did in one exchange."""

    exchange: ExchangeOutcome
    update: UpdateAction
    key_results: tuple[tuple[int, str], ...]
    """For each key that was tried, its index and ``VERIFIED`` or ``NOT verified``."""
    log: tuple[LogLine, ...]
    """The log lines of the exchange, at all levels."""
    wait_s: float
    """The time until the next poll."""

    @property
    def crashed(self) -> bool:
        """Whether the station's process crashed in this exchange."""
        return self.exchange is ExchangeOutcome.NONE


@dataclass(slots=True)
class CupsExchange:
    """What a station does with one response of the CUPS server: a state machine.

    Feed it the events of a ``ResponseDecoder``, which are about the segments of the response in their order. It saves
    each segment to ``storage`` and logs what a station logs. Call ``finish()`` when the exchange is over.
    """

    storage: Storage
    """Where the station keeps its files."""
    sig_keys: Sequence[bytes] = ()
    """The contents of sig-0.key, sig-1.key, ... up to the first missing file."""
    timers: Timers = DEFAULT_TIMERS
    log_level: Level = Level.INFO
    """The level of the station's log. The station can crash while it writes one of its INFO lines."""
    on_line: Callable[[LogLine], None] = lambda line: None
    """Called with each log line as it is written."""
    lines: list[LogLine] = field(default_factory=list)
    """All log lines so far."""
    key_results: list[tuple[int, str]] = field(default_factory=list)
    """For each key that was tried so far, its index and ``VERIFIED`` or ``NOT verified``."""
    update: UpdateAction = UpdateAction.NONE
    """What the station has done with the update so far."""
    _received_segments: set[Segment] = field(default_factory=set)
    """The segments that the station has received."""
    _segment_data: bytearray = field(default_factory=bytearray)
    """The content of the current segment so far. Empty for an update, which goes to the storage at once."""
    _signature: bytes | None = None
    """The content of the signature segment: the CRC of the key in 4 bytes, and the signature."""
    _digest: hashlib._Hash = field(default_factory=hashlib.sha512)
    """The digest of the update so far, with which the signature is verified."""
    _outcome: ExchangeOutcome = ExchangeOutcome.FAILED
    """How the exchange would end now. It is NONE after a crash, and then it never changes again."""
    _result: ExchangeResult | None = None
    """The result, once ``finish`` was called."""

    def log(self, level: Level, text: str, module: str = "CUP") -> None:
        """Append a line to the log of the exchange."""
        self.log_line(LogLine(module, level, text))

    def log_line(self, line: LogLine) -> None:
        """Append a line that another part of the station wrote to the log of the exchange. Calls ``on_line``."""
        self.lines.append(line)
        self.on_line(line)

    def feed(self, events: Iterable[ResponseEvent]) -> None:
        """Process events of the response. Writes to ``storage`` and to the log; ignores events after a crash."""
        for event in events:
            if self.has_crashed:
                return
            match event:
                case SegmentBegin():
                    self._on_segment_begin(event)
                case SegmentData():
                    self._on_segment_data(event)
                case SegmentEnd():
                    self._on_segment_end(event)
                case ProtocolError():
                    self.log(Level.ERROR, event.log)
                    self.log(Level.ERROR, "CUPS Protocol error. Closing connection.")
                case Complete():
                    self.storage.commit_config()
                    self._on_complete()

    def crash(self, why: str) -> None:
        """End the exchange because the station's process crashes.

        A crashing station writes no line to its log. Here the log gets a line with the reason, under ``NOTE_MODULE``,
        because the station did not write it.

        Args:
            why: The reason, in words.
        """
        self._outcome = ExchangeOutcome.NONE
        self.log(Level.CRITICAL, why, NOTE_MODULE)

    @property
    def has_crashed(self) -> bool:
        """Whether the station's process has ended."""
        return self._outcome is ExchangeOutcome.NONE

    def finish(self) -> ExchangeResult:
        """End the exchange and return its result.

        The first call logs the last line, unless the station has crashed. Later calls return the same result.
        """
        if self._result is None:
            if not self.has_crashed:
                self._log_result()
            self._result = ExchangeResult(
                exchange=self._outcome,
                update=self.update,
                key_results=tuple(self.key_results),
                log=tuple(self.lines),
                wait_s=self._wait_s(),
            )
        return self._result

    def _wait_s(self) -> float:
        """Return the time until the next poll."""
        if self.has_crashed:
            return RESPAWN_S
        if self._outcome is ExchangeOutcome.DONE:
            return self.timers.oksync_s
        return self.timers.resync_s

    def _log_lines(self, lines: Iterable[LogLine]) -> None:
        """Append lines that the storage returned to the log."""
        for line in lines:
            self.log_line(line)

    def _on_segment_begin(self, event: SegmentBegin) -> None:
        """Log the size of a segment. An update puts the new configuration into force and opens update.bi_."""
        segment = event.segment
        self._segment_data.clear()
        if segment in _URI_SEGMENTS:
            return
        if segment in _CREDENTIAL_SEGMENTS:
            # Credentials count as received even if it turns out later that they cannot be parsed.
            self._received_segments.add(segment)
        if segment is Segment.UPDATE:
            self.storage.commit_config()
            self._log_lines(self.storage.begin_update(event.length))
        self.log(Level.INFO, f"[Segment] {_LABEL_BY_SEGMENT[segment]} ({event.length} bytes)")

    def _on_segment_data(self, event: SegmentData) -> None:
        """Keep the data of a segment. An update goes to the storage and into the digest for the signature."""
        if event.segment is not Segment.UPDATE:
            self._segment_data += event.data
            return
        self._digest.update(event.data)
        self._log_lines(self.storage.write_update(event.data))

    def _on_segment_end(self, event: SegmentEnd) -> None:
        """Save a complete segment."""
        segment = event.segment
        content = bytes(self._segment_data)
        if segment in _URI_SEGMENTS:
            self._save_uri(segment, content)
        elif segment in _CREDENTIAL_SEGMENTS:
            self._save_credentials(_CATEGORY_BY_SEGMENT[segment], content)
            if self.has_crashed:
                # A station that has crashed writes no further line.
                return
            self.log(Level.INFO, f"[Segment] {_LABEL_BY_SEGMENT[segment]} update completed ({event.length} bytes)")
        elif segment is Segment.SIGNATURE:
            self._signature = content
            self._received_segments.add(segment)
        else:
            self._commit_update(event.length)

    def _save_uri(self, segment: Segment, content: bytes) -> None:
        """Store a URI in a temporary file, and log it."""
        # The station treats the content as a C string and does not validate it.
        uri = decode_lossless(content.split(b"\0")[0])
        self.storage.save_uri(_CATEGORY_BY_SEGMENT[segment], uri)
        self.log(Level.INFO, f"[Segment] {_LABEL_BY_SEGMENT[segment]}: {uri}")
        self._received_segments.add(segment)

    def _commit_update(self, length: int) -> None:
        """Rename the received update to update.bin, or log that it could not be written."""
        if not self.storage.commit_update():
            self.log(Level.ERROR, f"[Segment] Update received ({length} bytes) but failed to write (ignored)")
            return
        self._received_segments.add(Segment.UPDATE)
        self.log(Level.INFO, f"[Segment] Update committed ({length} bytes)")

    def _save_credentials(self, category: str, segment: bytes) -> None:
        """Store the credentials of a segment, or log why they cannot be parsed."""
        try:
            credential_layout = layout(segment)
            self._log_credential_layout(segment, credential_layout)
            if self.has_crashed:
                return
            credentials = parse_credentials(segment)
        except MalformedResponse as error:
            # The station writes an exclamation mark before this message, and a colon before all others.
            mark = "!" if str(error).startswith("Lengths do not align") else ":"
            self.log(Level.ERROR, f"Failed to parse {category} credentials{mark} {error}", "SYS")
            return
        self.storage.save_credentials(category, credentials)

    def _log_credential_layout(self, segment: bytes, credential_layout: Layout) -> None:
        """Log the position of each credential part.

        The station prints the four bytes before the certificate and the key. It crashes if they do not exist.
        """
        trust, certificate, key = credential_lines(segment, credential_layout)
        _, trust_length = credential_layout.trust
        self.log(Level.INFO, trust, "SYS")
        if credential_layout.certificate[0] < 4 and self.log_level <= Level.INFO:
            self.crash(
                "a Basics Station 2.0.6 crashes here (sys.c, sys_credComplete): the trust part of the credentials has "
                f"{trust_length} bytes, and the log line about the certificate shows the 4 bytes before it"
            )
            return
        self.log(Level.INFO, certificate, "SYS")
        self.log(Level.INFO, key, "SYS")

    def _on_complete(self) -> None:
        """Act on a complete response: run or refuse the update, and log what changed."""
        self._outcome = ExchangeOutcome.DONE
        if Segment.UPDATE in self._received_segments:
            self._run_or_refuse_update()
        if uri_or_credentials := self._changed_part(Segment.TC_URI, Segment.TC_CRED):
            # The station adds "- restarting TC engine" after the space, unless it runs without a TC engine (-N).
            self.log(Level.INFO, f"CUPS provided TC updates ({uri_or_credentials}) ")
        if self._changed_part(Segment.CUPS_URI, Segment.CUPS_CRED):
            self._outcome = ExchangeOutcome.CUPS_UPDATES

    def _changed_part(self, uri: Segment, credentials: Segment) -> str:
        """Return "uri" or "credentials" if the response changed it, and an empty string if it changed neither."""
        if uri in self._received_segments:
            return "uri"
        if credentials in self._received_segments:
            return "credentials"
        return ""

    def _run_or_refuse_update(self) -> None:
        """Start the update if the station accepts it, and remove it otherwise."""
        self.log(Level.INFO, "CUPS provided update.bin")
        if self._accepts_update():
            self.update = UpdateAction.RUN
            self.log(Level.INFO, "Running update.bin as background process")
            self._log_lines(self.storage.run_update())
        else:
            self.update = UpdateAction.REFUSED
            self.log(Level.INFO, "Aborting update.")
            self.storage.discard_update()

    def _accepts_update(self) -> bool:
        """Return True if the station runs the update. Logs the reason."""
        if self._signature is not None:
            return self._verify_signature(self._signature[:4], self._signature[4:])
        if not self.sig_keys:
            self.log(Level.INFO, "No Key. No Sig. UPDATE.")
            return True
        self.log(Level.ERROR, "Keyfile present, but no signature provided. Aborting update.")
        return False

    def _verify_signature(self, key_crc: bytes, signature: bytes) -> bool:
        """Try the keys in their order and record each result. Return True when a key verifies the signature."""
        crc = int.from_bytes(key_crc, "little")
        self.log(Level.INFO, f"CUPS provided signature len={len(signature)} keycrc={crc:08X}")
        for index, sig_key in enumerate(self.sig_keys):
            if len(sig_key) != 64:
                continue
            verified = station_verifies(sig_key, self._digest, signature)
            key_result = "VERIFIED" if verified else "NOT verified"
            self.key_results.append((index, key_result))
            self.log(Level.INFO, f"ECDSA key#{index} -> {key_result}")
            if verified:
                return True
        self.log(Level.WARNING, f"No key could verify signature. Tried {len(self.sig_keys)} keys")
        return False

    def _log_result(self) -> None:
        """Log how the exchange ended and when the next one starts."""
        oksync = format_interval(self.timers.oksync_s)
        resync = format_interval(self.timers.resync_s)
        if self._outcome is ExchangeOutcome.FAILED:
            self.log(Level.INFO, f"Interaction with CUPS failed - retrying in {resync}")
        elif self._outcome is ExchangeOutcome.CUPS_UPDATES:
            changed_part = self._changed_part(Segment.CUPS_URI, Segment.CUPS_CRED)
            self.log(Level.INFO, f"CUPS provided CUPS updates ({changed_part}) - reconnecting in {resync}")
        else:
            detail = "" if self._received_segments else " (no updates)"
            self.log(Level.INFO, f"Interaction with CUPS done{detail} - next regular check in {oksync}")


def take_reply(exchange: CupsExchange, reply: HttpReply, on_answer: Callable[[], None] | None = None) -> bool:
    """Feed an HTTP response to an exchange. Reads the body until the station would stop reading.

    Args:
        exchange: The exchange. It is updated in place.
        reply: The response, whose body has not been read yet.
        on_answer: Called once, when the first buffer of a response with status 200 has arrived and before the station
            parses it.

    Returns:
        True if the server rejected the request.

    Raises:
        TransportError: The connection broke before the body was complete.
    """
    if reply.status != 200:
        exchange.log(Level.VERBOSE, f"Failed to retrieve TCURI from CUPS: ({reply.status}) {reply.reason}")
        return True
    decoder = ResponseDecoder(min(reply.content_length, reply.first_buffer_bytes))
    was_reset = False
    for index, piece in enumerate(reply.body):
        if index == 0 and on_answer is not None:
            on_answer()
        events = decoder.feed(piece)
        if decoder.has_uris and not was_reset:
            was_reset = True
            exchange.storage.reset_config()
        exchange.feed(events)
        if decoder.is_finished or exchange.has_crashed:
            break
    if not exchange.has_crashed:
        exchange.feed(decoder.finish())
    return False


def log_transport_error(exchange: CupsExchange, error: TransportError) -> None:
    """Append the lines of a transport error to the log of the exchange. A ``StationCrash`` also ends the exchange."""
    if isinstance(error, StationCrash):
        exchange.crash(error.why)
    for line in error.lines:
        exchange.log(line.level, line.text, line.module)
