"""A short run of ``tests/bench/fuzz.py``, by count and not by time."""

from __future__ import annotations

import gc
import tracemalloc

import pytest
from bench.fuzz import TARGETS, Run

INPUTS = 1500


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_comes_is_a_value_or_a_cups_error_and_leaves_nothing_in_memory(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(name, seed=20261125)
    run.some(INPUTS)
    tracemalloc.start()
    try:
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        run.some(INPUTS)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert run.tally.failures == 0, capsys.readouterr().out
    assert run.tally.inputs == 2 * INPUTS
    assert 0.02 < run.tally.values / run.tally.inputs < 0.9, "inputs that are all refused, or all taken, try little"
    assert after - before < 64 * 1024


def test_an_exception_that_is_none_of_ours_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run("requests", seed=1)
    run._target.check = lambda data, chance: {}["none of ours"]  # type: ignore[method-assign]
    run.some(3)
    assert run.tally.failures == 3
    assert "requests seed 1 number 2: KeyError" in capsys.readouterr().out
