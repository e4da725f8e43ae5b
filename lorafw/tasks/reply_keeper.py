"""Records how far the reply with an update has come, in the state of the gateway and in its task."""

from __future__ import annotations

from lorafw.clock import Moment
from lorafw.cups.messages import UpdateInfoRequest
from lorafw.errors import LorafwError
from lorafw.tasks.evaluation import evaluate_request
from lorafw.tasks.gateway_state import GatewayState
from lorafw.tasks.lifecycle import Cause
from lorafw.tasks.model import PendingUpdate, ReplyState, Task
from lorafw.tasks.policy import Policy
from lorafw.tasks.task_keeper import TaskKeeper


class ReplyKeeper:
    """Changes the state of a gateway while an update is read and sent to it.

    The update is *in flight* from ``put_in_flight`` until one of the other methods ends that. All methods mutate the
    state of the gateway. Not thread-safe: callers must hold a lock.

    Args:
        policy: The decisions about behaviour that AWS does not document.
        tasks: Changes the tasks.
    """

    def __init__(self, policy: Policy, tasks: TaskKeeper) -> None:
        self._policy = policy
        self._tasks = tasks

    def put_in_flight(
        self, state: GatewayState, task: Task, request: UpdateInfoRequest, now: Moment
    ) -> PendingUpdate | None:
        """Decide to send the update of a task.

        Args:
            state: The gateway.
            task: Its task.
            request: The request that the update answers. It is the last one that was recorded in ``state``.
            now: The current time.

        Returns:
            The update to read. None if the task has no update file, or if the policy withholds the update.
        """
        if not task.definition.has_data_source:
            return None
        pending = PendingUpdate(state.gateway, task.definition, request, state.exchanges[-1])
        if is_withheld(pending, self._policy):
            self._tasks.record_cause(state, task, Cause.KEY_WITHHELD, now)
            return None
        state.in_flight = pending
        return pending

    def start(self, state: GatewayState, task: Task, pending: PendingUpdate, now: Moment) -> bool:
        """Start to send the update in flight. This changes the status of the task.

        Args:
            state: The gateway.
            task: Its task.
            pending: The update in flight, which has been read.
            now: The current time.

        Returns:
            True if the update is to be sent. False if the task does not need it any more; then it is not in flight any
            more either.
        """
        # Evaluate the request again, because time has passed while the update was read.
        effect = evaluate_request(task, pending.request.version, now.monotonic_ms, self._policy)
        if not effect.send:
            state.in_flight = None
            return False
        pending.exchange.answer = ReplyState.SENDING
        state.last_read_error = None
        changed = self._tasks.apply_effect(state, task, effect, now)
        state.task = changed.with_send_started(pending.request.version)
        return True

    def reject(self, state: GatewayState, task: Task, error: LorafwError, now: Moment) -> None:
        """End the flight of an update that cannot be read. The task stays as it is.

        Args:
            state: The gateway.
            task: Its task.
            error: Why the update cannot be read.
            now: The current time.
        """
        state.in_flight = None
        state.last_read_error = error
        self._tasks.record_cause(state, task, Cause.SOURCE_UNREADABLE, now)

    def finish(self, state: GatewayState, task: Task, now: Moment, *, delivered: bool) -> None:
        """End the flight of an update that was sent.

        Args:
            state: The gateway.
            task: Its task.
            now: The current time.
            delivered: True if all bytes were written, False if the reply broke off.
        """
        state.in_flight = None
        if delivered:
            state.task = task.with_send_delivered(now.monotonic_ms)
        else:
            self._tasks.record_cause(state, task, Cause.REPLY_BROKEN, now)


def is_withheld(pending: PendingUpdate, policy: Policy) -> bool:
    """Return True if the gateway lacks the signing key, and the policy is to send nothing then."""
    if policy.key_mismatch == "offer" or not pending.update.signature:
        return False
    return pending.update.sig_key_crc not in pending.request.keys
