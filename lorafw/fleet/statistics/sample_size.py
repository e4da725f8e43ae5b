"""What a sample of gateways says about a firmware: how large a canary must be, and what its outcome means.

A failure rate is the share of gateways that the firmware would leave FAILED if all were updated. Here gateways fail
independently of each other. If they share outages, every sample says less.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from scipy.special import betainc, betaincinv

from lorafw.fleet._validation import check_level, check_probability, check_whole
from lorafw.fleet.plan import BetaBinomial, Gate
from lorafw.fleet.simulation.gates import GateDecision, evaluate_gate

CANARY_SIZES: Final = (5, 10, 30, 59, 149, 299)


def failure_rate_bound(canaries: int, level: float = 0.95) -> float:
    """Return the highest failure rate that is still plausible after this many canaries without a failure.

    Args:
        canaries: Number of canaries, none of which failed.
        level: The confidence level.

    Raises:
        FleetError: An argument is out of range.
    """
    check_whole("canaries", canaries)
    return float(1 - (1 - check_level(level)) ** (1 / canaries))


def required_canaries(rate: float, level: float = 0.95) -> int:
    """Return how many canaries without a failure rule out a failure rate of ``rate`` or more.

    Args:
        rate: The failure rate to rule out.
        level: The confidence level.

    Raises:
        FleetError: An argument is out of range.
    """
    check_probability("rate", rate)
    exact = math.log1p(-check_level(level)) / math.log1p(-rate)
    # The tolerance keeps a rounding error from asking for one canary too many.
    return math.ceil(exact - 1e-9)


def canary_table(sizes: Iterable[int] = CANARY_SIZES, level: float = 0.95) -> list[tuple[int, float]]:
    """Return pairs of a canary size and the failure rate that is still plausible if none of them failed."""
    return [(size, failure_rate_bound(size, level)) for size in sizes]


@dataclass(frozen=True, slots=True)
class Posterior:
    """The posterior distribution of the failure rate in a Beta-Binomial gate."""

    mean: float
    low: float
    """The lower end of the credible interval."""
    high: float
    """The upper end of the credible interval."""
    acceptable: float
    """The probability that the failure rate is at most ``gate.acceptable``."""
    verdict: GateDecision
    """The decision of the gate."""


def posterior(gate: BetaBinomial, completed: int, failed: int, level: float = 0.95) -> Posterior:
    """Return the posterior distribution of the failure rate after some gateways have ended.

    Args:
        gate: The gate, with its prior.
        completed: How many gateways have completed.
        failed: How many gateways have failed.
        level: The probability of the credible interval.

    Raises:
        FleetError: An argument is out of range.
    """
    for name, count in (("completed", completed), ("failed", failed)):
        check_whole(name, count, least=0)
    a, b = gate.prior_failed + failed, gate.prior_completed + completed
    tail = (1 - check_level(level)) / 2
    decision = GateDecision(int(evaluate_gate(gate, completed, failed, max(completed + failed, 1))))
    return Posterior(
        mean=a / (a + b),
        low=float(betaincinv(a, b, tail)),
        high=float(betaincinv(a, b, 1 - tail)),
        acceptable=float(betainc(a, b, gate.acceptable)),
        verdict=decision,
    )


def min_wave_size(gate: Gate, most: int = 1_000_000) -> int | None:
    """Return the smallest wave for which a gate says GO if every gateway completes.

    Args:
        gate: The gate.
        most: The largest wave to look at.

    Returns:
        The size, or None if a wave needs more than ``most`` gateways.
    """
    too_small, enough = 0, 1
    while not _can_go(gate, enough):
        too_small, enough = enough, enough * 2
        if enough > most:
            return None
    while enough - too_small > 1:
        middle = (too_small + enough) // 2
        if _can_go(gate, middle):
            enough = middle
        else:
            too_small = middle
    return enough


def _can_go(gate: Gate, size: int) -> bool:
    """Return whether the gate says GO for a wave of which all gateways completed."""
    return bool(evaluate_gate(gate, size, 0, size) == GateDecision.GO)
