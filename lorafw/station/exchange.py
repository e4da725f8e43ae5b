"""What a Basics Station does with the reply of a CUPS server. Pure: files are behind ``Storage``.

Source: Basics Station 2.0.6, cups.c and sys.c, and 80 recorded replies. What surprises:

* The file is renamed to update.bin *before* its signature is checked, and nobody but the update removes it.
* The key CRC of a reply is only logged; all keys on the gateway are tried in their order.
* Only sig-0.key makes a gateway one that wants signatures; an unsigned update runs on a gateway without it.
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

_LABEL = {
    Segment.CUPS_URI: "CUPS URI",
    Segment.TC_URI: "TC URI",
    Segment.CUPS_CRED: "CUPS Credentials",
    Segment.TC_CRED: "TC Credentials",
    Segment.SIGNATURE: "FW Signature",
    Segment.UPDATE: "FW Update",
}
_CATEGORY = {
    Segment.CUPS_URI: "cups",
    Segment.TC_URI: "tc",
    Segment.CUPS_CRED: "cups",
    Segment.TC_CRED: "tc",
}


class ExchangeOutcome(StrEnum):
    """How an exchange ended."""

    DONE = "done"
    FAILED = "failed"
    CUPS_UPDATES = "cups-updates"
    """Done, and the station reconnects because its CUPS URI or credentials changed."""
    NONE = "none"
    """The station crashed before the exchange had ended."""


class UpdateAction(StrEnum):
    """What became of the update."""

    RUN = "run"
    REFUSED = "refused"
    NONE = "none"


class Storage(Protocol):
    """The files of a station, as far as a reply changes them. ``category`` is ``cups`` or ``tc``."""

    def reset_config(self) -> None:
        """Remove the temporary files that an earlier exchange left."""

    def save_uri(self, category: str, uri: str) -> None:
        """Into a temporary file."""

    def save_credentials(self, category: str, credentials: Credentials) -> None:
        """Into temporary files."""

    def commit_config(self) -> None:
        """Temporary files become the ones in force."""

    def update_begin(self, length: int) -> Iterable[LogLine]:
        """The file of the update is opened; what a station logs where that fails."""
        ...

    def update_data(self, data: bytes) -> Iterable[LogLine]:
        """More of the update; what a station logs where it cannot be written, the first time."""
        ...

    def update_commit(self) -> bool:
        """The file becomes update.bin; False where it could not be written."""
        ...

    def update_abort(self) -> None:
        """Remove update.bin."""

    def update_run(self) -> Iterable[LogLine]:
        """Start update.bin as a background process."""
        ...


@dataclass(frozen=True, slots=True)
class Timers:
    """Intervals in seconds, by the names of station.conf. The defaults are the station's."""

    oksync_s: float = 24 * 3600.0
    resync_s: float = 60.0
    conn_timeout_s: float = 60.0


DEFAULT_TIMERS: Final = Timers()

RESPAWN_S: Final = 0.5
"""A station that crashed is there again so soon, where it runs with -d (observed)."""

NOTE_MODULE: Final = "___"
"""Lines of this name are not the station's own: a station's log shows the output of an update under it."""


@dataclass(frozen=True, slots=True)
class ExchangeResult:
    """What the station did. ``key_results`` holds (index of the key, ``VERIFIED`` or ``NOT verified``)."""

    exchange: ExchangeOutcome
    update: UpdateAction
    key_results: tuple[tuple[int, str], ...]
    log: tuple[LogLine, ...]
    wait_s: float
    crashed: bool = False
    """The station's process came to its end in this exchange."""


