"""Measure the speed of ``lorafw rollout`` with an AWS in memory, and check that it survives random kills.

``speed`` carries out a canary and two waves with many gateways that poll once a day, and writes the journal. ``kills``
carries out the same plan with 1,000 gateways. It kills ``apply`` at 200 random boundaries of its journal and its calls,
and starts it again each time. No gateway may get two tasks, none may be forgotten, and the log must equal that of an
undisturbed run. ``testbed`` carries out the same plan with 3,000 gateways of a testbed. Then it repeats the boto3 calls
that ``apply`` made on a second testbed, between the same advances of its clock, and compares the times.

    python tests/bench/rollout_core.py speed [--gateways 40000]
    python tests/bench/rollout_core.py testbed [--gateways 3000]
    python tests/bench/rollout_core.py kills [--gateways 1000] [--kills 200] [--seed 1]
"""

from __future__ import annotations

import argparse
import copy
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
from botocore import xform_name
from botocore.exceptions import ClientError
from rollout_example import make_definition
from rollout_memory import MemoryAws, make_gateways, make_plan, run_apply
from test_rollout_survives import Boundaries, Killed, KillingJournal, log_of

from lorafw.fleet import make_fleet
from lorafw.fleet.plan import Plan, Threshold, Update, Wave
from lorafw.gateway.virtual import FIRST_POLL_S
from lorafw.rollout import SimulatedTime, Until, apply, connect_clients
from lorafw.rollout import make_plan as plan_rollout
from lorafw.rollout.saved_plan import SavedPlan
from lorafw.rollout.status import StateName, describe_state
from lorafw.tasks.lifecycle import TaskStatus
from lorafw.testbed import Testbed

DAY_S = 86_400.0
TESTBED_BOUND = 1.5
"""The time of ``apply`` on a testbed, compared with the same calls without engine and journal."""
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


@dataclass(frozen=True)
class Times:
    """How long something took."""

    elapsed_s: float
    cpu_s: float
    """Processor time of this process. Other programs change it little."""

    @classmethod
    def since(cls, start: Times) -> Times:
        """Return the times since a start."""
        now = cls.now()
        return cls(now.elapsed_s - start.elapsed_s, now.cpu_s - start.cpu_s)

    @classmethod
    def now(cls) -> Times:
        """Return the clocks."""
        return cls(time.perf_counter(), time.process_time())


@dataclass
class Recorder:
    """Records the calls of boto3 clients and the advances of a clock, in order."""

    steps: list[tuple[str, str, Any]] = field(default_factory=list)
    """Service, operation and parameters of a call, or ``clock``, ``advance`` and the seconds."""
    gateway_ids: list[str] = field(default_factory=list)
    """The identifiers of the testbed's gateways."""

    def recorded_client(self, client: Any, service: str) -> Any:
        """Return the client. From now on its calls are recorded."""

        def record(params: dict[str, Any], model: Any, **_: Any) -> None:
            self.steps.append((service, model.name, copy.deepcopy(params)))

        client.meta.events.register_first("provide-client-params", record)
        return client

    def recorded_advance(self, advance: Callable[[float], object]) -> Callable[[float], None]:
        """Return a function that advances a clock and records it."""

        def advance_and_record(seconds: float) -> None:
            self.steps.append(("clock", "advance", seconds))
            advance(seconds)

        return advance_and_record


def open_fleet(gateways: int) -> Testbed:
    """Return an open testbed with a fleet that polls once a day and waits for an update."""
    bed = Testbed(gateways=gateways, interval_s=DAY_S, spread_polls=True).start()
    bed.advance(DAY_S)
    return bed


