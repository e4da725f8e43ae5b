"""The closed forms, compared with products of probabilities, enumeration and published figures."""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafw.errors import FleetError
from lorafw.fleet.plan import Abort
from lorafw.fleet.statistics.closed_forms import abort_probability, abort_time_pmf, end_time, task_chain
from lorafw.tasks.lifecycle import TaskStatus

SHARE = st.floats(0, 1)
HOUR_S = 3600.0


# --- the chain ---


@given(SHARE, SHARE, SHARE)
def test_the_probability_of_each_end_is_the_product_over_the_sends(first: float, second: float, third: float) -> None:
    chain = task_chain([first, second, third])
    fails = prod(1 - p for p in (first, second, third))
    assert chain.absorption_probability(TaskStatus.FAILED) == pytest.approx(fails)
    assert chain.absorption_probability(TaskStatus.COMPLETED) == pytest.approx(1 - fails)
    assert chain.mean_sends == pytest.approx(1 + (1 - first) + (1 - first) * (1 - second))
    by_hand = [first, (1 - first) * second, (1 - first) * (1 - second) * third, fails]
    assert chain.end_distribution() == pytest.approx(np.array(by_hand))


@given(SHARE)
def test_the_steps_to_the_end_are_the_offer_and_one_for_each_send(p: float) -> None:
    chain = task_chain(p)
    assert chain.expected_steps[0] == pytest.approx(1 + chain.mean_sends)
    assert chain.absorption_probabilities.sum(axis=1) == pytest.approx(1)


def test_a_success_probability_of_0_9_gives_0_999_completed_and_1_11_sends() -> None:
    chain = task_chain(0.9)
    assert chain.absorption_probability(TaskStatus.COMPLETED) == pytest.approx(0.999, abs=1e-12)
    assert chain.mean_sends == pytest.approx(1.11, abs=1e-12)


@pytest.mark.parametrize("given_", [[0.9], [0.9] * 4, [0.9, 1.1, 0.9], [0.9, -0.1, 0.9], float("nan"), [0.9, "x", 0.9]])
def test_a_chain_needs_one_probability_for_each_send(given_: object) -> None:
    with pytest.raises(FleetError, match="succeeds"):
        task_chain(given_)  # type: ignore[arg-type]


# --- the last gateway ---


@pytest.mark.parametrize(
    ("p", "hours"),
    [(0.99, {100: 31.5, 1000: 46.6, 10_000: 55.4}), (0.90, {100: 56.2, 1000: 79.4, 10_000: 94.3})],
)
def test_the_median_time_until_the_last_gateway_ends(p: float, hours: dict[int, float]) -> None:
    ends = end_time(task_chain(p))
    assert {n: round(ends.max_quantile(0.5, n) / HOUR_S, 1) for n in hours} == hours


@given(st.floats(0, 96), SHARE)
def test_the_distribution_of_the_end_follows_from_the_four_polls(hours: float, p: float) -> None:
    def phase(since: float) -> float:
        return min(max(since / 24, 0), 1)

    q = 1 - p
    polls = [p, q * p, q * q * p, q**3]
    by_hand = sum(share * phase(hours - 24 * poll) for poll, share in enumerate(polls))
    assert end_time(task_chain(p)).cdf(hours * HOUR_S) == pytest.approx(by_hand, abs=1e-12)


@given(st.floats(0.001, 0.999), st.integers(1, 10**7), st.floats(0.05, 1), st.floats(0, 0.5))
def test_the_quantile_of_the_last_end_is_the_inverse_of_its_distribution(
    share: float, n: int, p: float, missed: float
) -> None:
    ends = end_time(task_chain(p), missed_poll=missed)
    assert ends.max_cdf(ends.max_quantile(share, n), n) == pytest.approx(share, rel=1e-6)


def test_a_missed_poll_delays_the_end_by_whole_periods() -> None:
    """P(two polls in all are missed before the second send) is 3 m^2 (1-m)^2: three ways to spread them."""
    m = 0.1
    ends = end_time(task_chain([0, 1, 1]), missed_poll=m)
    assert ends.periods[:4] == pytest.approx([0, (1 - m) ** 2, 2 * m * (1 - m) ** 2, 3 * m**2 * (1 - m) ** 2])
    assert ends.periods.sum() == pytest.approx(1)


# --- the abort criterion ---


@pytest.mark.parametrize(("minimum", "stops"), [(10, 0.400), (50, 0.150), (100, 0.065)])
def test_how_often_five_percent_failed_stops_a_good_firmware(minimum: int, stops: float) -> None:
    abort = Abort(threshold=0.05, minimum_executed=minimum)
    assert round(abort_probability(abort, 1000, 0.02), 3) == stops


def test_a_threshold_that_must_be_exceeded_stops_a_good_firmware_less_often() -> None:
    abort = Abort(threshold=0.05, minimum_executed=10)
    assert round(abort_probability(abort, 1000, 0.02, strictly=True), 3) == 0.388


@pytest.mark.parametrize("strictly", [False, True])
@pytest.mark.parametrize(("threshold", "minimum"), [(0.25, 1), (0.25, 4), (0.5, 3), (1.0, 2), (0.3, 8)])
def test_the_distribution_of_the_abort_is_that_of_all_sequences_of_eight_gateways(
    threshold: float, minimum: int, strictly: bool
) -> None:
    rate, gateways = 0.3, 8
    by_hand = np.zeros(gateways)
    for sequence in product((0, 1), repeat=gateways):
        probability = prod(rate if failed else 1 - rate for failed in sequence)
        for executed in range(minimum, gateways + 1):
            share = sum(sequence[:executed]) / executed
            if share > threshold or (share == threshold and not strictly):
                by_hand[executed - 1] += probability
                break
    abort = Abort(threshold=threshold, minimum_executed=minimum)
    assert abort_time_pmf(abort, gateways, rate, strictly=strictly) == pytest.approx(by_hand)


def test_a_criterion_that_needs_more_gateways_than_the_fleet_has_never_stops() -> None:
    assert abort_probability(Abort(threshold=0.01, minimum_executed=101), 100, 0.9) == 0
