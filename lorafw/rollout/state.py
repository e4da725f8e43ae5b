"""The state of a rollout: a frozen value, computed from the plan and the events of the journal.

``evolve`` is the only place that says what an event means. The same function replays a journal and follows a running
rollout. Some fields are volatile: they hold what was seen since ``apply`` started, are not in the journal, and are seen
again after a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

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
    Ending,
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
    WaveStarted,
)
from lorafw.rollout.saved_plan import SavedPlan
from lorafw.tasks.lifecycle import TERMINAL, TaskStatus


class Phase(StrEnum):
    """How far the rollout has come with a gateway."""

    WAITING = "waiting"
    """It has no task yet."""
    CREATING = "creating"
    """A task was about to be created, and it is not known whether it was. It must be read first."""
    OPEN = "open"
    """Its task has not ended."""
    DELETING = "deleting"
    """Its task was about to be deleted, and it is not known whether it was."""
    ENDED = "ended"
    """Its task is COMPLETED or FAILED."""
    DELETED = "deleted"
    """Its task was deleted because the rollout was aborted."""
    SKIPPED = "skipped"
    """It is left out of the rollout."""


class Subject(StrEnum):
    """What a problem can be about, other than a gateway."""

    OBJECT = "update file"
    DEFINITION = "task definition"
    RACE = "other task definitions"
    HOOK = "hook"
    ENVELOPE = "prediction"


NOT_PROMOTABLE: Final = frozenset({Subject.OBJECT, Subject.DEFINITION})
"""Problems that no promotion overrides: with them, another update than the planned one would be installed."""


@dataclass(frozen=True, slots=True)
class GatewayProgress:
    """What the rollout knows about one gateway."""

    wave: int
    phase: Phase = Phase.WAITING
    status: TaskStatus | None = None
    """The last status of its task that was seen. None before the task exists."""
    attempt: int = 0
    changed_ms: int = 0
    """When the status changed last."""
    note: str = ""
    """Why it was left out."""
    looked_ms: int | None = None
    """When the task was read last. Volatile, like the fields below."""
    seen_uplink_ms: int | None = None
    """Its last uplink at that time."""
    checked_ms: int | None = None
    """When it was last checked that the gateway may get a task."""
    quiet_looks: int = 0
    """How many looks in a row found nothing new."""
    failures: int = 0
    """How many calls in a row have failed."""
    retry_ms: int = 0
    """No call is made for it before this time."""

    @property
    def category(self) -> str:
        """The name under which it is counted: the status of its task, or its phase if it has none."""
        if self.phase in (Phase.OPEN, Phase.ENDED) and self.status is not None:
            return str(self.status)
        return str(self.phase)


@dataclass(frozen=True, slots=True)
class WaveProgress:
    """What the rollout knows about one wave."""

    size: int
    counts: Mapping[str, int]
    """How many gateways there are in each category."""
    started_ms: int | None = None
    last_created_ms: int | None = None
    """When its last task was created. None before the first."""
    last_created: str | None = None
    """The gateway of that task."""
    checks: int = 0
    """How often its gate was checked, counted by the checks that were due."""
    decision: GateDecision = GateDecision.HOLD
    decided_ms: int | None = None
    """When the gate let the rollout go on."""
    hold_reason: str = ""
    """Why the gate holds. Empty if it does not, or was not checked yet."""
    hooks_passed: frozenset[HookMoment] = frozenset()
    accepts_deviation: bool = False
    """True if a person promoted the rollout although it had left the prediction."""
    shift_ms: int = 0
    """How far the schedule of the wave is put off because ``apply`` did not run. Volatile."""

    def count(self, *categories: str) -> int:
        """Return how many gateways are in these categories."""
        return sum(self.counts.get(category, 0) for category in categories)

    @property
    def remaining_size(self) -> int:
        """Number of gateways without those that were left out."""
        return self.size - self.count(Phase.SKIPPED)

    @property
    def open_count(self) -> int:
        """Number of tasks that have not ended."""
        return sum(self.counts.get(status, 0) for status in OPEN_STATUSES)

    @property
    def is_created(self) -> bool:
        """True if no task remains to be created."""
        return self.started_ms is not None and not self.count(Phase.WAITING, Phase.CREATING)


OPEN_STATUSES: Final = tuple(str(status) for status in TaskStatus if status not in TERMINAL)

EnvelopeCheck = Callable[[SavedPlan, int, int, int, int], str | None]
"""Compares a wave with the prediction.

