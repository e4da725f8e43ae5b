"""What the machine writes down: the histories of a batch and, where somebody wants it, every row of the log.

Statuses change here and by AFTER, the transition table. Nothing is written of what lies beyond the horizon.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lorafw.fleet.batch import NEVER, Gateways, Histories, Rules
from lorafw.fleet.codes import AFTER, ATTEMPTS, NO_TASK, U8, Fault, cause_code, fault_code, status_code
from lorafw.fleet.rows import Recorder
from lorafw.fleet.way import Way
from lorafw.tasks.lifecycle import INITIAL, Cause, TaskEvent

_PENDING = status_code(INITIAL)
_NO_FAULT = fault_code(Fault.NONE)


class Ledger:
    """Histories and log of one batch."""

    def __init__(self, gateways: Gateways, rules: Rules, recorder: Recorder | None) -> None:
        automatic = gateways.opens is None
        room = Histories.room((gateways.size,), rules, automatic=automatic)
        self.histories = room.blank(NO_TASK if automatic else _PENDING)
        self._horizon_ms = rules.horizon_ms
        self._recorder = recorder

    def created_by_hand(self, opens: Any) -> None:
        """Tasks made one by one, as far as they are made before the horizon."""
        late = opens > self._horizon_ms
        self.histories.created[:] = np.where(late, NEVER, opens)
        self.histories.status[late] = NO_TASK
        made = np.flatnonzero(~late)
        self._row(made, opens[made], 0, NO_TASK, _PENDING, Cause.CREATED_MANUALLY, _NO_FAULT)

    def created_at_request(self, way: Way) -> None:
        """Tasks that the first request makes."""
        self.histories.created[way.who] = way.time
        self.histories.status[way.who] = _PENDING
        self._row(way.who, way.time, 0, NO_TASK, _PENDING, Cause.CREATED_AUTOMATICALLY, _NO_FAULT)

    def offers(self, way: Way, cause: Cause) -> None:
        """Replies with the update begin: the first (OFFERED), once more (OFFERED_AGAIN), or after a failed attempt."""
        before, fault = way.status, _NO_FAULT if cause is Cause.OFFERED else way.fault
        if cause is Cause.OFFERED:
            self.histories.offered[way.who] = way.time
        if cause is not Cause.OFFERED_AGAIN:
            event = TaskEvent.OFFER if cause is Cause.OFFERED else TaskEvent.ATTEMPT_FAILED
            way.status = AFTER[event][before]
            self.histories.status[way.who] = way.status
        self._row(way.who, way.time, ATTEMPTS[way.status], before, way.status, cause, fault)

    def fails(self, way: Way, cause: Cause) -> None:
        """Attempts have failed, and nothing is sent."""
        before = way.status
        way.status = AFTER[TaskEvent.ATTEMPT_FAILED][before]
        self.histories.status[way.who] = way.status
        self._row(way.who, way.time, ATTEMPTS[way.status], before, way.status, cause, way.fault)

    def remarks(self, way: Way, time: Any, cause: Cause, fault: Any) -> None:
        """Rows that change no status."""
        self.spoilt(way, fault)
        shown = time <= self._horizon_ms
        who, status = way.who[shown], way.status[shown]
        fault = fault[shown] if np.ndim(fault) else fault
        self._row(who, time[shown], self._attempts(who, status), status, status, cause, fault)

    def spoilt(self, way: Way, fault: Any) -> None:
        """What went wrong last."""
        self.histories.fault[way.who] = fault

    def ends(self, way: Way, time: Any, event: TaskEvent, cause: Cause, fault: Any, among: Any = None) -> None:
        """The tasks of a way end, or those of it for whom ``among`` holds."""
        who, status = way.who, way.status
        if among is None and len(time) and time.max() > self._horizon_ms:
            among = True
        if among is not None:
            among = np.flatnonzero(among & (time <= self._horizon_ms))
            who, status, time = who[among], status[among], time[among]
            fault = fault[among] if np.ndim(fault) else fault
        target = AFTER[event][status]
        self.histories.status[who] = target
        self.histories.ended[who] = time
        if self._recorder is not None:
            self._row(who, time, ATTEMPTS[status], status, target, cause, fault)

    def _attempts(self, who: Any, status: U8) -> U8:
        """The number of the send; a task that ended keeps the one it had, which was the last."""
        return np.where(self.histories.ended[who] < NEVER, ATTEMPTS.max(), ATTEMPTS[status]).astype(np.uint8)

    def _row(self, who: Any, time: Any, attempt: Any, source: Any, target: Any, cause: Cause, fault: Any) -> None:
        if self._recorder is not None:
            self._recorder.add(who, time, attempt, source, target, cause_code(cause), fault)
