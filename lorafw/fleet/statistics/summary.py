"""The summary of a rollout: its metrics with their intervals. ``estimates`` computes them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final

from lorafw.fleet.formatting import NOT_AVAILABLE, Formatter, metric_label


@dataclass(frozen=True, slots=True)
class Estimate:
    """A point estimate with a confidence interval."""

    value: float | None
    """The estimate. None if there is nothing to measure."""
    low: float | None = None
    """The lower end of the interval. None if there is no interval."""
    high: float | None = None
    """The upper end of the interval. None if there is no interval."""

    def __str__(self) -> str:
        if self.value is None:
            return "none"
        if self.low is None or self.high is None:
            return f"{self.value:.6g}"
        return f"{self.value:.6g} ({self.low:.6g} to {self.high:.6g})"

    def format(self, formatter: Formatter) -> str:
        """Return the value as text, "-" if there is none.

        Args:
            formatter: A function that formats a value, for example ``format_percent``.
        """
        if self.value is None:
            return NOT_AVAILABLE
        return formatter(self.value)

    def format_interval(self, formatter: Formatter) -> str:
        """Return the interval as text, which is empty if there is none.

        Args:
            formatter: A function that formats a value, for example ``format_percent``.
        """
        if self.low is None or self.high is None:
            return ""
        return f"{formatter(self.low)} to {formatter(self.high)}"


@dataclass(frozen=True, slots=True)
class Summary:
    """The metrics of a rollout, as estimates. Times are in s since the start of the rollout."""

    gateways: int
    """Number of gateways in the fleet."""
    replications: int
    """Number of simulated rollouts."""
    level: float
    """The confidence level of the intervals."""
    completed_share: Estimate
    """The share of gateways whose task is COMPLETED."""
    failed_share: Estimate
    """The share of gateways whose task is FAILED."""
    never_completed_share: Estimate
    """The share of gateways whose task is not COMPLETED."""
    mean_sends: Estimate
    """Mean number of updates that were delivered whole to a gateway."""
    time_to_completed_s: dict[str, Estimate]
    """The quantiles of the time to COMPLETED, by name, for example "p95"."""
    time_to_last_s: Estimate
    """The time until the last task ended."""
    bytes_sent: Estimate
    """Bytes sent to all gateways, including those of downloads that broke off."""
    peak_offers_per_min: Estimate
    """The largest number of gateways that were first offered the update within one minute."""
    aborted_share: Estimate
    """The share of replications that were stopped."""

    def __str__(self) -> str:
        """Return a table with a line for each metric."""
        header = (f"of {self.gateways:,} gateways", "", f"{self.level * 100:g} % interval")
        rows = [header, *summary_rows(self, aborted=self.replications > 1)]
        label_width = max(len(label) for label, _, _ in rows)
        value_width = max(len(value) for _, value, _ in rows)
        lines = [f"{label:<{label_width}}  {value:>{value_width}}  {interval}" for label, value, interval in rows]
        return "\n".join(line.rstrip() for line in lines)

    def to_json(self) -> dict[str, Any]:
        """Return the summary as plain values for JSON.

        Returns:
            The values by the name of the metric. The key "intervals" holds the intervals by the same names, each as
            [low, high], and the confidence level.
        """
        values: dict[str, Any] = {"gateways": self.gateways, "replications": self.replications}
        intervals: dict[str, Any] = {"level": self.level}
        for name in _METRICS:
            metric = getattr(self, name)
            if isinstance(metric, Estimate):
                values[name] = metric.value
                intervals[name] = [metric.low, metric.high]
            else:
                values[name] = {quantile: estimate.value for quantile, estimate in metric.items()}
                intervals[name] = {quantile: [estimate.low, estimate.high] for quantile, estimate in metric.items()}
        values["intervals"] = intervals
        return values


_METRICS: Final = tuple(
    field.name for field in fields(Summary) if field.name not in ("gateways", "replications", "level")
)
"""The fields of a summary that are estimates."""


def summary_rows(summary: Summary, *, aborted: bool) -> list[tuple[str, str, str]]:
    """Return the metrics of a summary as rows of text.

    Args:
        summary: The summary.
        aborted: If True, the last row is the share of the rollouts that were stopped.

    Returns:
        A label, a value and an interval for each metric.
    """
    rows = [
        _metric_row("completed_share", summary.completed_share),
        _metric_row("failed_share", summary.failed_share),
        _metric_row("never_completed_share", summary.never_completed_share),
    ]
    for quantile, estimate in summary.time_to_completed_s.items():
        rows.append(_metric_row(f"time_to_completed_s {quantile}", estimate))
    rows += [
        _metric_row("time_to_last_s", summary.time_to_last_s),
        _metric_row("mean_sends", summary.mean_sends),
        _metric_row("bytes_sent", summary.bytes_sent),
        _metric_row("peak_offers_per_min", summary.peak_offers_per_min),
    ]
    if aborted:
        rows.append(_metric_row("aborted_share", summary.aborted_share))
    return rows


def _metric_row(name: str, estimate: Estimate) -> tuple[str, str, str]:
    """Return the label, value and interval of one metric as text."""
    label, formatter = metric_label(name)
    return label, estimate.format(formatter), estimate.format_interval(formatter)
