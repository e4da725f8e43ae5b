"""The events of a rollout: what the journal keeps. The state of a rollout is a fold over its events.

Each event is a frozen value. ``at_ms`` is when it was recorded, in milliseconds since 1970 UTC.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Final, get_args, get_type_hints

from lorafw.fleet.simulation.gates import GateDecision
from lorafw.tasks.lifecycle import Cause, TaskStatus

LATEST_MS: Final = 253_402_300_799_999
"""The last moment of the year 9999, in milliseconds since 1970 UTC."""


class Command(StrEnum):
    """What a person can tell a rollout."""

    PAUSE = "pause"
    RESUME = "resume"
    PROMOTE = "promote"
    ABORT = "abort"


class HookMoment(StrEnum):
    """When a hook runs."""

    BEFORE_WAVE = "before-wave"
    AFTER_GATE = "after-gate"


class Ending(StrEnum):
    """How a rollout ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    ABORTED = "aborted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base class of the events."""

    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(Event):
    """``apply`` began to carry out the plan, or went on with it."""

    actor: str
    version: str
    """The version of lorafw."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinitionIntended(Event):
    """CreateWirelessGatewayTaskDefinition is about to be called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinitionReady(Event):
    """The task definition of the plan exists."""

    definition_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveStarted(Event):
    """The tasks of a wave are created from now on."""

    wave: int
    """The index of the wave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateIntended(Event):
    """CreateWirelessGatewayTask is about to be called."""

    gateway: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteIntended(Event):
    """DeleteWirelessGatewayTask is about to be called."""

    gateway: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallHadNoEffect(Event):
    """A call that creates or deletes a task had no effect: the gateway was read, and is as it was before the call."""

    gateway: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusChanged(Event):
    """A row of the task log: a task was created, its status changed, or it was deleted.

    The row can stand for several steps of the task that were made between two looks.
    """

    gateway: str
    """The id of the gateway."""
    time_ms: int
    """When it happened, as well as AWS tells it: the time of the gateway's last uplink if that is later than the last
    look at the task, otherwise the time of this look."""
    since_ms: int
    """When the status before was last seen. The change lies between ``since_ms`` and ``at_ms``."""
    attempt: int
    """The number of the last try to install the update. 0 before the first."""
    from_status: TaskStatus | None
    """None if the task was created."""
    to_status: TaskStatus | None
    """None if the task was deleted."""
    cause: Cause
    """Why the status changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateStalled(Event):
    """The task of a gateway was read half a poll period after the update had been offered, and had not succeeded."""

    gateway: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedTaskDeleted(Event):
    """A task of an earlier update, which had ended and was in the way, was deleted (``--replace-ended``)."""

    gateway: str
    definition_id: str
    status: TaskStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped(Event):
    """A gateway is left out of the rollout."""

    gateway: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemFound(Event):
    """Something that the rollout did not do has happened. The rollout holds."""

    subject: str
    """What it is about: the id of a gateway, or one of ``state.Subject``."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemSolved(Event):
    """A problem has gone away by itself."""

    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GateChecked(Event):
    """The gate of a wave was checked."""

    wave: int
    check: int
    """The number of the check, from 0."""
    decision: GateDecision
    completed: int
    failed: int
    size: int
    """Number of gateways in the wave, without those that were left out."""
    reason: str
    """The decision in words, with its numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookRan(Event):
    """The hook was run."""

    wave: int
    moment: HookMoment
    exit_status: int
    output: str
    """The last line that it printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commanded(Event):
    """A person told the rollout something."""

    command: Command
    actor: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Aborted(Event):
    """A gate or the abort criterion stopped the rollout."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCleaned(Event):
    """An ended task was deleted by ``lorafw rollout clean``, so that it does not block the next update."""

    gateway: str
    status: TaskStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished(Event):
    """Nothing is left to do."""

    ending: Ending
    reason: str


_KINDS: Final[Mapping[str, type[Event]]] = {
    re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower(): cls for cls in Event.__subclasses__()
}
_NAMES: Final = {cls: kind for kind, cls in _KINDS.items()}
_ENUMS: Final = (Command, HookMoment, Ending, GateDecision, TaskStatus, Cause)


def name_of(cls: type[Event]) -> str:
    """Return the name of a type of event in the journal, such as "wave_started"."""
    return _NAMES[cls]


def to_members(event: Event) -> dict[str, Any]:
    """Return the fields of an event other than ``at_ms``, ready for JSON."""
    return {name: getattr(event, name) for name in _FIELDS[type(event)]}


def from_members(kind: str, at_ms: int, members: Mapping[str, Any]) -> Event:
    """Return the event that ``to_members`` has written.

    Args:
        kind: The name of its type.
        at_ms: When it was recorded.
        members: Its other fields.

    Raises:
        TypeError: A field is missing, unknown, or of another type.
        ValueError: There is no such type, or a field has a value that is not allowed.
    """
    if kind not in _KINDS:
        raise ValueError(f"this version of lorafw does not know {kind!r}")
    cls = _KINDS[kind]
    if not isinstance(members, dict):
        raise TypeError(f"the fields are {members!r}")
    types = _TYPES[cls]
    values = {name: _read_value(name, types.get(name, ()), value) for name, value in members.items()}
    return cls(at_ms=_read_value("at_ms", (int,), at_ms), **values)


def _read_value(name: str, types: tuple[Any, ...], value: Any) -> Any:
    """Return the value of a field, as a member of its enumeration if it has one.

    Args:
        name: The name of the field.
        types: The types that the field may have. The first one can be an enumeration.
        value: The value, as JSON gives it.

    Raises:
        TypeError: The value has another type.
        ValueError: The value is not allowed.
    """
    if types and types[0] in _ENUMS and value is not None:
        value = types[0](value)
    if type(value) not in types:
        raise TypeError(f"{name} is {value!r}")
    if name.endswith("_ms") and not 0 <= value <= LATEST_MS:
        raise ValueError(f"{name} is {value!r}")
    return value


def _field_types(cls: type[Event]) -> dict[str, tuple[Any, ...]]:
    """Return the types that each field of an event may have."""
    hints = get_type_hints(cls)
    return {name: get_args(hints[name]) or (hints[name],) for name in _FIELDS[cls]}


_FIELDS: Final = {cls: tuple(item.name for item in fields(cls) if item.name != "at_ms") for cls in _NAMES}
_TYPES: Final = {cls: _field_types(cls) for cls in _NAMES}
