"""When a rollout goes on and when it stops, with the functions of the simulator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lorafw.fleet.formatting import format_duration, format_percent
from lorafw.fleet.plan import Abort, BetaBinomial, Gate, Manual, Threshold, Wave
from lorafw.fleet.simulation.codes import status_code
from lorafw.fleet.simulation.gates import GateDecision, evaluate_gate, first_abort_ms
from lorafw.fleet.simulation.inputs import NEVER, to_ms
from lorafw.rollout.clock_check import is_clock_checked
from lorafw.rollout.events import Aborted, Ending, Finished, GateChecked
from lorafw.rollout.looks import look_at_wave
from lorafw.rollout.state import GatewayProgress, Phase, WaveProgress
from lorafw.rollout.step_context import StepContext
from lorafw.tasks.lifecycle import TaskStatus


def check_abort_criterion(context: StepContext) -> None:
    """Abort the rollout if the tasks that have ended so far meet the abort criterion of the plan.

    The criterion is met if at least a certain share of at least a certain number of ended tasks is FAILED.
    """
    draft = context.draft
    abort = draft.plan.plan.abort
    if abort is None or draft.abort_reason is not None:
        return
    is_first_look = draft.session.listed_ms is None
    if not context.has_ended_tasks and not is_first_look:
        return  # nothing has changed since the last step
    ended = [progress for progress in draft.gateways.values() if progress.phase is Phase.ENDED]
    if not ended or not _is_met(abort, ended):
        return
    failed = sum(progress.status is TaskStatus.FAILED for progress in ended)
    reason = f"the abort criterion is met: {failed} of {len(ended)} ended FAILED ({describe_abort(abort)})"
    context.record(Aborted(at_ms=context.now_ms, reason=reason))


def _is_met(abort: Abort, ended: Sequence[GatewayProgress]) -> bool:
    """Return True if the criterion was met when any of these tasks ended.

    The simulator's function takes arrays of the shape (rollouts, tasks). Here there is one rollout.
    """
    ended_ms = np.array([[progress.changed_ms for progress in ended]], dtype=np.int64)
    status = np.array([[status_code(progress.status) for progress in ended]], dtype=np.uint8)
    return bool(first_abort_ms(abort, status, ended_ms)[0] < NEVER)


def first_check_ms(wave: WaveProgress, rule: Wave) -> int | None:
    """Return when the gate of a wave is first checked. None if not all tasks of the wave were created yet."""
    if not wave.is_created or wave.started_ms is None:
        return None
    created_ms = wave.last_created_ms
    if created_ms is None:
        created_ms = wave.started_ms  # every gateway was left out
    return created_ms + to_ms(rule.bake_s)


def next_check_ms(wave: WaveProgress, rule: Wave) -> int | None:
    """Return when the gate of a wave is checked next. None if it is not."""
    first_ms = first_check_ms(wave, rule)
    if first_ms is None or wave.decided_ms is not None:
        return None
    if isinstance(rule.gate, Manual) and wave.checks:
        return None
    return first_ms + wave.checks * to_ms(rule.again_s)


def give_up_ms(wave: WaveProgress, rule: Wave) -> int | None:
    """Return when a gate that holds will abort the rollout. None if nobody can say: its checks have not begun.

    Args:
        wave: The progress of the wave.
        rule: The gate and its times, as planned.
    """
    next_ms = next_check_ms(wave, rule)
    if next_ms is None:
        return None
    further_checks = max(0, _last_check(rule) - wave.checks)
    return next_ms + further_checks * to_ms(rule.again_s)


def _last_check(rule: Wave) -> int:
    """Return the number, from 0, of the check at which a gate that holds aborts the rollout."""
    return int(rule.give_up_s // rule.again_s)


def check_gate(context: StepContext, index: int, *, may_go_on: bool = True) -> None:
    """Check the gate of a wave if a check is due, and record its decision.

    Args:
        context: The step.
        index: The index of the wave.
        may_go_on: False to record only decisions that stop or hold the rollout.
    """
    rule, wave = context.draft.plan.wave_rules[index], context.draft.waves[index]

    # 1. Is a check due?
    first_ms, due_ms = first_check_ms(wave, rule), next_check_ms(wave, rule)
    if first_ms is None or due_ms is None:
        return
    if context.now_ms < due_ms:
        context.wake_at(due_ms)
        return
    if not is_clock_checked(context, due_ms):
        return

    # 2. Read the tasks of the wave. If apply did not run for a while, only the last check that was due is made.
    interval_ms = to_ms(rule.again_s)
    check = (context.now_ms - first_ms) // interval_ms
    check_ms = first_ms + check * interval_ms
    if rule.gate is not None and not look_at_wave(context, index, check_ms):
        return

    # 3. Decide.
    decision, reason = _evaluate(rule, context.draft.waves[index], check)
    if decision is GateDecision.GO and not may_go_on:
        return
    _record_decision(context, index, check, decision, reason)


def _evaluate(rule: Wave, wave: WaveProgress, check: int) -> tuple[GateDecision, str]:
    """Return the decision of a gate, and the reason in words.

    Args:
        rule: The gate and its times, as planned.
        wave: The progress of the wave.
        check: The number of the check, from 0.
    """
    if rule.gate is None:
        return GateDecision.GO, "there is no gate"
    if isinstance(rule.gate, Manual):
        return GateDecision.HOLD, "it is manual, and waits for 'lorafw rollout promote'"
    completed, failed, size = wave.count(TaskStatus.COMPLETED), wave.count(TaskStatus.FAILED), wave.remaining_size
    figures = f"{completed} COMPLETED and {failed} FAILED of {size}"
    if size == 0:
        return GateDecision.GO, "every gateway of the wave was left out"
    decision = GateDecision(int(evaluate_gate(rule.gate, completed, failed, size)))
    if decision is GateDecision.HOLD and check >= _last_check(rule):
        undecided = f"still undecided after {format_duration(rule.give_up_s)}"
        return GateDecision.ABORT, f"{figures}; {undecided} ({describe_gate(rule.gate)})"
    return decision, f"{figures} ({describe_gate(rule.gate)})"


def describe_gate(gate: Gate) -> str:
    """Return the comparison that a gate makes, written out."""
    if isinstance(gate, Threshold):
        return (
            f"goes on when completed / size >= {format_percent(gate.success)}, "
            f"stops when failed / size >= {format_percent(gate.error)}"
        )
    if isinstance(gate, BetaBinomial):
        return (
            f"goes on when P(failure rate <= {format_percent(gate.acceptable)}) >= {format_percent(gate.go)}, "
            f"stops when P(failure rate > {format_percent(gate.acceptable)}) >= {format_percent(gate.abort)}"
        )
    return "goes on when somebody promotes the rollout"


def describe_abort(abort: Abort) -> str:
    """Return the comparison that an abort criterion makes, written out."""
    return f"failed / ended >= {format_percent(abort.threshold)} and ended >= {abort.minimum_executed}"


def _record_decision(context: StepContext, index: int, check: int, decision: GateDecision, reason: str) -> None:
    """Record the decision of a gate, and the end of the rollout if the decision ends it.

    Args:
        context: The step.
        index: The index of the wave.
        check: The number of the check, from 0.
        decision: The decision.
        reason: The reason in words.
    """
    draft = context.draft
    wave = draft.waves[index]
    context.record(
        GateChecked(
            at_ms=context.now_ms,
            wave=index,
            check=check,
            decision=decision,
            completed=wave.count(TaskStatus.COMPLETED),
            failed=wave.count(TaskStatus.FAILED),
            size=wave.remaining_size,
            reason=reason,
        )
    )
    if decision is GateDecision.GO:
        return
    is_manual = isinstance(draft.plan.wave_rules[index].gate, Manual)
    is_last = index == len(draft.waves) - 1
    has_open_tasks = any(each.open_count for each in draft.waves)
    if is_last and not has_open_tasks and not is_manual:
        failed = f"all waves have ended, and the gate of wave {index + 1} did not pass: {reason}"
        context.record(Finished(at_ms=context.now_ms, ending=Ending.FAILED, reason=failed))
    elif decision is GateDecision.ABORT:
        context.record(Aborted(at_ms=context.now_ms, reason=f"the gate of wave {index + 1} stopped it: {reason}"))
