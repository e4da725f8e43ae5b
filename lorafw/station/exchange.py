"""Handle the response of a CUPS server as a Basics Station does.

``CupsExchange`` is the state machine of one exchange. It does no I/O: everything that would change a file goes through
the ``Storage`` protocol. ``take_reply`` feeds an HTTP response to it. ``segments.py`` receives the parts of a response,
and ``signature.py`` checks an update.

Source: Basics Station 2.0.6, cups.c and sys.c, and 80 recorded replies. Some behaviour is surprising:

* The file is renamed to update.bin *before* its signature is checked. If the update runs, only the update itself
  removes the file.
* The key CRC of a reply is only logged; all keys on the gateway are tried in their order.
* A gateway requires signatures only if it has sig-0.key. Without that file it runs unsigned updates.
* A refused update is a *successful* exchange: the next check comes after the regular interval.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from lorafw.cups.parser import (
    Complete,
    ProtocolError,
    ResponseDecoder,
    ResponseEvent,
    SegmentBegin,
    SegmentData,
    SegmentEnd,
)
from lorafw.station.http import SHUTDOWN, HttpReply, StationCrash, TransportError
from lorafw.station.log import ExchangeLog, Level, LogLine, format_interval
from lorafw.station.segments import ResponseSegments
from lorafw.station.signature import check_update
from lorafw.station.storage import Storage


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


@dataclass(frozen=True, slots=True)
class UpdateOutcome:
    """What the station did with the update of a response, and why."""

    action: UpdateAction
    """What the station did."""
    key_results: tuple[tuple[int, str], ...]
    """For each key that was tried, its index and ``VERIFIED`` or ``NOT verified``."""


NO_UPDATE: Final = UpdateOutcome(UpdateAction.NONE, ())


@dataclass(frozen=True, slots=True)
class Timers:
    """The intervals of station.conf, in seconds. The defaults are those of the station.

    A station also accepts negative intervals. It then does not wait at all.
    """

    oksync_s: float = 24 * 3600.0
    """CUPS_OKSYNC_INTV: the time until the next poll after a successful exchange."""
    resync_s: float = 60.0
    """CUPS_RESYNC_INTV: the time until the next poll after any other exchange."""
    conn_timeout_s: float = 60.0
    """CUPS_CONN_TIMEOUT: the time in which each full buffer must arrive."""


DEFAULT_TIMERS: Final = Timers()

MAX_WAITING_S: Final = 100 * 365 * 86_400.0
"""The longest time for which lorafw waits, a hundred years. A station has 64 bits of microseconds."""

RESPAWN_S: Final = 0.5
"""The time after which a crashed station runs again, if it was started with ``-d`` (observed)."""

NOTE_MODULE: Final = "___"
"""The module name of lines that the station did not write itself, such as the output of an update."""


@dataclass(frozen=True, slots=True)
class ExchangeResult:
    """What the station did in one exchange."""

    exchange: ExchangeOutcome
    """How the exchange ended."""
    update: UpdateAction
    """What the station did with the update."""
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


class CupsExchange:
    """What a station does with one response of the CUPS server.

    Feed it the events of a ``ResponseDecoder``, which are about the segments of the response in their order. Call
    ``finish()`` when the exchange is over.

    Args:
        storage: Where the station keeps its files.
        sig_keys: The contents of sig-0.key, sig-1.key, ... up to the first missing file.
        timers: The intervals of station.conf.
        log_level: The level of the station's log. The station can crash while it writes one of its INFO lines.
        on_line: Called with each log line as it is written.
    """

    def __init__(
        self,
        storage: Storage,
        sig_keys: Sequence[bytes] = (),
        timers: Timers = DEFAULT_TIMERS,
        log_level: Level = Level.INFO,
        on_line: Callable[[LogLine], None] | None = None,
    ) -> None:
        self.storage = storage
        self.log = ExchangeLog(on_line)
        self._sig_keys = sig_keys
        self._timers = timers
        self._segments = ResponseSegments(storage, self.log, log_level)
        self._outcome = ExchangeOutcome.FAILED
        """How the exchange would end now. It is NONE after a crash, and then it never changes again."""
        self._update = NO_UPDATE
        """What the station has done with the update so far."""

    @property
    def has_crashed(self) -> bool:
        """Whether the station's process has ended."""
        return self._outcome is ExchangeOutcome.NONE

    def feed(self, events: Iterable[ResponseEvent]) -> None:
        """Process events of the response. Writes to ``storage`` and to ``log``. Does nothing after a crash."""
        if self.has_crashed:
            return
        try:
            for event in events:
                self._process(event)
        except StationCrash as crash:
            self.crash(crash.why)

    def crash(self, why: str) -> None:
        """End the exchange, because the station's process crashes.

        Args:
            why: The reason, in words. It is added to the log as a note, because a crashing station logs nothing.
        """
        self._outcome = ExchangeOutcome.NONE
        self.log.write(Level.CRITICAL, why, NOTE_MODULE)

    def finish(self) -> ExchangeResult:
        """Log the last line, unless the station has crashed, and return the result. Call this once."""
        if not self.has_crashed:
            last_line = closing_text(self._outcome, self._segments, self._timers)
            self.log.write(Level.INFO, last_line)
        return ExchangeResult(
            exchange=self._outcome,
            update=self._update.action,
            key_results=self._update.key_results,
            log=tuple(self.log.lines),
            wait_s=wait_before_next_poll_s(self._outcome, self._timers),
        )

    def _process(self, event: ResponseEvent) -> None:
        """Process one event of the response."""
        match event:
            case ProtocolError():
                self.log.write(Level.ERROR, event.log)
                self.log.write(Level.ERROR, "CUPS Protocol error. Closing connection.")
            case Complete():
                self._complete()
            case SegmentBegin() | SegmentData() | SegmentEnd():
                self._segments.process(event)

    def _complete(self) -> None:
        """Act on a complete response: use the new files, run or refuse the update, and log what changed."""
        self.storage.commit_config()
        self.log.append(SHUTDOWN)
        self._outcome = ExchangeOutcome.DONE
        if self._segments.update.is_received:
            self._update = run_or_refuse_update(self._segments, self._sig_keys, self.storage, self.log)
        changed_part_of_tc = self._segments.changed_part_of_tc
        if changed_part_of_tc is not None:
            # The station adds "- restarting TC engine" after the space, unless it runs without a TC engine (-N).
            self.log.write(Level.INFO, f"CUPS provided TC updates ({changed_part_of_tc}) ")
        if self._segments.changed_part_of_cups is not None:
            self._outcome = ExchangeOutcome.CUPS_UPDATES


