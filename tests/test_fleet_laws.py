"""Laws of every rollout: exact figures, monotonicity, parts that add up, and times that scale."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from scipy.special import bdtr

from lorafw.errors import FleetError
from lorafw.faults import Fault
from lorafw.fleet import (
    Abort,
    Conditions,
    Fleet,
    Plan,
    Rate,
    Threshold,
    Update,
    Wave,
    make_fleet,
    mixed_fleet,
    reference_fleet,
    reference_plan,
    replay,
    simulate,
    typical_plan,
)
from lorafw.fleet.simulation.codes import NEXT_STATUS, NO_TASK, STATUSES, fault_code, status_code
from lorafw.fleet.simulation.gates import first_abort_ms
from lorafw.fleet.simulation.histories import Histories
from lorafw.fleet.simulation.inputs import NEVER
from lorafw.fleet.simulation.outages import Outages
from lorafw.fleet.simulation.random_streams import Stream, replication_key, rng_keys, uniform, uniform_scalar
from lorafw.fleet.statistics.closed_forms import abort_probability, end_time, task_chain
from lorafw.fleet.statistics.estimates import quantile_index, t_interval, wilson_interval
from lorafw.tasks.lifecycle import TRANSITIONS, TaskEvent, TaskStatus

HOUR_MS, DAY_S = 3_600_000, 86_400.0
COMPLETED, FAILED = status_code(TaskStatus.COMPLETED), status_code(TaskStatus.FAILED)
EVERY_TROUBLE = Conditions(
    missed_poll=0.1,
    unreached=0.05,
    server_error=0.05,
    storage_error=0.05,
    link_drops_per_h=5.0,
    slow_link=0.05,
    truncated_body=0.05,
    tmp_full=0.05,
    power_cut=0.05,
    outages_per_day=0.2,
)
QUIET = {"missed_poll": 0.0, "download_s": 1e-5}
"""The reference without missed polls and durations, of which there are closed forms."""


def quiet_plan(fails: float = 0.1) -> Plan:
    return reference_plan(fails=fails, apply_s=0)


def waves_with_everything() -> Plan:
    gate = Threshold(success=0.5, error=0.6)
    return Plan(
        update=Update(fails=0.1),
        waves=(Wave(share=0.1, bake_s=DAY_S, gate=gate), Wave(share=0.3, bake_s=DAY_S, gate=gate), Wave(share=0.6)),
        rate=Rate(maximum_per_minute=100),
        abort=Abort(threshold=0.4, minimum_executed=20),
        random_delay_s=3600,
    )


# --- closed forms ---


def test_the_reference_rollout_ends_as_its_markov_chain_predicts() -> None:
    """0.999 COMPLETED, 1.11 sends: each within four standard errors of a million gateways."""
    gateways = 1_000_000
    result = simulate(reference_fleet(gateways, seed=2), reference_plan(), seed=3)
    chain = task_chain(0.9)
    share = (result.histories.status == COMPLETED).mean()
    assert share == pytest.approx(0.999, abs=4 * (0.999 * 0.001 / gateways) ** 0.5)
    assert (result.histories.status == FAILED).mean() == pytest.approx(1 - share)
    sends = result.histories.delivered_sends
    assert sends.mean() == pytest.approx(chain.mean_sends, abs=4 * sends.std() / gateways**0.5)


@pytest.mark.parametrize("fails", [0.02, 0.5, 0.9])
def test_tasks_end_after_each_send_as_the_markov_chain_predicts(fails: float) -> None:
    gateways = 200_000
    result = simulate(reference_fleet(gateways, **QUIET), quiet_plan(fails), seed=4)
    period = (result.histories.ended_ms - result.histories.offered_ms) // (24 * HOUR_MS)
    for count, expected in zip(
        np.bincount(period[0], minlength=4), task_chain(1 - fails).end_distribution(), strict=True
    ):
        assert count / gateways == pytest.approx(expected, abs=5 * (expected * (1 - expected) / gateways) ** 0.5 + 1e-9)


def test_sends_with_different_success_probabilities_end_as_the_markov_chain_predicts() -> None:
    """Two kinds of gateways: those with the wrong key never succeed, whatever the send."""
    fleet = make_fleet(100_000, refuses=np.arange(100_000) % 4 == 0)
    result = simulate(fleet, quiet_plan(0.3), seed=5)
    expected = 0.75 * task_chain(0.7).absorption_probability(TaskStatus.COMPLETED)
    assert (result.histories.status == COMPLETED).mean() == pytest.approx(expected, abs=0.002)
    assert (result.histories.delivered_sends[0][::4] == 3).all()


def test_the_median_time_until_ten_thousand_gateways_have_all_ended_is_94_3_hours() -> None:
    """The sample's median lies among its order statistics: the interval of 999 in 1000 for 600 rollouts."""
    rollouts = 600
    last = np.concatenate(
        [
            simulate(
                reference_fleet(10_000, seed=block, **QUIET), quiet_plan(), seed=block, replications=30
            ).histories.ended_ms.max(axis=1)
            for block in range(rollouts // 30)
        ]
    )
    exact = end_time(task_chain(0.9)).max_quantile(0.5, 10_000)
    assert exact / 3600 == pytest.approx(94.3, abs=0.05)
    half = 3.29 * (rollouts * 0.25) ** 0.5
    hours = np.sort(last) / HOUR_MS
    assert hours[int(rollouts / 2 - half)] <= exact / 3600 <= hours[int(rollouts / 2 + half)]


@pytest.mark.parametrize("missed", [0.0, 0.2])
def test_the_time_to_the_end_has_the_distribution_of_the_closed_form(missed: float) -> None:
    """Kolmogorov and Smirnov: the greatest distance of 100,000 gateways, at the level of one in a million."""
    gateways = 100_000
    fleet = reference_fleet(gateways, missed_poll=missed, download_s=1e-5)
    ended = np.sort(simulate(fleet, quiet_plan(0.4), seed=6).histories.ended_ms[0])
    exact = end_time(task_chain(0.6), missed_poll=missed).cdf(ended / 1000)
    distance = np.abs(np.arange(1, gateways + 1) / gateways - exact).max()
    assert distance < 2.7 / gateways**0.5


def test_five_percent_failed_after_ten_stops_a_good_firmware_in_40_of_100_rollouts() -> None:
    """Judged after every gateway of 1000, in the order of the fleet, of which 2 % end FAILED at their third send."""
    abort, rollouts = Abort(threshold=0.05, minimum_executed=10), 3000
    exact = abort_probability(abort, 1000, 0.02)
    assert round(exact, 3) == 0.400
    fails: float = 0.02 ** (1 / 3)
    # Not in the order of time: FAILED takes three days and comes last, so that the trials would not be independent.
    status = simulate(make_fleet(1000), quiet_plan(fails), seed=8, replications=rollouts).histories.status
    failed = (status == FAILED).cumsum(axis=1)
    stopped = abort.is_met(failed, np.arange(1, 1001)).any(axis=1).mean()
    assert stopped == pytest.approx(exact, abs=4 * (exact * (1 - exact) / rollouts) ** 0.5)


def test_the_time_of_an_abort_has_the_distribution_of_the_closed_form() -> None:
    """Gateways that end one after the other, each FAILED with 2 %: the law's own world."""
    abort, rollouts, rate = Abort(threshold=0.05, minimum_executed=50), 4000, 0.02
    luck = uniform(rng_keys(9, np.arange(rollouts)[:, None], np.arange(1000)[None, :]), Stream.GATE)
    status = np.where(luck < rate, FAILED, COMPLETED).astype(np.uint8)
    ended = np.broadcast_to(np.arange(1000, dtype=np.int64) * 1000, status.shape)
    share = (first_abort_ms(abort, status, ended) < NEVER).mean()
    exact = abort_probability(abort, 1000, rate)
    assert share == pytest.approx(exact, abs=4 * (exact * (1 - exact) / rollouts) ** 0.5)


# --- the transition table ---


def test_the_simulator_changes_a_status_only_by_the_transition_table() -> None:
    fleet = mixed_fleet(3000, wrong_key=0.05, version_differs=0.05, no_restart=0.2, conditions=EVERY_TROUBLE)
    log = simulate(fleet, waves_with_everything(), seed=1).events
    moves = {
        (STATUSES[source], STATUSES[target])
        for source, target in zip(log.from_status, log.to_status, strict=True)
        if source != target and NO_TASK not in (source, target)
    }
    table = {(source, target) for (source, _), target in TRANSITIONS.items()}
    assert moves == table
    for (source, event), target in TRANSITIONS.items():
        assert NEXT_STATUS[event][status_code(source)] == status_code(target)
    assert sum((NEXT_STATUS[event] < NO_TASK).sum() for event in TaskEvent) == len(TRANSITIONS)


# --- metamorphic ---


@pytest.mark.parametrize("seed", range(4))
def test_a_better_update_delays_no_gateway(seed: int) -> None:
    """The same luck, fewer failing scripts: nobody's COMPLETED comes later, and nobody loses it."""
    fleet = mixed_fleet(4000, seed=seed, no_restart=0.2, wrong_key=0.02, conditions=EVERY_TROUBLE)
    plan = replace(typical_plan(), rate=Rate(maximum_per_minute=50), silence_timeout_s="never")
    before = None
    for fails in (0.6, 0.3, 0.1, 0.0):
        histories = simulate(fleet, replace(plan, update=Update(fails=fails)), seed=seed).histories
        completed = np.where(histories.status == COMPLETED, histories.ended_ms, NEVER)
        if before is not None:
            assert (completed <= before).all()
            assert (completed < before).any()
        before = completed


@pytest.mark.parametrize("name", ["missed_poll", "storage_error", "tmp_full"])
def test_worse_conditions_make_no_gateway_faster(name: str) -> None:
    """Not so with what lets a station try again within a minute: that can come before its regular poll."""
    fleet = mixed_fleet(4000, conditions=Conditions())
    plan = replace(typical_plan(fails=0.2), silence_timeout_s="never")
    good, bad = (simulate(fleet.with_conditions(**{name: share}), plan, seed=2).histories for share in (0.05, 0.3))
    assert (
        np.where(bad.status == COMPLETED, bad.ended_ms, NEVER) >= np.where(good.status == COMPLETED, good.ended_ms, 0)
    ).all()


def test_causes_of_trouble_are_drawn_independently_of_each_other() -> None:
    """The power goes at a fifth of those whose script fails, and at a fifth of the others."""
    fleet = make_fleet(20_000, period_ms=48 * HOUR_MS, conditions=Conditions(power_cut=0.2, repair_median_s=5 * DAY_S))
    plan = Plan(update=Update(fails=0.5), horizon_s=DAY_S, silence_timeout_s="never")
    fault = simulate(fleet, plan, seed=3).histories.last_fault[0]
    shares = [np.mean(fault == fault_code(trouble)) for trouble in (Fault.SCRIPT_FAILS, Fault.POWER_CUT)]
    assert shares == pytest.approx([0.5 * 0.8, 0.2], abs=0.015)  # four standard errors


def test_an_outage_is_over_at_its_end() -> None:
    outages = Outages(np.array([-1, 1000]), np.array([-1, 2000]))
    group, times = np.zeros(4, dtype=np.int64), np.array([999, 1000, 1999, 2000])
    assert outages.is_down(group, times).tolist() == [False, True, True, False]
    assert outages.first_retry_after(group, times, 500).tolist() == [999, 2000, 2499, 2000]


def test_the_parts_of_a_fleet_have_the_histories_of_the_whole() -> None:
    fleet = mixed_fleet(3000, wrong_key=0.03, version_differs=0.03, no_restart=0.1, conditions=EVERY_TROUBLE)
    plan, seed = typical_plan(fails=0.2), 5
    whole = simulate(fleet, plan, seed=seed)
    cuts = [slice(0, 1), slice(1, 700), slice(700, 3000)]
    parts = [simulate(fleet.select(cut), plan, seed=seed) for cut in cuts]
    for name in ("status", "delivered_sends", "created_ms", "offered_ms", "ended_ms", "last_fault", "broken_bytes"):
        together = np.concatenate([getattr(part.histories, name) for part in parts], axis=1)
        assert (getattr(whole.histories, name) == together).all(), name
    assert [row for part in parts for row in part.events.iter_rows()] == list(whole.events.iter_rows())


@pytest.mark.parametrize("factor", [2, 5, 10])
def test_scaling_all_times_scales_the_results(factor: int) -> None:
    """Everything that is a time, by a factor: so are all times of the log. Lognormal repairs are off: they are cut."""

    def fleet(by: int) -> Fleet:
        rng = np.random.default_rng(1)
        trouble = replace(EVERY_TROUBLE, power_cut=0.0, outages_per_day=0.0, link_drops_per_h=0.0, slow_link=0.0)
        return make_fleet(
            2000,
            phase_ms=rng.integers(0, 24 * HOUR_MS, 2000) * by,
            period_ms=rng.choice([6, 24], 2000) * HOUR_MS * by,
            goodput_Bps=1e5 / by,
            restarts=rng.random(2000) < 0.8,
            conditions=replace(trouble, resync_s=60.0 * by),
        )

    def plan(by: int) -> Plan:
        return Plan(
            update=Update(apply_s=90.0 * by, fails=0.3),
            waves=tuple(
                Wave(share=share, bake_s=DAY_S * by, gate=Threshold(success=0.5, error=0.9), again_s=3600.0 * by)
                for share in (0.25, 0.75)
            ),
            abort=Abort(threshold=0.3, minimum_executed=1000),
            silence_timeout_s=2 * DAY_S * by,
            horizon_s=30 * DAY_S * by,
        )

    one, other = simulate(fleet(1), plan(1), seed=3), simulate(fleet(factor), plan(factor), seed=3)
    assert (one.events.time * factor == other.events.time).all()
    assert (one.events.to_status == other.events.to_status).all()


# --- luck ---


def test_a_random_number_is_the_same_from_an_array_and_from_plain_integers() -> None:
    position = rng_keys(12, np.array([[0], [5]]), np.array([[0, 7, 10**9]]))
    numbers = uniform(position, Stream.DROP, 3)
    assert numbers.tolist() == [[uniform_scalar(12, r, g, Stream.DROP, 3) for g in (0, 7, 10**9)] for r in (0, 5)]


def test_no_two_streams_steps_or_replications_share_random_numbers() -> None:
    """Correlations of all pairs of 100,000 draws stay below five standard errors."""
    gateways = 100_000
    rows = [
        uniform(rng_keys(seed, replication, np.arange(gateways)), stream, turn)
        for seed, replication, stream, turn in [
            (0, 0, Stream.MISSED, 0),
            (0, 0, Stream.MISSED, 1),
            (0, 0, Stream.INSTALL, 0),
            (0, 1, Stream.MISSED, 0),
            (1, 0, Stream.MISSED, 0),
        ]
    ]
    correlations = np.corrcoef([*rows, np.roll(rows[0], 1)]) - np.eye(len(rows) + 1)
    assert np.abs(correlations).max() < 5 / gateways**0.5
    for row in rows:
        counts = np.histogram(row, bins=100, range=(0, 1))[0]
        chi_square = ((counts - gateways / 100) ** 2 / (gateways / 100)).sum()
        assert 50 < chi_square < 170, "chi-square with 99 degrees of freedom"


def test_the_keys_of_neighbouring_seeds_and_replications_differ() -> None:
    assert len({replication_key(seed, replication) for seed in range(200) for replication in range(200)}) == 40_000


# --- the same again ---


@pytest.fixture(scope="module")
def everything() -> tuple[Fleet, Plan]:
    return mixed_fleet(5000, wrong_key=0.02, no_restart=0.1, conditions=EVERY_TROUBLE), waves_with_everything()


def all_bytes(result: Any) -> bytes:
    return result.tobytes() + result.log(result.replications - 1).tobytes()


@pytest.mark.parametrize("replications", [1, 3])
def test_equal_seeds_give_equal_bytes_and_different_ones_do_not(everything: Any, replications: int) -> None:
    first = simulate(*everything, seed=1, replications=replications)
    assert all_bytes(first) == all_bytes(simulate(*everything, seed=1, replications=replications))
    assert all_bytes(first) == all_bytes(replay(first))
    assert all_bytes(first) != all_bytes(simulate(*everything, seed=2, replications=replications))


@pytest.mark.parametrize("replications", [1, 20])
@pytest.mark.parametrize("plan", [typical_plan(fails=0.2), waves_with_everything()], ids=["at once", "waves"])
def test_any_executor_gives_the_bytes_of_this_process(plan: Plan, replications: int, cluster: Any) -> None:
    fleet = mixed_fleet(4000, wrong_key=0.02, no_restart=0.1, conditions=EVERY_TROUBLE)
    serial = simulate(fleet, plan, seed=1, replications=replications).tobytes()
    with ProcessPoolExecutor(2) as processes, ThreadPoolExecutor(3) as threads:
        for executor in (processes, threads, cluster):
            assert simulate(fleet, plan, seed=1, replications=replications, executor=executor).tobytes() == serial


@pytest.fixture(scope="module")
def cluster() -> Any:
    """A client of two real worker processes."""
    from dask.distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as started,
        Client(started) as client,
    ):
        yield client


