"""What a CUPS request means for a task: pure, and the only place where it is decided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lorafw.tasks.lifecycle import Cause, TaskEvent, TaskStatus, can
from lorafw.tasks.model import NO_VERSION, Delivery, Task
from lorafw.tasks.policy import Policy
from lorafw.version import GatewayVersion


@dataclass(frozen=True, slots=True)
class Move:
    """What follows from a request: an event (or none), its cause, and whether the update is to be sent.

    A move that sends happens at the moment the reply begins; until then nothing has changed.
    """

    event: TaskEvent | None = None
    cause: Cause | None = None
    send: bool = False


STAY: Final = Move()


def judge(task: Task, presented: GatewayVersion, now_ms: int, policy: Policy) -> Move:
    """The move that a request presenting this version asks for."""
    if task.is_ended:
        return STAY
    if task.status is TaskStatus.PENDING:
        return Move(TaskEvent.OFFER, Cause.OFFERED, send=True) if starts(task, presented, policy) else STAY
    if task.sent_ms is not None and now_ms < task.sent_ms + policy.settle_s * 1000:
        return STAY
    if takes_effect(task, presented, policy):
        return Move(TaskEvent.TAKES_EFFECT, Cause.NEW_VERSION)
    if presents_old(task, presented, policy):
        return _old_version(task, policy)
    return _other_version(task, policy)


def silence_deadline(task: Task, last_request_ms: int, policy: Policy) -> int | None:
    """When silence ends the task, in ms; None in a status that waits for ever."""
    if not can(task.status, TaskEvent.SILENCE):
        return None
    return last_request_ms + round(policy.silence_timeout_s * 1000)


def starts(task: Task, presented: GatewayVersion, policy: Policy) -> bool:
    """Does this request let a PENDING task begin?"""
    if policy.manual_start == "any_request" and not task.automatic:
        return True
    return accepts(task.definition.current_version, presented, policy)


def takes_effect(task: Task, presented: GatewayVersion, policy: Policy) -> bool:
    """Is this the version of a gateway whose update has taken effect?"""
    if (wanted := target(task)) is not None:
        return accepts(wanted, presented, policy)
    if presented.package is None or task.offered_version is None:
        return False
    shown, offered = comparable(presented, policy), comparable(task.offered_version, policy)
    if policy.completion == "package_differs":
        return shown.package != offered.package
    return shown != offered


def target(task: Task) -> GatewayVersion | None:
    """The UpdateVersion that completes the task; None where no field of one is given."""
    update = task.definition.update
    if update is None or update.update_version == NO_VERSION:
        return None
    return update.update_version


def is_send_open(task: Task, policy: Policy) -> bool:
    """Has the present attempt still to send its update, for the first time or once more?"""
    if task.delivery is Delivery.BEGUN:
        return policy.broken_reply == "free"
    return task.delivery is Delivery.DUE


def presents_old(task: Task, presented: GatewayVersion, policy: Policy) -> bool:
    """Is the gateway still at the version that the update is for?"""
    offered = task.offered_version
    if offered is not None and comparable(presented, policy) == comparable(offered, policy):
        return True
    return accepts(task.definition.current_version, presented, policy)


def accepts(wanted: GatewayVersion, presented: GatewayVersion, policy: Policy) -> bool:
    """Does ``presented`` equal ``wanted`` in the fields that ``wanted`` gives?"""
    return comparable(wanted, policy).accepts(comparable(presented, policy))


def comparable(version: GatewayVersion, policy: Policy) -> GatewayVersion:
    """The form in which two versions are compared."""
    if policy.comparison == "exact":
        return version
    return GatewayVersion(*(None if text is None else text.strip().casefold() for text in version.as_tuple()))


def _old_version(task: Task, policy: Policy) -> Move:
    if is_send_open(task, policy):
        return Move(None, Cause.OFFERED_AGAIN, send=True)
    return Move(TaskEvent.ATTEMPT_FAILED, Cause.OLD_VERSION, send=task.status is not TaskStatus.SECOND_RETRY)


def _other_version(task: Task, policy: Policy) -> Move:
    is_broken = task.delivery is Delivery.BEGUN and is_send_open(task, policy)
    if target(task) is None or policy.other_version == "waits" or is_broken:
        return STAY
    return Move(TaskEvent.ATTEMPT_FAILED, Cause.OTHER_VERSION)
