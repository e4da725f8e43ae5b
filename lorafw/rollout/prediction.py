"""The prediction of a plan: for each wave, how many gateways are COMPLETED and FAILED, by hours since it began.

A third count are the gateways whose update has stalled: half a poll period after it was first offered, their task had
not ended. Most of them had a try that failed. They show a bad update a day before the task statuses do.

The curves of all replications are kept, because a simultaneous envelope needs whole curves. They are packed as zlib in
base64. Beside them stand their quantiles, for people.
"""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lorafw.errors import RolloutError
from lorafw.fleet.arrays import Codes, Integers
from lorafw.fleet.fleet import Fleet
from lorafw.fleet.plan import Plan
from lorafw.fleet.result import Result
from lorafw.fleet.rollout import simulate
from lorafw.fleet.simulation.codes import status_code
from lorafw.fleet.simulation.inputs import NEVER
from lorafw.fleet.simulation.random_streams import rng_keys, splitmix64
from lorafw.fleet.simulation.task_creation import task_order
from lorafw.rollout.fleet_draws import FleetMaker, draw_fleets
from lorafw.tasks.lifecycle import TaskStatus

REPLICATIONS: Final = 2_000
"""The smallest number of simulated rollouts that a prediction is made from."""

QUANTILES: Final = (0.005, 0.015, 0.05, 0.25, 0.5, 0.75, 0.95, 0.985, 0.995)
FLEETS: Final = 100
"""The number of fleets that the rollouts are simulated on."""

STALL_SHARE: Final = 0.5
"""An update has stalled if its task has not ended this share of a poll period after it was first offered."""

_POINTS: Final = 97
"""Number of hours at which the curves are kept, besides the last one."""
_GATEWAYS_AT_ONCE: Final = 10_000_000
"""Gateways times replications that are simulated at once, which takes about half a gigabyte."""
_MOST_COUNTS: Final = 100_000_000
"""The largest number of counts in a curve that is read: hours times rollouts."""
_HOUR_MS: Final = 3_600_000
_LONGEST_QUANTILE: Final = 0.999
"""The curves end when this share of the ends of a wave has come."""

Counts = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class WaveCurves:
    """The predicted curves of one wave: how the numbers of gateways grow with the hours.

    A row of ``completed``, ``failed`` and ``stalled`` is one simulated rollout in which the wave began. A column is one
    of the ``hours``.
    """

    hours: npt.NDArray[np.float64]
    """Hours since the wave began. Shape (hours,)."""
    completed: Counts
    """Number of COMPLETED gateways. Shape (rollouts, hours)."""
    failed: Counts
    """Number of FAILED gateways. Shape (rollouts, hours)."""
    stalled: Counts
    """Number of gateways whose update has stalled. Shape (rollouts, hours)."""
    stopped_h: npt.NDArray[np.float64]
    """When each rollout was stopped, in hours since the wave began. Infinity if it was not. Shape (rollouts,)."""
    size: int
    """Number of gateways in the wave."""

    @property
    def running(self) -> npt.NDArray[np.bool_]:
        """Whether each rollout was still running at each hour. Shape (rollouts, hours)."""
        hours_as_row = self.hours[np.newaxis, :]
        stopped_as_column = self.stopped_h[:, np.newaxis]
        is_running: npt.NDArray[np.bool_] = hours_as_row <= stopped_as_column
        return is_running


def predict(
    fleet: Fleet,
    plan: Plan,
    *,
    seed: int = 0,
    replications: int = REPLICATIONS,
    make_fleet: FleetMaker | None = None,
) -> dict[str, Any]:
    """Simulate a plan many times, and return the prediction as a JSON document.

    The fleet that is updated is not the fleet of the model, but one of the same kind. So the rollouts are simulated on
    many fleets (``fleet_draws``).

    Args:
        fleet: The gateways.
        plan: The plan.
        seed: The seed. The first replications are those of ``simulate`` with the same seed.
        replications: Number of rollouts.
        make_fleet: Draws a fleet of another size from the same model. None draws from the gateways of the fleet again.
    """
    replications = max(replications, REPLICATIONS)
    fleets = list(draw_fleets(fleet, plan, make_fleet, FLEETS, seed=seed))
    waves = _simulate_curves(fleets, plan, seed, replications)
    return {
        "replications": replications,
        "seed": seed,
        "gateways": fleet.size,
        "quantiles": list(QUANTILES),
        "waves": [_to_document(wave) for wave in waves],
    }


