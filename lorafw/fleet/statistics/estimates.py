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
from itertools import chain
from statistics import NormalDist
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from lorafw.errors import FleetError
from lorafw.fleet.arrays import Floats, Integers, Mask
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
"""Number of times that are counted at once."""
_ROUNDING: Final = 1e-9
"""A product may be above a whole number by a rounding error of this size."""

Sends: TypeAlias = npt.NDArray[np.uint8]
"""Numbers of times that the whole update was sent."""


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
    # ``completed`` has the shape (replications, gateways). The other arrays have one element for each replication.
    completed = histories.status == _COMPLETED
    completed_count = completed.sum(axis=1)
    failed_count = (histories.status == _FAILED).sum(axis=1)
    sends = _sends_by_replication(histories.delivered_sends)
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
        mean_sends=sample.mean_sends(histories.delivered_sends),
        time_to_completed_s=_quantiles(histories.ended_ms, completed, completed_count, confidence_level),
        time_to_last_s=t_interval(last_end_s, confidence_level),
        bytes_sent=t_interval(bytes_sent, confidence_level),
        peak_offers_per_min=t_interval(_peak_per_minute(histories.offered_ms), confidence_level),
        aborted_share=_aborted_share(stopped_ms, size, confidence_level),
    )


class _Sample(Protocol):
    """What an estimate is made from. It decides which interval an estimate has."""

    def share(self, counts: Integers) -> Estimate:
        """Return numbers of gateways as a share of the fleet.

        Args:
            counts: The number in each replication. Shape (replications,).
        """
        ...

    def mean_sends(self, sends: Sends) -> Estimate:
        """Return the mean number of times that the whole update was sent to a gateway.

        Args:
            sends: The number for each gateway. Shape (replications, gateways).
        """
        ...


@dataclass(frozen=True, slots=True)
class _GatewaySample:
    """The gateways of the only replication are the sample."""

    size: int
    """The number of gateways."""
    z: float
    """The quantile of the normal distribution for the confidence level, for example 1.96 for 95 %."""

    def share(self, counts: Integers) -> Estimate:
        return wilson_interval(int(counts[0]), self.size, self.z)

    def mean_sends(self, sends: Sends) -> Estimate:
        return _mean_of_small_numbers(sends[0], self.z)


@dataclass(frozen=True, slots=True)
class _RolloutSample:
    """The replications are the sample."""

    size: int
    """The number of gateways in each replication."""
    confidence_level: float
    """The confidence level of the intervals."""

    def share(self, counts: Integers) -> Estimate:
        return t_interval(counts / self.size, self.confidence_level)

    def mean_sends(self, sends: Sends) -> Estimate:
        return t_interval(_sends_by_replication(sends) / self.size, self.confidence_level)


def _choose_sample(replications: int, size: int, confidence_level: float) -> _Sample:
    """Return the sample that the estimates of this number of replications are made from."""
    if replications == 1:
        return _GatewaySample(size, _normal_quantile(confidence_level))
    return _RolloutSample(size, confidence_level)


def _normal_quantile(confidence_level: float) -> float:
    """Return the quantile of the normal distribution for a two-sided interval, for example 1.96 for 0.95."""
    return NormalDist().inv_cdf((1 + confidence_level) / 2)


def _sends_by_replication(sends: Sends) -> Integers:
    """Return the number of sends to all gateways together. Shape (replications,)."""
    totals: Integers = sends.sum(axis=1, dtype=np.int64)
    return totals


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


def _mean_of_small_numbers(numbers: Sends, z: float) -> Estimate:
    """Return the mean of whole numbers with the normal interval. Counts each number, which is faster than summing.

    Args:
        numbers: The numbers, from 0 up. Shape (gateways,).
        z: The quantile of the normal distribution for the confidence level, for example 1.96 for 95 %.
    """
    values = np.arange(int(numbers.max()) + 1)
    counts = np.array([np.count_nonzero(numbers == value) for value in values])  # how often each value occurs
    size = len(numbers)
    mean = float((counts * values).sum() / size)
    variance = float((counts * (values - mean) ** 2).sum() / size)
    half_width = z * variance**0.5 / size**0.5
    return Estimate(mean, mean - half_width, mean + half_width)


def quantile_name(quantile: float) -> str:
    """Return the key of a quantile in a summary, for example "p95"."""
    return f"p{quantile * 100:g}"


def _quantiles(
    ended_ms: Integers, completed: Mask, completed_count: Integers, confidence_level: float
) -> dict[str, Estimate]:
    """Return the quantiles of the time to COMPLETED, in s.

    Args:
        ended_ms: When each task ended. Shape (replications, gateways).
        completed: Whether each task is COMPLETED. Shape (replications, gateways).
        completed_count: The number of COMPLETED tasks. Shape (replications,).
        confidence_level: The confidence level of the intervals.
    """
    if len(ended_ms) > 1:
        return _quantiles_over_replications(ended_ms, completed, completed_count, confidence_level)
    completed_ms = ended_ms[0][completed[0]]
    return _quantiles_over_gateways(completed_ms, confidence_level)