def apply_on_testbed(gateways: int, folder: Path) -> tuple[Times, Recorder]:
    """Carry a plan out on a testbed. Return how long ``apply`` took, and what it did."""
    bed, recorder = open_fleet(gateways), Recorder()
    clients = cache(lambda service: recorder.recorded_client(bed.client(service), service))
    connection = connect_clients(clients, "lab")
    clock = SimulatedTime(bed.clock.now_ms, recorder.recorded_advance(bed.advance))
    phase_ms = [gateway.next_poll_ms - bed.clock.now_ms() for gateway in bed.gateways]
    fleet = make_fleet(gateways, phase_ms=np.array(phase_ms), period_ms=round(DAY_S * 1000), goodput_Bps=1e12)
    steps = replace(PLAN, update=Update(apply_s=FIRST_POLL_S, size_bytes=2000))
    plan = plan_rollout(steps, make_definition(bed), fleet, connection, clock=clock, calls_per_s=1e9)
    recorder.steps.clear()
    recorder.gateway_ids = [gateway.id for gateway in bed.gateways]
    start = Times.now()
    state = apply(plan, folder / "journal", connection, clock, calls_per_s=1e9, until=Until.HOLD)
    times = Times.since(start)
    assert describe_state(state).name is StateName.COMPLETED, describe_state(state)
    check_one_task_each(bed, gateways)
    bed.stop()
    return times, recorder


def repeat_on_testbed(gateways: int, recorder: Recorder) -> Times:
    """Repeat calls and advances on a new testbed. Return how long they took.

    A new testbed gives its gateways and definitions other identifiers, so those in the calls are replaced.
    """
    bed = open_fleet(gateways)
    make_definition(bed)
    clients = cache(bed.client)
    new_ids = dict(zip(recorder.gateway_ids, (gateway.id for gateway in bed.gateways), strict=True))
    definition_id = ""
    start = Times.now()
    for service, operation, argument in recorder.steps:
        if service == "clock":
            bed.advance(argument)
            continue
        params = dict(argument)
        if "WirelessGatewayTaskDefinitionId" in params:
            params["WirelessGatewayTaskDefinitionId"] = definition_id
        if params.get("Id") in new_ids:
            params["Id"] = new_ids[params["Id"]]
        with suppress(ClientError):
            response = getattr(clients(service), xform_name(operation))(**params)
            if operation == "CreateWirelessGatewayTaskDefinition":
                definition_id = response["Id"]
    times = Times.since(start)
    check_one_task_each(bed, gateways)
    bed.stop()
    return times


def check_one_task_each(bed: Testbed, gateways: int) -> None:
    """Check that each gateway was given one task, and that it is COMPLETED."""
    created = Counter(row.gateway for row in bed.log if row.from_status is None)
    completed = {row.gateway for row in bed.log if row.to_status is TaskStatus.COMPLETED}
    assert len(created) == len(completed) == gateways, (len(created), len(completed))
    assert set(created.values()) == {1}


def measure_testbed(gateways: int, folder: Path) -> None:
    """Print how much longer ``apply`` takes than its calls alone. On a busy machine, only the processor time tells."""
    applied, recorder = apply_on_testbed(gateways, folder)
    repeated = repeat_on_testbed(gateways, recorder)
    calls = sum(service != "clock" for service, _, _ in recorder.steps)
    ratio, cpu_ratio = applied.elapsed_s / repeated.elapsed_s, applied.cpu_s / repeated.cpu_s
    print(f"{gateways:,} gateways, {calls:,} calls, with engine and journal and without:")
    print(f"processor time {applied.cpu_s:.1f} s and {repeated.cpu_s:.1f} s, ratio {cpu_ratio:.2f}")
    print(f"elapsed time {applied.elapsed_s:.1f} s and {repeated.elapsed_s:.1f} s, ratio {ratio:.2f}")
    print(f"the ratio of the elapsed times is at most {TESTBED_BOUND}")
    if ratio > TESTBED_BOUND:
        raise SystemExit(1)


def run(aws: MemoryAws, plan: SavedPlan, path: Path, boundaries: Boundaries) -> object:
    aws.before = aws.after = boundaries.tick
    return run_apply(aws, plan, path, batch=8, journal_type=lambda journal: KillingJournal(journal, boundaries))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "kills", "testbed"])
    parser.add_argument("--gateways", type=int)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if arguments.what == "speed":
            measure_speed(arguments.gateways or 40_000, Path(name))
        elif arguments.what == "testbed":
            measure_testbed(arguments.gateways or 3_000, Path(name))
        else:
            measure_kills(arguments.gateways or 1_000, arguments.kills, arguments.seed, Path(name))


if __name__ == "__main__":
    main()