def stall_ms(poll_period_ms: float) -> int:
    """Return how long after its first offer an update has stalled.

    Args:
        poll_period_ms: The time between two polls.
    """
    return round(poll_period_ms * STALL_SHARE)


def read_curves(prediction: Mapping[str, Any], wave: int) -> WaveCurves | None:
    """Return the predicted curves of a wave.

    Args:
        prediction: The prediction of a saved plan, as ``predict`` returns it.
        wave: The index of the wave.

    Returns:
        The curves. None if the prediction has none, because the wave never began.

    Raises:
        RolloutError: The curves are too long to be read.
    """
    waves = prediction.get("waves", [])
    if wave >= len(waves) or not waves[wave]["rollouts"]:
        return None
    document = waves[wave]
    rollouts, hours = document["rollouts"], np.array(document["hours"])
    count = rollouts * len(hours)
    if count > _MOST_COUNTS:
        raise RolloutError(f"the prediction of wave {wave + 1} has {count:,} counts; make a new plan")
    stopped_h = np.full(rollouts, np.inf)
    for row, stop_hour in document["stopped"]:
        stopped_h[row] = stop_hour
    return WaveCurves(
        hours=hours,
        completed=_unpack(document["completed"]["curves"], rollouts, len(hours)),
        failed=_unpack(document["failed"]["curves"], rollouts, len(hours)),
        stalled=_unpack(document["stalled"]["curves"], rollouts, len(hours)),
        stopped_h=stopped_h,
        size=document["size"],
    )


@dataclass(frozen=True, slots=True, eq=False)
class WaveEnds:
    """How the tasks of one wave ended in many simulated rollouts.

    A row of an array is one rollout in which the wave began. A column is one gateway of the wave. Times are in
    milliseconds since the wave began. The time of something that did not happen is ``NEVER``, which is larger than all
    other times.
    """

    ended_ms: Integers
    """When each task ended. Shape (rollouts, gateways)."""
    status: Codes
    """The last status of each task, as a number (``status_code``). Shape (rollouts, gateways)."""
    stalled_ms: Integers
    """When each update stalled. Shape (rollouts, gateways)."""
    stopped_ms: Integers
    """When each rollout was stopped. Shape (rollouts,)."""

    def times_ms(self, status: TaskStatus) -> Integers:
        """Return the times at which tasks ended with a status, sorted within each rollout.

        Args:
            status: The status, such as COMPLETED.

        Returns:
            The times. Tasks that did not end with this status count as NEVER. Shape (rollouts, gateways).
        """
        has_status = self.status == status_code(status)
        ended_ms = np.where(has_status, self.ended_ms, NEVER)
        sorted_ms: Integers = np.sort(ended_ms, axis=1)
        return sorted_ms

    def sorted_stalls_ms(self) -> Integers:
        """Return the times at which updates stalled, sorted within each rollout. Shape (rollouts, gateways)."""
        sorted_ms: Integers = np.sort(self.stalled_ms, axis=1)
        return sorted_ms


