"""What comes out of the engine: the history of each gateway and, on request, every row of the task log.

Statuses change only here, and only by NEXT_STATUS, the transition table. Nothing is recorded that happens after the
horizon.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lorafw.fleet.simulation.active import ActiveGateways
from lorafw.fleet.simulation.codes import (
    ATTEMPT_NUMBER,
    NEXT_STATUS,
    NO_TASK,
    U8,
    Fault,
    cause_code,
    fault_code,
    status_code,
)
from lorafw.fleet.simulation.event_log import EventRecorder
from lorafw.fleet.simulation.inputs import I64, NEVER, BatchColumns, Mask, SimulationParameters
from lorafw.tasks.lifecycle import INITIAL, Cause, TaskEvent

_PENDING: Final = status_code(INITIAL)
_NO_FAULT: Final = fault_code(Fault.NONE)


@dataclass(frozen=True, slots=True, eq=False)
class Histories:
    """The history of each gateway: arrays of equal shape. Times are in ms, NEVER for what did not happen."""

    status: U8
    """The status at the horizon, as a code; NO_TASK if the gateway has no task."""
    delivered_sends: U8
    """Number of updates that were delivered whole."""
    created_ms: I64
    """When the task was created. The same array as ``offered_ms`` if a task is always offered when it is created."""
    offered_ms: I64
    """When the update was first offered."""
    ended_ms: I64
    """When the task became COMPLETED or FAILED."""
    last_fault: U8
    """The code of the last fault."""
    broken_bytes: I64
    """Bytes of downloads that broke off. Read-only zeros if no download can break."""

    @classmethod
    def empty(cls, shape: tuple[int, ...], params: SimulationParameters, *, automatic: bool) -> Histories:
        """Allocate arrays without initialising them. Columns that carry no information share memory.

        Args:
            shape: The shape of each array, for example (replications, gateways).
            params: Decides which columns need memory of their own.
            automatic: True if tasks are created at a gateway's first request.

        Returns:
            Histories whose values are not set.
        """
        offered_ms, ended_ms = np.empty(shape, dtype=np.int64), np.empty(shape, dtype=np.int64)
        status, delivered_sends, last_fault = (np.empty(shape, dtype=np.uint8) for _ in range(3))
        # An automatic task is offered in the moment in which it is created, unless the update cannot be read.
        offered_when_created = automatic and not params.conditions.storage_error
        created_ms = offered_ms if offered_when_created else np.empty(shape, dtype=np.int64)
        broken_bytes = np.broadcast_to(np.int64(0), shape)
        if params.conditions.can_break_downloads:
            broken_bytes = np.zeros(shape, dtype=np.int64)
        return cls(status, delivered_sends, created_ms, offered_ms, ended_ms, last_fault, broken_bytes)

    def reset(self, status: int) -> None:
        """Fill the arrays with the state before the rollout.

        Args:
            status: The status of each gateway, as a code: NO_TASK or that of a new task.
        """
        self.status.fill(status)
        self.delivered_sends.fill(0)
        self.last_fault.fill(_NO_FAULT)
        for times_ms in (self.created_ms, self.offered_ms, self.ended_ms):
            times_ms.fill(NEVER)

    @classmethod
    def stack(cls, parts: Sequence[Histories]) -> Histories:
        """Return the histories of several groups of replications as one."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def write_block(self, part: Histories, rows: slice, columns: slice) -> None:
        """Copy the histories of a batch, flat or in rows, to a block of these arrays."""
        for target, values in zip(self.owned_arrays(), part.owned_arrays(), strict=True):
            block = target[rows, columns]
            block[...] = values.reshape(block.shape)

    def replications(self, rows: slice) -> Histories:
        """Return views of some replications."""
        return Histories(*(getattr(self, field.name)[rows] for field in fields(self)))

    def owned_arrays(self) -> list[npt.NDArray[Any]]:
        """Return the arrays that have memory of their own, in a fixed order."""
        arrays: list[npt.NDArray[Any]] = [
            self.status,
            self.delivered_sends,
            self.last_fault,
            self.offered_ms,
            self.ended_ms,
        ]
        if self.created_ms is not self.offered_ms:
            arrays.append(self.created_ms)
        if self.broken_bytes.flags.writeable:
            arrays.append(self.broken_bytes)
        return arrays

    def discard_after_stop(self, stopped_ms: I64) -> None:
        """Remove the tasks that were not yet offered when a rollout stopped. Tasks in progress run to their end.

        Args:
            stopped_ms: When each rollout stopped, one element for each row; NEVER if it did not.
        """
        if (stopped_ms == NEVER).all():
            return
        stopped_column = stopped_ms[:, None]
        discarded = (self.offered_ms > stopped_column) & (stopped_column < NEVER)
        self.created_ms[discarded & (self.created_ms > stopped_column)] = NEVER
        self.status[discarded] = NO_TASK
        self.offered_ms[discarded] = self.ended_ms[discarded] = NEVER
        self.delivered_sends[discarded] = 0
        self.last_fault[discarded] = _NO_FAULT
        if self.broken_bytes.flags.writeable:
            self.broken_bytes[discarded] = 0


