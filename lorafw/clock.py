"""Time as an argument: nothing in lorafw reads the clock of the machine except through one of these.

Times are whole milliseconds since 1970-01-01 UTC, the resolution of AWS's TaskCreatedAt.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Protocol


def real_monotonic_s() -> float:
    """Return the machine's monotonic time in seconds, also while a test holds ``time.monotonic`` still.

    Where the machine has no such clock (Windows) it is ``time.monotonic``.
    """
    if hasattr(time, "clock_gettime"):
        return time.clock_gettime(time.CLOCK_MONOTONIC)
    return time.monotonic()


class Clock(Protocol):
    """Anything that tells the time."""

    def now_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


class HandClock:
    """A clock that moves only when it is told to."""

    def __init__(self, start: str = "2021-03-12T09:56:12.047Z") -> None:
        """Start at an ISO time; the default is the moment of the documented example."""
        self._now_ms = parse_iso(start)
        self._lock = threading.Lock()

    def now_ms(self) -> int:
        return self._now_ms

    def advance(self, seconds: float) -> int:
        """Move forward and return the new time. Raises ValueError for a step backwards."""
        if not seconds >= 0:
            raise ValueError(f"a clock moves forward only: advance({seconds!r})")
        with self._lock:
            self._now_ms += round(seconds * 1000)
            return self._now_ms

    def advance_to(self, time_ms: int) -> int:
        """Move forward to a time; a time that has passed already changes nothing."""
        with self._lock:
            self._now_ms = max(self._now_ms, time_ms)
            return self._now_ms


def iso(time_ms: int) -> str:
    """AWS's form of a time in task answers: ``2021-03-12T09:56:12.047Z``."""
    return datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{time_ms % 1000:03d}Z"


def parse_iso(text: str) -> int:
    """The milliseconds of an ISO time; one without a zone is taken as UTC."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)
