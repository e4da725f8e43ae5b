"""What each event means for the state of a rollout.

``evolve`` replays a journal and follows a running rollout: there is no other place that interprets events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from lorafw.clock import format_iso
from lorafw.fleet.simulation.gates import GateDecision
from lorafw.rollout.events import (
    Aborted,
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
        state: The state before. It is not changed.
        events: The events, in the order of the journal.
    """
    draft = Draft(state)
    for event in events:
        draft.apply(event)
    return draft.freeze()


class Draft:
    """A state that is being changed. It copies the collections once, so that many events cost one copy."""

    def __init__(self, state: RolloutState) -> None:
        self._state = state
        self._changes: dict[str, Any] = {}
        self.plan, self.settings = state.plan, state.settings
        self.gateways = dict(state.gateways)
        self._counts = [dict(wave.counts) for wave in state.waves]
        self.waves = [replace(wave, counts=counts) for wave, counts in zip(state.waves, self._counts, strict=True)]
        """The waves. Their counts change with the gateways until ``freeze`` is called."""
        self.problems = dict(state.problems)
        self.rechecked_ms = dict(state.rechecked_ms)

    def __getattr__(self, name: str) -> Any:
        """Return the current value of a field of the state."""
        if name in self._changes:
            return self._changes[name]
        return getattr(self._state, name)

    def set(self, **changes: Any) -> None:
        """Change plain fields of the state."""
        self._changes.update(changes)

    def freeze(self) -> RolloutState:
        """Return the changed state. The draft must not be used any more."""
        return replace(
            self._state,
            gateways=self.gateways,
            waves=tuple(self.waves),
            problems=self.problems,
            rechecked_ms=self.rechecked_ms,
            **self._changes,
        )

    # --- reading ---

    def progress_of(self, gateway: str) -> GatewayProgress:
        """Return what is known about a gateway of the plan."""
        return self.gateways.get(gateway) or GatewayProgress(self.plan.wave_of[gateway])

    # --- changing ---

    def change_gateway(self, gateway: str, **changes: Any) -> GatewayProgress:
        """Change what is known about a gateway, and count it anew."""
        before = self.progress_of(gateway)
        after = replace(before, **changes)
        self.gateways[gateway] = after
        if before.category != after.category:
            counts = self._counts[after.wave]
            counts[before.category] -= 1
            counts[after.category] = counts.get(after.category, 0) + 1
        return after

    def change_wave(self, index: int, **changes: Any) -> None:
        """Change what is known about a wave."""
        self.waves[index] = replace(self.waves[index], **changes)

    def apply(self, event: Event) -> None:
        """Take an event into account."""
        self.set(latest_ms=max(self.latest_ms, event.at_ms))
        _HANDLERS[type(event)](self, event)

    def _on_started(self, event: Started) -> None:
        if self.started_ms is None:
            self.set(started_ms=event.at_ms)

    def _on_definition_intended(self, _: DefinitionIntended) -> None:
        self.set(is_definition_unclear=True)

    def _on_definition_ready(self, event: DefinitionReady) -> None:
        self.set(definition_id=event.definition_id, is_definition_unclear=False)

    def _on_wave_started(self, event: WaveStarted) -> None:
        self.change_wave(event.wave, started_ms=event.at_ms)

    def _on_create_intended(self, event: CreateIntended) -> None:
        self.change_gateway(event.gateway, phase=Phase.CREATING)

    def _on_delete_intended(self, event: DeleteIntended) -> None:
        if self.progress_of(event.gateway).phase is Phase.OPEN:
            self.change_gateway(event.gateway, phase=Phase.DELETING)

    def _on_status_changed(self, event: StatusChanged) -> None:
        before = self.progress_of(event.gateway)
        self.change_gateway(
            event.gateway,
            phase=_phase_of(event.to_status),
            status=event.to_status or event.from_status,
            attempt=event.attempt,
            changed_ms=event.time_ms,
            offered_ms=_offered_ms(before, event),
            failures=0,
        )
        if event.from_status is None:
            self._note_creation(event)

    def _note_creation(self, event: StatusChanged) -> None:
        """Record that a task of a wave was created, and how late."""
        index = self.progress_of(event.gateway).wave
        wave = self.waves[index]
        started_ms = event.time_ms if wave.started_ms is None else wave.started_ms
        delay_ms = event.time_ms - started_ms - self.plan.offset_ms_of[event.gateway]
        self.change_wave(
            index,
            last_created_ms=event.time_ms,
            last_created=event.gateway,
            delay_ms=max(wave.delay_ms, delay_ms),
        )

    def _on_update_stalled(self, event: UpdateStalled) -> None:
        wave = self.change_gateway(event.gateway, has_stalled=True).wave
        self.change_wave(wave, stalled=self.waves[wave].stalled + 1)

    def _on_ended_task_deleted(self, event: EndedTaskDeleted) -> None:
        """Nothing changes: the gateway has no task, as before."""

    def _on_skipped(self, event: Skipped) -> None:
        self.change_gateway(event.gateway, phase=Phase.SKIPPED, note=event.reason)
        self.problems.pop(event.gateway, None)

    def _on_problem_found(self, event: ProblemFound) -> None:
        self.problems[event.subject] = event.reason

    def _on_problem_solved(self, event: ProblemSolved) -> None:
        self.problems.pop(event.subject, None)

    def _on_gate_checked(self, event: GateChecked) -> None:
        changes: dict[str, Any] = {"checks": event.check + 1, "decision": event.decision, "hold_reason": ""}
        if event.decision is GateDecision.HOLD:
            changes["hold_reason"] = event.reason
        if event.decision is GateDecision.GO:
            changes["decided_ms"] = event.at_ms
        self.change_wave(event.wave, **changes)

    def _on_hook_ran(self, event: HookRan) -> None:
        if event.exit_status == 0:
            self._pass_hook(event.wave, event.moment)
            self.problems.pop(Subject.HOOK, None)
            return
        said = f": {event.output}" if event.output else ""
        self.problems[Subject.HOOK] = (
            f"the hook {event.moment} of wave {event.wave + 1} ended with status {event.exit_status}{said}"
        )
        self.set(failed_hook=event)

    def _pass_hook(self, wave: int, moment: HookMoment) -> None:
        """Record that a hook has let the rollout go on."""
        self.change_wave(wave, hooks_passed=self.waves[wave].hooks_passed | {moment})

    def _on_commanded(self, event: Commanded) -> None:
        if event.command is Command.PAUSE:
            self.set(pause_reason=_told(event))
        elif event.command is Command.RESUME:
            self.set(pause_reason=None)
        elif event.command is Command.ABORT:
            self._abort(_told(event))
        else:
            self._promote(event)

    def _promote(self, event: Commanded) -> None:
        """Go on in spite of everything for which the rollout holds."""
        current = first_undecided(self.waves)
        for subject in list(self.problems):
            if subject not in NOT_PROMOTABLE:
                self._accept_problem(subject, current)
        wave = self.waves[current]
        if wave.hold_reason:
            self.change_wave(current, decision=GateDecision.GO, decided_ms=event.at_ms, hold_reason="")
        elif wave.decided_ms is not None:
            self.set(is_tail_over=True)

    def _accept_problem(self, subject: str, current: int) -> None:
        """Go on although there is this problem. A gateway that has one is left out."""
        reason = self.problems.pop(subject)
        self.set(accepted_reasons=self.accepted_reasons | {reason})
        if subject in self.plan.wave_of:
            self.change_gateway(subject, phase=Phase.SKIPPED, note=reason)
        elif subject == Subject.HOOK:
            self._pass_hook(self.failed_hook.wave, self.failed_hook.moment)
        elif subject == Subject.ENVELOPE:
            for index in range(current + 1):
                self.change_wave(index, accepts_deviation=True)

    def _on_aborted(self, event: Aborted) -> None:
        self._abort(event.reason)

    def _abort(self, reason: str) -> None:
        """Stop the rollout. The first reason stays."""
        if self.abort_reason is None and self.finished is None:
            self.set(abort_reason=reason)

    def _on_task_cleaned(self, event: TaskCleaned) -> None:
        """Nothing changes: how the task ended is kept."""

    def _on_finished(self, event: Finished) -> None:
        self.set(finished=event)


