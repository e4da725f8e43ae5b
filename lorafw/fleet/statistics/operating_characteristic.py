"""Which rule: how often it stops a good firmware, and how often a bad one.

A failure rate is the share of gateways that the firmware would leave FAILED if all were updated, each independently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import bdtr

from lorafw.fleet._validation import check_share, check_whole
from lorafw.fleet.conditions import Conditions
from lorafw.fleet.fleet import Fleet
from lorafw.fleet.plan import Abort, Gate, Plan
from lorafw.fleet.presets import mixed_fleet
from lorafw.fleet.rollout import simulate
from lorafw.fleet.simulation.gates import GateDecision, evaluate_gate
from lorafw.fleet.statistics.closed_forms import SENDS, abort_probability
from lorafw.fleet.statistics.summary import Estimate


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """How often a rule stops a firmware with this failure rate.

    ``method``: "exact", or "simulated"; then ``stops`` has its interval, and ``failed_share`` is the mean share of the
    fleet that ended FAILED, which the rule has let happen.
    """

    failure_rate: float
    stops: Estimate
    failed_share: Estimate
    method: str


def operating_characteristic(
    plan: Plan | Abort | Gate,
    failure_rates: Sequence[float],
    *,
    gateways: int = 1000,
    fleet: Fleet | None = None,
    replications: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    progress: Any = None,
) -> list[OperatingPoint]:
    """How often a rule stops a good firmware (low rates) and a bad one (high rates). Raises FleetError.

    An ``Abort`` is judged exactly, after each of ``gateways`` that end in an order that does not depend on how they
    end; a gate exactly, after a wave of ``gateways`` that all have ended (holding on is stopping then). A ``Plan`` is
    simulated on ``fleet`` (without one: of ``gateways`` that nothing else happens to), with real times: FAILED takes
    three days and so comes last, which an abort criterion cannot know.
    """
    rates = [check_share("failure_rates", rate) for rate in failure_rates]
    if not isinstance(plan, Plan):
        check_whole("gateways", gateways)
        return [
            OperatingPoint(rate, Estimate(_exact_stop_probability(plan, gateways, rate)), Estimate(None), "exact")
            for rate in rates
        ]
    fleet = fleet or mixed_fleet(gateways, gone=0.0, conditions=Conditions())
    points = []
    for rate in rates:
        under = replace(plan, update=replace(plan.update, fails=rate ** (1 / SENDS)))
        result = simulate(fleet, under, seed=seed, replications=replications, progress=progress)
        summary = result.summary(level)
        points.append(OperatingPoint(rate, _stops(plan, summary.aborted_share), summary.failed_share, _method(plan)))
    return points


def _can_stop(plan: Plan) -> bool:
    return plan.abort is not None or any(wave.gate is not None for wave in plan.waves)


def _stops(plan: Plan, simulated: Estimate) -> Estimate:
    return simulated if _can_stop(plan) else Estimate(0.0)


def _method(plan: Plan) -> str:
    return "simulated" if _can_stop(plan) else "exact"


def _exact_stop_probability(rule: Abort | Gate, gateways: int, rate: float) -> float:
    if isinstance(rule, Abort):
        return abort_probability(rule, gateways, rate)
    failed = np.arange(gateways + 1)
    stops = evaluate_gate(rule, gateways - failed, failed, gateways) != GateDecision.GO
    likely = np.diff(bdtr(failed, gateways, rate), prepend=0.0)
    return float(likely[stops].sum())
