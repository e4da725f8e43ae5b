"""When a rollout goes on and when it stops, with the functions of the simulator."""

from __future__ import annotations

import numpy as np

from lorafw.fleet.formatting import format_percent
from lorafw.fleet.plan import Abort, BetaBinomial, Gate, Manual, Threshold, Wave
from lorafw.fleet.simulation.codes import status_code
from lorafw.fleet.simulation.gates import GateDecision, evaluate_gate, first_abort_ms
from lorafw.fleet.simulation.inputs import NEVER, to_ms
from lorafw.rollout.events import Aborted, Ending, Finished, GateChecked
from lorafw.rollout.looks import look_at_wave
from lorafw.rollout.state import Phase, WaveProgress
from lorafw.rollout.step_context import StepContext
from lorafw.tasks.lifecycle import TaskStatus


def check_abort_criterion(context: StepContext) -> None:
    """Abort the rollout if the criterion of the plan is met by the tasks that have ended so far."""
    draft = context.draft
    abort = draft.plan.plan.abort
    if abort is None or draft.abort_reason is not None:
        return
    if not context.has_ended_tasks and draft.session.listed_ms is not None:
        return
    ended = [progress for progress in draft.gateways.values() if progress.phase is Phase.ENDED]
    if not ended or not _is_met(abort, [(item.changed_ms, item.status) for item in ended]):
        return
    failed = sum(item.status is TaskStatus.FAILED for item in ended)
    rule = f"failed / ended >= {format_percent(abort.threshold)} and ended >= {abort.minimum_executed}"
    context.record(
        Aborted(
            at_ms=context.now_ms, reason=f"the abort criterion is met: {failed} of {len(ended)} ended FAILED ({rule})"
        )
    )


def _is_met(abort: Abort, ends: list[tuple[int, TaskStatus | None]]) -> bool:
    """Return whether the criterion was met at any of these ends, in the order of time."""
    ended_ms = np.array([[time_ms for time_ms, _ in ends]], dtype=np.int64)
    status = np.array([[status_code(status) for _, status in ends]], dtype=np.uint8)
    return bool(first_abort_ms(abort, status, ended_ms)[0] < NEVER)


def first_check_ms(wave: WaveProgress, rule: Wave) -> int | None:
    """Return when the gate of a wave is first checked. None if not all of its tasks were created."""
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


def check_gate(context: StepContext, index: int, *, may_go_on: bool = True) -> None:
    """Check the gate of a wave if it is due, and record its decision.

    Args:
        context: The step.
        index: The index of the wave.
        may_go_on: False to leave a decision to go on for later.
    """
    rule, wave = context.draft.plan.wave_rules[index], context.draft.waves[index]
    first_ms, due_ms = first_check_ms(wave, rule), next_check_ms(wave, rule)
    if first_ms is None or due_ms is None:
        return
    if context.now_ms < due_ms:
        context.wake_at(due_ms)
        return
    # If apply did not run for a while, only the last check that was due is made.
    check = (context.now_ms - first_ms) // to_ms(rule.again_s)
    if rule.gate is not None and not look_at_wave(context, index, first_ms + check * to_ms(rule.again_s)):
        return
    decision, reason = _evaluate(rule, context.draft.waves[index], check)
    if decision is GateDecision.GO and not may_go_on:
        return
    _record_decision(context, index, check, decision, reason)


def _evaluate(rule: Wave, wave: WaveProgress, check: int) -> tuple[GateDecision, str]:
    """Return the decision of a gate, and the reason in words."""
    if rule.gate is None:
        return GateDecision.GO, "there is no gate"
    if isinstance(rule.gate, Manual):
        return GateDecision.HOLD, "it is manual, and waits for 'lorafw rollout promote'"
    completed, failed, size = wave.count(TaskStatus.COMPLETED), wave.count(TaskStatus.FAILED), wave.remaining_size
    figures = f"{completed} COMPLETED and {failed} FAILED of {size}"
    if size == 0:
        return GateDecision.GO, "every gateway of the wave was left out"
    decision = GateDecision(int(evaluate_gate(rule.gate, completed, failed, size)))
    last_check = int(rule.give_up_s // rule.again_s)
    if decision is GateDecision.HOLD and check >= last_check:
        return GateDecision.ABORT, f"{figures}; still undecided after {rule.give_up_s:g} s ({describe_gate(rule.gate)})"
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


def _record_decision(context: StepContext, index: int, check: int, decision: GateDecision, reason: str) -> None:
    """Record the decision of a gate, and what follows from it."""
    wave = context.draft.waves[index]
    context.record(
        GateChecked(
            at_ms=context.now_ms,
            wave=index,
            check=check,
            decision=decision,
            completed=wave.count(TaskStatus.COMPLETED),
            failed=wave.count(TaskStatus.FAILED),
            size=wave.remaining_size,
            reason=f"the gate of wave {index + 1}: {reason}",
        )
    )
    gate = context.draft.plan.wave_rules[index].gate
    is_last = index == len(context.draft.waves) - 1
    nothing_open = not any(each.open_count for each in context.draft.waves)
    if decision is not GateDecision.GO and is_last and nothing_open and not isinstance(gate, Manual):
        failed = f"all waves have ended, and the gate of wave {index + 1} did not pass: {reason}"
        context.record(Finished(at_ms=context.now_ms, ending=Ending.FAILED, reason=failed))
    elif decision is GateDecision.ABORT:
        context.record(Aborted(at_ms=context.now_ms, reason=f"the gate of wave {index + 1} stopped it: {reason}"))
