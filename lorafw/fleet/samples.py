"""What a sample of gateways can say about a firmware: how large a canary, and when enough has been seen.

A failure rate is the share of gateways that the firmware would leave FAILED if all were updated. Gateways fail
independently here; outages that they share make every sample say less.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import bdtr, bdtrc, betainc, betaincinv

from lorafw.errors import FleetError
from lorafw.fleet.fleet import check_share
from lorafw.fleet.gates import Verdict, verdicts
from lorafw.fleet.plan import BetaBinomial, Gate

CANARY_SIZES: Final = (5, 10, 30, 59, 149, 299)


def still_possible(canaries: int, level: float = 0.95) -> float:
    """The highest failure rate that ``canaries`` without a failure still allow, with this confidence."""
    check_whole("canaries", canaries)
    return float(1 - (1 - check_level(level)) ** (1 / canaries))


def canaries_for(rate: float, level: float = 0.95) -> int:
    """So many canaries without a failure rule out a failure rate of ``rate`` or more, with this confidence."""
    _check_rate("rate", rate)
    # The right size has a bound just below the rate; a rounding error shall not ask for one more.
    return math.ceil(math.log1p(-check_level(level)) / math.log1p(-rate) - 1e-9)


def canary_table(sizes: Iterable[int] = CANARY_SIZES, level: float = 0.95) -> list[tuple[int, float]]:
    """(canaries, failure rate that they still allow when none failed)."""
    return [(size, still_possible(size, level)) for size in sizes]


@dataclass(frozen=True, slots=True)
class Belief:
    """What a Beta-Binomial gate believes of the failure rate: mean, interval at ``level``, and what it says."""

    mean: float
    low: float
    high: float
    acceptable: float
    """P(failure rate <= gate.acceptable)"""
    verdict: Verdict


def belief(gate: BetaBinomial, completed: int, failed: int, level: float = 0.95) -> Belief:
    """The posterior after so many gateways have ended. Raises FleetError."""
    for name, count in (("completed", completed), ("failed", failed)):
        check_whole(name, count, least=0)
    a, b = gate.prior_failed + failed, gate.prior_completed + completed
    tail = (1 - check_level(level)) / 2
    verdict = Verdict(int(verdicts(gate, completed, failed, max(completed + failed, 1))))
    low, high = (float(betaincinv(a, b, edge)) for edge in (tail, 1 - tail))
    return Belief(a / (a + b), low, high, float(betainc(a, b, gate.acceptable)), verdict)


def smallest_go(gate: Gate, most: int = 1_000_000) -> int | None:
    """So many gateways a wave needs for its gate ever to say go, all of them COMPLETED; None: more than ``most``."""
    low, high = 0, 1
    while verdicts(gate, high, 0, high) != Verdict.GO:
        low, high = high, high * 2
        if high > most:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if verdicts(gate, middle, 0, middle) == Verdict.GO else (middle, high)
    return high


@dataclass(frozen=True, slots=True)
class SequentialTest:
    """Wald's sequential probability ratio test of a good against a bad failure rate, as it really does.

    ``if_good`` and ``if_bad``: gateways that it needs on average; ``stops_good`` and ``passes_bad``: its errors.
    ``fixed_sample``: gateways that a sample of fixed size needs for the same errors, and ``fixed_limit`` failures in it
    stop the rollout.
    """

    if_good: float
    if_bad: float
    stops_good: float
    passes_bad: float
    fixed_sample: int
    fixed_limit: int


def sequential_test(
    good: float = 0.02, bad: float = 0.10, alpha: float = 0.05, beta: float = 0.05, most: int = 100_000
) -> SequentialTest:
    """The test with error at most about ``alpha`` (stops a good one) and ``beta`` (passes a bad one), exactly.

    Its walk is followed gateway by gateway, with the overshoot at its bounds that Wald's own formulas leave out.
    """
    for name, value in (("good", good), ("bad", bad), ("alpha", alpha), ("beta", beta)):
        _check_rate(name, value)
    if good >= bad:
        raise FleetError("good", good, f"good {good:g} is not below bad {bad:g}")
    if_good, stops_good = _walk(good, bad, alpha, beta, good, most)
    if_bad, stops_bad = _walk(good, bad, alpha, beta, bad, most)
    return SequentialTest(if_good, if_bad, stops_good, 1 - stops_bad, *fixed_sample(good, bad, alpha, beta, most))


def _walk(good: float, bad: float, alpha: float, beta: float, rate: float, most: int) -> tuple[float, float]:
    """(gateways on average, probability to stop the rollout) at a true failure rate."""
    upper, lower = math.log((1 - beta) / alpha), math.log(beta / (1 - alpha))
    failure, success = math.log(bad / good), math.log((1 - bad) / (1 - good))
    undecided, average, stops = np.ones(1), 0.0, 0.0
    for executed in range(1, most + 1):
        average += float(undecided.sum())
        chance = np.append(undecided * (1 - rate), 0.0)
        chance[1:] += undecided * rate
        failed = np.arange(executed + 1)
        evidence = failed * failure + (executed - failed) * success
        stops += float(chance[evidence >= upper].sum())
        undecided = np.where((evidence < upper) & (evidence > lower), chance, 0.0)
        if undecided.sum() < 1e-12:
            break
    return average, stops


def fixed_sample(good: float, bad: float, alpha: float, beta: float, most: int = 100_000) -> tuple[int, int]:
    """The smallest sample, and the failures in it that stop the rollout, with both errors within bounds."""
    limit = 1
    for size in range(1, most + 1):
        # The first limit that a good firmware reaches with probability alpha at most.
        while bdtrc(limit - 1, size, good) > alpha:
            limit += 1
        if bdtr(limit - 1, size, bad) <= beta:
            return size, limit
    raise FleetError("good", (good, bad), f"more than {most} gateways are needed to tell {good:g} from {bad:g}")


def check_level(level: float) -> float:
    is_number = isinstance(level, int | float) and not isinstance(level, bool)
    if not is_number or not 0 < level < 1:
        raise FleetError("level", level, f"level {level!r} is not a number between 0 and 1, e.g. 0.95")
    return level


def _check_rate(name: str, rate: float) -> None:
    if not check_share(name, rate, below_one=True) > 0:
        raise FleetError(name, rate, f"{name} {rate!r} is not above 0 and below 1")


def check_whole(name: str, count: int, least: int = 1) -> None:
    if isinstance(count, bool) or not isinstance(count, int) or count < least:
        raise FleetError(name, count, f"{name} {count!r} is not a whole number from {least}")
