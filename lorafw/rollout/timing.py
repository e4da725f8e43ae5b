"""The clock of ``apply``: what time it is, and how to wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol

from lorafw.errors import RolloutError

_LONGEST_NAP_S: Final = 0.5
"""A person who pauses a rollout waits this long at most."""


class RolloutClock(Protocol):
    """What ``apply`` needs of a clock."""

    def now_ms(self) -> int:
        """Return the time in milliseconds since 1970 UTC."""
        ...

    def monotonic_s(self) -> float:
        """Return the time in seconds on a scale that never goes back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Sleep."""
        ...

    def wait_until(self, time_ms: int | None, is_interrupted: Callable[[], bool]) -> None:
        """Wait until a time, or for ever if it is None, but no longer than until ``is_interrupted`` returns True."""
        ...


class RealTime:
    """The machine's clock."""

    def now_ms(self) -> int:
        """Return the machine's time in milliseconds since 1970 UTC."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Return the machine's monotonic time in seconds."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(seconds)

    def wait_until(self, time_ms: int | None, is_interrupted: Callable[[], bool]) -> None:
        """Sleep in short naps until a time, or until ``is_interrupted`` returns True.

        If somebody sets the clock back meanwhile, the method returns when as many seconds have passed as it was to
        wait at first.
        """
        end_s = None
        if time_ms is not None:
            end_s = self.monotonic_s() + (time_ms - self.now_ms()) / 1000
        while not is_interrupted():
            nap_s = _LONGEST_NAP_S
            if time_ms is not None and end_s is not None:
                nap_s = min(nap_s, (time_ms - self.now_ms()) / 1000, end_s - self.monotonic_s())
            if nap_s <= 0:
                return
            self.sleep(nap_s)


class SimulatedTime:
    """The clock of a testbed: to wait is to move it.

    Args:
        now_ms: Returns the time of the testbed's clock, such as ``bed.clock.now_ms``.
        advance: Moves it by a number of seconds, such as ``bed.advance``. Gateways poll on the way.
    """

    def __init__(self, now_ms: Callable[[], int], advance: Callable[[float], object]) -> None:
        self._now_ms = now_ms
        self._advance = advance

    def now_ms(self) -> int:
        """Return the time of the testbed's clock in milliseconds since 1970 UTC."""
        return self._now_ms()

    def monotonic_s(self) -> float:
        """Return the same time in seconds."""
        return self._now_ms() / 1000

    def sleep(self, seconds: float) -> None:
        """Move the clock."""
        self._advance(seconds)

    def wait_until(self, time_ms: int | None, is_interrupted: Callable[[], bool]) -> None:
        """Move the clock to a time.

        Raises:
            RolloutError: The time is None, so the rollout would wait for a person for ever.
        """
        if is_interrupted():
            return
        if time_ms is None:
            raise RolloutError("the rollout waits for a person, and no clock ends that; call apply with Until.HOLD")
        self._advance(max(0, time_ms - self._now_ms()) / 1000)
