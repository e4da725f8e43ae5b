"""Estimates of a rollout's metrics, each with a confidence interval, from the histories of its gateways.

If there is one replication, the gateways are the sample: shares have Wilson's interval, quantiles that of their order
statistics, and means the normal interval. The time until the last gateway ends is then a single observation without an
interval. If there are several replications, the rollout is the unit: every metric is a mean over replications with
Student's t interval.

The time to COMPLETED is right-censored, and FAILED competes with it. Its quantiles are those of the gateways that
completed, so read them beside the share that never completes.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Final, Protocol

import numpy as np
from scipy.special import stdtrit

from lorafw.errors import FleetError
from lorafw.fleet.arrays import Floats, Integers
from lorafw.fleet.simulation.codes import status_code
from lorafw.fleet.simulation.histories import Histories
from lorafw.fleet.simulation.inputs import NEVER
from lorafw.fleet.simulation.numpy_memory import huge_pages_disabled
from lorafw.fleet.statistics.summary import Estimate, Summary
from lorafw.tasks.lifecycle import TaskStatus

QUANTILES: Final = (0.5, 0.9, 0.95, 0.99)
_COMPLETED: Final = status_code(TaskStatus.COMPLETED)
_FAILED: Final = status_code(TaskStatus.FAILED)
_MINUTE_MS: Final = 60_000
_PIECE: Final = 1 << 18


@huge_pages_disabled()
def summarise(histories: Histories, stopped_ms: Integers, update_bytes: int, confidence_level: float) -> Summary:
    """Summarise a rollout.

    Args:
        histories: The histories, one row for each replication.
        stopped_ms: When each replication was aborted; NEVER if it was not.
        update_bytes: The size of the update, which each delivered send costs.
        confidence_level: The confidence level of the intervals, between 0 and 1.

    Returns:
        The estimates, each with its confidence interval.

    Raises:
        FleetError: The confidence level is not between 0 and 1.
    """
    if not 0 < confidence_level < 1:
        raise FleetError("ci", confidence_level, f"ci {confidence_level!r} is not a level between 0 and 1, e.g. 0.95")
    replications, size = histories.status.shape
    sample = _choose_sample(replications, size, confidence_level)
    completed = histories.status == _COMPLETED
    completed_count = completed.sum(axis=1)
    failed_count = (histories.status == _FAILED).sum(axis=1)
    sends = histories.delivered_sends.sum(axis=1, dtype=np.int64)
    bytes_sent = sends * float(update_bytes) + histories.broken_bytes.sum(axis=1)
    last_end_ms = _last_end_ms(histories.ended_ms)
    last_end_s = last_end_ms[last_end_ms < NEVER] / 1000
    return Summary(
        gateways=size,
        replications=replications,
        level=confidence_level,
        completed_share=sample.share(completed_count),
        failed_share=sample.share(failed_count),
        never_completed_share=sample.share(size - completed_count),
        mean_sends=sample.mean_sends(histories.delivered_sends, sends),
        time_to_completed_s=_quantiles(histories.ended_ms, completed, completed_count, confidence_level),
        time_to_last_s=t_interval(last_end_s, confidence_level),
        bytes_sent=t_interval(bytes_sent, confidence_level),
        peak_offers_per_min=t_interval(_peak_per_minute(histories.offered_ms), confidence_level),
        aborted_share=_aborted_share(stopped_ms, size, confidence_level),
    )


class _Sample(Protocol):
    """What an estimate is made from. It decides which interval an estimate has."""

    def share(self, counts: Any) -> Estimate:
        """Return counts of gateways, one for each replication, as a share of the fleet."""
        ...

    def mean_sends(self, delivered_sends: Any, sends: Integers) -> Estimate:
        """Return the mean number of delivered sends.

        Args:
            delivered_sends: The number of each gateway, one row for each replication.
            sends: The sum of each row.
        """
        ...


@dataclass(frozen=True, slots=True)
class _GatewaySample:
    """The gateways of the only replication are the sample."""

    size: int
    """The number of gateways."""
    z: float
    """The quantile of the normal distribution for the confidence level."""

    def share(self, counts: Any) -> Estimate:
        return wilson_interval(int(counts[0]), self.size, self.z)

    def mean_sends(self, delivered_sends: Any, sends: Integers) -> Estimate:
        return _mean_sends(delivered_sends[0], self.z)


@dataclass(frozen=True, slots=True)
class _RolloutSample:
    """The replications are the sample."""

    size: int
    """The number of gateways in each replication."""
    confidence_level: float
    """The confidence level of the intervals."""

    def share(self, counts: Any) -> Estimate:
        return t_interval(counts / self.size, self.confidence_level)

    def mean_sends(self, delivered_sends: Any, sends: Integers) -> Estimate:
        return t_interval(sends / self.size, self.confidence_level)


def _choose_sample(replications: int, size: int, confidence_level: float) -> _Sample:
    """Return the sample that the estimates of this number of replications are made from."""
    if replications == 1:
        return _GatewaySample(size, _normal_quantile(confidence_level))
    return _RolloutSample(size, confidence_level)


def _normal_quantile(confidence_level: float) -> float:
    """Return the quantile of the normal distribution for a two-sided interval, for example 1.96 for 0.95."""
    return NormalDist().inv_cdf((1 + confidence_level) / 2)


def _aborted_share(stopped_ms: Integers, size: int, confidence_level: float) -> Estimate:
    """Return the share of replications that were aborted. There is no estimate if there are no gateways."""
    replications = len(stopped_ms)
    if not size or not replications:
        return Estimate(None)
    aborted_count = int((stopped_ms < NEVER).sum())
    return wilson_interval(aborted_count, replications, _normal_quantile(confidence_level))


def wilson_interval(hits: int, trials: int, z: float) -> Estimate:
    """Return a share with Wilson's score interval.

    The formula is the one of Wilson (Probable inference, the law of succession, and statistical inference, Journal of
    the American Statistical Association 22, 1927).

    Args:
        hits: Number of successes.
        trials: Number of trials, at least 1.
        z: The quantile of the normal distribution for the confidence level, for example 1.96 for 95 %.
    """
    share = hits / trials
    square = z * z / trials
    centre = (share + square / 2) / (1 + square)
    half_width = z / (1 + square) * (share * (1 - share) / trials + square / trials / 4) ** 0.5
    # Rounding errors must not keep the interval from reaching 0 or 1.
    low = 0.0 if hits == 0 else max(0.0, centre - half_width)
    high = 1.0 if hits == trials else min(1.0, centre + half_width)
    return Estimate(share, low, high)


def t_interval(values: Floats, confidence_level: float) -> Estimate:
    """Return the mean of the values with Student's t interval. A single value has no interval."""
    if not len(values):
        return Estimate(None)
    mean = float(values.mean())
    if len(values) == 1:
        return Estimate(mean)
    standard_error = values.std(ddof=1) / len(values) ** 0.5
    half_width = float(stdtrit(len(values) - 1, (1 + confidence_level) / 2) * standard_error)
    return Estimate(mean, mean - half_width, mean + half_width)


