"""The task log of a simulated rollout, as one array for each column.

``EventRecorder`` collects the rows while the engine runs. It gets one block of rows at a time: the same event for many
gateways. At the end it puts all rows into the order of gateways and times, and returns them as an ``EventLog``.

The columns are those of ``tasks.lifecycle.LogRow``, and ``fault``, which only a simulator knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from lorafw.fleet.arrays import Codes, Indices, Integers, Mask
from lorafw.fleet.simulation.codes import (
    ATTEMPT_NUMBER,
    CAUSES,
    FAULTS,
    NO_TASK,
    STATUSES,
    Fault,
    cause_code,
    fault_code,
    status_code,
)
from lorafw.tasks.lifecycle import INITIAL, Cause, TaskStatus

Array: TypeAlias = npt.NDArray[Any]
"""A column of the log. ``DTYPES`` has the types of the elements."""
RowSelection: TypeAlias = Mask | Indices | slice
"""Some rows: a mask with one element for each row, the numbers of rows, or a slice."""
_PENDING: Final = status_code(INITIAL)
_NO_FAULT: Final = fault_code(Fault.NONE)
DTYPES: Final = {
    "time": np.int64,
    "gateway": np.int64,
    "attempt": np.uint8,
    "from_status": np.uint8,
    "to_status": np.uint8,
    "cause": np.uint8,
    "fault": np.uint8,
}


class EventRow(NamedTuple):
    """One row of a task log."""

    time_ms: int
    """Milliseconds since the start of the rollout."""
    gateway: int
    """The number of the gateway."""
    attempt: int
    """The number of the attempt, from 1. Before the first attempt it is 0."""
    from_status: TaskStatus | None
    """The status before. None if there was no task."""
    to_status: TaskStatus | None
    """The status after. None if the task was deleted."""
    cause: Cause
    """The cause of the event."""
    fault: str
    """The fault behind the event. Empty if there is none."""


@dataclass(frozen=True, slots=True, eq=False)
class EventLog:
    """The rows of a task log as columns of equal length."""

    time: Array
    """Milliseconds since the start of the rollout."""
    gateway: Array
    """The number of the gateway."""
    attempt: Array
    """The number of the attempt, from 1. Before the first attempt it is 0."""
    from_status: Array
    """The status before, as a code of ``fleet.simulation.codes``."""
    to_status: Array
    """The status after, as such a code."""
    cause: Array
    """The cause of the event, as such a code."""
    fault: Array
    """The fault behind the event, as such a code."""

    def __len__(self) -> int:
        return len(self.time)

    def select(self, rows: RowSelection) -> EventLog:
        """Return some of the rows.

        Args:
            rows: A mask with one element for each row, the numbers of rows, or a slice.
        """
        return EventLog(**{name: getattr(self, name)[rows] for name in DTYPES})

    def sorted_by_time(self) -> EventLog:
        """Return the rows sorted by time. Rows of the same moment stay in gateway order."""
        return self.select(np.argsort(self.time, kind="stable"))

    def iter_rows(self) -> Iterator[EventRow]:
        """Return an iterator over the rows, with statuses, causes and faults instead of codes."""
        status_by_code = (*STATUSES, None)  # None has the code NO_TASK, which follows those of the statuses
        rows = zip(
            self.time.tolist(),
            self.gateway.tolist(),
            self.attempt.tolist(),
            [status_by_code[code] for code in self.from_status.tolist()],
            [status_by_code[code] for code in self.to_status.tolist()],
            [CAUSES[code] for code in self.cause.tolist()],
            [FAULTS[code].value for code in self.fault.tolist()],
            strict=True,
        )
        return map(EventRow._make, rows)

    def tobytes(self) -> bytes:
        """Return all columns as bytes, one after the other. Equal logs give equal bytes."""
        columns = [np.ascontiguousarray(getattr(self, name)) for name in DTYPES]
        return b"".join(column.tobytes() for column in columns)


def concatenate_logs(parts: Sequence[EventLog]) -> EventLog:
    """Return the logs of parts of a fleet as one log."""
    columns = {}
    for name in DTYPES:
        columns[name] = np.concatenate([getattr(part, name) for part in parts])
    return EventLog(**columns)


@dataclass(frozen=True, slots=True, eq=False)
class EventBlock:
    """Rows of the task log that are written at once: the same event for many gateways, at most one row for each.

    Each column has one element for each row.
    """

    batch_index: Integers
    """The position of the gateway in its batch."""
    time: Integers
    """Milliseconds since the start of the rollout."""
    from_status: Codes
    """The status before, as a code of ``fleet.simulation.codes``."""
    to_status: Codes
    """The status after, as such a code."""
    cause: Cause
    """The cause of all these events."""
    fault: Codes
    """The fault behind the event, as such a code."""

    def select(self, rows: Mask) -> EventBlock:
        """Return some of the rows.

        Args:
            rows: A mask with one element for each row. A mask that selects all rows returns this object.
        """
        if rows.all():
            return self
        return EventBlock(
            batch_index=self.batch_index[rows],
            time=self.time[rows],
            from_status=self.from_status[rows],
            to_status=self.to_status[rows],
            cause=self.cause,
            fault=self.fault[rows],
        )

    def attempts(self) -> npt.NDArray[np.uint8]:
        """Return for each row the number of the attempt that the event belongs to."""
        attempt_before = ATTEMPT_NUMBER[self.from_status]
        attempt_after = ATTEMPT_NUMBER[self.to_status]
        return np.maximum(attempt_before, attempt_after)


class EventRecorder:
    """Collects the rows of one batch in blocks. The blocks of a gateway come in time order.

    Args:
        size: Number of gateways in the batch.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._blocks: list[EventBlock] = []

    def append(self, block: EventBlock) -> None:
        """Append the rows of a block, of which there may be none."""
        if len(block.batch_index):
            self._blocks.append(block)

    def truncate(self, after_stop: Mask, has_task: Mask, stopped_ms: int) -> None:
        """Remove what did not happen because the rollout stopped.

        Args:
            after_stop: Gateways that were not offered the update before the stop. Their later rows are removed.
            has_task: Gateways whose task existed at the stop. If it was not offered yet, its deletion is recorded.
            stopped_ms: When the rollout stopped.
        """
        blocks, self._blocks = self._blocks, []
        for block in blocks:
            # Both masks have one element for each row of the block.
            was_offered = ~after_stop[block.batch_index]
            happened_in_time = block.time <= stopped_ms
            self.append(block.select(was_offered | happened_in_time))
        self.append(_deletions(np.flatnonzero(after_stop & has_task), stopped_ms))

    def to_log(self, gateway_numbers: Array) -> EventLog:
        """Return the rows in gateway and time order.

        The log has the rows of the first gateway first, then those of the second one, and so on. So the numbers of
        rows say where the rows of each gateway begin. The blocks are in time order. They are copied to these places
        one after the other, which is faster than sorting.

        Args:
            gateway_numbers: The number of each gateway of the batch.
        """
        row_counts = np.zeros(self._size, dtype=np.int64)
        for block in self._blocks:
            row_counts[block.batch_index] += 1
        log = _empty_log(int(row_counts.sum()))
        # For each gateway, the row of the log where its next event belongs. At first this is the number of rows of
        # all gateways before it.
        next_row = np.cumsum(row_counts) - row_counts
        for block in self._blocks:
            rows = next_row[block.batch_index]
            next_row[block.batch_index] += 1
            log.gateway[rows] = gateway_numbers[block.batch_index]
            _write_rows(log, rows, block)
        return log


def _deletions(batch_index: Integers, stopped_ms: int) -> EventBlock:
    """Return the rows of tasks that are deleted because the rollout stopped before they were offered."""
    size = len(batch_index)
    return EventBlock(
        batch_index=batch_index,
        time=np.full(size, stopped_ms, dtype=np.int64),
        from_status=np.full(size, _PENDING, dtype=np.uint8),
        to_status=np.full(size, NO_TASK, dtype=np.uint8),
        cause=Cause.DELETED,
        fault=np.full(size, _NO_FAULT, dtype=np.uint8),
    )


def _empty_log(row_count: int) -> EventLog:
    """Return a log whose rows are not set yet."""
    return EventLog(**{name: np.empty(row_count, dtype=dtype) for name, dtype in DTYPES.items()})


def _write_rows(log: EventLog, rows: Integers, block: EventBlock) -> None:
    """Write the columns of a block to these rows of a log, except the numbers of the gateways."""
    log.time[rows] = block.time
    log.attempt[rows] = block.attempts()
    log.from_status[rows] = block.from_status
    log.to_status[rows] = block.to_status
    log.cause[rows] = cause_code(block.cause)
    log.fault[rows] = block.fault


assert tuple(DTYPES) == tuple(field.name for field in fields(EventLog))
