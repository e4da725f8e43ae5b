"""What the decision core is told, and what it asks for. All of these are frozen values.

An observation is one of the values here, or an event that the journal already has. An action is either ``WriteEvent``,
which only writes to the journal, or something that the shell does at AWS and reports as an observation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from lorafw.rollout.events import Event, HookMoment
from lorafw.tasks.lifecycle import TaskStatus
from lorafw.version import GatewayVersion


class FailureKind(StrEnum):
    """Why a call failed. After each of them, the call may have taken effect: an earlier try of boto3's may have."""

    THROTTLED = "throttled"
    CREDENTIALS = "credentials"
    """The credentials are missing or have expired."""
    DENIED = "denied"
    """A policy does not allow the call."""
    INVALID = "invalid"
    """AWS does not accept the arguments. Another try cannot help."""
    UNCLEAR = "unclear"
    """A timeout, a broken connection, a conflict, or an error of the server."""


@dataclass(frozen=True, slots=True)
class TaskSeen:
    """A task, as GetWirelessGatewayTask returns it."""

    definition_id: str
    status: TaskStatus
    created_ms: int | None
    uplink_ms: int | None
    """LastUplinkReceivedAt."""


@dataclass(frozen=True, slots=True)
class GatewayRead:
    """A gateway and its task were read."""

    gateway: str
    task: TaskSeen | None
    """None if it has no task."""
    is_registered: bool = True
    """False if the account has no such gateway."""
    version: GatewayVersion | None = None
    """The version that it last presented. None if it never did, or if the version was not read."""


@dataclass(frozen=True, slots=True)
class GatewaysListed:
    """All gateways of the account were listed."""

    uplinks_ms: Mapping[str, int | None]
    """LastUplinkReceivedAt of each gateway, by its id."""


@dataclass(frozen=True, slots=True)
class DefinitionsRead:
    """The task definitions of the account were read."""

    tagged_ids: tuple[str, ...]
    """Ids of the definitions with the tag of this plan. Usually at most one."""
    racing_ids: tuple[str, ...] = ()
    """Ids of other definitions that have AutoCreateTasks and match the same gateways."""


@dataclass(frozen=True, slots=True)
class ObjectRead:
    """The update file was looked at."""

    difference: str | None
    """What differs from the plan. None if nothing does."""


@dataclass(frozen=True, slots=True)
class ClockCompared:
    """The clock of this machine was compared with that of AWS."""

    ahead_ms: int | None
    """How far this machine is ahead. Negative if it is behind. None if the answer of AWS had no date."""


@dataclass(frozen=True, slots=True)
class CallFailed:
    """A call failed. It is not known whether it took effect."""

    operation: str
    kind: FailureKind
    message: str
    gateway: str | None = None
    """The gateway that the call was about. None if it was about none."""


Observation = Event | GatewayRead | GatewaysListed | DefinitionsRead | ObjectRead | ClockCompared | CallFailed


@dataclass(frozen=True, slots=True)
class WriteEvent:
    """Write an event to the journal, before any other action of the same step."""

    event: Event


@dataclass(frozen=True, slots=True)
class ReadDefinitions:
    """Look for the task definition of the plan, and for definitions that race it. Answered by DefinitionsRead."""


@dataclass(frozen=True, slots=True)
class CreateDefinition:
    """Create the task definition of the plan. Answered by DefinitionReady."""


@dataclass(frozen=True, slots=True)
class ReadObject:
    """Compare the update file with the plan. Answered by ObjectRead."""


@dataclass(frozen=True, slots=True)
class CompareClock:
    """Compare the clock of this machine with that of AWS. Answered by ClockCompared."""


@dataclass(frozen=True, slots=True)
class ListGateways:
    """List all gateways. Answered by GatewaysListed."""


@dataclass(frozen=True, slots=True)
class ReadTask:
    """Read the task of a gateway. Answered by GatewayRead."""

    gateway: str


@dataclass(frozen=True, slots=True)
class CheckGateway:
    """Read the task and the version of a gateway. Answered by GatewayRead."""

    gateway: str


@dataclass(frozen=True, slots=True)
class CreateTask:
    """Create the task of a gateway. Answered by StatusChanged."""

    gateway: str


@dataclass(frozen=True, slots=True)
class DeleteTask:
    """Delete the PENDING task of a gateway. Answered by StatusChanged."""

    gateway: str


@dataclass(frozen=True, slots=True)
class DeleteEndedTask:
    """Delete a task of an earlier update that has ended. Answered by EndedTaskDeleted."""

    gateway: str
    task: TaskSeen


@dataclass(frozen=True, slots=True)
class RunHook:
    """Run the hook. Answered by HookRan."""

    wave: int
    moment: HookMoment


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing until this time, unless a person commands something. Always the last action, and the only one."""

    until_ms: int


Action = (
    WriteEvent
    | ReadDefinitions
    | CreateDefinition
    | ReadObject
    | CompareClock
    | ListGateways
    | ReadTask
    | CheckGateway
    | CreateTask
    | DeleteTask
    | DeleteEndedTask
    | RunHook
    | Wait
)
