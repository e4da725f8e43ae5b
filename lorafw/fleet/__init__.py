"""Simulate firmware rollouts on fleets of gateways.

::

    from lorafw.fleet import mixed_fleet, simulate, typical_plan

    result = simulate(mixed_fleet(40_000), typical_plan(), seed=1)
    print(result.summary())

The package needs NumPy and SciPy, which the extra ``fleet`` installs: ``pip install 'lorafw[fleet]'``.
``lorafw.fleet.io`` reads and writes files, and reads the gateways of an account.
"""

import lorafw.fleet._requirements  # noqa: F401 -- the first import: its error names the extra
from lorafw.fleet.conditions import Conditions
from lorafw.fleet.fleet import Fleet, make_fleet
from lorafw.fleet.plan import Abort, BetaBinomial, Manual, Plan, Rate, Threshold, Update, Wave
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
from lorafw.fleet.schedule import WaveSchedule, schedule_waves
from lorafw.fleet.simulation.gates import GateDecision, evaluate_gate
from lorafw.fleet.statistics.comparison import PlanDifference, compare
from lorafw.fleet.statistics.fitting import Fit, fit
from lorafw.fleet.statistics.operating_characteristic import OperatingPoint, operating_characteristic
from lorafw.fleet.statistics.sample_size import canary_table
from lorafw.fleet.statistics.sprt import sequential_test
from lorafw.fleet.statistics.summary import Estimate, Summary

Figure = Estimate
"""The former name of Estimate."""

__all__ = [
    "Abort",
    "BetaBinomial",
    "Conditions",
    "Estimate",
    "Figure",
    "Fit",
    "Fleet",
    "GateDecision",
    "Manual",
    "OperatingPoint",
    "Plan",
    "PlanDifference",
    "Rate",
    "Result",
    "Summary",
    "Threshold",
    "Update",
    "Wave",
    "WaveSchedule",
    "canary_plan",
    "canary_table",
    "compare",
    "evaluate_gate",
    "fit",
    "make_fleet",
    "mixed_fleet",
    "operating_characteristic",
    "reference_fleet",
    "reference_plan",
    "replay",
    "schedule_waves",
    "sequential_test",
    "simulate",
    "typical_conditions",
    "typical_plan",
    "waves_plan",
]