def _quantiles_over_gateways(completed_ms: Integers, confidence_level: float) -> dict[str, Estimate]:
    """Return the quantiles of the times at which the gateways of one replication completed.

    Args:
        completed_ms: The times in milliseconds, in any order. Shape (completed gateways,). The array is reordered.
        confidence_level: The confidence level of the intervals.

    Returns:
        The estimates in seconds, by the names of the quantiles.
    """
    count = len(completed_ms)
    if not count:
        return {quantile_name(quantile): Estimate(None) for quantile in QUANTILES}
    # 1. Find where the estimates and the ends of their intervals would be if the times were sorted.
    indices = {quantile: _estimate_indices(quantile, count, confidence_level) for quantile in QUANTILES}
    # 2. Move the right times to these indices. This is much faster than sorting all times of a large fleet.
    needed_indices = sorted(set(chain.from_iterable(indices.values())))
    completed_ms.partition(needed_indices)
    # 3. Read the times there.
    estimates = {}
    for quantile, (index, low_index, high_index) in indices.items():
        value_s = float(completed_ms[index]) / 1000
        low_s = float(completed_ms[low_index]) / 1000
        high_s = float(completed_ms[high_index]) / 1000
        estimates[quantile_name(quantile)] = Estimate(value_s, low_s, high_s)
    return estimates


def _quantiles_over_replications(
    ended_ms: Integers, completed: Mask, completed_count: Integers, confidence_level: float
) -> dict[str, Estimate]:
    """Return the mean of each quantile over the replications. The arguments are those of ``_quantiles``.

    Replications in which no gateway completed are left out.
    """
    completed_ms = np.where(completed, ended_ms, NEVER)  # (replications, gateways)
    sorted_ms = np.sort(completed_ms, axis=1)
    rows = np.flatnonzero(completed_count)  # replications in which a gateway completed
    estimates = {}
    for quantile in QUANTILES:
        columns = quantile_index(quantile, completed_count[rows])  # the position of the quantile in each row
        times_ms = sorted_ms[rows, columns]
        estimates[quantile_name(quantile)] = t_interval(times_ms / 1000, confidence_level)
    return estimates


def quantile_index(quantile: float, count: Any) -> Any:
    """Return the index of a quantile among sorted values: the first index at which this share of them is reached.

    Args:
        quantile: The share, for example 0.95.
        count: The number of values: an int, or an array.

    Returns:
        The index for each number of values, for example 94 for the 95 % quantile of 100 values.
    """
    reached_at = np.ceil(quantile * np.asarray(count) - _ROUNDING).astype(np.int64)  # counted from 1
    return np.maximum(reached_at - 1, 0)


def _estimate_indices(quantile: float, count: int, confidence_level: float) -> tuple[int, int, int]:
    """Return the index of a quantile among sorted values, and those of the ends of its confidence interval."""
    low_index, high_index = quantile_index_interval(quantile, count, confidence_level)
    return int(quantile_index(quantile, count)), low_index, high_index


def quantile_index_interval(quantile: float, count: int, confidence_level: float) -> tuple[int, int]:
    """Return the indices between which a quantile lies with this confidence, for any distribution.

    The number of values below the quantile is binomial. It is approximated as normal, with continuity correction.
    """
    z = _normal_quantile(confidence_level)
    half_width = z * (count * quantile * (1 - quantile)) ** 0.5
    low = round(count * quantile - half_width - 0.5)
    high = round(count * quantile + half_width - 0.5)
    return max(low, 0), min(high, count - 1)


def _last_end_ms(ended_ms: Integers) -> Integers:
    """Return when the last task of each replication ended, NEVER if none did. Shape (replications,)."""
    latest_ms = ended_ms.max(axis=1, where=ended_ms < NEVER, initial=-1)
    last_end_ms: Integers = np.where(latest_ms >= 0, latest_ms, NEVER)
    return last_end_ms


def _peak_per_minute(offered_ms: Integers) -> Floats:
    """Return the largest number of first offers within one minute of the clock, for each replication."""
    return np.array([_max_per_minute(row) for row in offered_ms], dtype=np.float64)


def _max_per_minute(times_ms: Integers) -> int:
    """Return the largest number of times within one minute. Works in pieces, because a copy of all would be slower."""
    counts = np.zeros(1, dtype=np.int64)
    for start in range(0, len(times_ms), _PIECE):
        piece = times_ms[start : start + _PIECE]
        piece_counts = np.bincount(piece[piece < NEVER] // _MINUTE_MS, minlength=len(counts))
        piece_counts[: len(counts)] += counts
        counts = piece_counts
    return int(counts.max())
