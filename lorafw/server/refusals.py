"""Responses to requests that are refused, and the counts and log lines of refusals.

A station evaluates only the status. It crashes on a response other than 200 whose header and body exceed 8 KB (source:
Basics Station 2.0.6). So the body of an error is a few words, for a person who reads the traffic.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from lorafw.errors import CertificateNotAllowed, LorafwError, MalformedRequest, NotFound
from lorafw.tasks.policy import Policy

MAX_BODY_BYTES: Final = 99
"""Largest error body in bytes."""


def error_response(error: LorafwError, policy: Policy) -> tuple[int, bytes]:
    """Return the HTTP status and the body of the response to a request that failed.

    Args:
        error: Why the request failed.
        policy: Gives the status for an unknown gateway.
    """
    if isinstance(error, MalformedRequest):
        return 400, to_error_body(str(error))
    if isinstance(error, CertificateNotAllowed):
        return 403, to_error_body("not allowed")
    if isinstance(error, NotFound):
        return policy.unknown_gateway_status, to_error_body("unknown gateway")
    return 500, to_error_body("server error")


def to_error_body(text: str) -> bytes:
    """Return ``text`` as one printable ASCII line of at most ``MAX_BODY_BYTES`` bytes."""
    characters = [character if character.isprintable() else "?" for character in text]
    line = "".join(characters)
    return line.encode("ascii", "replace")[: MAX_BODY_BYTES - 1] + b"\n"


MAX_LINES_PER_WINDOW: Final = 10
"""Number of lines that are logged about one reason in each window. Further refusals are only counted."""
WINDOW_S: Final = 10.0
"""Length of a window."""

logger: Final = logging.getLogger("lorafw.cups")


class RefusalReason(StrEnum):
    """Why the server refused a connection or a request, or broke off a response."""

    HANDSHAKE = "TLS handshake failed"
    REQUEST_TIMEOUT = "no request in time"
    TOO_LONG = "request too long"
    NOT_HTTP = "not HTTP"
    NOT_ADMITTED = "not admitted"
    WRONG_PATH = "not POST /update-info"
    MALFORMED = "malformed request"
    NOT_ALLOWED = "not allowed"
    UNKNOWN_GATEWAY = "unknown gateway"
    RESPONSE_TIMEOUT = "reply taken too slowly"
    TOO_MANY_CONNECTIONS = "too many connections"
    NO_FILES = "no file left to accept a connection"
    SERVER_ERROR = "server error"


def reason_of(error: LorafwError) -> RefusalReason:
    """Return the reason that counts for a request which failed with this error."""
    if isinstance(error, MalformedRequest):
        return RefusalReason.MALFORMED
    if isinstance(error, CertificateNotAllowed):
        return RefusalReason.NOT_ALLOWED
    if isinstance(error, NotFound):
        return RefusalReason.UNKNOWN_GATEWAY
    return RefusalReason.SERVER_ERROR


@dataclass(slots=True)
class _LogWindow:
    """A period of ``WINDOW_S`` in which the number of log lines is limited."""

    started_at: float
    """Start in seconds, of the clock that its owner uses."""
    lines: int = 0
    """Number of lines logged so far."""
    suppressed: int = 0
    """Number of lines left out so far."""

    def is_over(self, now: float) -> bool:
        """Return True if the window has ended at a time in seconds."""
        return now - self.started_at >= WINDOW_S

    def count_line(self) -> bool:
        """Count one more line. Return True if it may be logged, and False if it exceeds the limit."""
        if self.lines >= MAX_LINES_PER_WINDOW:
            self.suppressed += 1
            return False
        self.lines += 1
        return True


class RefusalCounter:
    """Counts refusals by reason and logs them at a limited rate. Not thread-safe."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """Start with no refusals.

        Args:
            now: Returns the time in seconds.
        """
        self.counts: Counter[RefusalReason] = Counter()
        """Number of refusals by reason."""
        self._now = now
        self._windows: dict[RefusalReason, _LogWindow] = {}

    def add(self, reason: RefusalReason, detail: object = "") -> bool:
        """Count a refusal and log it, unless too many were logged for this reason recently.

        Args:
            reason: Why the server refused.
            detail: Further text for the log.

        Returns:
            True if it was logged. If False, the caller should not log anything about it either.
        """
        self.counts[reason] += 1
        self.log_suppressed()
        window = self._windows.setdefault(reason, _LogWindow(self._now()))
        is_logged = window.count_line()
        if is_logged:
            suffix = f" ({detail})" if detail else ""
            logger.info("refused: %s%s", reason, suffix)
        return is_logged

    def add_error(self, what_failed: str, error: BaseException | None, detail: object = "") -> None:
        """Count an unexpected error of the server, and log it with its traceback at the same limited rate.

        Args:
            what_failed: The message for the log.
            error: The exception, or None if there is none.
            detail: Further text for the log.
        """
        was_logged = self.add(RefusalReason.SERVER_ERROR, detail)
        if was_logged:
            logger.error(what_failed, exc_info=error)

    def log_suppressed(self, *, force: bool = False) -> None:
        """Log how many lines were suppressed, and end the windows that are over.

        Args:
            force: End all windows, also those that are not over yet.
        """
        now = self._now()
        for reason, window in list(self._windows.items()):
            if force or window.is_over(now):
                del self._windows[reason]
                if window.suppressed:
                    logger.info("refused: %s, %d times more", reason, window.suppressed)

    def __bool__(self) -> bool:
        """Return True if anything was refused."""
        return bool(self.counts)

    def __str__(self) -> str:
        """Return a summary such as ``3 malformed request, 1 not allowed``, empty if nothing was refused."""
        return ", ".join(f"{count} {reason}" for reason, count in self.counts.most_common())


class LineLimit(logging.Filter):
    """Limits the number of records in each window, for a logger to which other libraries write, such as asyncio's."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """Start the first window.

        Args:
            now: Returns the time in seconds.
        """
        super().__init__()
        self._now = now
        self._window = _LogWindow(now())

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True if a record is within the limit, so that it is logged.

        The first record of a new window also says how many records the last window left out: its message is changed.
        """
        now = self._now()
        if self._window.is_over(now):
            left_out = self._window.suppressed
            self._window = _LogWindow(now)
            if left_out:
                _append_to_message(record, f" ({left_out} more records were left out)")
        return self._window.count_line()


def _append_to_message(record: logging.LogRecord, text: str) -> None:
    """Append a text to the message of a log record, which has its arguments filled in then."""
    record.msg = record.getMessage() + text
    record.args = ()
