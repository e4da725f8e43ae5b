"""The simulator, compared with UpdateService and virtual gateways on a manual clock.

The event loop of ``fleet_twin`` decides what happens to a gateway: which poll is missed, what breaks its download, when
its power fails. The server and the stations decide everything else: which version is presented, what is sent, what is
refused, how long until the next poll, and every row of the log.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import OWNER, FakeImage
from fleet_twin import ENDED, GatewayRandom, Row, Task, Twin, ms

from lorafw.clock import ManualClock
from lorafw.cups.credentials import Credentials
from lorafw.eui import GatewayEui
from lorafw.faults import Fault
from lorafw.firmware.image import build_image
from lorafw.firmware.signing import KeyPair, sign_update
from lorafw.fleet import Abort, Conditions, Fleet, Plan, Rate, Threshold, Wave, make_fleet, simulate
from lorafw.fleet import Update as Rollout
from lorafw.fleet.simulation.random_streams import Stream
from lorafw.gateway.faults import injection
from lorafw.gateway.home import Home
from lorafw.gateway.provisioning import write_home
from lorafw.gateway.runner import install_only
from lorafw.gateway.storage import UpdateRun
from lorafw.gateway.transport import InProcessTransport
from lorafw.gateway.virtual import FIRST_POLL_S, MODEL, STATION, VirtualGateway
from lorafw.station.exchange import ExchangeResult
from lorafw.station.http import HttpReply
from lorafw.tasks.lifecycle import Cause, LogRow, TaskStatus
from lorafw.tasks.model import UpdateSpec
from lorafw.tasks.policy import LONGEST_S, Policy
from lorafw.tasks.service import UpdateService
from lorafw.version import GatewayVersion

HOUR_MS, DAY_S = 3_600_000, 86_400.0
KEYS = KeyPair.from_secret(0x10AF)
IMAGE = build_image(package_version="1.0.1", files={"padding": bytes(range(256)) * 40})
"""Larger than a station's buffer. A download in one piece could not break off."""
OLD = GatewayVersion(station=STATION, model=MODEL, package="1.0.0")


class ImageSource:
    """A source that always has the image."""

    def open(self, *_: Any, **__: Any) -> FakeImage:
        return FakeImage(IMAGE)


class PausedPoll(threading.Thread):
    """A poll in a thread that stops in the middle of a download and goes on when ``go_on`` is called."""

    def __init__(self, poll: Callable[[], ExchangeResult]) -> None:
        super().__init__(daemon=True)
        self._poll, self._go, self._stopped = poll, threading.Semaphore(0), threading.Semaphore(0)
        self.result: ExchangeResult | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        self._go.acquire()
        try:
            self.result = self._poll()
        except BaseException as error:
            self.error = error
        self._stopped.release()

    def go_on(self) -> None:
        """Let the poll run to its next pause or to its end, and wait for that."""
        if not self.is_alive():
            self.start()
        self._go.release()
        self._stopped.acquire()
        if self.error is not None:
            raise self.error

    def pause(self) -> None:
        """Stop the thread of the poll until ``go_on`` is called. The poll calls this itself."""
        self._stopped.release()
        self._go.acquire()


