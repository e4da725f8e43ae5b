"""The update service: the server's side of a firmware update.

A CUPS request is answered in three steps::

    pending = service.handle_request(request)       # record and evaluate the request
    reply = service.start_reply(pending, image)     # the update was read: change the status of the task
    service.finish_reply(reply, delivered=True)     # the reply was written

``handle`` does the first two in one call and reads the update from the service's own source. Reading can take long, so
no lock is held between ``handle_request`` and ``start_reply``. The task changes only when the reply starts. Until
then, other requests of the same gateway get an empty reply.

Every public method except ``explain`` and ``handle`` holds the lock from its first line to its last. If it raises an
error, nothing has changed. When the lock is released, the changes go to the ``store``, if there is one. Time stamps
come from the clock. Durations are measured on the clock's monotonic scale, so setting the clock back does not delay a
deadline.
"""

from __future__ import annotations

import heapq
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import count
from typing import Any, Final
from uuid import uuid4

from lorafw.clock import Clock, Moment, SystemClock
from lorafw.cups.messages import UpdateInfoRequest, UpdateInfoResponse
from lorafw.errors import Conflict, FirmwareError, InvalidValue, LorafwError, NotFound, SourceError
from lorafw.eui import GatewayEui
from lorafw.firmware.recovery import recover_key_crcs
from lorafw.firmware.signature_fault import find_signature_fault
from lorafw.tasks.changes import ApiRecord, PendingChanges, SavedChanges, ServiceStore
from lorafw.tasks.evaluation import evaluate_request, silence_deadline
from lorafw.tasks.explain import Explanation, definition_to_send, explain, failed_definition
from lorafw.tasks.gateway_state import GatewayState
from lorafw.tasks.lifecycle import Cause, LogRow, TaskEvent, TaskStatus
from lorafw.tasks.model import (
    AccountRegion,
    Definition,
    Delivery,
    ExchangeRecord,
    PendingUpdate,
    Reply,
    ReplyState,
    Task,
    UpdateImage,
    UpdateSource,
    UpdateSpec,
)
from lorafw.tasks.policy import Policy
from lorafw.tasks.registry import GATEWAY, TASK, Registry
from lorafw.tasks.saved_state import SavedState, continue_after_restart, monotonic_shift_ms
from lorafw.tasks.snapshot import Snapshot, SourceInspection

LOG_ROWS = 1_000_000
"""Maximum number of rows in the task log. The oldest rows are dropped."""

_LOGGER: Final = logging.getLogger("lorafw.tasks")


