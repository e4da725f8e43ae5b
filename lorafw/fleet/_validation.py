"""Checks of values that the fleet modules share. Each raises FleetError with field, value and remedy."""

from __future__ import annotations

import difflib
from typing import Any, Final

from lorafw.errors import FleetError

LARGEST_FLEET: Final = 1_000_000_000
"""Gateways of one fleet. More is a slip of the keyboard, and would not fit into memory."""

_SHOWN: Final = 60


def shown(value: object) -> str:
    """Return ``value`` as an error message shows it: its repr, cut to a few characters, whatever its size."""
    try:
        text = repr(value)
    except ValueError:  # a number of thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def check_gateways(count: object) -> int:
    """Return the number of gateways of a fleet. Raises FleetError."""
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= LARGEST_FLEET:
        raise FleetError(
            "gateways",
            count,
            f"{shown(count)}: a fleet needs a whole number of gateways, at least one and at most {LARGEST_FLEET:,}",
        )
    return count


def check_seed(seed: object) -> int:
    """Return a seed. Raises FleetError."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise FleetError("seed", seed, f"seed {shown(seed)} is not a whole number from 0 to 2**63 - 1")
    return seed


def check_share(name: str, value: float, *, below_one: bool = False) -> float:
    """A share or probability, as it came. Raises FleetError."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= 1 or (below_one and value == 1):
        limit = "from 0 to less than 1" if below_one else "from 0 to 1"
        raise FleetError(name, value, f"{name} {shown(value)} is not a share {limit}")
    return value


def check_number(name: str, value: float, *, positive: bool = False, most: float = 1e12) -> float:
    """A duration, rate or size, as it came. Raises FleetError."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= most or (positive and value == 0):
        wanted = "more than 0" if positive else "0 or more"
        raise FleetError(name, value, f"{name} {shown(value)} is not a number, {wanted} (and at most {most:g})")
    return value


_LONGEST_NAME: Final = 100
"""Characters of an unknown name that are compared with the known ones."""


def require_known_name(field: str, name: object, known: Any) -> str:
    """Return ``name`` if it is known. Raises FleetError that offers the nearest right one."""
    if isinstance(name, str) and name in known:
        return name
    names = ", ".join(known)
    if name is None:
        raise FleetError(field, None, f"{field} is missing; known: {names}")
    if not isinstance(name, str):
        raise FleetError(field, name, f"{field} {shown(name)} is not a text; known: {names}")
    close = difflib.get_close_matches(name[:_LONGEST_NAME], list(known), n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {names}"
    raise FleetError(field, name, f"{field} {shown(name)} is not known; {hint}")


def check_level(level: float) -> float:
    is_number = isinstance(level, int | float) and not isinstance(level, bool)
    if not is_number or not 0 < level < 1:
        raise FleetError("level", level, f"level {level!r} is not a number between 0 and 1, e.g. 0.95")
    return level


def _check_rate(name: str, rate: float) -> None:
    if not check_share(name, rate, below_one=True) > 0:
        raise FleetError(name, rate, f"{name} {rate!r} is not above 0 and below 1")


def check_whole(name: str, count: int, least: int = 1) -> None:
    if isinstance(count, bool) or not isinstance(count, int) or count < least:
        raise FleetError(name, count, f"{name} {count!r} is not a whole number from {least}")
