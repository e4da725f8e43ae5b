"""The event log of a rollout as columns: those of ``tasks.lifecycle.LogRow``, and one more, ``faults``.

The machine writes blocks, turn by turn; here they are put into gateway and time order, by counting and not by sorting.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lorafw.fleet.simulation.codes import CAUSES, FAULTS, NO_TASK, STATUSES, cause_code, status_code
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
    """The log: ``time`` in ms since the start, ``gateway`` its number, the rest codes of ``fleet.simulation.codes``."""

    time: Array
    gateway: Array
    attempt: Array
    from_status: Array
    to_status: Array
    cause: Array
    fault: Array

    def __len__(self) -> int:
        return len(self.time)

    def where(self, rows: Any) -> EventLog:
        """Some of the rows: by mask, slice or index."""
        return EventLog(*(getattr(self, name)[rows] for name in DTYPES))

    def sorted_by_time(self) -> EventLog:
        """The same rows by time; rows of the same moment stay in gateway order."""
        return self.where(np.argsort(self.time, kind="stable"))

    def rows(self) -> Iterator[tuple[int, int, int, TaskStatus | None, TaskStatus | None, Cause, str]]:
        """Row by row, in words."""
        statuses = (*STATUSES, None)
        for time, gateway, attempt, source, target, cause, fault in zip(
            *(getattr(self, name).tolist() for name in DTYPES), strict=True
        ):
            yield time, gateway, attempt, statuses[source], statuses[target], CAUSES[cause], FAULTS[fault].value

    def tobytes(self) -> bytes:
        """All columns, one after the other: equal logs give equal bytes."""
        return b"".join(np.ascontiguousarray(getattr(self, name)).tobytes() for name in DTYPES)


def join(parts: list[EventLog]) -> EventLog:
    """Logs of parts of a fleet as one."""
    return EventLog(*(np.concatenate([getattr(part, name) for part in parts]) for name in DTYPES))


class EventRecorder:
    """Collects blocks of rows of one batch; in each, a gateway occurs at most once, and blocks come in time order."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._blocks: list[tuple[Any, ...]] = []

    def add(self, where: Array, time: Any, attempt: Any, source: Any, target: Any, cause: int, fault: Any) -> None:
        """One row for each gateway in ``where`` (its place in the batch); the rest are arrays like it, or one value."""
        if len(where):
            self._blocks.append((where, time, attempt, source, target, cause, fault))

    def cut(self, late: Array, made: Array, time: int) -> None:
        """The rollout was stopped at ``time``: those ``late`` have no rows after it, and lose the task ``made``."""
        kept = []
        for block in self._blocks:
            keep = ~late[block[0]] | (np.asarray(block[1]) <= time)
            if keep.any():
                kept.append(tuple(value[keep] if np.ndim(value) else value for value in block))
        self._blocks = kept
        deleted = np.flatnonzero(late & made)
        self.add(deleted, time, 0, _PENDING, NO_TASK, cause_code(Cause.DELETED), 0)

    def events(self, number: Array) -> EventLog:
        """The rows in gateway and time order; ``number`` are the gateways' numbers."""
        counts = np.zeros(self._size, dtype=np.int64)
        for where, *_ in self._blocks:
            counts[where] += 1
        following = np.cumsum(counts) - counts
        total = int(counts.sum())
        columns = {name: np.empty(total, dtype=dtype) for name, dtype in DTYPES.items()}
        for where, *values in self._blocks:
            place = following[where]
            following[where] += 1
            columns["gateway"][place] = number[where]
            for name, value in zip(_VALUES, values, strict=True):
                columns[name][place] = value
        return EventLog(**columns)


_VALUES: Final = tuple(name for name in DTYPES if name != "gateway")
assert tuple(DTYPES) == tuple(f.name for f in fields(EventLog))
