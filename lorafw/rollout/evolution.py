"""What each event means for the state of a rollout.

``evolve`` replays a journal, and ``apply_event`` follows a running rollout. There is no other place that interprets
events: each kind of event has one function here, and ``_HANDLERS`` says which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from lorafw.clock import format_iso
from lorafw.fleet.simulation.gates import GateDecision
from lorafw.rollout.draft import Draft
from lorafw.rollout.events import (
    Aborted,
    CallHadNoEffect,
    Command,
    Commanded,
    CreateIntended,
    DefinitionIntended,
    DefinitionReady,
    DeleteIntended,
    EndedTaskDeleted,
    Event,
    Finished,
    GateChecked,
    HookMoment,
    HookRan,
    ProblemFound,
    ProblemSolved,
    Skipped,
    Started,
    StatusChanged,
    TaskCleaned,
    UpdateStalled,
    WaveStarted,
)
from lorafw.rollout.state import (
    NOT_PROMOTABLE,
    GatewayProgress,
    Phase,
    RolloutState,
    Subject,
    first_undecided,
)
from lorafw.tasks.lifecycle import INITIAL, TERMINAL, TaskStatus


def evolve(state: RolloutState, events: Iterable[Event]) -> RolloutState:
    """Return the state after some events.

    Args:
        state: The state before the events. It is not changed.
        events: The events, in the order of the journal.

    Returns:
        The new state.
    """
    draft = Draft(state)
    for event in events:
        apply_event(draft, event)
    return draft.freeze()


def apply_event(draft: Draft, event: Event) -> None:
    """Change a draft in the way that an event says.

    Args:
        draft: The draft to change.
        event: What has happened.
    """
    draft.change_fields(latest_ms=max(draft.latest_ms, event.at_ms))
    handler = _HANDLERS[type(event)]
    handler(draft, event)


# --- starting a rollout and its waves ---


def _on_started(draft: Draft, event: Started) -> None:
    """Remember when the rollout was started for the first time."""
    if draft.started_ms is None:
        draft.change_fields(started_ms=event.at_ms)


def _on_definition_intended(draft: Draft, _: DefinitionIntended) -> None:
    """The definition may exist from now on."""
    draft.change_fields(is_definition_unclear=True)


def _on_definition_ready(draft: Draft, event: DefinitionReady) -> None:
    """The definition exists."""
    draft.change_fields(definition_id=event.definition_id, is_definition_unclear=False)


def _on_wave_started(draft: Draft, event: WaveStarted) -> None:
    """The wave begins."""
    draft.change_wave(event.wave, started_ms=event.at_ms)


# --- the task of a gateway ---


def _on_create_intended(draft: Draft, event: CreateIntended) -> None:
    """The gateway may have a task from now on."""
    announced = draft.progress_of(event.gateway).tasks_announced + 1
    draft.change_gateway(event.gateway, phase=Phase.CREATING, tasks_announced=announced)


def _on_delete_intended(draft: Draft, event: DeleteIntended) -> None:
    """The gateway's open task may be gone from now on."""
    if draft.progress_of(event.gateway).phase is Phase.OPEN:
        draft.change_gateway(event.gateway, phase=Phase.DELETING)


def _on_call_had_no_effect(draft: Draft, event: CallHadNoEffect) -> None:
    """The gateway is as it was before the call that was to create or delete its task."""
    phase = draft.progress_of(event.gateway).phase
    if phase is Phase.CREATING:
        draft.change_gateway(event.gateway, phase=Phase.WAITING)
    elif phase is Phase.DELETING:
        draft.change_gateway(event.gateway, phase=Phase.OPEN)


def _on_status_changed(draft: Draft, event: StatusChanged) -> None:
    """The gateway's task has another status, or was created or deleted."""
    before = draft.progress_of(event.gateway)
    draft.change_gateway(
        event.gateway,
        phase=_phase_of(event.to_status),
        status=event.to_status or event.from_status,
        attempt=event.attempt,
        changed_ms=event.time_ms,
        offered_ms=_offered_ms(before, event),
        session=before.session.after_success(),
    )
    if event.from_status is None:
        draft.change_gateway(event.gateway, tasks_created=before.tasks_created + 1)
        _note_creation(draft, event, before.wave)


