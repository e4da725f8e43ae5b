"""The update service: the server's side of a firmware update.

A CUPS request is answered in three steps::

    pending = service.handle_request(request)       # record and evaluate the request
    reply = service.start_reply(pending, image)     # the update was read: change the status of the task
    service.finish_reply(reply, delivered=True)     # the reply was written

The update is read between the first two steps. Reading can take long, so no lock is held meanwhile. The task changes
only when the reply starts. Until then, other requests of the same gateway get an empty reply.

Two methods combine steps. ``load_and_start_reply`` reads the update from the service's own source and does the second
step. ``handle`` does the first step and then calls ``load_and_start_reply``. After both, the caller still writes the
reply and does the third step.

Every public method except these two and ``explain`` holds the lock from its first line to its last. If it raises an
error, nothing has changed. When the lock is released, the changes go to the ``store``, if there is one. Time stamps
come from the clock. Durations are measured on the clock's monotonic scale, so setting the clock back does not delay a
deadline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import replace
from uuid import uuid4

from lorafw.clock import Clock, Moment, SystemClock
from lorafw.cups.messages import UpdateInfoRequest, UpdateInfoResponse
from lorafw.errors import FirmwareError, InvalidValue, LorafwError, NotFound, SourceError
from lorafw.firmware.recovery import recover_key_crcs
from lorafw.firmware.signature_fault import find_signature_fault
from lorafw.tasks.answers import AnsweredRequest, AnswerListeners
from lorafw.tasks.evaluation import evaluate_request
from lorafw.tasks.explain import Explanation, definition_to_send, explain, failed_definition
from lorafw.tasks.gateway_state import GatewayState
from lorafw.tasks.lifecycle import Cause
from lorafw.tasks.model import (
    AccountRegion,
    Definition,
    ExchangeRecord,
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
from lorafw.tasks.registry import GATEWAY
from lorafw.tasks.snapshot import Snapshot, SourceInspection
from lorafw.tasks.task_registry import TaskRegistry


class UpdateService(TaskRegistry):
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
        super().__init__(clock=clock or SystemClock(), policy=policy or Policy(), new_id=new_id)
        self.source = source
        self.answer_listeners = AnswerListeners()
        """Functions that are called with each request that is answered."""

    # --- a CUPS request ---

    def handle_request(self, request: UpdateInfoRequest) -> PendingUpdate | None:
        """Record a request, and decide whether an update is sent. The update is not read yet.

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
            pending = self._choose_update(state, request, now)
            if pending is None:
                self._notify_answered(state.gateway, request, Reply())
            return pending

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
            self._pending_changes.gateway_ids.add(pending.gateway.id)
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
        """Do all steps up to the reply: record the request, read the update, and start the reply.

        The caller must write the reply, and then call ``finish_reply``.

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

        An unexpected error is passed on. The next request of the gateway is then handled as if this one had not been.

        Args:
            pending: The result of ``handle_request``.

        Returns:
            The reply to write. It is empty if the update cannot be read.
        """
        try:
            image = self._open_update(pending.gateway.owner, pending.update)
            reply = self.start_reply(pending, image)
        except (SourceError, FirmwareError, InvalidValue) as error:
            self.reject_unreadable(pending, error)
            reply = Reply()
        except BaseException:
            # Without this, the update would stay in flight, and later requests of the gateway would get no update.
            self._give_up(pending)
            raise
        self._notify_answered(pending.gateway, pending.request, reply)
        return reply

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
            inspection = self._inspect_source(owner, definition, snapshot.key_crcs)
            snapshot = replace(snapshot, source=inspection)
        return explain(snapshot, self.policy)

    def _snapshot(self, owner: AccountRegion, gateway_id: str) -> Snapshot:
        """Return what the service knows of a gateway now. The source is not inspected yet."""
        with self._lock:
            now = self._apply_due_deadlines()
            state = self._gateway_state(owner, gateway_id)
            return Snapshot(
                now_ms=now.utc_ms,
                gateway=state.gateway,
                request=state.request,
                key_crcs=state.key_crcs,
                last_seen_ms=state.last_seen_ms,
                task=state.task,
                last_read_error=state.last_read_error,
                definitions=tuple(self.definitions(owner)),
                matching=self._matching_definitions(state),
                deadline_ms=self._utc_deadline_ms(state, now),
                log=tuple(state.recent_log),
                # The service goes on to update its own records in place.
                exchanges=tuple(copy(exchange) for exchange in state.exchanges),
            )

    def _matching_definitions(self, state: GatewayState) -> tuple[Definition, ...]:
        """Return the definitions that match the last request of a gateway, oldest first."""
        if state.request is None:
            return ()
        return tuple(self._matcher.find_all(state.gateway.owner, state.request.version))

    def _inspect_source(
        self, owner: AccountRegion, definition: Definition, key_crcs: Iterable[int]
    ) -> SourceInspection:
        """Read the update of a definition, and check its signature.

        Args:
            owner: The account and Region of the definition.
            definition: The definition.
            key_crcs: The CRCs of the keys that the gateway has.

        Returns:
            The result of the inspection. It has the error if the update cannot be read.
        """
        update = definition.update
        assert update is not None
        try:
            image = self._open_update(owner, update)
            if not update.signature:
                return SourceInspection(size=image.size)
            signers = recover_key_crcs(image.chunks(), update.signature)
            known_crcs = {crc for crc in (update.sig_key_crc, *key_crcs) if crc is not None}
            fault = None
            if signers.isdisjoint(known_crcs):
                fault = find_signature_fault(image.chunks, update.signature, known_crcs)
            return SourceInspection(size=image.size, signers=signers, signature_fault=fault)
        except (SourceError, FirmwareError, InvalidValue) as error:
            return SourceInspection.failed(error)

    def _open_update(self, owner: AccountRegion, update: UpdateSpec) -> UpdateImage:
        """Read the update file. Raises an error if its signature could never be accepted by a station."""
        assert update.data_source is not None
        if update.unusable_signature is not None:
            raise InvalidValue(
                "UpdateSignature", update.unusable_signature, "no station could take it, so nothing is sent"
            )
        return self.source.open(update.data_source, update.data_role, account=owner.account, region=owner.region)

    # --- helpers: the lock is held, except in _give_up and _notify_answered ---

    def _choose_update(self, state: GatewayState, request: UpdateInfoRequest, now: Moment) -> PendingUpdate | None:
        """Return the update to read and send, or None. Creates an automatic task, and changes the task's status."""
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

    def _notify_answered(self, gateway: Gateway, request: UpdateInfoRequest, reply: Reply) -> None:
        """Call the listeners because a request is answered."""
        self.answer_listeners.notify(AnsweredRequest(gateway, request, reply, self.clock.now_ms()))

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

    def _give_up(self, pending: PendingUpdate) -> None:
        """Give up a pending update, so that the next request of the gateway is evaluated again."""
        with self._lock:
            state = self._state_in_flight(pending)
            if state is not None:
                state.in_flight = None

    def _create_automatic_task(self, state: GatewayState, now: Moment) -> Task | None:
        """Create a task from the definition that the last request matches. None if there is no such definition."""
        if self.policy.automatic_creation == "never" or state.request is None:
            return None
        definition = self._matcher.find_best(state.gateway.owner, state.request.version)
        if definition is None:
            return None
        return self._create_task(state, definition, now, automatic=True)

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


def _response_header(update: UpdateSpec) -> UpdateInfoResponse:
    """Return the response for an update, without the bytes of the update."""
    if not update.signature:
        return UpdateInfoResponse(signature=b"", key_crc=0)
    return UpdateInfoResponse(signature=update.signature, key_crc=update.sig_key_crc or 0)
