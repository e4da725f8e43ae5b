"""Count how often a rollout holds because it differs from its prediction.

``agreement`` simulates rollouts that follow the model, each with a fleet of its own. At most 5 % may hold; the band is
designed for 3 %. ``drifts`` simulates rollouts in which something differs from the model, with 250, 500 and 1,000
gateways in the first two waves. At least 80 % should hold before the second wave ends. The table says how many hold,
and when.

The rollouts are simulated. The band and the comparison are those of ``lorafw rollout apply``; a wave is compared with
its band every 30 minutes until the rollout stops or nothing more happens.

    python tests/bench/envelope.py agreement [--rollouts 1000]
    python tests/bench/envelope.py drifts [--rollouts 400]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from lorafw.fleet import Fleet, Plan, Threshold, Update, Wave, mixed_fleet, simulate
from lorafw.fleet.formatting import format_percent
from lorafw.fleet.statistics.estimates import wilson_interval
from lorafw.rollout.envelope import Band, ObservedWave, find_deviation, read_band
from lorafw.rollout.prediction import WaveEnds, predict, simulated_waves
from lorafw.tasks.lifecycle import TaskStatus

DAY_S: Final = 86_400.0
HOUR_MS: Final = 3_600_000
LOOK_MS: Final = HOUR_MS // 2
SIZES: Final = (250, 500, 1000)
"""Numbers of gateways in the first two waves."""
LARGEST_FALSE_SHARE: Final = 0.05
WANTED_SHARE: Final = 0.8
Z: Final = 1.96
FAILS: Final = 0.02
GATE: Final = Threshold(success=0.8, error=0.1)


def make_plan(size: int, fails: float = FAILS) -> Plan:
    """A canary of a fifth of ``size``, a second wave with the rest, and a last wave of the same size."""
    canary = size // 5
    waves = (
        Wave(size=canary, bake_s=4 * DAY_S, gate=GATE),
        Wave(size=size - canary, bake_s=4 * DAY_S, gate=GATE),
        Wave(size=size),
    )
    return Plan(update=Update(fails=fails), waves=waves)


def more_failures(size: int, seed: int) -> tuple[Fleet, Plan]:
    return mixed_fleet(2 * size, seed=seed), make_plan(size, fails=3 * FAILS)


def longer_period(size: int, seed: int) -> tuple[Fleet, Plan]:
    return mixed_fleet(2 * size, seed=seed, period_s=2 * DAY_S), make_plan(size)


def region_offline(size: int, seed: int) -> tuple[Fleet, Plan]:
    fleet = mixed_fleet(2 * size, seed=seed)
    is_there = fleet.region == fleet.code_of("region", "ap-northeast-1")
    return replace(fleet, gone=fleet.gone | is_there), make_plan(size)


def as_predicted(size: int, seed: int) -> tuple[Fleet, Plan]:
    return mixed_fleet(2 * size, seed=seed), make_plan(size)


Truth = Callable[[int, int], tuple[Fleet, Plan]]
DRIFTS: Final[Mapping[str, Truth]] = {
    "failure rate 2 % -> 6 % a try": more_failures,
    "poll period 24 h -> 48 h": longer_period,
    "a Region offline (20 %)": region_offline,
}


@dataclass(frozen=True)
class Hold:
    """When and why a rollout holds."""

    wave: int
    hours: float
    is_before_second_end: bool
    reason: str


def make_bands(size: int) -> list[Band]:
    """Return the bands of the plan for fleets of the model."""
    prediction = predict(mixed_fleet(2 * size), make_plan(size), make_fleet=mixed_fleet)
    bands = [read_band(prediction, index) for index in range(len(prediction["waves"]))]
    assert None not in bands
    return [band for band in bands if band is not None]


def find_hold(bands: Sequence[Band], fleet: Fleet, plan: Plan, seed: int) -> Hold | None:
    """Simulate a rollout, compare it with its bands in the order of time, and return its first hold."""
    result = simulate(fleet, plan, seed=seed)
    started_ms = [int(record.started_ms[0]) for record in result.waves]
    second_end_ms = min(started_ms[2], int(result.stopped_ms[0]))
    holds = []
    for index, ends in enumerate(simulated_waves(result)):
        if not len(ends.status):
            continue
        found = _first_deviation(bands[index], index, ends)
        if found is not None:
            elapsed_ms, reason = found
            time_ms = started_ms[index] + elapsed_ms
            holds.append((time_ms, Hold(index, elapsed_ms / HOUR_MS, time_ms < second_end_ms, reason)))
    if not holds:
        return None
    return min(holds, key=lambda item: item[0])[1]


def _first_deviation(band: Band, index: int, ends: WaveEnds) -> tuple[int, str] | None:
    """Return when a wave leaves its band, and the reason."""
    stopped_ms = int(ends.stopped_ms[0])
    last_ms = int(band.hours[-1] * HOUR_MS) + LOOK_MS
    looks_ms = np.arange(LOOK_MS, last_ms + LOOK_MS, LOOK_MS)
    looks_ms = looks_ms[looks_ms < stopped_ms]
    times_ms = [ends.times_ms(TaskStatus.COMPLETED), ends.times_ms(TaskStatus.FAILED), ends.sorted_stalls_ms()]
    counts = np.array([np.searchsorted(times[0], looks_ms, side="right") for times in times_ms])
    for elapsed_ms, (completed, failed, stalled) in zip(looks_ms.tolist(), counts.T.tolist(), strict=True):
        seen = ObservedWave(
            wave=index,
            completed=completed,
            failed=failed,
            stalled=stalled,
            elapsed_ms=elapsed_ms,
            known_ms=elapsed_ms,
        )
        reason = find_deviation(band, seen)
        if reason is not None:
            return elapsed_ms, reason
    return None


def find_holds(size: int, truth: Truth, rollouts: int, first_seed: int = 1) -> Iterator[Hold | None]:
    """Yield the first hold of each rollout, or None."""
    bands = make_bands(size)
    for seed in range(first_seed, first_seed + rollouts):
        fleet, plan = truth(size, seed)
        yield find_hold(bands, fleet, plan, seed)


def share(hits: int, trials: int) -> str:
    """Return a share with its 95 % interval."""
    estimate = wilson_interval(hits, trials, Z)
    assert estimate.low is not None
    assert estimate.high is not None
    return f"{hits / trials:6.1%} ({estimate.low:.1%} to {estimate.high:.1%})"


def measure_agreement(rollouts: int) -> bool:
    """Print the share of rollouts that hold although they follow the model. Returns False if it is too large."""
    is_good = True
    for size in SIZES:
        holds = [hold for hold in find_holds(size, as_predicted, rollouts) if hold is not None]
        print(f"{2 * size:5} gateways: {share(len(holds), rollouts)} of {rollouts} rollouts hold", flush=True)
        for example in holds[:3]:
            print(f"      {example.reason}")
        is_good &= len(holds) <= LARGEST_FALSE_SHARE * rollouts
    return is_good


def measure_drifts(rollouts: int) -> bool:
    """Print how many rollouts with a drift hold, and when. Returns False if they are too few."""
    is_good = True
    print(f"{'drift':32} {'size':>5}  {'hold before wave 2 ends':28} {'in wave 1':>9} {'median':>8}  {'90 %':>7}")
    for name, truth in DRIFTS.items():
        for size in SIZES:
            holds = [hold for hold in find_holds(size, truth, rollouts) if hold is not None]
            early = [hold for hold in holds if hold.is_before_second_end]
            first = sum(hold.wave == 0 for hold in early)
            hours = [hold.hours for hold in early] or [np.nan]
            median, most = np.quantile(hours, (0.5, 0.9))
            when = f"{first / rollouts:9.1%} {median:6.1f} h  {most:5.1f} h"
            print(f"{name:32} {size:5}  {share(len(early), rollouts):28} {when}", flush=True)
            is_good &= len(early) >= WANTED_SHARE * rollouts
    return is_good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("agreement", "drifts"))
    parser.add_argument("--rollouts", type=int)
    arguments = parser.parse_args()
    if arguments.what == "agreement":
        is_good = measure_agreement(arguments.rollouts or 1000)
        wanted = f"at most {format_percent(LARGEST_FALSE_SHARE)}"
    else:
        is_good = measure_drifts(arguments.rollouts or 400)
        wanted = f"at least {format_percent(WANTED_SHARE)}"
    if not is_good:
        raise SystemExit(f"the share is not {wanted} everywhere")


if __name__ == "__main__":
    main()
