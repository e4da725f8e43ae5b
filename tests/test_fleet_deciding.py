"""Sample sizes, rules and comparisons, compared with closed forms, published figures and enumeration."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from itertools import product
from statistics import fmean

import numpy as np
import pytest
from scipy import stats

from lorafw.errors import FleetError
from lorafw.fleet import (
    Abort,
    BetaBinomial,
    Conditions,
    Plan,
    Threshold,
    Wave,
    mixed_fleet,
    reference_fleet,
    reference_plan,
    simulate,
    typical_plan,
    waves_plan,
)
from lorafw.fleet.simulation.gates import GateDecision
from lorafw.fleet.statistics.comparison import compare, replication_metrics
from lorafw.fleet.statistics.operating_characteristic import operating_characteristic
from lorafw.fleet.statistics.sample_size import (
    canary_table,
    failure_rate_bound,
    min_wave_size,
    posterior,
    required_canaries,
)
from lorafw.fleet.statistics.sprt import fixed_sample, sequential_test


def test_the_failure_rate_bound_of_clean_canaries_is_that_of_the_binomial() -> None:
    published = {5: 0.45, 10: 0.26, 30: 0.095, 59: 0.05, 149: 0.02, 299: 0.01}
    assert {size: float(f"{rate:.2g}") for size, rate in canary_table()} == published
    for size, rate in canary_table(level=0.9):
        assert stats.binom.pmf(0, size, rate) == pytest.approx(0.1)


@pytest.mark.parametrize("rate", [0.5, 0.2, 0.05, 0.02, 0.01, 0.001])
def test_the_required_canaries_rule_out_a_rate_and_one_fewer_does_not(rate: float) -> None:
    size = required_canaries(rate)
    assert failure_rate_bound(size) <= rate
    assert size == 1 or failure_rate_bound(size - 1) > rate
    assert required_canaries(failure_rate_bound(size)) == size


def test_the_sequential_test_needs_54_good_or_38_bad_gateways_and_a_fixed_sample_89() -> None:
    test = sequential_test(good=0.02, bad=0.10, alpha=0.05, beta=0.05)
    assert (math.floor(test.expected_n_good), math.floor(test.expected_n_bad), test.fixed_sample) == (54, 38, 89)
    assert test.stop_probability_good <= 0.05
    assert test.pass_probability_bad <= 0.05


@pytest.mark.parametrize(
    ("rate", "average", "stops"),
    [(0.02, "expected_n_good", "stop_probability_good"), (0.1, "expected_n_bad", "pass_probability_bad")],
)
def test_the_sequential_test_agrees_with_simulated_random_walks(rate: float, average: str, stops: str) -> None:
    test, luck, walks = sequential_test(), random.Random(5), 20_000
    lengths, stopped = [], 0
    for _ in range(walks):
        evidence, steps = 0.0, 0
        while -math.log(19) < evidence < math.log(19):
            evidence += math.log(5) if luck.random() < rate else math.log(0.9 / 0.98)
            steps += 1
        lengths.append(steps)
        stopped += evidence > 0
    error = stats.sem(lengths)
    assert abs(fmean(lengths) - getattr(test, average)) < 4 * error
    share = stopped / walks if stops == "stop_probability_good" else 1 - stopped / walks
    assert abs(share - getattr(test, stops)) < 4 * math.sqrt(share * (1 - share) / walks)


def test_no_smaller_fixed_sample_keeps_both_errors_within_bounds() -> None:
    size, limit = fixed_sample(0.02, 0.10, 0.05, 0.05)

    def holds(size: int, limit: int) -> bool:
        return bool(stats.binom.sf(limit - 1, size, 0.02) <= 0.05 and stats.binom.cdf(limit - 1, size, 0.1) <= 0.05)

    assert holds(size, limit)
    assert not any(holds(size - 1, other) for other in range(size))


def test_a_posterior_is_the_beta_distribution_and_the_decision_of_the_gate() -> None:
    gate = BetaBinomial(acceptable=0.05, go=0.9, abort=0.9)
    clean = posterior(gate, completed=30, failed=0)
    expected = stats.beta(0.5, 30.5)
    assert clean.acceptable == pytest.approx(expected.cdf(0.05))
    assert (clean.low, clean.high) == pytest.approx(expected.interval(0.95))
    assert clean.mean == pytest.approx(expected.mean())
    assert clean.verdict is GateDecision.GO
    assert posterior(gate, completed=5, failed=3).verdict is GateDecision.ABORT
    assert posterior(gate, completed=10, failed=0).verdict is GateDecision.HOLD


@pytest.mark.parametrize(("acceptable", "go"), [(0.05, 0.9), (0.02, 0.95), (0.5, 0.6)])
def test_no_smaller_wave_lets_a_gate_decide_go(acceptable: float, go: float) -> None:
    size = min_wave_size(BetaBinomial(acceptable=acceptable, go=go))
    assert size is not None
    assert stats.beta(0.5, 0.5 + size).cdf(acceptable) >= go
    assert size == 1 or stats.beta(0.5, 0.5 + size - 1).cdf(acceptable) < go


def test_a_gate_can_need_more_gateways_than_any_wave_has() -> None:
    assert min_wave_size(Threshold(success=1.0)) == 1
    assert min_wave_size(BetaBinomial(acceptable=1e-9), most=1000) is None


def test_five_percent_of_at_least_ten_stops_a_good_firmware_forty_times_in_a_hundred() -> None:
    (point,) = operating_characteristic(Abort(threshold=0.05, minimum_executed=10), [0.02], gateways=1000)
    assert point.method == "exact"
    assert point.stops.value == pytest.approx(0.400, abs=5e-4)


def test_the_exact_abort_probability_is_that_of_all_orders_of_a_small_fleet() -> None:
    rule, rate, gateways = Abort(threshold=0.3, minimum_executed=4), 0.2, 10
    stops = 0.0
    for ends in product((0, 1), repeat=gateways):
        executed = np.arange(1, gateways + 1)
        if ((np.cumsum(ends) / executed >= 0.3) & (executed >= 4)).any():
            stops += rate ** sum(ends) * (1 - rate) ** (gateways - sum(ends))
    (point,) = operating_characteristic(rule, [rate], gateways=gateways)
    assert point.stops.value == pytest.approx(stops)


@pytest.mark.parametrize("gate", [Threshold(success=0.95, error=0.05), BetaBinomial(acceptable=0.05)])
def test_the_exact_stop_probability_of_a_gate_is_the_sum_over_all_counts(gate: Threshold | BetaBinomial) -> None:
    from lorafw.fleet.simulation.gates import evaluate_gate

    (point,) = operating_characteristic(gate, [0.04], gateways=80)
    stops = sum(
        stats.binom.pmf(failed, 80, 0.04) for failed in range(81) if evaluate_gate(gate, 80 - failed, failed, 80) != 1
    )
    assert point.stops.value == pytest.approx(stops)


def test_a_simulated_plan_agrees_with_the_exact_result_of_its_gate() -> None:
    """All of the first wave have ended after eight periods without missed polls, so the gate alone decides."""
    gate, bake = Threshold(success=0.95, error=0.05), 8 * 86_400.0
    plan = Plan(waves=(Wave(size=80, bake_s=bake, gate=gate), Wave(size=20)), silence_timeout_s="never")
    rates = [0.01, 0.04, 0.1]
    exact = operating_characteristic(gate, rates, gateways=80)
    for point, truth in zip(
        operating_characteristic(plan, rates, gateways=100, replications=2000, level=0.9999), exact, strict=True
    ):
        assert point.method == "simulated"
        assert point.stops.low is not None
        assert point.stops.high is not None
        assert point.stops.low <= truth.stops.value <= point.stops.high


def test_an_abort_in_simulated_time_sees_failures_last() -> None:
    """FAILED takes three days: the good firmware is never stopped, and the bad one when all have been updated."""
    plan = Plan(abort=Abort(threshold=0.05, minimum_executed=10))
    good, bad = operating_characteristic(plan, [0.02, 0.1], gateways=1000, replications=100)
    assert good.stops.value == 0
    assert bad.stops.value == 1
    assert bad.failed_share.value is not None
    assert abs(bad.failed_share.value - 0.1) < 4 * math.sqrt(0.09 / 100_000)


def test_a_plan_that_nothing_can_stop_has_a_stop_probability_of_exactly_zero() -> None:
    (point,) = operating_characteristic(typical_plan(), [0.5], gateways=50, replications=10)
    assert (point.stops.value, point.method) == (0.0, "exact")


def test_a_plan_compared_with_itself_has_no_difference() -> None:
    for row in compare(mixed_fleet(500), typical_plan(), typical_plan(), replications=5):
        assert (row.difference.value, row.difference.low, row.difference.high) == (0, 0, 0)
        assert row.variance_ratio is None


def test_a_difference_is_second_minus_first_and_common_random_numbers_save_replications() -> None:
    fleet = reference_fleet(1000)
    rows = {row.name: row for row in compare(fleet, reference_plan(fails=0.10), reference_plan(fails=0.12))}
    for row in rows.values():
        assert None not in (row.first.value, row.second.value, row.difference.value)
        assert row.difference.value == pytest.approx(row.second.value - row.first.value)
    # Mean sends are 1 + q + q^2: 1.11 and 1.1344.
    sends = rows["mean_sends"].difference
    assert sends.low is not None
    assert sends.high is not None
    assert sends.low < 0.0244 < sends.high
    assert rows["mean_sends"].variance_ratio is not None
    assert rows["mean_sends"].variance_ratio > 2


def test_the_metrics_of_the_replications_average_to_the_summary() -> None:
    result = simulate(mixed_fleet(400), waves_plan(fails=0.3), seed=3, replications=6)
    each, summary = replication_metrics(result), result.summary()
    for name in ("completed_share", "failed_share", "mean_sends", "time_to_last_s", "bytes_sent"):
        assert np.nanmean(each[name]) == pytest.approx(getattr(summary, name).value), name
    for quantile in ("p50", "p95"):
        assert np.nanmean(each[f"time_to_completed_s {quantile}"]) == pytest.approx(
            summary.time_to_completed_s[quantile].value
        )


def test_the_interval_of_a_difference_covers_the_truth_at_its_confidence_level() -> None:
    fleet = mixed_fleet(60, gone=0.0, conditions=Conditions())
    first, second, trials, hits = typical_plan(fails=0.1), typical_plan(fails=0.3), 400, 0
    for seed in range(trials):
        rows = {row.name: row for row in compare(fleet, first, second, seed=seed, replications=10)}
        difference = rows["mean_sends"].difference
        hits += difference.low < (1 + 0.3 + 0.09) - (1 + 0.1 + 0.01) < difference.high
    assert abs(hits / trials - 0.95) < 4 * math.sqrt(0.95 * 0.05 / trials)


@pytest.mark.parametrize(
    ("call", "field", "words"),
    [
        (lambda: failure_rate_bound(0), "canaries", "whole number from 1"),
        (lambda: failure_rate_bound(2.5), "canaries", "whole number"),  # type: ignore[arg-type]
        (lambda: failure_rate_bound(5, 1.0), "level", "between 0 and 1"),
        (lambda: required_canaries(0.0), "rate", "above 0"),
        (lambda: required_canaries(math.nan), "rate", "nan"),
        (lambda: sequential_test(good=0.2, bad=0.1), "good", "not below"),
        (lambda: sequential_test(alpha=0.0), "alpha", "above 0"),
        (lambda: fixed_sample(0.02, 0.021, 0.01, 0.01, most=500), "good", "more than 500"),
        (lambda: posterior(BetaBinomial(), -1, 0), "completed", "whole number from 0"),
        (lambda: operating_characteristic(Threshold(), [1.5]), "failure_rates", "from 0 to 1"),
        (lambda: operating_characteristic(Threshold(), [0.1], gateways=0), "gateways", "from 1"),
        (lambda: compare(mixed_fleet(5), Plan(), Plan(), replications=1), "replications", "from 2"),
        (lambda: compare(mixed_fleet(5), Plan(), Plan(), level=95), "level", "between 0 and 1"),
        (lambda: compare(mixed_fleet(5), Plan(), replace(Plan(), waves=(Wave(size=9),))), "waves", "the fleet has 5"),
    ],
)
def test_the_error_of_a_bad_argument_names_the_field_and_the_remedy(call: object, field: str, words: str) -> None:
    with pytest.raises(FleetError, match=words) as caught:
        call()  # type: ignore[operator]
    assert caught.value.field == field
