"""What the machine writes down: the histories of a batch and, where somebody wants it, every row of the log.

Statuses change here and by AFTER, the transition table. Nothing is written of what lies beyond the horizon.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

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
from lorafw.fleet.simulation.inputs import I64, NEVER, BatchColumns, SimulationParameters
from lorafw.tasks.lifecycle import INITIAL, Cause, TaskEvent

_PENDING = status_code(INITIAL)
_NO_FAULT = fault_code(Fault.NONE)


class HistoryWriter:
    """Histories and log of one batch."""

    def __init__(self, gateways: BatchColumns, rules: SimulationParameters, recorder: EventRecorder | None) -> None:
        automatic = gateways.opens is None
        room = Histories.room((gateways.size,), rules, automatic=automatic)
        self.histories = room.blank(NO_TASK if automatic else _PENDING)
        self._horizon_ms = rules.horizon_ms
        self._recorder = recorder

    def record_manual_creation(self, opens: Any) -> None:
        """Tasks made one by one, as far as they are made before the horizon."""
        late = opens > self._horizon_ms
        self.histories.created[:] = np.where(late, NEVER, opens)
        self.histories.status[late] = NO_TASK
        made = np.flatnonzero(~late)
        self._row(made, opens[made], 0, NO_TASK, _PENDING, Cause.CREATED_MANUALLY, _NO_FAULT)

    def record_automatic_creation(self, way: ActiveGateways) -> None:
        """Tasks that the first request makes."""
        self.histories.created[way.who] = way.time
        self.histories.status[way.who] = _PENDING
        self._row(way.who, way.time, 0, NO_TASK, _PENDING, Cause.CREATED_AUTOMATICALLY, _NO_FAULT)

    def offers(self, way: ActiveGateways, cause: Cause) -> None:
        """Replies with the update begin: the first (OFFERED), once more (OFFERED_AGAIN), or after a failed attempt."""
        before, fault = way.status, _NO_FAULT if cause is Cause.OFFERED else way.fault
        if cause is Cause.OFFERED:
            self.histories.offered[way.who] = way.time
        if cause is not Cause.OFFERED_AGAIN:
            event = TaskEvent.OFFER if cause is Cause.OFFERED else TaskEvent.ATTEMPT_FAILED
            way.status = NEXT_STATUS[event][before]
            self.histories.status[way.who] = way.status
        self._row(way.who, way.time, ATTEMPT_NUMBER[way.status], before, way.status, cause, fault)

    def fails(self, way: ActiveGateways, cause: Cause) -> None:
        """Attempts have failed, and nothing is sent."""
        before = way.status
        way.status = NEXT_STATUS[TaskEvent.ATTEMPT_FAILED][before]
        self.histories.status[way.who] = way.status
        self._row(way.who, way.time, ATTEMPT_NUMBER[way.status], before, way.status, cause, way.fault)

    def remarks(self, way: ActiveGateways, time: Any, cause: Cause, fault: Any) -> None:
        """Rows that change no status."""
        self.set_last_fault(way, fault)
        shown = time <= self._horizon_ms
        who, status = way.who[shown], way.status[shown]
        fault = fault[shown] if np.ndim(fault) else fault
        self._row(who, time[shown], self._attempt_numbers(who, status), status, status, cause, fault)

    def set_last_fault(self, way: ActiveGateways, fault: Any) -> None:
        """What went wrong last."""
        self.histories.fault[way.who] = fault

    def ends(
        self, way: ActiveGateways, time: Any, event: TaskEvent, cause: Cause, fault: Any, among: Any = None
    ) -> None:
        """The tasks of a way end, or those of it for whom ``among`` holds."""
        who, status = way.who, way.status
        if among is None and len(time) and time.max() > self._horizon_ms:
            among = True
        if among is not None:
            among = np.flatnonzero(among & (time <= self._horizon_ms))
            who, status, time = who[among], status[among], time[among]
            fault = fault[among] if np.ndim(fault) else fault
        target = NEXT_STATUS[event][status]
        self.histories.status[who] = target
        self.histories.ended[who] = time
        if self._recorder is not None:
            self._row(who, time, ATTEMPT_NUMBER[status], status, target, cause, fault)

    def _attempt_numbers(self, who: Any, status: U8) -> U8:
        """The number of the send; a task that ended keeps the one it had, which was the last."""
        return np.where(self.histories.ended[who] < NEVER, ATTEMPT_NUMBER.max(), ATTEMPT_NUMBER[status]).astype(
            np.uint8
        )

    def _row(self, who: Any, time: Any, attempt: Any, source: Any, target: Any, cause: Cause, fault: Any) -> None:
        if self._recorder is not None:
            self._recorder.add(who, time, attempt, source, target, cause_code(cause), fault)


@dataclass(frozen=True, slots=True, eq=False)
class Histories:
    """What became of each gateway of a batch: times in ms, NEVER where it did not come to that.

    ``status`` at the horizon (NO_TASK: no task was made); ``sends``: whole ones; ``offered``: first offer; ``ended``:
    COMPLETED or FAILED; ``faults``: what went wrong last; ``broken_bytes``: bytes of broken downloads.
    """

    status: U8
    sends: U8
    created: I64
    offered: I64
    ended: I64
    fault: U8
    broken_bytes: I64

    @classmethod
    def room(cls, shape: tuple[int, ...], rules: SimulationParameters, *, automatic: bool) -> Histories:
        """Arrays to be written. What is the same in all of a rollout's histories takes no memory of its own."""
        offered, ended = np.empty(shape, dtype=np.int64), np.empty(shape, dtype=np.int64)
        status, sends, fault = (np.empty(shape, dtype=np.uint8) for _ in range(3))
        # A task made at the first request is offered in the same moment, unless the update cannot be read.
        at_once = automatic and not rules.conditions.storage_error
        created = offered if at_once else np.empty(shape, dtype=np.int64)
        broken = np.zeros(shape, dtype=np.int64) if rules.conditions.breaks else np.broadcast_to(np.int64(0), shape)
        return cls(status, sends, created, offered, ended, fault, broken)

    def blank(self, status: int) -> Histories:
        """Nothing has happened yet."""
        for column, value in (
            (self.status, status),
            (self.sends, 0),
            (self.fault, 0),
            (self.created, NEVER),
            (self.offered, NEVER),
            (self.ended, NEVER),
        ):
            column.fill(value)
        return self

    @classmethod
    def stack(cls, parts: Sequence[Histories]) -> Histories:
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))

    def put(self, part: Histories, rows: slice, columns: slice) -> None:
        """Write a batch, flat or in rows, into its place."""
        for column, values in zip(self.columns(), part.columns(), strict=True):
            place = column[rows, columns]
            place[...] = values.reshape(place.shape)

    def rows(self, rows: slice) -> Histories:
        """Some replications."""
        return Histories(*(getattr(self, f.name)[rows] for f in fields(self)))

    def columns(self) -> list[npt.NDArray[Any]]:
        """The arrays that have a memory of their own."""
        every = (self.status, self.sends, self.fault, self.offered, self.ended)
        extra = [self.created] if self.created is not self.offered else []
        return [*every, *extra, *([self.broken_bytes] if self.broken_bytes.flags.writeable else [])]
