"""The task log of a simulated rollout, as one array for each column.

``EventRecorder`` collects the rows while the engine runs. It gets one block of rows at a time: the same event for many
gateways. At the end it puts all rows into the order of gateways and times, and returns them as an ``EventLog``.

The columns are those of ``tasks.lifecycle.LogRow``, and ``fault``, which only a simulator knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from lorafw.fleet.simulation.codes import (
    CAUSES,
    FAULTS,
    NO_TASK,
    STATUSES,
    U8,
    Fault,
    cause_code,
    fault_code,
    status_code,
)
from lorafw.fleet.simulation.inputs import I64, Mask
from lorafw.tasks.lifecycle import INITIAL, Cause, TaskStatus

Array: TypeAlias = npt.NDArray[Any]
"""A column of the log. ``DTYPES`` has the types of the elements."""
RowSelection: TypeAlias = npt.NDArray[np.bool_] | npt.NDArray[np.intp] | slice
"""Some rows: a mask with one element for each row, the numbers of rows, or a slice."""
_PENDING: Final = status_code(INITIAL)
_NO_FAULT: Final = fault_code(Fault.NONE)
_NO_ATTEMPT: Final = 0
DTYPES: Final = {
    "time": np.int64,
    "gateway": np.int64,
    "attempt": np.uint8,
    "from_status": np.uint8,
    "to_status": np.uint8,
    "cause": np.uint8,
    "fault": np.uint8,
}


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
        """Return some of the rows."""
        return EventLog(*(getattr(self, name)[rows] for name in DTYPES))

    def sorted_by_time(self) -> EventLog:
        """Return the rows sorted by time. Rows of the same moment stay in gateway order."""
        return self.select(np.argsort(self.time, kind="stable"))

    def iter_rows(self) -> Iterator[tuple[int, int, int, TaskStatus | None, TaskStatus | None, Cause, str]]:
        """Yield the rows with statuses, causes and faults instead of codes."""
        statuses = (*STATUSES, None)
        columns = [getattr(self, name).tolist() for name in DTYPES]
        for time, gateway, attempt, from_code, to_code, cause, fault in zip(*columns, strict=True):
            yield time, gateway, attempt, statuses[from_code], statuses[to_code], CAUSES[cause], FAULTS[fault].value

    def tobytes(self) -> bytes:
        """Return all columns as bytes, one after the other. Equal logs give equal bytes."""
        return b"".join(np.ascontiguousarray(getattr(self, name)).tobytes() for name in DTYPES)


def concatenate_logs(parts: Sequence[EventLog]) -> EventLog:
    """Return the logs of parts of a fleet as one log."""
    return EventLog(*(np.concatenate([getattr(part, name) for part in parts]) for name in DTYPES))


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """Rows that are written at once, at most one for each gateway.

    Each value is a column with one element for each row, or a number that holds for all rows.
    """

    batch_index: I64
    """The positions of the gateways in the batch. Always a column."""
    time: I64 | int
    attempt: U8 | int
    from_status: U8 | int
    to_status: U8 | int
    cause: int
    fault: U8 | int

    def select(self, kept_rows: Mask) -> _Block:
        """Return some of the rows."""
        selected: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            selected[field.name] = _select_from_value(value, kept_rows)
        return _Block(**selected)


def _select_from_value(value: Array | int, kept_rows: Mask) -> Array | int:
    """Return some elements of a column. Return a number that holds for all rows unchanged."""
    is_column = np.ndim(value) > 0
    if not is_column:
        return value
    column = np.asarray(value)
    return column[kept_rows]


class EventRecorder:
    """Collects the rows of one batch in blocks.

    A gateway occurs at most once in a block, and the blocks of a gateway come in time order.

    Args:
        size: Number of gateways in the batch.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._blocks: list[_Block] = []

    def append(
        self,
        batch_index: I64,
        time: I64 | int,
        attempt: U8 | int,
        from_status: U8 | int,
        to_status: U8 | int,
        cause: int,
        fault: U8 | int,
    ) -> None:
        """Append one row for each gateway.

        Args:
            batch_index: Positions of the gateways in the batch.
            time: Times in ms. Like the arguments below, an array of equal length or one value for all.
            attempt: Numbers of the attempt.
            from_status: Codes of the status before.
            to_status: Codes of the status after.
            cause: The code of the cause.
            fault: Codes of the fault.
        """
        if len(batch_index):
            self._blocks.append(_Block(batch_index, time, attempt, from_status, to_status, cause, fault))

    def truncate(self, after_stop: Mask, has_task: Mask, stopped_ms: int) -> None:
        """Remove what did not happen because the rollout stopped.

        Args:
            after_stop: Gateways that were not offered the update before the stop. Their later rows are removed.
            has_task: Gateways whose task existed at the stop. If it was not offered yet, its deletion is recorded.
            stopped_ms: When the rollout stopped.
        """
        kept_blocks = []
        for block in self._blocks:
            # Both masks have one element for each row of the block.
            was_offered = ~after_stop[block.batch_index]
            happened_in_time = np.asarray(block.time) <= stopped_ms
            kept_rows = was_offered | happened_in_time
            if kept_rows.any():
                kept_blocks.append(block.select(kept_rows))
        self._blocks = kept_blocks
        deleted = np.flatnonzero(after_stop & has_task)
        self.append(
            deleted,
            time=stopped_ms,
            attempt=_NO_ATTEMPT,
            from_status=_PENDING,
            to_status=NO_TASK,
            cause=cause_code(Cause.DELETED),
            fault=_NO_FAULT,
        )

    def to_log(self, gateway_numbers: Array) -> EventLog:
        """Return the rows in gateway and time order.

        The rows are not sorted but counted. The log has the rows of the first gateway first, then those of the second
        one, and so on. So the numbers of rows say where the rows of each gateway begin. The blocks are in time order
        and are copied to these places one after the other.

        Args:
            gateway_numbers: The number of each gateway of the batch.
        """
        row_counts = self._count_rows()
        columns = {name: np.empty(int(row_counts.sum()), dtype=dtype) for name, dtype in DTYPES.items()}
        # For each gateway, the row of the log where its next event belongs. At first this is the number of rows of
        # all gateways before it.
        next_row = np.cumsum(row_counts) - row_counts
        for block in self._blocks:
            rows = next_row[block.batch_index]
            next_row[block.batch_index] += 1
            columns["gateway"][rows] = gateway_numbers[block.batch_index]
            for name in _VALUE_COLUMNS:
                columns[name][rows] = getattr(block, name)
        return EventLog(**columns)

    def _count_rows(self) -> I64:
        """Return the number of rows of each gateway in the batch."""
        row_counts = np.zeros(self._size, dtype=np.int64)
        for block in self._blocks:
            row_counts[block.batch_index] += 1
        return row_counts


_VALUE_COLUMNS: Final = tuple(name for name in DTYPES if name != "gateway")
"""The columns of the log whose values a block has under the same name."""
assert tuple(DTYPES) == tuple(field.name for field in fields(EventLog))
