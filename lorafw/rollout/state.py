"""The state of a rollout: a frozen value, computed from the plan and the events of the journal (``evolution``).

``RolloutSession`` and ``GatewaySession`` hold what the running ``apply`` has seen, such as when a task was read last.
The journal does not keep this. After a restart a session is empty, and ``apply`` looks at everything again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
    """The update file in S3 was replaced or is gone."""
    DEFINITION = "task definition"
    """The task definition of the plan is gone."""
    JOURNAL = "journal"
    """Another ``apply`` has begun to carry out the plan, with another journal."""
    RACE = "other task definitions"
    """AWS creates tasks for gateways of the plan from another task definition."""
    HOOK = "hook"
    """The operator's command did not agree to go on."""
    ENVELOPE = "prediction"
    """A wave has left the band of its prediction."""
    CLOCK = "clock"
    """The clock of this machine differs from that of AWS."""


NOT_PROMOTABLE: Final = frozenset({Subject.OBJECT, Subject.DEFINITION, Subject.CLOCK})
"""Problems that no promotion overrides. With them, another update than the planned one would be installed, or the
tasks would be created at other times than the planned ones."""


@dataclass(frozen=True, slots=True)
class GatewaySession:
    """What the running ``apply`` has seen of one gateway. Times are in milliseconds since 1970 UTC."""

    looked_ms: int | None = None
    """When the task was read last. None if it was not read yet."""
    seen_uplink_ms: int | None = None
    """The last uplink of the gateway that was known when the task was read last."""
    quiet_looks: int = 0
    """How many times in a row the task was read and its status had not changed."""
    checked_ms: int | None = None
    """When it was last found that the gateway may get a task. None if it must be checked first."""
    failures: int = 0
    """How many calls for the gateway have failed in a row."""
    retry_ms: int = 0
    """No call is made for the gateway before this time."""

    def after_success(self) -> GatewaySession:
        """Return the session after a call has succeeded."""
        if self.failures == 0:
            return self
        return replace(self, failures=0)


@dataclass(frozen=True, slots=True)
class GatewayProgress:
    """How far the rollout has come with one gateway. Times are in milliseconds since 1970 UTC."""

    wave: int
    """The index of the gateway's wave."""
    phase: Phase = Phase.WAITING
    status: TaskStatus | None = None
    """The last status of the task that was seen. None before the task exists."""
    attempt: int = 0
    """The number of the last try to install the update. 0 before the first."""
    tasks_announced: int = 0
    """How often the journal announced that a task would be created for the gateway."""
    tasks_created: int = 0
    """How many tasks were created for the gateway. Never more than one."""
    changed_ms: int = 0
    """When the status changed last."""
    offered_ms: int | None = None
    """When the update was first offered to the gateway. None if no offer was seen yet."""
    has_stalled: bool = False
    """True if the task had not succeeded half a poll period after the first offer."""
    skip_reason: str = ""
    """Why the gateway is left out of the rollout. Empty if it is not."""
    session: GatewaySession = GatewaySession()
    """What the running ``apply`` has seen of the gateway."""

    @property
    def category(self) -> str:
        """The name under which the gateway is counted: the status of its task, or its phase if it has no task."""
        if self.phase in (Phase.OPEN, Phase.ENDED) and self.status is not None:
            return str(self.status)
        return str(self.phase)


