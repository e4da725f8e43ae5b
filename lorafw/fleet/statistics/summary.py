"""The figures of a rollout as values, and as rows for whoever shows them; ``estimators`` makes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lorafw.fleet.formatting import NOT_AVAILABLE, Formatter, metric_label


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its interval; ``value`` is None where there is nothing to measure, ``low`` where there is none."""

    value: float | None
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.value is None:
            return "none"
        if self.low is None or self.high is None:
            return f"{self.value:.6g}"
        return f"{self.value:.6g} ({self.low:.6g} to {self.high:.6g})"

    def said(self, say: Formatter) -> str:
        """The value as ``say`` says it."""
        return NOT_AVAILABLE if self.value is None else say(self.value)

    def format_interval(self, say: Formatter) -> str:
        """The interval as ``say`` says it; nothing where there is none."""
        return "" if self.low is None or self.high is None else f"{say(self.low)} to {say(self.high)}"


@dataclass(frozen=True, slots=True)
class Summary:
    """All figures. Times in s since the start; ``sends``: whole ones a gateway; ``aborted_share``: of replications.

    ``peak_offers_per_min``: most gateways that were first offered the update within one minute.
    """

    gateways: int
    replications: int
    level: float
    completed_share: Estimate
    failed_share: Estimate
    never_completed_share: Estimate
    mean_sends: Estimate
    time_to_completed_s: dict[str, Estimate]
    time_to_last_s: Estimate
    bytes_sent: Estimate
    peak_offers_per_min: Estimate
    aborted_share: Estimate

    def __str__(self) -> str:
        """A line for each figure, with its interval."""
        rows = [
            (f"of {self.gateways:,} gateways", "", f"{self.level * 100:g} % interval"),
            *summary_rows(self, aborted=self.replications > 1),
        ]
        first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
        return "\n".join(f"{a:<{first}}  {b:>{second}}  {c}".rstrip() for a, b, c in rows)

    def to_json(self) -> dict[str, Any]:
        """Plain values, and the intervals beside them."""
        values: dict[str, Any] = {"gateways": self.gateways, "replications": self.replications}
        intervals: dict[str, Any] = {"level": self.level}
        for name, figure in self._figures():
            if isinstance(figure, dict):
                values[name] = {key: one.value for key, one in figure.items()}
                intervals[name] = {key: [one.low, one.high] for key, one in figure.items()}
            else:
                values[name] = figure.value
                intervals[name] = [figure.low, figure.high]
        return {**values, "intervals": intervals}

    def _figures(self) -> list[tuple[str, Any]]:
        names = [name for name in self.__slots__ if name not in ("gateways", "replications", "level")]
        return [(name, getattr(self, name)) for name in names]


def summary_rows(summary: Summary, *, aborted: bool) -> list[tuple[str, str, str]]:
    """(what, value, interval) of every figure; ``aborted``: that of the rollouts that were, too."""
    named = [(name, getattr(summary, name)) for name in ("completed_share", "failed_share", "never_completed_share")]
    named += [(f"time_to_completed_s {key}", figure) for key, figure in summary.time_to_completed_s.items()]
    named += [(name, getattr(summary, name)) for name in ("time_to_last_s", "mean_sends", "bytes_sent")]
    named += [("peak_offers_per_min", summary.peak_offers_per_min)]
    if aborted:
        named += [("aborted_share", summary.aborted_share)]
    rows = []
    for name, figure in named:
        label, say = metric_label(name)
        rows.append((label, figure.said(say), figure.format_interval(say)))
    return rows