def run_or_refuse_update(
    segments: ResponseSegments, sig_keys: Sequence[bytes], storage: Storage, log: ExchangeLog
) -> UpdateOutcome:
    """Check the signature of an update. Start the update if the station accepts it, and remove it otherwise.

    Args:
        segments: What the station has received: the update and its signature.
        sig_keys: The contents of sig-0.key, sig-1.key, ... up to the first missing file.
        storage: Has the update as a file.
        log: The log of the exchange. Lines are added to it.

    Returns:
        What was done, and the result of each key.
    """
    log.write(Level.INFO, "CUPS provided update.bin")
    check = check_update(segments.update.digest, segments.signature.content, sig_keys)
    log.extend(check.log)
    if not check.is_accepted:
        log.write(Level.INFO, "Aborting update.")
        storage.discard_update()
        return UpdateOutcome(UpdateAction.REFUSED, check.key_results)
    log.write(Level.INFO, "Running update.bin as background process")
    log.extend(storage.run_update())
    return UpdateOutcome(UpdateAction.RUN, check.key_results)


def wait_before_next_poll_s(outcome: ExchangeOutcome, timers: Timers) -> float:
    """Return the time in seconds from the end of an exchange to the next poll."""
    if outcome is ExchangeOutcome.NONE:
        return RESPAWN_S
    interval_s = timers.oksync_s if outcome is ExchangeOutcome.DONE else timers.resync_s
    return to_waiting_s(interval_s)


def to_waiting_s(interval_s: float) -> float:
    """Return how many seconds a station waits for an interval of station.conf. It does not wait for a negative one."""
    return min(max(interval_s, 0.0), MAX_WAITING_S)


def closing_text(outcome: ExchangeOutcome, segments: ResponseSegments, timers: Timers) -> str:
    """Return the last log line of an exchange, which says how it ended and when the next one starts.

    Args:
        outcome: How the exchange ended. The station has not crashed.
        segments: What the station has received.
        timers: The intervals of station.conf.
    """
    oksync = format_interval(timers.oksync_s)
    resync = format_interval(timers.resync_s)
    if outcome is ExchangeOutcome.FAILED:
        return f"Interaction with CUPS failed - retrying in {resync}"
    if outcome is ExchangeOutcome.CUPS_UPDATES:
        return f"CUPS provided CUPS updates ({segments.changed_part_of_cups}) - reconnecting in {resync}"
    detail = " (no updates)" if segments.is_empty else ""
    return f"Interaction with CUPS done{detail} - next regular check in {oksync}"


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
        exchange.log.write(Level.VERBOSE, f"Failed to retrieve TCURI from CUPS: ({reply.status}) {reply.reason}")
        exchange.log.append(SHUTDOWN)
        return True
    decoder = ResponseDecoder(min(reply.content_length, reply.first_buffer_bytes), reply.leftover)
    is_first_piece = True
    for piece in reply.body:
        if is_first_piece and on_answer is not None:
            on_answer()
        is_first_piece = False
        had_uris = decoder.has_uris
        events = decoder.feed(piece)
        if decoder.has_uris and not had_uris:
            # The station removes old temporary files when it has read both URIs, before it writes new ones.
            exchange.storage.reset_config()
        exchange.feed(events)
        if decoder.is_finished or exchange.has_crashed:
            break
    exchange.feed(decoder.finish())
    return False


def log_transport_error(exchange: CupsExchange, error: TransportError) -> None:
    """Append the lines of a transport error to the log of the exchange. A ``StationCrash`` also ends the exchange."""
    if isinstance(error, StationCrash):
        exchange.crash(error.why)
    exchange.log.extend(error.lines)
