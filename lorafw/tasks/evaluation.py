"""What a CUPS request means for a task: pure, and the only place where it is decided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lorafw.tasks.lifecycle import Cause, TaskEvent, TaskStatus, has_transition
from lorafw.tasks.model import NO_VERSION, Delivery, Task
from lorafw.tasks.policy import Policy
from lorafw.version import GatewayVersion


@dataclass(frozen=True, slots=True)
class RequestEffect:
    """What follows from a request: an event (or none), its cause, and whether the update is to be sent.

    A move that sends happens at the moment the reply begins; until then nothing has changed.
    """

    event: TaskEvent | None = None
    cause: Cause | None = None
    send: bool = False


NO_EFFECT: Final = RequestEffect()


def evaluate_request(task: Task, presented: GatewayVersion, now_ms: int, policy: Policy) -> RequestEffect:
    """The move that a request presenting this version asks for."""
    if task.is_ended:
        return NO_EFFECT
    if task.status is TaskStatus.PENDING:
        return (
            RequestEffect(TaskEvent.OFFER, Cause.OFFERED, send=True)
            if starts_task(task, presented, policy)
            else NO_EFFECT
        )
    if task.sent_ms is not None and now_ms < task.sent_ms + policy.settle_s * 1000:
        return NO_EFFECT
    if is_updated(task, presented, policy):
        return RequestEffect(TaskEvent.TAKES_EFFECT, Cause.NEW_VERSION)
    if presents_old_version(task, presented, policy):
        return _effect_of_old_version(task, policy)
    return _effect_of_other_version(task, policy)


def silence_deadline(task: Task, last_request_ms: int, policy: Policy) -> int | None:
    """When silence ends the task, in ms; None in a status that waits for ever."""
    if not has_transition(task.status, TaskEvent.SILENCE):
        return None
    return last_request_ms + round(policy.silence_timeout_s * 1000)


def starts_task(task: Task, presented: GatewayVersion, policy: Policy) -> bool:
    """Does this request let a PENDING task begin?"""
    if policy.manual_start == "any_request" and not task.automatic:
        return True
    return version_matches(task.definition.current_version, presented, policy)


def is_updated(task: Task, presented: GatewayVersion, policy: Policy) -> bool:
    """Is this the version of a gateway whose update has taken effect?"""
    if (wanted := completing_version(task)) is not None:
        return version_matches(wanted, presented, policy)
    if presented.package is None or task.offered_version is None:
        return False
    shown, offered = normalize_version(presented, policy), normalize_version(task.offered_version, policy)
    if policy.completion == "package_differs":
        return shown.package != offered.package
    return shown != offered


def completing_version(task: Task) -> GatewayVersion | None:
    """The UpdateVersion that completes the task; None where no field of one is given."""
    update = task.definition.update
    if update is None or update.update_version == NO_VERSION:
        return None
    return update.update_version


def is_send_pending(task: Task, policy: Policy) -> bool:
    """Has the present attempt still to send its update, for the first time or once more?"""
    if task.delivery is Delivery.STARTED:
        return policy.broken_reply == "free"
    return task.delivery is Delivery.PENDING


def presents_old_version(task: Task, presented: GatewayVersion, policy: Policy) -> bool:
    """Is the gateway still at the version that the update is for?"""
    offered = task.offered_version
    if offered is not None and normalize_version(presented, policy) == normalize_version(offered, policy):
        return True
    return version_matches(task.definition.current_version, presented, policy)


def version_matches(wanted: GatewayVersion, presented: GatewayVersion, policy: Policy) -> bool:
    """Does ``presented`` equal ``wanted`` in the fields that ``wanted`` gives?"""
    return normalize_version(wanted, policy).accepts(normalize_version(presented, policy))


def normalize_version(version: GatewayVersion, policy: Policy) -> GatewayVersion:
    """The form in which two versions are compared."""
    if policy.comparison == "exact":
        return version
    return GatewayVersion(*(None if text is None else text.strip().casefold() for text in version.as_tuple()))


def _effect_of_old_version(task: Task, policy: Policy) -> RequestEffect:
    if is_send_pending(task, policy):
        return RequestEffect(None, Cause.OFFERED_AGAIN, send=True)
    return RequestEffect(TaskEvent.ATTEMPT_FAILED, Cause.OLD_VERSION, send=task.status is not TaskStatus.SECOND_RETRY)


def _effect_of_other_version(task: Task, policy: Policy) -> RequestEffect:
    is_broken = task.delivery is Delivery.STARTED and is_send_pending(task, policy)
    if completing_version(task) is None or policy.other_version == "waits" or is_broken:
        return NO_EFFECT
    return RequestEffect(TaskEvent.ATTEMPT_FAILED, Cause.OTHER_VERSION)