@dataclass(frozen=True, slots=True)
class WaveProgress:
    """How far the rollout has come with one wave. Times are in milliseconds since 1970 UTC.

    A wave is a part of the fleet that gets its tasks together. Its gate is a check of the results, which lets the
    rollout go on to the next wave, aborts the rollout, or holds it until the next check.
    """

    size: int
    """Number of gateways that were planned."""
    counts: Mapping[str, int]
    """Number of gateways in each category (``GatewayProgress.category``)."""
    started_ms: int | None = None
    """When the wave began. None before."""
    last_created: str | None = None
    """The gateway whose task was created last. None before the first task."""
    last_created_ms: int | None = None
    """When this task was created. None before the first task."""
    checks: int = 0
    """Number of checks of the gate that were due so far."""
    decision: GateDecision = GateDecision.HOLD
    """The result of the last check. HOLD before the first check."""
    decided_ms: int | None = None
    """When the gate let the rollout go on to the next wave. None before."""
    hold_reason: str = ""
    """Why the gate holds the rollout. Empty if the gate does not hold, or was not checked yet."""
    hooks_passed: frozenset[HookMoment] = frozenset()
    """The moments at which the operator's hook has let the rollout go on."""
    accepts_deviation: bool = False
    """True if a person let the rollout go on although the wave had left its prediction."""
    stalled: int = 0
    """Number of gateways whose update has stalled."""
    delay_ms: int = 0
    """The longest time between the planned and the real creation of a task, in milliseconds."""
    suspected_ms: int | None = None
    """When the wave seemed to have left its prediction. None if it follows it. The journal does not keep this."""
    shift_ms: int = 0
    """How far the schedule was put off because ``apply`` did not run. The journal does not keep this."""

    def count(self, *categories: str) -> int:
        """Return how many gateways are in these categories together."""
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
    """True if a command of the operator decides before each wave and after each gate whether the rollout goes on."""
    recheck_ms: int = 60_000
    """Time between two looks at a problem."""
    min_list_interval_ms: int = 5_000
    """The shortest time between two lists of all gateways."""
    envelope: EnvelopeCheck = check_band
    """Compares each wave with its prediction."""
    compares_clock: bool = False
    """True to compare the clock with that of AWS before time alone decides something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutSession:
    """What the running ``apply`` has seen. Times are in milliseconds since 1970 UTC."""

    blocked_reason: str = ""
    """Why no call of AWS is made for a while, such as expired credentials. Empty if calls are made."""
    blocked_until_ms: int = 0
    """No call of AWS is made before this time."""
    uplinks_ms: Mapping[str, int | None] = field(default_factory=dict)
    """The last uplink of each gateway, from the last list of gateways."""
    listed_ms: int | None = None
    """When the gateways were listed last."""
    list_interval_ms: int = 0
    """The time between two lists of the gateways, in milliseconds. It is longer if few gateways send uplinks."""
    object_checked_ms: int | None = None
    """When the update file was last found unchanged. None if it must be checked first."""
    definitions_read_ms: int | None = None
    """When the task definitions were read last. None if they must be read first."""
    rechecked_ms: Mapping[str, int] = field(default_factory=dict)
    """When each problem was last looked at, by the keys of ``RolloutState.problems``."""
    clock_compared_ms: int | None = None
    """When the clock was last found to agree with that of AWS. None if it must be compared first."""
    stepped_ms: int = 0
    """The time of the last step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutState:
    """Everything that is known about a rollout. Each step makes a new state from the one before.

    A rollout updates the gateways of its waves one wave after the other. It holds while there is a problem.
    """

    plan: SavedPlan
    """The plan that the rollout carries out."""
    settings: Settings
    """How ``apply`` was started."""
    gateways: Mapping[str, GatewayProgress]
    """The progress of each gateway that something has happened to, by its id. The other gateways are WAITING."""
    waves: tuple[WaveProgress, ...]
    """The progress of each wave, in the order of the plan."""
    started_ms: int | None = None
    """When ``apply`` was started for the first time, in milliseconds since 1970 UTC. None before."""
    definition_id: str | None = None
    """The id of the task definition. None before it was created."""
    is_definition_unclear: bool = False
    """True if a call that creates the task definition was begun, and it is not known whether it succeeded."""
    pause_reason: str | None = None
    """Who has paused the rollout, and why. None if it is not paused."""
    abort_reason: str | None = None
    """Why the rollout was aborted. None if it was not."""
    aborted_ms: int | None = None
    """When it was aborted, in milliseconds since 1970 UTC. None if it was not."""
    finished: Finished | None = None
    """How the rollout ended. None if it has not ended."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """Why the rollout holds: the reason for each gateway or ``Subject`` that has a problem."""
    accepted_reasons: frozenset[str] = frozenset()
    """The problems in spite of which a person let the rollout go on. They do not hold it again."""
    failed_hook: HookRan | None = None
    """The last run of the hook that ended with an error. None if there was none."""
    is_tail_over: bool = False
    """True if a person decided, after the last gate or an abort, not to wait for the tasks that have not ended."""
    latest_ms: int = 0
    """When the last event was recorded, in milliseconds since 1970 UTC."""
    session: RolloutSession = RolloutSession()
    """What the running ``apply`` has seen. The journal does not keep it."""

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


def forget_session(state: RolloutState) -> RolloutState:
    """Return a state without what the running ``apply`` has seen, as after a restart."""
    gateways = {gateway: replace(progress, session=GatewaySession()) for gateway, progress in state.gateways.items()}
    waves = tuple(replace(wave, suspected_ms=None, shift_ms=0) for wave in state.waves)
    return replace(state, gateways=gateways, waves=waves, session=RolloutSession())


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
