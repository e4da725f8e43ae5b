"""Which call fails, and with what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lorafw.failures.names import Failure, Operation

Members = Mapping[str, Any]
"""Members of a call's parameters, by name."""


@dataclass(frozen=True, slots=True)
class ApiCall:
    """A call of an operation, as it was read from a request."""

    operation: Operation
    """The operation that is called."""
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
    """The operation whose calls fail."""
    failure: Failure
    """How they fail."""
    times: int = 1
    """The number of calls that fail. botocore's retries are calls too."""
    after: int = 0
    """The number of calls that succeed before the first one fails."""
    where: Members = field(default_factory=dict)
    """Members that a call must have. Calls without them neither fail nor count."""

    def applies_to(self, call: ApiCall) -> bool:
        """Return True if the call is of this operation and has the members of ``where``."""
        return call.operation == self.operation and contains(call.members, self.where)

    @property
    def is_due(self) -> bool:
        """Whether the next call fails."""
        return self.after == 0

    def after_call(self) -> PlannedFailure | None:
        """Return what is still planned after one more call. None if nothing is."""
        if self.after > 0:
            return replace(self, after=self.after - 1)
        if self.times > 1:
            return replace(self, times=self.times - 1)
        return None


class PlannedFailures:
    """The failures that are still to come, in the order in which they were planned.

    Not thread-safe: callers must hold a lock.
    """

    def __init__(self) -> None:
        self._plans: list[PlannedFailure] = []

    @property
    def is_empty(self) -> bool:
        """Whether no failure is planned."""
        return not self._plans

    def add(self, plan: PlannedFailure) -> None:
        """Plan a failure. It waits until the ones before it that apply to the same calls are used up."""
        self._plans.append(plan)

    def take(self, call: ApiCall) -> Failure | None:
        """Count a call. Returns how it fails, or None if it succeeds. The first plan that applies to it decides."""
        for index, plan in enumerate(self._plans):
            if plan.applies_to(call):
                self._replace(index, plan.after_call())
                return plan.failure if plan.is_due else None
        return None

    def _replace(self, index: int, remaining: PlannedFailure | None) -> None:
        """Replace a plan with what remains of it. Remove the plan if nothing remains."""
        if remaining is None:
            del self._plans[index]
        else:
            self._plans[index] = remaining

    def clear(self) -> None:
        """Remove all planned failures."""
        self._plans.clear()


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
