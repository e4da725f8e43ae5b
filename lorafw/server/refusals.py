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

from lorafw.errors import LorafwError, MalformedRequest, NotAllowed, NotFound
from lorafw.tasks.policy import Policy

MAX_BODY: Final = 99
"""Bytes of an error body."""


def refusal(error: LorafwError, policy: Policy) -> tuple[int, bytes]:
    """Status and body for an error."""
    if isinstance(error, MalformedRequest):
        return 400, tiny(str(error))
    if isinstance(error, NotAllowed):
        return 403, tiny("not allowed")
    if isinstance(error, NotFound):
        return policy.unknown_gateway_status, tiny("unknown gateway")
    return 500, tiny("server error")


def tiny(text: str) -> bytes:
    """At most MAX_BODY bytes, printable, one line."""
    line = "".join(character if character.isprintable() else "?" for character in text)
    return line.encode("ascii", "replace")[: MAX_BODY - 1] + b"\n"


LINES: Final = 10
"""Lines about one reason within SPAN_S; what is beyond is told as a number when the span is over."""
SPAN_S: Final = 10.0

LOG: Final = logging.getLogger("lorafw.cups")


class Refused(StrEnum):
    """Why a connection, a request or a reply ended before its time."""

    HANDSHAKE = "TLS handshake failed"
    TOO_LATE = "no request in time"
    TOO_LONG = "request too long"
    NO_HTTP = "not HTTP"
    NOT_ADMITTED = "not admitted"
    WRONG_PATH = "not POST /update-info"
    MALFORMED = "malformed request"
    NOT_ALLOWED = "not allowed"
    UNKNOWN_GATEWAY = "unknown gateway"
    TOO_SLOW = "reply taken too slowly"
    CROWDED_OUT = "too many connections"
    NO_FILES = "no file left to accept a connection"
    SERVER_ERROR = "server error"


def reason_of(error: LorafwError) -> Refused:
    """The reason for which a request with this error is refused."""
    if isinstance(error, MalformedRequest):
        return Refused.MALFORMED
    if isinstance(error, NotAllowed):
        return Refused.NOT_ALLOWED
    return Refused.UNKNOWN_GATEWAY if isinstance(error, NotFound) else Refused.SERVER_ERROR


@dataclass(slots=True)
class _Span:
    started: float
    lines: int = 0
    untold: int = 0


class Tally:
    """Counts by reason. For one thread."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.counts: Counter[Refused] = Counter()
        self._now = now
        self._spans: dict[Refused, _Span] = {}

    def add(self, reason: Refused, detail: object = "") -> bool:
        """Count one more. ``detail`` is for the log only.

        Returns:
            True if it was logged. False if this span has had its lines about this reason, so that whatever else the
            caller would log about it is left out too.
        """
        self.counts[reason] += 1
        self.tell()
        span = self._spans.setdefault(reason, _Span(self._now()))
        if span.lines < LINES:
            span.lines += 1
            LOG.info("refused: %s%s", reason, f" ({detail})" if detail else "")
            return True
        span.untold += 1
        return False

    def tell(self, *, all_of_it: bool = False) -> None:
        """Log what was left out, of spans that are over."""
        now = self._now()
        over = [reason for reason, span in self._spans.items() if all_of_it or now - span.started >= SPAN_S]
        for reason in over:
            span = self._spans.pop(reason)
            if span.untold:
                LOG.info("refused: %s, %d times more", reason, span.untold)

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
        self._span = _Span(now())

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True if the record is within the limit. The first record of a span tells how many were left out."""
        now = self._now()
        if now - self._span.started >= SPAN_S:
            untold, self._span = self._span.untold, _Span(now)
            if untold:
                record.msg, record.args = f"{record.getMessage()} ({untold} more records were left out)", ()
        if self._span.lines >= LINES:
            self._span.untold += 1
            return False
        self._span.lines += 1
        return True
