"""Time as an argument: nothing in lorafw reads the clock of the machine except through one of these.

Times are whole milliseconds since 1970-01-01 UTC, the resolution of AWS's TaskCreatedAt. They are for time stamps.
Durations are measured on a second scale that never steps: somebody may set the clock of the machine.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
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
        """Milliseconds since 1970-01-01 UTC, for time stamps. They can step, forward and back."""
        ...

    def monotonic_ms(self) -> int:
        """Milliseconds since an arbitrary moment, for durations. They never go back."""
        ...


@dataclass(frozen=True, slots=True)
class Moment:
    """One reading of a clock.

    Attributes:
        utc_ms: Milliseconds since 1970-01-01 UTC, for time stamps.
        monotonic_ms: The same moment on the scale for durations.
    """

    utc_ms: int
    monotonic_ms: int

    @classmethod
    def of(cls, clock: Clock) -> Moment:
        """Read ``clock`` now."""
        return cls(clock.now_ms(), clock.monotonic_ms())

    def at(self, monotonic_ms: int) -> Moment:
        """Return the moment at ``monotonic_ms``, with the time stamp that the clock of this moment gives it."""
        return Moment(self.utc_ms + monotonic_ms - self.monotonic_ms, monotonic_ms)


class SystemClock:
    """The machine's own clocks. The monotonic one stands still while the machine sleeps, as Linux has it."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000


class ManualClock:
    """A clock that moves only when it is told to."""

    def __init__(self, start: str = "2021-03-12T09:56:12.047Z") -> None:
        """Start at an ISO time; the default is the moment of the documented example."""
        self._now_ms = parse_iso(start)
        self._lock = threading.Lock()

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic_ms(self) -> int:
        """The same as ``now_ms``: this clock never steps back."""
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


def format_iso(time_ms: int) -> str:
    """AWS's form of a time in task answers: ``2021-03-12T09:56:12.047Z``."""
    return datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{time_ms % 1000:03d}Z"


def parse_iso(text: str) -> int:
    """The milliseconds of an ISO time; one without a zone is taken as UTC."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)
