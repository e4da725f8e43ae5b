"""A rollout that was carried out on gateways in memory, with its plan and its journal in files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rollout_memory import HOUR_MS, MemoryAws, make_gateways, make_plan, run_apply

from lorafw.fleet import Threshold, Update, make_fleet
from lorafw.fleet.plan import Plan, Wave
from lorafw.rollout import write_plan
from lorafw.rollout.engine import Until
from lorafw.rollout.prediction import predict
from lorafw.rollout.saved_plan import SavedPlan

HOUR_S = 3600.0
GATE = Threshold(success=0.9, error=0.6)
PLAN = Plan(
    name="three & six",
    update=Update(size_bytes=2000, apply_s=60),
    waves=(Wave(size=3, bake_s=6 * HOUR_S, gate=GATE, give_up_s=12 * HOUR_S), Wave(size=6)),
)
SIZE = 9
FAILING = {1: 9}
"""The second gateway fails whenever it tries, so the gate of the first wave holds and then stops the rollout."""


def save_plan(folder: Path) -> SavedPlan:
    """Write the plan of nine gateways into a folder, as ``rollout.plan``, and return it."""
    fleet = make_fleet(SIZE, phase_ms=np.arange(SIZE) * 60_000, period_ms=HOUR_MS, goodput_Bps=1e9)
    plan = make_plan(
        PLAN,
        [gateway.id for gateway in make_gateways(SIZE)],
        period_ms=HOUR_MS,
        prediction=predict(fleet, PLAN),
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
