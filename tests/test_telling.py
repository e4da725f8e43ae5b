"""The text about a plan, and about what stopped a rollout, has each number that the plan has, and no other."""

from __future__ import annotations

import pytest

from lorafw.fleet import Abort, Manual, Plan, Threshold, Update, Wave, make_fleet, simulate
from lorafw.fleet.describe import describe_plan, describe_stop
from lorafw.fleet.plan import BetaBinomial, Rate
from lorafw.fleet.presets import PLANS

BAD = Update(fails=1.0)
STRICT = Threshold(success=1.0, error=0.01)


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (PLANS["at-once"](), "every gateway at once"),
        (
            PLANS["canary"](),
            "1 % + 10 % + 89 % of the fleet; after each wave a gate, from 4 d 00 h on: "
            "go when 90 % sure that at most 5 % fail, stop when 90 % sure that more do",
        ),
        (
            Plan(waves=(Wave(size=5, bake_s=7200, gate=Threshold()), Wave(size=20, bake_s=60), Wave(share=0.5))),
            "5 gateways + 20 gateways + 50 % of the fleet; "
            "after wave 1 a gate, from 2 h 00 min on: go at 95 % COMPLETED, stop at 5 % FAILED; after wave 2 60 s pass",
        ),
        (
            Plan(rate=Rate(maximum_per_minute=50), abort=Abort(threshold=0.2, minimum_executed=10), random_delay_s=50),
            "every gateway at once; 50 tasks a minute; each task up to 50 s later, by chance; "
            "stops when failed / ended >= 20 % and ended >= 10",
        ),
        (
            Plan(rate=Rate(maximum_per_minute=500, base_per_minute=5, notified=10)),
            "every gateway at once; 5 tasks a minute at first, 500 at most",
        ),
        (
            Plan(waves=(Wave(share=1.0, gate=BetaBinomial(acceptable=0.02, go=0.8, abort=0.7)),)),
            "100 % of the fleet; after each wave a gate, from 0 s on: "
            "go when 80 % sure that at most 2 % fail, stop when 70 % sure that more do",
        ),
        (
            Plan(waves=(Wave(share=1.0, gate=Manual()),)),
            "100 % of the fleet; after each wave a gate, from 0 s on: go when somebody promotes the rollout",
        ),
    ],
)
def test_the_description_of_a_plan_has_all_of_its_numbers(plan: Plan, words: str) -> None:
    assert describe_plan(plan) == words


def test_the_description_of_a_stop_has_its_time() -> None:
    fleet = make_fleet(10, phase_ms=0, goodput_Bps=1e9)
    gated = Plan(update=BAD, waves=(Wave(size=5, bake_s=86_400, gate=STRICT), Wave(size=5)))
    assert describe_stop(simulate(fleet, gated)) == "stopped by the gate of wave 1 after 3 d 00 h"
    aborting = Plan(update=BAD, abort=Abort(threshold=0.1))
    assert describe_stop(simulate(fleet, aborting)) == "stopped by the abort criterion after 3 d 00 h"
    assert describe_stop(simulate(fleet, Plan(update=BAD))) == ""
