"""The prediction of a plan: for each wave, how many gateways are COMPLETED and FAILED, by hours since it began.

A third count are the gateways whose update has stalled: half a poll period after it was first offered, their task had
not ended. Most of them had a try that failed. They show a bad update a day before the task statuses do.

The curves of all replications are kept, because a simultaneous envelope needs whole curves. They are packed as zlib in
base64. Beside them stand their quantiles, for people.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lorafw.errors import RolloutError
from lorafw.fleet.fleet import Fleet
from lorafw.fleet.plan import Plan
from lorafw.fleet.result import Result
from lorafw.fleet.rollout import simulate
from lorafw.fleet.simulation.codes import U8, status_code
from lorafw.fleet.simulation.inputs import I64, NEVER
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

_COUNTS: Final = ("completed", "failed", "stalled")
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
    """The predicted curves of one wave."""

    hours: npt.NDArray[np.float64]
    """Hours since the wave began."""
    completed: Counts
    """How many gateways are COMPLETED: one row for each rollout in which the wave began, one column for each hour."""
    failed: Counts
    """How many are FAILED."""
    stalled: Counts
    """How many have stalled."""
    stopped_h: npt.NDArray[np.float64]
    """When each of these rollouts was stopped, in hours since the wave began. Infinity if it was not."""
    size: int
    """The number of gateways in the wave."""

    @property
    def running(self) -> npt.NDArray[np.bool_]:
        """Whether each rollout had not been stopped at each hour."""
        is_running: npt.NDArray[np.bool_] = self.hours[None, :] <= self.stopped_h[:, None]
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
    """Return the curves of a wave. None if the prediction has none, because the wave never began.

    Args:
        prediction: The prediction of a saved plan.
        wave: The index of the wave.

    Raises:
        RolloutError: The curves are too long to be read.
    """
    waves = prediction.get("waves", [])
    if wave >= len(waves) or not waves[wave]["rollouts"]:
        return None
    document = waves[wave]
    shape = (document["rollouts"], len(document["hours"]))
    if shape[0] * shape[1] > _MOST_COUNTS:
        raise RolloutError(f"the prediction of wave {wave + 1} has {shape[0] * shape[1]:,} counts; make a new plan")
    completed, failed, stalled = (_unpack(document[name]["curves"], shape) for name in _COUNTS)
    stopped_h = np.full(document["rollouts"], np.inf)
    for row, hours in document["stopped"]:
        stopped_h[row] = hours
    return WaveCurves(np.array(document["hours"]), completed, failed, stalled, stopped_h, document["size"])


@dataclass(frozen=True, slots=True, eq=False)
class WaveEnds:
    """How the tasks of one wave ended: a row for each rollout in which the wave began."""

    ended_ms: I64
    """When each task ended, since the wave began. NEVER if it did not."""
    status: U8
    """The status of each task, as a code."""
    stalled_ms: I64
    """When each update stalled, since the wave began. NEVER if it did not."""
    stopped_ms: I64
    """When each rollout was stopped, since the wave began. NEVER if it was not."""

    def times_ms(self, status: TaskStatus) -> I64:
        """Return when tasks ended with a status, sorted: a row for each rollout, with NEVER at its end."""
        times_ms: I64 = np.sort(np.where(self.status == status_code(status), self.ended_ms, NEVER), axis=1)
        return times_ms

    def sorted_stalls_ms(self) -> I64:
        """Return when updates stalled, sorted like ``times_ms``."""
        times_ms: I64 = np.sort(self.stalled_ms, axis=1)
        return times_ms


def _simulate_curves(fleets: Sequence[Fleet], plan: Plan, seed: int, replications: int) -> list[WaveCurves]:
    """Return the curves of each wave. The hours at which they are kept come from the first groups of rollouts."""
    groups = list(_groups(fleets, seed, replications))
    first_count = max(1, _GATEWAYS_AT_ONCE // (fleets[0].size * groups[0].replications))
    first = [_simulate_ends(group, plan) for group in groups[:first_count]]
    grids = [_grid(wave_ends) for wave_ends in zip(*first, strict=True)]
    parts = [_curves_of_waves(ends, grids) for ends in first]
    del first
    parts += [_curves_of_waves(_simulate_ends(group, plan), grids) for group in groups[first_count:]]
    return [_join(wave_parts) for wave_parts in zip(*parts, strict=True)]


@dataclass(frozen=True, slots=True)
class _Group:
    """Rollouts that are simulated at once, on one fleet."""

    fleet: Fleet
    seed: int
    replications: int


def _groups(fleets: Sequence[Fleet], seed: int, replications: int) -> Iterator[_Group]:
    """Yield groups of rollouts that fit into memory, at least one for each fleet."""
    most = max(1, _GATEWAYS_AT_ONCE // fleets[0].size)
    count = max(len(fleets), -(-replications // most))
    ends = np.linspace(0, replications, count + 1).round().astype(int).tolist()
    for number, (start, end) in enumerate(pairwise(ends)):
        group_seed = seed if number == 0 else splitmix64(seed + number) >> 1
        yield _Group(fleets[number % len(fleets)], group_seed, end - start)


def _simulate_ends(group: _Group, plan: Plan) -> list[WaveEnds]:
    """Simulate a group of rollouts, and return how the tasks of each wave ended."""
    return list(simulated_waves(simulate(group.fleet, plan, seed=group.seed, replications=group.replications)))


def simulated_waves(result: Result) -> Iterator[WaveEnds]:
    """Yield how the tasks of each wave ended."""
    rng_key = rng_keys(result.seed, np.arange(result.replications)[:, None], result.fleet.number[None, :])
    order = task_order(result.plan, rng_key)
    patience_ms = stall_ms(float(np.median(result.fleet.period_ms)))
    wave_start = 0
    for number, wave_end in enumerate(result.plan.wave_ends(result.fleet.size)):
        index = order[:, wave_start:wave_end]
        started_ms = np.zeros(result.replications, dtype=np.int64)
        if result.waves:
            started_ms = result.waves[number].started_ms
        began = started_ms < NEVER
        offered_ms, ended_ms, status = (
            np.take_along_axis(getattr(result.histories, name), index, axis=1)[began]
            for name in ("offered_ms", "ended_ms", "status")
        )
        has_stalled = (offered_ms < NEVER) & (ended_ms > offered_ms + patience_ms)
        stalled_ms = np.where(has_stalled, offered_ms + patience_ms, NEVER)
        started_ms, stopped_ms = started_ms[began], result.stopped_ms[began]
        yield WaveEnds(
            ended_ms=_since(ended_ms, started_ms[:, None]),
            status=status,
            stalled_ms=_since(stalled_ms, started_ms[:, None]),
            stopped_ms=_since(stopped_ms, started_ms),
        )
        wave_start = wave_end


def _since(time_ms: I64, started_ms: I64) -> I64:
    """Return times as durations since others. NEVER stays NEVER."""
    since_ms: I64 = np.where(time_ms < NEVER, time_ms - started_ms, NEVER)
    return since_ms


def _grid(groups: Sequence[WaveEnds]) -> npt.NDArray[np.float64]:
    """Return the hours at which the curves of a wave are kept. The last one stands for all later ones."""
    ended_ms = np.concatenate([ends.ended_ms.ravel() for ends in groups])
    finite = ended_ms[ended_ms < NEVER]
    if not finite.size:
        return np.zeros(1)
    last_h = float(np.quantile(finite, _LONGEST_QUANTILE)) / _HOUR_MS
    return np.append(np.linspace(0, last_h, _POINTS), float(finite.max()) / _HOUR_MS)


def _curves_of_waves(waves: Sequence[WaveEnds], grids: Sequence[npt.NDArray[np.float64]]) -> list[WaveCurves]:
    """Return the curves of each wave in some rollouts."""
    return [_curves(ends, grid) for ends, grid in zip(waves, grids, strict=True)]


def _curves(ends: WaveEnds, hours: npt.NDArray[np.float64]) -> WaveCurves:
    """Return the curves of a wave in some rollouts."""
    until_ms = hours * _HOUR_MS
    until_ms[-1] = NEVER / 2
    completed, failed = (
        _count(ends.times_ms(status), until_ms) for status in (TaskStatus.COMPLETED, TaskStatus.FAILED)
    )
    stalled = _count(ends.sorted_stalls_ms(), until_ms)
    stopped_h = np.where(ends.stopped_ms < NEVER, ends.stopped_ms / _HOUR_MS, np.inf)
    return WaveCurves(hours, completed, failed, stalled, stopped_h, ends.ended_ms.shape[1])


def _count(times_ms: I64, until_ms: npt.NDArray[np.float64]) -> Counts:
    """Return how many of the sorted times of each rollout had come by each moment."""
    rows = [np.searchsorted(row, until_ms, side="right") for row in times_ms]
    return np.array(rows, dtype=np.int32).reshape(len(times_ms), len(until_ms))


def _join(parts: Sequence[WaveCurves]) -> WaveCurves:
    """Return the curves of several groups as one."""
    completed, failed, stalled, stopped_h = (
        np.concatenate([getattr(part, name) for part in parts]) for name in (*_COUNTS, "stopped_h")
    )
    return WaveCurves(parts[0].hours, completed, failed, stalled, stopped_h, parts[0].size)


def _to_document(wave: WaveCurves) -> dict[str, Any]:
    """Return the curves of a wave as a JSON document."""
    stopped = np.flatnonzero(np.isfinite(wave.stopped_h)).tolist()
    return {
        "size": wave.size,
        "rollouts": len(wave.completed),
        "stopped": [[row, round(float(wave.stopped_h[row]), 6)] for row in stopped],
        "hours": [round(hour, 6) for hour in wave.hours.tolist()],
        **{name: _describe(getattr(wave, name)) for name in _COUNTS},
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


def _unpack(text: str, shape: tuple[int, int]) -> Counts:
    """Return the counts that ``_pack`` has written."""
    size_bytes = shape[0] * shape[1] * 4
    content = zlib.decompressobj().decompress(base64.b64decode(text), size_bytes)
    return np.frombuffer(content, dtype="<i4").reshape(shape)
