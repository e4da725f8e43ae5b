"""What a sample of gateways can say about a firmware: how large a canary, and when enough has been seen.

A failure rate is the share of gateways that the firmware would leave FAILED if all were updated. Gateways fail
independently here; outages that they share make every sample say less.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from scipy.special import betainc, betaincinv

from lorafw.fleet._validation import _check_rate, check_level, check_whole
from lorafw.fleet.plan import BetaBinomial, Gate
from lorafw.fleet.simulation.gates import GateDecision, evaluate_gate

CANARY_SIZES: Final = (5, 10, 30, 59, 149, 299)


def failure_rate_bound(canaries: int, level: float = 0.95) -> float:
    """The highest failure rate that ``canaries`` without a failure still allow, with this confidence."""
    check_whole("canaries", canaries)
    return float(1 - (1 - check_level(level)) ** (1 / canaries))


def required_canaries(rate: float, level: float = 0.95) -> int:
    """So many canaries without a failure rule out a failure rate of ``rate`` or more, with this confidence."""
    _check_rate("rate", rate)
    # The right size has a bound just below the rate; a rounding error shall not ask for one more.
    return math.ceil(math.log1p(-check_level(level)) / math.log1p(-rate) - 1e-9)


def canary_table(sizes: Iterable[int] = CANARY_SIZES, level: float = 0.95) -> list[tuple[int, float]]:
    """(canaries, failure rate that they still allow when none failed)."""
    return [(size, failure_rate_bound(size, level)) for size in sizes]


@dataclass(frozen=True, slots=True)
class Posterior:
    """What a Beta-Binomial gate believes of the failure rate: mean, interval at ``level``, and what it says."""

    mean: float
    low: float
    high: float
    acceptable: float
    """P(failure rate <= gate.acceptable)"""
    verdict: GateDecision


def posterior(gate: BetaBinomial, completed: int, failed: int, level: float = 0.95) -> Posterior:
    """The posterior after so many gateways have ended. Raises FleetError."""
    for name, count in (("completed", completed), ("failed", failed)):
        check_whole(name, count, least=0)
    a, b = gate.prior_failed + failed, gate.prior_completed + completed
    tail = (1 - check_level(level)) / 2
    verdict = GateDecision(int(evaluate_gate(gate, completed, failed, max(completed + failed, 1))))
    low, high = (float(betaincinv(a, b, edge)) for edge in (tail, 1 - tail))
    return Posterior(a / (a + b), low, high, float(betainc(a, b, gate.acceptable)), verdict)


def min_wave_size(gate: Gate, most: int = 1_000_000) -> int | None:
    """So many gateways a wave needs for its gate ever to say go, all of them COMPLETED; None: more than ``most``."""
    low, high = 0, 1
    while evaluate_gate(gate, high, 0, high) != GateDecision.GO:
        low, high = high, high * 2
        if high > most:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if evaluate_gate(gate, middle, 0, middle) == GateDecision.GO else (middle, high)
    return high
