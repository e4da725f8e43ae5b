"""How a request that cannot be served is answered: a status, and a body that is tiny.

A station looks at the status only, and a reply other than 200 whose header and body exceed 8 KB crashes it (source:
Basics Station 2.0.6). So the body says in a few words what is wrong, for whoever reads along.
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

MAX_BODY: Final = 99
"""Bytes of an error body."""


def error_response(error: LorafwError, policy: Policy) -> tuple[int, bytes]:
    """Status and body for an error."""
    if isinstance(error, MalformedRequest):
        return 400, to_error_body(str(error))
    if isinstance(error, CertificateNotAllowed):
        return 403, to_error_body("not allowed")
    if isinstance(error, NotFound):
        return policy.unknown_gateway_status, to_error_body("unknown gateway")
    return 500, to_error_body("server error")


def to_error_body(text: str) -> bytes:
    """At most MAX_BODY bytes, printable, one line."""
    line = "".join(character if character.isprintable() else "?" for character in text)
    return line.encode("ascii", "replace")[: MAX_BODY - 1] + b"\n"


MAX_LINES_PER_WINDOW: Final = 10
"""Lines about one reason within SPAN_S; what is beyond is told as a number when the span is over."""
WINDOW_S: Final = 10.0

logger: Final = logging.getLogger("lorafw.cups")


class RefusalReason(StrEnum):
    """Why a connection, a request or a reply ended before its time."""

    HANDSHAKE = "TLS handshake failed"
    REQUEST_TIMEOUT = "no request in time"
    TOO_LONG = "request too long"
    NO_HTTP = "not HTTP"
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
    """The reason for which a request with this error is refused."""
    if isinstance(error, MalformedRequest):
        return RefusalReason.MALFORMED
    if isinstance(error, CertificateNotAllowed):
        return RefusalReason.NOT_ALLOWED
    return RefusalReason.UNKNOWN_GATEWAY if isinstance(error, NotFound) else RefusalReason.SERVER_ERROR


@dataclass(slots=True)
class _LogWindow:
    started: float
    lines: int = 0
    suppressed: int = 0


class RefusalCounter:
    """Counts by reason. For one thread."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.counts: Counter[RefusalReason] = Counter()
        self._now = now
        self._spans: dict[RefusalReason, _LogWindow] = {}

    def add(self, reason: RefusalReason, detail: object = "") -> bool:
        """Count one more. ``detail`` is for the log only.

        Returns:
            True if it was logged. False if this span has had its lines about this reason, so that whatever else the
            caller would log about it is left out too.
        """
        self.counts[reason] += 1
        self.tell()
        span = self._spans.setdefault(reason, _LogWindow(self._now()))
        if span.lines < MAX_LINES_PER_WINDOW:
            span.lines += 1
            logger.info("refused: %s%s", reason, f" ({detail})" if detail else "")
            return True
        span.suppressed += 1
        return False

    def tell(self, *, all_of_it: bool = False) -> None:
        """Log what was left out, of spans that are over."""
        now = self._now()
        over = [reason for reason, span in self._spans.items() if all_of_it or now - span.started >= WINDOW_S]
        for reason in over:
            span = self._spans.pop(reason)
            if span.suppressed:
                logger.info("refused: %s, %d times more", reason, span.suppressed)

    def __bool__(self) -> bool:
        return bool(self.counts)

    def __str__(self) -> str:
        """For a person: ``3 malformed request, 1 not allowed``; empty where nothing was refused."""
        return ", ".join(f"{count} {reason}" for reason, count in self.counts.most_common())


class LineLimit(logging.Filter):
    """Lets LINES records through in each SPAN_S, for a logger that others write to, such as asyncio's."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._span = _LogWindow(now())

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True if the record is within the limit. The first record of a span tells how many were left out."""
        now = self._now()
        if now - self._span.started >= WINDOW_S:
            suppressed, self._span = self._span.suppressed, _LogWindow(now)
            if suppressed:
                record.msg, record.args = f"{record.getMessage()} ({suppressed} more records were left out)", ()
        if self._span.lines >= MAX_LINES_PER_WINDOW:
            self._span.suppressed += 1
            return False
        self._span.lines += 1
        return True