class HistoryWriter:
    """Writes the histories of one batch and, if there is a recorder, the rows of its task log."""

    def __init__(self, columns: BatchColumns, params: SimulationParameters, recorder: EventRecorder | None) -> None:
        automatic = columns.task_created_ms is None
        initial_status = NO_TASK if automatic else _PENDING
        self.histories = Histories.empty((columns.size,), params, automatic=automatic)
        self.histories.reset(initial_status)
        self._horizon_ms = params.horizon_ms
        self._recorder = recorder

    def record_manual_creation(self, created_ms: I64) -> None:
        """Record tasks that an operator creates. A task that would be created after the horizon does not exist."""
        after_horizon = created_ms > self._horizon_ms
        self.histories.created_ms[:] = np.where(after_horizon, NEVER, created_ms)
        self.histories.status[after_horizon] = NO_TASK
        index = np.flatnonzero(~after_horizon)
        self._append_rows(index, created_ms[index], 0, NO_TASK, _PENDING, Cause.CREATED_MANUALLY, _NO_FAULT)

    def record_automatic_creation(self, active: ActiveGateways) -> None:
        """Record tasks that the gateways' first requests create."""
        index = active.batch_index
        self.histories.created_ms[index] = active.next_event_ms
        self.histories.status[index] = _PENDING
        self._append_rows(index, active.next_event_ms, 0, NO_TASK, _PENDING, Cause.CREATED_AUTOMATICALLY, _NO_FAULT)

    def record_first_offers(self, active: ActiveGateways) -> None:
        """Record that the update is offered for the first time. Mutates ``active.status``."""
        self.histories.offered_ms[active.batch_index] = active.next_event_ms
        self._apply_event(active, TaskEvent.OFFER, Cause.OFFERED, _NO_FAULT)

    def record_resumed_offers(self, active: ActiveGateways) -> None:
        """Record that an update is sent again because its download broke off. No attempt is used up."""
        attempt = ATTEMPT_NUMBER[active.status]
        status = active.status
        self._append_rows(
            active.batch_index, active.next_event_ms, attempt, status, status, Cause.OFFERED_AGAIN, active.last_fault
        )

    def record_failed_attempts(self, active: ActiveGateways, cause: Cause) -> None:
        """Record that an attempt failed and the next one begins. Mutates ``active.status``."""
        self._apply_event(active, TaskEvent.ATTEMPT_FAILED, cause, active.last_fault)

    def record_notes(self, active: ActiveGateways, time_ms: I64, cause: Cause, fault: U8) -> None:
        """Record events that change no status, and the fault behind them."""
        self.set_last_fault(active, fault)
        within = time_ms <= self._horizon_ms
        index, status = active.batch_index[within], active.status[within]
        attempt = self._attempt_numbers(index, status)
        self._append_rows(index, time_ms[within], attempt, status, status, cause, fault[within])

    def set_last_fault(self, active: ActiveGateways, fault: U8) -> None:
        """Set the last fault of the gateways' histories."""
        self.histories.last_fault[active.batch_index] = fault

    def count_delivered(self, active: ActiveGateways, delivered_ms: I64) -> None:
        """Count the updates that were delivered whole before the horizon."""
        self.histories.delivered_sends[active.batch_index] += delivered_ms <= self._horizon_ms

    def add_broken_bytes(self, active: ActiveGateways, received_bytes: npt.NDArray[np.float64], broken_ms: I64) -> None:
        """Count the bytes of downloads that broke off before the horizon."""
        counted = np.where(broken_ms <= self._horizon_ms, received_bytes, 0)
        self.histories.broken_bytes[active.batch_index] += counted.astype(np.int64)

    def record_ends(self, active: ActiveGateways, end_ms: I64, event: TaskEvent, cause: Cause, fault: U8 | int) -> None:
        """Record that tasks end. Ends after the horizon are not recorded.

        Args:
            active: The gateways whose tasks end.
            end_ms: When each task ends.
            event: The event that ends them.
            cause: The cause, for the log.
            fault: The fault behind it, for the log: an array, or one code for all.
        """
        index, status = active.batch_index, active.status
        within = end_ms <= self._horizon_ms
        if not within.all():
            fault = np.broadcast_to(fault, end_ms.shape)[within]
            index = index[within]
            status = status[within]
            end_ms = end_ms[within]
        new_status = NEXT_STATUS[event][status]
        self.histories.status[index] = new_status
        self.histories.ended_ms[index] = end_ms
        self._append_rows(index, end_ms, ATTEMPT_NUMBER[status], status, new_status, cause, fault)

    def _apply_event(self, active: ActiveGateways, event: TaskEvent, cause: Cause, fault: U8 | int) -> None:
        """Advance the tasks by one event, in ``active`` and in the histories, and log it."""
        old_status = active.status
        active.status = NEXT_STATUS[event][old_status]
        self.histories.status[active.batch_index] = active.status
        attempt = ATTEMPT_NUMBER[active.status]
        self._append_rows(active.batch_index, active.next_event_ms, attempt, old_status, active.status, cause, fault)

    def _attempt_numbers(self, index: npt.NDArray[np.int64], status: U8) -> U8:
        """Return the number of the current send. A task that has ended keeps its last one."""
        has_ended: Mask = self.histories.ended_ms[index] < NEVER
        return np.where(has_ended, ATTEMPT_NUMBER.max(), ATTEMPT_NUMBER[status]).astype(np.uint8)

    def _append_rows(
        self,
        index: I64,
        time_ms: I64,
        attempt: U8 | int,
        from_status: U8 | int,
        to_status: U8 | int,
        cause: Cause,
        fault: U8 | int,
    ) -> None:
        """Append one row for each gateway to the task log, if there is a recorder. A number holds for all rows."""
        if self._recorder is not None:
            self._recorder.append(index, time_ms, attempt, from_status, to_status, cause_code(cause), fault)
