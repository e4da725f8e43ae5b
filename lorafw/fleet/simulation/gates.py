"""When a rollout goes on and when it stops: gates after a wave, and the abort criterion."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import betainc

from lorafw.fleet.plan import Abort, BetaBinomial, Gate, Manual, Threshold
from lorafw.fleet.simulation.codes import U8, status_code
from lorafw.fleet.simulation.inputs import I64, NEVER, Mask
from lorafw.tasks.lifecycle import TaskStatus

_COMPLETED = status_code(TaskStatus.COMPLETED)
_FAILED = status_code(TaskStatus.FAILED)


class GateDecision(IntEnum):
    """The decision of a gate."""

    HOLD = 0
    GO = 1
    ABORT = 2


def evaluate_gate(gate: Gate, completed: Any, failed: Any, size: int) -> npt.NDArray[np.int8]:
    """Return the decision of a gate for each pair of counts.

    Args:
        gate: The gate.
        completed: How many gateways of the wave have completed. An array of any shape.
        failed: How many have failed. An array of the same shape.
        size: Number of gateways in the wave.

    Returns:
        An array of GateDecision values. ABORT takes precedence over GO. A ``Manual`` gate counts as promoted.
    """
    completed, failed = np.asarray(completed), np.asarray(failed)
    if isinstance(gate, Manual):
        return np.full(completed.shape, GateDecision.GO, dtype=np.int8)
    if isinstance(gate, Threshold):
        go, abort = completed / size >= gate.success, failed / size >= gate.error
    else:
        go, abort = _posterior_decision(gate, completed, failed)
    return np.select([abort, go], [GateDecision.ABORT, GateDecision.GO], GateDecision.HOLD).astype(np.int8)


def _posterior_decision(gate: BetaBinomial, completed: Any, failed: Any) -> tuple[Any, Any]:
    """Return where the posterior probability of an acceptable failure rate suffices for GO, and where for ABORT."""
    probability = betainc(gate.prior_failed + failed, gate.prior_completed + completed, gate.acceptable)
    return probability >= gate.go, 1 - probability >= gate.abort


def first_decision(
    gate: Gate, first_check_ms: I64, check_interval_ms: int, max_checks: int, status: U8, ended_ms: I64
) -> tuple[npt.NDArray[np.int8], I64]:
    """Return the first decision of each rollout other than HOLD, and when it is made.

    A gate that still holds at its last check aborts.

    Args:
        gate: The gate.
        first_check_ms: When the gate is first checked in each rollout.
        check_interval_ms: The time between two checks.
        max_checks: Number of checks.
        status: The status of each gateway of the wave, one row for each rollout.
        ended_ms: When each task ended, of the same shape.
    """
    rollouts, size = status.shape
    # The number of the check that first sees each end. Ends after the last check get the number max_checks.
    waiting_ms = np.maximum(ended_ms - first_check_ms[:, None], 0)
    check = np.minimum(-(-waiting_ms // check_interval_ms), max_checks)
    completed = _cumulative_counts(check, status == _COMPLETED, max_checks)
    failed = _cumulative_counts(check, status == _FAILED, max_checks)
    decisions = evaluate_gate(gate, completed, failed, size)
    out_of_time = decisions[:, -1] == GateDecision.HOLD
    decisions[out_of_time, -1] = GateDecision.ABORT
    deciding_check = (decisions != GateDecision.HOLD).argmax(axis=1)
    return decisions[np.arange(rollouts), deciding_check], first_check_ms + deciding_check * check_interval_ms


def _cumulative_counts(check: I64, selected: Mask, max_checks: int) -> I64:
    """Count for each rollout and check how many of the selected ends the check sees: shape (rollouts, max_checks)."""
    rollouts = len(check)
    width = max_checks + 1  # the last column counts the ends that no check sees
    flat_index = check + np.arange(rollouts)[:, None] * width
    counts = np.bincount(flat_index[selected], minlength=rollouts * width).reshape(rollouts, width)
    cumulative: I64 = counts.cumsum(axis=1)[:, :max_checks]
    return cumulative


def first_abort_ms(abort: Abort, status: U8, ended_ms: I64) -> I64:
    """Return when the abort criterion is first met in each rollout, NEVER if it is not.

    Args:
        abort: The criterion.
        status: The status of each gateway, one row for each rollout.
        ended_ms: When each task ended, of the same shape; NEVER if it did not.
    """
    order = np.argsort(ended_ms, axis=1, kind="stable")
    times_ms = np.take_along_axis(ended_ms, order, axis=1)
    failed = np.take_along_axis(status == _FAILED, order, axis=1).cumsum(axis=1)
    executed = np.arange(1, ended_ms.shape[1] + 1)
    met = abort.is_met(failed, executed) & (times_ms < NEVER)
    first = met.argmax(axis=1)
    rows = np.arange(len(ended_ms))
    result: I64 = np.where(met[rows, first], times_ms[rows, first], NEVER)
    return result
