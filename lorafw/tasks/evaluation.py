"""What a CUPS request means for a task. Pure functions; no other module decides this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lorafw.tasks.lifecycle import Cause, TaskEvent, TaskStatus, has_transition
from lorafw.tasks.model import NO_VERSION, Delivery, Task
from lorafw.tasks.policy import Policy
from lorafw.version import GatewayVersion


@dataclass(frozen=True, slots=True)
class RequestEffect:
    """What a request means for a task: whether the status changes, and whether the update is sent.

    If the update is sent, the event happens when the reply starts, and nothing changes before that.
    """

    event: TaskEvent | None = None
    """The event that changes the status of the task. None if the status stays."""
    cause: Cause | None = None
    """What is written to the task log. None if nothing is."""
    send: bool = False
    """True if the reply contains the update."""


NO_EFFECT: Final = RequestEffect()
"""The effect of a request that changes nothing and that is answered without an update."""


def evaluate_request(task: Task, presented: GatewayVersion, now_ms: int, policy: Policy) -> RequestEffect:
    """Evaluate a request for a task.

    Args:
        task: The task of the gateway.
        presented: The version that the gateway presents.
        now_ms: The current time on the monotonic scale of the service's clock.
        policy: The decisions to apply.

    Returns:
        What the request causes. NO_EFFECT if it changes nothing and sends nothing.
    """
    if task.is_ended:
        return NO_EFFECT
    if task.status is TaskStatus.PENDING:
        return _effect_on_pending_task(task, presented, policy)
    if _is_settling(task, now_ms, policy):
        return NO_EFFECT
    if is_updated(task, presented, policy):
        return RequestEffect(TaskEvent.TAKES_EFFECT, Cause.NEW_VERSION)
    if presents_old_version(task, presented, policy):
        return _effect_of_old_version(task, policy)
    return _effect_of_other_version(task, policy)


def silence_deadline(task: Task, last_request_ms: int, policy: Policy) -> int | None:
    """Return when silence ends the task.

    Args:
        task: The task.
        last_request_ms: When the last request was received. Any scale in milliseconds.
        policy: Contains the timeout.

    Returns:
        The deadline, on the scale of ``last_request_ms``. None if silence does not end the task in its status.
    """
    if not has_transition(task.status, TaskEvent.SILENCE):
        return None
    return last_request_ms + round(policy.silence_timeout_s * 1000)


def is_replaceable(task: Task, policy: Policy) -> bool:
    """Return True if a new task of the same gateway may take the place of this one."""
    return task.is_ended and policy.existing_task == "ended_gives_way"


def starts_task(task: Task, presented: GatewayVersion, policy: Policy) -> bool:
    """Return True if a request that presents this version starts a PENDING task."""
    if policy.manual_start == "any_request" and not task.automatic:
        return True
    return version_matches(task.definition.current_version, presented, policy)


def is_updated(task: Task, presented: GatewayVersion, policy: Policy) -> bool:
    """Return True if the presented version shows that the update has taken effect.

    If the definition has an UpdateVersion, the gateway must present it. Otherwise it must present a package, and
    another version than at the first offer.
    """
    update_version = completing_version(task)
    if update_version is not None:
        return version_matches(update_version, presented, policy)
    if presented.package is None or task.offered_version is None:
        return False
    normalized = normalize_version(presented, policy)
    offered = normalize_version(task.offered_version, policy)
    if policy.completion == "package_differs":
        return normalized.package != offered.package
    return normalized != offered


def completing_version(task: Task) -> GatewayVersion | None:
    """Return the UpdateVersion that completes the task. None if it gives no field."""
    update = task.definition.update
    if update is None or update.update_version == NO_VERSION:
        return None
    return update.update_version


def is_send_pending(task: Task, policy: Policy) -> bool:
    """Return True if the current attempt still has to send its update.

    If a reply was broken off, the policy ``broken_reply`` decides whether the same attempt sends again.
    """
    if task.delivery is Delivery.STARTED:
        return policy.broken_reply == "free"
    return task.delivery is Delivery.PENDING


def presents_old_version(task: Task, presented: GatewayVersion, policy: Policy) -> bool:
    """Return True if the gateway still presents the version that the update is for."""
    offered = task.offered_version
    if offered is not None and normalize_version(presented, policy) == normalize_version(offered, policy):
        return True
    return version_matches(task.definition.current_version, presented, policy)


def version_matches(wanted: GatewayVersion, presented: GatewayVersion, policy: Policy) -> bool:
    """Return True if ``presented`` equals ``wanted`` in each field that ``wanted`` gives."""
    return normalize_version(wanted, policy).accepts(normalize_version(presented, policy))


def normalize_version(version: GatewayVersion, policy: Policy) -> GatewayVersion:
    """Return the form of a version that is used in comparisons, by the policy ``comparison``."""
    if policy.comparison == "exact":
        return version
    return GatewayVersion(*(_normalize_field(text) for text in version.as_tuple()))


def _normalize_field(text: str | None) -> str | None:
    """Remove surrounding white space and differences in case."""
    return None if text is None else text.strip().casefold()


def _is_settling(task: Task, now_ms: int, policy: Policy) -> bool:
    """Return True if the last delivered send is so recent that the gateway may still be installing it."""
    return task.sent_ms is not None and now_ms < task.sent_ms + policy.settle_s * 1000


def _effect_on_pending_task(task: Task, presented: GatewayVersion, policy: Policy) -> RequestEffect:
    """Return the effect of a request on a PENDING task: the first offer, if the request starts the task."""
    if not starts_task(task, presented, policy):
        return NO_EFFECT
    return RequestEffect(TaskEvent.OFFER, Cause.OFFERED, send=True)


def _effect_of_old_version(task: Task, policy: Policy) -> RequestEffect:
    """Return the effect of a request that presents the old version: send once more, or count a failed attempt."""
    if is_send_pending(task, policy):
        return RequestEffect(None, Cause.OFFERED_AGAIN, send=True)
    is_last_attempt = task.status is TaskStatus.SECOND_RETRY
    return RequestEffect(TaskEvent.ATTEMPT_FAILED, Cause.OLD_VERSION, send=not is_last_attempt)


def _effect_of_other_version(task: Task, policy: Policy) -> RequestEffect:
    """Return the effect of a request that presents neither the old nor the new version."""
    if completing_version(task) is None or policy.other_version == "waits":
        return NO_EFFECT
    is_broken = task.delivery is Delivery.STARTED and is_send_pending(task, policy)
    if is_broken:
        return NO_EFFECT
    return RequestEffect(TaskEvent.ATTEMPT_FAILED, Cause.OTHER_VERSION)
