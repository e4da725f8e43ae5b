"""The tasks of the registered gateways, their log, and the saved state.

This is the part of the update service that knows time but no CUPS request. Every public method holds the lock from its
first line to its last. If it raises an error, nothing has changed. When the lock is released, the changes go to the
store, if there is one. Time stamps come from the clock. Durations are measured on the clock's monotonic scale, so
setting the clock back does not delay a deadline.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import count
from typing import Any

from lorafw.clock import Clock, Moment
from lorafw.errors import Conflict, InvalidValue, NotFound
from lorafw.tasks.changes import ApiRecord, ServiceStore
from lorafw.tasks.gateway_state import GatewayState
from lorafw.tasks.lifecycle import Cause, LogRow, TaskEvent
from lorafw.tasks.model import GATEWAY_RESOURCE, TASK_RESOURCE, AccountRegion, Task
from lorafw.tasks.policy import Policy
from lorafw.tasks.registry import Registry
from lorafw.tasks.saved_state import SavedState, mark_broken_replies, monotonic_shift_ms, shift_times, was_sending
from lorafw.tasks.silence import SilenceDeadlines, silence_deadline_ms
from lorafw.tasks.task_keeper import TaskKeeper


class TaskRegistry(Registry):
    """The gateways, definitions and tasks of all accounts and Regions. Thread-safe.

    Args:
        clock: The clock for time stamps and deadlines.
        policy: The decisions about behaviour that AWS does not document.
        new_id: Returns a new id for a gateway or a definition.
    """

    def __init__(self, *, clock: Clock, policy: Policy, new_id: Callable[[], str]) -> None:
        super().__init__(clock=clock, policy=policy, new_id=new_id)
        self._deadlines = SilenceDeadlines()
        self._tasks = TaskKeeper(policy, self._log, self._deadlines)
        self.listeners = self._log.listeners
        """Functions that are called with each new row of the task log.

        The lock is held during the call, so a listener must be quick and must not call the service. An exception of a
        listener is logged under ``lorafw.tasks`` and does not affect the task.
        """

    # --- tasks ---

    def create_task(self, owner: AccountRegion, gateway_id: str, definition_id: str) -> Task:
        """Create a manual task in status PENDING.

        Args:
            owner: Account and Region of the gateway and the definition.
            gateway_id: Id of the gateway.
            definition_id: Id of the definition.

        Returns:
            The new task.

        Raises:
            NotFound: There is no such gateway or definition.
            Conflict: The gateway already has a task.
        """
        with self._lock:
            now = Moment.of(self.clock)
            self._apply_due_deadlines(now)
            state = self._state_to_change(owner, gateway_id)
            definition = self._definitions.get(owner, definition_id)
            if state.task is not None and not is_replaceable(state.task, self.policy):
                message = (
                    f"the gateway has a task already, {state.task.status}; delete it with "
                    "DeleteWirelessGatewayTask before starting a new one"
                )
                raise Conflict(message, GATEWAY_RESOURCE, gateway_id)
            return self._tasks.create_task(state, definition, now, automatic=False)

    def task(self, owner: AccountRegion, gateway_id: str) -> Task:
        """Return the task of a gateway.

        Raises:
            NotFound: There is no such gateway, or it has no task.
        """
        with self._lock:
            self._apply_due_deadlines(Moment.of(self.clock))
            task = self._gateways.get(owner, gateway_id).task
            if task is None:
                raise NotFound(TASK_RESOURCE, gateway_id)
            return task

    def delete_task(self, owner: AccountRegion, gateway_id: str) -> None:
        """Delete the task of a gateway.

        Raises:
            NotFound: There is no such gateway, or it has no task.
            InvalidValue: The task has not ended, and the policy ``delete_task`` is "ended_only".
        """
        with self._lock:
            now = Moment.of(self.clock)
            self._apply_due_deadlines(now)
            state = self._state_to_change(owner, gateway_id)
            if state.task is None:
                raise NotFound(TASK_RESOURCE, gateway_id)
            if self.policy.delete_task == "ended_only" and not state.task.is_ended:
                raise InvalidValue("Id", gateway_id, f"the task is {state.task.status}; it has not ended")
            self._tasks.delete_task(state, state.task, now)

    def apply_deadlines(self) -> None:
        """Fail the tasks whose silence deadline has passed. Every other call about tasks does this too."""
        with self._lock:
            self._apply_due_deadlines(Moment.of(self.clock))

    @property
    def log(self) -> list[LogRow]:
        """A copy of the task log, in the order of time."""
        with self._lock:
            self._apply_due_deadlines(Moment.of(self.clock))
            return self._log.rows()

    # --- deletion of gateways and accounts ---

    def delete_gateway(self, owner: AccountRegion, gateway_id: str) -> None:
        """Delete a gateway and its task.

        Raises:
            NotFound: There is no such gateway in this account and Region.
        """
        with self._lock:
            now = Moment.of(self.clock)
            self._apply_due_deadlines(now)
            state = self._state_to_change(owner, gateway_id)
            if state.task is not None:
                self._tasks.delete_task(state, state.task, now)
            self._gateways.remove(state)

    def forget(self, owner: AccountRegion) -> None:
        """Delete all gateways, tasks and definitions of an account in a Region."""
        with self._lock:
            for gateway in self.gateways(owner):
                self.delete_gateway(owner, gateway.id)
            for definition in self.definitions(owner):
                self.delete_definition(owner, definition.id)

    def clear(self) -> None:
        """Delete all gateways, tasks and definitions of all accounts, and the task log."""
        with self._lock:
            for owner in self.owners():
                self.forget(owner)
            self._log.clear()
            self._deadlines.clear()

    # --- saved state ---

    def save_to(self, store: ServiceStore) -> None:
        """Save all changes to a store from now on, each before the call that makes it is answered."""
        with self._lock:
            self._changes.store = store

    def transaction(self) -> AbstractContextManager[None]:
        """Return a context manager that saves all changes of its block at once, if there is a store.

        The lock is held during the block. The block must not wait for another server.
        """
        if self._changes.store is None:
            return nullcontext()
        return self._lock

    def save_api_value(self, record: ApiRecord, value: Any) -> None:
        """Save a value of the API with the changes of this call.

        Args:
            record: The key of the value. A value that was saved with this key before is replaced.
            value: A value that JSON can represent, and that is not None.
        """
        with self._lock:
            self._changes.note_api_value(record, value)

    def delete_api_value(self, record: ApiRecord) -> None:
        """Delete a saved value of the API with the changes of this call."""
        with self._lock:
            self._changes.note_api_value(record, None)

    def restore(self, saved: SavedState) -> None:
        """Take over a saved state. The service must be empty.

        Silence deadlines that have passed since are applied, each at its own time.
        """
        with self._lock:
            now = Moment.of(self.clock)
            # The monotonic clock starts anew with the machine, so saved times are moved to its present scale.
            shift_ms = monotonic_shift_ms(saved.saved_at, now)
            self._log.restore(saved.log)
            for definition in saved.definitions:
                self._definitions.add(definition)
            for state in saved.gateways:
                self._restore_gateway(state, shift_ms, now)
            self._sequence_numbers = count(saved.last_sequence + 1)
            self._apply_due_deadlines(now)

    # --- helpers: the lock is held ---

    def _restore_gateway(self, state: GatewayState, shift_ms: int, now: Moment) -> None:
        """Add a saved gateway. If the server ended while it sent a reply, the task log gets a row about this.

        Args:
            state: The saved gateway. It is changed in place.
            shift_ms: What to add to the saved monotonic times.
            now: The current time.
        """
        if state.task is not None and was_sending(state):
            # Check this first, because the next statement changes the record that shows it.
            self._tasks.record_cause(state, state.task, Cause.REPLY_BROKEN, now)
        mark_broken_replies(state)
        shift_times(state, shift_ms)
        self._gateways.add(state)
        self._changes.note_gateway(state.gateway.id)
        self._tasks.schedule_silence_deadline(state)

    def _apply_due_deadlines(self, now: Moment) -> None:
        """Fail the tasks whose silence deadline has passed, each at its own time."""
        for deadline_ms, eui in self._deadlines.take_due(now.monotonic_ms):
            state = self._gateways.find_by_eui(eui)
            # If the gateway has sent a request since, its task has a later deadline, which is in the queue too.
            if state is None or silence_deadline_ms(state, self.policy) != deadline_ms:
                continue
            self._fail_silent_task(state, now.at(deadline_ms))

    def _fail_silent_task(self, state: GatewayState, deadline: Moment) -> None:
        """Fail the task of a gateway that was silent until its deadline."""
        assert state.task is not None
        self._changes.note_gateway(state.gateway.id)
        self._tasks.apply_event(state, state.task, TaskEvent.SILENCE, Cause.SILENCE, deadline)


def is_replaceable(task: Task, policy: Policy) -> bool:
    """Return True if a new task may take the place of this one."""
    return task.is_ended and policy.existing_task == "ended_gives_way"
