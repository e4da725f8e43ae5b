"""Creates, changes and deletes the tasks of gateways, and writes each of these events to the task log."""

from __future__ import annotations

from lorafw.clock import Moment
from lorafw.tasks.evaluation import RequestEffect
from lorafw.tasks.gateway_state import GatewayState
from lorafw.tasks.lifecycle import Cause, LogRow, TaskEvent, TaskStatus
from lorafw.tasks.model import Definition, Task
from lorafw.tasks.policy import Policy
from lorafw.tasks.silence import SilenceDeadlines, silence_deadline_ms
from lorafw.tasks.task_log import TaskLog


class TaskKeeper:
    """Changes the tasks of gateways. Each change is a row in the task log.

    All methods mutate the state of the gateway that they are given. Not thread-safe: callers must hold a lock.

    Args:
        policy: The decisions about behaviour that AWS does not document.
        log: The task log.
        deadlines: The queue of silence deadlines.
    """

    def __init__(self, policy: Policy, log: TaskLog, deadlines: SilenceDeadlines) -> None:
        self._policy = policy
        self._log = log
        self._deadlines = deadlines

    def create_task(self, state: GatewayState, definition: Definition, now: Moment, *, automatic: bool) -> Task:
        """Create a task in status PENDING. It takes the place of the gateway's previous task, if there is one.

        Args:
            state: The gateway.
            definition: What the task sends.
            now: The current time.
            automatic: True if the service creates the task, False if a caller of the API does.

        Returns:
            The task.
        """
        if state.task is not None:
            self.delete_task(state, state.task, now)
        task = Task(definition, automatic, created_ms=now.utc_ms)
        state.set_task(task, now)
        cause = Cause.CREATED_AUTOMATICALLY if automatic else Cause.CREATED_MANUALLY
        self._add_row(state, now, cause, None, task.status)
        return task

    def delete_task(self, state: GatewayState, task: Task, now: Moment) -> None:
        """Delete the task of a gateway. An update that is being sent for the task is no longer recorded."""
        self._add_row(state, now, Cause.DELETED, task.status, None)
        state.remove_task()

    def apply_event(self, state: GatewayState, task: Task, event: TaskEvent, cause: Cause, now: Moment) -> Task:
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
        self._add_row(state, now, cause, task.status, changed.status)
        self.schedule_silence_deadline(state)
        return changed

    def apply_effect(self, state: GatewayState, task: Task, effect: RequestEffect, now: Moment) -> Task:
        """Change the status of a task as a request requires, and write the cause to the task log.

        Args:
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
            self.record_cause(state, task, effect.cause, now)
            return task
        return self.apply_event(state, task, effect.event, effect.cause, now)

    def record_cause(self, state: GatewayState, task: Task, cause: Cause, now: Moment) -> None:
        """Write to the task log what has happened, if it does not change the status of the task."""
        self._add_row(state, now, cause, task.status, task.status)

    def schedule_silence_deadline(self, state: GatewayState) -> None:
        """Put the silence deadline of a gateway's task into the queue, if it has one."""
        deadline_ms = silence_deadline_ms(state, self._policy)
        if deadline_ms is not None:
            self._deadlines.add(deadline_ms, state.gateway.eui)

    def _add_row(
        self,
        state: GatewayState,
        now: Moment,
        cause: Cause,
        from_status: TaskStatus | None,
        to_status: TaskStatus | None,
    ) -> None:
        """Add a row to the task log. The statuses are those of the gateway's task before and after the change."""
        attempt = state.task.attempt if state.task is not None else 0
        row = LogRow(now.utc_ms, state.gateway.eui.hex, attempt, from_status, to_status, cause)
        state.recent_log.append(row)
        self._log.add(row)
