"""The state of a rollout: a frozen value, computed from the plan and the events of the journal (``evolution``).

Some fields are volatile: they hold what this run of ``apply`` has seen. They are not in the journal, so they have their
defaults again after a restart, and ``apply`` looks anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from lorafw.fleet.simulation.gates import GateDecision
from lorafw.rollout.envelope import ObservedWave, find_deviation
from lorafw.rollout.events import Finished, HookMoment, HookRan
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
    offered_ms: int | None = None
    """When the update had been offered to it for the first time, as far as that was seen."""
    has_stalled: bool = False
    """True if its task was read half a poll period after that time, and had not succeeded."""
    note: str = ""
    """Why it was left out."""
    looked_ms: int | None = None
    """When the task was read last. None if it was not read yet. Volatile."""
    seen_uplink_ms: int | None = None
    """The last uplink of the gateway when the task was read last. Volatile."""
    checked_ms: int | None = None
    """When it was last checked that the gateway may get a task. Volatile."""
    quiet_looks: int = 0
    """How many times in a row the task was read and had not changed. Volatile."""
    failures: int = 0
    """How many calls in a row have failed. Volatile."""
    retry_ms: int = 0
    """No call is made for the gateway before this time. Volatile."""

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
    stalled: int = 0
    """Number of gateways that have stalled."""
    delay_ms: int = 0
    """The longest time that a task was created after its planned time."""
    suspected_ms: int | None = None
    """When the wave seemed to be outside of the prediction, until everything is known that had happened by then.
    Volatile."""
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


EnvelopeCheck = Callable[[SavedPlan, ObservedWave], str | None]
"""Compares a wave of a plan with the prediction, and returns the reason to hold, or None."""


def check_band(plan: SavedPlan, seen: ObservedWave) -> str | None:
    """Compare a wave with the band of its prediction.

    Args:
        plan: The plan.
        seen: What is known about the wave.

    Returns:
        The reason to hold. None if the wave may be inside of the band, or if the prediction has no band for it.
    """
    band = plan.bands[seen.wave]
    if band is None:
        return None
    return find_deviation(band, seen)


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
    min_list_interval_ms: int = 5_000
    """The shortest time between two lists of all gateways."""
    envelope: EnvelopeCheck = check_band
    """Compares each wave with its prediction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutState:
    """Everything that is known about a rollout. Each step makes a new state from the one before."""

    plan: SavedPlan
    """The plan that the rollout carries out."""
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
    """Why the rollout holds: the reasons, by what they are about (an id of a gateway or a ``Subject``)."""
    accepted_reasons: frozenset[str] = frozenset()
    """The reasons for which the rollout no longer holds, because a person promoted it in spite of them."""
    failed_hook: HookRan | None = None
    """The last run of the hook that ended with an error. A promotion goes on without running the hook again."""
    is_tail_over: bool = False
    """True if every gate is passed and a person decided not to wait for the tasks that have not ended."""
    latest_ms: int = 0
    """When the last event was recorded."""
    blocked_reason: str = ""
    """Why no call of AWS is made for a while, such as expired credentials. Empty if calls are made. Volatile."""
    blocked_until_ms: int = 0
    """No call of AWS is made before this time. Volatile."""
    uplinks_ms: Mapping[str, int | None] = field(default_factory=dict)
    """The last uplink of each gateway, from the last list of gateways. Volatile."""
    listed_ms: int | None = None
    """When the gateways were listed last. Volatile."""
    list_interval_ms: int = 0
    """The time between two lists of gateways. It is longer if little happens. Volatile."""
    object_checked_ms: int | None = None
    """When the update file was last found unchanged. Volatile."""
    definitions_read_ms: int | None = None
    """When the task definitions were read last. Volatile."""
    rechecked_ms: Mapping[str, int] = field(default_factory=dict)
    """When each problem was last checked, by the keys of ``problems``. Volatile."""

    @property
    def current_wave(self) -> int:
        """The index of the first wave whose gate is not passed yet. It is the last wave if all gates are passed."""
        return first_undecided(self.waves)

    @property
    def open_count(self) -> int:
        """Number of tasks that have not ended."""
        return sum(wave.open_count for wave in self.waves)

    def progress_of(self, gateway: str) -> GatewayProgress:
        """Return what is known about a gateway of the plan."""
        return self.gateways.get(gateway) or GatewayProgress(self.plan.wave_of[gateway])


def first_undecided(waves: Sequence[WaveProgress]) -> int:
    """Return the index of the first wave whose gate is not passed yet, or of the last wave if all gates are passed."""
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
