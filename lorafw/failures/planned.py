"""Which call fails, and with what. All values are frozen, and the functions are pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lorafw.failures.names import ErrorReply, Operation, TransportFailure

Members = Mapping[str, Any]
"""Members of a call's parameters, by name."""


@dataclass(frozen=True, slots=True)
class ApiCall:
    """A call of an operation, as it was read from a request."""

    operation: Operation
    region: str
    """The Region in the request's signature."""
    caller: str
    """The access key in the request's signature. Callers with different keys may be in different accounts."""
    members: Members = field(default_factory=dict)
    """The parameters. Numbers and booleans may be text, as the protocol has them on the wire."""


@dataclass(frozen=True, slots=True)
class PlannedFailure:
    """The failure of some future calls of one operation."""

    operation: Operation
    failure: ErrorReply | TransportFailure
    times: int = 1
    """The number of calls that fail. botocore's retries are calls too."""
    after: int = 0
    """The number of calls that succeed before the first one fails."""
    where: Members = field(default_factory=dict)
    """Members that a call must have. Calls without them neither fail nor count."""

    def applies_to(self, call: ApiCall) -> bool:
        """Return whether the call is of this operation and has the members of ``where``."""
        return call.operation == self.operation and contains(call.members, self.where)


def next_failure(
    planned: tuple[PlannedFailure, ...], call: ApiCall
) -> tuple[tuple[PlannedFailure, ...], ErrorReply | TransportFailure | None]:
    """Decide whether a call fails.

    The first planned failure that applies to the call decides. Later ones wait until it is used up.

    Args:
        planned: The planned failures, in the order in which they were planned.
        call: The call.

    Returns:
        The failures that are still planned after this call, and the failure of the call. It is None if the call
        succeeds.
    """
    for index, plan in enumerate(planned):
        if plan.applies_to(call):
            before, later = planned[:index], planned[index + 1 :]
            if plan.after > 0:
                return (*before, replace(plan, after=plan.after - 1), *later), None
            if plan.times > 1:
                return (*before, replace(plan, times=plan.times - 1), *later), plan.failure
            return (*before, *later), plan.failure
    return planned, None


def contains(members: Members, wanted: Members) -> bool:
    """Return whether ``members`` has all that ``wanted`` has. Structures are compared member by member."""
    return all(name in members and _equals(members[name], value) for name, value in wanted.items())


def _equals(found: Any, wanted: Any) -> bool:
    """Return whether a value from the wire is the wanted one."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and contains(found, wanted)
    return _text(found) == _text(wanted)


def _text(value: Any) -> str:
    """Return a value as it is written in a URL: booleans are "true" and "false"."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
