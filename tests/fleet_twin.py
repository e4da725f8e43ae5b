"""The specification of a rollout as an event loop to be read: one process for each gateway, one for the waves.

It shares nothing with the array machine but the draws (``uniform_scalar``, in plain integers) and the words of
``tasks.lifecycle``. Gateways act at whole milliseconds; whoever watches the rollout acts after all that happened in the
same millisecond: the abort criterion a quarter of it later, gates half of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import exp, log
from statistics import NormalDist
from typing import Any

import simpy
from scipy.special import betainc

from lorafw.faults import Fault
from lorafw.fleet import Fleet, Plan, Threshold, Wave
from lorafw.fleet.simulation.random_streams import Stream, uniform_scalar
from lorafw.tasks.lifecycle import ATTEMPT_BY_STATUS, Cause, TaskEvent, TaskStatus, next_status

DAY_MS = 86_400_000
SOON = 2.0**-10
"""Where a wave starts, ends and is judged in one millisecond: so much later, in ms, for what comes after."""
LAST = TaskStatus.SECOND_RETRY
ENDED = (TaskStatus.COMPLETED, TaskStatus.FAILED)
SOON_FAULTS = (Fault.NONE, Fault.VERSION_MISMATCH)

Row = tuple[int, int, int, TaskStatus | None, TaskStatus | None, Cause, str]


def ms(seconds: float) -> int:
    return round(seconds * 1000)


@dataclass
class Luck:
    """The draws of one gateway."""

    seed: int
    replication: int
    number: int

    def __call__(self, stream: Stream, turn: int = 0) -> float:
        return uniform_scalar(self.seed, self.replication, self.number, stream, turn)

    def hits(self, share: float, stream: Stream, turn: int) -> bool:
        return share > 0 and self(stream, turn) < share

    def run(self, share: float, stream: Stream, turn: int) -> int:
        """How many times in a row it goes wrong."""
        return int(log(self(stream, turn)) / log(share)) if self.hits(share, stream, turn) else 0


@dataclass
class Windows:
    """When the network of one (ISP, region) is down: [start, end), without overlap."""

    spans: list[tuple[int, int]]

    @classmethod
    def drawn(cls, fleet: Fleet, group: int, horizon_ms: int, seed: int, replication: int) -> Windows:
        conditions = fleet.conditions
        spans: list[tuple[int, int]] = []
        at, count = 0.0, 0
        while conditions.outages_per_day:
            luck = Luck(seed, replication, (group << 32) + count)
            at += -log(luck(Stream.OUTAGE)) * (DAY_MS / conditions.outages_per_day)
            start, count = int(at), count + 1
            if start >= horizon_ms:
                break
            spread = exp(NormalDist().inv_cdf(luck(Stream.OUTAGE_LENGTH)) * conditions.outage_sigma)
            end = start + max(1, int(spread * (conditions.outage_median_s * 1000)))
            if spans and start <= spans[-1][1]:
                spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
            else:
                spans.append((start, end))
        return cls(spans)

    def down(self, time: int) -> bool:
        return any(start <= time < end for start, end in self.spans)

    def next(self, time: int) -> int:
        return min((start for start, _ in self.spans if start >= time), default=10**18)


@dataclass
class Task:
    """A gateway's task, and what its gateway has been through. ``ended_ms`` None: it has not ended."""

    place: int
    number: int
    status: TaskStatus | None = None
    created_ms: int | None = None
    offered_ms: int | None = None
    ended_ms: int | None = None
    sends: int = 0
    fault: Fault = Fault.NONE
    log: list[Row] = field(default_factory=list)

    def row(self, time: int, attempt: int, to: TaskStatus | None, cause: Cause, fault: Fault) -> None:
        self.log.append((time, self.number, attempt, self.status, to, cause, fault.value))
        self.status = to

    def move(self, time: int, event: TaskEvent, cause: Cause, fault: Fault) -> None:
        assert self.status is not None
        after = next_status(self.status, event)
        attempt = ATTEMPT_BY_STATUS.get(after, ATTEMPT_BY_STATUS.get(self.status, 0))
        self.row(time, attempt, after, cause, fault)
        if after in ENDED:
            self.ended_ms = time

    def remark(self, time: int, cause: Cause, fault: Fault) -> None:
        assert self.status is not None
        self.row(time, ATTEMPT_BY_STATUS.get(self.status, 3), self.status, cause, fault)