def test_an_executor_without_submit_is_refused() -> None:
    with pytest.raises(FleetError, match="submit"):
        simulate(reference_fleet(10), reference_plan(), executor=object())


def test_the_first_thousand_of_ten_thousand_have_the_same_histories_when_they_are_alone() -> None:
    many, few = (simulate(mixed_fleet(n, seed=3), typical_plan(), seed=4) for n in (10_000, 1000))
    for column, alone in zip(many.histories.owned_arrays(), few.histories.owned_arrays(), strict=True):
        assert (column[:, :1000] == alone).all()
    assert [row for row in many.events.iter_rows() if row[1] < 1000] == list(few.events.iter_rows())


def test_a_replication_does_not_depend_on_how_many_others_there_are() -> None:
    fleet = mixed_fleet(500, conditions=EVERY_TROUBLE)
    few, many = (simulate(fleet, waves_with_everything(), seed=6, replications=n) for n in (2, 50))
    for column, more in zip(few.histories.owned_arrays(), many.histories.owned_arrays(), strict=True):
        assert (column == more[:2]).all()


# --- intervals ---


def covers(intervals: list[Any], truth: float) -> float:
    return float(np.mean([figure.low <= truth <= figure.high for figure in intervals]))


TRIALS = 10_000


@pytest.fixture(scope="module")
def trials() -> Any:
    """10,000 rollouts to 320 gateways each, with a script that fails half the time: one rollout to all, in pieces.

    Not 10,000 replications of one: those have the fleet and its phases in common.
    """
    whole = simulate(reference_fleet(TRIALS * 320, **QUIET), quiet_plan(0.5), seed=11)
    pieces = Histories(*(getattr(whole.histories, f.name).reshape(TRIALS, 320) for f in fields(Histories)))
    one, never = whole.fleet.select(slice(0, 320)), np.full(TRIALS, NEVER)
    return replace(whole, fleet=one, replications=TRIALS, histories=pieces, stopped_ms=never)


