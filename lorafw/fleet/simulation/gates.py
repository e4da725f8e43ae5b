"""When a rollout goes on and when it stops: gates after a wave, and the abort criterion."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import betainc

from lorafw.fleet.arrays import Codes, Integers, Mask, divide_rounding_up
from lorafw.fleet.plan import Abort, BetaBinomial, Gate, Manual, Threshold
from lorafw.fleet.simulation.codes import status_code
from lorafw.fleet.simulation.inputs import NEVER
from lorafw.tasks.lifecycle import TaskStatus

_COMPLETED = status_code(TaskStatus.COMPLETED)
_FAILED = status_code(TaskStatus.FAILED)


class GateDecision(IntEnum):
    """The decision of a gate."""

    HOLD = 0
    GO = 1
    ABORT = 2


def evaluate_gate(gate: Gate, completed: Any, failed: Any, size: int) -> npt.NDArray[np.int8]:
    """Return whether a gate lets the next wave start (GO), stops the rollout (ABORT), or decides later (HOLD).

    Args:
        gate: The gate.
        completed: How many gateways of the wave are COMPLETED: a number, or an array for many rollouts.
        failed: How many of them are FAILED: a number, or an array of the same shape.
        size: Number of gateways in the wave.

    Returns:
        A GateDecision for each pair of numbers. If both GO and ABORT are possible, it is ABORT. A ``Manual`` gate
        counts as promoted.
    """
    completed, failed = np.asarray(completed), np.asarray(failed)
    if isinstance(gate, Manual):
        return np.full(completed.shape, GateDecision.GO, dtype=np.int8)
    if isinstance(gate, Threshold):
        go = completed / size >= gate.success
        abort = failed / size >= gate.error
    else:
        go, abort = _posterior_decision(gate, completed, failed)
    return np.select([abort, go], [GateDecision.ABORT, GateDecision.GO], GateDecision.HOLD).astype(np.int8)


def _posterior_decision(gate: BetaBinomial, completed: Any, failed: Any) -> tuple[Any, Any]:
    """Return where the posterior probability of an acceptable failure rate suffices for GO, and where for ABORT."""
    probability = betainc(gate.prior_failed + failed, gate.prior_completed + completed, gate.acceptable)
    return probability >= gate.go, 1 - probability >= gate.abort


def first_decision(
    gate: Gate, first_check_ms: Integers, check_interval_ms: int, max_checks: int, status: Codes, ended_ms: Integers
) -> tuple[npt.NDArray[np.int8], Integers]:
    """Check a gate again and again until it decides, in many rollouts at once.

    A gate that still holds at its last check aborts.

    Args:
        gate: The gate.
        first_check_ms: When the gate is first checked in each rollout.
        check_interval_ms: The time between two checks.
        max_checks: Number of checks.
        status: The status of each gateway of the wave, one row for each rollout.
        ended_ms: When each task ended, of the same shape.

    Returns:
        For each rollout, the decision (GO or ABORT) and the time at which it is made.
    """
    rollouts, size = status.shape
    # 1. For each task, the number of the check that first sees its end, from 0. Ends that no check sees get max_checks.
    waiting_ms = np.maximum(ended_ms - first_check_ms[:, None], 0)
    check = np.minimum(divide_rounding_up(waiting_ms, check_interval_ms), max_checks)
    # 2. The decision at each check: arrays with one row for each rollout and one column for each check.
    completed = _cumulative_counts(check, status == _COMPLETED, max_checks)
    failed = _cumulative_counts(check, status == _FAILED, max_checks)
    decisions = evaluate_gate(gate, completed, failed, size)
    out_of_time = decisions[:, -1] == GateDecision.HOLD
    decisions[out_of_time, -1] = GateDecision.ABORT
    # 3. The first check of each rollout that does not hold.
    deciding_check = (decisions != GateDecision.HOLD).argmax(axis=1)
    decision = decisions[np.arange(rollouts), deciding_check]
    return decision, first_check_ms + deciding_check * check_interval_ms


def _cumulative_counts(check: Integers, selected: Mask, max_checks: int) -> Integers:
    """Count for each rollout and check how many of the selected ends the check sees: shape (rollouts, max_checks)."""
    rollouts = len(check)
    width = max_checks + 1  # the last column counts the ends that no check sees
    flat_index = check + np.arange(rollouts)[:, None] * width
    counts = np.bincount(flat_index[selected], minlength=rollouts * width).reshape(rollouts, width)
    cumulative: Integers = counts.cumsum(axis=1)[:, :max_checks]
    return cumulative


def first_abort_ms(abort: Abort, status: Codes, ended_ms: Integers) -> Integers:
    """Return when the abort criterion is first met in each rollout, NEVER if it is not.

    Args:
        abort: The criterion.
        status: The status of each gateway, one row for each rollout.
        ended_ms: When each task ended, of the same shape. NEVER for a task that did not end.
    """
    # 1. Put the tasks of each rollout into the order in which they ended.
    order = np.argsort(ended_ms, axis=1, kind="stable")
    times_ms = np.take_along_axis(ended_ms, order, axis=1)
    is_failed = np.take_along_axis(status == _FAILED, order, axis=1)
    # 2. Check the criterion after each end. Tasks that never end come last and do not count.
    failed_count = is_failed.cumsum(axis=1)
    ended_count = np.arange(1, ended_ms.shape[1] + 1)
    met = abort.is_met(failed_count, ended_count) & (times_ms < NEVER)
    # 3. Take the time of the first end after which it is met. `argmax` gives 0 if it is never met.
    first = met.argmax(axis=1)
    rows = np.arange(len(ended_ms))
    result: Integers = np.where(met[rows, first], times_ms[rows, first], NEVER)
    return result
