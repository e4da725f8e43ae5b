"""Records how far the reply with an update has come, in the state of the gateway and in its task."""

from __future__ import annotations

from lorafw.clock import Moment
from lorafw.errors import LorafwError
from lorafw.tasks.evaluation import evaluate_request
from lorafw.tasks.gateway_state import GatewayState
from lorafw.tasks.lifecycle import Cause
from lorafw.tasks.model import PendingUpdate, Task
from lorafw.tasks.policy import Policy
from lorafw.tasks.task_keeper import TaskKeeper, apply_effect


class ReplyKeeper:
    """Records the start and the end of a reply with an update.

    ``start`` comes first, and ``finish`` second. If the update cannot be read, ``reject`` takes the place of both. Each
    method changes the state of the gateway that it is given. Not thread-safe: callers must hold a lock.

    Args:
        policy: The decisions about behaviour that AWS does not document.
        tasks: Changes the tasks.
    """

    def __init__(self, policy: Policy, tasks: TaskKeeper) -> None:
        self._policy = policy
        self._tasks = tasks

    def start(self, state: GatewayState, task: Task, pending: PendingUpdate, now: Moment) -> bool:
        """Start to send an update that has been read. This changes the status of the task.

        Args:
            state: The gateway.
            task: Its task.
            pending: The update.
            now: The current time.

        Returns:
            True if the update is to be sent. False if the task does not need it any more.
        """
        # Evaluate the request again, because time has passed while the update was read.
        effect = evaluate_request(task, pending.request.version, now.monotonic_ms, self._policy)
        if not effect.send:
            state.end_flight()
            return False
        changed = apply_effect(self._tasks, state, task, effect, now)
        state.record_send(changed.with_send_started(pending.request.version))
        return True

    def finish(self, state: GatewayState, task: Task, now: Moment, *, delivered: bool) -> None:
        """Record that the reply has ended.

        Args:
            state: The gateway.
            task: Its task.
            now: The current time.
            delivered: True if all bytes were written, False if the reply broke off.
        """
        state.end_flight()
        if delivered:
            state.record_send(task.with_send_delivered(now.monotonic_ms))
        else:
            self._tasks.record_cause(state, task, Cause.REPLY_BROKEN, now)

    def reject(self, state: GatewayState, task: Task, error: LorafwError, now: Moment) -> None:
        """Record that the update cannot be read. The task stays as it is."""
        state.end_flight(error)
        self._tasks.record_cause(state, task, Cause.SOURCE_UNREADABLE, now)
