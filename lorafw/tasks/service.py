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

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from uuid import uuid4

from lorafw.clock import Clock, Moment, SystemClock
from lorafw.cups.messages import UpdateInfoRequest, UpdateInfoResponse
from lorafw.errors import LorafwError, NotFound
from lorafw.tasks.answers import AnsweredRequest, AnswerListeners
from lorafw.tasks.evaluation import evaluate_request
from lorafw.tasks.explain import Explanation, definition_in_question, explain
from lorafw.tasks.gateway_state import GatewayState
from lorafw.tasks.inspection import READ_ERRORS, inspect_update, open_update
from lorafw.tasks.model import (
    GATEWAY_RESOURCE,
    AccountRegion,
    Definition,
    Gateway,
    PendingUpdate,
    Reply,
    ReplyState,
    UpdateImage,
    UpdateSource,
    UpdateSpec,
)
from lorafw.tasks.policy import Policy
from lorafw.tasks.reply_keeper import ReplyKeeper
from lorafw.tasks.silence import silence_deadline_ms
from lorafw.tasks.snapshot import Snapshot
from lorafw.tasks.task_registry import TaskRegistry, is_replaceable


class UpdateService(TaskRegistry):
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
        super().__init__(clock=clock or SystemClock(), policy=policy or Policy(), new_id=new_id)
        self.source = source
        self._replies = ReplyKeeper(self.policy, self._tasks)
        self.answer_listeners = AnswerListeners()
        """Functions that are called with each request that is answered."""

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
            now = Moment.of(self.clock)
            self._apply_due_deadlines(now)
            state = self._gateways.find_by_eui(request.router)
            if state is None:
                raise NotFound(GATEWAY_RESOURCE, request.router.hex)
            self._changes.note_gateway(state.gateway.id)
            state.record_request(request, now)
            self._tasks.schedule_silence_deadline(state)
            pending = self._choose_update(state, request, now)
            if pending is None:
                self._notify_answered(state.gateway, request, Reply())
            return pending

    def start_reply(self, pending: PendingUpdate, image: UpdateImage) -> Reply:
        """Start the reply after the update was read. This changes the status of the task.

        Args:
            pending: The result of ``receive_request``.
            image: The update file.

        Returns:
            The reply to write. It is empty if the task was deleted or has changed in the meantime.
        """
        with self._lock:
            now = Moment.of(self.clock)
            self._apply_due_deadlines(now)
            state = self._state_in_flight(pending)
            if state is None or state.task is None:
                return Reply()
            is_started = self._replies.start(state, state.task, pending, now)
            if not is_started:
                return Reply()
            return Reply(_response_header(pending.update), image, pending)

    def reject_unreadable(self, pending: PendingUpdate, error: LorafwError) -> None:
        """Record that an update cannot be read. Nothing is sent, and no attempt is used up.

        Args:
            pending: The result of ``receive_request``.
            error: Why the update cannot be read. ``explain`` shows it.
        """
        with self._lock:
            now = Moment.of(self.clock)
            self._apply_due_deadlines(now)
            state = self._state_in_flight(pending)
            if state is None or state.task is None:
                return
            pending.exchange.answer = ReplyState.UNREADABLE
            self._replies.reject(state, state.task, error, now)

    def finish_reply(self, reply: Reply, *, delivered: bool) -> None:
        """Record that a reply has ended. Its exchange is recorded even if the task was deleted meanwhile.

        Args:
            reply: The result of ``start_reply``. If the reply is empty or has ended before, nothing changes.
            delivered: True if all bytes of the reply were written.
        """
        with self._lock:
            now = Moment.of(self.clock)
            self._apply_due_deadlines(now)
            pending = reply.pending
            if pending is None or pending.exchange.answer is not ReplyState.SENDING:
                return
            pending.exchange.answer = ReplyState.DELIVERED if delivered else ReplyState.BROKEN
            self._changes.note_gateway(pending.gateway.id)
            state = self._state_in_flight(pending)
            if state is not None and state.task is not None:
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
            now = Moment.of(self.clock)
            self._apply_due_deadlines(now)
            state = self._gateways.get(owner, gateway_id)
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
                # Copy the exchanges, because the service changes its own records while a reply is sent.
                exchanges=tuple(copy(exchange) for exchange in state.exchanges),
            )

    def _matching_definitions(self, state: GatewayState) -> tuple[Definition, ...]:
        """Return the definitions that match the last request of a gateway, oldest first."""
        if state.request is None:
            return ()
        return tuple(self._definitions.find_matches(state.gateway.owner, state.request.version))

    def _utc_deadline_ms(self, state: GatewayState, now: Moment) -> int | None:
        """Return when silence ends the task, in milliseconds since 1970 UTC. None if silence does not end it."""
        deadline_ms = silence_deadline_ms(state, self.policy)
        if deadline_ms is None:
            return None
        return now.at(deadline_ms).utc_ms

    # --- helpers: the lock is held, except in _cancel and _notify_answered ---

    def _choose_update(self, state: GatewayState, request: UpdateInfoRequest, now: Moment) -> PendingUpdate | None:
        """Return the update that answers a request, and put it in flight. None if nothing is sent."""
        # 1. Create an automatic task if the gateway needs one. A gateway without a task is sent nothing.
        if state.task is None or is_replaceable(state.task, self.policy):
            self._create_automatic_task(state, request, now)
        if state.task is None:
            return None
        # 2. A gateway is sent one update at a time.
        if state.in_flight is not None:
            return None
        # 3. Find out what the request means for the task. If an update is sent, the task changes when the reply starts.
        effect = evaluate_request(state.task, request.version, now.monotonic_ms, self.policy)
        if effect.send:
            return self._replies.put_in_flight(state, state.task, request, now)
        self._tasks.apply_effect(state, state.task, effect, now)
        return None

    def _create_automatic_task(self, state: GatewayState, request: UpdateInfoRequest, now: Moment) -> None:
        """Create a task from the definition that a request matches. Does nothing if there is no such definition."""
        if self.policy.automatic_creation == "never":
            return
        definition = self._definitions.find_best_match(state.gateway.owner, request.version)
        if definition is not None:
            self._tasks.create_task(state, definition, now, automatic=True)

    def _state_in_flight(self, pending: PendingUpdate) -> GatewayState | None:
        """Return the state of the gateway if this update is still the one in flight. None if it is not."""
        state = self._gateways.find_by_eui(pending.gateway.eui)
        if state is None or state.in_flight is not pending:
            return None
        self._changes.note_gateway(state.gateway.id)
        return state

    def _cancel(self, pending: PendingUpdate) -> None:
        """Take an update out of flight, so that the next request of the gateway is evaluated again."""
        with self._lock:
            state = self._state_in_flight(pending)
            if state is not None:
                state.in_flight = None

    def _notify_answered(self, gateway: Gateway, request: UpdateInfoRequest, reply: Reply) -> None:
        """Call the listeners because a request is answered."""
        self.answer_listeners.notify(AnsweredRequest(gateway, request, reply, self.clock.now_ms()))


def _response_header(update: UpdateSpec) -> UpdateInfoResponse:
    """Return the response for an update, without the bytes of the update."""
    if not update.signature:
        return UpdateInfoResponse(signature=b"", key_crc=0)
    return UpdateInfoResponse(signature=update.signature, key_crc=update.sig_key_crc or 0)
