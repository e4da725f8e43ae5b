"""What a result contains: histories, counts, the story of one gateway, and all assumptions."""

from __future__ import annotations

import sys
from dataclasses import fields, replace

import numpy as np
import pytest

import lorafw
from lorafw.errors import FleetError
from lorafw.fleet import Abort, Conditions, Plan, Result, Update, Wave, make_fleet, mixed_fleet, simulate
from lorafw.fleet.simulation.codes import status_code
from lorafw.tasks.lifecycle import Cause, LogRow, TaskStatus

HOUR_MS, DAY_S = 3_600_000, 86_400.0


@pytest.fixture(scope="module")
def result() -> Result:
    trouble = Conditions(missed_poll=0.1, link_drops_per_h=20.0, power_cut=0.1, storage_error=0.1)
    plan = Plan(update=Update(fails=0.3), waves=(Wave(share=0.5, bake_s=DAY_S), Wave(share=0.5)))
    return simulate(mixed_fleet(800, wrong_key=0.05, conditions=trouble), plan, seed=3, replications=2)


def test_the_package_has_all_its_public_names() -> None:
    assert lorafw.simulate is simulate
    assert lorafw.Plan is Plan
    assert lorafw.mixed_fleet is mixed_fleet


def test_the_log_has_the_columns_of_the_services_log_and_the_fault(result: Result) -> None:
    assert [f.name for f in fields(type(result.events))] == [*(f.name for f in fields(LogRow)), "fault"]
    assert list(result.to_dataframe().columns) == [f.name for f in fields(type(result.events))]
    time, gateway, *_ = next(result.events.iter_rows())
    assert result.to_dataframe().iloc[0].tolist()[:2] == [time, gateway]


def test_the_log_is_sorted_by_gateway_and_then_by_time(result: Result) -> None:
    order = np.lexsort((result.events.time, result.events.gateway))
    assert (np.diff(result.events.gateway) >= 0).all()
    assert (result.events.time == result.events.time[order]).all()
    by_time = result.events.sorted_by_time()
    assert (np.diff(by_time.time) >= 0).all()
    assert sorted(by_time.iter_rows(), key=str) == sorted(result.events.iter_rows(), key=str)


def test_the_counts_at_any_time_agree_with_the_rows_of_the_log(result: Result) -> None:
    for day in (0.0, 0.3, 1.0, 2.7, 60.0):
        status: dict[int, TaskStatus | None] = dict.fromkeys(range(800))
        for time, gateway, _, _, target, _, _ in result.log(1).sorted_by_time().iter_rows():
            if time <= day * DAY_S * 1000:
                status[gateway] = target
        counts = {name: int(count) for name, count in result.counts(day * DAY_S, replication=1).items()}
        assert sum(counts.values()) == 800
        for name, count in counts.items():
            assert count == sum((at or "none") == name for at in status.values()), (day, name)


def test_the_histories_agree_with_the_log(result: Result) -> None:
    for replication in (0, 1):
        log, short = result.log(replication), result.histories
        ends = log.to_status == status_code(TaskStatus.COMPLETED)
        ends = (ends | (log.to_status == status_code(TaskStatus.FAILED))) & (log.from_status != log.to_status)
        assert (short.ended_ms[replication][log.gateway[ends]] == log.time[ends]).all()
        assert (short.status[replication][log.gateway[ends]] == log.to_status[ends]).all()
        causes = np.array(list(Cause), dtype=object)[log.cause]
        offered = causes == Cause.OFFERED
        assert (short.offered_ms[replication][log.gateway[offered]] == log.time[offered]).all()


def test_explain_shows_every_row_of_a_gateway_with_its_fault(result: Result) -> None:
    for gateway in (0, 17, 799):
        rows = [row for row in result.log(1).iter_rows() if row[1] == gateway]
        told = result.explain(gateway, replication=1).splitlines()
        assert len(told) == 1 + max(len(rows), 1)
        for (_, _, _, _, _, cause, fault), line in zip(rows, told[1:], strict=False):
            assert cause in line
            assert fault in line


def test_an_earlier_fault_does_not_explain_a_completed_task() -> None:
    result = simulate(mixed_fleet(300), Plan(update=Update(fails=0.5)), seed=1)
    after_a_failure = (result.histories.delivered_sends[0] > 1) & (
        result.histories.status[0] == status_code(TaskStatus.COMPLETED)
    )
    gateway = int(result.fleet.number[np.flatnonzero(after_a_failure)[0]])
    *before, last = result.explain(gateway).splitlines()
    assert "COMPLETED" in last
    assert "cause: " not in last
    assert "cause: script-fails" in before[-1]


