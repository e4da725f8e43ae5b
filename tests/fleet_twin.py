"""A second simulator that serves as the specification: an event loop with a process for each gateway and one for waves.

It shares only the random numbers (``uniform_scalar``, in plain integers) and ``tasks.lifecycle`` with the simulator of
``lorafw.fleet``. Gateways act at whole milliseconds. The abort criterion and the gates are checked after everything
that happened in the same millisecond: the criterion a quarter of a millisecond later, and gates half a millisecond.
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
MIN_DELAY_MS = 2.0**-10
"""The delay of a check if its wave starts, ends and is checked in one millisecond, so that checks keep their order."""
LAST = TaskStatus.SECOND_RETRY
ENDED = (TaskStatus.COMPLETED, TaskStatus.FAILED)
INSTALLED = (Fault.NONE, Fault.VERSION_MISMATCH)
"""The faults after which the update is installed."""

Row = tuple[int, int, int, TaskStatus | None, TaskStatus | None, Cause, str]
"""A row of the log: time in ms, gateway, attempt, status before, status after, cause, fault."""


def ms(seconds: float) -> int:
    """Return a duration in whole milliseconds."""
    return round(seconds * 1000)


@dataclass
class GatewayRandom:
    """The random numbers of one gateway."""

    seed: int
    replication: int
    number: int

    def uniform(self, stream: Stream, step: int = 0) -> float:
        """Return the number of a stream at a step, between 0 and 1."""
        return uniform_scalar(self.seed, self.replication, self.number, stream, step)

    def happens(self, probability: float, stream: Stream, step: int) -> bool:
        """Return whether an event of this probability happens."""
        return probability > 0 and self.uniform(stream, step) < probability

    def failures_in_a_row(self, probability: float, stream: Stream, step: int) -> int:
        """Return how many times in a row an event of this probability happens."""
        if not self.happens(probability, stream, step):
            return 0
        return int(log(self.uniform(stream, step)) / log(probability))


@dataclass
class OutageWindows:
    """When the network of one (ISP, region) is down: intervals [start, end) in ms, sorted and without overlap."""

    windows: list[tuple[int, int]]

    @classmethod
    def draw(cls, fleet: Fleet, group: int, horizon_ms: int, seed: int, replication: int) -> OutageWindows:
        """Draw the outages of one network up to the horizon."""
        conditions = fleet.conditions
        windows: list[tuple[int, int]] = []
        exact_start_ms, count = 0.0, 0
        while conditions.outages_per_day:
            random = GatewayRandom(seed, replication, (group << 32) + count)
            count += 1
            exact_start_ms += -log(random.uniform(Stream.OUTAGE)) * (DAY_MS / conditions.outages_per_day)
            start = int(exact_start_ms)
            if start >= horizon_ms:
                break
            factor = exp(NormalDist().inv_cdf(random.uniform(Stream.OUTAGE_LENGTH)) * conditions.outage_sigma)
            end = start + max(1, int(factor * (conditions.outage_median_s * 1000)))
            if windows and start <= windows[-1][1]:
                windows[-1] = (windows[-1][0], max(end, windows[-1][1]))
            else:
                windows.append((start, end))
        return cls(windows)

    def is_down(self, time_ms: int) -> bool:
        """Return whether the network is down."""
        return any(start <= time_ms < end for start, end in self.windows)

    def next_start(self, time_ms: int) -> int:
        """Return when the next outage starts, at this time or later."""
        return min((start for start, _ in self.windows if start >= time_ms), default=10**18)


@dataclass
class Task:
    """A gateway's task and its log. Times are None if the event has not happened."""

    index: int
    """The index of the gateway in the fleet."""
    number: int
    """The number of the gateway."""
    status: TaskStatus | None = None
    created_ms: int | None = None
    offered_ms: int | None = None
    ended_ms: int | None = None
    sends: int = 0
    last_fault: Fault = Fault.NONE
    log: list[Row] = field(default_factory=list)

    def append_row(self, time_ms: int, attempt: int, new_status: TaskStatus | None, cause: Cause, fault: Fault) -> None:
        """Append a row to the log and set the status."""
        self.log.append((time_ms, self.number, attempt, self.status, new_status, cause, fault.value))
        self.status = new_status

    def apply_event(self, time_ms: int, event: TaskEvent, cause: Cause, fault: Fault) -> None:
        """Advance the task by one event."""
        assert self.status is not None
        new_status = next_status(self.status, event)
        attempt = ATTEMPT_BY_STATUS.get(new_status, ATTEMPT_BY_STATUS.get(self.status, 0))
        self.append_row(time_ms, attempt, new_status, cause, fault)
        if new_status in ENDED:
            self.ended_ms = time_ms

    def append_note(self, time_ms: int, cause: Cause, fault: Fault) -> None:
        """Append a row that changes no status."""
        assert self.status is not None
        self.append_row(time_ms, ATTEMPT_BY_STATUS.get(self.status, 3), self.status, cause, fault)