It is called with the plan, the index of the wave, the milliseconds since the wave started, and how many gateways are
COMPLETED and FAILED. It returns the reason to hold, or None.
"""


def no_envelope(_plan: SavedPlan, _wave: int, _elapsed_ms: int, _completed: int, _failed: int) -> str | None:
    """Accept every course of a rollout."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How ``apply`` was started. Not part of the plan."""

    batch: int = 8
    """The largest number of gateways that one step reads, and for which it creates tasks."""
    replaces_ended: bool = False
    """True to delete tasks of earlier updates that have ended and are in the way."""
    has_hook: bool = False
    recheck_ms: int = 60_000
    """Time between two looks at a problem."""
    min_sweep_ms: int = 5_000
    """The shortest time between two lists of all gateways."""
    envelope: EnvelopeCheck = no_envelope


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutState:
    """The state of a rollout."""

    plan: SavedPlan
    settings: Settings
    gateways: Mapping[str, GatewayProgress]
    """The gateways that something has happened to. Others are WAITING."""
    waves: tuple[WaveProgress, ...]
    started_ms: int | None = None
    definition_id: str | None = None
    is_definition_unclear: bool = False
    """True if the definition was about to be created, and it is not known whether it was."""
    pause_reason: str | None = None
    abort_reason: str | None = None
    finished: Finished | None = None
    problems: Mapping[str, str] = field(default_factory=dict)
    """The reason of each problem, by its subject. The rollout holds while there is one."""
    accepted: frozenset[str] = frozenset()
    """Reasons to hold that a person has accepted."""
    failed_hook: HookRan | None = None
    """The last run of the hook that did not let the rollout go on."""
    is_tail_over: bool = False
    """True if a person decided not to wait for the last tasks."""
    latest_ms: int = 0
    """When the last event was recorded."""
    trouble: str = ""
    """Why no call can be made. Volatile, like the fields below."""
    trouble_until_ms: int = 0
    """No call is made before this time."""
    uplinks_ms: Mapping[str, int | None] = field(default_factory=dict)
    """The last uplink of each gateway."""
    listed_ms: int | None = None
    """When the gateways were listed last."""
    sweep_ms: int = 0
    """Time between two lists. It is longer if little happens."""
    object_checked_ms: int | None = None
    """When the update file was last found unchanged."""
    definitions_read_ms: int | None = None
    """When the task definitions were read last."""
    rechecked_ms: Mapping[str, int] = field(default_factory=dict)
    """When each problem was looked at last."""

    @property
    def current_wave(self) -> int:
        """The index of the first wave that has not been let go on; the last one if there is none."""
        return first_undecided(self.waves)

    @property
    def open_count(self) -> int:
        """Number of tasks that have not ended."""
        return sum(wave.open_count for wave in self.waves)

    def progress_of(self, gateway: str) -> GatewayProgress:
        """Return what is known about a gateway of the plan."""
        return self.gateways.get(gateway) or GatewayProgress(self.plan.wave_of[gateway])


def first_undecided(waves: Sequence[WaveProgress]) -> int:
    """Return the index of the first wave that has not been let go on; that of the last one if there is none."""
    undecided = (index for index, wave in enumerate(waves) if wave.decided_ms is None)
    return next(undecided, len(waves) - 1)


def initial_state(plan: SavedPlan, settings: Settings | None = None) -> RolloutState:
    """Return the state before anything has happened.

    Args:
        plan: The plan.
        settings: How ``apply`` was started. None for the defaults.
    """
    waves = tuple(WaveProgress(len(wave.gateways), {str(Phase.WAITING): len(wave.gateways)}) for wave in plan.waves)
    return RolloutState(plan=plan, settings=settings or Settings(), gateways={}, waves=waves)


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
        phase = _phase_of(event.to_status)
        status = event.to_status or event.from_status
        self.change_gateway(
            event.gateway, phase=phase, status=status, attempt=event.attempt, changed_ms=event.time_ms, failures=0
        )
        if event.from_status is None:
            wave = self.progress_of(event.gateway).wave
            self.change_wave(wave, last_created_ms=event.time_ms, last_created=event.gateway)

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
            self.set(pause_reason=event.reason)
        elif event.command is Command.RESUME:
            self.set(pause_reason=None)
        elif event.command is Command.ABORT:
            self._abort(f"{event.actor}: {event.reason}")
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
        self.set(accepted=self.accepted | {reason})
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


def _phase_of(status: TaskStatus | None) -> Phase:
    """Return the phase of a gateway whose task got this status. None if the task was deleted."""
    if status is None:
        return Phase.DELETED
    return Phase.ENDED if status in TERMINAL else Phase.OPEN


_HANDLERS: Final[Mapping[type[Event], Callable[[Draft, Any], None]]] = {
    Started: Draft._on_started,
    DefinitionIntended: Draft._on_definition_intended,
    DefinitionReady: Draft._on_definition_ready,
    WaveStarted: Draft._on_wave_started,
    CreateIntended: Draft._on_create_intended,
    DeleteIntended: Draft._on_delete_intended,
    StatusChanged: Draft._on_status_changed,
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


def ending_of(state: RolloutState) -> Ending | None:
    """Return how the rollout ended. None if it has not."""
    if state.finished is not None:
        return state.finished.ending
    return None
