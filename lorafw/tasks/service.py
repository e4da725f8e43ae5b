"""The update service: tasks, and the requests that move them, on a clock that is handed in.

One request, one straight line::

    receive(request) -> Due | None        what the gateway presented is recorded; None: nothing to send
    begin(due, image) -> Reply            the object has been read: the reply begins, the status changes
    finish(reply, whole=...)              the reply has ended

``answer`` walks it in one call with the service's own source. Reading the object may take long, so no lock is held
between receive and begin; until begin nothing has changed, and a second request of the same gateway gets nothing.

Every public method but ``explain`` is one step: it holds the lock from its first line to its last, and after an error
nothing has changed. Time stamps come from the clock; durations are measured on its monotonic scale, so a clock that
somebody sets back stops no task.
"""

from __future__ import annotations

import heapq
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final
from uuid import uuid4

from lorafw.clock import Clock, Moment, SystemClock
from lorafw.cups.messages import UpdateInfoRequest, UpdateInfoResponse
from lorafw.errors import Conflict, FirmwareError, InvalidValue, LorafwError, NotFound, SourceError
from lorafw.eui import GatewayEui
from lorafw.firmware.recovery import recover_key_crcs
from lorafw.firmware.signature_fault import find_signature_fault
from lorafw.tasks.evaluation import evaluate_request, silence_deadline
from lorafw.tasks.explain import Explanation, definition_to_send, explain, failed_definition
from lorafw.tasks.lifecycle import Cause, LogRow, TaskEvent, TaskStatus
from lorafw.tasks.model import (
    AccountRegion,
    Answer,
    Definition,
    Due,
    ExchangeRecord,
    Reply,
    Task,
    UpdateImage,
    UpdateSource,
    UpdateSpec,
)
from lorafw.tasks.policy import Policy
from lorafw.tasks.registry import GATEWAY, TASK, GatewayState, Registry
from lorafw.tasks.snapshot import Snapshot, SourceInspection

LOG_ROWS = 1_000_000
"""The task log keeps this many rows; older ones go."""

_LOGGER: Final = logging.getLogger("lorafw.tasks")


