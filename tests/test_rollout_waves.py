"""Which gateway belongs to which wave: the public schedule, the exported file, empty waves, and the manual gate."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from lorafw.cli import main
from lorafw.errors import FleetError
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


EMPTY = [
    ((0.01, 0.99), 30, "wave 1 has no gateway: its share, 0.01 of 30, rounds to 0 gateways"),
    ((0.5, 0.01, 0.49), 40, "wave 2 has no gateway: its share, 0.01 of 40, rounds to 0 gateways"),
    ((0.99, 0.01), 30, "wave 2 has no gateway: its share, 0.01 of 30, rounds to 0 gateways"),
    ((0.3, 0.3, 0.4), 1, "wave 1 has no gateway: its share, 0.3 of 1, rounds to 0 gateways"),
]
"""The shares of the waves, the number of gateways, and what is told about the first wave that would be empty."""


@pytest.mark.parametrize(("shares", "gateways", "problem"), EMPTY)
def test_a_wave_without_a_gateway_is_refused_with_its_share_and_the_remedy(
    shares: tuple[float, ...], gateways: int, problem: str
) -> None:
    plan = Plan(waves=tuple(Wave(share=share) for share in shares))
    with pytest.raises(FleetError) as told:
        simulate(make_fleet(gateways), plan)
    remedy = f"make it at least 1/{gateways}, give the waves sizes instead of shares, or leave the wave out"
    assert str(told.value) == f"{problem}; {remedy}"
    with pytest.raises(FleetError, match="has no gateway"):
        schedule_waves(make_fleet(gateways), plan)


@pytest.mark.parametrize("gateways", range(4, 41))
def test_a_share_of_one_gateway_gives_a_wave_of_one_gateway(gateways: int) -> None:
    """Also behind a wave that ends in the middle of a gateway."""
    count = gateways // 3
    for first in (count, count + 0.5):
        rest = gateways - first - count
        waves = tuple(Wave(share=size / gateways) for size in (first, *[1] * count, rest))
        sizes = np.diff([0, *Plan(waves=waves).wave_ends(gateways)])
        assert (sizes[1:-1] == 1).all(), sizes


def test_the_plan_of_a_rollout_without_gateways_cannot_be_asked_for() -> None:
    for plan in (Plan(), PLAN):
        with pytest.raises(FleetError, match="a fleet needs a whole number of gateways, at least one"):
            plan.wave_ends(0)
