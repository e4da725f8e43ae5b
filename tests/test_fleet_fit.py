"""What ``lorafw.fleet.fit`` estimates from a task log, what it refuses, and that its intervals contain the truth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from bench import fit as bench

from lorafw.errors import FleetError
from lorafw.fleet import Manual, Plan, Update, Wave, fit, mixed_fleet, simulate
from lorafw.tasks.lifecycle import Cause, TaskStatus

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
NEW, OLD = Cause.NEW_VERSION, Cause.OLD_VERSION
PENDING, IN_PROGRESS, FIRST_RETRY, SECOND_RETRY, COMPLETED, FAILED = TaskStatus
PLAN = Plan(update=Update(fails=0.05), waves=(Wave(size=300),))


def history(gateway: str, *steps: tuple[float, TaskStatus, Cause]) -> list[tuple[Any, ...]]:
    """The rows of a task that was created at time 0. Each step has its hour, the status after it, and the cause."""
    rows: list[tuple[Any, ...]] = [(0, gateway, 0, None, PENDING, Cause.CREATED_MANUALLY)]
    for hour, status, cause in steps:
        rows.append((hour * HOUR_MS, gateway, 1, rows[-1][4], status, cause))
    return rows


def test_the_intervals_of_simulated_fleets_hold_the_truth() -> None:
    """A sample of ``tests/bench/fit.py``."""
    for name, counts in bench.measure(8).items():
        assert counts["missed"] <= 2, name
        assert counts["covered"] >= 4, name


def test_a_log_can_be_a_data_frame_the_events_of_a_rollout_or_rows() -> None:
    result = simulate(mixed_fleet(300), PLAN)
    rows = [row[:6] for row in result.events.iter_rows()]
    expected = fit(rows, until_ms=20 * DAY_MS)
    assert expected.tries > 290
    assert fit(result.events, until_ms=20 * DAY_MS) == expected
    assert fit(result.to_dataframe(), until_ms=20 * DAY_MS) == expected
    assert "fails: " in str(expected)
    assert "of 300 tasks, 95 % interval" in str(expected)


def test_tries_and_gateways_that_were_never_seen_are_counted() -> None:
    log = history("a", (1, IN_PROGRESS, Cause.OFFERED), (2, COMPLETED, NEW))
    log += history("b", (1, IN_PROGRESS, Cause.OFFERED), (25, FIRST_RETRY, OLD), (26, COMPLETED, NEW))
    log += history("c")
    estimated = fit(log, until_ms=100 * HOUR_MS)
    assert estimated.fails is not None
    assert estimated.gone is not None
    assert (estimated.fails.value, estimated.tries) == (1 / 3, 3)
    assert (estimated.gone.value, estimated.tasks) == (1 / 3, 3)


def test_the_log_of_a_journal_joins_steps_and_a_late_success_was_preceded_by_a_failure() -> None:
    log = history("a", (1, COMPLETED, NEW))
    log += history("b", (1, IN_PROGRESS, Cause.OFFERED), (25, COMPLETED, NEW))
    log += history("c", (1, SECOND_RETRY, OLD), (25, FAILED, OLD))
    log += history("d", (1, SECOND_RETRY, OLD), (73, FAILED, Cause.SILENCE))
    fitted = fit(log, parameters=["fails"], until_ms=1000 * HOUR_MS, poll_period_s=86_400)
    assert fitted.fails is not None
    assert (fitted.fails.value, fitted.tries) == (6 / 8, 8)
    assert fit(log, parameters=["fails"], until_ms=1000 * HOUR_MS).tries == 7


def test_a_log_that_ends_before_failures_show_does_not_hide_them() -> None:
    plan = replace(PLAN, update=Update(fails=0.3))
    rows = [row for row in simulate(mixed_fleet(300), plan).events.iter_rows() if row[0] < 12 * HOUR_MS]
    fails = fit(rows, parameters=["fails"]).fails
    assert fails is not None
    assert fails.high is not None
    assert fails.high > 0.3


@pytest.mark.parametrize(
    ("parameter", "reason"),
    [
        ("period_s", "a long poll period and a missed poll look the same"),
        ("missed_poll", "a missed poll and a long poll period look the same"),
        ("goodput", "does not have the time at which a download ended"),
        ("fail", "did you mean 'fails'"),
    ],
)
def test_what_a_log_does_not_identify_is_refused_by_name(parameter: str, reason: str) -> None:
    with pytest.raises(FleetError, match=reason):
        fit(history("a", (1, COMPLETED, NEW)), parameters=[parameter])


def test_automatic_tasks_say_nothing_about_gateways_that_are_gone() -> None:
    result = simulate(mixed_fleet(100), Plan())
    with pytest.raises(FleetError, match="a gateway that is gone has no task"):
        fit(result.events)
    assert fit(result.events, parameters=["fails"]).gone is None


def test_gateways_with_a_fault_of_their_own_are_told_from_chance() -> None:
    result = simulate(mixed_fleet(300, wrong_key=0.05), PLAN)
    with pytest.raises(FleetError, match="12 of 290 gateways failed all tries") as caught:
        fit(result.events)
    assert caught.value.field == "fails"


def test_a_log_that_is_too_short_is_refused_with_the_time_that_it_needs() -> None:
    waves = (Wave(size=10, gate=Manual()), Wave(size=290))
    rows = [row for row in simulate(mixed_fleet(300), Plan(waves=waves)).events.iter_rows() if row[0] < 20 * HOUR_MS]
    with pytest.raises(FleetError, match=r"so tasks must be watched for 29 h \d+ min"):
        fit(rows, parameters=["gone"])
    with pytest.raises(FleetError, match="no try has an outcome"):
        fit(history("a", (1, IN_PROGRESS, Cause.OFFERED)))
    with pytest.raises(FleetError, match="no column 'cause'"):
        fit({name: [] for name in ("time", "gateway", "attempt", "from_status", "to_status")})
    with pytest.raises(FleetError, match="no row in which a task is created"):
        fit([])
