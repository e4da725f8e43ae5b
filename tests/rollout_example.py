"""Rollouts with their plan and their journal in files: on gateways in memory, and on a testbed."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from rollout_memory import HOUR_MS, START_MS, MemoryAws, make_gateways, make_plan, run_apply

from lorafw.fleet import Threshold, Update, make_fleet
from lorafw.fleet.plan import Plan, Wave
from lorafw.rollout import SimulatedTime, connect_clients, write_plan
from lorafw.rollout import make_plan as plan_rollout
from lorafw.rollout.engine import Until
from lorafw.rollout.prediction import predict
from lorafw.rollout.saved_plan import SavedPlan
from lorafw.testbed import Testbed

HOUR_S = 3600.0
GATE = Threshold(success=0.9, error=0.6)
PLAN = Plan(
    name="three & six",
    update=Update(size_bytes=2000, apply_s=HOUR_S),
    waves=(Wave(size=3, bake_s=6 * HOUR_S, gate=GATE, give_up_s=12 * HOUR_S), Wave(size=6)),
)
LARGER_PLAN = Plan(
    name="canary, then the rest",
    update=Update(size_bytes=2000, apply_s=60, fails=0.02),
    waves=(Wave(size=8, bake_s=6 * HOUR_S, gate=GATE), Wave(size=16, bake_s=6 * HOUR_S, gate=GATE)),
)
"""The plan of 24 gateways."""
SIZE = 9
FAILING = {1: 9}
"""The second gateway fails whenever it tries, so the gate of the first wave holds and then stops the rollout."""


@cache
def _prediction() -> dict[str, Any]:
    """The prediction of the plan for gateways that poll as those in memory do."""
    phase_ms = np.array([gateway.phase_ms - START_MS for gateway in make_gateways(SIZE, period_ms=HOUR_MS)])
    return predict(make_fleet(SIZE, phase_ms=phase_ms, period_ms=HOUR_MS, goodput_Bps=1e9), PLAN)


def save_plan(folder: Path) -> SavedPlan:
    """Write the plan of nine gateways into a folder, as ``rollout.plan``, and return it."""
    plan = make_plan(
        PLAN,
        [gateway.id for gateway in make_gateways(SIZE)],
        period_ms=HOUR_MS,
        prediction=_prediction(),
        assumptions=(("installs that fail", "0 %", "assumption"),),
    )
    write_plan(plan, folder / "rollout.plan")
    return plan


def carry_out(folder: Path, until: Until = Until.END) -> SavedPlan:
    """Write the plan, carry it out with the journal ``rollout.journal``, and return it."""
    plan = save_plan(folder)
    aws = MemoryAws(make_gateways(SIZE, period_ms=HOUR_MS, failing=FAILING))
    run_apply(aws, plan, folder / "rollout.journal", until)
    return plan


def make_definition(bed: Testbed) -> dict[str, Any]:
    """Return the input.json of an update that the testbed has built and signed. The testbed keeps no definition."""
    client = bed.client("iotwireless")
    definition_id = bed.define_update("1.0.1", restart="true", auto_create_tasks=False)
    members = client.get_wireless_gateway_task_definition(Id=definition_id)
    client.delete_wireless_gateway_task_definition(Id=definition_id)
    return {name: members[name] for name in ("AutoCreateTasks", "Name", "Update")}


def plan_on_testbed(bed: Testbed, folder: Path, plan: Plan = PLAN) -> Path:
    """Plan an update of all gateways of a testbed, which poll every hour, and write it into a folder. Return its file.

    The first polls are spread over the hour.
    """
    start_ms = bed.clock.now_ms()
    size = len(bed.gateways)
    phase_ms = np.arange(size) * HOUR_MS // size
    for gateway, offset_ms in zip(bed.gateways, phase_ms.tolist(), strict=True):
        gateway.next_poll_ms = start_ms + offset_ms
    fleet = make_fleet(size, phase_ms=phase_ms, period_ms=HOUR_MS, goodput_Bps=1e9)
    clock = SimulatedTime(bed.clock.now_ms, bed.advance)
    saved = plan_rollout(
        plan, make_definition(bed), fleet, connect_clients(bed.client, "lab"), clock=clock, calls_per_s=1e9
    )
    write_plan(saved, folder / "rollout.plan")
    return folder / "rollout.plan"


MONITOR_IN_A_NOTEBOOK = f"""
import sys, tempfile, pathlib
sys.path.insert(0, {str(Path(__file__).parent)!r})
from rollout_example import LARGER_PLAN, plan_on_testbed
from lorafw import Testbed
from lorafw.lab import RolloutMonitor
bed = Testbed(gateways=24, interval_s=3600).start()
for number in (0, 1, 2, 3, 7):
    bed.inject("wrong-key", number)
plan = plan_on_testbed(bed, pathlib.Path(tempfile.mkdtemp()), LARGER_PLAN)
RolloutMonitor(plan, target=bed)"""
"""A cell with a monitor that can carry out a plan. Five of its gateways refuse the update."""
