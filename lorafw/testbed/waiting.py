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
        """Prepare to move ``clock``. The gateways of ``schedule`` poll when it has moved."""
        self._clock = clock
        self._schedule = schedule
        self._has_waited = False
        self._is_polling = False

    def wait(self, seconds: float) -> None:
        """Move the clock in the place of sleeping."""
        self._clock.advance(max(0.0, seconds))
        self._has_waited = True

    @contextlib.contextmanager
    def polling(self) -> Iterator[None]:
        """Tell that gateways poll during the block. Calls that return inside of it make no polls."""
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
def waiting_on_clock(clock: ManualClock, schedule: PollSchedule, seed: int) -> Iterator[ClockWait]:
    """Let botocore wait on a testbed's clock, until the end of the block.

    Args:
        clock: The clock that moves.
        schedule: The schedule of the gateways, which poll when it has moved.
        seed: Seed of the random part of the waiting times.

    Yields:
        The object that moves the clock.
    """
    clock_wait = ClockWait(clock, schedule)
    jitter = Random(seed)
    with waiting_with(clock_wait.wait, lambda: clock.monotonic_ms() / 1000, jitter, clock_wait.make_late_polls):
        yield clock_wait
