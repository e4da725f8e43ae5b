"""Wald's sequential probability ratio test for a canary."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import bdtr, bdtrc

from lorafw.errors import FleetError
from lorafw.fleet._validation import check_probability

_NEGLIGIBLE: Final = 1e-12
"""The test counts as ended when it is undecided with less than this probability."""


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
    """Compute what Wald's sequential test really does, gateway by gateway.

    The computation is exact. It includes the overshoot at the bounds, which Wald's own formulas leave out.

    Args:
        good: The failure rate of a good firmware.
        bad: The failure rate of a bad firmware.
        alpha: The intended probability to stop a good firmware.
        beta: The intended probability to pass a bad firmware.
        most: The largest number of gateways to look at.

    Returns:
        The error probabilities of the test, and the mean numbers of gateways that it needs.

    Raises:
        FleetError: An argument is out of range, or ``good`` is not below ``bad``.
    """
    for name, value in (("good", good), ("bad", bad), ("alpha", alpha), ("beta", beta)):
        check_probability(name, value)
    if good >= bad:
        raise FleetError("good", good, f"good {good:g} is not below bad {bad:g}")
    expected_n_good, stop_probability_good = _exact_sprt(good, bad, alpha, beta, good, most)
    expected_n_bad, stop_probability_bad = _exact_sprt(good, bad, alpha, beta, bad, most)
    size, limit = fixed_sample(good, bad, alpha, beta, most)
    return SequentialTest(
        expected_n_good=expected_n_good,
        expected_n_bad=expected_n_bad,
        stop_probability_good=stop_probability_good,
        pass_probability_bad=1 - stop_probability_bad,
        fixed_sample=size,
        fixed_limit=limit,
    )


def _exact_sprt(good: float, bad: float, alpha: float, beta: float, rate: float, most: int) -> tuple[float, float]:
    """Return the mean number of gateways of the test, and the probability that it stops the rollout.

    The test adds up a log likelihood ratio, gateway by gateway. It stops the rollout at the upper bound and passes the
    firmware at the lower bound.

    Args:
        good: The failure rate of a good firmware.
        bad: The failure rate of a bad firmware.
        alpha: The intended probability to stop a good firmware.
        beta: The intended probability to pass a bad firmware.
        rate: The true failure rate.
        most: The largest number of gateways to look at.
    """
    upper_bound = math.log((1 - beta) / alpha)
    lower_bound = math.log(beta / (1 - alpha))
    failure_weight = math.log(bad / good)
    success_weight = math.log((1 - bad) / (1 - good))
    mean_size, stop_probability = 0.0, 0.0
    # undecided[f] is the probability that f gateways have failed so far and the test has not ended.
    undecided = np.ones(1)
    for executed in range(1, most + 1):
        mean_size += float(undecided.sum())
        # 1. One more gateway completes, or it fails.
        probability = np.append(undecided * (1 - rate), 0.0)
        probability[1:] += undecided * rate
        # 2. Some numbers of failures end the test.
        failed = np.arange(executed + 1)
        log_likelihood_ratio = failed * failure_weight + (executed - failed) * success_weight
        stops = log_likelihood_ratio >= upper_bound
        passes = log_likelihood_ratio <= lower_bound
        stop_probability += float(probability[stops].sum())
        undecided = np.where(stops | passes, 0.0, probability)
        if undecided.sum() < _NEGLIGIBLE:
            break
    return mean_size, stop_probability


def fixed_sample(good: float, bad: float, alpha: float, beta: float, most: int = 100_000) -> tuple[int, int]:
    """Return the smallest sample of fixed size with these errors, and how many failures in it stop the rollout.

    Args:
        good: The failure rate of a good firmware.
        bad: The failure rate of a bad firmware.
        alpha: The largest allowed probability to stop a good firmware.
        beta: The largest allowed probability to pass a bad firmware.
        most: The largest sample to look at.

    Raises:
        FleetError: More than ``most`` gateways are needed.
    """
    limit = 1
    for size in range(1, most + 1):
        # The smallest limit that a good firmware reaches with a probability of at most alpha.
        while bdtrc(limit - 1, size, good) > alpha:
            limit += 1
        if bdtr(limit - 1, size, bad) <= beta:
            return size, limit
    raise FleetError("good", (good, bad), f"more than {most} gateways are needed to tell {good:g} from {bad:g}")
