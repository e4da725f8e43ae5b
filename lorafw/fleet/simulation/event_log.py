"""The task log of a rollout as columns.

The columns are those of ``tasks.lifecycle.LogRow``, and ``fault``, which only a simulator knows.

The engine writes blocks of rows, step by step. They are put into gateway and time order by counting, without sorting.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lorafw.fleet.simulation.codes import CAUSES, FAULTS, NO_TASK, STATUSES, cause_code, status_code
from lorafw.fleet.simulation.inputs import Mask
from lorafw.tasks.lifecycle import INITIAL, Cause, TaskStatus

Array = npt.NDArray[Any]
_PENDING: Final = status_code(INITIAL)
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
    from_status: Array
    """Codes of ``fleet.simulation.codes``, like the columns below."""
    to_status: Array
    cause: Array
    fault: Array

    def __len__(self) -> int:
        return len(self.time)

    def select(self, rows: Any) -> EventLog:
        """Return some of the rows, given by a mask, a slice or an array of indices."""
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


def _select_rows(block: tuple[Any, ...], keep: Mask) -> tuple[Any, ...]:
    """Return some rows of a block. A value that is the same for all rows is returned unchanged."""
    selected = []
    for value in block:
        is_column = np.ndim(value) > 0
        rows = value[keep] if is_column else value
        selected.append(rows)
    return tuple(selected)


class EventRecorder:
    """Collects the rows of one batch in blocks.

    A gateway occurs at most once in a block, and the blocks of a gateway come in time order.

    Args:
        size: Number of gateways in the batch.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._blocks: list[tuple[Any, ...]] = []

    def append(
        self, batch_index: Array, time: Any, attempt: Any, from_status: Any, to_status: Any, cause: int, fault: Any
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
            self._blocks.append((batch_index, time, attempt, from_status, to_status, cause, fault))

    def truncate(self, after_stop: Mask, has_task: Mask, stopped_ms: int) -> None:
        """Remove what did not happen because the rollout stopped.

        Args:
            after_stop: Gateways that were not offered the update before the stop. Their later rows are removed.
            has_task: Gateways whose task existed at the stop. If it was not offered yet, its deletion is recorded.
            stopped_ms: When the rollout stopped.
        """
        kept = []
        for block in self._blocks:
            keep = ~after_stop[block[0]] | (np.asarray(block[1]) <= stopped_ms)
            if keep.any():
                kept.append(_select_rows(block, keep))
        self._blocks = kept
        deleted = np.flatnonzero(after_stop & has_task)
        self.append(deleted, stopped_ms, 0, _PENDING, NO_TASK, cause_code(Cause.DELETED), 0)

    def to_log(self, gateway_numbers: Array) -> EventLog:
        """Return the rows in gateway and time order.

        Args:
            gateway_numbers: The number of each gateway of the batch.
        """
        counts = np.zeros(self._size, dtype=np.int64)
        for batch_index, *_ in self._blocks:
            counts[batch_index] += 1
        # A counting sort: each gateway's rows follow those of the gateways before it.
        next_row = np.cumsum(counts) - counts
        columns = {name: np.empty(int(counts.sum()), dtype=dtype) for name, dtype in DTYPES.items()}
        for batch_index, *values in self._blocks:
            row = next_row[batch_index]
            next_row[batch_index] += 1
            columns["gateway"][row] = gateway_numbers[batch_index]
            for name, value in zip(_VALUE_COLUMNS, values, strict=True):
                columns[name][row] = value
        return EventLog(**columns)


_VALUE_COLUMNS: Final = tuple(name for name in DTYPES if name != "gateway")
assert tuple(DTYPES) == tuple(field.name for field in fields(EventLog))
