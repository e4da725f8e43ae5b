"""Throttling as a token bucket: a burst of calls is admitted at once, and after that a number of calls each second."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How many calls of an operation are admitted."""

    per_second: float
    """The number of calls in a second. AWS documents 10 for each gateway operation (``request_rate`` in the policy)."""
    burst: int
    """The number of calls that are admitted at once after a pause (assumed: ``request_burst`` in the policy)."""


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """The calls that are still admitted at a moment."""

    tokens: float
    """The number of calls."""
    time_ms: int
    """The moment, on the monotonic scale of a clock."""

    @classmethod
    def full(cls, limit: RateLimit, now_ms: int) -> TokenBucket:
        """Return the bucket of an operation that was not called yet."""
        return cls(limit.burst, now_ms)

    def take(self, limit: RateLimit, now_ms: int) -> tuple[TokenBucket, bool]:
        """Admit a call, or throttle it.

        Args:
            limit: The limit of the operation.
            now_ms: When the call is made, on the same scale as ``time_ms``.

        Returns:
            The bucket after the call, and whether the call is admitted. A throttled call takes no token.
        """
        earned = max(0, now_ms - self.time_ms) / 1000 * limit.per_second
        tokens = min(limit.burst, self.tokens + earned)
        is_admitted = tokens >= 1
        left = tokens - 1 if is_admitted else tokens
        return TokenBucket(left, now_ms), is_admitted
