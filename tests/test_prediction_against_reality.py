"""When a rollout holds because it differs from its prediction, and when it does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench import envelope as bench
from rollout_memory import HOUR_MS, START_MS, MemoryAws, MemoryGateway, make_plan, run_apply

from lorafw.fleet import Fleet, Plan, Update, Wave, fit, make_fleet, simulate
from lorafw.rollout.application import command
from lorafw.rollout.engine import Until
from lorafw.rollout.envelope import Band, ObservedWave, find_deviation, make_band, read_band
from lorafw.rollout.events import Command
from lorafw.rollout.evolution import evolve
from lorafw.rollout.fleet_draws import draw_fleets
from lorafw.rollout.journal import open_journal
from lorafw.rollout.prediction import WaveCurves, predict, read_curves
from lorafw.rollout.state import initial_state
from lorafw.rollout.status import StateName, describe_state

SIZE = 60
PERIOD_MS = 24 * HOUR_MS
MINUTE_MS = 60_000
BAND = Band(
    hours=np.array([0.0, 6.0, 12.0, 18.0]),
    completed_low=np.array([0, 20, 60, 80]),
    completed_high=np.array([5, 50, 88, 100]),
    failed_low=np.array([0, 0, 0, 1]),
    failed_high=np.array([0, 1, 2, 4]),
    stalled_high=7,
)


def seen(hours: float, completed: int, failed: int = 0, **more: Any) -> ObservedWave:
    elapsed_ms = round(hours * HOUR_MS)
    members = {"elapsed_ms": elapsed_ms, "known_ms": elapsed_ms, **more}
    return ObservedWave(wave=1, completed=completed, failed=failed, **members)


# --- the band ---


def test_the_reason_says_what_was_seen_and_what_was_predicted() -> None:
    assert find_deviation(BAND, seen(12, 41)) == (
        "wave 2: 41 COMPLETED after 12 h; 97 % of the predicted rollouts had 60 to 88"
    )
    assert find_deviation(BAND, seen(12, 70, 3)) == (
        "wave 2: 3 FAILED after 12 h; 97 % of the predicted rollouts had 0 to 2"
    )
    assert find_deviation(BAND, seen(13, 70, stalled=8)) == (
        "wave 2: 8 stalled (not ended half a poll period after the offer) after 13 h; "
        "97 % of the predicted rollouts had 0 to 7"
    )


@pytest.mark.parametrize(
    ("wave", "is_inside"),
    [
        (seen(12, 60), True),
        (seen(12, 88), True),
        (seen(12, 89), False),
        (seen(17.9, 60), True),
        (seen(18, 79, 1), False),
        (seen(6.1, 88, 2), True),
        (seen(6, 51), False),
        (seen(40, 100, 4), True),
        (seen(40, 100, 0), False),
        (seen(40, 100, 5), False),
    ],
    ids=lambda value: (
        f"{value.completed}+{value.failed}@{value.elapsed_ms / HOUR_MS:g}h" if value != bool(value) else ""
    ),
)
def test_between_two_hours_a_wave_is_inside_of_the_band_if_it_may_be(wave: ObservedWave, is_inside: bool) -> None:
    assert (find_deviation(BAND, wave) is None) is is_inside


def test_what_is_not_known_or_was_late_or_left_out_is_no_deviation() -> None:
    assert find_deviation(BAND, seen(12, 59)) is not None
    assert find_deviation(BAND, seen(12, 59, known_ms=11 * HOUR_MS)) is None
    assert find_deviation(BAND, seen(12, 59, delay_ms=HOUR_MS)) is None
    assert find_deviation(BAND, seen(12, 59, left_out=1)) is None
    told = find_deviation(BAND, seen(12, 10, delay_ms=6 * HOUR_MS, left_out=2))
    assert told == (
        "wave 2: 10 COMPLETED after 12 h, with tasks up to 6 h late, 2 left out; "
        "97 % of the predicted rollouts had 20 to 50"
    )


def random_curves(rollouts: int, seed: int, stopped: float = 0) -> WaveCurves:
    """Curves of 100 gateways that end at random hours. Some rollouts are stopped, and then nothing more happens."""
    random = np.random.default_rng(seed)
    hours = np.linspace(0, 24, 49)
    ends_h = random.uniform(0, 24, (rollouts, 100))
    has_failed = random.uniform(size=(rollouts, 100)) < random.uniform(0, 0.1, (rollouts, 1))
    stopped_h = np.where(random.uniform(size=rollouts) < stopped, 10.0, np.inf)
    ends_h[ends_h > stopped_h[:, None]] = np.inf

    def count(mask: Any) -> Any:
        return (np.where(mask, ends_h, np.inf)[:, :, None] <= hours).sum(axis=1).astype(np.int32)

    stalled = np.zeros((rollouts, len(hours)), dtype=np.int32)
    return WaveCurves(hours, count(~has_failed), count(has_failed), stalled, stopped_h, 100)


def leaves(band: Band, curves: WaveCurves, row: int) -> bool:
    completed, failed = curves.completed[row], curves.failed[row]
    is_outside = (completed < band.completed_low) | (completed > band.completed_high)
    is_outside |= (failed < band.failed_low) | (failed > band.failed_high)
    return bool((is_outside & curves.running[row]).any())


@pytest.mark.parametrize("stopped", [0, 0.5])
def test_other_curves_of_the_same_model_leave_the_whole_band_as_often_as_it_was_made_for(stopped: float) -> None:
    band = make_band(random_curves(2000, seed=1, stopped=stopped), 0.1)
    assert band is not None
    others = random_curves(2000, seed=2, stopped=stopped)
    outside = sum(leaves(band, others, row) for row in range(2000))
    assert 0.015 < outside / 2000 < 0.06, "0.1 x 0.4: nothing stalls here"
    assert (np.diff(band.completed_low) >= 0).all()
    assert band.completed_low[-1] > 70, "rollouts that were stopped do not widen the band"


def test_too_few_curves_or_none_make_no_band() -> None:
    assert make_band(random_curves(400, seed=1), 0.03) is None
    assert read_band({}, 0) is None
    assert read_band({"waves": [{"size": 5, "rollouts": 0}]}, 0) is None


def test_rollouts_that_follow_the_model_seldom_hold_and_drifts_are_caught() -> None:
    """A sample of ``tests/bench/envelope.py``."""
    bands = bench.make_bands(250)
    held = {}
    for name, truth in {"none": bench.as_predicted, **bench.DRIFTS}.items():
        holds = [bench.find_hold(bands, *truth(250, seed), seed) for seed in range(1, 7)]
        held[name] = sum(hold is not None and hold.is_before_second_end for hold in holds)
    assert held.pop("none") <= 2
    assert min(held.values()) >= 2, held


# --- the prediction ---


def one_wave(**columns: Any) -> tuple[Fleet, Plan]:
    return make_fleet(SIZE, period_ms=PERIOD_MS, **columns), Plan(update=Update(fails=0.02), waves=(Wave(size=SIZE),))


def test_the_first_rollouts_of_a_prediction_are_those_of_simulate() -> None:
    fleet, plan = one_wave(phase_ms=np.arange(SIZE) * 7 * MINUTE_MS)
    curves = read_curves(predict(fleet, plan, seed=4), 0)
    assert curves is not None
    result = simulate(fleet, plan, seed=4, replications=3)
    for replication in range(3):
        counts = result.counts(curves.hours[:-1] * 3600, replication)
        assert curves.completed[replication, :-1].tolist() == counts["COMPLETED"].tolist()


def test_a_prediction_knows_that_the_real_fleet_is_another_one() -> None:
    fleet, plan = one_wave(gone=np.arange(SIZE) < 6)
    curves = read_curves(predict(fleet, plan), 0)
    assert curves is not None
    last = curves.completed[:, -1]
    assert last.max() > SIZE - 6, "in one fleet 6 gateways are gone, in others fewer"
    assert last.std() > 2


def test_other_fleets_come_from_the_maker_or_from_the_gateways_of_each_wave() -> None:
    def maker(size: int) -> Fleet:
        return make_fleet(size, phase_ms=np.arange(size))

    plan = Plan(waves=(Wave(size=4), Wave(size=6)), order="number")
    drawn = list(draw_fleets(maker(10), plan, maker, 3, seed=0))
    assert [fleet.phase_ms.tolist()[0] for fleet in drawn] == [0, 10, 20]
    resampled = list(draw_fleets(maker(10), plan, None, 5, seed=0))
    assert resampled[0].phase_ms.tolist() == list(range(10))
    for fleet in resampled[1:]:
        assert fleet.phase_ms[:4].max() < 4, "the first wave keeps its own gateways"
        assert fleet.phase_ms[4:].min() >= 4
        assert fleet.number.tolist() == list(range(10))


# --- ``apply`` ---


@cache
def prediction(*, restarts: bool = False) -> Mapping[str, Any]:
    """The prediction for gateways that poll every 24 h. Without a restart, the update shows at the next poll."""
    phases_ms = (np.arange(SIZE) * 7919 * 1000) % PERIOD_MS
    fleet, plan = one_wave(phase_ms=phases_ms, restarts=restarts)
    return predict(fleet, plan)


class RestartingGateway(MemoryGateway):
    """A gateway whose update restarts its station, so that a success shows after two minutes."""

    def _poll(self, time_ms: int) -> None:
        super()._poll(time_ms)
        if self.task is not None and self.task.status != "COMPLETED" and self.tries == self.failing:
            self.next_poll_ms = time_ms + 2 * MINUTE_MS - self.period_ms


class Scene:
    """An account with gateways that poll every 24 h, unless told otherwise, and a plan with a prediction."""

    def __init__(self, folder: Path, period_ms: int = PERIOD_MS, kind: type[MemoryGateway] = MemoryGateway) -> None:
        self.gateways = []
        for number in range(SIZE):
            gateway = kind(f"gw-{number:05}", 0, period_ms)
            gateway.next_poll_ms = START_MS + (number * 7919 * 1000) % period_ms
            self.gateways.append(gateway)
        self.aws = MemoryAws(self.gateways)
        plan = Plan(waves=(Wave(size=SIZE),))
        ids = [gateway.id for gateway in self.gateways]
        self.plan = make_plan(plan, ids, period_ms=PERIOD_MS, prediction=prediction())
        self.journal = folder / "rollout.journal"

    def run(self, until: Until = Until.HOLD) -> tuple[StateName, str]:
        description = describe_state(run_apply(self.aws, self.plan, self.journal, until, min_list_interval_ms=600_000))
        return description.name, description.reason


def test_a_rollout_that_follows_its_prediction_completes(tmp_path: Path) -> None:
    assert Scene(tmp_path).run(Until.END)[0] is StateName.COMPLETED


def test_a_longer_poll_period_holds_until_somebody_promotes(tmp_path: Path) -> None:
    scene = Scene(tmp_path, period_ms=2 * PERIOD_MS)
    name, reason = scene.run()
    assert name is StateName.HOLDING
    assert reason.startswith("wave 1: ")
    assert "97 % of the predicted rollouts had " in reason
    command(scene.plan, scene.journal, Command.PROMOTE, actor="arn:test", reason="slow polls", clock=scene.aws.clock())
    assert scene.run(Until.END)[0] is StateName.COMPLETED


def test_gateways_that_are_silent_hold_although_nothing_is_read(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    for gateway in scene.gateways[:20]:
        gateway.gone = True
    name, reason = scene.run()
    assert name is StateName.HOLDING
    assert " COMPLETED after " in reason


def test_silent_tasks_are_read_before_the_wave_is_judged(tmp_path: Path) -> None:
    """AWS may not count a CUPS request as an uplink. Then nobody is ever heard."""
    scene = Scene(tmp_path, kind=RestartingGateway)
    scene.plan = replace(scene.plan, prediction=prediction(restarts=True))
    for gateway in scene.gateways:
        gateway.hides_uplinks = True
    assert scene.run(Until.END)[0] is StateName.COMPLETED


def test_an_apply_that_did_not_run_for_days_reads_before_it_judges(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.run(Until.IDLE)
    scene.aws.advance(4 * 24 * 3600)
    assert scene.run(Until.END)[0] is StateName.COMPLETED


def test_a_pause_before_most_tasks_exist_is_no_deviation(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    waves = (replace(scene.plan.waves[0], offsets_ms=tuple(MINUTE_MS * number for number in range(SIZE))),)
    scene.plan = replace(scene.plan, waves=waves)
    scene.run(Until.IDLE)
    tell = {"actor": "arn:test", "reason": "lunch", "clock": scene.aws.clock()}
    command(scene.plan, scene.journal, Command.PAUSE, **tell)
    for _ in range(8):
        scene.aws.advance(5 * 3600)
        assert scene.run(Until.IDLE)[0] is StateName.PAUSED
    command(scene.plan, scene.journal, Command.RESUME, **tell)
    assert scene.run(Until.END)[0] is StateName.COMPLETED


def test_updates_that_fail_hold_before_a_task_is_failed(tmp_path: Path) -> None:
    scene = Scene(tmp_path, kind=RestartingGateway)
    scene.plan = replace(scene.plan, prediction=prediction(restarts=True))
    band = read_band(scene.plan.prediction, 0)
    assert band is not None
    for gateway in sorted(scene.gateways, key=lambda gateway: gateway.next_poll_ms)[:6]:
        gateway.failing = 3
    name, reason = scene.run()
    assert name is StateName.HOLDING
    assert f"wave 1: {band.stalled_high + 1} stalled" in reason
    assert all(gateway.task is not None and gateway.task.status != "FAILED" for gateway in scene.gateways)


def test_a_restart_of_apply_forgets_no_stalled_update(tmp_path: Path) -> None:
    scene = Scene(tmp_path, kind=RestartingGateway)
    for gateway in scene.gateways[::7]:
        gateway.failing = 1
    for _ in range(25):
        scene.aws.advance(2 * 3600)
        scene.run(Until.IDLE)
    with open_journal(scene.journal, scene.plan) as journal:
        state = evolve(initial_state(scene.plan), journal.read())
        fitted = fit(journal.task_log(), until_ms=scene.aws.now_ms, poll_period_s=PERIOD_MS / 1000)
    assert state.waves[0].count("COMPLETED") == SIZE
    assert state.waves[0].stalled == len(scene.gateways[::7])
    assert fitted.fails is not None
    assert fitted.fails.value == 9 / fitted.tries, "the journal has each failed try once"
    assert SIZE < fitted.tries <= SIZE + 9, "tries that began too late to be judged are left out"
