"""Writes what happens to the gateways of one batch: their histories and, on request, the rows of the task log.

Statuses change only here, and only by the transition table.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from lorafw.fleet.arrays import Codes, Floats, Integers
from lorafw.fleet.simulation.active import ActiveGateways, as_column
from lorafw.fleet.simulation.codes import NO_TASK, Fault, fault_code, status_after, status_code
from lorafw.fleet.simulation.event_log import EventBlock, EventRecorder
from lorafw.fleet.simulation.histories import Histories
from lorafw.tasks.lifecycle import INITIAL, Cause, TaskEvent

_PENDING: Final = status_code(INITIAL)
_NO_FAULT: Final = fault_code(Fault.NONE)


class HistoryWriter:
    """Writes the histories of one batch. Nothing is recorded that happens after the horizon, the simulation's end.

    Args:
        histories: The histories to write, in their state before the rollout.
        horizon_ms: The time at which the simulation ends.
        recorder: Receives the rows of the task log. None if no log is wanted.
    """

    def __init__(self, histories: Histories, horizon_ms: int, recorder: EventRecorder | None) -> None:
        self.downloads: Final = DownloadCounter(histories, horizon_ms)
        self._histories = histories
        self._horizon_ms = horizon_ms
        self._recorder = recorder

    def record_creation(self, batch_index: Integers, created_ms: Integers, cause: Cause) -> None:
        """Record that tasks are created, with the status PENDING.

        Args:
            batch_index: The positions of the gateways in the batch.
            created_ms: When each task is created, at the horizon or before it.
            cause: Whether an operator or a request creates them.
        """
        self._histories.created_ms[batch_index] = created_ms
        self._write_statuses(_creations(batch_index, created_ms, cause))

    def record_first_offers(self, active: ActiveGateways) -> ActiveGateways:
        """Record that gateways are offered the update for the first time. Return them with their new status."""
        self._histories.offered_ms[active.batch_index] = active.next_event_ms
        no_fault = as_column(_NO_FAULT, len(active), np.uint8)
        block = _changes(active, active.next_event_ms, TaskEvent.OFFER, Cause.OFFERED, no_fault)
        self._write_statuses(block)
        return replace(active, status=block.to_status)

    def record_failed_attempts(self, active: ActiveGateways, cause: Cause) -> ActiveGateways:
        """Record that attempts failed and the next ones begin. Return the gateways with their new status.

        Args:
            active: The gateways.
            cause: Which version they presented instead of the new one.
        """
        block = _changes(active, active.next_event_ms, TaskEvent.ATTEMPT_FAILED, cause, active.last_fault)
        self._write_statuses(block)
        return replace(active, status=block.to_status)

    def record_ends(
        self, active: ActiveGateways, end_ms: Integers, event: TaskEvent, cause: Cause, fault: Codes
    ) -> None:
        """Record that tasks end.

        Args:
            active: The gateways whose tasks end.
            end_ms: When each task ends. Ends after the horizon are not recorded.
            event: The event that ends them.
            cause: The cause, for the log.
            fault: The code of the fault behind each end, for the log.
        """
        block = _changes(active, end_ms, event, cause, fault).select(end_ms <= self._horizon_ms)
        self._histories.ended_ms[block.batch_index] = block.time
        self._write_statuses(block)

    def record_unchanged(self, active: ActiveGateways, time_ms: Integers, cause: Cause, fault: Codes) -> None:
        """Record an event in the task log that changes no status.

        Args:
            active: The gateways.
            time_ms: When the event happens to each gateway.
            cause: The cause of the event.
            fault: The code of the fault behind each event.
        """
        self._log(EventBlock(active.batch_index, time_ms, active.status, active.status, cause, fault))

    def set_last_fault(self, active: ActiveGateways, fault: Codes) -> None:
        """Set the last fault of each gateway.

        Args:
            active: The gateways.
            fault: The code of each gateway's fault.
        """
        self._histories.last_fault[active.batch_index] = fault

    def _write_statuses(self, block: EventBlock) -> None:
        """Write the new statuses to the histories, and append the rows to the task log."""
        self._histories.status[block.batch_index] = block.to_status
        self._log(block)

    def _log(self, block: EventBlock) -> None:
        """Append rows to the task log, if there is one, except those after the horizon."""
        if self._recorder is not None:
            self._recorder.append(block.select(block.time <= self._horizon_ms))


class DownloadCounter:
    """Counts the whole downloads of each gateway, and the bytes of the others. Those after the horizon do not count.

    Args:
        histories: The histories that hold the counts.
        horizon_ms: The time at which the simulation ends.
    """

    def __init__(self, histories: Histories, horizon_ms: int) -> None:
        self._histories = histories
        self._horizon_ms = horizon_ms

    def add_delivered(self, active: ActiveGateways, delivered_ms: Integers) -> None:
        """Count one whole download for each gateway.

        Args:
            active: The gateways.
            delivered_ms: When each download is complete.
        """
        is_delivered = delivered_ms <= self._horizon_ms
        self._histories.delivered_sends[active.batch_index] += is_delivered

    def add_broken(self, active: ActiveGateways, received_bytes: Floats, broken_ms: Integers) -> None:
        """Count the bytes of downloads that broke off.

        Args:
            active: The gateways.
            received_bytes: The number of bytes that each gateway received.
            broken_ms: When each download broke off.
        """
        counted_bytes = np.where(broken_ms <= self._horizon_ms, received_bytes, 0)
        self._histories.broken_bytes[active.batch_index] += counted_bytes.astype(np.int64)


def _creations(batch_index: Integers, created_ms: Integers, cause: Cause) -> EventBlock:
    """Return the rows of the task log for new tasks. The arguments are those of ``record_creation``."""
    size = len(batch_index)
    return EventBlock(
        batch_index=batch_index,
        time=created_ms,
        from_status=as_column(NO_TASK, size, np.uint8),
        to_status=as_column(_PENDING, size, np.uint8),
        cause=cause,
        fault=as_column(_NO_FAULT, size, np.uint8),
    )


def _changes(active: ActiveGateways, time_ms: Integers, event: TaskEvent, cause: Cause, fault: Codes) -> EventBlock:
    """Return the rows of the task log for an event that changes statuses.

    Args:
        active: The gateways, with their statuses before the event.
        time_ms: When the event happens to each gateway.
        event: The event. The transition table says which status follows it.
        cause: The cause of the event.
        fault: The code of the fault behind each event.
    """
    return EventBlock(
        batch_index=active.batch_index,
        time=time_ms,
        from_status=active.status,
        to_status=status_after(event, active.status),
        cause=cause,
        fault=fault,
    )
