"""Wald's sequential probability ratio test for a canary."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr, bdtrc

from lorafw.errors import FleetError
from lorafw.fleet._validation import _check_rate


@dataclass(frozen=True, slots=True)
class SequentialTest:
    """What Wald's sequential probability ratio test of a good against a bad failure rate really does."""

    expected_n_good: float
    """How many gateways the test needs on average if the firmware is good."""
    expected_n_bad: float
    """How many gateways the test needs on average if the firmware is bad."""
    stop_probability_good: float
    """The probability that the test stops a good firmware."""
    pass_probability_bad: float
    """The probability that the test passes a bad firmware."""
    fixed_sample: int
    """How many gateways a sample of fixed size needs for the same errors."""
    fixed_limit: int
    """How many failures in that sample stop the rollout."""


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
    expected_n_good, stop_probability_good = _exact_sprt(good, bad, alpha, beta, good, most)
    expected_n_bad, stops_bad = _exact_sprt(good, bad, alpha, beta, bad, most)
    return SequentialTest(
        expected_n_good,
        expected_n_bad,
        stop_probability_good,
        1 - stops_bad,
        *fixed_sample(good, bad, alpha, beta, most),
    )


def _exact_sprt(good: float, bad: float, alpha: float, beta: float, rate: float, most: int) -> tuple[float, float]:
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
