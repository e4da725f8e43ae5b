"""Let botocore wait on another clock: its retries and waiters call a function in the place of ``time.sleep``.

The jitter of its retries comes from a given source, so that equal programs wait equally long.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from random import Random
from types import SimpleNamespace
from typing import Any

from lorafw.isolation.settings import replaced


@contextlib.contextmanager
def waiting_with(
    wait: Callable[[float], None],
    now_s: Callable[[], float],
    jitter: Random,
    call_returned: Callable[[], None],
) -> Iterator[None]:
    """Let botocore call a function whenever it would sleep before a retry, until the end of the block.

    This covers the retry modes "legacy", "standard" and "adaptive", and waiters, whenever their clients were made.

    Args:
        wait: Called with the seconds to wait.
        now_s: Returns the time in seconds, by which the mode "adaptive" measures its rate.
        jitter: Source of the random part of the waiting times.
        call_returned: Called when a call has ended, with all of its retries.

    Raises:
        LabError: The installed botocore has another shape.
    """
    from botocore import endpoint, retryhandler, waiter  # noqa: PLC0415 -- botocore takes a tenth of a second
    from botocore.retries import bucket, standard  # noqa: PLC0415

    # These stand in for the module ``time`` in modules of botocore.
    waiting_time = SimpleNamespace(**(vars(time) | {"sleep": wait}))
    measuring_time = SimpleNamespace(**(vars(time) | {"sleep": wait, "time": now_s}))
    delay_amount = _with_jitter(standard.ExponentialBackoff.delay_amount, jitter)
    make_request = _then(endpoint.Endpoint.make_request, call_returned)
    replacements = [
        (endpoint, "time", waiting_time),
        (waiter, "time", waiting_time),
        (retryhandler, "random", jitter),  # the mode "legacy"
        (standard.ExponentialBackoff, "delay_amount", delay_amount),  # the modes "standard" and "adaptive"
        (bucket, "time", measuring_time),  # the rate of the mode "adaptive"
        (bucket.TokenBucket, "_acquire", _acquire_by_waiting(wait)),
        (endpoint.Endpoint, "make_request", make_request),
    ]
    with contextlib.ExitStack() as stack:
        for owner, name, value in replacements:
            stack.enter_context(replaced(owner, name, value))
        yield


def _with_jitter(delay_amount: Callable[..., float], jitter: Random) -> Callable[..., float]:
    """Return an ``ExponentialBackoff.delay_amount`` whose random numbers come from ``jitter``."""

    def delay(self: Any, context: Any) -> float:
        self._random = jitter.random
        return delay_amount(self, context)

    return delay


def _acquire_by_waiting(wait: Callable[[float], None]) -> Callable[..., bool]:
    """Return a ``TokenBucket._acquire`` that calls ``wait`` until a token is there."""
    from botocore.exceptions import CapacityNotAvailableError  # noqa: PLC0415

    def acquire(self: Any, amount: float, block: bool) -> bool:
        self._refill()
        while amount > self._current_capacity:
            if not block:
                raise CapacityNotAvailableError
            wait(self._sleep_amount(amount))
            self._refill()
        self._current_capacity -= amount
        return True

    return acquire


def _then(make_request: Callable[..., Any], call_returned: Callable[[], None]) -> Callable[..., Any]:
    """Return an ``Endpoint.make_request`` that calls ``call_returned`` when it has ended."""

    def make(self: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return make_request(self, *arguments, **options)
        finally:
            call_returned()

    return make