class Twin:
    """One rollout. ``tasks`` afterwards hold what became of each gateway, ``waves`` (start, decided, verdict)."""

    def __init__(self, fleet: Fleet, plan: Plan, seed: int, replication: int = 0) -> None:
        self.fleet, self.plan, self.conditions, self.update = fleet, plan, fleet.conditions, plan.update
        self.seed, self.replication = seed, replication
        self.horizon = ms(plan.horizon_s)
        self.silence = None if plan.silence_timeout_s == "never" else ms(plan.silence_timeout_s)
        self.resync = ms(self.conditions.resync_s)
        regions = len(fleet.names["region"])
        self.groups = {
            group: Windows.drawn(fleet, group, self.horizon, seed, replication)
            for group in range(len(fleet.names["isp"]) * regions)
        }
        self.tasks = [Task(place, int(number)) for place, number in enumerate(fleet.number)]
        self.waves: list[tuple[int, int | None, str]] = []
        self.stopped: int | None = None
        self.env = simpy.Environment()

    def run(self) -> Twin:
        if not self.plan.waves and self.plan.rate is None and not self.plan.random_delay_s:
            for task in self.tasks:
                self.env.process(self.gateway(task, None))
        else:
            self.env.process(self.rollout())
        self.env.run(until=self.horizon + 1)
        return self

    @property
    def log(self) -> list[Row]:
        return [row for task in self.tasks for row in task.log]

    # --- the rollout ---

    def rollout(self) -> Iterator[Any]:
        lucks = [Luck(self.seed, self.replication, task.number) for task in self.tasks]
        order = list(range(len(self.tasks)))
        if self.plan.order == "random":
            order.sort(key=lambda place: lucks[place](Stream.ORDER))
        start, begin = 0, 0
        for wave, end in zip(self.plan.waves or (Wave(share=1.0),), self.plan.wave_ends(len(order)), strict=True):
            places = order[begin:end]
            opens = [start + after for after in self.pace(len(places))]
            if self.plan.random_delay_s:
                late = self.plan.random_delay_s * 1000
                opens = [at + int(lucks[place](Stream.DELAY) * late) for at, place in zip(opens, places, strict=True)]
            for place, at in zip(places, opens, strict=True):
                self.env.process(self.created(self.tasks[place], at))
            decided: int | None = yield from self.gate(wave, [self.tasks[place] for place in places], max(opens), start)
            if decided is None:
                return
            start, begin = decided, end

    def pace(self, size: int) -> Iterator[int]:
        rate, total, first = self.plan.rate, 0.0, None
        for count in range(size):
            if rate is None:
                yield 0
            elif rate.base_per_minute is None or rate.notified is None:
                yield int(count * (60_000 / rate.maximum_per_minute))
            else:
                faster = rate.base_per_minute * rate.increment_factor ** (count // rate.notified)
                gap = 60_000 / min(faster, rate.maximum_per_minute)
                first = gap if first is None else first
                total += gap
                yield int(total - first)

    def gate(self, wave: Wave, tasks: list[Task], opened: int, start: int) -> Iterator[Any]:
        """When the next wave starts; None where it never does."""
        record = len(self.waves)
        self.waves.append((start, None, "HOLD"))
        look, looks = opened + ms(wave.bake_s), 1
        while True:
            yield self.env.timeout(max(look + 0.5 - self.env.now, SOON))
            if self.stopped is not None:
                return None
            verdict = "GO" if wave.gate is None else self.verdict(wave.gate, tasks)
            if verdict == "HOLD" and looks == int(wave.give_up_s // wave.again_s) + 1:
                verdict = "ABORT"
            if verdict == "ABORT":
                self.waves[record] = (start, None, verdict)
                self.stop(look)
                return None
            if verdict == "GO":
                self.waves[record] = (start, look, verdict)
                return look
            look, looks = look + ms(wave.again_s), looks + 1

    def verdict(self, gate: Any, tasks: list[Task]) -> str:
        completed = sum(task.status is TaskStatus.COMPLETED for task in tasks)
        failed = sum(task.status is TaskStatus.FAILED for task in tasks)
        if isinstance(gate, Threshold):
            if failed / len(tasks) >= gate.error:
                return "ABORT"
            return "GO" if completed / len(tasks) >= gate.success else "HOLD"
        belief = gate.prior_failed + failed, gate.prior_completed + completed
        acceptable = float(betainc(*belief, gate.acceptable))
        if 1 - acceptable >= gate.abort:
            return "ABORT"
        return "GO" if acceptable >= gate.go else "HOLD"

    def ended(self, time: int) -> None:
        if self.plan.abort is not None:
            self.env.process(self.watch(time))

    def watch(self, time: int) -> Iterator[Any]:
        """Judge the criterion at every task that has ended, in the order of time and then of the fleet."""
        yield self.env.timeout(max(time + 0.25 - self.env.now, SOON / 4))
        if self.stopped is not None:
            return
        assert self.plan.abort is not None
        failed = 0
        ends = sorted((task.ended_ms, task.place, task) for task in self.tasks if task.ended_ms is not None)
        for executed, (_, _, task) in enumerate(ends, 1):
            failed += task.status is TaskStatus.FAILED
            if executed >= self.plan.abort.minimum_executed and failed / executed >= self.plan.abort.threshold:
                self.stop(time)
                return

    def stop(self, time: int) -> None:
        self.stopped = time
        for task in self.tasks:
            if task.status is TaskStatus.PENDING:
                task.row(time, 0, None, Cause.DELETED, Fault.NONE)

    # --- a gateway ---

    def created(self, task: Task, opens: int) -> Iterator[Any]:
        yield self.env.timeout(max(opens - self.env.now, 0))
        if self.stopped is not None:
            return
        task.created_ms = opens
        task.row(opens, 0, TaskStatus.PENDING, Cause.CREATED_MANUALLY, Fault.NONE)
        yield self.env.process(self.gateway(task, opens))

    def gateway(self, task: Task, opens: int | None) -> Iterator[Any]:
        fleet, place, conditions = self.fleet, task.place, self.conditions
        version = self.update.current_version
        if fleet.gone[place] or version not in (None, fleet.names["version"][fleet.version[place]]):
            return
        luck = Luck(self.seed, self.replication, task.number)
        period = int(fleet.period_ms[place])
        network = self.groups[int(fleet.isp[place]) * len(fleet.names["region"]) + int(fleet.region[place])]
        time = int(fleet.phase_ms[place])
        while opens is not None and time < opens:
            time += period
        shows, poll_certain, broken, turn, seen = "old", False, False, -1, 0
        while True:
            turn += 1
            due = time
            if not poll_certain:
                time += period * luck.run(conditions.missed_poll, Stream.MISSED, turn)
            time += self.resync * luck.run(conditions.unreached, Stream.UNREACHED, turn)
            time += self.resync * luck.run(conditions.server_error, Stream.SERVER_ERROR, turn)
            while network.down(time):
                time += self.resync
            behind = Fault.OFFLINE if self.silence and due - seen < self.silence else task.fault
            if (yield from self.silent(task, seen, time, behind)):
                return
            if task.offered_ms is None and self.stopped is not None:
                return
            if task.status is None:
                task.created_ms = time
                task.row(time, 0, TaskStatus.PENDING, Cause.CREATED_AUTOMATICALLY, Fault.NONE)
            seen, poll_certain = time, False

            if shows == "new" or (shows == "other" and not self.update.version_given):
                behind = task.fault if shows == "other" else Fault.NONE
                task.move(time, TaskEvent.TAKES_EFFECT, Cause.NEW_VERSION, behind)
                return self.ended(time)
            if shows == "other":
                task.move(time, TaskEvent.ATTEMPT_FAILED, Cause.OTHER_VERSION, task.fault)
                if task.status is TaskStatus.FAILED:
                    return self.ended(time)
                time += period
                continue
            if task.status is LAST and not broken:
                task.move(time, TaskEvent.ATTEMPT_FAILED, Cause.OLD_VERSION, task.fault)
                return self.ended(time)
            if luck.hits(conditions.storage_error, Stream.STORAGE, turn):
                task.remark(time, Cause.SOURCE_UNREADABLE, Fault.STORAGE_ERROR)
                time += period
                continue

            if task.status is TaskStatus.PENDING:
                task.offered_ms = time
                task.move(time, TaskEvent.OFFER, Cause.OFFERED, Fault.NONE)
            elif broken:
                task.remark(time, Cause.OFFERED_AGAIN, task.fault)
            else:
                task.move(time, TaskEvent.ATTEMPT_FAILED, Cause.OLD_VERSION, task.fault)

            takes = self.download(task, luck, turn)
            ends, why = self.delivery(luck, turn, time, takes, network)
            broken = why is not Fault.NONE
            if broken:
                task.fault = why
                over = yield from self.silent(task, seen, time + ends, why)
                yield self.until(time + ends)
                task.remark(time + ends, Cause.REPLY_BROKEN, why)
                if over:
                    return
                time, poll_certain = time + ends + self.resync, True
                continue
            arrived = time + takes
            trouble = self.trouble(task, luck, turn)
            over = yield from self.silent(task, seen, arrived, task.fault if trouble is Fault.NONE else trouble)
            yield self.until(arrived)
            task.sends += 1
            if over:
                return
            time, shows, poll_certain = self.install(task, luck, turn, arrived, max(time + period, arrived))

    def until(self, time: int) -> Any:
        return self.env.timeout(max(time - self.env.now, 0))

    def silent(self, task: Task, seen: int, time: int, fault: Fault) -> Iterator[Any]:
        """Wait until ``time``; True where silence has ended the task before, or at that very moment."""
        deadline = seen + self.silence if self.silence and task.status is LAST else None
        if deadline is None or time < deadline:
            yield self.until(time)
            return False
        yield self.until(deadline)
        task.move(deadline, TaskEvent.SILENCE, Cause.SILENCE, fault)
        self.ended(deadline)
        return True

    def download(self, task: Task, luck: Luck, turn: int) -> int:
        mean = self.update.size_bytes * 1000.0 / float(self.fleet.goodput_Bps[task.place])
        if self.conditions.download == "exponential":
            mean *= -log(luck(Stream.DOWNLOAD, turn))
        return int(mean)

    def delivery(self, luck: Luck, turn: int, time: int, takes: int, network: Windows) -> tuple[int, Fault]:
        """After how long the reply ends, and what has broken it off."""
        ends, why = takes, Fault.NONE
        if luck.hits(self.conditions.slow_link, Stream.STALL, turn):
            point = luck(Stream.STALL, turn) / self.conditions.slow_link
            ends, why = int(takes * point) + ms(self.conditions.conn_timeout_s), Fault.SLOW_LINK
        if self.conditions.link_drops_per_h:
            drop = int(log(luck(Stream.DROP, turn)) * (-3_600_000 / self.conditions.link_drops_per_h))
            if drop < ends:
                ends, why = drop, Fault.LINK_DROP
        if network.next(time) - time < ends:
            ends, why = network.next(time) - time, Fault.LINK_DROP
        return ends, why

    def trouble(self, task: Task, luck: Luck, turn: int) -> Fault:
        """The first thing that goes wrong with an update that has arrived."""
        fleet, place, conditions = self.fleet, task.place, self.conditions
        if luck.hits(conditions.truncated_body, Stream.TRUNCATE, turn):
            return Fault.TRUNCATED_BODY
        if self.update.signed and fleet.keyless[place]:
            return Fault.NO_KEY
        if self.update.signed and fleet.refuses[place]:
            return Fault.WRONG_KEY
        if not self.update.signed and not fleet.keyless[place]:
            return Fault.UNSIGNED_WITH_KEY
        for share, stream, fault in (
            (conditions.tmp_full, Stream.TMP, Fault.TMP_FULL),
            (conditions.power_cut, Stream.POWER, Fault.POWER_CUT),
            (self.update.fails, Stream.INSTALL, Fault.SCRIPT_FAILS),
        ):
            if luck.hits(share, stream, turn):
                return fault
        return Fault.VERSION_MISMATCH if fleet.version_differs[place] else Fault.NONE

    def install(self, task: Task, luck: Luck, turn: int, arrived: int, regular: int) -> tuple[int, str, bool]:
        """When the gateway comes back, what it presents, and whether that poll is sure."""
        fault = self.trouble(task, luck, turn)
        if fault is not Fault.NONE:
            task.fault = fault
        if fault is Fault.TRUNCATED_BODY:
            return arrived + self.resync, "old", True
        if fault is Fault.POWER_CUT:
            spread = exp(NormalDist().inv_cdf(luck(Stream.REPAIR, turn)) * self.conditions.repair_sigma)
            return arrived + int(spread * (self.conditions.repair_median_s * 1000)), "old", True
        if fault not in SOON_FAULTS:
            return regular, "old", False
        installed = arrived + ms(self.update.apply_s)
        shows = "new" if fault is Fault.NONE else "other"
        if self.fleet.restarts[task.place]:
            return installed, shows, True
        return max(regular, installed), shows, False
