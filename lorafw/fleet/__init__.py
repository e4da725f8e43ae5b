"""Fleets: what happens when a whole fleet is updated, before it is.

::

    from lorafw.fleet import mixed_fleet, simulate, typical_plan

    result = simulate(mixed_fleet(40_000), typical_plan(), seed=1)
    print(result.summary())

Needs NumPy and SciPy and nothing else; files and accounts are read by ``fleet.io``.
"""

from lorafw.fleet.conditions import Conditions
from lorafw.fleet.fleet import Fleet, make_fleet
from lorafw.fleet.plan import Abort, BetaBinomial, Plan, Rate, Threshold, Update, Wave
from lorafw.fleet.presets import (
    canary_plan,
    mixed_fleet,
    reference_fleet,
    reference_plan,
    typical_conditions,
    typical_plan,
    waves_plan,
)
from lorafw.fleet.result import Result
from lorafw.fleet.rollout import replay, simulate
from lorafw.fleet.statistics.comparison import compare
from lorafw.fleet.statistics.operating_characteristic import operating_characteristic
from lorafw.fleet.statistics.sample_size import canary_table
from lorafw.fleet.statistics.sprt import sequential_test
from lorafw.fleet.statistics.summary import Estimate, Summary

__all__ = [
    "Abort",
    "BetaBinomial",
    "Conditions",
    "Estimate",
    "Fleet",
    "Plan",
    "Rate",
    "Result",
    "Summary",
    "Threshold",
    "Update",
    "Wave",
    "canary_plan",
    "canary_table",
    "compare",
    "make_fleet",
    "mixed_fleet",
    "operating_characteristic",
    "reference_fleet",
    "reference_plan",
    "replay",
    "sequential_test",
    "simulate",
    "typical_conditions",
    "typical_plan",
    "waves_plan",
]
