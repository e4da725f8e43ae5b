"""The condition keys of a request and their values, for the evaluation of IAM policies.

A key is in one of four states. It has *values*. It is certainly *absent*. It is *present* with a value that cannot be
known here, such as the address that AWS calls from. Or it cannot be evaluated, because nothing is known about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

SHOWN_CHARS: Final = 60
"""The number of characters of a value that a message shows."""


class CannotEvaluate(Exception):
    """A part of a policy cannot be evaluated here. The message says which. The evaluation catches this error."""


def shorten(value: object) -> str:
    """Return a value in quotes for a message, truncated after SHOWN_CHARS characters."""
    text = str(value)
    if len(text) > SHOWN_CHARS:
        text = f"{text[:SHOWN_CHARS]}..."
    return repr(text)


@dataclass(frozen=True, slots=True)
class KeyState:
    """What is known about one condition key."""

    values: tuple[str, ...] = ()
    """The values. Empty if the key is absent or its value is not known."""
    is_present: bool = True


ABSENT = KeyState(is_present=False)
"""The request certainly does not have the key."""
PRESENT_WITH_UNKNOWN_VALUE = KeyState()
"""The request has the key, with a value that cannot be known here."""


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The condition keys of one request.

    A name that ends in ``:`` or ``/`` stands for all keys that begin with it.
    """

    values: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    """Keys as AWS writes them, each with its value or its values."""
    absent: frozenset[str] = frozenset()
    """Names of keys that the request certainly does not have."""
    with_unknown_value: frozenset[str] = frozenset()
    """Names of keys that the request certainly has, with values that are not known."""
    undecided: frozenset[str] = frozenset()
    """Names of keys of which nothing is known. They are exceptions from ``absent``."""

    def look_up(self, key: str) -> KeyState:
        """Return what is known about a key. Names of keys are compared without case.

        Args:
            key: The name of the condition key.

        Raises:
            CannotEvaluate: Nothing is known about this key.
        """
        wanted = key.lower()
        for name, value in self.values.items():
            if name.lower() == wanted:
                values = (value,) if isinstance(value, str) else value
                return KeyState(values)
        if _is_named(wanted, self.with_unknown_value):
            return PRESENT_WITH_UNKNOWN_VALUE
        if _is_named(wanted, self.absent) and not _is_named(wanted, self.undecided):
            return ABSENT
        raise CannotEvaluate(f"the value of condition key {key!r} is not known here")


def _is_named(key: str, names: frozenset[str]) -> bool:
    """Return whether a key in lower case is one of the names, or begins as one that ends in ``:`` or ``/``."""
    for name in names:
        lower = name.lower()
        if key == lower or (lower.endswith((":", "/")) and key.startswith(lower)):
            return True
    return False