def _told(event: Commanded) -> str:
    """Return who gave a command, when and why."""
    return f"by {event.actor} at {format_iso(event.at_ms)}: {event.reason}"


def _phase_of(status: TaskStatus | None) -> Phase:
    """Return the phase of a gateway whose task got this status. None if the task was deleted."""
    if status is None:
        return Phase.DELETED
    return Phase.ENDED if status in TERMINAL else Phase.OPEN


def _offered_ms(before: GatewayProgress, event: StatusChanged) -> int | None:
    """Return when the update had first been offered to a gateway. None if it was not."""
    if before.offered_ms is not None or event.to_status in (None, INITIAL):
        return before.offered_ms
    return event.time_ms


_HANDLERS: Final[Mapping[type[Event], Callable[[Draft, Any], None]]] = {
    Started: Draft._on_started,
    DefinitionIntended: Draft._on_definition_intended,
    DefinitionReady: Draft._on_definition_ready,
    WaveStarted: Draft._on_wave_started,
    CreateIntended: Draft._on_create_intended,
    DeleteIntended: Draft._on_delete_intended,
    StatusChanged: Draft._on_status_changed,
    UpdateStalled: Draft._on_update_stalled,
    EndedTaskDeleted: Draft._on_ended_task_deleted,
    Skipped: Draft._on_skipped,
    ProblemFound: Draft._on_problem_found,
    ProblemSolved: Draft._on_problem_solved,
    GateChecked: Draft._on_gate_checked,
    HookRan: Draft._on_hook_ran,
    Commanded: Draft._on_commanded,
    Aborted: Draft._on_aborted,
    TaskCleaned: Draft._on_task_cleaned,
    Finished: Draft._on_finished,
}