def test_explain_says_why_a_gateway_never_had_a_task() -> None:
    fleet = make_fleet(
        3,
        gone=np.array([True, False, False]),
        version=np.array([0, 1, 0]),
        names={"version": ("1.0.0", "0.9.0")},
    )
    result = simulate(fleet, Plan(update=Update(current_version="1.0.0")))
    assert "it is gone" in result.explain(0)
    assert "the update is for '1.0.0'" in result.explain(1)
    assert "COMPLETED" in result.explain(2)
    with pytest.raises(FleetError, match="no gateway with number 3"):
        result.explain(3)


def test_sends_that_an_abort_prevents_are_not_counted() -> None:
    fleet = make_fleet(1000, phase_ms=np.arange(1000) * 86_000)
    plan = Plan(update=Update(fails=1.0), abort=Abort(threshold=0.5, minimum_executed=1))
    waves = replace(plan, waves=(Wave(size=100, bake_s=2 * DAY_S), Wave(size=900, bake_s=0)), order="number")
    assert (simulate(fleet, plan).histories.delivered_sends == 3).all(), (
        "everybody was offered it before the first FAILED"
    )
    late = simulate(fleet, replace(waves, waves=(replace(waves.waves[0], bake_s=4 * DAY_S), waves.waves[1])))
    assert (late.histories.delivered_sends[0] > 0).sum() == 100
    assert late.summary().bytes_sent.value == 100 * 3 * plan.update.size_bytes
    assert "the rollout stopped" in late.explain(999)


def test_a_result_lists_all_its_assumptions(result: Result) -> None:
    rows = {name: (value, source) for name, value, source in result.assumptions()}
    for cls in (Conditions, Update):
        assert {f.name for f in fields(cls)} <= set(rows)
    assert rows["power_cut"] == ("0.1", "given")
    assert rows["slow_link"] == ("0", "switched off")
    assert all(source for _, source in rows.values())
    assert result.version
    assert result.seed == 3


def test_a_summary_is_printed_as_a_table(result: Result) -> None:
    text = str(result.summary(0.9))
    assert "90 % interval" in text
    assert "COMPLETED" in text


@pytest.mark.parametrize("replication", [-1, 2])
def test_the_error_of_an_unknown_replication_names_those_that_exist(result: Result, replication: int) -> None:
    for ask in (
        result.log,
        result.to_dataframe,
        lambda r: result.summary(replication=r),
        lambda r: result.explain(0, r),
    ):
        with pytest.raises(FleetError, match="there are replications 0 to 1"):
            ask(replication)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Conditions(missed_poll=1.0), "missed_poll 1.0 is not a share from 0 to less than 1"),
        (lambda: Conditions(power_cut=float("nan")), "power_cut nan is not a share"),
        (lambda: Conditions(repair_median_s=-1), "repair_median_s -1"),
        (lambda: Conditions(resync_s=0), "resync_s"),
        (lambda: Conditions(download="fast"), "steady, exponential"),
        (lambda: Update(signed=1), "signed 1 is not true or false"),  # type: ignore[arg-type]
        (lambda: Update(size_bytes=0), "size_bytes 0"),
        (lambda: make_fleet(0), "at least one"),
        (lambda: make_fleet(2, phase_ms=-1), "phase_ms holds -1"),
        (lambda: make_fleet(2, phase_ms=[0.0, float("nan")]), "is not a number"),
        (lambda: make_fleet(2, colour=1), "unknown column 'colour'"),
        (lambda: Plan(waves=(Wave(share=0.5), Wave(share=0.6))), "add up to 1.1"),
        (lambda: simulate(make_fleet(5), Plan(waves=(Wave(size=6),))), "the waves take 6 gateways; the fleet has 5"),
        (lambda: simulate(make_fleet(5), Plan(update=Update(current_version="2"))), "no gateway has the version '2'"),
        (lambda: simulate(make_fleet(5), Plan(), seed=-1), "seed -1"),
        (lambda: simulate(make_fleet(5), Plan(), replications=0), "replications 0"),
    ],
)
def test_the_error_of_bad_input_says_what_is_allowed(make: object, words: str) -> None:
    with pytest.raises(FleetError) as caught:
        make()  # type: ignore[operator]
    assert words in str(caught.value)
    assert caught.value.field


def test_the_repr_of_results_and_fleets_is_one_line(result: Result) -> None:
    assert repr(result) == "<Result of 'everything at once': 800 gateways, seed 3, 2 replications>"
    assert repr(result.fleet) == f"<Fleet of 800 gateways: {result.fleet.source}>"
    assert len(repr(result.fleet)) < 100


def test_without_pandas_the_error_says_what_to_install(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(FleetError, match=r"pip install 'lorafw\[lab\]'"):
        result.to_dataframe()
