"""Decides which update answers a CUPS request."""

from __future__ import annotations

from lorafw.clock import Moment
from lorafw.cups.messages import UpdateInfoRequest
from lorafw.tasks.definition_table import DefinitionTable
from lorafw.tasks.evaluation import evaluate_request, is_replaceable
from lorafw.tasks.gateway_state import GatewayState
from lorafw.tasks.lifecycle import Cause
from lorafw.tasks.model import PendingUpdate, Task
from lorafw.tasks.policy import Policy
from lorafw.tasks.task_keeper import TaskKeeper, apply_effect


class UpdateChooser:
    """Decides which update answers a CUPS request. Not thread-safe: callers must hold a lock.

    Args:
        policy: The decisions about behaviour that AWS does not document.
        definitions: The task definitions, from which tasks are created automatically.
        tasks: Changes the tasks.
    """

    def __init__(self, policy: Policy, definitions: DefinitionTable, tasks: TaskKeeper) -> None:
        self._policy = policy
        self._definitions = definitions
        self._tasks = tasks

    def choose(self, state: GatewayState, request: UpdateInfoRequest, now: Moment) -> PendingUpdate | None:
        """Return the update that answers a request. This can create or change the task of the gateway.

        Args:
            state: The gateway. The request has been recorded in its state.
            request: The request.
            now: The current time.

        Returns:
            The update to read and send. None if nothing is sent.
        """
        # 1. Create an automatic task if the gateway needs one. A gateway without a task is sent nothing.
        if state.task is None or is_replaceable(state.task, self._policy):
            self._create_automatic_task(state, request, now)
        if state.task is None:
            return None
        # 2. A gateway is sent one update at a time.
        if state.in_flight is not None:
            return None
        # 3. Find out what the request means for the task. If an update is sent, the task changes when the reply starts.
        effect = evaluate_request(state.task, request.version, now.monotonic_ms, self._policy)
        if effect.send:
            return self._update_of(state, state.task, request, now)
        apply_effect(self._tasks, state, state.task, effect, now)
        return None

    def _create_automatic_task(self, state: GatewayState, request: UpdateInfoRequest, now: Moment) -> None:
        """Create a task from the definition that a request matches. Does nothing if there is no such definition."""
        if self._policy.automatic_creation == "never":
            return
        definition = self._definitions.find_best_match(state.gateway.owner, request.version)
        if definition is not None:
            self._tasks.create(state, definition, now, automatic=True)

    def _update_of(
        self, state: GatewayState, task: Task, request: UpdateInfoRequest, now: Moment
    ) -> PendingUpdate | None:
        """Return the update of a task. None if the task has no update file, or if the policy withholds the update."""
        if not task.definition.has_data_source:
            return None
        pending = PendingUpdate(state.gateway, task.definition, request, state.exchanges[-1])
        if is_withheld(pending, self._policy):
            self._tasks.record_cause(state, task, Cause.KEY_WITHHELD, now)
            return None
        return pending


def is_withheld(pending: PendingUpdate, policy: Policy) -> bool:
    """Return True if the gateway lacks the signing key, and the policy is to send nothing then."""
    if policy.key_mismatch == "offer" or not pending.update.signature:
        return False
    return pending.update.sig_key_crc not in pending.request.keys
