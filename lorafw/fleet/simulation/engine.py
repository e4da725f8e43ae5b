"""The machine: what becomes of many gateways at once, exchange by exchange.

Every gateway has its own clock and sees no other, so a rollout is this function of when each task opens. In one turn
each gateway that is still under way makes one exchange with the server; only those that go on are carried into the
next turn. Statuses change by the transition table, and by nothing else.

One turn, in order (times in whole ms, fractions cut off):

1. The poll comes, sooner or later (``arrivals``). In SECOND_RETRY a silence for the timeout is FAILED, at the deadline.
2. The gateway presents a version. The new one completes; any other after a whole send is a failed attempt, and FAILED
   after the third.
3. To the old version the update is sent, unless it cannot be read.
4. It arrives whole, or breaks off (``delivery``).
5. What the gateway does with it decides when it comes back, and with which version (``installing``). The next regular
   poll is a period after the one before, or at the end of the download where that is later.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lorafw.fleet.simulation.active import ActiveGateways, PresentedVersion, broadcast_scalar, join
from lorafw.fleet.simulation.codes import Fault, fault_code, status_code
from lorafw.fleet.simulation.downloads import BrokenDownloads, breaks, download_ms
from lorafw.fleet.simulation.event_log import EventRecorder
from lorafw.fleet.simulation.histories import Histories, HistoryWriter
from lorafw.fleet.simulation.inputs import I64, NEVER, BatchColumns, Mask, SimulationParameters
from lorafw.fleet.simulation.installs import install_faults, returns
from lorafw.fleet.simulation.outages import Outages
from lorafw.fleet.simulation.polls import first_poll_ms, next_exchange_ms
from lorafw.fleet.simulation.random_streams import Stream, draw
from lorafw.tasks.lifecycle import INITIAL, Cause, TaskEvent, TaskStatus

_PENDING: Final = status_code(INITIAL)
_SECOND_RETRY: Final = status_code(TaskStatus.SECOND_RETRY)
_FAILED: Final = status_code(TaskStatus.FAILED)
_NO_FAULT: Final = fault_code(Fault.NONE)


class BatchSimulator:
    """Runs one batch to its end; ``recorder`` gets every row of the log."""

    def __init__(
        self,
        gateways: BatchColumns,
        rules: SimulationParameters,
        outages: Outages | None = None,
        recorder: EventRecorder | None = None,
    ) -> None:
        self._gateways, self._rules, self._outages = gateways, rules, outages
        self._ledger = HistoryWriter(gateways, rules, recorder)
        self._step = 0
        self._next: list[ActiveGateways] = []

    def run(self) -> Histories:
        """What becomes of them all."""
        way: ActiveGateways | None = self._start()
        while way is not None:
            self._next = []
            self._send(self._read(self._judge(self._advance_to_exchange(way))))
            way = join(self._next)
            self._step += 1
        return self._ledger.histories

    # --- the stages of a turn: each takes those who come to it and returns those who go on to the next stage ---

    def _start(self) -> ActiveGateways | None:
        """Everybody at the first poll at or after the opening of the task."""
        gateways, size = self._gateways, self._gateways.size
        if gateways.opens is not None:
            self._ledger.record_manual_creation(gateways.opens)
        time = first_poll_ms(gateways)
        status, none = np.full(size, _PENDING, dtype=np.uint8), np.zeros(size, dtype=np.uint8)
        no = np.zeros(size, dtype=np.bool_)
        way = ActiveGateways(
            np.arange(size), gateways.position, time, gateways.period_ms, time, status, none, none, no, no
        )
        idle = gateways.idle
        if gateways.opens is not None:
            late = gateways.opens > self._rules.horizon_ms
            idle = late if idle is None else idle | late
        return join([way if idle is None else way.part(~idle)])

    def _advance_to_exchange(self, way: ActiveGateways) -> ActiveGateways:
        """When the exchange is; those whom silence ends, or for whom it lies beyond the horizon, leave."""
        due, group = way.time, self._gateways.group
        way.time = next_exchange_ms(way, self._step, self._rules, self._outages, group)
        if self._step and self._rules.silence_ms != NEVER:
            silent = (way.status == _SECOND_RETRY) & (way.time - way.seen >= self._rules.silence_ms)
            if silent.any():
                # Behind it stands what delayed the poll, if that was due in time; else what had gone wrong before.
                in_time = due - way.seen < self._rules.silence_ms
                self._fail_silent(way.part(silent), np.where(in_time, fault_code(Fault.OFFLINE), way.fault)[silent])
                way = way.part(~silent)
        beyond = way.time > self._rules.horizon_ms
        return way.part(~beyond) if beyond.any() else way

    def _fail_silent(self, way: ActiveGateways, fault: Any) -> None:
        self._ledger.ends(way, way.seen + self._rules.silence_ms, TaskEvent.SILENCE, Cause.SILENCE, fault)

    def _judge(self, way: ActiveGateways) -> ActiveGateways:
        """What the presented version means; those to whom the update is due go on."""
        way.seen = way.time
        if self._step == 0:
            if self._gateways.opens is None:
                self._ledger.record_automatic_creation(way)
            return way
        way = self._complete_updated(way)
        if self._rules.any_version_differs:
            way = self._fail_other_version(way)
        lost = (way.status == _SECOND_RETRY) & ~way.broken
        if lost.any():
            over = way.part(lost)
            self._ledger.ends(over, over.time, TaskEvent.ATTEMPT_FAILED, Cause.OLD_VERSION, over.fault)
            way = way.part(~lost)
        return way

    def _complete_updated(self, way: ActiveGateways) -> ActiveGateways:
        """The new version completes; where none is given, any that is not the old one does."""
        done = way.shows == PresentedVersion.NEW if self._rules.version_given else way.shows != PresentedVersion.OLD
        if not done.any():
            return way
        new = way.part(done)
        # What went wrong with an earlier send is not behind this one; a version of its own is.
        fault = (
            np.where(new.shows == PresentedVersion.OTHER, new.fault, _NO_FAULT)
            if self._rules.any_version_differs
            else _NO_FAULT
        )
        self._ledger.ends(new, new.time, TaskEvent.TAKES_EFFECT, Cause.NEW_VERSION, fault)
        return way.part(~done)

    def _fail_other_version(self, way: ActiveGateways) -> ActiveGateways:
        """Who presents neither version has failed once more, and is sent nothing."""
        other = way.shows == PresentedVersion.OTHER
        if not other.any():
            return way
        last = other & (way.status == _SECOND_RETRY)
        over, on = way.part(last), way.part(other & ~last)
        self._ledger.ends(over, over.time, TaskEvent.ATTEMPT_FAILED, Cause.OTHER_VERSION, over.fault)
        self._ledger.fails(on, Cause.OTHER_VERSION)
        self._next.append(on.schedule_next(on.time + on.period, shows=PresentedVersion.OTHER))
        return way.part(~other)

    def _read(self, way: ActiveGateways) -> ActiveGateways:
        """Where the update cannot be read nothing is sent, and nothing is used up."""
        share = self._rules.conditions.storage_error
        if not share:
            return way
        unread = draw(way.position, Stream.STORAGE, self._step) < share
        on = way.part(unread)
        self._ledger.remarks(on, on.time, Cause.SOURCE_UNREADABLE, fault_code(Fault.STORAGE_ERROR))
        on.time, on.poll_certain = on.time + on.period, broadcast_scalar(False, len(on), np.bool_)
        self._next.append(on)
        return way.part(~unread)

    def _send(self, way: ActiveGateways) -> None:
        """A reply with the update begins, and ends whole or broken."""
        way = self._begin(way)
        takes = download_ms(way, self._step, self._rules, self._gateways)
        broken = breaks(way, self._step, self._rules, takes, self._outages, self._gateways.group)
        if broken is not None and len(broken.where):
            self._reschedule_broken(way.part(broken.where), broken)
            whole = np.ones(len(way), dtype=np.bool_)
            whole[broken.where] = False
            way, takes = way.part(whole), takes[whole]
        self._install(way, takes)

    def _begin(self, way: ActiveGateways) -> ActiveGateways:
        """Three kinds of reply: the first, the rest of a broken one, the next attempt."""
        if self._step == 0:
            self._ledger.offers(way, Cause.OFFERED)
            return way
        pending = way.status == _PENDING
        begun = []
        for mask, cause in (
            (pending, Cause.OFFERED),
            (way.broken, Cause.OFFERED_AGAIN),
            (~(pending | way.broken), Cause.OLD_VERSION),
        ):
            if mask.any():
                begun.append(way.part(mask))
                self._ledger.offers(begun[-1], cause)
        return join(begun) or way

    def _reschedule_broken(self, way: ActiveGateways, broken: BrokenDownloads) -> None:
        """No attempt is used up, and the station tries again soon, from the first byte."""
        time, rules = way.time + broken.after, self._rules
        got = np.where(time <= rules.horizon_ms, rules.size_bytes * broken.share, 0)
        self._ledger.histories.broken_bytes[way.who] += got.astype(np.int64)
        on: npt.NDArray[Any] = np.ones(len(way), dtype=np.bool_)
        if rules.silence_ms != NEVER:
            on = (way.status != _SECOND_RETRY) | (broken.after < rules.silence_ms)
            late = way.part(~on)
            self._fail_silent(late, broken.fault[~on])
            late.status = broadcast_scalar(_FAILED, len(late), np.uint8)
            self._ledger.remarks(late, time[~on], Cause.REPLY_BROKEN, broken.fault[~on])
        on_way, fault = way.part(on), broken.fault[on]
        self._ledger.remarks(on_way, time[on], Cause.REPLY_BROKEN, fault)
        self._next.append(on_way.schedule_next(time[on] + rules.resync_ms, fault=fault, poll_certain=True, broken=True))

    def _install(self, way: ActiveGateways, takes: I64) -> None:
        """The update has arrived whole. Whom nothing delays on the way back shows the new version at once."""
        rules, gateways = self._rules, self._gateways
        arrived = way.time + takes
        self._ledger.histories.sends[way.who] += arrived <= rules.horizon_ms
        fault = install_faults(way, self._step, rules, gateways)
        at_once = fault == _NO_FAULT
        if not rules.all_restart:
            at_once &= gateways.restarts[way.who]
        if rules.can_complete_immediately:
            self._complete(way, at_once, arrived + rules.apply_ms)
            later = np.flatnonzero(~at_once)
            way, arrived, fault = way.part(later), arrived[later], fault[later]
        if len(way):
            back = returns(way, self._step, rules, gateways, arrived, fault)
            fault = np.where(fault == _NO_FAULT, way.fault, fault)
            self._ledger.set_last_fault(way, fault)
            self._next.append(
                way.schedule_next(back.time, shows=back.shows, fault=fault, poll_certain=back.poll_certain)
            )

    def _complete(self, way: ActiveGateways, at_once: Mask, time: I64) -> None:
        if self._step and self._rules.silence_ms != NEVER:
            late = at_once & (way.status == _SECOND_RETRY) & (time - way.seen >= self._rules.silence_ms)
            if late.any():
                self._fail_silent(way.part(late), way.fault[late])
                at_once = at_once & ~late
        self._ledger.ends(way, time, TaskEvent.TAKES_EFFECT, Cause.NEW_VERSION, _NO_FAULT, among=at_once)
