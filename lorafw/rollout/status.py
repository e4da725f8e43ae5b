"""What a rollout is doing, in one word and one reason, and the document that ``status --json`` prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from lorafw.clock import format_iso
from lorafw.fleet.simulation.gates import GateDecision
from lorafw.fleet.simulation.inputs import to_ms
from lorafw.rollout.draft import Draft
from lorafw.rollout.failed_tasks import describe_failures
from lorafw.rollout.gates import next_check_ms
from lorafw.rollout.one_task import count_tasks
from lorafw.rollout.state import NOT_PROMOTABLE, Phase, RolloutState, WaveProgress, first_undecided
from lorafw.tasks.lifecycle import TaskStatus


class StateName(StrEnum):
    """What a rollout is doing."""

    PLANNED = "planned"
    RUNNING = "running"
    HOLDING = "holding"
    """It waits until a reason has gone away or a person promotes it. No task is created."""
    PAUSED = "paused"
    COMPLETED = "completed"
    ABORTED = "aborted"
    FAILED = "failed"
    """All waves have ended, and a gate did not pass."""


class WaveStateName(StrEnum):
    """What a wave is doing."""

    WAITING = "waiting"
    CREATING = "creating tasks"
    BAKING = "baking"
    HOLDING = "holding"
    PASSED = "passed"
    STOPPED = "stopped"
    NOT_STARTED = "not started"
    """The rollout was aborted before."""


EXIT_STATUS: Final[Mapping[StateName, int]] = {
    StateName.COMPLETED: 0,
    StateName.ABORTED: 3,
    StateName.PLANNED: 4,
    StateName.RUNNING: 4,
    StateName.HOLDING: 5,
    StateName.PAUSED: 6,
    StateName.FAILED: 7,
}
"""The exit status of ``apply`` and ``status``. 1 is an error, 2 a wrong usage."""


@dataclass(frozen=True, slots=True)
class StateDescription:
    """The state of a rollout in words."""

    name: StateName
    reason: str


def describe_state(state: RolloutState) -> StateDescription:
    """Return what a rollout is doing, and why."""
    if state.abort_reason is not None:
        return StateDescription(StateName.ABORTED, state.abort_reason)
    if state.finished is not None:
        return StateDescription(StateName(state.finished.ending), state.finished.reason)
    if state.pause_reason is not None:
        return StateDescription(StateName.PAUSED, state.pause_reason)
    hold_reason = _hold_reason(state)
    if hold_reason:
        return StateDescription(StateName.HOLDING, hold_reason)
    if state.started_ms is None:
        return StateDescription(StateName.PLANNED, "apply has not started yet")
    return StateDescription(StateName.RUNNING, _activity(state))


def _hold_reason(state: RolloutState) -> str:
    """Return why a rollout holds. Empty if it does not."""
    if state.problems:
        reasons = list(state.problems.values())
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        return reasons[0] + more
    if state.session.blocked_reason:
        return state.session.blocked_reason
    index = first_undecided(state.waves)
    reason = state.waves[index].hold_reason
    if not reason:
        return ""
    return f"the gate of wave {index + 1} has not passed: {reason}"


def _activity(state: RolloutState) -> str:
    """Return what a running rollout does now."""
    index = first_undecided(state.waves)
    wave = state.waves[index]
    if wave.decided_ms is not None:
        return f"all gates have passed; {state.open_count} tasks have not ended{_latest_end(state)}"
    if wave.started_ms is None:
        return f"wave {index + 1} is about to start"
    if not wave.is_created:
        created = wave.size - wave.count(Phase.WAITING, Phase.CREATING)
        return f"wave {index + 1}: {created} of {wave.size} gateways have been given a task or left out"
    next_ms = next_check_ms(wave, state.plan.wave_rules[index])
    when = f" at {format_iso(next_ms)}" if next_ms is not None else ""
    return f"wave {index + 1} runs; its gate is checked{when}"


def _latest_end(state: RolloutState) -> str:
    """Return when the rollout ends although tasks have not ended. Empty if that is not known yet."""
    end_ms = latest_end_ms(state)
    if end_ms is None:
        return ""
    return f"; the rollout ends at {format_iso(end_ms)} at the latest"


def latest_end_ms(state: RolloutState | Draft) -> int | None:
    """Return until when the rollout waits for tasks, after its last gate or after an abort.

    Args:
        state: The state of the rollout, or its draft.

    Returns:
        The time, in milliseconds since 1970 UTC. None if neither has happened yet.
    """
    index = first_undecided(state.waves)
    begun_ms = state.aborted_ms
    if begun_ms is None:
        begun_ms = state.waves[index].decided_ms
    if begun_ms is None:
        return None
    return int(begun_ms + to_ms(state.plan.wave_rules[index].give_up_s))


def can_be_promoted(state: RolloutState) -> bool:
    """Return whether a promotion would change anything."""
    if state.abort_reason is not None:
        return bool(state.open_count)
    if state.problems:
        return any(subject not in NOT_PROMOTABLE for subject in state.problems)
    wave = state.waves[first_undecided(state.waves)]
    return bool(wave.hold_reason or (wave.decided_ms is not None and state.open_count))


def next_look_ms(state: RolloutState) -> int | None:
    """Return when something is due that does not depend on the gateways: a gate, or the next task of a wave."""
    if state.finished is not None or state.abort_reason is not None or state.pause_reason is not None:
        return None
    index = first_undecided(state.waves)
    wave, rule = state.waves[index], state.plan.wave_rules[index]
    if wave.started_ms is None:
        return None
    if wave.is_created:
        return next_check_ms(wave, rule)
    planned = state.plan.waves[index]
    for gateway, offset_ms in zip(planned.gateways, planned.offsets_ms, strict=True):
        if state.progress_of(gateway).phase is Phase.WAITING:
            return wave.started_ms + wave.shift_ms + offset_ms
    return None


def wave_state(wave: WaveProgress, *, is_aborted: bool) -> WaveStateName:
    """Return what a wave is doing."""
    if wave.decided_ms is not None:
        return WaveStateName.PASSED
    if wave.decision is GateDecision.ABORT or (is_aborted and wave.started_ms is not None):
        return WaveStateName.STOPPED
    if wave.started_ms is None:
        if is_aborted:
            return WaveStateName.NOT_STARTED
        return WaveStateName.WAITING
    if wave.hold_reason:
        return WaveStateName.HOLDING
    return WaveStateName.BAKING if wave.is_created else WaveStateName.CREATING


def counts_of(state: RolloutState) -> dict[str, int]:
    """Return how many gateways have each status. Gateways without a task are counted by their phase."""
    totals: dict[str, int] = {str(status): 0 for status in TaskStatus}
    for wave in state.waves:
        for category, count in wave.counts.items():
            totals[category] = totals.get(category, 0) + count
    always_shown = (*TaskStatus, Phase.WAITING)
    return {name: count for name, count in totals.items() if count or name in always_shown}


def status_document(state: RolloutState) -> dict[str, Any]:
    """Return the document that ``lorafw rollout status --json`` prints."""
    description = describe_state(state)
    look_ms = next_look_ms(state)
    is_aborted = state.abort_reason is not None
    return {
        "state": str(description.name),
        "reason": description.reason,
        "plan": state.plan.sha256,
        "name": state.plan.plan.name,
        "target": str(state.plan.target),
        "gateways": sum(wave.size for wave in state.waves),
        "counts": counts_of(state),
        "tasks": count_tasks(state),
        "failures": describe_failures(state),
        "waves": [_wave_document(wave, is_aborted=is_aborted) for wave in state.waves],
        "problems": dict(state.problems),
        "definition": state.definition_id,
        "started": _time(state.started_ms),
        "next_look": _time(look_ms),
    }


def _wave_document(wave: WaveProgress, *, is_aborted: bool) -> dict[str, Any]:
    """Return the part of the document about one wave."""
    return {
        "size": wave.size,
        "state": str(wave_state(wave, is_aborted=is_aborted)),
        "completed": wave.count(TaskStatus.COMPLETED),
        "failed": wave.count(TaskStatus.FAILED),
        "open": wave.open_count,
        "skipped": wave.count(Phase.SKIPPED),
        "deleted": wave.count(Phase.DELETED),
        "started": _time(wave.started_ms),
        "reason": wave.hold_reason,
    }


def _time(time_ms: int | None) -> str | None:
    """Return a time as text. None stays None."""
    if time_ms is None:
        return None
    return format_iso(time_ms)
