"""The prediction of a plan: for each wave, how many gateways are COMPLETED and FAILED, by hours since it began.

The curves of all replications are kept, because a simultaneous envelope needs whole curves. They are packed as zlib in
base64. Beside them stand their quantiles, for people.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lorafw.fleet.fleet import Fleet
from lorafw.fleet.plan import Plan
from lorafw.fleet.result import Result
from lorafw.fleet.rollout import simulate
from lorafw.fleet.simulation.codes import status_code
from lorafw.fleet.simulation.inputs import NEVER
from lorafw.fleet.simulation.random_streams import rng_keys, splitmix64
from lorafw.fleet.simulation.task_creation import task_order
from lorafw.tasks.lifecycle import TaskStatus

REPLICATIONS: Final = 2_000
"""The smallest number of simulated rollouts that a prediction is made from."""

QUANTILES: Final = (0.005, 0.015, 0.05, 0.25, 0.5, 0.75, 0.95, 0.985, 0.995)
_POINTS: Final = 97
"""Number of hours at which the curves are kept."""
_GATEWAYS_AT_ONCE: Final = 10_000_000
"""Gateways times replications that are simulated at once, which takes about half a gigabyte."""
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


def predict(fleet: Fleet, plan: Plan, *, seed: int = 0, replications: int = REPLICATIONS) -> dict[str, Any]:
    """Simulate a plan many times, and return the prediction as a JSON document.

    Args:
        fleet: The gateways.
        plan: The plan.
        seed: The seed. The first replications are those of ``simulate`` with the same seed.
        replications: Number of rollouts.
    """
    curves = _simulate_curves(fleet, plan, seed, max(replications, REPLICATIONS))
    return {
        "replications": max(replications, REPLICATIONS),
        "seed": seed,
        "gateways": fleet.size,
        "quantiles": list(QUANTILES),
        "waves": [_to_document(wave) for wave in curves],
    }


def read_curves(prediction: Mapping[str, Any], wave: int) -> WaveCurves | None:
    """Return the curves of a wave. None if the prediction has none, because the wave never began.

    Args:
        prediction: The prediction of a saved plan.
        wave: The index of the wave.
    """
    waves = prediction.get("waves", [])
    if wave >= len(waves) or not waves[wave]["rollouts"]:
        return None
    document = waves[wave]
    shape = (document["rollouts"], len(document["hours"]))
    completed, failed = (_unpack(document[name]["curves"], shape) for name in ("completed", "failed"))
    return WaveCurves(np.array(document["hours"]), completed, failed)


def _simulate_curves(fleet: Fleet, plan: Plan, seed: int, replications: int) -> list[WaveCurves]:
    """Return the curves of each wave, simulated in groups that fit into memory."""
    hours: list[npt.NDArray[np.float64]] = []
    parts: list[list[WaveCurves]] = []
    for group_seed, count in _groups(fleet.size, seed, replications):
        result = simulate(fleet, plan, seed=group_seed, replications=count)
        waves = list(_iter_ends(result))
        if not hours:
            hours = [_grid(*wave) for wave in waves]
        parts.append([_curves(*wave, grid) for wave, grid in zip(waves, hours, strict=True)])
    return [_join(wave_parts) for wave_parts in zip(*parts, strict=True)]


def _groups(size: int, seed: int, replications: int) -> Iterator[tuple[int, int]]:
    """Yield the seed and the number of replications of each group."""
    most = max(1, _GATEWAYS_AT_ONCE // size)
    for number, start in enumerate(range(0, replications, most)):
        group_seed = seed if number == 0 else splitmix64(seed + number) >> 1
        yield group_seed, min(most, replications - start)


def _iter_ends(result: Result) -> Iterator[tuple[Any, Any]]:
    """Yield for each wave when its tasks ended, in ms since it began, and their status: a row for each rollout."""
    rng_key = rng_keys(result.seed, np.arange(result.replications)[:, None], result.fleet.number[None, :])
    order = task_order(result.plan, rng_key)
    wave_start = 0
    for number, wave_end in enumerate(result.plan.wave_ends(result.fleet.size)):
        index = order[:, wave_start:wave_end]
        started_ms = np.zeros(result.replications, dtype=np.int64)
        if result.waves:
            started_ms = result.waves[number].started_ms
        began = started_ms < NEVER
        ended_ms = np.take_along_axis(result.histories.ended_ms, index, axis=1)[began]
        status = np.take_along_axis(result.histories.status, index, axis=1)[began]
        yield np.where(ended_ms < NEVER, ended_ms - started_ms[began, None], NEVER), status
        wave_start = wave_end


def _grid(ended_ms: Any, _status: Any) -> npt.NDArray[np.float64]:
    """Return the hours at which the curves of a wave are kept."""
    finite = ended_ms[ended_ms < NEVER]
    if not finite.size:
        return np.zeros(1)
    last_h = float(np.quantile(finite, _LONGEST_QUANTILE)) / _HOUR_MS
    return np.linspace(0, last_h, _POINTS)


def _curves(ended_ms: Any, status: Any, hours: npt.NDArray[np.float64]) -> WaveCurves:
    """Return the curves of a wave in some rollouts."""
    counts = []
    for wanted in (TaskStatus.COMPLETED, TaskStatus.FAILED):
        times_ms = np.sort(np.where(status == status_code(wanted), ended_ms, NEVER), axis=1)
        rows = [np.searchsorted(row, hours * _HOUR_MS, side="right") for row in times_ms]
        counts.append(np.array(rows, dtype=np.int32).reshape(len(rows), len(hours)))
    return WaveCurves(hours, *counts)


def _join(parts: Sequence[WaveCurves]) -> WaveCurves:
    """Return the curves of several groups as one."""
    completed = np.concatenate([part.completed for part in parts])
    return WaveCurves(parts[0].hours, completed, np.concatenate([part.failed for part in parts]))


def _to_document(wave: WaveCurves) -> dict[str, Any]:
    """Return the curves of a wave as a JSON document."""
    return {
        "rollouts": len(wave.completed),
        "hours": [round(hour, 6) for hour in wave.hours.tolist()],
        "completed": _describe(wave.completed),
        "failed": _describe(wave.failed),
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
