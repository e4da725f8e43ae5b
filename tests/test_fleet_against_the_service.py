"""The simulator against the real thing: UpdateService and virtual gateways, in one time order, on a hand-turned clock.

What happens *to* a gateway is the event loop's (``fleet_twin``): when it is missed, what breaks its download, whose
power fails. What the server and the station *do* about it is done by the server and the station: which version is
presented, what is sent, what is refused, how long until the next poll, and every row of the log.
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
from fleet_twin import ENDED, Luck, Row, Task, Twin, ms

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
"""Larger than a station's buffer: in one piece no download could break off."""
OLD = GatewayVersion(station=STATION, model=MODEL, package="1.0.0")


class Source:
    def open(self, *_: Any, **__: Any) -> FakeImage:
        return FakeImage(IMAGE)


class Paused(threading.Thread):
    """A poll that stops in the middle of a download and goes on when it is told to."""

    def __init__(self, poll: Callable[[], ExchangeResult]) -> None:
        super().__init__(daemon=True)
        self._poll, self._go, self._stopped = poll, threading.Semaphore(0), threading.Semaphore(0)
        self.verdict: ExchangeResult | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        self._go.acquire()
        try:
            self.verdict = self._poll()
        except BaseException as error:
            self.error = error
        self._stopped.release()

    def go_on(self) -> None:
        """Returns at the next pause, or at the end."""
        if not self.is_alive():
            self.start()
        self._go.release()
        self._stopped.acquire()
        if self.error is not None:
            raise self.error

    def pause(self) -> None:
        self._stopped.release()
        self._go.acquire()


