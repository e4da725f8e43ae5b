"""Who belongs to which wave: the public schedule, the exported file, and the gate that waits for a person."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from lorafw.cli import main
from lorafw.fleet import GateDecision, Manual, Plan, Rate, Wave, evaluate_gate, make_fleet, schedule_waves, simulate

PLAN = Plan(
    waves=(Wave(size=5, bake_s=3600), Wave(share=0.5), Wave(size=20)),
    rate=Rate(maximum_per_minute=30),
    random_delay_s=900,
)


@pytest.mark.parametrize("replication", [0, 3])
def test_the_schedule_is_what_the_simulator_carries_out(replication: int) -> None:
    fleet = make_fleet(50, phase_ms=np.arange(50) * 1000)
    result = simulate(fleet, PLAN, seed=7, replications=4)
    created_ms = result.histories.created_ms[replication]
    for wave, record in zip(schedule_waves(fleet, PLAN, seed=7, replication=replication), result.waves, strict=True):
        assert (created_ms[wave.gateway_index] == record.started_ms[replication] + wave.offsets_ms).all()


def test_simulate_exports_the_waves_with_the_names_of_the_gateways(tmp_path: Path) -> None:
    (tmp_path / "gateways.csv").write_text("gateway\n" + "\n".join(f"roof-{number}" for number in range(8)))
    (tmp_path / "plan.toml").write_text(
        "[plan]\norder = 'number'\nrate = { maximum_per_minute = 60 }\n"
        "[[plan.waves]]\nsize = 3\n[[plan.waves]]\nsize = 5\n"
    )
    arguments = ["simulate", str(tmp_path / "plan.toml"), "--fleet", str(tmp_path / "gateways.csv"), "--no-sweep"]
    done = CliRunner().invoke(main, [*arguments, "--export", str(tmp_path / "waves.csv")])
    assert done.exit_code == 0, done.output
    with (tmp_path / "waves.csv").open(newline="") as file:
        rows = [tuple(row) for row in csv.reader(file)]
    waves = [("1", f"roof-{k}", f"{k}.0") for k in range(3)] + [("2", f"roof-{k}", f"{k - 3}.0") for k in range(3, 8)]
    assert rows == [("wave", "gateway", "offset_s"), *waves]


def test_a_manual_gate_counts_as_promoted_at_its_first_check_and_the_report_says_so() -> None:
    plan = Plan(waves=(Wave(size=2, bake_s=60, gate=Manual()), Wave(size=3)))
    result = simulate(make_fleet(5), plan)
    assert result.waves[1].started_ms[0] == 60_000
    assert ("manual gates", "promoted at their first check", "assumption") in result.assumptions()
    assert evaluate_gate(Manual(), 0, 5, 5) == GateDecision.GO
