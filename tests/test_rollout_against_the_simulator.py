"""The simulator and ``apply`` on a testbed with a manual clock write the same task log for a plan.

The testbed's stations, its CUPS server and its API decide what happens to a task. ``apply`` only sees what boto3
returns. The waves start when the gates of the simulator let them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from rollout_example import make_definition

from lorafw import example
from lorafw.fleet import Fleet, Plan, Rate, Threshold, Update, Wave, make_fleet, simulate
from lorafw.gateway.virtual import FIRST_POLL_S
from lorafw.rollout import SimulatedTime, StateName, apply, connect_clients, describe_state, make_plan
from lorafw.rollout.application import read_journal
from lorafw.rollout.journal import open_journal
from lorafw.rollout.report import format_report, report_document
from lorafw.rollout.saved_plan import SavedPlan, read_plan, write_plan
from lorafw.tasks.lifecycle import TaskStatus
from lorafw.testbed import Testbed

PERIOD_S = 3600.0
WRONG_KEY = (3, 8)
"""Gateways whose station refuses the update, at each try."""

GATE = Threshold(success=0.6, error=0.5)
PLAN = Plan(
    update=Update(apply_s=FIRST_POLL_S, size_bytes=2000),
    waves=(
        Wave(size=2, bake_s=5 * PERIOD_S, gate=GATE),
        Wave(size=4, bake_s=PERIOD_S, gate=GATE, again_s=PERIOD_S / 2),
        Wave(size=6),
    ),
    rate=Rate(maximum_per_minute=30),
)


def make_model() -> Fleet:
    """The fleet of the testbed, as the simulator sees it: a download takes no time, and nothing else goes wrong."""
    numbers = np.arange(12)
    return make_fleet(
        12,
        phase_ms=(numbers * 7919 * 101) % round(PERIOD_S * 1000),
        period_ms=round(PERIOD_S * 1000),
        goodput_Bps=1e12,
        refuses=np.isin(numbers, WRONG_KEY),
    )


@pytest.fixture
def bed() -> Any:
    with Testbed(gateways=12, interval_s=PERIOD_S) as bed:
        for gateway, phase_ms in zip(bed.gateways, make_model().phase_ms.tolist(), strict=True):
            gateway.next_poll_ms = bed.clock.now_ms() + phase_ms
        for number in WRONG_KEY:
            bed.inject("wrong-key", number)
        yield bed


def saved_plan(bed: Testbed, seed: int, plan: Plan = PLAN) -> SavedPlan:
    connection = connect_clients(bed.client, "lab")
    clock = SimulatedTime(bed.clock.now_ms, bed.advance)
    return make_plan(plan, make_definition(bed), make_model(), connection, seed=seed, clock=clock, calls_per_s=1e9)


def run(bed: Testbed, plan: SavedPlan, journal: Path, **options: Any) -> Any:
    clock = SimulatedTime(bed.clock.now_ms, bed.advance)
    return apply(plan, journal, connect_clients(bed.client, "lab"), clock, calls_per_s=1e9, **options)


def rows_of_the_service(bed: Testbed, start_ms: int) -> list[tuple[Any, ...]]:
    number = {gateway.eui.hex: index for index, gateway in enumerate(bed.gateways)}
    rows = [
        (row.time - start_ms, number[row.gateway], row.attempt, row.from_status, row.to_status, row.cause)
        for row in bed.log
    ]
    return sorted(rows, key=lambda row: (row[1], row[0]))


def test_apply_gives_the_task_log_of_the_simulator_row_by_row(bed: Testbed, tmp_path: Path) -> None:
    seed = 5
    plan = saved_plan(bed, seed)
    start_ms = bed.clock.now_ms()
    state = run(bed, plan, tmp_path / "journal")
    assert describe_state(state).name is StateName.COMPLETED, describe_state(state)
    simulated = simulate(make_model(), PLAN, seed=seed)
    expected = [row[:6] for row in simulated.events.iter_rows()]
    assert rows_of_the_service(bed, start_ms) == expected
    assert [wave.started_ms - start_ms for wave in state.waves] == [int(wave.started_ms[0]) for wave in simulated.waves]
    assert_the_journal_agrees(bed, plan, tmp_path / "journal")


def assert_the_journal_agrees(bed: Testbed, plan: SavedPlan, path: Path) -> None:
    """Each row that ``apply`` wrote is in the service's log, or joins several of its rows."""
    eui = {gateway.id: gateway.eui.hex for gateway in bed.gateways}
    service: dict[str, list[Any]] = {gateway.eui.hex: [] for gateway in bed.gateways}
    for row in bed.log:
        if row.from_status is not row.to_status:
            service[row.gateway].append(row)
    with open_journal(path, plan) as journal:
        written = journal.task_log()
    assert len(written) >= 2 * len(bed.gateways)
    for time, gateway, _, from_status, to_status, cause in written:
        rows = service[eui[gateway]]
        assert any((row.time, row.to_status, row.cause) == (time, to_status, cause) for row in rows)
        assert from_status is None or any(row.from_status == from_status for row in rows)


@pytest.mark.slow
def test_apply_over_a_throttled_api_gives_each_gateway_the_rows_of_the_simulator(bed: Testbed, tmp_path: Path) -> None:
    seed = 5
    plan = saved_plan(bed, seed)
    clock = SimulatedTime(bed.clock.now_ms, bed.advance)
    with bed.api_over_http() as variables:
        bed.throttle(4, burst=4)  # half of what apply allows itself

        session = boto3.Session(
            variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"], region_name=example.REGION
        )

        def make_client(service: str) -> Any:
            return session.client(service, endpoint_url=variables["AWS_ENDPOINT_URL"])

        state = apply(plan, tmp_path / "journal", connect_clients(make_client, "lab"), clock)
    assert describe_state(state).name is StateName.COMPLETED, describe_state(state)
    expected = [row[1:6] for row in simulate(make_model(), PLAN, seed=seed).events.iter_rows()]
    assert [row[1:] for row in rows_of_the_service(bed, 0)] == expected


def test_a_plan_that_was_saved_is_the_plan_that_is_read(bed: Testbed, tmp_path: Path) -> None:
    plan = saved_plan(bed, seed=1)
    write_plan(plan, tmp_path / "rollout.plan")
    assert (tmp_path / "rollout.plan").stat().st_mode & 0o777 == 0o600
    read = read_plan(tmp_path / "rollout.plan")
    assert read.sha256 == plan.sha256
    assert read.waves == plan.waves
    assert read.plan == plan.plan


def test_a_bad_firmware_stops_and_the_report_says_why(bed: Testbed, tmp_path: Path) -> None:
    for number in range(12):
        bed.inject("wrong-key", number)
    plan = saved_plan(bed, seed=5)
    state = run(bed, plan, tmp_path / "journal")
    assert describe_state(state).name is StateName.ABORTED
    assert [row.to_status for row in bed.log].count(TaskStatus.PENDING) == 2, "only the canaries got a task"
    text = format_report(report_document(*read_journal(plan, tmp_path / "journal")))
    assert "the gate of wave 1 stopped it: 0 COMPLETED and 2 FAILED of 2" in text
    assert example.ACCOUNT in text
    assert text.count("FAILED since") == 2
