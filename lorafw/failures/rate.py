"""Throttling with token buckets: a burst of calls is admitted at once, and after that a number of calls each second.

A bucket holds tokens. Each call takes one, and a call that finds none is throttled. Tokens come back at a steady rate,
until the bucket is full again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from lorafw.clock import Clock
from lorafw.failures.names import Operation
from lorafw.failures.planned import ApiCall


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How many calls of an operation are admitted."""

    per_second: float
    """The number of calls in a second. AWS documents 10 for each gateway operation (``request_rate`` in the policy)."""
    burst: int
    """The number of calls that are admitted at once after a pause (assumed: ``request_burst`` in the policy)."""


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """The calls that are still admitted at a moment. Its methods return changed copies."""

    tokens: float
    """The number of calls. A fraction is a token that is not there yet."""
    time_ms: int
    """The moment, on the monotonic scale of a clock."""

    @property
    def has_token(self) -> bool:
        """Whether a call is admitted at this moment."""
        return self.tokens >= 1

    def refill(self, limit: RateLimit, now_ms: int) -> TokenBucket:
        """Return the bucket at a later moment, with the tokens that have come back since.

        Args:
            limit: The rate at which tokens come back, and the number of tokens in a full bucket.
            now_ms: The later moment, on the same scale as ``time_ms``.
        """
        elapsed_s = max(0, now_ms - self.time_ms) / 1000
        tokens = min(limit.burst, self.tokens + elapsed_s * limit.per_second)
        return TokenBucket(tokens, now_ms)

    def take_token(self) -> TokenBucket:
        """Return the bucket with one token less."""
        return TokenBucket(self.tokens - 1, self.time_ms)


class _BucketKey(NamedTuple):
    """What the calls have in common that share a token bucket."""

    operation: Operation
    region: str
    caller: str


class CallThrottle:
    """Limits the rates of operations. Not thread-safe: callers must hold a lock.

    Each access key has a bucket of its own for each operation and Region.

    Args:
        clock: The clock on which rates are measured.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._limits: dict[Operation, RateLimit] = {}
        self._buckets: dict[_BucketKey, TokenBucket] = {}

    @property
    def is_empty(self) -> bool:
        """Whether no operation is limited."""
        return not self._limits

    def set_limit(self, operation: Operation, limit: RateLimit | None) -> None:
        """Limit an operation, with full buckets. None removes its limit."""
        self._buckets = {key: bucket for key, bucket in self._buckets.items() if key.operation != operation}
        if limit is None:
            self._limits.pop(operation, None)
        else:
            self._limits[operation] = limit

    def admit(self, call: ApiCall) -> bool:
        """Count a call. Returns True if the call is admitted, False if it is throttled."""
        limit = self._limits.get(call.operation)
        if limit is None:
            return True
        now_ms = self._clock.monotonic_ms()
        key = _BucketKey(call.operation, call.region, call.caller)
        full_bucket = TokenBucket(limit.burst, now_ms)
        bucket = self._buckets.get(key, full_bucket).refill(limit, now_ms)
        is_admitted = bucket.has_token
        if is_admitted:
            bucket = bucket.take_token()
        self._buckets[key] = bucket
        return is_admitted

    def clear(self) -> None:
        """Remove all limits."""
        self._limits.clear()
        self._buckets.clear()