def test_intervals_of_a_single_rollout_cover_the_truth_in_94_to_96_percent(trials: Any) -> None:
    summaries = [trials.summary(replication=number) for number in range(TRIALS)]
    chain = task_chain(0.5)
    completes = chain.absorption_probability(TaskStatus.COMPLETED)
    assert 0.94 <= covers([s.completed_share for s in summaries], completes) <= 0.96
    assert 0.94 <= covers([s.never_completed_share for s in summaries], 1 - completes) <= 0.96
    assert 0.94 <= covers([s.mean_sends for s in summaries], chain.mean_sends) <= 0.96
    # Of those that complete, 0.5, 0.25 and 0.125 of 0.875 do so in the first, second and third day.
    days = {"p50": 0.875, "p90": 2 + (0.9 * 0.875 - 0.75) / 0.125}
    for name, day in days.items():
        assert 0.94 <= covers([s.time_to_completed_s[name] for s in summaries], day * DAY_S) <= 0.96, name


def test_intervals_over_replications_cover_the_truth_in_94_to_96_percent(trials: Any) -> None:
    """Ten rollouts to 32 gateways are a trial."""
    means = trials.histories.delivered_sends.reshape(TRIALS, 10, 32).mean(axis=2)
    assert 0.94 <= covers([t_interval(trial, 0.95) for trial in means], task_chain(0.5).mean_sends) <= 0.96


@pytest.mark.parametrize(("gateways", "share"), [(100, 0.3), (1000, 0.02), (5000, 0.999)])
def test_the_interval_of_a_share_has_its_exact_coverage(gateways: int, share: float) -> None:
    hits = np.arange(gateways + 1)
    inside = [
        figure.low <= share <= figure.high for figure in (wilson_interval(int(k), gateways, 1.959964) for k in hits)
    ]
    probability = np.diff(bdtr(hits, gateways, share), prepend=0)
    assert 0.93 <= probability[inside].sum() <= 0.98


def test_the_index_of_a_quantile_is_the_first_that_reaches_its_share() -> None:
    assert quantile_index(0.5, np.array([1, 2, 3, 10])).tolist() == [0, 0, 1, 4]
    assert quantile_index(0.95, 100) == 94
