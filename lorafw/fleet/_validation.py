"""Checks of values that the modules of this package share. Each raises FleetError with field, value and remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final, TypeGuard

from lorafw.errors import FleetError

LARGEST_FLEET: Final = 1_000_000_000
"""The largest number of gateways in a fleet. A larger one is a typing error, and would not fit into memory."""

_MAX_SHOWN_CHARS: Final = 60
"""Characters of a value that an error message shows."""

_MAX_COMPARED_CHARS: Final = 100
"""Characters of an unknown name that are compared with the known ones."""

_SEED_LIMIT: Final = 2**63
_MAX_NUMBER: Final = 1e12


def shown(value: object) -> str:
    """Return the repr of a value as an error message shows it, cut to a few characters."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to print an integer of thousands of digits.
        return "a number of thousands of digits"
    if len(text) <= _MAX_SHOWN_CHARS:
        return text
    return f"{text[:_MAX_SHOWN_CHARS]}..."


def check_gateways(count: object) -> int:
    """Return the number of gateways of a fleet.

    Args:
        count: The number.

    Raises:
        FleetError: It is not a whole number from 1 to LARGEST_FLEET.
    """
    if not _is_integer(count) or not 1 <= count <= LARGEST_FLEET:
        raise FleetError(
            "gateways",
            count,
            f"{shown(count)}: a fleet needs a whole number of gateways, at least one and at most {LARGEST_FLEET:,}",
        )
    return count


def check_seed(seed: object) -> int:
    """Return a seed.

    Args:
        seed: The seed.

    Raises:
        FleetError: It is not a whole number from 0 to 2**63 - 1.
    """
    if not _is_integer(seed) or not 0 <= seed < _SEED_LIMIT:
        raise FleetError("seed", seed, f"seed {shown(seed)} is not a whole number from 0 to 2**63 - 1")
    return seed


def check_share(name: str, value: float, *, below_one: bool = False) -> float:
    """Return a share or probability.

    Args:
        name: The name of the value, for the error.
        value: The value.
        below_one: If True, the share must be less than 1.

    Raises:
        FleetError: It is not a number from 0 to 1.
    """
    is_one = below_one and value == 1
    if not _is_number(value) or not 0 <= value <= 1 or is_one:
        limit = "from 0 to less than 1" if below_one else "from 0 to 1"
        raise FleetError(name, value, f"{name} {shown(value)} is not a share {limit}")
    return value


def check_number(name: str, value: float, *, positive: bool = False, most: float = _MAX_NUMBER) -> float:
    """Return a duration, rate or size.

    Args:
        name: The name of the value, for the error.
        value: The value.
        positive: If True, the value must not be 0.
        most: The largest value that is allowed.

    Raises:
        FleetError: It is not a number from 0 to ``most``.
    """
    is_zero = positive and value == 0
    if not _is_number(value) or not 0 <= value <= most or is_zero:
        wanted = "more than 0" if positive else "0 or more"
        raise FleetError(name, value, f"{name} {shown(value)} is not a number, {wanted} (and at most {most:g})")
    return value


def require_known_name(field: str, name: object, known: Iterable[str]) -> str:
    """Return a name if it is known.

    Args:
        field: What the name stands for, for the error.
        name: The name.
        known: The known names.

    Raises:
        FleetError: The name is missing, no text, or not known. The message suggests the most similar known name.
    """
    known_names = list(known)
    if isinstance(name, str) and name in known_names:
        return name
    listing = ", ".join(known_names)
    if name is None:
        raise FleetError(field, None, f"{field} is missing; known: {listing}")
    if not isinstance(name, str):
        raise FleetError(field, name, f"{field} {shown(name)} is not a text; known: {listing}")
    similar = difflib.get_close_matches(name[:_MAX_COMPARED_CHARS], known_names, n=1)
    hint = f"did you mean {similar[0]!r}?" if similar else f"known: {listing}"
    raise FleetError(field, name, f"{field} {shown(name)} is not known; {hint}")


def check_level(level: float) -> float:
    """Return a confidence level.

    Args:
        level: The level.

    Raises:
        FleetError: It is not a number between 0 and 1.
    """
    if not _is_number(level) or not 0 < level < 1:
        raise FleetError("level", level, f"level {level!r} is not a number between 0 and 1, e.g. 0.95")
    return level


def check_probability(name: str, rate: float) -> None:
    """Check a probability that must be above 0 and below 1.

    Args:
        name: The name of the probability, for the error.
        rate: The probability.

    Raises:
        FleetError: It is not a number above 0 and below 1.
    """
    if not check_share(name, rate, below_one=True) > 0:
        raise FleetError(name, rate, f"{name} {rate!r} is not above 0 and below 1")


def check_whole(name: str, count: int, least: int = 1) -> None:
    """Check a whole number.

    Args:
        name: The name of the number, for the error.
        count: The number.
        least: The smallest number that is allowed.

    Raises:
        FleetError: It is not a whole number, or less than ``least``.
    """
    if not _is_integer(count) or count < least:
        raise FleetError(name, count, f"{name} {count!r} is not a whole number from {least}")


def _is_integer(value: object) -> TypeGuard[int]:
    """Return whether a value is an int. True and False are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> TypeGuard[float]:
    """Return whether a value is an int or a float. True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)
