"""Text for people: durations, shares, numbers and bytes, and the labels of a rollout's metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

Formatter = Callable[[float], str]
"""Turns a value into text."""

NOT_AVAILABLE: Final = "-"
"""The text of a value that does not exist."""

_MAX_SECONDS: Final = 120
"""Durations from here on are shown in minutes."""
_MAX_MINUTES: Final = 120
"""Durations from here on are shown in hours and minutes."""
_MAX_HOURS: Final = 48
"""Durations from here on are shown in days and hours."""


def format_duration(seconds: float) -> str:
    """Return a duration as text with two units at most, for example "90 s", "47 min", "3 h 05 min" or "2 d 07 h"."""
    sign, seconds = ("-" if seconds < 0 else ""), abs(seconds)
    if seconds < _MAX_SECONDS:
        return f"{sign}{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < _MAX_MINUTES:
        return f"{sign}{minutes} min"
    if minutes < _MAX_HOURS * 60:
        return f"{sign}{minutes // 60} h {minutes % 60:02} min"
    hours = round(seconds / 3600)
    return f"{sign}{hours // 24} d {hours % 24:02} h"


def format_percent(value: float) -> str:
    """Return a share as percent, for example "12.5 %" for 0.125."""
    return f"{value * 100:.4g} %"


def format_number(value: float) -> str:
    """Return a number with four significant digits, or with thousands separators if it is large."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def format_bytes(value: float) -> str:
    """Return a number of bytes with a decimal unit, for example "2 MB"."""
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
"""The label and the formatter of each metric that has a fixed name."""


def metric_label(name: str) -> tuple[str, Formatter]:
    """Return the label of a metric, and the function that formats its values.

    Args:
        name: The name of the metric, for example "failed_share" or "time_to_completed_s p95".
    """
    if name.startswith("time_to_completed_s "):
        percent = name.rpartition("p")[2]
        return f"{percent} % of these were COMPLETED after", format_duration
    return METRIC_LABELS[name]
