"""Creates, changes and deletes the tasks of gateways, and writes each of these events to the task log."""

from __future__ import annotations

from lorafw.clock import Moment
from lorafw.tasks.evaluation import RequestEffect
from lorafw.tasks.gateway_state import GatewayState
from lorafw.tasks.gateway_table import GatewayTable
from lorafw.tasks.lifecycle import Cause, LogRow, TaskEvent, TaskStatus
from lorafw.tasks.model import Definition, Task
from lorafw.tasks.silence import SilenceDeadlines
from lorafw.tasks.task_log import TaskLog


class TaskKeeper:
    """Changes the tasks of gateways. Each change is a row in the task log.

    All methods change the state of the gateway that they are given. Not thread-safe: callers must hold a lock.

    Args:
        log: The task log.
        deadlines: When a task fails because its gateway is silent. A change of status can set such a deadline.
    """

    def __init__(self, log: TaskLog, deadlines: SilenceDeadlines) -> None:
        self._log = log
        self._deadlines = deadlines

    def create(self, state: GatewayState, definition: Definition, now: Moment, *, automatic: bool) -> Task:
        """Create a task in status PENDING. The gateway's previous task is deleted, if there is one.

        Args:
            state: The gateway.
            definition: What the task sends.
            now: The current time.
            automatic: True if the service creates the task, False if a caller of the API does.

        Returns:
            The task.
        """
        if state.task is not None:
            self.delete(state, state.task, now)
        task = Task(definition, automatic, created_ms=now.utc_ms)
        state.set_task(task, now)
        cause = Cause.CREATED_AUTOMATICALLY if automatic else Cause.CREATED_MANUALLY
        self._write_row(state, log_row(state, cause, now, None, task.status))
        return task

    def delete(self, state: GatewayState, task: Task, now: Moment) -> None:
        """Delete the task of a gateway. An update that is being sent for the task is no longer recorded."""
        self._write_row(state, log_row(state, Cause.DELETED, now, task.status, None))
        state.remove_task()

    def change_status(self, state: GatewayState, task: Task, event: TaskEvent, cause: Cause, now: Moment) -> Task:
        """Change the status of a task.

        Args:
            state: The gateway.
            task: Its task.
            event: What has happened to the task.
            cause: Why. It is written to the task log.
            now: When the event happened.

        Returns:
            The changed task.

        Raises:
            IllegalTransition: The event cannot happen in the status of the task.
        """
        changed = task.with_event(event)
        state.set_task(changed, now)
        self._write_row(state, log_row(state, cause, now, task.status, changed.status))
        self._deadlines.schedule(state)
        return changed

    def record_cause(self, state: GatewayState, task: Task, cause: Cause, now: Moment) -> None:
        """Write to the task log what has happened, if it does not change the status of the task."""
        self._write_row(state, log_row(state, cause, now, task.status, task.status))

    def _write_row(self, state: GatewayState, row: LogRow) -> None:
        """Add a row to the task log, and to the recent rows of its gateway."""
        state.recent_log.append(row)
        self._log.add(row)


def apply_effect(tasks: TaskKeeper, state: GatewayState, task: Task, effect: RequestEffect, now: Moment) -> Task:
    """Change a task as a request requires, and write the cause to the task log.

    Args:
        tasks: Changes the task.
        state: The gateway.
        task: Its task.
        effect: The effect of the request. NO_EFFECT changes nothing.
        now: The current time.

    Returns:
        The task, which may have changed.
    """
    if effect.cause is None:
        return task
    if effect.event is None:
        tasks.record_cause(state, task, effect.cause, now)
        return task
    return tasks.change_status(state, task, effect.event, effect.cause, now)


def fail_silent_tasks(gateways: GatewayTable, deadlines: SilenceDeadlines, tasks: TaskKeeper, now: Moment) -> None:
    """Fail the tasks whose silence deadline has passed, each at the time of its deadline.

    Args:
        gateways: The gateways. Their states are changed in place.
        deadlines: The deadlines. Those that have passed are removed.
        tasks: Changes the tasks.
        now: The current time.
    """
    for deadline_ms, eui in deadlines.take_due(now.monotonic_ms):
        state = gateways.find_by_eui(eui)
        if state is None or state.task is None or not deadlines.is_current(deadline_ms, state):
            continue
        gateways.note_change(state)
        failed_at = now.at(deadline_ms)
        tasks.change_status(state, state.task, TaskEvent.SILENCE, Cause.SILENCE, failed_at)


def log_row(
    state: GatewayState, cause: Cause, now: Moment, from_status: TaskStatus | None, to_status: TaskStatus | None
) -> LogRow:
    """Return a row of the task log.

    Args:
        state: The gateway. The row has the number of its task's current attempt.
        cause: What has happened.
        now: When it happened.
        from_status: Status of the task before. None if the task was created.
        to_status: Status of the task afterwards. None if the task was deleted.

    Returns:
        The row. The two statuses are equal if the status has not changed.
    """
    attempt = state.task.attempt if state.task is not None else 0
    return LogRow(now.utc_ms, state.gateway.eui.hex, attempt, from_status, to_status, cause)