class UpdateService(Registry):
    """AWS's side of a firmware update. Thread-safe."""

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
        self._deadlines: list[tuple[int, GatewayEui]] = []
        self._log: deque[LogRow] = deque(maxlen=LOG_ROWS)
        self.listeners: list[Callable[[LogRow], None]] = []
        """Called with each row of the log as it is written, with the lock held: be quick, and call nothing here.

        An exception of a listener is logged under ``lorafw.tasks``. It changes nothing for the task.
        """

    # --- tasks ---

    def create_task(self, owner: AccountRegion, gateway_id: str, definition_id: str) -> Task:
        """A manual task, PENDING. Raises Conflict where the gateway has one."""
        with self._lock:
            now = self._apply_due_deadlines()
            station = self._station(owner, gateway_id)
            definition = self.definition(owner, definition_id)
            if station.task is not None and not self._is_replaceable(station.task):
                raise Conflict(
                    f"the gateway has a task already, {station.task.status}; delete it with "
                    "DeleteWirelessGatewayTask before starting a new one",
                    GATEWAY,
                    gateway_id,
                )
            return self._create_task(station, definition, now, automatic=False)

    def task(self, owner: AccountRegion, gateway_id: str) -> Task:
        with self._lock:
            self._apply_due_deadlines()
            station = self._station(owner, gateway_id)
            if station.task is None:
                raise NotFound(TASK, gateway_id)
            return station.task

    def delete_task(self, owner: AccountRegion, gateway_id: str) -> None:
        with self._lock:
            now = self._apply_due_deadlines()
            station = self._station(owner, gateway_id)
            if station.task is None:
                raise NotFound(TASK, gateway_id)
            if self.policy.delete_task == "ended_only" and not station.task.is_ended:
                raise InvalidValue("Id", gateway_id, f"the task is {station.task.status}; it has not ended")
            self._delete_task(station, now)

    @property
    def log(self) -> list[LogRow]:
        """What has happened to tasks, in the order of time."""
        with self._lock:
            self._apply_due_deadlines()
            return list(self._log)

    # --- a CUPS request --------------------------------------------------------------------------------------

    def receive(self, request: UpdateInfoRequest) -> Due | None:
        """Record what a gateway presents, and judge it. Raises NotFound for an unknown gateway."""
        with self._lock:
            now = self._apply_due_deadlines()
            station = self._store.stations.get(request.router)
            if station is None:
                raise NotFound(GATEWAY, request.router.hex)
            station.request, station.seen = request, now
            station.exchanges.append(ExchangeRecord(now.utc_ms, request.version))
            self._schedule_silence_deadline(station)
            task = station.task
            if task is None or self._is_replaceable(task):
                task = self._create_automatic_task(station, now)
            if task is None or station.in_flight is not None:
                return None
            move = evaluate_request(task, request.version, now.monotonic_ms, self.policy)
            if move.send:
                return self._create_pending_update(station, task, now)
            if move.event is not None and move.cause is not None:
                self._apply(station, task, move.event, move.cause, now)
            return None

    def begin(self, due: Due, image: UpdateImage) -> Reply:
        """The update has been read and the reply begins. The empty reply where the task has gone meanwhile."""
        with self._lock:
            now = self._apply_due_deadlines()
            station = self._state_in_flight(due)
            if station is None or station.task is None:
                return Reply()
            task = station.task
            move = evaluate_request(task, due.request.version, now.monotonic_ms, self.policy)
            if not move.send or move.cause is None:
                station.in_flight = None
                return Reply()
            station.problem = None
            due.exchange.answer = Answer.SENDING
            if move.event is not None:
                task = self._apply(station, task, move.event, move.cause, now)
            else:
                self._record(station, now, task.status, task.status, move.cause)
            station.task = task.with_send_started(due.request.version)
            update = due.update
            response = UpdateInfoResponse(
                signature=update.signature, key_crc=update.sig_key_crc or 0 if update.signature else 0
            )
            return Reply(response, image, due)

    def reject_unreadable(self, due: Due, problem: LorafwError) -> None:
        """The update cannot be read: nothing is sent and nothing is used up."""
        with self._lock:
            now = self._apply_due_deadlines()
            station = self._state_in_flight(due)
            if station is None or station.task is None:
                return
            station.in_flight, station.problem = None, problem
            due.exchange.answer = Answer.UNREADABLE
            self._record(station, now, station.task.status, station.task.status, Cause.SOURCE_UNREADABLE)

    def finish(self, reply: Reply, *, whole: bool) -> None:
        """Record that the reply has ended. The exchange learns it even if the task was deleted meanwhile.

        Args:
            reply: What ``begin`` returned. A reply without an update changes nothing, nor does a second call.
            whole: True if all bytes of the reply were written.
        """
        with self._lock:
            now = self._apply_due_deadlines()
            if reply.due is None or reply.due.exchange.answer is not Answer.SENDING:
                return
            reply.due.exchange.answer = Answer.DELIVERED if whole else Answer.BROKEN
            station = self._state_in_flight(reply.due)
            if station is None or station.task is None:
                return
            station.in_flight = None
            if whole:
                station.task = station.task.with_send_delivered(now.monotonic_ms)
            else:
                self._record(station, now, station.task.status, station.task.status, Cause.REPLY_BROKEN)

    def answer(self, request: UpdateInfoRequest) -> Reply:
        """Receive, read and begin in one call. The caller finishes the reply. Raises NotFound."""
        due = self.receive(request)
        return self.prepare(due) if due is not None else Reply()

    def prepare(self, due: Due) -> Reply:
        """Read the update through the service's source and begin, or decline."""
        try:
            image = self._open(due.gateway.owner, due.update)
            return self.begin(due, image)
        except (SourceError, FirmwareError, InvalidValue) as problem:
            self.reject_unreadable(due, problem)
            return Reply()
        except BaseException:
            self._release(due)
            raise

    def is_sending(self, owner: AccountRegion, gateway_id: str) -> bool:
        """Is an update being read for this gateway, or a reply with one under way?"""
        with self._lock:
            return self._station(owner, gateway_id).in_flight is not None

    # --- why? ---

    def explain(self, owner: AccountRegion, gateway_id: str) -> Explanation:
        """Why this gateway is updated, or is not. The update is looked at as a request would, with no lock held."""
        snapshot = self._snapshot(owner, gateway_id)
        definition = definition_to_send(snapshot, self.policy) or failed_definition(snapshot)
        look = None
        if definition is not None:
            keys = () if snapshot.request is None else snapshot.request.keys
            look = self._inspect_source(owner, definition, keys)
        return explain(replace(snapshot, look=look), self.policy)

    def _snapshot(self, owner: AccountRegion, gateway_id: str) -> Snapshot:
        with self._lock:
            now = self._apply_due_deadlines()
            station = self._station(owner, gateway_id)
            deadline_ms = self._silence_deadline(station)
            return Snapshot(
                now_ms=now.utc_ms,
                gateway=station.gateway,
                request=station.request,
                seen_ms=None if station.seen is None else station.seen.utc_ms,
                task=station.task,
                problem=station.problem,
                definitions=tuple(self.definitions(owner)),
                matching=tuple(self._matcher.find_all(owner, station.request.version) if station.request else ()),
                deadline_ms=None if deadline_ms is None else now.at(deadline_ms).utc_ms,
                log=tuple(station.recent_log),
                exchanges=tuple(replace(exchange) for exchange in station.exchanges),
            )

    def _inspect_source(self, owner: AccountRegion, definition: Definition, keys: Sequence[int]) -> SourceInspection:
        update = definition.update
        assert update is not None
        try:
            image = self._open(owner, update)
            if not update.signature:
                return SourceInspection(image.size)
            signers = recover_key_crcs(image.chunks(), update.signature)
            known_crcs = {crc for crc in (update.sig_key_crc, *keys) if crc is not None}
            fault = None
            if signers.isdisjoint(known_crcs):
                fault = find_signature_fault(image.chunks, update.signature, known_crcs)
            return SourceInspection(image.size, signers=signers, signature_fault=fault)
        except (SourceError, FirmwareError, InvalidValue) as problem:
            return SourceInspection(None, problem)

    def _open(self, owner: AccountRegion, update: UpdateSpec) -> UpdateImage:
        assert update.data_source is not None
        if update.unusable_signature is not None:
            raise InvalidValue(
                "UpdateSignature", update.unusable_signature, "no station could take it, so nothing is sent"
            )
        return self.source.open(update.data_source, update.data_role, account=owner.account, region=owner.region)

    # --- inside, with the lock held ---

    def _on_gateway_deleted(self, station: GatewayState) -> None:
        now = self._apply_due_deadlines()
        if station.task is not None:
            self._delete_task(station, now)

    def _state_in_flight(self, due: Due) -> GatewayState | None:
        station = self._store.stations.get(due.gateway.eui)
        return station if station is not None and station.in_flight is due else None

    def _release(self, due: Due) -> None:
        with self._lock:
            if station := self._state_in_flight(due):
                station.in_flight = None

    def _is_replaceable(self, task: Task) -> bool:
        return task.is_ended and self.policy.existing_task == "ended_gives_way"

    def _create_automatic_task(self, station: GatewayState, now: Moment) -> Task | None:
        if self.policy.automatic_creation == "never" or station.request is None:
            return None
        definition = self._matcher.find(station.gateway.owner, station.request.version)
        return self._create_task(station, definition, now, automatic=True) if definition else None

    def _create_task(self, station: GatewayState, definition: Definition, now: Moment, *, automatic: bool) -> Task:
        if station.task is not None:
            self._delete_task(station, now)
        station.task, station.status_since = Task(definition, automatic, now.utc_ms), now
        cause = Cause.CREATED_AUTOMATICALLY if automatic else Cause.CREATED_MANUALLY
        self._record(station, now, None, station.task.status, cause)
        return station.task

    def _delete_task(self, station: GatewayState, now: Moment) -> None:
        assert station.task is not None
        self._record(station, now, station.task.status, None, Cause.DELETED)
        station.task = station.in_flight = station.problem = None

    def _create_pending_update(self, station: GatewayState, task: Task, now: Moment) -> Due | None:
        assert station.request is not None
        if not task.definition.has_data_source:
            return None
        due = Due(station.gateway, task.definition, station.request, station.exchanges[-1])
        if self._is_withheld(due):
            self._record(station, now, task.status, task.status, Cause.KEY_WITHHELD)
            return None
        station.in_flight = due
        return due

    def _is_withheld(self, due: Due) -> bool:
        if self.policy.key_mismatch == "offer" or not due.update.signature:
            return False
        return due.update.sig_key_crc not in due.request.keys

    def _apply(self, station: GatewayState, task: Task, event: TaskEvent, cause: Cause, now: Moment) -> Task:
        station.task, station.status_since = task.after(event), now
        if station.task.is_ended:
            station.problem = None
        self._record(station, now, task.status, station.task.status, cause)
        self._schedule_silence_deadline(station)
        return station.task

    def _record(
        self, station: GatewayState, now: Moment, before: TaskStatus | None, after: TaskStatus | None, cause: Cause
    ) -> None:
        attempt = station.task.attempt if station.task else 0
        row = LogRow(now.utc_ms, station.gateway.eui.hex, attempt, before, after, cause)
        self._log.append(row)
        station.recent_log.append(row)
        for listener in self.listeners:
            try:
                listener(row)
            except Exception:
                _LOGGER.exception("a listener of the task log failed at this row: %s", row)

    def _schedule_silence_deadline(self, station: GatewayState) -> None:
        deadline = self._silence_deadline(station)
        if deadline is not None:
            heapq.heappush(self._deadlines, (deadline, station.gateway.eui))

    def _silence_deadline(self, station: GatewayState) -> int | None:
        """Return when silence ends the task, on the monotonic scale. None if it does not."""
        if station.task is None or station.seen is None or station.status_since is None:
            return None
        # Reading the update may outlast the timeout: silence is not counted from before the status began.
        since_ms = max(station.seen.monotonic_ms, station.status_since.monotonic_ms)
        return silence_deadline(station.task, since_ms, self.policy)

    def _apply_due_deadlines(self) -> Moment:
        """The present time, after every deadline that has passed was applied at its own time."""
        now = Moment.of(self.clock)
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] <= now.monotonic_ms:
            deadline, eui = heapq.heappop(deadlines)
            station = self._store.stations.get(eui)
            if station is None or station.task is None:
                continue
            # A later request moved the deadline; that one has an entry of its own.
            if self._silence_deadline(station) == deadline:
                self._apply(station, station.task, TaskEvent.SILENCE, Cause.SILENCE, now.at(deadline))
        return now
