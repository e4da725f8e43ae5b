"""The planned failures and the rate limits of one testbed or server."""

from __future__ import annotations

import threading
from typing import Final

from lorafw.clock import Clock
from lorafw.failures.arguments import find_operations, read_limit
from lorafw.failures.codes import THROTTLING_CODES
from lorafw.failures.names import Failure, error_reply
from lorafw.failures.planned import ApiCall, PlannedFailure, PlannedFailures
from lorafw.failures.rate import CallThrottle

DOCUMENTED_RATE: Final = 10
"""Calls of one gateway operation of iotwireless in a second, for each account and Region (documented quota)."""

_RATE_MESSAGE: Final = "Rate exceeded"


class FailureRegistry:
    """Decides for each call whether it fails. Thread-safe.

    Args:
        clock: The clock on which rates are measured.
    """

    def __init__(self, clock: Clock) -> None:
        self._lock = threading.Lock()
        self._planned = PlannedFailures()
        self._throttle = CallThrottle(clock)

    @property
    def is_empty(self) -> bool:
        """Whether no failure is planned and no rate is limited. Then calls need not be read."""
        return self._planned.is_empty and self._throttle.is_empty

    def add(self, plan: PlannedFailure) -> None:
        """Plan a failure. Failures that were planned before come first."""
        with self._lock:
            self._planned.add(plan)

    def throttle(
        self, per_second: float | None = DOCUMENTED_RATE, *, operation: str | None = None, burst: int | None = None
    ) -> None:
        """Limit the rate of calls. Calls above the limit are answered with the throttling error of their service.

        The limit applies to each operation separately, and to each Region and access key separately.

        Args:
            per_second: Number of calls that are admitted in a second. None removes the limit.
            operation: Name of the operation. None means all operations of iotwireless.
            burst: Number of calls that are admitted at once after a pause. None means the calls of one second, rounded
                down, but at least one.

        Raises:
            LabError: The operation does not exist, or a number is out of range. The limits stay as they are.
        """
        limited_operations = find_operations(operation)
        limit = read_limit(per_second, burst)
        with self._lock:
            for limited_operation in limited_operations:
                self._throttle.set_limit(limited_operation, limit)

    def failure_of(self, call: ApiCall) -> Failure | None:
        """Decide whether a call fails. This counts the call.

        A call that is throttled uses up no planned failure.

        Args:
            call: The call that is about to be carried out.

        Returns:
            The failure, or None if the call succeeds.
        """
        with self._lock:
            if not self._throttle.admit(call):
                return error_reply(call.operation, THROTTLING_CODES[call.operation.service], _RATE_MESSAGE)
            return self._planned.take(call)

    def clear(self) -> None:
        """Remove all planned failures and rate limits."""
        with self._lock:
            self._planned.clear()
            self._throttle.clear()
