"""Waiting on the testbed's clock: retries of botocore move it, and polls that fall due are made after the call.

The polls are not made while a call waits, because the call is only half done then. A gateway that should have polled
several times in between polls as many times, all of them at the time to which the call has moved the clock.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from random import Random

from lorafw.clock import ManualClock
from lorafw.isolation.backoff import waiting_with
from lorafw.testbed.gateways import PollSchedule, run_late


class ClockWait:
    """Moves the clock while a call waits, and makes the polls that fell due when the call has returned."""

    def __init__(self, clock: ManualClock, schedule: PollSchedule) -> None:
        """Prepare to move a clock.

        Args:
            clock: The clock of the testbed.
            schedule: The gateways that poll when the clock has moved.
        """
        self._clock = clock
        self._schedule = schedule
        self._has_waited = False
        """Whether the clock was moved since the last call of ``make_late_polls``."""
        self._is_polling = False
        """Whether gateways are polling now. Their calls of AWS must not start further polls."""

    def wait(self, seconds: float) -> None:
        """Move the clock instead of sleeping."""
        self._clock.advance(max(0.0, seconds))
        self._has_waited = True

    @contextlib.contextmanager
    def polling(self) -> Iterator[None]:
        """Note that gateways poll during the block. ``make_late_polls`` does nothing until its end."""
        was_polling, self._is_polling = self._is_polling, True
        try:
            yield
        finally:
            self._is_polling = was_polling

    def make_late_polls(self) -> None:
        """Make the polls that fell due while a call waited. Does nothing if no call has waited."""
        if not self._has_waited or self._is_polling:
            return
        self._has_waited = False
        with self.polling():
            run_late(self._schedule, self._clock)


@contextlib.contextmanager
def waiting_on_clock(clock_wait: ClockWait, clock: ManualClock, seed: int) -> Iterator[None]:
    """Let botocore wait on a testbed's clock instead of sleeping, until the end of the block.

    Args:
        clock_wait: Moves the clock.
        clock: The clock that ``clock_wait`` moves.
        seed: Seed of the random part of the waiting times.
    """

    def now_s() -> float:
        return clock.monotonic_ms() / 1000

    with waiting_with(clock_wait.wait, now_s, Random(seed), clock_wait.make_late_polls):
        yield
