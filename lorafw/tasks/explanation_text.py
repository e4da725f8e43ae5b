"""Words and numbers as the text of an explanation shows them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from lorafw.tasks.decision import Evidence
from lorafw.tasks.policy import Policy

MAX_LISTED: Final = 3
"""Maximum number of ids or keys in a list. The others are only counted."""

MAX_NAME_CHARS: Final = 60
"""Longer names are truncated."""


def format_name(name: str | None) -> str:
    """Return a name on one line, truncated."""
    text = " ".join((name or "").split())
    if not text:
        return "without a name"
    return text if len(text) <= MAX_NAME_CHARS else f"{text[:MAX_NAME_CHARS]}…"


def join_limited(names: Iterable[str]) -> str:
    """Join the first names with commas, and count the others."""
    all_names = list(names)
    text = ", ".join(all_names[:MAX_LISTED])
    omitted_count = len(all_names) - MAX_LISTED
    return f"{text} and {omitted_count} more" if omitted_count > 0 else text


def format_duration(duration_ms: int) -> str:
    """Return a duration in its two largest units, such as ``1 d 3 h`` or ``10.5 s``. ``0 s`` if it is negative."""
    duration_ms = max(duration_ms, 0)
    if duration_ms < 60_000:
        return f"{duration_ms / 1000:.3g} s"
    minutes = duration_ms // 60_000
    units = [(minutes // 1440, "d"), (minutes // 60 % 24, "h"), (minutes % 60, "min")]
    parts = [f"{count} {unit}" for count, unit in units if count]
    return " ".join(parts[:2])


def evidence_of(policy: Policy, name: str) -> Evidence:
    """Return how the decision with this name is known."""
    return next(decision.tag for decision in policy.decisions() if decision.name == name)
