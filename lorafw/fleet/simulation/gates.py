"""When to go on and when to stop: gates after a wave, and the abort criterion at every task that ends."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import betainc

from lorafw.fleet.plan import Abort, BetaBinomial, Gate, Threshold
from lorafw.fleet.simulation.codes import U8, status_code
from lorafw.fleet.simulation.inputs import I64, NEVER
from lorafw.tasks.lifecycle import TaskStatus

_COMPLETED = status_code(TaskStatus.COMPLETED)
_FAILED = status_code(TaskStatus.FAILED)


class GateDecision(IntEnum):
    """What a gate says."""

    HOLD = 0
    GO = 1
    ABORT = 2


def evaluate_gate(gate: Gate, completed: Any, failed: Any, size: int) -> npt.NDArray[np.int8]:
    """What the gate says of a wave of ``size`` gateways in which so many have ended; arrays of equal shape."""
    completed, failed = np.asarray(completed), np.asarray(failed)
    if isinstance(gate, Threshold):
        go, stop = completed / size >= gate.success, failed / size >= gate.error
    else:
        go, stop = _posterior_decision(gate, completed, failed)
    return np.where(stop, GateDecision.ABORT, np.where(go, GateDecision.GO, GateDecision.HOLD)).astype(np.int8)


def _posterior_decision(gate: BetaBinomial, completed: Any, failed: Any) -> tuple[Any, Any]:
    acceptable = betainc(gate.prior_failed + failed, gate.prior_completed + completed, gate.acceptable)
    return acceptable >= gate.go, 1 - acceptable >= gate.abort


def first_decision(
    gate: Gate, first_check_ms: I64, check_interval_ms: int, count: int, status: U8, ended: I64
) -> tuple[npt.NDArray[np.int8], I64]:
    """The first verdict other than HOLD of each rollout, and when; after ``count`` looks in vain it is ABORT.

    ``first_check_ms``: the first look of each rollout; ``status`` and ``ended``: one row for each rollout.
    """
    rollouts, size = status.shape
    # At which look each ending is first seen; what ends after the last look is in a column that nobody looks at.
    after = np.maximum(ended - first_check_ms[:, None], 0)
    seen = np.minimum(-(-after // check_interval_ms), count)
    cell = seen + np.arange(rollouts)[:, None] * (count + 1)
    verdict, when = np.zeros((rollouts, count), dtype=np.int8), np.arange(count)
    counts = []
    for code in (_COMPLETED, _FAILED):
        found = np.bincount(cell[status == code], minlength=rollouts * (count + 1)).reshape(rollouts, count + 1)
        counts.append(found.cumsum(axis=1)[:, :count])
    verdict = evaluate_gate(gate, counts[0], counts[1], size)
    decided = verdict != GateDecision.HOLD
    decided[:, -1] = True
    look = decided.argmax(axis=1)
    result = verdict[np.arange(rollouts), look]
    result[result == GateDecision.HOLD] = GateDecision.ABORT
    return result, first_check_ms + when[look] * check_interval_ms


def first_abort_ms(abort: Abort, status: U8, ended: I64) -> I64:
    """When the criterion is first met in each rollout (a row each); NEVER where it is not."""
    order = np.argsort(ended, axis=1, kind="stable")
    failed = np.take_along_axis(status == _FAILED, order, axis=1).cumsum(axis=1)
    times = np.take_along_axis(ended, order, axis=1)
    executed = np.arange(1, ended.shape[1] + 1)
    met = abort.is_met(failed, executed) & (times < NEVER)
    first = met.argmax(axis=1)
    rows = np.arange(len(ended))
    result: I64 = np.where(met[rows, first], times[rows, first], NEVER)
    return result
