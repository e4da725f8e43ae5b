"""The simulator and the event loop of ``fleet_twin`` write equal logs for any plan and any fleet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fleet_twin import Twin
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from lorafw.fleet import (
    Abort,
    BetaBinomial,
    Conditions,
    Fleet,
    Plan,
    Rate,
    Threshold,
    Update,
    Wave,
    make_fleet,
    reference_fleet,
    reference_plan,
    simulate,
)
from lorafw.fleet.simulation.codes import NO_TASK, STATUSES
from lorafw.fleet.simulation.gates import GateDecision
from lorafw.fleet.simulation.inputs import NEVER

HOUR_MS, DAY_S = 3_600_000, 86_400.0


def assert_equal(fleet: Fleet, plan: Plan, seed: int, replication: int = 0) -> Any:
    """Simulate in both ways, compare everything, and return the result of the simulator."""
    result = simulate(fleet, plan, seed=seed, replications=replication + 1)
    twin = Twin(fleet, plan, seed, replication).run()
    assert list(result.log(replication).iter_rows()) == twin.log
    assert int(result.stopped_ms[replication]) == (NEVER if twin.stopped_ms is None else twin.stopped_ms)
    waves = [
        (
            int(wave.started_ms[replication]),
            _or_none(wave.decided_ms[replication]),
            GateDecision(wave.decision[replication]).name,
        )
        for wave in result.waves
        if wave.started_ms[replication] != NEVER
    ]
    assert twin.waves == (waves if plan.waves else twin.waves)
    histories = result.histories
    for task in twin.tasks:
        position = (replication, task.index)
        status = int(histories.status[position])
        expected = None if status == NO_TASK else STATUSES[status]
        assert expected is task.status
        assert _or_none(histories.offered_ms[position]) == task.offered_ms
        assert _or_none(histories.ended_ms[position]) == task.ended_ms
        assert _or_none(histories.created_ms[position]) == task.created_ms
        assert int(histories.delivered_sends[position]) == task.sends
    return result


def _or_none(time_ms: Any) -> int | None:
    """Return a time, or None for NEVER."""
    return None if int(time_ms) == NEVER else int(time_ms)


# --- any fleet, any plan ---

share = st.one_of(st.just(0.0), st.sampled_from([0.05, 0.3, 0.7]))
seconds = st.sampled_from([0.0, 1.0, 90.0, 3600.0, DAY_S, 3 * DAY_S])

conditions = st.builds(
    Conditions,
    missed_poll=share,
    unreached=share,
    server_error=share,
    storage_error=share,
    link_drops_per_h=st.sampled_from([0.0, 0.0, 1.0, 20.0]),
    slow_link=share,
    truncated_body=share,
    tmp_full=share,
    power_cut=share,
    repair_median_s=st.sampled_from([60.0, 7200.0, 2 * DAY_S]),
    outages_per_day=st.sampled_from([0.0, 0.0, 0.5, 4.0]),
    outage_median_s=st.sampled_from([60.0, 7200.0]),
    download=st.sampled_from(["steady", "exponential"]),
    resync_s=st.sampled_from([60.0, 3600.0, DAY_S]),
)
updates = st.builds(
    Update,
    size_bytes=st.sampled_from([1, 2_000_000, 200_000_000]),
    apply_s=st.sampled_from([0.0, 90.0, 2 * DAY_S]),
    fails=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    version_given=st.booleans(),
    signed=st.sampled_from([True, True, True, False]),
    current_version=st.sampled_from([None, None, None, "1.0.0"]),
)
gates = st.one_of(
    st.none(),
    st.builds(Threshold, success=st.sampled_from([0.5, 0.9, 1.0]), error=st.sampled_from([0.1, 0.5, 1.0])),
    st.builds(BetaBinomial, acceptable=st.sampled_from([0.05, 0.3]), go=st.sampled_from([0.6, 0.9])),
)
rates = st.one_of(
    st.none(),
    st.builds(Rate, maximum_per_minute=st.sampled_from([1, 7, 1000])),
    st.builds(
        Rate,
        maximum_per_minute=st.sampled_from([50, 1000]),
        base_per_minute=st.sampled_from([1, 3]),
        notified=st.sampled_from([1, 4]),
        increment_factor=st.sampled_from([1.1, 2.0]),
    ),
)
aborts = st.one_of(
    st.none(),
    st.builds(Abort, threshold=st.sampled_from([0.05, 0.2, 0.5, 1.0]), minimum_executed=st.sampled_from([1, 5])),
)


@st.composite
def fleets(draw: Any) -> Fleet:
    """Draw a fleet. Its phases and periods are sometimes coarse, so that events coincide in one millisecond."""
    size = draw(st.integers(1, 24))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    phases = draw(st.sampled_from([[0], [0, 6 * HOUR_MS], list(range(0, 24 * HOUR_MS, 1_234_567))]))
    periods = draw(st.sampled_from([[24 * HOUR_MS], [HOUR_MS, 6 * HOUR_MS], [10_000_000, 86_400_000]]))
    fault_share = draw(st.sampled_from([0.0, 0.0, 0.2]))
    return make_fleet(
        size,
        number=rng.choice(10**6, size, replace=False),
        phase_ms=rng.choice(phases, size),
        period_ms=rng.choice(periods, size),
        goodput_Bps=rng.choice([2e3, 1e5, 1e6], size),
        region=rng.integers(0, 2, size),
        isp=rng.integers(0, 2, size),
        version=rng.integers(0, 2, size),
        gone=rng.random(size) < fault_share,
        refuses=rng.random(size) < fault_share,
        keyless=rng.random(size) < fault_share,
        restarts=rng.random(size) >= draw(st.sampled_from([0.0, 0.3])),
        version_differs=rng.random(size) < fault_share,
        names={"region": ("r0", "r1"), "isp": ("i0", "i1"), "version": ("1.0.0", "0.9.9")},
        conditions=draw(conditions),
    )


@st.composite
def plans(draw: Any, size: int) -> Plan:
    """Draw a plan for a fleet of this size."""
    cuts = sorted(draw(st.sets(st.integers(1, max(size - 1, 1)), max_size=3)) if size > 1 else ())
    sizes = [b - a for a, b in zip([0, *cuts], [*cuts, size], strict=True)]
    waves = tuple(
        Wave(
            size=count,
            bake_s=draw(seconds),
            gate=draw(gates),
            again_s=draw(st.sampled_from([600.0, 3600.0, DAY_S])),
            give_up_s=draw(st.sampled_from([0.0, DAY_S, 5 * DAY_S])),
        )
        for count in sizes
    )
    return Plan(
        update=draw(updates),
        waves=waves if draw(st.booleans()) else (),
        rate=draw(rates),
        abort=draw(aborts),
        random_delay_s=draw(st.sampled_from([0.0, 0.0, 3600.0])),
        order=draw(st.sampled_from(["random", "number"])),
        silence_timeout_s=draw(st.sampled_from(["never", 60.0, 3600.0, DAY_S, 2 * DAY_S])),
        horizon_s=draw(st.sampled_from([DAY_S, 8 * DAY_S, 8 * DAY_S, 8 * DAY_S])),
    )


@pytest.mark.parametrize("examples", [60, pytest.param(150, marks=pytest.mark.slow)])
def test_the_simulator_and_the_event_loop_write_the_same_log(examples: int) -> None:
    @settings(max_examples=examples, derandomize=True, phases=(Phase.generate, Phase.shrink))
    @given(st.data(), fleets(), st.integers(0, 2**40), st.sampled_from([0, 0, 2]))
    def write_the_same_log(data: st.DataObject, fleet: Fleet, seed: int, replication: int) -> None:
        assert_equal(fleet, data.draw(plans(fleet.size)), seed, replication)

    write_the_same_log()


@pytest.mark.parametrize("seed", range(3))
def test_the_simulator_and_the_event_loop_agree_on_the_reference_fleet(seed: int) -> None:
    result = assert_equal(reference_fleet(600, seed=seed), reference_plan(), seed)
    assert len(result.events) > 600 * 3


def test_a_later_wave_that_succeeds_keeps_the_abort_from_being_met() -> None:
    """Two of the first twenty end FAILED, after three days; until then two hundred more have succeeded."""
    fleet = make_fleet(220, refuses=np.arange(220) < 2)
    waves = (Wave(size=20, bake_s=3600.0), Wave(size=200))
    plan = Plan(
        waves=waves, abort=Abort(threshold=0.08, minimum_executed=20), order="number", silence_timeout_s="never"
    )
    assert assert_equal(fleet, plan, 1).stopped_ms[0] == NEVER
    alone = simulate(fleet.select(slice(0, 20)), replace(plan, waves=waves[:1]), seed=1)
    assert alone.stopped_ms[0] < NEVER


def test_a_gate_decides_nothing_after_the_horizon() -> None:
    fleet = make_fleet(4, refuses=True)
    gate = Threshold(success=1.0, error=1.0)
    plan = Plan(waves=(Wave(size=2, bake_s=DAY_S, gate=gate, give_up_s=0.0), Wave(size=2)), horizon_s=DAY_S / 2)
    assert assert_equal(fleet, plan, 1).stopped_ms[0] == NEVER


def test_a_gate_passes_at_the_first_check_after_the_last_task_has_ended() -> None:
    fleet = make_fleet(3, phase_ms=[0, 5 * HOUR_MS // 2, 0])
    gate = Threshold(success=1.0, error=1.0)
    plan = Plan(waves=(Wave(size=2, bake_s=0.0, gate=gate, again_s=3600.0), Wave(size=1)), order="number")
    result = assert_equal(fleet, plan, 1)
    started_ms = int(result.waves[0].started_ms[0])
    last_end_ms = int(result.histories.ended_ms[0, :2].max())
    checks = -((started_ms - last_end_ms) // HOUR_MS)  # rounded up
    assert (last_end_ms - started_ms) % HOUR_MS > 0
    assert result.waves[0].decided_ms[0] == started_ms + checks * HOUR_MS


def test_a_gateway_that_is_offered_the_update_at_the_moment_of_the_abort_still_gets_it() -> None:
    """The first fails for good at its fourth poll, after three hours; the second first polls in that millisecond."""
    fleet = make_fleet(2, period_ms=[HOUR_MS, 4 * HOUR_MS], phase_ms=[0, 3 * HOUR_MS], refuses=[True, False])
    plan = Plan(abort=Abort(threshold=1.0, minimum_executed=1), silence_timeout_s="never")
    result = assert_equal(fleet, plan, 1)
    assert result.stopped_ms[0] == result.histories.offered_ms[0, 1] == 3 * HOUR_MS


def test_a_download_that_is_longer_than_the_period_delays_the_next_poll() -> None:
    fleet = make_fleet(2, period_ms=HOUR_MS, goodput_Bps=2e3)
    result = assert_equal(fleet, Plan(update=Update(size_bytes=20_000_000, fails=1.0), silence_timeout_s="never"), 1)
    assert (result.histories.ended_ms == 3 * 10_000 * 1000).all()
