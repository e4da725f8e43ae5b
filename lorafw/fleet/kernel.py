"""The machine: what becomes of many gateways at once, exchange by exchange.

Every gateway has its own clock and sees no other, so a rollout is this function of when each task opens. In one turn
each gateway that is still under way makes one exchange with the server; only those that go on are carried into the
next turn. Statuses change by AFTER, the transition table, and by nothing else.

One turn, in order (times in whole ms, fractions cut off):

1. The poll comes. It may be missed, or fall into an outage (then the next is a period later), or not reach the server
   (then again after ``resync_s``). A poll after a restart or a broken download is not missed: the station tries on.
2. Silence for the timeout in SECOND_RETRY is FAILED, at the deadline.
3. The gateway presents a version. The new one completes; any other after a whole send is a failed attempt, and FAILED
   after the third.
4. To the old version the update is sent, unless it cannot be read. A link that drops breaks it off.
5. What the gateway does with the update decides when it comes back, and with which version. The next regular poll is
   a period after the one before, or at the end of the download where that is later.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from lorafw.fleet.batch import I64, NEVER, Gateways, Histories, Mask, Rules
from lorafw.fleet.codes import AFTER, ATTEMPTS, NO_TASK, U8, Fault, cause_code, fault_code, status_code
from lorafw.fleet.outages import Outages
from lorafw.fleet.rows import Recorder
from lorafw.fleet.streams import U64, Stream, draw
from lorafw.tasks.lifecycle import INITIAL, TERMINAL, Cause, TaskEvent, TaskStatus

_OLD, _NEW, _OTHER = range(3)
_PENDING: Final = status_code(INITIAL)
_LAST: Final = status_code(TaskStatus.SECOND_RETRY)
_FAILED: Final = status_code(TaskStatus.FAILED)
_IS_TERMINAL: Final = np.array([status in TERMINAL for status in TaskStatus] + [False])
_NO_FAULT: Final = fault_code(Fault.NONE)


@dataclass(slots=True, eq=False)
class _Way:
    """The gateways that are under way: ``who`` is their place in the batch."""

    who: npt.NDArray[np.int64]
    position: U64
    time: I64
    period: I64
    seen: I64
    status: U8
    presents: U8
    fault: U8
    broken: Mask
    surely: Mask

    def part(self, where: Any) -> _Way:
        return _Way(*(getattr(self, f.name)[where] for f in fields(self)))


class Machine:
    """Runs one batch to its end; ``recorder`` gets every row of the log."""

    def __init__(
        self, gateways: Gateways, rules: Rules, outages: Outages | None = None, recorder: Recorder | None = None
    ) -> None:
        self._gateways = gateways
        self._rules = rules
        self._outages = outages
        self._recorder = recorder
        automatic = gateways.opens is None
        room = Histories.room((gateways.size,), rules, automatic=automatic)
        self._out = room.blank(NO_TASK if automatic else _PENDING)
        self._turn = 0

        self._next: list[_Way] = []

    def run(self) -> Histories:
        """What becomes of them all."""
        way = self._start()
        while len(way.who):
            self._next = []
            self._send(self._storage(self._judge(self._silence(self._poll(way)))))
            way = _join(self._next)
            self._turn += 1
        return self._out

    # --- the stages of a turn: each takes those who come to it and returns those who go on to the next stage ---

    def _start(self) -> _Way:
        """Everybody at the first poll at or after the opening of the task."""
        gateways, size = self._gateways, self._gateways.size
        time = gateways.phase_ms
        who = np.arange(size)
        if gateways.opens is not None:
            self._open(gateways.opens)
            periods = -(-np.maximum(gateways.opens - time, 0) // gateways.period_ms)
            time = time + periods * gateways.period_ms
        status = np.full(size, _PENDING, dtype=np.uint8)
        zeros, no = np.zeros(size, dtype=np.uint8), np.zeros(size, dtype=np.bool_)
        way = _Way(who, gateways.position, time, gateways.period_ms, time, status, zeros, zeros, no, no)
        gone = gateways.gone
        if gateways.opens is not None:
            gone = gone | (gateways.opens > self._rules.horizon_ms)
        return way.part(~gone) if self._rules.some_gone or gateways.opens is not None else way

    def _open(self, opens: I64) -> None:
        """Tasks made by hand, as far as they are made before the horizon."""
        self._out.created[:] = opens
        made = np.flatnonzero(opens <= self._rules.horizon_ms)
        if len(made) < len(opens):
            late = opens > self._rules.horizon_ms
            self._out.created[late], self._out.status[late] = NEVER, NO_TASK
        self._row(made, opens[made], 0, NO_TASK, _PENDING, Cause.CREATED_MANUALLY, _NO_FAULT)

    def _poll(self, way: _Way) -> _Way:
        """When the next exchange is; those for whom it lies beyond the horizon leave."""
        conditions, rules = self._rules.conditions, self._rules
        time = way.time
        if conditions.missed_poll:
            missed = self._run_length(way, Stream.MISSED, conditions.missed_poll, ~way.surely)
            if missed is not None:
                time = time + missed * way.period
        if self._outages is not None:
            time = self._after_outages(way, time, self._outages)
        if conditions.unreached:
            failed = self._run_length(way, Stream.UNREACHED, conditions.unreached, None)
            if failed is not None:
                time = time + failed * rules.resync_ms
        way.time = time
        beyond = time > rules.horizon_ms
        if not beyond.any():
            return way
        if self._turn and rules.silence_ms != NEVER:
            self._fall_silent(way, beyond & (way.status == _LAST))
        return way.part(~beyond)

    def _run_length(self, way: _Way, stream: Stream, share: float, among: Mask | None) -> I64 | None:
        """How many times in a row it goes wrong, geometric; None where for nobody."""
        luck = draw(way.position, stream, self._turn)
        hit = luck < share
        if among is not None and self._turn:
            hit &= among
        if not hit.any():
            return None
        result = np.zeros(len(luck), dtype=np.int64)
        result[hit] = (np.log(luck[hit]) / np.log(share)).astype(np.int64)
        return result

    def _after_outages(self, way: _Way, time: I64, outages: Outages) -> I64:
        assert self._gateways.group is not None
        group = self._gateways.group[way.who]
        step = np.where(way.surely, self._rules.resync_ms, way.period)
        down = np.flatnonzero(outages.during(group, time))
        time = time.copy()
        while len(down):
            time[down] += step[down]
            down = down[outages.during(group[down], time[down])]
            down = down[time[down] <= self._rules.horizon_ms]
        return time

    def _silence(self, way: _Way) -> _Way:
        """In SECOND_RETRY too long a silence ends the task, before the request that comes too late."""
        if self._turn == 0 or self._rules.silence_ms == NEVER:
            return way
        silent = (way.status == _LAST) & (way.time - way.seen >= self._rules.silence_ms)
        if not silent.any():
            return way
        self._fall_silent(way, silent)
        return way.part(~silent)

    def _fall_silent(self, way: _Way, silent: Mask) -> None:
        gone = way.part(silent)
        self._end(
            gone.who, gone.seen + self._rules.silence_ms, gone.status, TaskEvent.SILENCE, Cause.SILENCE, gone.fault
        )

    def _judge(self, way: _Way) -> _Way:
        """What the presented version means; those to whom the update is due go on."""
        way.seen = way.time
        if self._turn == 0:
            self._first_request(way)
            return way
        if self._rules.some_wait or self._rules.some_differ:
            way = self._judge_other_versions(way)
        lost = (way.status == _LAST) & ~way.broken
        if lost.any():
            over = way.part(lost)
            self._end(over.who, over.time, over.status, TaskEvent.ATTEMPT_FAILED, Cause.OLD_VERSION, over.fault)
            way = way.part(~lost)
        return way

    def _first_request(self, way: _Way) -> None:
        """With AutoCreateTasks the first request makes the task."""
        if self._gateways.opens is None:
            self._out.created[way.who] = way.time
            self._out.status[way.who] = _PENDING
            self._row(way.who, way.time, 0, NO_TASK, _PENDING, Cause.CREATED_AUTOMATICALLY, _NO_FAULT)

    def _judge_other_versions(self, way: _Way) -> _Way:
        """Who presents the new version is done; who presents neither has failed once more, and is sent nothing."""
        done = way.presents == _NEW
        other = way.presents == _OTHER
        if not self._rules.version_given:
            done, other = done | other, np.zeros_like(other)
        if done.any():
            new = way.part(done)
            self._end(new.who, new.time, new.status, TaskEvent.TAKES_EFFECT, Cause.NEW_VERSION, new.fault)
        if other.any():
            self._other_version(way.part(other))
        return way.part(~(done | other)) if done.any() or other.any() else way

    def _other_version(self, way: _Way) -> None:
        last = way.status == _LAST
        over = way.part(last)
        self._end(over.who, over.time, over.status, TaskEvent.ATTEMPT_FAILED, Cause.OTHER_VERSION, over.fault)
        on = way.part(~last)
        status = AFTER[TaskEvent.ATTEMPT_FAILED][on.status]
        self._row(on.who, on.time, ATTEMPTS[status], on.status, status, Cause.OTHER_VERSION, on.fault)
        self._out.status[on.who] = on.status = status
        on.time, on.surely = on.time + on.period, np.zeros(len(on.who), dtype=np.bool_)
        self._next.append(on)

    def _storage(self, way: _Way) -> _Way:
        """Where the update cannot be read nothing is sent, and nothing is used up."""
        share = self._rules.conditions.storage_error
        if not share:
            return way
        unread = draw(way.position, Stream.STORAGE, self._turn) < share
        on = way.part(unread)
        attempt, fault = ATTEMPTS[on.status], fault_code(Fault.STORAGE_ERROR)
        self._row(on.who, on.time, attempt, on.status, on.status, Cause.SOURCE_UNREADABLE, fault)
        on.time, on.surely = on.time + on.period, np.zeros(len(on.who), dtype=np.bool_)
        self._next.append(on)
        return way.part(~unread)

    def _send(self, way: _Way) -> None:
        """A reply with the update begins, and ends whole or broken."""
        self._begin(way)
        takes = self._download_ms(way)
        if self._rules.conditions.link_drops_per_h:
            luck = draw(way.position, Stream.DROP, self._turn)
            holds = (np.log(luck) * (-3_600_000.0 / self._rules.conditions.link_drops_per_h)).astype(np.int64)
            breaks = holds < takes
            self._break(way.part(breaks), holds[breaks], takes[breaks])
            way, takes = way.part(~breaks), takes[~breaks]
        self._out.sends[way.who] += 1
        self._install(way, takes)

    def _begin(self, way: _Way) -> None:
        if self._turn == 0:
            status = AFTER[TaskEvent.OFFER][way.status]
            self._out.offered[way.who] = way.time
            self._row(way.who, way.time, 1, _PENDING, status, Cause.OFFERED, _NO_FAULT)
        else:
            status = self._begin_later(way)
        self._out.status[way.who] = way.status = status

    def _begin_later(self, way: _Way) -> U8:
        pending = way.status == _PENDING
        again = way.broken
        status = AFTER[TaskEvent.ATTEMPT_FAILED][way.status]
        status[pending] = AFTER[TaskEvent.OFFER][_PENDING]
        status[again] = way.status[again]
        self._out.offered[way.who[pending]] = way.time[pending]
        for mask, cause in (
            (pending, Cause.OFFERED),
            (again, Cause.OFFERED_AGAIN),
            (~(pending | again), Cause.OLD_VERSION),
        ):
            if mask.any():
                to = status[mask]
                fault = _NO_FAULT if cause is Cause.OFFERED else way.fault[mask]
                self._row(way.who[mask], way.time[mask], ATTEMPTS[to], way.status[mask], to, cause, fault)
        return status

    def _download_ms(self, way: _Way) -> I64:
        mean = self._rules.size_bytes * 1000.0 / self._gateways.goodput_Bps[way.who]
        if self._rules.conditions.download == "exponential":
            mean *= -np.log(draw(way.position, Stream.DOWNLOAD, self._turn))
        return mean.astype(np.int64)

    def _break(self, way: _Way, after: I64, whole: I64) -> None:
        """The link drops: no attempt is used up, and the station tries again soon, from the first byte."""
        fault = fault_code(Fault.LINK_DROP)
        time = way.time + after
        shown = time <= self._rules.horizon_ms
        seen = way.part(shown)
        attempt = ATTEMPTS[seen.status]
        self._row(seen.who, time[shown], attempt, seen.status, seen.status, Cause.REPLY_BROKEN, fault)
        self._out.broken_bytes[way.who] += (self._rules.size_bytes * (after / np.maximum(whole, 1))).astype(np.int64)
        self._back(way, time + self._rules.resync_ms, _OLD, fault, surely=True, broken=True)

    def _install(self, way: _Way, takes: I64) -> None:
        """What the gateway does with an update that arrived whole."""
        rules, gateways = self._rules, self._gateways
        luck = draw(way.position, Stream.INSTALL, self._turn)
        bad = luck < rules.fails + (1 - rules.fails) * rules.conditions.power_cut
        if rules.some_refuse:
            bad |= gateways.refuses[way.who]
        arrived = way.time + takes
        regular = np.maximum(way.time + way.period, arrived)
        if bad.any():
            self._spoil(way.part(bad), luck[bad], arrived[bad], regular[bad])
        self._succeed(way, ~bad, arrived + rules.apply_ms, regular)

    def _spoil(self, way: _Way, luck: npt.NDArray[np.float64], arrived: I64, regular: I64) -> None:
        refused = self._gateways.refuses[way.who]
        script = ~refused & (luck < self._rules.fails)
        cut = ~(refused | script)
        self._back(way.part(refused), regular[refused], _OLD, fault_code(Fault.WRONG_KEY))
        self._back(way.part(script), regular[script], _OLD, fault_code(Fault.SCRIPT_FAILS))
        if cut.any():
            off = way.part(cut)
            conditions = self._rules.conditions
            spread = np.exp(ndtri(draw(off.position, Stream.REPAIR, self._turn)) * conditions.repair_sigma)
            repair = (spread * (conditions.repair_median_s * 1000.0)).astype(np.int64)
            self._back(off, arrived[cut] + repair, _OLD, fault_code(Fault.POWER_CUT), surely=True)

    def _succeed(self, way: _Way, good: Mask, restarted: I64, regular: I64) -> None:
        """The new firmware runs. Who restarts shows it at once; the others at their next regular poll."""
        gateways = self._gateways
        if self._rules.some_differ:
            differs = good & gateways.version_differs[way.who]
            restarts = gateways.restarts[way.who]
            back = np.where(restarts, restarted, regular)[differs]
            fault = fault_code(Fault.VERSION_MISMATCH)
            self._back(way.part(differs), back, _OTHER, fault, surely=restarts[differs])
            good &= ~differs
        if self._rules.some_wait:
            waits = good & ~gateways.restarts[way.who]
            self._back(way.part(waits), regular[waits], _NEW, None)
            good &= ~waits
        if self._rules.silence_ms != NEVER and self._turn:
            late = good & (way.status == _LAST) & (restarted - way.seen >= self._rules.silence_ms)
            if late.any():
                self._fall_silent(way, late)
                good &= ~late
        self._end(
            way.who[good],
            restarted[good],
            way.status[good],
            TaskEvent.TAKES_EFFECT,
            Cause.NEW_VERSION,
            way.fault[good] if self._turn else _NO_FAULT,
        )

    # --- what is written down ---

    def _back(
        self, way: _Way, time: I64, presents: int, fault: int | None, *, surely: Any = False, broken: bool = False
    ) -> None:
        """They come back at ``time``; ``surely``: that poll is not missed."""
        size = len(way.who)
        if not size:
            return
        way.time = time
        way.presents = np.full(size, presents, dtype=np.uint8)
        way.surely = np.broadcast_to(np.asarray(surely, dtype=np.bool_), (size,))
        way.broken = np.full(size, broken)
        if fault is not None:
            way.fault = np.full(size, fault, dtype=np.uint8)
            self._out.fault[way.who] = fault
        self._next.append(way)

    def _end(self, who: I64, time: I64, status: U8, event: TaskEvent, cause: Cause, fault: Any) -> None:
        """The tasks end, as far as this lies before the horizon."""
        if len(time) and time.max() > self._rules.horizon_ms:
            shown = time <= self._rules.horizon_ms
            who, time, status = who[shown], time[shown], status[shown]
            fault = fault[shown] if np.ndim(fault) else fault
        target = AFTER[event][status]
        self._out.status[who] = target
        self._out.ended[who] = time
        if self._recorder is not None:
            self._row(who, time, ATTEMPTS[status], status, target, cause, fault)

    def _row(self, who: I64, time: I64, attempt: Any, source: Any, target: Any, cause: Cause, fault: Any) -> None:
        if self._recorder is not None:
            self._recorder.add(who, time, attempt, source, target, cause_code(cause), fault)


def _join(ways: list[_Way]) -> _Way:
    ways = [way for way in ways if len(way.who)]
    if len(ways) == 1:
        return ways[0]
    if not ways:
        nobody: Any = np.empty(0, dtype=np.int64)
        return _Way(*([nobody] * len(fields(_Way))))
    return _Way(*(np.concatenate([getattr(way, f.name) for way in ways]) for f in fields(_Way)))