class PausingTransport:
    """In process, and before the first byte of a body with an update time passes."""

    def __init__(self, service: UpdateService) -> None:
        self._inner = InProcessTransport(service)
        self.poll: Paused | None = None

    @contextmanager
    def post(
        self, uri: str, body: bytes, timeout_s: float, credentials: Credentials, on_connected: Callable[[], None]
    ) -> Iterator[HttpReply]:
        with self._inner.post(uri, body, timeout_s, credentials, on_connected) as reply:
            yield replace(reply, body=self._later(reply.body)) if reply.content_length > len(IMAGE) else reply

    def _later(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        assert self.poll is not None
        self.poll.pause()
        yield from pieces


class RealRollout(Twin):
    """The event loop with a real server, and a real station behind each gateway."""

    def __init__(self, fleet: Fleet, plan: Plan, seed: int, folder: Path) -> None:
        super().__init__(fleet, plan, seed)
        self.clock = ManualClock()
        self.start_ms = self.clock.now_ms()
        silence = LONGEST_S if plan.silence_timeout_s == "never" else plan.silence_timeout_s
        self.service = UpdateService(source=Source(), clock=self.clock, policy=Policy(silence_timeout_s=silence))
        self.service.listeners.append(self.written)
        by_hand = bool(plan.waves or plan.rate or plan.random_delay_s)
        signed = sign_update(KEYS, IMAGE)
        self.definition = self.service.create_definition(
            OWNER,
            auto_create_tasks=not by_hand,
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
        self.stations = [self.station(task, folder) for task in self.tasks]

    def eui(self, task: Task) -> GatewayEui:
        return GatewayEui(0x0016C00100000000 + task.number)

    def station(self, task: Task, folder: Path) -> VirtualGateway:
        fleet, place = self.fleet, task.place
        home = write_home(
            folder / f"{task.number}",
            eui=self.eui(task),
            cups_uri="http://127.0.0.1:1",
            package=fleet.names["version"][fleet.version[place]],
            sig_keys=[KEYS.public_key],
            interval_s=fleet.period_ms[place] / 1000,
        )
        for spare in ("bak", "boot"):  # so that after an error of the server the next poll goes to the same place
            home.write(f"cups-{spare}.uri", "http://127.0.0.1:1")

        def run(home: Home, update_bin: Path) -> UpdateRun:
            done = install_only(home, update_bin)
            return UpdateRun(
                done.lines, restarts=bool(fleet.restarts[place]) and Fault.SCRIPT_FAILS not in station.faults_now
            )

        station = Station(home, self.transports[place], clock=self.clock, runner=run)
        if fleet.keyless[place]:
            station.inject(injection(Fault.NO_KEY))
        elif fleet.refuses[place]:
            station.inject(injection(Fault.WRONG_KEY))
        if task.number % 5 == 0 and not fleet.version_differs[place]:  # nothing that a rollout would see
            station.inject(injection(Fault.UPDATE_STAYS))
        return station

    def written(self, row: LogRow) -> None:
        task = self.by_eui[row.gateway]
        time = row.time - self.start_ms
        task.log.append((time, task.number, row.attempt, row.from_status, row.to_status, row.cause, ""))
        task.status = row.to_status
        if row.cause is Cause.OFFERED:
            task.offered_ms = time
        if row.to_status in ENDED and task.ended_ms is None:
            task.ended_ms = time
            self.ended(time)

    def run(self) -> RealRollout:
        super().run()
        self.turn_clock(self.horizon)
        assert self.service.log
        return self

    def turn_clock(self, time: int) -> None:
        self.clock.advance_to(self.start_ms + time)

    # --- what a rollout does at the server ---

    def verdict(self, gate: Any, tasks: list[Task]) -> str:
        self.turn_clock(int(self.env.now))
        assert self.service.log is not None  # whose silence has ended it by now
        return super().verdict(gate, tasks)

    def created(self, task: Task, opens: int) -> Iterator[Any]:
        yield self.until(opens)
        if self.stopped is not None:
            return
        self.turn_clock(opens)
        self.service.create_task(OWNER, self.ids[task.place], self.definition.id)
        yield self.env.process(self.gateway(task, opens))

    def stop(self, time: int) -> None:
        self.stopped = time
        self.turn_clock(time)
        self.service.delete_definition(OWNER, self.definition.id)
        for task in self.tasks:
            if task.status is TaskStatus.PENDING:
                self.service.delete_task(OWNER, self.ids[task.place])

    # --- a gateway ---

    def gateway(self, task: Task, opens: int | None) -> Iterator[Any]:
        fleet, place, conditions = self.fleet, task.place, self.conditions
        if fleet.gone[place]:
            return
        luck = Luck(self.seed, self.replication, task.number)
        network = self.groups[int(fleet.isp[place]) * len(fleet.names["region"]) + int(fleet.region[place])]
        period, time = int(fleet.period_ms[place]), int(fleet.phase_ms[place])
        while opens is not None and time < opens:
            time += period
        poll_certain, turn = False, -1
        while task.ended_ms is None:
            turn += 1
            if not poll_certain:
                time += period * luck.run(conditions.missed_poll, Stream.MISSED, turn)
            for share, stream, fault in (
                (conditions.unreached, Stream.UNREACHED, Fault.CONNECTION_REFUSED),
                (conditions.server_error, Stream.SERVER_ERROR, Fault.SERVER_ERROR),
            ):
                for _ in range(luck.run(share, stream, turn)):
                    time = yield from self.in_vain(task, time, fault)
            while network.down(time):
                time = yield from self.in_vain(task, time, Fault.OFFLINE)
            time, poll_certain = yield from self.exchange(task, luck, turn, time, network)
            if opens is None and self.stopped is not None and task.offered_ms is None:
                return

    def in_vain(self, task: Task, time: int, fault: Fault) -> Iterator[Any]:
        """A poll that does not reach the service, and when the station tries again."""
        yield self.until(time)
        self.turn_clock(time)
        station = self.stations[task.place]
        self.inject(station, fault)
        return time + ms(station.poll().wait_s)

    def exchange(self, task: Task, luck: Luck, turn: int, time: int, network: Any) -> Iterator[Any]:
        """One poll that does reach it; gives the time of the next, and whether that is sure."""
        station = self.stations[task.place]
        takes = self.download(task, luck, turn)
        lasts, fault = self.delivery(luck, turn, time, takes, network)
        if fault is Fault.NONE:
            fault = self.trouble(task, luck, turn)
        yield self.until(time)
        self.turn_clock(time)
        if luck.hits(self.conditions.storage_error, Stream.STORAGE, turn):
            self.inject(station, Fault.STORAGE_ERROR)
        if fault not in (Fault.NONE, Fault.NO_KEY, Fault.WRONG_KEY, Fault.UNSIGNED_WITH_KEY):
            self.inject(station, fault)
        poll = self.transports[task.place].poll = Paused(station.poll)
        poll.go_on()
        now = time
        if poll.verdict is None:
            now = time + lasts
            yield self.until(now)
            self.turn_clock(now)
            poll.go_on()
        assert poll.verdict is not None
        return self.next_poll(task, luck, turn, time, now, poll.verdict, fault)

    def inject(self, station: VirtualGateway, fault: Fault) -> None:
        self.injected[fault] += 1
        station.inject(injection(fault, self.service), polls=1)

    def next_poll(
        self, task: Task, luck: Luck, turn: int, time: int, now: int, verdict: ExchangeResult, fault: Fault
    ) -> tuple[int, bool]:
        """The station's own wait, from where the simulator counts it: a regular poll from the one before."""
        period = int(self.fleet.period_ms[task.place])
        if verdict.wait_s == FIRST_POLL_S and fault is Fault.POWER_CUT:
            return self.install(task, luck, turn, now, time + period)[0], True
        if verdict.wait_s == FIRST_POLL_S:
            return now + ms(self.update.apply_s), True
        if verdict.wait_s == self.conditions.resync_s:
            return now + self.resync, True
        assert verdict.wait_s == period / 1000
        return max(time + period, now), False


class Station(VirtualGateway):
    """Remembers which faults hold for the poll that is under way."""

    faults_now: tuple[Fault, ...] = ()

    def poll(self) -> ExchangeResult:
        self.faults_now = self.faults
        return super().poll()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Room for two thousand homes, in memory where there is some: on a disk they take minutes, mostly in fsync."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as path:
        yield Path(path)


def without_fault(rows: Iterator[Row] | list[Row]) -> list[Any]:
    return [row[:6] for row in rows]


def fleet_in_trouble(size: int, *, seed: int, **conditions: Any) -> Fleet:
    """Something of everything that can go wrong."""
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


def test_two_thousand_gateways_have_the_histories_that_the_service_writes(folder: Path) -> None:
    fleet = fleet_in_trouble(2000, seed=1)
    plan = Plan(update=Rollout(fails=0.15, current_version="1.0.0"), horizon_s=12 * DAY_S)
    real = RealRollout(fleet, plan, 7, folder).run()
    result = simulate(fleet, plan, seed=7)
    assert without_fault(result.events.iter_rows()) == without_fault(real.log)

    seen = Counter(row[5] for row in real.log)
    never = {Cause.CREATED_MANUALLY, Cause.DELETED, Cause.KEY_WITHHELD}
    assert set(seen) == set(Cause) - never, "each cause that such a rollout can have is in the log"
    at_the_gateway = {Fault.NO_KEY, Fault.WRONG_KEY, Fault.UPDATE_STAYS, Fault.UNSIGNED_WITH_KEY, Fault.NONE}
    assert set(real.injected) == set(Fault) - at_the_gateway, "and each fault that comes and goes was injected"


def test_an_unsigned_update_is_refused_by_every_gateway_that_has_a_key(folder: Path) -> None:
    fleet = fleet_in_trouble(150, seed=2)
    plan = Plan(update=Rollout(signed=False, current_version="1.0.0"), horizon_s=8 * DAY_S)
    real = RealRollout(fleet, plan, 8, folder).run()
    assert without_fault(simulate(fleet, plan, seed=8).events.iter_rows()) == without_fault(real.log)
    ended = {status: [t for t in real.tasks if t.status is status] for status in ENDED}
    assert ended[TaskStatus.FAILED]
    assert all(fleet.keyless[task.place] for task in ended[TaskStatus.COMPLETED])


def test_without_an_update_version_another_version_completes(folder: Path) -> None:
    fleet = fleet_in_trouble(150, seed=3)
    plan = Plan(update=Rollout(version_given=False, current_version="1.0.0"), horizon_s=8 * DAY_S)
    real = RealRollout(fleet, plan, 9, folder).run()
    assert without_fault(simulate(fleet, plan, seed=9).events.iter_rows()) == without_fault(real.log)


def test_waves_made_by_hand_with_gates_and_an_abort(folder: Path) -> None:
    """CreateWirelessGatewayTask for each gateway in its time, and DeleteWirelessGatewayTask after the abort."""
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
    assert without_fault(result.events.iter_rows()) == without_fault(real.log)
    assert real.stopped == int(result.stopped_ms[0])
    assert {Cause.CREATED_MANUALLY, Cause.DELETED} <= {row[5] for row in real.log}
