"""The figures of a rollout in words: what each is called, and how a value of it is said to a person."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

Formatter = Callable[[float], str]

NOT_AVAILABLE: Final = "-"


def format_duration(seconds: float) -> str:
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


def format_percent(value: float) -> str:
    return f"{value * 100:.4g} %"


def format_number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def format_bytes(value: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:,.3g} TB"


METRIC_LABELS: Final[dict[str, tuple[str, Formatter]]] = {
    "completed_share": ("COMPLETED", format_percent),
    "failed_share": ("FAILED", format_percent),
    "never_completed_share": ("never COMPLETED", format_percent),
    "mean_sends": ("whole sends a gateway", format_number),
    "time_to_last_s": ("last gateway has ended after", format_duration),
    "bytes_sent": ("bytes sent", format_bytes),
    "peak_offers_per_min": ("most first offers in a minute", format_number),
    "aborted_share": ("rollouts aborted", format_percent),
}


def metric_label(name: str) -> tuple[str, Formatter]:
    """What a figure is called, and how its values are said."""
    if name.startswith("time_to_completed_s "):
        percent = name.rpartition("p")[2]
        return f"{percent} % of these were COMPLETED after", format_duration
    return METRIC_LABELS[name]
