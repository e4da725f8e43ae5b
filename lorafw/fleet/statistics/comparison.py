"""Compare two plans on one fleet with common random numbers: every gateway has the same random numbers under both.

The rollout is the unit: each replication gives one difference, and the differences have Student's t interval. Since
only the plans differ, far fewer replications are needed to tell them apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from lorafw.fleet._validation import check_level, check_whole
from lorafw.fleet.arrays import Floats
from lorafw.fleet.fleet import Fleet
from lorafw.fleet.plan import Plan
from lorafw.fleet.result import Result
from lorafw.fleet.rollout import simulate
from lorafw.fleet.simulation.codes import status_code
from lorafw.fleet.simulation.inputs import NEVER
from lorafw.fleet.statistics.estimates import quantile_index, quantile_name, t_interval
from lorafw.fleet.statistics.summary import Estimate
from lorafw.tasks.lifecycle import TaskStatus

QUANTILES: Final = (0.5, 0.95)
_COMPLETED: Final = status_code(TaskStatus.COMPLETED)
_FAILED: Final = status_code(TaskStatus.FAILED)


@dataclass(frozen=True, slots=True)
class PlanDifference:
    """One metric under two plans."""

    name: str
    first: Estimate
    second: Estimate
    difference: Estimate
    """The second minus the first, over replications with common random numbers."""
    variance_ratio: float | None
    """How many times more replications independent random numbers would need for the same interval.

    None if no replication differs.
    """


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
    """Compare two plans, metric by metric.

    Args:
        fleet: The gateways and their conditions.
        first: The plan to compare with.
        second: The plan that is compared.
        seed: The seed of the random numbers that both plans share.
        replications: Number of rollouts of each plan, at least 2.
        level: The confidence level of the intervals.
        executor: A ``concurrent.futures.Executor``, or None for a thread pool.
        progress: Called as ``progress(done, total)`` with numbers of gateways. It counts from 0 again for the second
            plan.

    Returns:
        One difference for each metric, with its confidence interval.

    Raises:
        FleetError: A plan does not fit the fleet, or an argument is out of range.
    """
    check_whole("replications", replications, least=2)
    check_level(level)
    metrics = []
    for plan in (first, second):
        result = simulate(fleet, plan, seed=seed, replications=replications, executor=executor, progress=progress)
        metrics.append(replication_metrics(result))
    return [_difference(name, metrics[0][name], metrics[1][name], level) for name in metrics[0]]


def replication_metrics(result: Result) -> dict[str, Floats]:
    """Return the metrics of each replication as arrays. Times are in s; NaN means that there is nothing to measure."""
    histories, size = result.histories, result.fleet.size
    completed = histories.status == _COMPLETED
    completed_count = completed.sum(axis=1)
    sends = histories.delivered_sends.sum(axis=1, dtype=np.int64)
    last_end_ms = np.where(histories.ended_ms < NEVER, histories.ended_ms, -1).max(axis=1)
    return {
        "completed_share": completed_count / size,
        "failed_share": (histories.status == _FAILED).sum(axis=1) / size,
        "mean_sends": sends / size,
        **_completion_quantiles(np.where(completed, histories.ended_ms, NEVER), completed_count),
        "time_to_last_s": _seconds(last_end_ms, last_end_ms >= 0),
        "bytes_sent": sends * float(result.plan.update.size_bytes) + histories.broken_bytes.sum(axis=1),
        "aborted_share": (result.stopped_ms < NEVER).astype(np.float64),
    }


def _completion_quantiles(completed_ms: Any, completed_count: Any) -> dict[str, Floats]:
    """Return the quantiles of the time to COMPLETED of each replication, in s."""
    sorted_ms = np.sort(completed_ms, axis=1)
    rows = np.arange(len(sorted_ms))
    quantiles = {}
    for quantile in QUANTILES:
        times_ms = sorted_ms[rows, quantile_index(quantile, completed_count)]
        quantiles[f"time_to_completed_s {quantile_name(quantile)}"] = _seconds(times_ms, completed_count > 0)
    return quantiles


def _seconds(times_ms: Any, is_known: Any) -> Floats:
    """Return times in seconds, NaN where a time is not known."""
    result: Floats = np.where(is_known, times_ms / 1000, np.nan)
    return result


def _difference(name: str, first: Floats, second: Floats, level: float) -> PlanDifference:
    """Return the difference of one metric. Replications that lack it under one of the plans are left out."""
    measured = np.isfinite(first) & np.isfinite(second)
    first, second = first[measured], second[measured]
    difference_variance = float(np.var(second - first)) if len(first) > 1 else 0.0
    variance_ratio = None
    if difference_variance > 0:
        variance_ratio = float(np.var(first) + np.var(second)) / difference_variance
    difference = t_interval(second - first, level)
    return PlanDifference(name, t_interval(first, level), t_interval(second, level), difference, variance_ratio)
