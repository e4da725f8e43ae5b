"""How often each operation of AWS may be called. AWS allows ten calls a second for each (documented)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from lorafw.fleet.io.account import RateLimiter

CALLS_PER_S: Final = 8.0
"""80 % of what AWS allows. The rest is for other users of the account."""

_SLOWER: Final = 0.5
_FASTER: Final = 1.02
_SLOWEST_PER_S: Final = 0.1


class OperationRates:
    """Limits how often each operation of AWS is called.

    If AWS throttles an operation, it is called half as often. With each success its rate grows by 2 %.

    Args:
        calls_per_s: The largest number of calls of one operation in a second.
        clock: Returns the time in seconds, on a scale that never goes back.
        sleep: Sleeps for a number of seconds.
    """

    def __init__(self, calls_per_s: float, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._calls_per_s = calls_per_s
        self._clock = clock
        self._sleep = sleep
        self._limiters: dict[str, RateLimiter] = {}
        self._rates_per_s: dict[str, float] = {}
        """The rates of the operations that are slower than ``calls_per_s``."""

    def wait(self, operation: str) -> None:
        """Sleep until an operation may be called."""
        if operation not in self._limiters:
            self._limiters[operation] = RateLimiter(self._calls_per_s, self._clock, self._sleep)
        self._limiters[operation].wait()

    def was_throttled(self, operation: str) -> None:
        """Call an operation half as often from now on."""
        self._change_rate(operation, _SLOWER)

    def succeeded(self, operation: str) -> None:
        """Call a slow operation a little more often from now on."""
        if operation in self._rates_per_s:
            self._change_rate(operation, _FASTER)

    def _change_rate(self, operation: str, factor: float) -> None:
        """Multiply the rate of an operation, within its limits."""
        rate_per_s = self._rates_per_s.pop(operation, self._calls_per_s) * factor
        rate_per_s = min(max(rate_per_s, _SLOWEST_PER_S), self._calls_per_s)
        if rate_per_s < self._calls_per_s:
            self._rates_per_s[operation] = rate_per_s
        self._limiters[operation].set_rate(rate_per_s)
