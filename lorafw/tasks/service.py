"""The update service: the server's side of a firmware update.

A CUPS request is answered in three steps::

    pending = service.receive_request(request)      # record and evaluate the request
    reply = service.start_reply(pending, image)     # the update was read: change the status of the task
    service.finish_reply(reply, delivered=True)     # the reply was written

The update is read between the first two steps. Reading can take long, so no lock is held meanwhile. The task changes
only when the reply starts. Until then, other requests of the same gateway get an empty reply.

Two methods combine steps. ``read_and_start_reply`` reads the update from the service's own source and does the second
step. ``answer`` does the first step and then calls ``read_and_start_reply``. After both, the caller still writes the
reply and does the third step.

Every public method except these two and ``explain`` holds the lock from its first line to its last. If it raises an
error, nothing has changed. When the lock is released, the changes go to the store, if there is one. Time stamps come
from the clock. Durations are measured on the clock's monotonic scale, so setting the clock back does not delay a
deadline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import count
from typing import Any
from uuid import uuid4

from lorafw.clock import Clock, Moment, SystemClock
from lorafw.cups.messages import UpdateInfoRequest
from lorafw.errors import Conflict, InvalidValue, LorafwError, NotFound
from lorafw.eui import GatewayEui
from lorafw.tasks.answers import AnsweredRequest, AnswerListeners
from lorafw.tasks.change_saver import ChangeSaver
from lorafw.tasks.changes import ApiRecord, ServiceStore
from lorafw.tasks.definition_table import DefinitionTable
from lorafw.tasks.evaluation import is_replaceable
from lorafw.tasks.explain import Explanation, explain
from lorafw.tasks.explained_update import definition_in_question
from lorafw.tasks.gateway_state import GatewayState, Refusal
from lorafw.tasks.gateway_table import GatewayTable
from lorafw.tasks.inspection import READ_ERRORS, inspect_update, open_update
from lorafw.tasks.lifecycle import LogRow
from lorafw.tasks.model import (
    GATEWAY_RESOURCE,
    TASK_RESOURCE,
    AccountRegion,
    Definition,
    Gateway,
    PendingUpdate,
    Reply,
    ReplyState,
    Task,
    UpdateImage,
    UpdateSource,
    UpdateSpec,
)
from lorafw.tasks.policy import Policy
from lorafw.tasks.reply_keeper import ReplyKeeper
from lorafw.tasks.saved_state import SavedState, monotonic_shift_ms, restore_gateway
from lorafw.tasks.silence import SilenceDeadlines
from lorafw.tasks.snapshot import Snapshot, take_snapshot
from lorafw.tasks.task_keeper import TaskKeeper, fail_silent_tasks
from lorafw.tasks.task_log import TaskLog
from lorafw.tasks.update_chooser import UpdateChooser
from lorafw.version import GatewayVersion


class UpdateService:
    """The update service of AWS IoT Wireless, for all accounts and Regions. Thread-safe.

    An update is *in flight* from the moment at which the service decides to send it until the reply has ended. A
    gateway has at most one update in flight.

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
        self.source = source
        self.clock = clock or SystemClock()
        self.policy = policy or Policy()
        self._new_id = new_id
        self._sequence_numbers = count(1)
        """The numbers that order gateways and definitions by the time of their creation."""
        # What the service keeps.
        self._gateways = GatewayTable()
        self._definitions = DefinitionTable(self.policy)
        self._deadlines = SilenceDeadlines(self.policy)
        self._log = TaskLog()
        # What changes it.
        self._tasks = TaskKeeper(self._log, self._deadlines)
        self._chooser = UpdateChooser(self.policy, self._definitions, self._tasks)
        self._replies = ReplyKeeper(self.policy, self._tasks)
        # What saves the changes, and what tells others about them.
        self._changes = ChangeSaver(self._gateways, self._definitions, self._log, self.clock)
        self._lock = self._changes.lock
        self.answer_listeners = AnswerListeners()
        """Functions that are called with each request that is answered."""
        self.listeners = self._log.listeners
        """Functions that are called with each new row of the task log.

        The lock is held during the call, so a listener must be quick and must not call the service. An exception of a
        listener is logged under ``lorafw.tasks`` and does not affect the task.
        """

    # --- gateways ---

    def create_gateway(
        self,
        owner: AccountRegion,
        eui: GatewayEui,
        *,
        gateway_id: str | None = None,
        name: str | None = None,
        description: str | None = None,
        lorawan: Mapping[str, Any] | None = None,
        certificate_id: str | None = None,
    ) -> Gateway:
        """Register a gateway.

        Args:
            owner: Account and Region of the gateway.
            eui: EUI of the gateway.
            gateway_id: Id of the gateway. None for a new id.
            name: A name for people.
            description: A text for people.
            lorawan: The members of AWS's LoRaWANGateway structure other than GatewayEui.
            certificate_id: Id of the associated certificate of AWS IoT.

        Returns:
            The new gateway.

        Raises:
            Conflict: The EUI or the id is already registered, in any account and Region.
        """
        with self._lock:
            self._gateways.check_is_new(eui, gateway_id)
            gateway = Gateway(
                id=gateway_id or self._new_id(),
                owner=owner,
                eui=eui,
                name=name,
                description=description,
                lorawan=lorawan or {},
                certificate_id=certificate_id,
                sequence=next(self._sequence_numbers),
            )
            self._gateways.add(GatewayState(gateway))
            return gateway

    def gateway(self, owner: AccountRegion, gateway_id: str) -> Gateway:
        """Return the gateway with this id.

        Raises:
            NotFound: There is no such gateway in this account and Region.
        """
        with self._lock:
            return self._gateways.get(owner, gateway_id).gateway

    def gateways(self, owner: AccountRegion) -> list[Gateway]:
        """Return the gateways of an account in a Region, in the order of their registration."""
        with self._lock:
            return [state.gateway for state in self._gateways if state.gateway.owner == owner]

    def find_gateway(self, eui: GatewayEui) -> Gateway | None:
        """Return the gateway with this EUI, in any account and Region. None if there is none."""
        with self._lock:
            state = self._gateways.find_by_eui(eui)
            return None if state is None else state.gateway

    def find_gateway_by_id(self, gateway_id: str) -> Gateway | None:
        """Return the gateway with this id, in any account and Region. None if there is none."""
        with self._lock:
            state = self._gateways.find_by_id(gateway_id)
            return None if state is None else state.gateway

    def update_gateway(self, owner: AccountRegion, gateway_id: str, **changes: Any) -> Gateway:
        """Change fields of a gateway: name, description, LoRaWAN settings, certificate or thing.

        Args:
            owner: Account and Region of the gateway.
            gateway_id: Id of the gateway.
            **changes: The new values of fields of Gateway.

        Returns:
            The changed gateway.

        Raises:
            NotFound: There is no such gateway in this account and Region.
        """
        with self._lock:
            state = self._gateways.get(owner, gateway_id)
            self._gateways.note_change(state)
            state.gateway = replace(state.gateway, **changes)
            return state.gateway

    def delete_gateway(self, owner: AccountRegion, gateway_id: str) -> None:
        """Delete a gateway and its task.

        Raises:
            NotFound: There is no such gateway in this account and Region.
        """
        with self._lock:
            now = self._catch_up()
            state = self._gateways.get(owner, gateway_id)
            if state.task is not None:
                self._tasks.delete(state, state.task, now)
            self._gateways.remove(state)

    def associated_certificates(self) -> list[tuple[AccountRegion, str]]:
        """Return the certificates that are associated with gateways: account and Region, and the id."""
        with self._lock:
            gateways = [state.gateway for state in self._gateways]
            return [(each.owner, each.certificate_id) for each in gateways if each.certificate_id is not None]

    def presented_version(self, owner: AccountRegion, gateway_id: str) -> GatewayVersion | None:
        """Return the version that a gateway presented in its last request. None before the first.

        Raises:
            NotFound: There is no such gateway in this account and Region.
        """
        with self._lock:
            request = self._gateways.get(owner, gateway_id).request
            return None if request is None else request.version

    def last_seen_ms(self, owner: AccountRegion, gateway_id: str) -> int | None:
        """Return the time of the last request, in milliseconds since 1970 UTC.

        Returns:
            None before the first request, or if the policy ``last_uplink`` is "never".

        Raises:
            NotFound: There is no such gateway in this account and Region.
        """
        with self._lock:
            state = self._gateways.get(owner, gateway_id)
            if self.policy.last_uplink == "never":
                return None
            return state.last_seen_ms

    # --- definitions ---

    def create_definition(
        self,
        owner: AccountRegion,
        *,
        auto_create_tasks: bool,
        name: str | None = None,
        update: UpdateSpec | None = None,
    ) -> Definition:
        """Create a task definition.

        Args:
            owner: Account and Region of the definition.
            auto_create_tasks: Create a task for each gateway that matches the definition at a request.
            name: Name of the definition.
            update: What to send. None if nothing is given; then the definition never sends anything.

        Returns:
            The new definition.

        Raises:
            InvalidValue: No UpdateDataSource is given, and the policy ``without_source`` is "reject".
        """
        with self._lock:
            definition = Definition(
                id=self._new_id(),
                owner=owner,
                sequence=next(self._sequence_numbers),
                auto_create_tasks=auto_create_tasks,
                name=name,
                update=update,
            )
            _check_data_source(definition, self.policy)
            self._definitions.add(definition)
            return definition

    def update_definition(
        self,
        owner: AccountRegion,
        definition_id: str,
        *,
        auto_create_tasks: bool,
        name: str | None,
        update: UpdateSpec | None,
    ) -> Definition:
        """Change a definition. It keeps its id and its age. Tasks keep the definition that they were created from.

        Args:
            owner: Account and Region of the definition.
            definition_id: Id of the definition.
            auto_create_tasks: Create a task for each gateway that matches the definition at a request.
            name: Name of the definition. None for no name.
            update: What to send. None if the definition is to send nothing.

        Returns:
            The changed definition.

        Raises:
            NotFound: There is no such definition in this account and Region.
            InvalidValue: No UpdateDataSource is given, and the policy ``without_source`` is "reject".
        """
        with self._lock:
            present = self._definitions.get(owner, definition_id)
            changed = replace(present, auto_create_tasks=auto_create_tasks, name=name, update=update)
            _check_data_source(changed, self.policy)
            self._definitions.replace(changed)
            return changed

    def definition(self, owner: AccountRegion, definition_id: str) -> Definition:
        """Return the definition with this id.

        Raises:
            NotFound: There is no such definition in this account and Region.
        """
        with self._lock:
            return self._definitions.get(owner, definition_id)

    def definitions(self, owner: AccountRegion) -> list[Definition]:
        """Return the definitions of an account in a Region, oldest first."""
        with self._lock:
            return self._definitions.of_owner(owner)

    def delete_definition(self, owner: AccountRegion, definition_id: str) -> None:
        """Delete a definition. Tasks that were created from it continue.

        Raises:
            NotFound: There is no such definition in this account and Region.
        """
        with self._lock:
            definition = self._definitions.get(owner, definition_id)
            self._definitions.remove(definition)

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
            now = self._catch_up()
            state = self._gateways.get(owner, gateway_id)
            definition = self._definitions.get(owner, definition_id)
            if state.task is not None and not is_replaceable(state.task, self.policy):
                message = (
                    f"the gateway has a task already, {state.task.status}; delete it with "
                    "DeleteWirelessGatewayTask before starting a new one"
                )
                raise Conflict(message, GATEWAY_RESOURCE, gateway_id)
            self._gateways.note_change(state)
            return self._tasks.create(state, definition, now, automatic=False)

    def task(self, owner: AccountRegion, gateway_id: str) -> Task:
        """Return the task of a gateway.

        Raises:
            NotFound: There is no such gateway, or it has no task.
        """
        with self._lock:
            self._catch_up()
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
            now = self._catch_up()
            state = self._gateways.get(owner, gateway_id)
            if state.task is None:
                raise NotFound(TASK_RESOURCE, gateway_id)
            if self.policy.delete_task == "ended_only" and not state.task.is_ended:
                raise InvalidValue("Id", gateway_id, f"the task is {state.task.status}; it has not ended")
            self._gateways.note_change(state)
            self._tasks.delete(state, state.task, now)

    @property
    def log(self) -> list[LogRow]:
        """A copy of the task log, in the order of time."""
        with self._lock:
            self._catch_up()
            return self._log.rows()

    def apply_deadlines(self) -> None:
        """Fail the tasks whose silence deadline has passed. Every other call about tasks does this too."""
        with self._lock:
            self._catch_up()

    # --- whole accounts ---

    def owners(self) -> set[AccountRegion]:
        """Return the accounts and Regions that have a gateway or a definition."""
        with self._lock:
            gateway_owners = {state.gateway.owner for state in self._gateways}
            definition_owners = {definition.owner for definition in self._definitions}
            return gateway_owners | definition_owners

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

    # --- the steps of an answer ---

    def receive_request(self, request: UpdateInfoRequest) -> PendingUpdate | None:
        """Record a request, and decide whether an update is sent. The update is not read yet.

        This can create an automatic task, count a failed attempt, or complete the task.

        Returns:
            The update to read and send. None if the reply is empty.

        Raises:
            NotFound: No gateway with this EUI is registered.
        """
        with self._lock:
            now = self._catch_up()
            state = self._gateways.find_by_eui(request.router)
            if state is None:
                raise NotFound(GATEWAY_RESOURCE, request.router.hex)
            self._gateways.note_change(state)
            state.record_request(request, now)
            self._deadlines.schedule(state)
            pending = self._chooser.choose(state, request, now)
            if pending is None:
                self._notify_answered(state.gateway, request, Reply())
            else:
                state.in_flight = pending
            return pending

    def record_refusal(self, eui: GatewayEui, error: LorafwError) -> None:
        """Record that a request was refused before the service received it. Nothing but ``explain`` depends on it.

        Does nothing if no gateway with this EUI is registered.

        Args:
            eui: The gateway that the request named.
            error: Why the request was refused.
        """
        with self._lock:
            state = self._gateways.find_by_eui(eui)
            if state is not None:
                state.last_refusal = Refusal(self.clock.now_ms(), str(error))

    def start_reply(self, pending: PendingUpdate, image: UpdateImage) -> Reply:
        """Start the reply after the update was read. This changes the status of the task.

        Args:
            pending: The result of ``receive_request``.
            image: The update file.

        Returns:
            The reply to write. It is empty if the task was deleted or has changed in the meantime.
        """
        with self._lock:
            now = self._catch_up()
            state = self._state_in_flight(pending)
            if state is None or state.task is None:
                return Reply()
            self._gateways.note_change(state)
            is_started = self._replies.start(state, state.task, pending, now)
            if not is_started:
                return Reply()
            pending.exchange.answer = ReplyState.SENDING
            return Reply(pending.update.response_header, image, pending)

    def reject_unreadable(self, pending: PendingUpdate, error: LorafwError) -> None:
        """Record that an update cannot be read. Nothing is sent, and no attempt is used up.

        Args:
            pending: The result of ``receive_request``.
            error: Why the update cannot be read. ``explain`` shows it.
        """
        with self._lock:
            now = self._catch_up()
            state = self._state_in_flight(pending)
            if state is None or state.task is None:
                return
            self._gateways.note_change(state)
            pending.exchange.answer = ReplyState.UNREADABLE
            self._replies.reject(state, state.task, error, now)

    def finish_reply(self, reply: Reply, *, delivered: bool) -> None:
        """Record that a reply has ended. Its exchange is recorded even if the task was deleted meanwhile.

        Args:
            reply: The result of ``start_reply``. If the reply is empty or has ended before, nothing changes.
            delivered: True if all bytes of the reply were written.
        """
        with self._lock:
            now = self._catch_up()
            pending = reply.pending
            if pending is None or pending.exchange.answer is not ReplyState.SENDING:
                return
            pending.exchange.answer = ReplyState.DELIVERED if delivered else ReplyState.BROKEN
            state = self._gateways.find_by_eui(pending.gateway.eui)
            if state is None:
                return
            self._gateways.note_change(state)
            if state.in_flight is pending and state.task is not None:
                self._replies.finish(state, state.task, now, delivered=delivered)

    # --- several steps at once ---

    def answer(self, request: UpdateInfoRequest) -> Reply:
        """Answer a request in one call: record the request, read the update, and start the reply.

        The caller must write the reply, and then call ``finish_reply``.

        Returns:
            The reply. It is empty if no update is sent.

        Raises:
            NotFound: No gateway with this EUI is registered.
        """
        pending = self.receive_request(request)
        if pending is None:
            return Reply()
        return self.read_and_start_reply(pending)

    def read_and_start_reply(self, pending: PendingUpdate) -> Reply:
        """Read an update from the service's source, and start the reply. Waits for the source.

        The error is recorded if the update cannot be read. Any other exception is passed on, and the next request of
        the gateway is answered as if this one had not been sent.

        Args:
            pending: The result of ``receive_request``.

        Returns:
            The reply to write. It is empty if the update cannot be read.
        """
        try:
            image = open_update(self.source, pending.gateway.owner, pending.update)
            reply = self.start_reply(pending, image)
        except READ_ERRORS as error:
            self.reject_unreadable(pending, error)
            reply = Reply()
        except BaseException:
            # An update that stayed in flight would keep later requests of the gateway from getting one.
            self._cancel(pending)
            raise
        self._notify_answered(pending.gateway, pending.request, reply)
        return reply

    def is_sending(self, owner: AccountRegion, gateway_id: str) -> bool:
        """Return True if an update for this gateway is being read or sent.

        Raises:
            NotFound: There is no such gateway.
        """
        with self._lock:
            return self._gateways.get(owner, gateway_id).in_flight is not None

    # --- explanation ---

    def explain(self, owner: AccountRegion, gateway_id: str) -> Explanation:
        """Return an explanation of why a gateway is updated, or why it is not.

        Reads the update in the same way as a request of the gateway does, without holding the lock.

        Raises:
            NotFound: There is no such gateway.
        """
        snapshot = self._snapshot(owner, gateway_id)
        definition = definition_in_question(snapshot, self.policy)
        if definition is not None and definition.update is not None:
            inspection = inspect_update(self.source, owner, definition.update, snapshot.key_crcs)
            snapshot = replace(snapshot, source=inspection)
        return explain(snapshot, self.policy)

    def _snapshot(self, owner: AccountRegion, gateway_id: str) -> Snapshot:
        """Return what the service knows of a gateway now. The source is not inspected yet."""
        with self._lock:
            now = self._catch_up()
            state = self._gateways.get(owner, gateway_id)
            return take_snapshot(state, self._definitions, self.policy, now)

    # --- saved state ---

    def save_to(self, store: ServiceStore) -> None:
        """Save all changes to a store from now on, each before the call that makes it is answered."""
        with self._lock:
            self._changes.store = store

    def transaction(self) -> AbstractContextManager[None]:
        """Return a context manager that saves all changes of its block at once, if there is a store.

        Other calls wait until the block has ended, so the block must not wait for another server.
        """
        return self._changes.transaction()

    def save_api_value(self, record: ApiRecord, value: Any) -> None:
        """Save a value of the API with the changes of this call.

        Args:
            record: The key of the value. A value that was saved with this key before is replaced.
            value: A value that JSON can represent, and that is not None.
        """
        self._changes.note_api_value(record, value)

    def delete_api_value(self, record: ApiRecord) -> None:
        """Delete a saved value of the API with the changes of this call."""
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
                restore_gateway(state, shift_ms, now, self._tasks)
                self._gateways.add(state)
                self._deadlines.schedule(state)
            self._sequence_numbers = count(saved.last_sequence + 1)
            self._catch_up()

    # --- helpers: the lock is held, except in _cancel and _notify_answered ---

    def _catch_up(self) -> Moment:
        """Fail the tasks whose silence deadline has passed, each at its own time. Return the current time."""
        now = Moment.of(self.clock)
        fail_silent_tasks(self._gateways, self._deadlines, self._tasks, now)
        return now

    def _state_in_flight(self, pending: PendingUpdate) -> GatewayState | None:
        """Return the state of the gateway if this update is still the one in flight. None if it is not."""
        state = self._gateways.find_by_eui(pending.gateway.eui)
        if state is None or state.in_flight is not pending:
            return None
        return state

    def _cancel(self, pending: PendingUpdate) -> None:
        """Take an update out of flight, so that the next request of the gateway is evaluated again."""
        with self._lock:
            state = self._state_in_flight(pending)
            if state is not None:
                state.end_flight()

    def _notify_answered(self, gateway: Gateway, request: UpdateInfoRequest, reply: Reply) -> None:
        """Call the listeners because a request is answered."""
        self.answer_listeners.notify(AnsweredRequest(gateway, request, reply, self.clock.now_ms()))


def _check_data_source(definition: Definition, policy: Policy) -> None:
    """Raise InvalidValue if a definition lacks UpdateDataSource, and the policy ``without_source`` is "reject"."""
    if policy.without_source == "reject" and not definition.has_data_source:
        raise InvalidValue("Update.UpdateDataSource", None, "is missing, so there would be nothing to offer")