@dataclass(slots=True)
class CupsExchange:
    """One exchange with CUPS. Feed it the events of the decoder; ``verdict()`` when it is over.

    ``sig_keys`` are the contents of sig-0.key, sig-1.key, ... up to the first that is missing. ``log_level`` is that of
    the station: it crashes in one of its log lines, if it shows lines of that level.
    """

    storage: Storage
    sig_keys: Sequence[bytes] = ()
    timers: Timers = DEFAULT_TIMERS
    log_level: Level = Level.INFO
    emit: Callable[[LogLine], None] = lambda line: None
    lines: list[LogLine] = field(default_factory=list)
    key_results: list[tuple[int, str]] = field(default_factory=list)
    update: UpdateAction = UpdateAction.NONE
    _changed: set[Segment] = field(default_factory=set)
    _segment_data: bytearray = field(default_factory=bytearray)
    _signature: bytes | None = None
    _digest: hashlib._Hash = field(default_factory=hashlib.sha512)
    _outcome: ExchangeOutcome = ExchangeOutcome.FAILED
    _is_over: bool = False
    _crashed: bool = False

    def log(self, level: Level, text: str, module: str = "CUP") -> None:
        self._write_atomic(LogLine(module, level, text))

    def log_line(self, line: LogLine) -> None:
        """Log a line that another part of the station made."""
        self._write_atomic(line)

    def feed(self, events: Iterable[ResponseEvent]) -> None:
        for event in events:
            if self._crashed:
                return
            match event:
                case SegmentBegin():
                    self._begin(event)
                case SegmentData():
                    self._data(event)
                case SegmentEnd():
                    self._end(event)
                case ProtocolError():
                    self.log(Level.ERROR, event.log)
                    self.log(Level.ERROR, "CUPS Protocol error. Closing connection.")
                case Complete():
                    self.storage.commit_config()
                    self._complete()

    def crash(self, why: str) -> None:
        """The station's process ends here. It logs nothing of it; ``why`` is said under the name of a remark."""
        self._is_over = self._crashed = True
        self._outcome = ExchangeOutcome.NONE
        self.log(Level.CRITICAL, why, NOTE_MODULE)

    @property
    def has_crashed(self) -> bool:
        """Whether the station's process has ended."""
        return self._crashed

    def verdict(self) -> ExchangeResult:
        """The exchange is over, as it went. Calling it again gives the same."""
        if not self._is_over:
            self._is_over = True
            self._log_result()
        return ExchangeResult(
            self._outcome, self.update, tuple(self.key_results), tuple(self.lines), self._wait_s(), self._crashed
        )

    def _wait_s(self) -> float:
        if self._crashed:
            return RESPAWN_S
        return self.timers.oksync_s if self._outcome is ExchangeOutcome.DONE else self.timers.resync_s

    def _write_atomic(self, line: LogLine) -> None:
        self.lines.append(line)
        self.emit(line)

    def _write_all(self, lines: Iterable[LogLine]) -> None:
        for line in lines:
            self._write_atomic(line)

    def _begin(self, event: SegmentBegin) -> None:
        segment = event.segment
        self._segment_data.clear()
        if segment in (Segment.CUPS_URI, Segment.TC_URI):
            return
        if segment in (Segment.CUPS_CRED, Segment.TC_CRED):
            self._changed.add(segment)
        if segment is Segment.UPDATE:
            self.storage.commit_config()
            self._write_all(self.storage.update_begin(event.length))
        self.log(Level.INFO, f"[Segment] {_LABEL[segment]} ({event.length} bytes)")

    def _data(self, event: SegmentData) -> None:
        if event.segment is not Segment.UPDATE:
            self._segment_data += event.data
            return
        self._digest.update(event.data)
        self._write_all(self.storage.update_data(event.data))

    def _end(self, event: SegmentEnd) -> None:
        segment, held = event.segment, bytes(self._segment_data)
        if segment in (Segment.CUPS_URI, Segment.TC_URI):
            # The client takes it as a C string and does not validate it.
            uri = held.split(b"\0")[0].decode("utf-8", "surrogateescape")
            self.storage.save_uri(_CATEGORY[segment], uri)
            self.log(Level.INFO, f"[Segment] {_LABEL[segment]}: {uri}")
            self._changed.add(segment)
        elif segment in (Segment.CUPS_CRED, Segment.TC_CRED):
            self._credentials(_CATEGORY[segment], held)
            if not self._crashed:
                self.log(Level.INFO, f"[Segment] {_LABEL[segment]} update completed ({event.length} bytes)")
        elif segment is Segment.SIGNATURE:
            self._signature = held
            self._changed.add(segment)
        elif self.storage.update_commit():
            self._changed.add(segment)
            self.log(Level.INFO, f"[Segment] Update committed ({event.length} bytes)")
        else:
            self.log(Level.ERROR, f"[Segment] Update received ({event.length} bytes) but failed to write (ignored)")

    def _credentials(self, category: str, segment: bytes) -> None:
        try:
            found = layout(segment)
            self._show_credentials(segment, found)
            if self._crashed:
                return
            credentials = parse_credentials(segment)
        except MalformedResponse as error:
            mark = "!" if str(error).startswith("Lengths do not align") else ":"
            self.log(Level.ERROR, f"Failed to parse {category} credentials{mark} {error}", "SYS")
            return
        self.storage.save_credentials(category, credentials)

    def _show_credentials(self, segment: bytes, found: Layout) -> None:
        """Log where the three parts are. The station shows four bytes before each, and crashes if there are none."""
        trust, certificate, key = credential_lines(segment, found)
        self.log(Level.INFO, trust, "SYS")
        if found.certificate[0] < 4 and self.log_level <= Level.INFO:
            self.crash(
                "a Basics Station 2.0.6 crashes here (sys.c, sys_credComplete): the trust part of the credentials has "
                f"{found.trust[1]} bytes, and the log line about the certificate shows the 4 bytes before it"
            )
            return
        self.log(Level.INFO, certificate, "SYS")
        self.log(Level.INFO, key, "SYS")

    def _complete(self) -> None:
        self._outcome = ExchangeOutcome.DONE
        if Segment.UPDATE in self._changed:
            self._run_or_refuse_update()
        if uri_or_credentials := self._changed_part(Segment.TC_URI, Segment.TC_CRED):
            # Behind the blank the station says "- restarting TC engine", unless it runs without one (station -N).
            self.log(Level.INFO, f"CUPS provided TC updates ({uri_or_credentials}) ")
        if self._changed_part(Segment.CUPS_URI, Segment.CUPS_CRED):
            self._outcome = ExchangeOutcome.CUPS_UPDATES

    def _changed_part(self, uri: Segment, credentials: Segment) -> str:
        if uri in self._changed:
            return "uri"
        return "credentials" if credentials in self._changed else ""

    def _run_or_refuse_update(self) -> None:
        self.log(Level.INFO, "CUPS provided update.bin")
        if self._accepts_update():
            self.update = UpdateAction.RUN
            self.log(Level.INFO, "Running update.bin as background process")
            self._write_all(self.storage.update_run())
        else:
            self.update = UpdateAction.REFUSED
            self.log(Level.INFO, "Aborting update.")
            self.storage.update_abort()

    def _accepts_update(self) -> bool:
        if self._signature is not None:
            return self._verify_signature(self._signature[:4], self._signature[4:])
        if not self.sig_keys:
            self.log(Level.INFO, "No Key. No Sig. UPDATE.")
            return True
        self.log(Level.ERROR, "Keyfile present, but no signature provided. Aborting update.")
        return False

    def _verify_signature(self, key_crc: bytes, signature: bytes) -> bool:
        crc = int.from_bytes(key_crc, "little")
        self.log(Level.INFO, f"CUPS provided signature len={len(signature)} keycrc={crc:08X}")
        for index, sig_key in enumerate(self.sig_keys):
            if len(sig_key) != 64:
                continue
            verified = station_verifies(sig_key, self._digest, signature)
            self.key_results.append((index, "VERIFIED" if verified else "NOT verified"))
            self.log(Level.INFO, f"ECDSA key#{index} -> {self.key_results[-1][1]}")
            if verified:
                return True
        self.log(Level.WARNING, f"No key could verify signature. Tried {len(self.sig_keys)} keys")
        return False

    def _log_result(self) -> None:
        regular, soon = format_interval(self.timers.oksync_s), format_interval(self.timers.resync_s)
        if self._outcome is ExchangeOutcome.FAILED:
            self.log(Level.INFO, f"Interaction with CUPS failed - retrying in {soon}")
        elif self._outcome is ExchangeOutcome.CUPS_UPDATES:
            what = self._changed_part(Segment.CUPS_URI, Segment.CUPS_CRED)
            self.log(Level.INFO, f"CUPS provided CUPS updates ({what}) - reconnecting in {soon}")
        else:
            detail = "" if self._changed else " (no updates)"
            self.log(Level.INFO, f"Interaction with CUPS done{detail} - next regular check in {regular}")


def take_reply(exchange: CupsExchange, reply: HttpReply, on_answer: Callable[[], None] | None = None) -> bool:
    """Feed a reply to an exchange.

    Args:
        on_answer: Called once, when the first buffer of an answer (a reply with status 200) has come, before the
            station looks at it.

    Returns:
        True if the server rejected the request.

    Raises:
        TransportError: The reply broke off.
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
    """The exchange broke: log what a station logs of it, or end as it ends."""
    if isinstance(error, StationCrash):
        exchange.crash(error.why)
    for line in error.lines:
        exchange.log(line.level, line.text, line.module)