def _phase_of(status: TaskStatus | None) -> Phase:
    """Return the phase of a gateway whose task got this status. None if the task was deleted."""
    if status is None:
        return Phase.DELETED
    return Phase.ENDED if status in TERMINAL else Phase.OPEN


def _offered_ms(before: GatewayProgress, event: StatusChanged) -> int | None:
    """Return when the update was first offered to a gateway. None if it was not offered yet."""
    if before.offered_ms is not None or event.to_status in (None, INITIAL):
        return before.offered_ms
    return event.time_ms


def _note_creation(draft: Draft, event: StatusChanged, index: int) -> None:
    """Note in a wave that one of its tasks was created, and how late.

    Args:
        draft: The draft to change.
        event: The creation of the task.
        index: The index of the wave.
    """
    wave = draft.waves[index]
    started_ms = event.time_ms if wave.started_ms is None else wave.started_ms
    planned_ms = started_ms + draft.plan.offset_ms_of[event.gateway]
    delay_ms = event.time_ms - planned_ms
    draft.change_wave(index, delay_ms=max(wave.delay_ms, delay_ms))
    # The creation of a task whose call was unclear can become known after that of later tasks.
    if wave.last_created_ms is None or event.time_ms >= wave.last_created_ms:
        draft.change_wave(index, last_created=event.gateway, last_created_ms=event.time_ms)


def _on_update_stalled(draft: Draft, event: UpdateStalled) -> None:
    """Count an update that has stalled."""
    draft.change_gateway(event.gateway, has_stalled=True)
    index = draft.progress_of(event.gateway).wave
    draft.change_wave(index, stalled=draft.waves[index].stalled + 1)


def _on_skipped(draft: Draft, event: Skipped) -> None:
    """Leave a gateway out of the rollout."""
    draft.change_gateway(event.gateway, phase=Phase.SKIPPED, skip_reason=event.reason)
    draft.problems.pop(event.gateway, None)


# --- problems, gates and hooks ---


def _on_problem_found(draft: Draft, event: ProblemFound) -> None:
    """Hold the rollout for a problem."""
    draft.problems[event.subject] = event.reason


def _on_problem_solved(draft: Draft, event: ProblemSolved) -> None:
    """Do not hold the rollout for a problem any more."""
    draft.problems.pop(event.subject, None)


def _on_gate_checked(draft: Draft, event: GateChecked) -> None:
    """Note what the gate of a wave has decided."""
    draft.change_wave(event.wave, checks=event.check + 1, decision=event.decision, hold_reason="")
    if event.decision is GateDecision.HOLD:
        draft.change_wave(event.wave, hold_reason=event.reason)
    elif event.decision is GateDecision.GO:
        draft.change_wave(event.wave, decided_ms=event.at_ms)


def _on_hook_ran(draft: Draft, event: HookRan) -> None:
    """Go on if the operator's hook has ended with status 0. Otherwise hold the rollout."""
    if event.exit_status == 0:
        _pass_hook(draft, event.wave, event.moment)
        draft.problems.pop(Subject.HOOK, None)
        return
    reason = f"the hook {event.moment} of wave {event.wave + 1} ended with status {event.exit_status}"
    if event.output:
        reason += f": {event.output}"
    draft.problems[Subject.HOOK] = reason
    draft.change_fields(failed_hook=event)


def _pass_hook(draft: Draft, wave: int, moment: HookMoment) -> None:
    """Note that the operator's hook lets the rollout go on."""
    draft.change_wave(wave, hooks_passed=draft.waves[wave].hooks_passed | {moment})


# --- what a person commands, and the end ---