class UpdateService(Registry):
    """The update service of AWS IoT Wireless, for all accounts and Regions. Thread-safe.

    Args:
        source: Where update files are read from.
        clock: The clock for time stamps and deadlines. None for the system's clock.
        policy: The decisions about behaviour that AWS does not document. None for the defaults.
        new_id: Returns a new id for a gateway or a definition.
    """

    def __init__(
        self,
        *,
        source: UpdateSource,
        clock: Clock | None = None,
        policy: Policy | None = None,
        new_id: Callable[[], str] = lambda: str(uuid4()),
    ) -> None:
        super().__init__(policy=policy or Policy(), new_id=new_id)
        self.clock = clock or SystemClock()
        self.source = source
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

    def keep_api_record(self, record: ApiRecord, value: Any) -> None:
        """Save a value of the API with the changes of this call.

        Args:
            record: Its key.
            value: A value that JSON can represent. None if the value was deleted.
        """
        with self._lock:
            self._changes.api_records[record] = value

    def restore(self, saved: SavedState) -> None:
        """Take over a saved state. The service must be empty.

        Silence deadlines that have passed since are applied, each at its own time.
        """
        with self._lock:
            shift_ms = monotonic_shift_ms(saved.saved_at, Moment.of(self.clock))
            self._log.extend(saved.log)
            for definition in saved.definitions:
                self._store.definitions[definition.id] = definition
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
            self._changes.log.clear()
            self._deadlines.clear()

    # --- a CUPS request ---

    def handle_request(self, request: UpdateInfoRequest) -> PendingUpdate | None:
        """Record a request, and decide whether an update is sent.

        This can create an automatic task, count a failed attempt, or complete the task.

        Returns:
            The update to read and send. None if the reply is empty.

        Raises:
            NotFound: No gateway with this EUI is registered.
        """
        with self._lock:
            now = self._apply_due_deadlines()
            state = self._state_of_eui(request.router)
            if state is None:
                raise NotFound(GATEWAY, request.router.hex)
            self._record_request(state, request, now)
            task = state.task
            if task is None or self._is_replaceable(task):
                task = self._create_automatic_task(state, now)
            if task is None or state.in_flight is not None:
                return None
            effect = evaluate_request(task, request.version, now.monotonic_ms, self.policy)
            if effect.send:
                return self._create_pending_update(state, task, now)
            if effect.event is not None and effect.cause is not None:
                self._apply_event(state, task, effect.event, effect.cause, now)
            return None

    def start_reply(self, pending: PendingUpdate, image: UpdateImage) -> Reply:
        """Start the reply after the update was read. This changes the status of the task.

        Args:
            pending: The result of ``handle_request``.
            image: The update file.

        Returns:
            The reply to write. It is empty if the task was deleted or has changed in the meantime.
        """
        with self._lock:
            now = self._apply_due_deadlines()
            state = self._state_in_flight(pending)
            if state is None or state.task is None:
                return Reply()
            task = state.task
            effect = evaluate_request(task, pending.request.version, now.monotonic_ms, self.policy)
            if not effect.send or effect.cause is None:
                state.in_flight = None
                return Reply()
            state.last_read_error = None
            pending.exchange.answer = ReplyState.SENDING
            if effect.event is None:
                self._record_cause(state, task, effect.cause, now)
            else:
                task = self._apply_event(state, task, effect.event, effect.cause, now)
            state.task = task.with_send_started(pending.request.version)
            return Reply(_response_header(pending.update), image, pending)

    def reject_unreadable(self, pending: PendingUpdate, error: LorafwError) -> None:
        """Record that an update cannot be read. Nothing is sent, and no attempt is used up.

        Args:
            pending: The result of ``handle_request``.
            error: Why the update cannot be read. ``explain`` shows it.
        """
        with self._lock:
            now = self._apply_due_deadlines()
            state = self._state_in_flight(pending)
            if state is None or state.task is None:
                return
            state.in_flight = None
            state.last_read_error = error
            pending.exchange.answer = ReplyState.UNREADABLE
            self._record_cause(state, state.task, Cause.SOURCE_UNREADABLE, now)

    def finish_reply(self, reply: Reply, *, delivered: bool) -> None:
        """Record that a reply has ended. The exchange record is updated even if the task was deleted meanwhile.

        Args:
            reply: The result of ``start_reply``. An empty reply changes nothing, nor does a second call.
            delivered: True if all bytes of the reply were written.
        """
        with self._lock:
            now = self._apply_due_deadlines()
            pending = reply.pending
            if pending is None or pending.exchange.answer is not ReplyState.SENDING:
                return
            self._changes.gateway_ids.add(pending.gateway.id)
            pending.exchange.answer = ReplyState.DELIVERED if delivered else ReplyState.BROKEN
            state = self._state_in_flight(pending)
            if state is None or state.task is None:
                return
            state.in_flight = None
            if delivered:
                state.task = state.task.with_send_delivered(now.monotonic_ms)
            else:
                self._record_cause(state, state.task, Cause.REPLY_BROKEN, now)

    def handle(self, request: UpdateInfoRequest) -> Reply:
        """Handle a request, read the update and start the reply. The caller must write the reply and finish it.

        Returns:
            The reply. It is empty if no update is sent.

        Raises:
            NotFound: No gateway with this EUI is registered.
        """
        pending = self.handle_request(request)
        if pending is None:
            return Reply()
        return self.load_and_start_reply(pending)

    def load_and_start_reply(self, pending: PendingUpdate) -> Reply:
        """Read the update from the service's source, and start the reply. Waits for the source.

        If reading fails with an unexpected error, the update is released for the next request and the error is raised.

        Args:
            pending: The result of ``handle_request``.

        Returns:
            The reply to write. It is empty if the update cannot be read.
        """
        try:
            image = self._open_update(pending.gateway.owner, pending.update)
            return self.start_reply(pending, image)
        except (SourceError, FirmwareError, InvalidValue) as error:
            self.reject_unreadable(pending, error)
            return Reply()
        except BaseException:
            self._release(pending)
            raise

    def is_sending(self, owner: AccountRegion, gateway_id: str) -> bool:
        """Return True if an update for this gateway is being read or sent.

        Raises:
            NotFound: There is no such gateway.
        """
        with self._lock:
            return self._gateway_state(owner, gateway_id).in_flight is not None

    # --- explanation ---

    def explain(self, owner: AccountRegion, gateway_id: str) -> Explanation:
        """Return an explanation of why a gateway is updated, or why it is not.

        Reads the update in the same way as a request of the gateway does, without holding the lock.

        Raises:
            NotFound: There is no such gateway.
        """
        snapshot = self._snapshot(owner, gateway_id)
        definition = definition_to_send(snapshot, self.policy) or failed_definition(snapshot)
        if definition is not None:
            keys = () if snapshot.request is None else snapshot.request.keys
            snapshot = replace(snapshot, source=self._inspect_source(owner, definition, keys))
        return explain(snapshot, self.policy)

    def _snapshot(self, owner: AccountRegion, gateway_id: str) -> Snapshot:
        """Return what the service knows of a gateway now. The source is not inspected yet."""
        with self._lock:
            now = self._apply_due_deadlines()
            state = self._gateway_state(owner, gateway_id)
            request = state.request
            matching = [] if request is None else self._matcher.find_all(owner, request.version)
            last_seen_ms = None if state.last_request_at is None else state.last_request_at.utc_ms
            deadline = self._silence_deadline(state)
            deadline_ms = None if deadline is None else now.at(deadline).utc_ms
            return Snapshot(
                now_ms=now.utc_ms,
                gateway=state.gateway,
                request=request,
                last_seen_ms=last_seen_ms,
                task=state.task,
                last_read_error=state.last_read_error,
                definitions=tuple(self.definitions(owner)),
                matching=tuple(matching),
                deadline_ms=deadline_ms,
                log=tuple(state.recent_log),
                exchanges=tuple(replace(exchange) for exchange in state.exchanges),
            )

    def _inspect_source(self, owner: AccountRegion, definition: Definition, keys: Sequence[int]) -> SourceInspection:
        """Read the update of a definition, and check its signature against the keys of the gateway."""
        update = definition.update
        assert update is not None
        try:
            image = self._open_update(owner, update)
            if not update.signature:
                return SourceInspection(image.size)
            signers = recover_key_crcs(image.chunks(), update.signature)
            known_crcs = {crc for crc in (update.sig_key_crc, *keys) if crc is not None}
            fault = None
            if signers.isdisjoint(known_crcs):
                fault = find_signature_fault(image.chunks, update.signature, known_crcs)
            return SourceInspection(image.size, signers=signers, signature_fault=fault)
        except (SourceError, FirmwareError, InvalidValue) as error:
            return SourceInspection(None, error)

    def _open_update(self, owner: AccountRegion, update: UpdateSpec) -> UpdateImage:
        """Read the update file. Raises an error if its signature could never be accepted by a station."""
        assert update.data_source is not None
        if update.unusable_signature is not None:
            raise InvalidValue(
                "UpdateSignature", update.unusable_signature, "no station could take it, so nothing is sent"
            )
        return self.source.open(update.data_source, update.data_role, account=owner.account, region=owner.region)

    # --- helpers: the lock is held, except in _release ---

    def _save_changes(self) -> None:
        changes, self._changes = self._changes, PendingChanges()
        if self.store is None:
            return
        if not changes:
            self.store.check()
            return
        states = ((key, self._store.eui_by_id.get(key)) for key in changes.gateway_ids)
        gateways = {key: None if eui is None else self._store.gateways[eui] for key, eui in states}
        definitions = {key: self._store.definitions.get(key) for key in changes.definition_ids}
        self.store.save(
            SavedChanges(Moment.of(self.clock), gateways, definitions, tuple(changes.log), changes.api_records)
        )

    def _restore_gateway(self, state: GatewayState, shift_ms: int) -> None:
        """Add a saved gateway. Mutates ``state``.

        If the server ended while it sent a reply, the log records that the reply broke off.
        """
        is_broken = state.task is not None and state.task.delivery is Delivery.STARTED
        was_sending = any(exchange.answer is ReplyState.SENDING for exchange in state.exchanges)
        continue_after_restart(state, shift_ms)
        self._store.gateways[state.gateway.eui] = state
        self._store.eui_by_id[state.gateway.id] = state.gateway.eui
        self._changes.gateway_ids.add(state.gateway.id)
        self._schedule_silence_deadline(state)
        if state.task is not None and is_broken and was_sending:
            self._record_cause(state, state.task, Cause.REPLY_BROKEN, Moment.of(self.clock))

    def _on_gateway_deleted(self, state: GatewayState) -> None:
        """Delete the task of a gateway that is about to be deleted."""
        now = self._apply_due_deadlines()
        if state.task is not None:
            self._delete_task(state, now)

    def _record_request(self, state: GatewayState, request: UpdateInfoRequest, now: Moment) -> None:
        """Record what a gateway presents, and move its silence deadline."""
        state.request = request
        state.last_request_at = now
        state.exchanges.append(ExchangeRecord(now.utc_ms, request.version))
        self._schedule_silence_deadline(state)

    def _state_in_flight(self, pending: PendingUpdate) -> GatewayState | None:
        """Return the state of the gateway if this update is still the one in flight. None if it is not."""
        state = self._state_of_eui(pending.gateway.eui)
        if state is None or state.in_flight is not pending:
            return None
        return state

    def _release(self, pending: PendingUpdate) -> None:
        """Give up a pending update, so that the next request of the gateway is evaluated again."""
        with self._lock:
            state = self._state_in_flight(pending)
            if state is not None:
                state.in_flight = None

    def _is_replaceable(self, task: Task) -> bool:
        """Return True if a new task may replace this one."""
        return task.is_ended and self.policy.existing_task == "ended_gives_way"

    def _create_automatic_task(self, state: GatewayState, now: Moment) -> Task | None:
        """Create a task from the definition that the last request matches. None if there is no such definition."""
        if self.policy.automatic_creation == "never" or state.request is None:
            return None
        definition = self._matcher.find_best(state.gateway.owner, state.request.version)
        if definition is None:
            return None
        return self._create_task(state, definition, now, automatic=True)

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

    def _create_pending_update(self, state: GatewayState, task: Task, now: Moment) -> PendingUpdate | None:
        """Put the update of a task in flight. None if it has no file, or the policy withholds it."""
        assert state.request is not None
        if not task.definition.has_data_source:
            return None
        pending = PendingUpdate(state.gateway, task.definition, state.request, state.exchanges[-1])
        if self._is_withheld(pending):
            self._record_cause(state, task, Cause.KEY_WITHHELD, now)
            return None
        state.in_flight = pending
        return pending

    def _is_withheld(self, pending: PendingUpdate) -> bool:
        """Return True if the gateway lacks the signing key, and the policy is to send nothing then."""
        if self.policy.key_mismatch == "offer" or not pending.update.signature:
            return False
        return pending.update.sig_key_crc not in pending.request.keys

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
        self._changes.log.append(row)
        state.recent_log.append(row)
        for listener in self.listeners:
            try:
                listener(row)
            except Exception:
                _LOGGER.exception("a listener of the task log failed at this row: %s", row)

    def _schedule_silence_deadline(self, state: GatewayState) -> None:
        """Add the current silence deadline of a gateway to the heap, if it has one."""
        deadline = self._silence_deadline(state)
        if deadline is not None:
            heapq.heappush(self._deadlines, (deadline, state.gateway.eui))

    def _silence_deadline(self, state: GatewayState) -> int | None:
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
            deadline, eui = heapq.heappop(deadlines)
            state = self._state_of_eui(eui)
            if state is None or state.task is None:
                continue
            # A later request replaces the deadline with a new entry. Then this entry is outdated.
            if self._silence_deadline(state) == deadline:
                self._apply_event(state, state.task, TaskEvent.SILENCE, Cause.SILENCE, now.at(deadline))
        return now


def _response_header(update: UpdateSpec) -> UpdateInfoResponse:
    """Return the response for an update, without the bytes of the update."""
    if not update.signature:
        return UpdateInfoResponse(signature=b"", key_crc=0)
    return UpdateInfoResponse(signature=update.signature, key_crc=update.sig_key_crc or 0)
