"""The planned failures and the rate limits of one testbed or server."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from typing import Any, Final

from lorafw.clock import Clock
from lorafw.errors import LabError
from lorafw.failures.codes import THROTTLING_CODES
from lorafw.failures.names import (
    TRANSPORT_FAILURES,
    ErrorReply,
    Operation,
    TransportFailure,
    error_reply,
    find_operation,
    operation_model,
    service_model,
)
from lorafw.failures.planned import ApiCall, Members, PlannedFailure, next_failure
from lorafw.failures.rate import RateLimit, TokenBucket

DOCUMENTED_RATE: Final = 10
"""Calls of one gateway operation of iotwireless in a second, for each account and Region (documented quota)."""

_RATE_MESSAGE: Final = "Rate exceeded"

_BucketKey = tuple[Operation, str, str]
"""Operation, Region and access key of a call. Calls with the same key share a token bucket."""


class FailureRegistry:
    """Decides for each call whether it fails. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        """Create a registry without failures. Rates are measured on ``clock``."""
        self._clock = clock
        self._lock = threading.Lock()
        self._planned: tuple[PlannedFailure, ...] = ()
        """The failures that are still to come, oldest first."""
        self._limits: dict[Operation, RateLimit] = {}
        """The rate limit of each limited operation."""
        self._buckets: dict[_BucketKey, TokenBucket] = {}
        """The calls that are still admitted. Each access key has a bucket of its own for each operation and Region."""

    def fail_next(
        self,
        operation: str,
        code: str,
        *,
        times: int = 1,
        after: int = 0,
        where: Members | None = None,
        message: str | None = None,
    ) -> None:
        """Plan the failure of the next calls of an operation.

        Args:
            operation: Name of the operation, such as "PutObject" or "iam:CreatePolicy".
            code: Code of an error of AWS that the operation can return, as its protocol spells it, or a failure of
                the connection: "timeout-before-effect", "timeout-after-effect", "reset-before-effect" or
                "reset-after-effect".
            times: Number of calls that fail. Retries of boto3 are calls too.
            after: Number of calls that succeed before the first one fails.
            where: Members that a call must have, such as ``{"Id": "..."}``. None means all calls of the operation.
            message: Text of the error, or None for a default text.

        Raises:
            LabError: The operation, the code or a member does not exist, or a number is out of range. Nothing is
                planned.
        """
        found = find_operation(operation)
        failure = _read_failure(found, code, message)
        _check_count("times", times, 1)
        _check_count("after", after, 0)
        if where is not None:
            _check_members(found, where)
        plan = PlannedFailure(found, failure, times=times, after=after, where=dict(where or {}))
        with self._lock:
            self._planned = (*self._planned, plan)

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
        limited_operations = _find_operations(operation)
        limit = _read_limit(per_second, burst)
        with self._lock:
            for limited_operation in limited_operations:
                self._set_limit(limited_operation, limit)

    def _set_limit(self, operation: Operation, limit: RateLimit | None) -> None:
        """Replace the limit of an operation, and start counting its calls anew. Call this with the lock held."""
        if limit is None:
            self._limits.pop(operation, None)
        else:
            self._limits[operation] = limit
        for bucket_key in list(self._buckets):
            counted_operation, _, _ = bucket_key
            if counted_operation == operation:
                del self._buckets[bucket_key]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is planned and nothing limited, so that no call needs to be read."""
        return not self._planned and not self._limits

    def clear(self) -> None:
        """Remove all planned failures and rate limits."""
        with self._lock:
            self._planned = ()
            self._limits = {}
            self._buckets = {}

    def failure_of(self, call: ApiCall) -> ErrorReply | TransportFailure | None:
        """Decide whether a call fails. This counts the call.

        A call that is throttled uses up no planned failure.

        Args:
            call: The call that is about to be carried out.

        Returns:
            The failure, or None if the call succeeds.
        """
        with self._lock:
            if not self._take_token(call):
                return error_reply(call.operation, THROTTLING_CODES[call.operation.service], _RATE_MESSAGE)
            self._planned, failure = next_failure(self._planned, call)
            return failure

    def _take_token(self, call: ApiCall) -> bool:
        """Take a token for the call. Returns False if there was none. Call this with the lock held."""
        limit = self._limits.get(call.operation)
        if limit is None:
            return True
        now_ms = self._clock.monotonic_ms()
        key = (call.operation, call.region, call.caller)
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = TokenBucket.full(limit, now_ms)
        remaining, was_taken = bucket.take(limit, now_ms)
        self._buckets[key] = remaining
        return was_taken


def _find_operations(name: str | None) -> list[Operation]:
    """Return the operation with a name, or all operations of iotwireless if the name is None."""
    if name is not None:
        return [find_operation(name)]
    return [Operation("iotwireless", operation_name) for operation_name in service_model("iotwireless").operation_names]


def _read_failure(operation: Operation, code: str, message: str | None) -> ErrorReply | TransportFailure:
    """Return the failure that a code names. Raises LabError if the operation cannot fail in this way."""
    for transport_failure in TRANSPORT_FAILURES:
        if code == transport_failure:
            return transport_failure
    return error_reply(operation, code, message)


def _read_limit(per_second: float | None, burst: int | None) -> RateLimit | None:
    """Return the limit. None if ``per_second`` is None. Raises LabError if a number is out of range."""
    if per_second is None:
        return None
    is_number = isinstance(per_second, int | float) and not isinstance(per_second, bool)
    if not is_number or not 0 < per_second < math.inf:
        raise LabError(
            f"per_second: {per_second!r} is not a rate; give a number of calls above 0, or None for no limit"
        )
    if burst is None:
        burst = max(1, math.floor(per_second))
    _check_count("burst", burst, 1)
    return RateLimit(per_second, burst)


def _check_count(field: str, value: object, minimum: int) -> None:
    """Raise LabError unless ``value`` is a whole number, at least ``minimum``."""
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise LabError(f"{field}: {value!r} is not a number of calls; give a whole number, {minimum} or more")


def _check_members(operation: Operation, where: object) -> None:
    """Raise LabError unless all names in ``where`` are members of the operation's input that can be compared."""
    if not isinstance(where, Mapping):
        raise LabError(f"where: {where!r} is not a mapping; give members of {operation.name}, such as {{'Id': '...'}}")
    model = operation_model(operation)
    nests = service_model(operation.service).metadata["protocol"] == "rest-json"
    _check_structure(model.input_shape, where, operation.name, nests=nests)


def _check_structure(shape: Any, wanted: Mapping[str, Any], path: str, *, nests: bool) -> None:
    """Check the members of one structure.

    Args:
        shape: The structure in the service model. None if the operation has no input.
        wanted: The members that a call must have.
        path: What the structure is called in an error.
        nests: Whether structures inside of it can be compared. They can in JSON.

    Raises:
        LabError: A member does not exist, or cannot be compared with its value.
    """
    members = {} if shape is None else shape.members
    for name, value in wanted.items():
        if name not in members:
            known = ", ".join(members) or "it has none"
            raise LabError(f"where: {name!r} is not a member of {path}; give one of its members: {known}")
        member = members[name]
        if member.type_name == "structure" and nests and isinstance(value, Mapping):
            _check_structure(member, value, f"{path}.{name}", nests=nests)
        elif member.type_name in ("structure", "list", "map", "blob") or not isinstance(value, str | int | float):
            raise LabError(
                f"where: {name!r} of {path} cannot be compared with {value!r}; give a text, a number or a bool"
            )
