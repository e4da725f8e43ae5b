"""Two plans on one fleet, with common random numbers: every gateway has the same luck under both.

The rollout is the unit: each replication gives one difference, and these have Student's interval. What differs is due
to the plans, so far fewer replications tell them apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lorafw.fleet._validation import check_level, check_whole
from lorafw.fleet.fleet import Fleet
from lorafw.fleet.plan import Plan
from lorafw.fleet.result import Result
from lorafw.fleet.rollout import simulate
from lorafw.fleet.simulation.codes import status_code
from lorafw.fleet.simulation.inputs import NEVER
from lorafw.fleet.statistics.estimates import quantile_index, t_interval
from lorafw.fleet.statistics.summary import Estimate
from lorafw.tasks.lifecycle import TaskStatus

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PlanDifference:
    """One figure under two plans, and ``difference``: second - first, of replications with equal luck.

    ``fewer``: with luck of its own for each plan, so many times the replications would be needed for that interval;
    None where no replication differs.
    """

    name: str
    first: Estimate
    second: Estimate
    difference: Estimate
    fewer: float | None


def compare(
    fleet: Fleet,
    first: Plan,
    second: Plan,
    *,
    seed: int = 0,
    replications: int = 20,
    level: float = 0.95,
    executor: Any = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[PlanDifference]:
    """What the second plan does differently, figure by figure. Raises FleetError.

    ``progress`` goes twice from 0 to replications x gateways, once for each plan.
    """
    check_whole("replications", replications, least=2)
    check_level(level)
    sides = []
    for plan in (first, second):
        result = simulate(fleet, plan, seed=seed, replications=replications, executor=executor, progress=progress)
        sides.append(replication_metrics(result))
    return [_difference(name, sides[0][name], sides[1][name], level) for name in sides[0]]


def replication_metrics(result: Result) -> dict[str, F64]:
    """The figures of each replication; NaN where there is nothing to measure. Times in s."""
    histories, size = result.histories, result.fleet.size
    completed = histories.status == _COMPLETED
    done = completed.sum(axis=1)
    times = np.sort(np.where(completed, histories.ended_ms, NEVER), axis=1)
    rows = np.arange(len(times))
    sends = histories.delivered_sends.sum(axis=1, dtype=np.int64)
    last = np.where(histories.ended_ms < NEVER, histories.ended_ms, -1).max(axis=1)
    return {
        "completed_share": done / size,
        "failed_share": (histories.status == _FAILED).sum(axis=1) / size,
        "mean_sends": sends / size,
        **{
            f"time_to_completed_s p{quantile * 100:g}": _seconds(times[rows, quantile_index(quantile, done)], done > 0)
            for quantile in QUANTILES
        },
        "time_to_last_s": _seconds(last, last >= 0),
        "bytes_sent": sends * float(result.plan.update.size_bytes) + histories.broken_bytes.sum(axis=1),
        "aborted_share": (result.stopped_ms < NEVER).astype(np.float64),
    }


QUANTILES: Final = (0.5, 0.95)
_COMPLETED: Final = status_code(TaskStatus.COMPLETED)
_FAILED: Final = status_code(TaskStatus.FAILED)


def _seconds(times_ms: Any, known: Any) -> F64:
    result: F64 = np.where(known, times_ms / 1000, np.nan)
    return result


def _difference(name: str, first: F64, second: F64, level: float) -> PlanDifference:
    both = np.isfinite(first) & np.isfinite(second)
    a, b = first[both], second[both]
    together = float(np.var(b - a)) if len(a) > 1 else 0.0
    fewer = float(np.var(a) + np.var(b)) / together if together > 0 else None
    return PlanDifference(name, t_interval(a, level), t_interval(b, level), t_interval(b - a, level), fewer)