def _simulate_curves(fleets: Sequence[Fleet], plan: Plan, seed: int, replications: int) -> list[WaveCurves]:
    """Simulate the rollouts group by group, so that they fit into memory, and return the curves of each wave.

    Args:
        fleets: The fleets that the rollouts are simulated on.
        plan: The plan.
        seed: The seed of the first group.
        replications: Number of rollouts.
    """
    groups = list(_groups(fleets, seed, replications))

    # 1. The first groups tell at which hours the curves are kept. They are as many as fit into memory at once.
    first_count = max(1, _GATEWAYS_AT_ONCE // (fleets[0].size * groups[0].replications))
    first_ends = [_simulate_ends(group, plan) for group in groups[:first_count]]
    hours_of_waves = [_choose_hours(ends_of_wave) for ends_of_wave in zip(*first_ends, strict=True)]
    curves_of_groups = [_curves_of_waves(ends, hours_of_waves) for ends in first_ends]
    del first_ends

    # 2. All other groups are simulated one by one, and only their curves are kept.
    for group in groups[first_count:]:
        curves_of_groups.append(_curves_of_waves(_simulate_ends(group, plan), hours_of_waves))

    # 3. Join the curves of all groups, wave by wave.
    return [_join(curves_of_wave) for curves_of_wave in zip(*curves_of_groups, strict=True)]


@dataclass(frozen=True, slots=True)
class _Group:
    """Rollouts that are simulated at once, on one fleet."""

    fleet: Fleet
    seed: int
    replications: int
    """Number of rollouts."""


def _groups(fleets: Sequence[Fleet], seed: int, replications: int) -> Iterator[_Group]:
    """Yield groups of rollouts that fit into memory, at least one for each fleet."""
    largest_group = max(1, _GATEWAYS_AT_ONCE // fleets[0].size)
    count = max(len(fleets), math.ceil(replications / largest_group))
    limits = np.linspace(0, replications, count + 1).round().astype(int).tolist()
    for number, (start, end) in enumerate(pairwise(limits)):
        group_seed = seed if number == 0 else splitmix64(seed + number) >> 1
        yield _Group(fleets[number % len(fleets)], group_seed, end - start)


def _simulate_ends(group: _Group, plan: Plan) -> list[WaveEnds]:
    """Simulate a group of rollouts, and return how the tasks of each wave ended."""
    result = simulate(group.fleet, plan, seed=group.seed, replications=group.replications)
    return list(simulated_waves(result))


def simulated_waves(result: Result) -> Iterator[WaveEnds]:
    """Yield how the tasks of each wave ended.

    Args:
        result: The simulated rollouts.
    """
    rollouts_as_column = np.arange(result.replications)[:, np.newaxis]
    gateways_as_row = result.fleet.number[np.newaxis, :]
    rng_key = rng_keys(result.seed, rollouts_as_column, gateways_as_row)
    # Shape (rollouts, gateways): the indices of the gateways, in the order in which a rollout creates their tasks.
    order = task_order(result.plan, rng_key)
    wave_start = 0
    for number, wave_end in enumerate(result.plan.wave_ends(result.fleet.size)):
        started_ms = np.zeros(result.replications, dtype=np.int64)
        if result.waves:
            started_ms = result.waves[number].started_ms
        yield _ends_of_wave(result, order[:, wave_start:wave_end], started_ms)
        wave_start = wave_end


def _ends_of_wave(result: Result, gateways: Integers, started_ms: Integers) -> WaveEnds:
    """Return how the tasks of one wave ended.

    Args:
        result: The simulated rollouts.
        gateways: The indices of the gateways of the wave. Shape (rollouts, gateways of the wave).
        started_ms: When the wave began in each rollout. NEVER if it did not begin. Shape (rollouts,).
    """
    # 1. Take the gateways of the wave, in the rollouts in which it began.
    has_begun = started_ms < NEVER
    histories = result.histories
    offered_ms = np.take_along_axis(histories.offered_ms, gateways, axis=1)[has_begun]
    ended_ms = np.take_along_axis(histories.ended_ms, gateways, axis=1)[has_begun]
    status = np.take_along_axis(histories.status, gateways, axis=1)[has_begun]

    # 2. An update has stalled if its task had not ended some time after the first offer.
    stall_time_ms = offered_ms + stall_ms(float(np.median(result.fleet.period_ms)))
    has_stalled = (offered_ms < NEVER) & (ended_ms > stall_time_ms)
    stalled_ms = np.where(has_stalled, stall_time_ms, NEVER)

    # 3. Count the times from the start of the wave.
    start_ms = started_ms[has_begun]
    start_as_column = start_ms[:, np.newaxis]
    return WaveEnds(
        ended_ms=_since(ended_ms, start_as_column),
        status=status,
        stalled_ms=_since(stalled_ms, start_as_column),
        stopped_ms=_since(result.stopped_ms[has_begun], start_ms),
    )


def _since(time_ms: Integers, start_ms: Integers) -> Integers:
    """Return the durations from a start to some times. NEVER stays NEVER."""
    since_ms: Integers = np.where(time_ms < NEVER, time_ms - start_ms, NEVER)
    return since_ms


def _choose_hours(groups: Sequence[WaveEnds]) -> npt.NDArray[np.float64]:
    """Return the hours at which the curves of a wave are kept. The last one stands for all later ones."""
    all_ended_ms = np.concatenate([ends.ended_ms.ravel() for ends in groups])
    ended_ms = all_ended_ms[all_ended_ms < NEVER]
    if not ended_ms.size:
        return np.zeros(1)
    last_h = float(np.quantile(ended_ms, _LONGEST_QUANTILE)) / _HOUR_MS
    return np.append(np.linspace(0, last_h, _POINTS), float(ended_ms.max()) / _HOUR_MS)


def _curves_of_waves(waves: Sequence[WaveEnds], hours_of_waves: Sequence[npt.NDArray[np.float64]]) -> list[WaveCurves]:
    """Return the curves of each wave in some rollouts."""
    return [_curves(ends, hours) for ends, hours in zip(waves, hours_of_waves, strict=True)]


def _curves(ends: WaveEnds, hours: npt.NDArray[np.float64]) -> WaveCurves:
    """Return the curves of a wave in some rollouts.

    Args:
        ends: How the tasks of the wave ended.
        hours: The hours at which the curves are kept. Shape (hours,).
    """
    until_ms = hours * _HOUR_MS
    until_ms[-1] = NEVER / 2  # the last count is that of all times except NEVER
    stopped_h = np.where(ends.stopped_ms < NEVER, ends.stopped_ms / _HOUR_MS, np.inf)
    return WaveCurves(
        hours=hours,
        completed=_count(ends.times_ms(TaskStatus.COMPLETED), until_ms),
        failed=_count(ends.times_ms(TaskStatus.FAILED), until_ms),
        stalled=_count(ends.sorted_stalls_ms(), until_ms),
        stopped_h=stopped_h,
        size=ends.ended_ms.shape[1],
    )


def _count(sorted_ms: Integers, until_ms: npt.NDArray[np.float64]) -> Counts:
    """Return how many of the sorted times of each rollout had come by each moment. Shape (rollouts, moments)."""
    rows = [np.searchsorted(times_ms, until_ms, side="right") for times_ms in sorted_ms]
    return np.array(rows, dtype=np.int32).reshape(len(sorted_ms), len(until_ms))


def _join(groups: Sequence[WaveCurves]) -> WaveCurves:
    """Return the curves of several groups of rollouts as one."""
    return WaveCurves(
        hours=groups[0].hours,
        completed=np.concatenate([curves.completed for curves in groups]),
        failed=np.concatenate([curves.failed for curves in groups]),
        stalled=np.concatenate([curves.stalled for curves in groups]),
        stopped_h=np.concatenate([curves.stopped_h for curves in groups]),
        size=groups[0].size,
    )


def _to_document(wave: WaveCurves) -> dict[str, Any]:
    """Return the curves of a wave as a JSON document."""
    stopped_rows = np.flatnonzero(np.isfinite(wave.stopped_h)).tolist()
    return {
        "size": wave.size,
        "rollouts": len(wave.completed),
        "stopped": [[row, round(float(wave.stopped_h[row]), 6)] for row in stopped_rows],
        "hours": [round(hour, 6) for hour in wave.hours.tolist()],
        "completed": _describe(wave.completed),
        "failed": _describe(wave.failed),
        "stalled": _describe(wave.stalled),
    }


def _describe(counts: Counts) -> dict[str, Any]:
    """Return the mean, the quantiles and the packed curves."""
    if not len(counts):
        return {"mean": [], "quantiles": [], "curves": ""}
    quantiles = np.quantile(counts, QUANTILES, axis=0, method="inverted_cdf")
    return {
        "mean": np.round(counts.mean(axis=0), 2).tolist(),
        "quantiles": quantiles.astype(int).tolist(),
        "curves": _pack(counts),
    }


def _pack(counts: Counts) -> str:
    """Return counts as text: little-endian int32, by rows, in zlib and base64."""
    return base64.b64encode(zlib.compress(counts.astype("<i4").tobytes(), 6)).decode()


def _unpack(text: str, rows: int, columns: int) -> Counts:
    """Return the counts that ``_pack`` has written. Not more than the expected bytes are decompressed."""
    size_bytes = rows * columns * 4
    content = zlib.decompressobj().decompress(base64.b64decode(text), size_bytes)
    return np.frombuffer(content, dtype="<i4").reshape(rows, columns)
