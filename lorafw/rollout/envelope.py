"""Prediction against reality: the band in which a rollout stays if it follows its prediction.

The band of a wave is simultaneous: it covers the whole course of the wave, not one moment. A rollout that follows the
model leaves the bands of all of its waves together with probability FALSE_HOLDS, however often somebody looks. The
limits come from the predicted rollouts themselves. For each, the largest deviation from the mean over all hours is
computed, in units of the usual deviation at that hour and in that direction. The band is what the limit allows.

The probability is divided. Most of it is for bad news: more updates that have stalled, fewer COMPLETED and more FAILED
than predicted. A rollout that goes much better than predicted leaves the band as well, because the prediction is then
not about this fleet. Stalled updates get the largest part. A firmware that fails more often shows there first and most
clearly: three tries at 6 % instead of 2 % hardly change how many gateways are FAILED in the end.

Reality is only known with a delay, and the rollout holds only if it has left the band for certain:

- Counts never fall. Between two hours of the band, the lower bound is that of the hour before, and the upper bound is
  that of the hour after.
- ``apply`` knows at least as much as has happened until its last look. The lower bounds are compared at this time.
- A task that was created late, because of a pause, an interruption or a slow API, ends late. The lower bounds are
  compared earlier by the longest of these delays.
- A gateway that was left out may have been one of the COMPLETED. The lower bounds fall by the number of these gateways.
- An update counts as stalled only if its task was read, and was open, when its time was over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lorafw.fleet.formatting import format_duration, format_percent
from lorafw.rollout.prediction import Counts, WaveCurves, read_curves
from lorafw.tasks.lifecycle import TaskStatus

FALSE_HOLDS: Final = 0.03
"""The probability that a rollout that follows the model leaves the band of any of its waves."""

_STALL_SHARE: Final = 0.6
"""The share of this probability for more stalled updates than predicted."""
_BAD_SHARE: Final = 0.3
"""The share for fewer COMPLETED and more FAILED gateways than predicted."""
_GOOD_SHARE: Final = 0.1
"""The share for more COMPLETED and fewer FAILED gateways than predicted."""

_FEWEST_CURVES: Final = 500
"""A band is made from at least this number of curves."""

_LAST_SHARE: Final = 0.2
"""The share of the last wave in the probability of a hold."""

_TAIL: Final = 0.025
"""The usual deviation reaches from the mean to the quantile of this tail."""

_SMALLEST_DEVIATION: Final = 1.0
"""The usual deviation is at least one gateway, because a count that never varies would allow none."""

_NOTED_DELAY: Final = 0.02
"""A reason to hold mentions late tasks if they are late by more than this share of the time."""

_STALLED: Final = "stalled (not ended half a poll period after the offer)"

_ROUNDING: Final = 1e-9
"""A bound may be a whole number except for a rounding error of this size."""

_HOUR_MS: Final = 3_600_000

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """The numbers of gateways that a wave may have if it follows the prediction.

    All arrays have the shape (hours,). No bound is smaller than that of the hour before.
    """

    hours: Floats
    """Hours since the wave began."""
    completed_low: Integers
    """The smallest number of COMPLETED gateways at each hour."""
    completed_high: Integers
    """The largest number of COMPLETED gateways at each hour."""
    failed_low: Integers
    """The smallest number of FAILED gateways at each hour."""
    failed_high: Integers
    """The largest number of FAILED gateways at each hour."""
    stalled_high: int
    """The largest number of gateways whose update has stalled. It is the same at all hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedWave:
    """What ``apply`` knows about a wave. Times are in milliseconds since the wave began."""

    wave: int
    """The index of the wave."""
    completed: int
    """Number of COMPLETED gateways."""
    failed: int
    """Number of FAILED gateways."""
    stalled: int = 0
    """Number of gateways whose update has stalled for certain."""
    elapsed_ms: int
    """The current time."""
    known_ms: int
    """Everything that had happened until this time has been seen."""
    delay_ms: int = 0
    """The longest delay of a task: it was created, or still will be, this long after its planned time."""
    left_out: int = 0
    """Number of gateways that were left out."""


