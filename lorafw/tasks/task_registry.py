"""The tasks of the registered gateways, their log, and the saved state.

This is the part of the update service that knows time but no CUPS request. Every public method holds the lock from its
first line to its last. If it raises an error, nothing has changed. When the lock is released, the changes go to the
``store``, if there is one. Time stamps come from the clock. Durations are measured on the clock's monotonic scale, so
setting the clock back does not delay a deadline.
"""

from __future__ import annotations

import heapq
import logging
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import count
from typing import Any, Final

from lorafw.clock import Clock, Moment
from lorafw.errors import Conflict, InvalidValue, NotFound
from lorafw.eui import GatewayEui
from lorafw.tasks.changes import ApiRecord, PendingChanges, SavedChanges, ServiceStore
from lorafw.tasks.evaluation import silence_deadline
from lorafw.tasks.gateway_state import GatewayState
from lorafw.tasks.lifecycle import Cause, LogRow, TaskEvent, TaskStatus
from lorafw.tasks.model import (
    AccountRegion,
    Definition,
    Delivery,
    ReplyState,
    Task,
)
from lorafw.tasks.policy import Policy
from lorafw.tasks.registry import GATEWAY, TASK, Registry
from lorafw.tasks.saved_state import SavedState, continue_after_restart, monotonic_shift_ms

LOG_ROWS = 1_000_000
"""Maximum number of rows in the task log. The oldest rows are dropped."""

_LOGGER: Final = logging.getLogger("lorafw.tasks")


