"""The figures of a rollout in words: what each is called, and how a value of it is said to a person."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

Say = Callable[[float], str]

NO_FIGURE: Final = "-"


def lasting(seconds: float) -> str:
    """A duration as a person says it."""
    sign, seconds = ("-" if seconds < 0 else ""), abs(seconds)
    if seconds < 120:
        return f"{sign}{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{sign}{minutes} min"
    if minutes < 48 * 60:
        return f"{sign}{minutes // 60} h {minutes % 60:02} min"
    hours = round(seconds / 3600)
    return f"{sign}{hours // 24} d {hours % 24:02} h"


def share(value: float) -> str:
    return f"{value * 100:.4g} %"


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def size(value: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:,.3g} TB"


WORDS: Final[dict[str, tuple[str, Say]]] = {
    "completed_share": ("COMPLETED", share),
    "failed_share": ("FAILED", share),
    "never_completed_share": ("never COMPLETED", share),
    "mean_sends": ("whole sends a gateway", number),
    "time_to_last_s": ("last gateway has ended after", lasting),
    "bytes_sent": ("bytes sent", size),
    "peak_offers_per_min": ("most first offers in a minute", number),
    "aborted_share": ("rollouts aborted", share),
}


def words_of(name: str) -> tuple[str, Say]:
    """What a figure is called, and how its values are said."""
    if name.startswith("time_to_completed_s "):
        percent = name.rpartition("p")[2]
        return f"{percent} % of these were COMPLETED after", lasting
    return WORDS[name]
