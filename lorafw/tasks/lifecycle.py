"""The life cycle of a firmware update task: its statuses, and the table of transitions between them.

The statuses are AWS's (documented). TRANSITIONS is the only place that says which event leads from one status to
another. The service, the simulator and the diagram use it. An event without a transition raises IllegalTransition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from lorafw.errors import IllegalTransition


class TaskStatus(StrEnum):
    """The status of a task: AWS's WirelessGatewayTaskStatus."""

    PENDING = "PENDING"
    IN_PROGRESS = "IN_PROGRESS"
    FIRST_RETRY = "FIRST_RETRY"
    SECOND_RETRY = "SECOND_RETRY"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


class TaskEvent(StrEnum):
    """An event that changes the status of a task."""

    OFFER = "offer"
    """The first reply with the update starts."""
    ATTEMPT_FAILED = "attempt failed"
    """The gateway made another request, and the update had not taken effect."""
    TAKES_EFFECT = "takes effect"
    """The gateway presented a version that shows that the update has taken effect."""
    SILENCE = "silence"
    """The gateway sent no request within the timeout after the last retry."""


TRANSITIONS: Final[Mapping[tuple[TaskStatus, TaskEvent], TaskStatus]] = MappingProxyType(
    {
        (TaskStatus.PENDING, TaskEvent.OFFER): TaskStatus.IN_PROGRESS,
        (TaskStatus.IN_PROGRESS, TaskEvent.TAKES_EFFECT): TaskStatus.COMPLETED,
        (TaskStatus.IN_PROGRESS, TaskEvent.ATTEMPT_FAILED): TaskStatus.FIRST_RETRY,
        (TaskStatus.FIRST_RETRY, TaskEvent.TAKES_EFFECT): TaskStatus.COMPLETED,
        (TaskStatus.FIRST_RETRY, TaskEvent.ATTEMPT_FAILED): TaskStatus.SECOND_RETRY,
        (TaskStatus.SECOND_RETRY, TaskEvent.TAKES_EFFECT): TaskStatus.COMPLETED,
        (TaskStatus.SECOND_RETRY, TaskEvent.ATTEMPT_FAILED): TaskStatus.FAILED,
        (TaskStatus.SECOND_RETRY, TaskEvent.SILENCE): TaskStatus.FAILED,
    }
)

INITIAL: Final = TaskStatus.PENDING
TERMINAL: Final = frozenset(TaskStatus) - {status for status, _ in TRANSITIONS}
"""Statuses in which a task has ended: no transition leads out of them."""

ATTEMPT_BY_STATUS: Final[Mapping[TaskStatus, int]] = MappingProxyType(
    {
        TaskStatus.PENDING: 0,
        TaskStatus.IN_PROGRESS: 1,
        TaskStatus.FIRST_RETRY: 2,
        TaskStatus.SECOND_RETRY: 3,
    }
)
"""The number of the attempt that a status stands for. A task that ends keeps its last number."""


def next_status(status: TaskStatus, event: TaskEvent) -> TaskStatus:
    """Return the status after an event.

    Raises:
        IllegalTransition: The event cannot happen in this status.
    """
    try:
        return TRANSITIONS[status, event]
    except KeyError:
        raise IllegalTransition(status, event) from None


def has_transition(status: TaskStatus, event: TaskEvent) -> bool:
    """Return True if the event can happen in this status."""
    return (status, event) in TRANSITIONS


class Cause(StrEnum):
    """Why a row was written to the task log. Only causes that a server can know."""

    CREATED_AUTOMATICALLY = "created automatically"
    CREATED_MANUALLY = "created manually"
    OFFERED = "offered"
    OFFERED_AGAIN = "offered again"
    OLD_VERSION = "still presents the old version"
    OTHER_VERSION = "presents neither the old nor the new version"
    NEW_VERSION = "presents the new version"
    SILENCE = "silent after the last retry"
    REPLY_BROKEN = "reply not wholly written"
    SOURCE_UNREADABLE = "update cannot be read"
    KEY_WITHHELD = "gateway has not the key"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class LogRow:
    """One row of the task log. The service and the simulator write such rows, and the plots read them.

    ``from_status`` and ``to_status`` are equal if something happened that does not change the status.
    """

    time: int
    """In whole milliseconds since 1970 UTC."""
    gateway: str
    """EUI of the gateway: 16 lower-case hex digits."""
    attempt: int
    """Number of the attempt that the row belongs to. 0 before the first."""
    from_status: TaskStatus | None
    """None if the task was created."""
    to_status: TaskStatus | None
    """None if the task was deleted."""
    cause: Cause
    """Why the row was written."""


def to_mermaid() -> str:
    """Return TRANSITIONS as a Mermaid state diagram, which GitHub and JupyterLab can draw."""
    lines = ["stateDiagram-v2", f"    [*] --> {INITIAL}: created"]
    lines += [f"    {source} --> {target}: {event}" for (source, event), target in TRANSITIONS.items()]
    lines += [f"    {status} --> [*]: deleted" for status in TaskStatus if status in TERMINAL]
    return "\n".join(lines)