@dataclass
class Gateway:
    """The state of a gateway between two exchanges."""

    task: Task
    random: GatewayRandom
    outages: OutageWindows = field(default_factory=lambda: OutageWindows([]))
    period_ms: int = 0
    next_poll_ms: int = 0
    last_request_ms: int = 0
    step: int = -1
    presented: str = "old"
    """The version that it presents: "old", "new", or "other"."""
    poll_certain: bool = False
    """True if the next poll cannot be missed."""
    download_broken: bool = False
    """True if its last download broke off."""


class Twin:
    """One rollout. After ``run`` the attributes ``tasks``, ``waves`` and ``stopped_ms`` hold what happened."""

    def __init__(self, fleet: Fleet, plan: Plan, seed: int, replication: int = 0) -> None:
        self.fleet, self.plan, self.conditions, self.update = fleet, plan, fleet.conditions, plan.update
        self.seed, self.replication = seed, replication
        self.horizon_ms = ms(plan.horizon_s)
        self.silence_timeout_ms = None if plan.silence_timeout_s == "never" else ms(plan.silence_timeout_s)
        self.resync_ms = ms(self.conditions.resync_s)
        regions = len(fleet.names["region"])
        self.groups = {
            group: OutageWindows.draw(fleet, group, self.horizon_ms, seed, replication)
            for group in range(len(fleet.names["isp"]) * regions)
        }
        self.tasks = [Task(index, int(number)) for index, number in enumerate(fleet.number)]
        # For each wave its start, the time at which its gate let the next one start, and the decision.
        self.waves: list[tuple[int, int | None, str]] = []
        self.stopped_ms: int | None = None
        self.env = simpy.Environment()

    def run(self) -> Twin:
        """Simulate up to the horizon and return this object."""
        if not self.plan.waves and self.plan.rate is None and not self.plan.random_delay_s:
            for task in self.tasks:
                self.env.process(self.run_gateway(task, None))
        else:
            self.env.process(self.run_waves())
        self.env.run(until=self.horizon_ms + 1)
        return self

    @property
    def log(self) -> list[Row]:
        """The rows of all tasks, in gateway and time order."""
        return [row for task in self.tasks for row in task.log]

    # --- the rollout ---

    def run_waves(self) -> Iterator[Any]:
        """Create the tasks of each wave, and wait for its gate."""
        randoms = [GatewayRandom(self.seed, self.replication, task.number) for task in self.tasks]
        order = list(range(len(self.tasks)))
        if self.plan.order == "random":
            order.sort(key=lambda index: randoms[index].uniform(Stream.ORDER))
        waves = self.plan.waves or (Wave(share=1.0),)
        start_ms, wave_start = 0, 0
        for wave, wave_end in zip(waves, self.plan.wave_ends(len(order)), strict=True):
            tasks = [self.tasks[index] for index in order[wave_start:wave_end]]
            last_created_ms = start_ms
            for task, offset_ms in zip(tasks, self.creation_offsets_ms(len(tasks)), strict=True):
                created_ms = start_ms + offset_ms
                if self.plan.random_delay_s:
                    created_ms += int(randoms[task.index].uniform(Stream.DELAY) * (self.plan.random_delay_s * 1000))
                last_created_ms = max(last_created_ms, created_ms)
                self.env.process(self.start_task(task, created_ms))
            decided_ms: int | None = yield from self.wait_for_gate(wave, tasks, last_created_ms, start_ms)
            if decided_ms is None:
                return
            start_ms, wave_start = decided_ms, wave_end

    def creation_offsets_ms(self, size: int) -> Iterator[int]:
        """Yield how long after the start of a wave each of its tasks is created, without the random delay."""
        rate, total_ms, first_gap_ms = self.plan.rate, 0.0, None
        for count in range(size):
            if rate is None:
                yield 0
            elif rate.base_per_minute is None or rate.notified is None:
                yield int(count * (60_000 / rate.maximum_per_minute))
            else:
                growing_rate = rate.base_per_minute * rate.increment_factor ** (count // rate.notified)
                gap_ms = 60_000 / min(growing_rate, rate.maximum_per_minute)
                if first_gap_ms is None:
                    first_gap_ms = gap_ms
                total_ms += gap_ms
                yield int(total_ms - first_gap_ms)

    def wait_for_gate(self, wave: Wave, tasks: list[Task], last_created_ms: int, start_ms: int) -> Iterator[Any]:
        """Check the gate of a wave until it decides. Return when the next wave starts, or None if it never does."""
        record = len(self.waves)
        self.waves.append((start_ms, None, "HOLD"))
        check_ms, check_count = last_created_ms + ms(wave.bake_s), 1
        while True:
            yield self.env.timeout(max(check_ms + 0.5 - self.env.now, MIN_DELAY_MS))
            if self.stopped_ms is not None:
                return None
            decision = "GO" if wave.gate is None else self.decide(wave.gate, tasks)
            if decision == "HOLD" and check_count == int(wave.give_up_s // wave.again_s) + 1:
                decision = "ABORT"
            if decision == "ABORT":
                self.waves[record] = (start_ms, None, decision)
                self.stop(check_ms)
                return None
            if decision == "GO":
                self.waves[record] = (start_ms, check_ms, decision)
                return check_ms
            check_ms += ms(wave.again_s)
            check_count += 1

    def decide(self, gate: Any, tasks: list[Task]) -> str:
        """Return the decision of a gate."""
        completed = sum(task.status is TaskStatus.COMPLETED for task in tasks)
        failed = sum(task.status is TaskStatus.FAILED for task in tasks)
        if isinstance(gate, Threshold):
            if failed / len(tasks) >= gate.error:
                return "ABORT"
            return "GO" if completed / len(tasks) >= gate.success else "HOLD"
        posterior = gate.prior_failed + failed, gate.prior_completed + completed
        acceptable_probability = float(betainc(*posterior, gate.acceptable))
        if 1 - acceptable_probability >= gate.abort:
            return "ABORT"
        return "GO" if acceptable_probability >= gate.go else "HOLD"

    def on_end(self, time_ms: int) -> None:
        """Have the abort criterion checked, because a task has ended."""
        if self.plan.abort is not None:
            self.env.process(self.check_abort(time_ms))

    def check_abort(self, time_ms: int) -> Iterator[Any]:
        """Check the criterion after each task that has ended, in the order of time and then of the fleet."""
        yield self.env.timeout(max(time_ms + 0.25 - self.env.now, MIN_DELAY_MS / 4))
        if self.stopped_ms is not None:
            return
        assert self.plan.abort is not None
        failed = 0
        ended_tasks = sorted((task.ended_ms, task.index, task) for task in self.tasks if task.ended_ms is not None)
        for executed, (_, _, task) in enumerate(ended_tasks, 1):
            failed += task.status is TaskStatus.FAILED
            if executed >= self.plan.abort.minimum_executed and failed / executed >= self.plan.abort.threshold:
                self.stop(time_ms)
                return

    def stop(self, time_ms: int) -> None:
        """Stop the rollout, and delete the tasks that were not offered yet."""
        self.stopped_ms = time_ms
        for task in self.tasks:
            if task.status is TaskStatus.PENDING:
                task.append_row(time_ms, 0, None, Cause.DELETED, Fault.NONE)

    # --- a gateway ---

    def start_task(self, task: Task, created_ms: int) -> Iterator[Any]:
        """Create a task by hand, and run its gateway."""
        yield self.env.timeout(max(created_ms - self.env.now, 0))
        if self.stopped_ms is not None:
            return
        task.created_ms = created_ms
        task.append_row(created_ms, 0, TaskStatus.PENDING, Cause.CREATED_MANUALLY, Fault.NONE)
        yield self.env.process(self.run_gateway(task, created_ms))

    def run_gateway(self, task: Task, created_ms: int | None) -> Iterator[Any]:
        """Poll until the task has ended. The first request creates the task if ``created_ms`` is None."""
        fleet, index = self.fleet, task.index
        version = self.update.current_version
        if fleet.gone[index] or version not in (None, fleet.names["version"][fleet.version[index]]):
            return
        gateway = Gateway(task, GatewayRandom(self.seed, self.replication, task.number))
        gateway.period_ms = int(fleet.period_ms[index])
        gateway.outages = self.groups[int(fleet.isp[index]) * len(fleet.names["region"]) + int(fleet.region[index])]
        gateway.next_poll_ms = int(fleet.phase_ms[index])
        while created_ms is not None and gateway.next_poll_ms < created_ms:
            gateway.next_poll_ms += gateway.period_ms
        while True:
            gateway.step += 1
            scheduled_ms = gateway.next_poll_ms
            time_ms = self.exchange_ms(gateway)
            silence_fault = task.last_fault
            if self.silence_timeout_ms and scheduled_ms - gateway.last_request_ms < self.silence_timeout_ms:
                silence_fault = Fault.OFFLINE
            if (yield from self.times_out(gateway, time_ms, silence_fault)):
                return
            if task.offered_ms is None and self.stopped_ms is not None:
                return
            is_over = yield from self.run_exchange(gateway, time_ms)
            if is_over:
                return

    def exchange_ms(self, gateway: Gateway) -> int:
        """Return when the next poll reaches the service."""
        random, conditions, step = gateway.random, self.conditions, gateway.step
        time_ms = gateway.next_poll_ms
        if not gateway.poll_certain:
            time_ms += gateway.period_ms * random.failures_in_a_row(conditions.missed_poll, Stream.MISSED, step)
        time_ms += self.resync_ms * random.failures_in_a_row(conditions.unreached, Stream.UNREACHED, step)
        time_ms += self.resync_ms * random.failures_in_a_row(conditions.server_error, Stream.SERVER_ERROR, step)
        while gateway.outages.is_down(time_ms):
            time_ms += self.resync_ms
        return time_ms

    def run_exchange(self, gateway: Gateway, time_ms: int) -> Iterator[Any]:
        """Make one exchange with the service. Return whether the gateway is done."""
        task = gateway.task
        if task.status is None:
            task.created_ms = time_ms
            task.append_row(time_ms, 0, TaskStatus.PENDING, Cause.CREATED_AUTOMATICALLY, Fault.NONE)
        gateway.last_request_ms = time_ms
        gateway.poll_certain = False
        self.evaluate_version(gateway, time_ms)
        if task.ended_ms is not None:
            self.on_end(time_ms)
            return True
        gateway.next_poll_ms = time_ms + gateway.period_ms
        if gateway.presented == "other":
            return False
        if gateway.random.happens(self.conditions.storage_error, Stream.STORAGE, gateway.step):
            task.append_note(time_ms, Cause.SOURCE_UNREADABLE, Fault.STORAGE_ERROR)
            return False
        self.offer(gateway, time_ms)
        is_over: bool = yield from self.send(gateway, time_ms)
        return is_over

    def evaluate_version(self, gateway: Gateway, time_ms: int) -> None:
        """Advance the task by the version that the gateway presents."""
        task, presented = gateway.task, gateway.presented
        if presented == "new" or (presented == "other" and not self.update.version_given):
            fault = task.last_fault if presented == "other" else Fault.NONE
            task.apply_event(time_ms, TaskEvent.TAKES_EFFECT, Cause.NEW_VERSION, fault)
        elif presented == "other":
            task.apply_event(time_ms, TaskEvent.ATTEMPT_FAILED, Cause.OTHER_VERSION, task.last_fault)
        elif task.status is LAST and not gateway.download_broken:
            task.apply_event(time_ms, TaskEvent.ATTEMPT_FAILED, Cause.OLD_VERSION, task.last_fault)

    def offer(self, gateway: Gateway, time_ms: int) -> None:
        """Offer the update to a gateway with the old version."""
        task = gateway.task
        if task.status is TaskStatus.PENDING:
            task.offered_ms = time_ms
            task.apply_event(time_ms, TaskEvent.OFFER, Cause.OFFERED, Fault.NONE)
        elif gateway.download_broken:
            task.append_note(time_ms, Cause.OFFERED_AGAIN, task.last_fault)
        else:
            task.apply_event(time_ms, TaskEvent.ATTEMPT_FAILED, Cause.OLD_VERSION, task.last_fault)

    def send(self, gateway: Gateway, time_ms: int) -> Iterator[Any]:
        """Send the update, and schedule the next poll. Return whether silence has ended the task."""
        task, random, step = gateway.task, gateway.random, gateway.step
        duration_ms = self.download_ms(task, random, step)
        after_ms, break_fault = self.reply_end(random, step, time_ms, duration_ms, gateway.outages)
        end_ms = time_ms + after_ms
        gateway.download_broken = break_fault is not Fault.NONE
        if gateway.download_broken:
            task.last_fault = break_fault
            timed_out = yield from self.times_out(gateway, end_ms, break_fault)
            yield self.wait_until(end_ms)
            task.append_note(end_ms, Cause.REPLY_BROKEN, break_fault)
            gateway.next_poll_ms, gateway.poll_certain = end_ms + self.resync_ms, True
            return timed_out
        install_fault = self.install_fault(task, random, step)
        silence_fault = task.last_fault if install_fault is Fault.NONE else install_fault
        timed_out = yield from self.times_out(gateway, end_ms, silence_fault)
        yield self.wait_until(end_ms)
        task.sends += 1
        if not timed_out:
            regular_ms = max(time_ms + gateway.period_ms, end_ms)
            next_poll = self.install(task, random, step, end_ms, regular_ms)
            gateway.next_poll_ms, gateway.presented, gateway.poll_certain = next_poll
        return timed_out

    def wait_until(self, time_ms: int) -> Any:
        """Return the event of a time."""
        return self.env.timeout(max(time_ms - self.env.now, 0))

    def times_out(self, gateway: Gateway, time_ms: int, fault: Fault) -> Iterator[Any]:
        """Wait until a time, or until silence ends the task before it or just then. Return whether it did."""
        task = gateway.task
        if self.silence_timeout_ms is None or task.status is not LAST:
            yield self.wait_until(time_ms)
            return False
        deadline_ms = gateway.last_request_ms + self.silence_timeout_ms
        if time_ms < deadline_ms:
            yield self.wait_until(time_ms)
            return False
        yield self.wait_until(deadline_ms)
        task.apply_event(deadline_ms, TaskEvent.SILENCE, Cause.SILENCE, fault)
        self.on_end(deadline_ms)
        return True

    def download_ms(self, task: Task, random: GatewayRandom, step: int) -> int:
        """Return how long a whole download takes."""
        mean_ms = self.update.size_bytes * 1000.0 / float(self.fleet.goodput_Bps[task.index])
        if self.conditions.download == "exponential":
            mean_ms *= -log(random.uniform(Stream.DOWNLOAD, step))
        return int(mean_ms)

    def reply_end(
        self, random: GatewayRandom, step: int, time_ms: int, duration_ms: int, outages: OutageWindows
    ) -> tuple[int, Fault]:
        """Return after how long the reply ends, and what has broken it off."""
        conditions = self.conditions
        end_ms, fault = duration_ms, Fault.NONE
        if random.happens(conditions.slow_link, Stream.STALL, step):
            stall_point = random.uniform(Stream.STALL, step) / conditions.slow_link
            end_ms, fault = int(duration_ms * stall_point) + ms(conditions.conn_timeout_s), Fault.SLOW_LINK
        if conditions.link_drops_per_h:
            drop_ms = int(log(random.uniform(Stream.DROP, step)) * (-3_600_000 / conditions.link_drops_per_h))
            if drop_ms < end_ms:
                end_ms, fault = drop_ms, Fault.LINK_DROP
        outage_ms = outages.next_start(time_ms) - time_ms
        if outage_ms < end_ms:
            end_ms, fault = outage_ms, Fault.LINK_DROP
        return end_ms, fault

    def install_fault(self, task: Task, random: GatewayRandom, step: int) -> Fault:
        """Return the first fault of an update that was delivered whole, or NONE."""
        fleet, index, conditions = self.fleet, task.index, self.conditions
        if random.happens(conditions.truncated_body, Stream.TRUNCATE, step):
            return Fault.TRUNCATED_BODY
        if self.update.signed and fleet.keyless[index]:
            return Fault.NO_KEY
        if self.update.signed and fleet.refuses[index]:
            return Fault.WRONG_KEY
        if not self.update.signed and not fleet.keyless[index]:
            return Fault.UNSIGNED_WITH_KEY
        for probability, stream, fault in (
            (conditions.tmp_full, Stream.TMP, Fault.TMP_FULL),
            (conditions.power_cut, Stream.POWER, Fault.POWER_CUT),
            (self.update.fails, Stream.INSTALL, Fault.SCRIPT_FAILS),
        ):
            if random.happens(probability, stream, step):
                return fault
        return Fault.VERSION_MISMATCH if fleet.version_differs[index] else Fault.NONE

    def install(
        self, task: Task, random: GatewayRandom, step: int, delivered_ms: int, regular_ms: int
    ) -> tuple[int, str, bool]:
        """Return when the gateway polls again, the version it presents, and whether that poll is certain."""
        fault = self.install_fault(task, random, step)
        if fault is not Fault.NONE:
            task.last_fault = fault
        if fault is Fault.TRUNCATED_BODY:
            return delivered_ms + self.resync_ms, "old", True
        if fault is Fault.POWER_CUT:
            factor = exp(NormalDist().inv_cdf(random.uniform(Stream.REPAIR, step)) * self.conditions.repair_sigma)
            return delivered_ms + int(factor * (self.conditions.repair_median_s * 1000)), "old", True
        if fault not in INSTALLED:
            return regular_ms, "old", False
        installed_ms = delivered_ms + ms(self.update.apply_s)
        presented = "new" if fault is Fault.NONE else "other"
        if self.fleet.restarts[task.index]:
            return installed_ms, presented, True
        return max(regular_ms, installed_ms), presented, False