def _on_commanded(draft: Draft, event: Commanded) -> None:
    """Do what a person has commanded. A rollout that has ended stays as it is."""
    if draft.finished is not None:
        return
    reason = f"by {event.actor} at {format_iso(event.at_ms)}: {event.reason}"
    if event.command is Command.PAUSE:
        draft.change_fields(pause_reason=reason)
    elif event.command is Command.RESUME:
        draft.change_fields(pause_reason=None)
    elif event.command is Command.ABORT:
        _abort(draft, reason, event.at_ms)
    else:
        _promote(draft, event.at_ms)


def _promote(draft: Draft, now_ms: int) -> None:
    """Let the rollout go on in spite of its problems. If it has none, let it go on in spite of a gate that holds it.

    A status shows problems only, so a person who promotes a rollout with problems has not decided about the gate.

    Args:
        draft: The draft to change.
        now_ms: When a person gave the command, in milliseconds since 1970 UTC.
    """
    current = first_undecided(draft.waves)
    wave = draft.waves[current]
    if draft.abort_reason is not None:
        draft.change_fields(is_tail_over=True)
    elif draft.problems:
        for subject in list(draft.problems):
            if subject not in NOT_PROMOTABLE:
                _accept_problem(draft, subject, current)
    elif wave.hold_reason:
        draft.change_wave(current, decision=GateDecision.GO, decided_ms=now_ms, hold_reason="")
    elif wave.decided_ms is not None:
        draft.change_fields(is_tail_over=True)


def _accept_problem(draft: Draft, subject: str, current: int) -> None:
    """Go on in spite of a problem. If it is about a gateway, the gateway is left out of the rollout.

    Args:
        draft: The draft to change.
        subject: What the problem is about: the id of a gateway, or a ``Subject``.
        current: The index of the wave that the rollout has reached.
    """
    reason = draft.problems.pop(subject)
    draft.change_fields(accepted_reasons=draft.accepted_reasons | {reason})
    if subject in draft.plan.wave_of:
        draft.change_gateway(subject, phase=Phase.SKIPPED, skip_reason=reason)
    elif subject == Subject.HOOK:
        _pass_hook(draft, draft.failed_hook.wave, draft.failed_hook.moment)
    elif subject == Subject.ENVELOPE:
        for index in range(current + 1):
            draft.change_wave(index, accepts_deviation=True)


def _on_aborted(draft: Draft, event: Aborted) -> None:
    """Stop the rollout, because a gate or the abort criterion says so."""
    _abort(draft, event.reason, event.at_ms)


def _abort(draft: Draft, reason: str, now_ms: int) -> None:
    """Stop the rollout, unless it has ended. If it was stopped before, the first reason stays."""
    if draft.abort_reason is None and draft.finished is None:
        draft.change_fields(abort_reason=reason, aborted_ms=now_ms)


def _on_finished(draft: Draft, event: Finished) -> None:
    """Nothing is left to do."""
    draft.change_fields(finished=event)


def _change_nothing(_draft: Draft, _event: Event) -> None:
    """Change nothing. The event is only kept for the report."""


_HANDLERS: Final[Mapping[type[Event], Callable[[Draft, Any], None]]] = {
    Started: _on_started,
    DefinitionIntended: _on_definition_intended,
    DefinitionReady: _on_definition_ready,
    WaveStarted: _on_wave_started,
    CreateIntended: _on_create_intended,
    DeleteIntended: _on_delete_intended,
    CallHadNoEffect: _on_call_had_no_effect,
    StatusChanged: _on_status_changed,
    UpdateStalled: _on_update_stalled,
    EndedTaskDeleted: _change_nothing,  # the gateway has no task of the rollout, as before
    Skipped: _on_skipped,
    ProblemFound: _on_problem_found,
    ProblemSolved: _on_problem_solved,
    GateChecked: _on_gate_checked,
    HookRan: _on_hook_ran,
    Commanded: _on_commanded,
    Aborted: _on_aborted,
    TaskCleaned: _change_nothing,  # the rollout has ended, and how its tasks ended is kept
    Finished: _on_finished,
}
"""The function that applies each kind of event."""
