"""The life of a firmware update task, as one table.

The statuses are AWS's (documented). Which event leads from one to the next is in TRANSITIONS and nowhere else: the
service, the simulator and the diagram all read it. What is not in the table cannot happen: IllegalTransition, and
nothing has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from lorafw.errors import IllegalTransition


class TaskStatus(StrEnum):
    """AWS's WirelessGatewayTaskStatus."""

    PENDING = "PENDING"
    IN_PROGRESS = "IN_PROGRESS"
    FIRST_RETRY = "FIRST_RETRY"
    SECOND_RETRY = "SECOND_RETRY"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


class TaskEvent(StrEnum):
    """What can happen to a task between its creation and its deletion."""

    OFFER = "offer"
    """The first reply with the update begins."""
    ATTEMPT_FAILED = "attempt failed"
    """The gateway came back and the update had not taken effect."""
    TAKES_EFFECT = "takes effect"
    """The gateway presented the version that counts as updated."""
    SILENCE = "silence"
    """Nothing was heard of the gateway for too long after the last retry."""


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
"""Statuses that no event leaves."""

ATTEMPT_BY_STATUS: Final[Mapping[TaskStatus, int]] = MappingProxyType(
    {
        TaskStatus.PENDING: 0,
        TaskStatus.IN_PROGRESS: 1,
        TaskStatus.FIRST_RETRY: 2,
        TaskStatus.SECOND_RETRY: 3,
    }
)
"""The number of the send that a status stands for; a task that ended keeps the one it had."""


def next_status(status: TaskStatus, event: TaskEvent) -> TaskStatus:
    """The status after ``event``. Raises IllegalTransition."""
    try:
        return TRANSITIONS[status, event]
    except KeyError:
        raise IllegalTransition(status, event) from None


def has_transition(status: TaskStatus, event: TaskEvent) -> bool:
    """Is there a transition?"""
    return (status, event) in TRANSITIONS


class Cause(StrEnum):
    """Why a row stands in the log: what a server can know."""

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
    """One row of the task log: what the service writes, the simulator emits and the plots read.

    ``time`` in whole milliseconds since 1970 UTC; ``gateway`` the EUI; ``attempt`` the number of the send that the
    row belongs to (0 before the first). ``from_status`` is None at creation, ``to_status`` None at deletion; equal
    where something happened that changes no status.
    """

    time: int
    gateway: str
    attempt: int
    from_status: TaskStatus | None
    to_status: TaskStatus | None
    cause: Cause


def to_mermaid() -> str:
    """The table as a Mermaid state diagram; GitHub and JupyterLab draw it."""
    lines = ["stateDiagram-v2", f"    [*] --> {INITIAL}: created"]
    lines += [f"    {source} --> {target}: {event}" for (source, event), target in TRANSITIONS.items()]
    lines += [f"    {status} --> [*]: deleted" for status in TaskStatus if status in TERMINAL]
    return "\n".join(lines)
