"""Clocks. All of lorafw reads the time through one of these classes, so that tests can set it.

Time stamps are whole milliseconds since 1970-01-01 UTC, the resolution of AWS's TaskCreatedAt. Durations are measured
on a separate monotonic scale, because the machine's clock may be set while lorafw runs.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol


def real_monotonic_s() -> float:
    """Return the machine's monotonic time in seconds, even if a test has replaced ``time.monotonic``.

    On Windows, which has no ``clock_gettime``, return ``time.monotonic()``.
    """
    if hasattr(time, "clock_gettime"):
        return time.clock_gettime(time.CLOCK_MONOTONIC)
    return time.monotonic()


class Clock(Protocol):
    """A source of time stamps and durations."""

    def now_ms(self) -> int:
        """Return milliseconds since 1970-01-01 UTC, for time stamps. They may step forward or back."""
        ...

    def monotonic_ms(self) -> int:
        """Return milliseconds since an arbitrary moment, for durations. They never go back."""
        ...


@dataclass(frozen=True, slots=True)
class Moment:
    """One reading of a clock."""

    utc_ms: int
    """Milliseconds since 1970-01-01 UTC, for time stamps. A user can set the clock of a machine back."""
    monotonic_ms: int
    """Milliseconds since some moment in the past, for durations. This number never becomes smaller."""

    @classmethod
    def of(cls, clock: Clock) -> Moment:
        """Read ``clock`` now."""
        return cls(clock.now_ms(), clock.monotonic_ms())

    def at(self, monotonic_ms: int) -> Moment:
        """Return the moment at ``monotonic_ms``, as if nobody sets the clock between this moment and that one."""
        elapsed_ms = monotonic_ms - self.monotonic_ms
        return Moment(self.utc_ms + elapsed_ms, monotonic_ms)


class SystemClock:
    """The machine's own clocks. On Linux the monotonic clock stops while the machine sleeps."""

    def now_ms(self) -> int:
        """Return the machine's time in milliseconds since 1970-01-01 UTC."""
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        """Return the machine's monotonic time in milliseconds."""
        return time.monotonic_ns() // 1_000_000


class ManualClock:
    """A clock that moves only when ``advance`` or ``advance_to`` is called. Thread-safe."""

    def __init__(self, start: str = "2021-03-12T09:56:12.047Z") -> None:
        """Start the clock at an ISO 8601 time. The default is the time in AWS's documented example."""
        self._now_ms = parse_iso(start)
        self._lock = threading.Lock()

    def now_ms(self) -> int:
        """Return the time of this clock in milliseconds since 1970-01-01 UTC."""
        return self._now_ms

    def monotonic_ms(self) -> int:
        """Return the same as ``now_ms``, because this clock never goes back."""
        return self._now_ms

    def advance(self, seconds: float) -> int:
        """Move the clock forward and return the new time in milliseconds.

        Raises:
            ValueError: ``seconds`` is negative.
        """
        if not seconds >= 0:
            raise ValueError(f"a clock moves forward only: advance({seconds!r})")
        with self._lock:
            self._now_ms += round(seconds * 1000)
            return self._now_ms

    def advance_to(self, time_ms: int) -> int:
        """Move the clock to ``time_ms`` and return the new time. Do nothing if that time has passed already."""
        with self._lock:
            self._now_ms = max(self._now_ms, time_ms)
            return self._now_ms


HandClock = ManualClock
"""The earlier name of ``ManualClock``."""


def format_iso(time_ms: int) -> str:
    """Return a time in the format of AWS's task responses, such as ``2021-03-12T09:56:12.047Z``."""
    return datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{time_ms % 1000:03d}Z"


def parse_iso(text: str) -> int:
    """Return an ISO 8601 time as milliseconds since 1970-01-01 UTC. A time without a zone is taken as UTC."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)
