"""Compare the speed of the simulator with that of a SimPy model, and for fleets of different sizes.

    python tests/bench/fleet_speed.py

Each line is a ratio. The two sides run in turns, and the best time of each counts, so the ratio depends little on the
machine.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from command_speed import SIMPY, simpy_reference

from lorafw.fleet import Abort, Plan, Rate, Result, Threshold, Update, Wave, reference_fleet, reference_plan, simulate

MILLION = 1_000_000
ROUNDS = 5
GIB = 1 << 30
HUGE = "from fleet_speed import peak_memory; peak_memory()"


def best(*work: Callable[[int], object]) -> list[float]:
    """The best time of each, measured in turns."""
    times: list[list[float]] = [[] for _ in work]
    for seed in range(ROUNDS):
        for mine, do in zip(times, work, strict=True):
            start = time.perf_counter()
            do(seed)
            mine.append(time.perf_counter() - start)
    return [min(mine) for mine in times]


def reference(gateways: int, seed: int) -> Result:
    return simulate(reference_fleet(gateways, seed=seed), reference_plan(), seed=seed)


def with_everything(seed: int) -> None:
    result = reference(MILLION, seed)
    assert len(result.events) > 3 * MILLION
    result.summary()


def coupled_plan() -> Plan:
    gate = Threshold(success=0.5, error=0.5)
    return Plan(
        update=Update(fails=0.05),
        waves=(Wave(share=0.01, bake_s=86_400, gate=gate), Wave(share=0.09, bake_s=86_400, gate=gate), Wave(share=0.9)),
        rate=Rate(maximum_per_minute=1000),
        abort=Abort(threshold=0.2, minimum_executed=100),
    )


def agree(seed: int = 0) -> None:
    """Both engines give the reference's figures, each within four standard errors of the other."""
    ours = reference(MILLION, seed).summary()
    completed, sends = simpy_reference(SIMPY, seed)
    error = (0.001 * 0.999 / SIMPY) ** 0.5, 0.35 / SIMPY**0.5
    assert ours.completed_share.value is not None
    assert ours.mean_sends.value is not None
    assert abs(ours.completed_share.value - completed / SIMPY) < 4 * error[0]
    assert abs(ours.mean_sends.value - sends / SIMPY) < 4 * error[1]


def peak_memory() -> None:
    """Ten million gateways; prints the most memory that the process has had, in bytes."""
    reference(10 * MILLION, 1).summary()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def main() -> None:
    agree()
    million, in_a_row, ten, lean = best(
        lambda seed: reference(MILLION, seed).summary(),
        lambda seed: [reference(MILLION, 10 * seed + number).summary() for number in range(10)],
        lambda seed: reference(10 * MILLION, seed).summary(),
        lambda seed: simpy_reference(SIMPY, seed),
    )
    ratio = (MILLION / million) / (SIMPY / lean)
    print(
        f"without log: lorafw {MILLION / million:,.0f} gateways/s, SimPy {SIMPY / lean:,.0f}; ratio {ratio:.0f} (100)"
    )
    print(f"ten million take {10 * ten / in_a_row:.1f} times one million, of which ten were run in a row (at most 11)")
    here = Path(__file__).parent
    command = [sys.executable, "-c", HUGE]
    memory = int(subprocess.run(command, cwd=here, check=True, capture_output=True, text=True).stdout)
    print(f"and {memory / GIB:.2f} GiB (under 3 GB is {3e9 / GIB:.2f})")

    fleet, small, plan = reference_fleet(MILLION), reference_fleet(1000), coupled_plan()
    everything, coupled, rollouts, lean = best(
        with_everything,
        lambda seed: simulate(fleet, plan, seed=seed).summary(),
        lambda seed: simulate(small, plan, seed=seed, replications=1000).summary(),
        lambda seed: simpy_reference(SIMPY, seed),
    )
    print(
        f"fleet, rollout, log, summary of a million: {everything:.2f} s; as SimPy does {everything / lean * SIMPY:,.0f}"
    )
    print(
        f"waves, rate and abort, a million: {coupled:.2f} s; as SimPy does {coupled / lean * SIMPY:,.0f} without them"
    )
    print(f"1000 rollouts to 1000 with all of that: {rollouts:.2f} s; as SimPy does {rollouts / lean * SIMPY:,.0f}")


if __name__ == "__main__":
    main()