class TaskRegistry(Registry):
    """The gateways, definitions and tasks of all accounts and Regions. Thread-safe.

    Args:
        clock: The clock for time stamps and deadlines.
        policy: The decisions about behaviour that AWS does not document.
        new_id: Returns a new id for a gateway or a definition.
    """

    def __init__(self, *, clock: Clock, policy: Policy, new_id: Callable[[], str]) -> None:
        super().__init__(policy=policy, new_id=new_id)
        self.clock = clock
        self.store: ServiceStore | None = None
        """Where changes are saved before a call is answered. None to keep the state in memory only."""
        self._deadlines: list[tuple[int, GatewayEui]] = []
        """A heap of silence deadlines on the monotonic scale. It also holds deadlines that have been replaced."""
        self._log: deque[LogRow] = deque(maxlen=LOG_ROWS)
        self.listeners: list[Callable[[LogRow], None]] = []
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
            now = self._apply_due_deadlines()
            state = self._gateway_state(owner, gateway_id)
            definition = self.definition(owner, definition_id)
            if state.task is not None and not self._is_replaceable(state.task):
                raise Conflict(
                    f"the gateway has a task already, {state.task.status}; delete it with "
                    "DeleteWirelessGatewayTask before starting a new one",
                    GATEWAY,
                    gateway_id,
                )
            return self._create_task(state, definition, now, automatic=False)

    def task(self, owner: AccountRegion, gateway_id: str) -> Task:
        """Return the task of a gateway.

        Raises:
            NotFound: There is no such gateway, or it has no task.
        """
        with self._lock:
            self._apply_due_deadlines()
            state = self._gateway_state(owner, gateway_id)
            if state.task is None:
                raise NotFound(TASK, gateway_id)
            return state.task

    def delete_task(self, owner: AccountRegion, gateway_id: str) -> None:
        """Delete the task of a gateway.

        Raises:
            NotFound: There is no such gateway, or it has no task.
            InvalidValue: The task has not ended, and the policy ``delete_task`` is "ended_only".
        """
        with self._lock:
            now = self._apply_due_deadlines()
            state = self._gateway_state(owner, gateway_id)
            if state.task is None:
                raise NotFound(TASK, gateway_id)
            if self.policy.delete_task == "ended_only" and not state.task.is_ended:
                raise InvalidValue("Id", gateway_id, f"the task is {state.task.status}; it has not ended")
            self._delete_task(state, now)

    @property
    def log(self) -> list[LogRow]:
        """A copy of the task log, in the order of time."""
        with self._lock:
            self._apply_due_deadlines()
            return list(self._log)

    # --- saved state ---

    def transaction(self) -> AbstractContextManager[None]:
        """Return a context manager that saves all changes of its block at once, if there is a store.

        The lock is held during the block. The block must not wait for another server.
        """
        if self.store is None:
            return nullcontext()
        return self._lock

    def save_api_value(self, record: ApiRecord, value: Any) -> None:
        """Save a value of the API with the changes of this call.

        Args:
            record: The key of the value. A value that was saved with this key before is replaced.
            value: A value that JSON can represent, and that is not None.
        """
        with self._lock:
            self._pending_changes.api_records[record] = value

    def delete_api_value(self, record: ApiRecord) -> None:
        """Delete a saved value of the API with the changes of this call."""
        with self._lock:
            self._pending_changes.api_records[record] = None

    def restore(self, saved: SavedState) -> None:
        """Take over a saved state. The service must be empty.

        Silence deadlines that have passed since are applied, each at its own time.
        """
        with self._lock:
            shift_ms = monotonic_shift_ms(saved.saved_at, Moment.of(self.clock))
            self._log.extend(saved.log)
            for definition in saved.definitions:
                self._records.definitions[definition.id] = definition
                self._matcher.add(definition)
            for state in saved.gateways:
                self._restore_gateway(state, shift_ms)
            numbers = [state.gateway.sequence for state in saved.gateways]
            numbers += [definition.sequence for definition in saved.definitions]
            self._sequence = count(max(numbers, default=0) + 1)
            self._apply_due_deadlines()

    def apply_deadlines(self) -> None:
        """Fail the tasks whose silence deadline has passed. Every other call does this too."""
        with self._lock:
            self._apply_due_deadlines()

    def clear(self) -> None:
        """Delete all gateways, tasks and definitions of all accounts, and the task log."""
        with self._lock:
            for owner in self.owners():
                self.forget(owner)
            self._log.clear()
            self._pending_changes.log.clear()
            self._deadlines.clear()

    # --- helpers: the lock is held ---

    def _save_changes(self) -> None:
        """Pass the changes of the call to the store, if there is one."""
        pending = self._pending_changes
        # The next call starts without changes, even if these cannot be saved.
        self._pending_changes = PendingChanges()
        if self.store is None:
            return
        if pending.is_empty:
            self.store.check()
        else:
            self.store.save(self._to_saved_changes(pending))

    def _to_saved_changes(self, pending: PendingChanges) -> SavedChanges:
        """Return the changes of a call with the present states of what it has changed."""
        return SavedChanges(
            now=Moment.of(self.clock),
            gateways={gateway_id: self._find_state(gateway_id) for gateway_id in pending.gateway_ids},
            definitions={key: self._records.definitions.get(key) for key in pending.definition_ids},
            log=tuple(pending.log),
            api_records=pending.api_records,
        )

    def _find_state(self, gateway_id: str) -> GatewayState | None:
        """Return the state of a gateway. None if the gateway was deleted."""
        eui = self._records.eui_by_id.get(gateway_id)
        if eui is None:
            return None
        return self._records.gateways[eui]

    def _restore_gateway(self, state: GatewayState, shift_ms: int) -> None:
        """Add a saved gateway. Mutates ``state``.

        If the server ended while it sent a reply, the log records that the reply broke off.
        """
        is_broken = state.task is not None and state.task.delivery is Delivery.STARTED
        was_sending = any(exchange.answer is ReplyState.SENDING for exchange in state.exchanges)
        continue_after_restart(state, shift_ms)
        self._records.gateways[state.gateway.eui] = state
        self._records.eui_by_id[state.gateway.id] = state.gateway.eui
        self._pending_changes.gateway_ids.add(state.gateway.id)
        self._schedule_silence_deadline(state)
        if state.task is not None and is_broken and was_sending:
            self._record_cause(state, state.task, Cause.REPLY_BROKEN, Moment.of(self.clock))

    def _on_gateway_deleted(self, state: GatewayState) -> None:
        """Delete the task of a gateway that is about to be deleted."""
        now = self._apply_due_deadlines()
        if state.task is not None:
            self._delete_task(state, now)

    def _is_replaceable(self, task: Task) -> bool:
        """Return True if a new task may replace this one."""
        return task.is_ended and self.policy.existing_task == "ended_gives_way"

    def _create_task(self, state: GatewayState, definition: Definition, now: Moment, *, automatic: bool) -> Task:
        """Create a task. Deletes the previous task of the gateway, if there is one."""
        if state.task is not None:
            self._delete_task(state, now)
        state.task = Task(definition, automatic, now.utc_ms)
        state.status_since = now
        cause = Cause.CREATED_AUTOMATICALLY if automatic else Cause.CREATED_MANUALLY
        self._record(state, now, None, state.task.status, cause)
        return state.task

    def _delete_task(self, state: GatewayState, now: Moment) -> None:
        """Delete the task of a gateway. An update in flight is no longer counted."""
        assert state.task is not None
        self._record(state, now, state.task.status, None, Cause.DELETED)
        state.task = None
        state.in_flight = None
        state.last_read_error = None

    def _apply_event(self, state: GatewayState, task: Task, event: TaskEvent, cause: Cause, now: Moment) -> Task:
        """Change the status of a task, record it, and schedule the silence deadline. Returns the changed task."""
        state.task = task.with_event(event)
        state.status_since = now
        if state.task.is_ended:
            state.last_read_error = None
        self._record(state, now, task.status, state.task.status, cause)
        self._schedule_silence_deadline(state)
        return state.task

    def _record_cause(self, state: GatewayState, task: Task, cause: Cause, now: Moment) -> None:
        """Add a row to the task log that changes no status."""
        self._record(state, now, task.status, task.status, cause)

    def _record(
        self,
        state: GatewayState,
        now: Moment,
        from_status: TaskStatus | None,
        to_status: TaskStatus | None,
        cause: Cause,
    ) -> None:
        """Add a row to the task log, and call the listeners."""
        attempt = state.task.attempt if state.task else 0
        row = LogRow(now.utc_ms, state.gateway.eui.hex, attempt, from_status, to_status, cause)
        self._log.append(row)
        self._pending_changes.log.append(row)
        state.recent_log.append(row)
        for listener in self.listeners:
            try:
                listener(row)
            except Exception:
                _LOGGER.exception("a listener of the task log failed at this row: %s", row)

    def _schedule_silence_deadline(self, state: GatewayState) -> None:
        """Add the current silence deadline of a gateway to the heap, if it has one."""
        deadline_ms = self._monotonic_deadline_ms(state)
        if deadline_ms is not None:
            heapq.heappush(self._deadlines, (deadline_ms, state.gateway.eui))

    def _utc_deadline_ms(self, state: GatewayState, now: Moment) -> int | None:
        """Return when silence ends the task, in milliseconds since 1970 UTC. None if it does not."""
        deadline_ms = self._monotonic_deadline_ms(state)
        if deadline_ms is None:
            return None
        return now.at(deadline_ms).utc_ms

    def _monotonic_deadline_ms(self, state: GatewayState) -> int | None:
        """Return when silence ends the task, on the monotonic scale. None if it does not."""
        if state.task is None or state.last_request_at is None or state.status_since is None:
            return None
        # Reading the update may take longer than the timeout, so silence counts from the start of the status at least.
        silent_since_ms = max(state.last_request_at.monotonic_ms, state.status_since.monotonic_ms)
        return silence_deadline(state.task, silent_since_ms, self.policy)

    def _apply_due_deadlines(self) -> Moment:
        """Fail the tasks whose silence deadline has passed, each at its own time. Returns the current time."""
        now = Moment.of(self.clock)
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] <= now.monotonic_ms:
            deadline_ms, eui = heapq.heappop(deadlines)
            state = self._state_of_eui(eui)
            if state is None or state.task is None:
                continue
            # A later request replaces the deadline with a new entry. Then this entry is outdated.
            if self._monotonic_deadline_ms(state) == deadline_ms:
                self._apply_event(state, state.task, TaskEvent.SILENCE, Cause.SILENCE, now.at(deadline_ms))
        return now
