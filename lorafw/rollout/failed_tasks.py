"""What FAILED tasks mean for a rollout: what counts them, and whether they are tried again."""

from __future__ import annotations

from typing import Final

from lorafw.fleet.formatting import format_percent
from lorafw.fleet.simulation.gates import GateDecision
from lorafw.rollout.gates import describe_abort, describe_gate
from lorafw.rollout.state import RolloutState
from lorafw.tasks.lifecycle import TERMINAL, TaskStatus

_NOT_TRIED_AGAIN: Final = "a FAILED task has had its first try and two retries; this rollout does not try it again"
_GOES_ON: Final = "the rollout goes on unless a gate or the abort criterion stops it"


def describe_failures(state: RolloutState) -> list[str]:
    """Return what the FAILED tasks of a rollout mean for it, in sentences. Empty if there are none.

    Args:
        state: The state of the rollout.
    """
    waves = [index for index, wave in enumerate(state.waves) if wave.count(TaskStatus.FAILED)]
    if not waves:
        return []
    sentences = [_describe_wave(state, index) for index in waves]
    sentences += [_describe_criterion(state), _NOT_TRIED_AGAIN]
    is_holding = bool(state.problems) or any(wave.hold_reason for wave in state.waves)
    if state.finished is None and state.abort_reason is None and not is_holding:
        sentences.append(_GOES_ON)
    return sentences


def _describe_wave(state: RolloutState, index: int) -> str:
    """Return how many tasks of a wave FAILED, and what its gate makes of them."""
    wave, gate = state.waves[index], state.plan.wave_rules[index].gate
    failed = wave.count(TaskStatus.FAILED)
    share = format_percent(failed / wave.remaining_size)
    counts = f"wave {index + 1}: {failed} of {wave.remaining_size} gateways FAILED ({share})"
    if gate is None:
        return f"{counts}; the wave has no gate"
    if wave.decision is GateDecision.ABORT:
        return f"{counts}; its gate has stopped the rollout"
    if wave.decided_ms is not None:
        return f"{counts}; its gate has passed and is not checked again"
    return f"{counts}; its gate {describe_gate(gate)}"


def _describe_criterion(state: RolloutState) -> str:
    """Return what the abort criterion makes of the tasks that FAILED in all waves."""
    abort = state.plan.plan.abort
    if abort is None:
        return "the plan has no abort criterion"
    failed = sum(wave.count(TaskStatus.FAILED) for wave in state.waves)
    ended = sum(wave.count(*TERMINAL) for wave in state.waves)
    return (
        f"all waves: {ended} tasks have ended, {failed} of them FAILED; the rollout stops when {describe_abort(abort)}"
    )
