"""The rows of the task log that ``apply`` can know: what it did, and the statuses that it saw.

The columns are those of the simulator and of the service. A row can stand for several steps of a task, because only the
status at the moment of a look is known.
"""

from __future__ import annotations

from lorafw.rollout.events import StatusChanged
from lorafw.rollout.observations import TaskSeen
from lorafw.rollout.state import GatewayProgress
from lorafw.tasks.lifecycle import ATTEMPT_BY_STATUS, INITIAL, Cause, TaskStatus


def created_row(gateway: str, time_ms: int, now_ms: int) -> StatusChanged:
    """Return the row of a task that was created.

    Args:
        gateway: The id of the gateway.
        time_ms: When the task was created.
        now_ms: The current time.
    """
    return StatusChanged(
        at_ms=now_ms,
        gateway=gateway,
        time_ms=time_ms,
        since_ms=time_ms,
        attempt=0,
        from_status=None,
        to_status=INITIAL,
        cause=Cause.CREATED_MANUALLY,
    )


def deleted_row(gateway: str, progress: GatewayProgress, now_ms: int) -> StatusChanged:
    """Return the row of a task that was deleted because the rollout was aborted."""
    return StatusChanged(
        at_ms=now_ms,
        gateway=gateway,
        time_ms=now_ms,
        since_ms=now_ms,
        attempt=progress.attempt,
        from_status=progress.status,
        to_status=None,
        cause=Cause.DELETED,
    )


def changed_row(
    gateway: str, progress: GatewayProgress, task: TaskSeen, now_ms: int, silence_timeout_ms: int | None
) -> StatusChanged:
    """Return the row of a status that differs from the last one that was seen.

    Args:
        gateway: The id of the gateway.
        progress: What was known before.
        task: The task, as it is now.
        now_ms: The current time.
        silence_timeout_ms: The time after which silence ends a task; None if it never does.
    """
    since_ms = max(progress.changed_ms, progress.session.looked_ms or 0)
    cause = _cause(progress, task, since_ms, silence_timeout_ms)
    time_ms = now_ms
    if cause is Cause.SILENCE and silence_timeout_ms is not None:
        time_ms = min(now_ms, progress.changed_ms + silence_timeout_ms)
    elif task.uplink_ms is not None and since_ms < task.uplink_ms <= now_ms:
        time_ms = task.uplink_ms
    return StatusChanged(
        at_ms=now_ms,
        gateway=gateway,
        time_ms=time_ms,
        since_ms=since_ms,
        attempt=ATTEMPT_BY_STATUS.get(task.status, max(progress.attempt, 1)),
        from_status=progress.status,
        to_status=task.status,
        cause=cause,
    )


def _cause(progress: GatewayProgress, task: TaskSeen, since_ms: int, silence_timeout_ms: int | None) -> Cause:
    """Return why a status changed, as well as the status and the last uplink tell it."""
    if task.status is TaskStatus.COMPLETED:
        return Cause.NEW_VERSION
    if task.status is TaskStatus.IN_PROGRESS:
        return Cause.OFFERED
    was_silent = task.uplink_ms is None or task.uplink_ms <= since_ms
    if task.status is TaskStatus.FAILED and was_silent and silence_timeout_ms is not None:
        return Cause.SILENCE
    return Cause.OLD_VERSION