def read_band(prediction: Mapping[str, Any], wave: int) -> Band | None:
    """Return the band of a wave: the numbers of gateways that it has if it follows the prediction.

    Args:
        prediction: The prediction of a saved plan.
        wave: The index of the wave.

    Returns:
        The band. None if the wave began in too few of the predicted rollouts to compute one.

    Raises:
        RolloutError: The curves are too long to be read.
    """
    curves = read_curves(prediction, wave)
    if curves is None:
        return None
    sizes = [document["size"] for document in prediction["waves"]]
    share = _shares_of_waves(sizes)[wave]
    return make_band(curves, FALSE_HOLDS * share)


def _shares_of_waves(sizes: Sequence[int]) -> Floats:
    """Return the share of each wave in the probability of a hold.

    A large wave tells more, and a hold in the last wave prevents no task.
    """
    if len(sizes) == 1:
        return np.ones(1)
    weights = np.sqrt(sizes[:-1])
    return np.append(weights / weights.sum() * (1 - _LAST_SHARE), _LAST_SHARE)


def make_band(curves: WaveCurves, probability: float) -> Band | None:
    """Return the band of a wave: the limits that a rollout hardly ever leaves if it follows the prediction.

    Args:
        curves: The predicted curves of the wave.
        probability: The probability of leaving the band all the same, for example 0.01.

    Returns:
        The band. None if there are too few curves to compute one.
    """
    if len(curves.completed) < _FEWEST_CURVES:
        return None
    running = curves.running
    completed = _Spread.from_curves(curves.completed, running)
    failed = _Spread.from_curves(curves.failed, running)

    # 1. A rollout goes badly if too few gateways are COMPLETED, or if too many are FAILED. For each rollout, take the
    #    largest deviation in this direction. The arrays have the shape (rollouts,).
    too_few_completed = completed.largest_below(curves.completed, running)
    too_many_failed = failed.largest_above(curves.failed, running)
    worst = np.maximum(too_few_completed, too_many_failed)
    bad_limit = _upper_limit(worst, probability * _BAD_SHARE)

    # 2. The same in the good direction.
    too_many_completed = completed.largest_above(curves.completed, running)
    too_few_failed = failed.largest_below(curves.failed, running)
    best = np.maximum(too_many_completed, too_few_failed)
    good_limit = _upper_limit(best, probability * _GOOD_SHARE)

    # 3. Stalled updates are only counted if they are too many.
    most_stalled = _largest(curves.stalled, running)
    stalled_limit = _upper_limit(most_stalled, probability * _STALL_SHARE)

    # Few COMPLETED and many FAILED gateways are bad, so these two bounds have the limit of the bad direction.
    return Band(
        hours=curves.hours,
        completed_low=completed.lower_bound(bad_limit, curves.size),
        completed_high=completed.upper_bound(good_limit, curves.size),
        failed_low=failed.lower_bound(good_limit, curves.size),
        failed_high=failed.upper_bound(bad_limit, curves.size),
        stalled_high=int(stalled_limit),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Spread:
    """How a count is spread over the predicted rollouts: its mean and its usual deviation, hour by hour.

    All arrays have the shape (hours,). The usual deviation is the distance from the mean to the quantile of a tail.
    """

    mean: Floats
    """The mean of the count."""
    below: Floats
    """The usual deviation below the mean."""
    above: Floats
    """The usual deviation above the mean."""

    @classmethod
    def from_curves(cls, counts: Counts, running: Mask) -> _Spread:
        """Return the spread of some curves. A rollout counts only at the hours before it was stopped.

        Args:
            counts: The count of each rollout at each hour. Shape (rollouts, hours).
            running: Whether the rollout was still running at this hour. Shape (rollouts, hours).
        """
        rows = []
        for counts_of_hour, is_running in zip(counts.T, running.T, strict=True):
            rows.append(_mean_and_tails(counts_of_hour[is_running]))
        mean, low, high = np.array(rows).T
        below = np.maximum(mean - low, _SMALLEST_DEVIATION)
        above = np.maximum(high - mean, _SMALLEST_DEVIATION)
        return cls(mean, below, above)

    def largest_below(self, counts: Counts, running: Mask) -> Floats:
        """Return how far each rollout was below the mean at most, in usual deviations. Shape (rollouts,)."""
        deviations = (self.mean - counts) / self.below
        return _largest(deviations, running)

    def largest_above(self, counts: Counts, running: Mask) -> Floats:
        """Return how far each rollout was above the mean at most, in usual deviations. Shape (rollouts,)."""
        deviations = (counts - self.mean) / self.above
        return _largest(deviations, running)

    def lower_bound(self, limit: float, size: int) -> Integers:
        """Return the smallest allowed count at each hour: ``limit`` usual deviations below the mean."""
        smallest = self.mean - limit * self.below
        return _to_bound(np.ceil(smallest - _ROUNDING), size)

    def upper_bound(self, limit: float, size: int) -> Integers:
        """Return the largest allowed count at each hour: ``limit`` usual deviations above the mean."""
        largest = self.mean + limit * self.above
        return _to_bound(np.floor(largest + _ROUNDING), size)


def _to_bound(values: Floats, size: int) -> Integers:
    """Return bounds as numbers of gateways between 0 and the size of the wave. No bound is smaller than the last."""
    growing = np.maximum.accumulate(values)
    bounds: Integers = np.clip(growing, 0, size).astype(np.int64)
    return bounds


def _mean_and_tails(column: Counts) -> tuple[float, float, float]:
    """Return the mean of some counts, and the quantiles of both tails."""
    if not len(column):
        return 0.0, 0.0, 0.0
    low, high = np.quantile(column, (_TAIL, 1 - _TAIL))
    return float(column.mean()), float(low), float(high)


def _largest(values: Floats | Counts, running: Mask) -> Floats:
    """Return the largest value of each rollout before it was stopped. Shape (rollouts,)."""
    values_while_running = np.where(running, values, 0.0)
    largest: Floats = values_while_running.max(axis=1)
    return largest


def _upper_limit(values: Floats, probability: float) -> float:
    """Return the limit that another value of the same kind exceeds with a probability of at most this.

    It is the largest of the values if there are too few for the probability.
    """
    rank = min(int(np.ceil((1 - probability) * (len(values) + 1))), len(values))
    return float(np.sort(values)[rank - 1])


def find_deviation(band: Band, seen: ObservedWave) -> str | None:
    """Compare a wave with its band. If it is not certain that the wave has left the band, it counts as inside.

    Args:
        band: The band of the wave.
        seen: What is known about the wave.

    Returns:
        The reason to hold the rollout. None if the wave may be inside of the band.
    """
    # Counts grow, so a low count is compared with an earlier hour and a high count with a later one.
    low_index = _index_before(band, seen.known_ms - seen.delay_ms)
    high_index = _index_after(band, seen.elapsed_ms)
    checks = (
        (TaskStatus.COMPLETED, seen.completed, band.completed_low, band.completed_high),
        (TaskStatus.FAILED, seen.failed, band.failed_low, band.failed_high),
    )
    for status, count, low, high in checks:
        if low_index is not None and count < low[low_index] - seen.left_out:
            return _describe(seen, status, count, seen.known_ms, (low[low_index], high[low_index]))
        if count > high[high_index]:
            return _describe(seen, status, count, seen.elapsed_ms, (low[high_index], high[high_index]))
    if seen.stalled > band.stalled_high:
        return _describe(seen, _STALLED, seen.stalled, seen.elapsed_ms, (0, band.stalled_high))
    return None


def _index_before(band: Band, time_ms: int) -> int | None:
    """Return the index of the last hour of a band that is not after a time. None if there is none."""
    index = int(np.searchsorted(band.hours, time_ms / _HOUR_MS, side="right")) - 1
    return index if index >= 0 else None


def _index_after(band: Band, time_ms: int) -> int:
    """Return the index of the first hour of a band that is not before a time, or of its last hour."""
    index = int(np.searchsorted(band.hours, time_ms / _HOUR_MS, side="left"))
    return min(index, len(band.hours) - 1)


def _describe(seen: ObservedWave, counted: str, count: int, time_ms: int, bounds: tuple[int, int]) -> str:
    """Return in words that a count is outside of the band."""
    low, high = bounds
    notes = ""
    if seen.delay_ms > time_ms * _NOTED_DELAY:
        notes += f", with tasks up to {_format_time(seen.delay_ms)} late"
    if seen.left_out:
        notes += f", {seen.left_out} left out"
    predicted = f"{format_percent(1 - FALSE_HOLDS)} of the predicted rollouts had {low} to {high}"
    return f"wave {seen.wave + 1}: {count} {counted} after {_format_time(time_ms)}{notes}; {predicted}"


def _format_time(time_ms: int) -> str:
    """Return a duration as text: in hours, or in smaller units if it is short."""
    if time_ms < 2 * _HOUR_MS:
        return format_duration(time_ms / 1000)
    hours = f"{time_ms / _HOUR_MS:.1f}".removesuffix(".0")
    return f"{hours} h"
