"""Checks the arguments with which a test plans failures and limits rates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lorafw.errors import LabError
from lorafw.failures.names import (
    TRANSPORT_FAILURES,
    Failure,
    Operation,
    error_reply,
    find_operation,
    operation_model,
    operation_names,
    service_model,
)
from lorafw.failures.planned import Members, PlannedFailure
from lorafw.failures.rate import RateLimit


def plan_failure(
    operation: str,
    code: str,
    *,
    times: int = 1,
    after: int = 0,
    where: Members | None = None,
    message: str | None = None,
) -> PlannedFailure:
    """Return the failure of the next calls of an operation.

    Args:
        operation: Name of the operation, such as "PutObject" or "iam:CreatePolicy".
        code: Code of an error of AWS that the operation can return, as its protocol spells it, or a failure of the
            connection: "timeout-before-effect", "timeout-after-effect", "reset-before-effect" or "reset-after-effect".
        times: Number of calls that fail. Retries of boto3 are calls too.
        after: Number of calls that succeed before the first one fails.
        where: Members that a call must have, such as ``{"Id": "..."}``. None means all calls of the operation.
        message: Text of the error. None for a default text.

    Returns:
        The failure. Add it to a ``FailureRegistry``.

    Raises:
        LabError: The operation, the code or a member does not exist, or a number is out of range.
    """
    found = find_operation(operation)
    failure = read_failure(found, code, message)
    check_count("times", times, 1)
    check_count("after", after, 0)
    if where is not None:
        check_members(found, where)
    return PlannedFailure(found, failure, times=times, after=after, where=dict(where or {}))


def find_operations(name: str | None) -> list[Operation]:
    """Return the operation with a name, or all operations of iotwireless if the name is None.

    Raises:
        LabError: There is no such operation, or several services have one.
    """
    if name is not None:
        return [find_operation(name)]
    return [Operation("iotwireless", operation_name) for operation_name in operation_names("iotwireless")]


def read_failure(operation: Operation, code: str, message: str | None) -> Failure:
    """Return the failure that a code names.

    Args:
        operation: The operation that fails.
        code: Code of an error of AWS, or the name of a failure of the connection.
        message: Text of the error. None for a default text.

    Raises:
        LabError: The operation cannot fail in this way.
    """
    for transport_failure in TRANSPORT_FAILURES:
        if code == transport_failure:
            return transport_failure
    return error_reply(operation, code, message)


def read_limit(per_second: float | None, burst: int | None) -> RateLimit | None:
    """Return a rate limit.

    Args:
        per_second: Number of calls that are admitted in a second. None for no limit.
        burst: Number of calls that are admitted at once. None for the calls of one second, rounded down, but at least
            one.

    Returns:
        The limit. None if ``per_second`` is None.

    Raises:
        LabError: A number is out of range.
    """
    if per_second is None:
        return None
    is_number = isinstance(per_second, int | float) and not isinstance(per_second, bool)
    if not is_number or not 0 < per_second < math.inf:
        raise LabError(
            f"per_second: {per_second!r} is not a rate; give a number of calls above 0, or None for no limit"
        )
    if burst is None:
        burst = max(1, math.floor(per_second))
    check_count("burst", burst, 1)
    return RateLimit(per_second, burst)


def check_count(field: str, value: object, minimum: int) -> None:
    """Check a number of calls.

    Args:
        field: Name of the argument, for the error.
        value: The value of the argument.
        minimum: The lowest number that is allowed.

    Raises:
        LabError: The value is not a whole number, or is lower than ``minimum``.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise LabError(f"{field}: {value!r} is not a number of calls; give a whole number, {minimum} or more")


def check_members(operation: Operation, where: object) -> None:
    """Check the members that a call must have to fail.

    Args:
        operation: The operation.
        where: The members, by name.

    Raises:
        LabError: ``where`` is not a mapping, or names something that the operation's input does not have or that cannot
            be compared.
    """
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
        elif not _is_comparable(member, value):
            raise LabError(
                f"where: {name!r} of {path} cannot be compared with {value!r}; give a text, a number or a bool"
            )


def _is_comparable(member: Any, value: object) -> bool:
    """Return True if a member is a text, a number or a boolean, and so is the value to compare it with."""
    is_simple_member = member.type_name not in ("structure", "list", "map", "blob")
    return is_simple_member and isinstance(value, str | int | float)