def _mean_sends(sends: Any, z: float) -> Estimate:
    """Return the mean number of delivered sends with a normal interval, computed from the counts of each number."""
    values = np.arange(int(sends.max()) + 1)
    counts = np.array([np.count_nonzero(sends == value) for value in values])
    mean = float((counts * values).sum() / len(sends))
    standard_deviation = float((counts * (values - mean) ** 2).sum() / len(sends)) ** 0.5
    half_width = z * standard_deviation / len(sends) ** 0.5
    return Estimate(mean, mean - half_width, mean + half_width)


def quantile_name(quantile: float) -> str:
    """Return the key of a quantile in a summary, for example "p95"."""
    return f"p{quantile * 100:g}"


def _quantiles(ended_ms: Any, completed: Any, completed_count: Any, confidence_level: float) -> dict[str, Estimate]:
    """Return the quantiles of the time to COMPLETED, in s.

    Args:
        ended_ms: When each task ended, one row for each replication.
        completed: Whether each task is COMPLETED, of the same shape.
        completed_count: The number of COMPLETED tasks in each row.
        confidence_level: The confidence level of the intervals.
    """
    if len(ended_ms) > 1:
        return _quantiles_over_replications(ended_ms, completed, completed_count, confidence_level)
    completed_ms = ended_ms[0][completed[0]]
    if not len(completed_ms):
        return {quantile_name(quantile): Estimate(None) for quantile in QUANTILES}
    positions = {}
    needed_positions: set[int] = set()
    for quantile in QUANTILES:
        positions[quantile] = _index_with_interval(quantile, len(completed_ms), confidence_level)
        needed_positions.update(positions[quantile])
    # Only these positions must be sorted, which is much faster than sorting all times of a large fleet.
    completed_ms.partition(sorted(needed_positions))
    estimates = {}
    for quantile, (index, low, high) in positions.items():
        value_s, low_s, high_s = (float(completed_ms[position]) / 1000 for position in (index, low, high))
        estimates[quantile_name(quantile)] = Estimate(value_s, low_s, high_s)
    return estimates


