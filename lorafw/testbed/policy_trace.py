"""A policy that notes which of its decisions are read. A decision that nothing reads cannot change what happens."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final

from lorafw.tasks.policy import Policy

_DECISIONS: Final = frozenset(field.name for field in fields(Policy))


class TracedPolicy(Policy):
    """A policy with a set to which it adds the name of each decision that is read."""

    @classmethod
    def of(cls, policy: Policy, read: set[str]) -> TracedPolicy:
        """Return a traced copy of a policy. From now on, it adds names to ``read``."""
        traced = cls(**{name: getattr(policy, name) for name in _DECISIONS})
        object.__setattr__(traced, "_read", read)
        return traced

    def __getattribute__(self, name: str) -> Any:
        if name in _DECISIONS:
            # While the copy is made, its values are checked, and there is no set yet.
            read: set[str] | None = object.__getattribute__(self, "__dict__").get("_read")
            if read is not None:
                read.add(name)
        return object.__getattribute__(self, name)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Policy):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in _DECISIONS)

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, name) for name in sorted(_DECISIONS)))
