"""Count how often the intervals of ``lorafw.fleet.fit`` contain the true value, on simulated fleets of all kinds.

Each fleet has its own size, failure probability, share of gateways that are gone, and conditions. At least 93 % of the
95 % intervals of each parameter must contain the true value. ``whole`` is the log of a rollout that has ended. ``cut``
is a log that ends in the middle of a rollout, when failures have not shown yet.

    python tests/bench/fit.py [--fleets 1000]
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from lorafw.errors import FleetError
from lorafw.fleet import Fleet, Plan, Result, Threshold, Update, Wave, fit, mixed_fleet, simulate
from lorafw.fleet.statistics.estimates import wilson_interval

HOUR_S: Final = 3600.0
SMALLEST_COVERAGE: Final = 0.93
Z: Final = 1.96
GATE: Final = Threshold(success=0.3, error=0.7)


@dataclass(frozen=True)
class Truth:
    """What a fleet was simulated with."""

    fails: float
    gone: float
    fleet: Fleet
    plan: Plan


def draw_truth(seed: int) -> Truth:
    """Draw a fleet and a plan."""
    random = np.random.default_rng(seed)
    size = int(random.integers(100, 1000))
    fails, gone = float(random.uniform(0.002, 0.15)), float(random.uniform(0, 0.08))
    period_s = float(random.choice([1, 6, 24])) * HOUR_S
    canary = size // 10
    waves = (Wave(size=canary, bake_s=3 * period_s, gate=GATE), Wave(size=size - canary))
    return Truth(
        fails,
        gone,
        mixed_fleet(size, seed=seed, gone=gone, period_s=period_s),
        Plan(update=Update(fails=fails), waves=waves),
    )


def cut_rows(result: Result, seed: int) -> tuple[list[tuple[object, ...]], float]:
    """Return the rows of a log until a random time of the rollout, and this time."""
    rows = list(result.events.iter_rows())
    last_ms = max(row[0] for row in rows)
    until_ms = float(np.random.default_rng(seed).uniform(0.3, 1) * last_ms)
    return [row for row in rows if row[0] <= until_ms], until_ms


def check_fleet(seed: int) -> Iterator[tuple[str, str]]:
    """Yield, for each log and parameter of a fleet, whether it is covered, missed or refused."""
    truth = draw_truth(seed)
    result = simulate(truth.fleet, truth.plan, seed=seed)
    for parameter in ("fails", "gone"):
        wanted = getattr(truth, parameter)
        yield f"whole {parameter}", outcome(result.events, parameter, wanted, truth.plan.horizon_s * 1000)
        rows, until_ms = cut_rows(result, seed)
        yield f"cut {parameter}", outcome(rows, parameter, wanted, until_ms)


def outcome(log: object, parameter: str, wanted: float, until_ms: float) -> str:
    """Return whether the interval of a parameter holds the truth."""
    try:
        estimate = getattr(fit(log, parameters=[parameter], until_ms=until_ms), parameter)
    except FleetError:
        return "refused"
    return "covered" if estimate.low <= wanted <= estimate.high else "missed"


def measure(fleets: int) -> dict[str, Counter[str]]:
    """Count the outcomes for each log and parameter."""
    counts: dict[str, Counter[str]] = {}
    for seed in range(fleets):
        for name, found in check_fleet(seed):
            counts.setdefault(name, Counter())[found] += 1
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fleets", type=int, default=1000)
    arguments = parser.parse_args()
    worst = 1.0
    for name, counts in measure(arguments.fleets).items():
        fitted = counts["covered"] + counts["missed"]
        estimate = wilson_interval(counts["covered"], fitted, Z)
        worst = min(worst, counts["covered"] / fitted)
        print(
            f"{name:12} {counts['covered'] / fitted:6.1%} of {fitted} intervals cover "
            f"({estimate.low:.1%} to {estimate.high:.1%}); {counts['refused']} logs are refused"
        )
    if worst < SMALLEST_COVERAGE:
        raise SystemExit(f"fewer than {SMALLEST_COVERAGE:.0%} of the intervals cover")


if __name__ == "__main__":
    main()