def _quantiles_over_replications(
    ended_ms: Any, completed: Any, completed_count: Any, confidence_level: float
) -> dict[str, Estimate]:
    """Return the mean over replications of each quantile. Replications in which no gateway completed are left out."""
    sorted_ms = np.sort(np.where(completed, ended_ms, NEVER), axis=1)
    rows = np.flatnonzero(completed_count)
    estimates = {}
    for quantile in QUANTILES:
        times_ms = sorted_ms[rows, quantile_index(quantile, completed_count[rows])]
        estimates[quantile_name(quantile)] = t_interval(times_ms / 1000, confidence_level)
    return estimates


def quantile_index(quantile: float, count: Any) -> Any:
    """Return the index of a quantile among ``count`` sorted values: the first that reaches the share ``quantile``."""
    return np.maximum(np.ceil(quantile * np.asarray(count) - 1e-9).astype(np.int64) - 1, 0)


def _index_with_interval(quantile: float, count: int, confidence_level: float) -> tuple[int, int, int]:
    """Return the index of a quantile, and the indices between which it lies with this confidence."""
    low, high = quantile_index_interval(quantile, count, confidence_level)
    return int(quantile_index(quantile, count)), low, high


def quantile_index_interval(quantile: float, count: int, confidence_level: float) -> tuple[int, int]:
    """Return the indices between which a quantile lies with this confidence, for any distribution.

    The number of values below the quantile is binomial. It is approximated as normal, with continuity correction.
    """
    z = NormalDist().inv_cdf((1 + confidence_level) / 2)
    half_width = z * (count * quantile * (1 - quantile)) ** 0.5
    low = round(count * quantile - half_width - 0.5)
    high = round(count * quantile + half_width - 0.5)
    return max(low, 0), min(high, count - 1)


def _last_end_ms(ended_ms: Any) -> Any:
    """Return when the last task of each replication ended, NEVER if none did."""
    latest_ms = ended_ms.max(axis=1, where=ended_ms < NEVER, initial=-1)
    return np.where(latest_ms >= 0, latest_ms, NEVER)


def _peak_per_minute(offered_ms: Any) -> Floats:
    """Return the largest number of first offers within one minute of the clock, for each replication."""
    return np.array([_max_per_minute(row) for row in offered_ms], dtype=np.float64)


def _max_per_minute(times_ms: Any) -> int:
    """Return the largest number of times within one minute. Works in pieces, because a copy of all would be slower."""
    counts = np.zeros(1, dtype=np.int64)
    for start in range(0, len(times_ms), _PIECE):
        piece = times_ms[start : start + _PIECE]
        piece_counts = np.bincount(piece[piece < NEVER] // _MINUTE_MS, minlength=len(counts))
        piece_counts[: len(counts)] += counts
        counts = piece_counts
    return int(counts.max())
