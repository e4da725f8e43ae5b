"""The engine of ``lorafw rollout`` against an AWS in memory: how fast it is, and how it survives random kills.

``speed``: a canary and two waves with many gateways that poll once a day, journal included. ``kills``: the same plan
with 1,000 gateways; ``apply`` is killed at 200 random boundaries of its journal and its calls, one after the other, and
goes on each time. No gateway gets two tasks, none is forgotten, and the log is that of an undisturbed run.

    python tests/bench/rollout_core.py speed [--gateways 40000]
    python tests/bench/rollout_core.py kills [--gateways 1000] [--kills 200] [--seed 1]
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from rollout_memory import MemoryAws, make_gateways, make_plan, run_apply
from test_rollout_survives import Boundaries, Killed, KillingJournal, log_of

from lorafw.fleet.plan import Plan, Threshold, Wave
from lorafw.rollout.saved_plan import SavedPlan
from lorafw.rollout.status import StateName, describe_state

DAY_S = 86_400.0
GATE = Threshold(success=0.5, error=0.9)
PLAN = Plan(
    waves=(
        Wave(share=0.01, bake_s=1.5 * DAY_S, gate=GATE),
        Wave(share=0.1, bake_s=1.5 * DAY_S, gate=GATE),
        Wave(share=0.89),
    )
)


def make_rollout(gateways: int) -> tuple[MemoryAws, SavedPlan]:
    """An account in which every fiftieth gateway fails all of its tries, and every twentieth the first one."""
    failing = dict.fromkeys(range(0, gateways, 20), 1) | dict.fromkeys(range(7, gateways, 50), 3)
    made = make_gateways(gateways, failing=failing)
    return MemoryAws(made), make_plan(PLAN, [gateway.id for gateway in made])


def measure_speed(gateways: int, folder: Path) -> None:
    """Run one rollout to its end and print how long it took."""
    aws, plan = make_rollout(gateways)
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    state = run_apply(aws, plan, folder / "journal", batch=10_000)
    elapsed_s, cpu_s = time.perf_counter() - start_s, time.process_time() - start_cpu_s
    assert describe_state(state).name is StateName.COMPLETED, describe_state(state)
    assert len(aws.created) == gateways
    assert set(aws.created.values()) == {1}
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    calls = sum(aws.calls.values())
    print(f"{gateways:,} gateways in {elapsed_s:.1f} s ({cpu_s:.1f} s of CPU), {calls:,} calls, {memory_mb:.0f} MB")
    print(", ".join(f"{count:,} {operation}" for operation, count in aws.calls.most_common()))


def measure_kills(gateways: int, kills: int, seed: int, folder: Path) -> None:
    """Kill one rollout many times and compare it with an undisturbed one."""
    expected, plan = make_rollout(gateways)
    boundaries = Boundaries()
    run(expected, plan, folder / "undisturbed", boundaries)
    aws, plan = make_rollout(gateways)
    chance = random.Random(seed)
    for _ in range(kills):
        with suppress(Killed):
            run(aws, plan, folder / "killed", Boundaries(chance.randint(1, max(2, boundaries.count * 2 // kills))))
    state = run(aws, plan, folder / "killed", Boundaries())
    assert describe_state(state).name is StateName.COMPLETED
    assert aws.created == expected.created
    assert set(aws.created.values()) == {1}
    assert len(aws.definitions) == 1
    assert log_of(plan, folder / "killed", times=False) == log_of(plan, folder / "undisturbed", times=False)
    print(f"{kills} kills, {gateways:,} gateways: one task each, none forgotten, and the log of an undisturbed run")


def run(aws: MemoryAws, plan: SavedPlan, path: Path, boundaries: Boundaries) -> object:
    aws.before = aws.after = boundaries.tick
    return run_apply(aws, plan, path, batch=8, journal_type=lambda journal: KillingJournal(journal, boundaries))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "kills"])
    parser.add_argument("--gateways", type=int)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if arguments.what == "speed":
            measure_speed(arguments.gateways or 40_000, Path(name))
        else:
            measure_kills(arguments.gateways or 1_000, arguments.kills, arguments.seed, Path(name))


if __name__ == "__main__":
    main()
