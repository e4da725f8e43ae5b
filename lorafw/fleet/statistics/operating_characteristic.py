"""The operating characteristic of a rule: how often it stops a good firmware, and how often a bad one.

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
from lorafw.fleet.statistics.closed_forms import MAX_SENDS, abort_probability
from lorafw.fleet.statistics.summary import Estimate


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """How often a rule stops a firmware with a certain failure rate."""

    failure_rate: float
    """The share of gateways that the firmware would leave FAILED if all were updated."""
    stops: Estimate
    """The probability that the rule stops the rollout. It has an interval if it was simulated."""
    failed_share: Estimate
    """The mean share of the fleet that ended FAILED in spite of the rule. Known only if it was simulated."""
    method: str
    """How the point was found: "exact" or "simulated"."""


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
    """Find how often a rule stops a good firmware (low failure rates) and a bad one (high failure rates).

    Args:
        plan: The rule, in one of three forms.
            For an ``Abort``, the result is exact. The criterion is checked each time a task ends. COMPLETED and FAILED
            tasks end in random order.
            For a ``Gate``, the result is exact. The gate is checked once, when all tasks have ended. HOLD counts as a
            stop.
            For a ``Plan``, rollouts are simulated with all of their times. A task takes longer to end FAILED than to
            end COMPLETED, so an abort criterion stops the rollout later than the exact result for it suggests.
        failure_rates: The failure rates to look at.
        gateways: Number of gateways.
        fleet: The fleet for a ``Plan``. None for a fleet in which only the installation can fail.
        replications: Number of simulated rollouts for each failure rate.
        seed: The seed of the random numbers.
        level: The confidence level of simulated points.
        progress: Called as ``progress(done, total)`` with numbers of gateways while a ``Plan`` is simulated.

    Returns:
        The probability of a stop at each failure rate.

    Raises:
        FleetError: An argument is out of range, or the plan does not fit the fleet.
    """
    rates = [check_share("failure_rates", rate) for rate in failure_rates]
    if isinstance(plan, Plan):
        fleet = fleet or mixed_fleet(gateways, gone=0.0, conditions=Conditions())
        return [_simulated_point(plan, fleet, rate, replications, seed, level, progress) for rate in rates]
    check_whole("gateways", gateways)
    return [_exact_point(plan, gateways, rate) for rate in rates]


def _exact_point(rule: Abort | Gate, gateways: int, rate: float) -> OperatingPoint:
    """Return the exact probability that a rule stops a rollout, as a point."""
    stop_probability = _exact_stop_probability(rule, gateways, rate)
    return OperatingPoint(rate, Estimate(stop_probability), Estimate(None), "exact")


def _exact_stop_probability(rule: Abort | Gate, gateways: int, rate: float) -> float:
    """Return the probability that a rule stops a rollout, summed over all possible numbers of failures."""
    if isinstance(rule, Abort):
        return abort_probability(rule, gateways, rate)
    failed = np.arange(gateways + 1)
    stops = evaluate_gate(rule, gateways - failed, failed, gateways) != GateDecision.GO
    probability = np.diff(bdtr(failed, gateways, rate), prepend=0.0)
    return float(probability[stops].sum())


def _simulated_point(
    plan: Plan, fleet: Fleet, rate: float, replications: int, seed: int, level: float, progress: Any
) -> OperatingPoint:
    """Simulate a plan with the install failure probability that leaves a share of ``rate`` gateways FAILED."""
    install_failure_probability = rate ** (1 / MAX_SENDS)
    failing_plan = replace(plan, update=replace(plan.update, fails=install_failure_probability))
    result = simulate(fleet, failing_plan, seed=seed, replications=replications, progress=progress)
    summary = result.summary(level)
    if not _can_stop(plan):
        return OperatingPoint(rate, Estimate(0.0), summary.failed_share, "exact")
    return OperatingPoint(rate, summary.aborted_share, summary.failed_share, "simulated")


def _can_stop(plan: Plan) -> bool:
    """Return whether anything in a plan can stop its rollout."""
    return plan.abort is not None or any(wave.gate is not None for wave in plan.waves)