class PausingTransport:
    """Calls the service in this process, and pauses the poll before the first byte of an update."""

    def __init__(self, service: UpdateService) -> None:
        self._inner = InProcessTransport(service)
        self.poll: PausedPoll | None = None

    @contextmanager
    def post(
        self, uri: str, body: bytes, timeout_s: float, credentials: Credentials, on_connected: Callable[[], None]
    ) -> Iterator[HttpReply]:
        with self._inner.post(uri, body, timeout_s, credentials, on_connected) as reply:
            has_update = reply.content_length > len(IMAGE)
            yield replace(reply, body=self._pause_before(reply.body)) if has_update else reply

    def _pause_before(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        assert self.poll is not None
        self.poll.pause()
        yield from pieces


class RealRollout(Twin):
    """The event loop with the real server, and a virtual gateway for each gateway."""

    def __init__(self, fleet: Fleet, plan: Plan, seed: int, folder: Path) -> None:
        super().__init__(fleet, plan, seed)
        self.clock = ManualClock()
        self.start_ms = self.clock.now_ms()
        silence = LONGEST_S if plan.silence_timeout_s == "never" else plan.silence_timeout_s
        self.service = UpdateService(source=ImageSource(), clock=self.clock, policy=Policy(silence_timeout_s=silence))
        self.service.listeners.append(self.on_log_row)
        is_manual = bool(plan.waves or plan.rate or plan.random_delay_s)
        signed = sign_update(KEYS, IMAGE)
        self.definition = self.service.create_definition(
            OWNER,
            auto_create_tasks=not is_manual,
            update=UpdateSpec(
                data_source="s3://firmware/1.0.1",
                signature=signed.signature if plan.update.signed else b"",
                sig_key_crc=signed.key_crc if plan.update.signed else None,
                current_version=OLD,
                update_version=replace(OLD, package="1.0.1") if plan.update.version_given else None,
            ),
        )
        self.injected: Counter[Fault] = Counter()
        self.by_eui = {self.eui(task).hex: task for task in self.tasks}
        self.ids = [self.service.create_gateway(OWNER, self.eui(task)).id for task in self.tasks]
        self.transports = [PausingTransport(self.service) for _ in self.tasks]
        self.stations = [self.make_station(task, folder) for task in self.tasks]

    def eui(self, task: Task) -> GatewayEui:
        """Return the EUI of a gateway."""
        return GatewayEui(0x0016C00100000000 + task.number)

    def make_station(self, task: Task, folder: Path) -> VirtualGateway:
        """Make the virtual gateway of a task, with the faults that it has from the start."""
        fleet, index = self.fleet, task.index
        home = write_home(
            folder / f"{task.number}",
            eui=self.eui(task),
            cups_uri="http://127.0.0.1:1",
            package=fleet.names["version"][fleet.version[index]],
            sig_keys=[KEYS.public_key],
            interval_s=fleet.period_ms[index] / 1000,
        )
        # With equal URIs the poll after a server error goes to the same server.
        for name in ("bak", "boot"):
            home.write(f"cups-{name}.uri", "http://127.0.0.1:1")

        def run(home: Home, update_bin: Path) -> UpdateRun:
            installed = install_only(home, update_bin)
            return UpdateRun(
                installed.lines, restarts=bool(fleet.restarts[index]) and Fault.SCRIPT_FAILS not in station.faults_now
            )

        station = Station(home, self.transports[index], clock=self.clock, runner=run)
        if fleet.keyless[index]:
            station.inject(injection(Fault.NO_KEY))
        elif fleet.refuses[index]:
            station.inject(injection(Fault.WRONG_KEY))
        # This fault changes nothing that a rollout shows.
        if task.number % 5 == 0 and not fleet.version_differs[index]:
            station.inject(injection(Fault.UPDATE_STAYS))
        return station

    def on_log_row(self, row: LogRow) -> None:
        """Take a row of the service's log over into the task."""
        task = self.by_eui[row.gateway]
        time_ms = row.time - self.start_ms
        task.log.append((time_ms, task.number, row.attempt, row.from_status, row.to_status, row.cause, ""))
        task.status = row.to_status
        if row.cause is Cause.OFFERED:
            task.offered_ms = time_ms
        if row.to_status in ENDED and task.ended_ms is None:
            task.ended_ms = time_ms
            self.on_end(time_ms)

    def run(self) -> RealRollout:
        super().run()
        self.turn_clock(self.horizon_ms)
        assert self.service.log
        return self

    def turn_clock(self, time_ms: int) -> None:
        """Advance the clock of the service."""
        self.clock.advance_to(self.start_ms + time_ms)

    # --- what a rollout does at the server ---

    def decide(self, gate: Any, tasks: list[Task]) -> str:
        self.turn_clock(int(self.env.now))
        # To read the log ends the tasks of gateways that have been silent for too long.
        assert self.service.log is not None
        return super().decide(gate, tasks)

    def start_task(self, task: Task, created_ms: int) -> Iterator[Any]:
        yield self.wait_until(created_ms)
        if self.stopped_ms is not None:
            return
        self.turn_clock(created_ms)
        self.service.create_task(OWNER, self.ids[task.index], self.definition.id)
        yield self.env.process(self.run_gateway(task, created_ms))

    def stop(self, time_ms: int) -> None:
        self.stopped_ms = time_ms
        self.turn_clock(time_ms)
        self.service.delete_definition(OWNER, self.definition.id)
        for task in self.tasks:
            if task.status is TaskStatus.PENDING:
                self.service.delete_task(OWNER, self.ids[task.index])

    # --- a gateway ---

    def run_gateway(self, task: Task, created_ms: int | None) -> Iterator[Any]:
        fleet, index, conditions = self.fleet, task.index, self.conditions
        if fleet.gone[index]:
            return
        random = GatewayRandom(self.seed, self.replication, task.number)
        outages = self.groups[int(fleet.isp[index]) * len(fleet.names["region"]) + int(fleet.region[index])]
        period_ms, time_ms = int(fleet.period_ms[index]), int(fleet.phase_ms[index])
        while created_ms is not None and time_ms < created_ms:
            time_ms += period_ms
        poll_certain, step = False, -1
        while task.ended_ms is None:
            step += 1
            if not poll_certain:
                time_ms += period_ms * random.failures_in_a_row(conditions.missed_poll, Stream.MISSED, step)
            for probability, stream, fault in (
                (conditions.unreached, Stream.UNREACHED, Fault.CONNECTION_REFUSED),
                (conditions.server_error, Stream.SERVER_ERROR, Fault.SERVER_ERROR),
            ):
                for _ in range(random.failures_in_a_row(probability, stream, step)):
                    time_ms = yield from self.failed_poll(task, time_ms, fault)
            while outages.is_down(time_ms):
                time_ms = yield from self.failed_poll(task, time_ms, Fault.OFFLINE)
            time_ms, poll_certain = yield from self.exchange(task, random, step, time_ms, outages)
            if created_ms is None and self.stopped_ms is not None and task.offered_ms is None:
                return

    def failed_poll(self, task: Task, time_ms: int, fault: Fault) -> Iterator[Any]:
        """Make a poll that does not reach the service, and return when the station tries again."""
        yield self.wait_until(time_ms)
        self.turn_clock(time_ms)
        station = self.stations[task.index]
        self.inject(station, fault)
        return time_ms + ms(station.poll().wait_s)

    def exchange(self, task: Task, random: GatewayRandom, step: int, time_ms: int, outages: Any) -> Iterator[Any]:
        """Make a poll that reaches the service. Return the time of the next one, and whether that is certain."""
        station = self.stations[task.index]
        duration_ms = self.download_ms(task, random, step)
        end_ms, fault = self.reply_end(random, step, time_ms, duration_ms, outages)
        if fault is Fault.NONE:
            fault = self.install_fault(task, random, step)
        yield self.wait_until(time_ms)
        self.turn_clock(time_ms)
        if random.happens(self.conditions.storage_error, Stream.STORAGE, step):
            self.inject(station, Fault.STORAGE_ERROR)
        if fault not in (Fault.NONE, Fault.NO_KEY, Fault.WRONG_KEY, Fault.UNSIGNED_WITH_KEY):
            self.inject(station, fault)
        poll = self.transports[task.index].poll = PausedPoll(station.poll)
        poll.go_on()
        now_ms = time_ms
        if poll.result is None:
            now_ms = time_ms + end_ms
            yield self.wait_until(now_ms)
            self.turn_clock(now_ms)
            poll.go_on()
        assert poll.result is not None
        return self.next_poll(task, random, step, time_ms, now_ms, poll.result, fault)

    def inject(self, station: VirtualGateway, fault: Fault) -> None:
        """Inject a fault into the next poll of a station, and count it."""
        self.injected[fault] += 1
        station.inject(injection(fault, self.service), polls=1)

    def next_poll(
        self,
        task: Task,
        random: GatewayRandom,
        step: int,
        time_ms: int,
        now_ms: int,
        result: ExchangeResult,
        fault: Fault,
    ) -> tuple[int, bool]:
        """Return the time of the next poll from the station's own wait, and whether the poll is certain.

        The simulator counts the wait for a regular poll from the previous poll.
        """
        period_ms = int(self.fleet.period_ms[task.index])
        if result.wait_s == FIRST_POLL_S and fault is Fault.POWER_CUT:
            return self.install(task, random, step, now_ms, time_ms + period_ms)[0], True
        if result.wait_s == FIRST_POLL_S:
            return now_ms + ms(self.update.apply_s), True
        if result.wait_s == self.conditions.resync_s:
            return now_ms + self.resync_ms, True
        assert result.wait_s == period_ms / 1000
        return max(time_ms + period_ms, now_ms), False


class Station(VirtualGateway):
    """A virtual gateway that keeps the faults of the current poll."""

    faults_now: tuple[Fault, ...] = ()

    def poll(self) -> ExchangeResult:
        self.faults_now = self.faults
        return super().poll()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for two thousand home folders, in memory if possible. On a disk they take minutes, mostly in fsync."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as path:
        yield Path(path)


def without_faults(rows: Iterator[Row] | list[Row]) -> list[Any]:
    """Return the rows without their last field, the fault, which the service does not know."""
    return [row[:6] for row in rows]


def fleet_in_trouble(size: int, *, seed: int, **conditions: Any) -> Fleet:
    """Return a fleet in which everything can go wrong."""
    rng = np.random.default_rng(seed)
    return make_fleet(
        size,
        phase_ms=rng.integers(0, 24 * HOUR_MS, size),
        period_ms=rng.choice([24 * HOUR_MS, 24 * HOUR_MS, 6 * HOUR_MS], size),
        goodput_Bps=rng.choice([1e4, 1e5, 1e6], size),
        region=rng.integers(0, 2, size),
        isp=rng.integers(0, 2, size),
        version=rng.random(size) < 0.05,
        gone=rng.random(size) < 0.02,
        refuses=rng.random(size) < 0.04,
        keyless=rng.random(size) < 0.04,
        restarts=rng.random(size) < 0.8,
        version_differs=rng.random(size) < 0.04,
        names={"region": ("r0", "r1"), "isp": ("i0", "i1"), "version": ("1.0.0", "0.9.0")},
        conditions=Conditions(
            missed_poll=0.1,
            unreached=0.03,
            server_error=0.03,
            storage_error=0.04,
            link_drops_per_h=2.0,
            slow_link=0.04,
            truncated_body=0.05,
            tmp_full=0.05,
            power_cut=0.05,
            repair_median_s=6 * 3600.0,
            outages_per_day=0.05,
            outage_median_s=600.0,
            **conditions,
        ),
    )


@pytest.mark.parametrize("gateways", [500, pytest.param(2000, marks=pytest.mark.slow)])
def test_a_fleet_with_every_fault_has_the_histories_that_the_service_writes(folder: Path, gateways: int) -> None:
    fleet = fleet_in_trouble(gateways, seed=1)
    plan = Plan(update=Rollout(fails=0.15, current_version="1.0.0"), horizon_s=12 * DAY_S)
    real = RealRollout(fleet, plan, 7, folder).run()
    result = simulate(fleet, plan, seed=7)
    assert without_faults(result.events.iter_rows()) == without_faults(real.log)

    causes = {row[5] for row in real.log}
    impossible = {Cause.CREATED_MANUALLY, Cause.DELETED, Cause.KEY_WITHHELD}
    assert causes == set(Cause) - impossible, "each cause that such a rollout can have is in the log"
    permanent = {Fault.NO_KEY, Fault.WRONG_KEY, Fault.UPDATE_STAYS, Fault.UNSIGNED_WITH_KEY, Fault.NONE}
    assert set(real.injected) == set(Fault) - permanent, "and each temporary fault was injected"


def test_an_unsigned_update_is_refused_by_every_gateway_that_has_a_key(folder: Path) -> None:
    fleet = fleet_in_trouble(150, seed=2)
    plan = Plan(update=Rollout(signed=False, current_version="1.0.0"), horizon_s=8 * DAY_S)
    real = RealRollout(fleet, plan, 8, folder).run()
    assert without_faults(simulate(fleet, plan, seed=8).events.iter_rows()) == without_faults(real.log)
    assert any(task.status is TaskStatus.FAILED for task in real.tasks)
    assert all(fleet.keyless[task.index] for task in real.tasks if task.status is TaskStatus.COMPLETED)


def test_without_an_update_version_another_version_completes(folder: Path) -> None:
    fleet = fleet_in_trouble(150, seed=3)
    plan = Plan(update=Rollout(version_given=False, current_version="1.0.0"), horizon_s=8 * DAY_S)
    real = RealRollout(fleet, plan, 9, folder).run()
    assert without_faults(simulate(fleet, plan, seed=9).events.iter_rows()) == without_faults(real.log)


def test_waves_with_gates_and_an_abort_have_the_histories_that_the_service_writes(folder: Path) -> None:
    """CreateWirelessGatewayTask is called for each gateway, and DeleteWirelessGatewayTask after the abort."""
    fleet = fleet_in_trouble(300, seed=4)
    gate = Threshold(success=0.3, error=0.5)
    plan = Plan(
        update=Rollout(fails=0.3, current_version="1.0.0"),
        waves=(Wave(share=0.2, bake_s=DAY_S, gate=gate), Wave(share=0.4, bake_s=DAY_S, gate=gate), Wave(share=0.4)),
        rate=Rate(maximum_per_minute=2),
        abort=Abort(threshold=0.12, minimum_executed=100),
        random_delay_s=3600,
        silence_timeout_s="never",
        horizon_s=14 * DAY_S,
    )
    real = RealRollout(fleet, plan, 5, folder).run()
    result = simulate(fleet, plan, seed=5)
    assert without_faults(result.events.iter_rows()) == without_faults(real.log)
    assert real.stopped_ms == int(result.stopped_ms[0])
    assert {Cause.CREATED_MANUALLY, Cause.DELETED} <= {row[5] for row in real.log}
