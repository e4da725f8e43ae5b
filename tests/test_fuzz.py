"""A short run of ``tests/bench/fuzz.py``, by count and not by time."""

from __future__ import annotations

import gc
import tracemalloc

import pytest
from fuzz import TARGETS, Run

INPUTS = {"requests": 1500, "responses": 1500, "replies": 150, "home": 100}
"""Inputs of each target, twice. One of the last two needs a home folder."""


@pytest.mark.parametrize("name", TARGETS)
def test_any_input_is_a_value_or_an_error_of_lorafw_and_leaves_nothing_in_memory(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(name, seed=20261125)
    run.some(INPUTS[name])
    tracemalloc.start()
    try:
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        run.some(INPUTS[name])
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert run.tally.failures == 0, capsys.readouterr().out
    assert run.tally.inputs == 2 * INPUTS[name]
    assert 0.02 < run.tally.values / run.tally.inputs < 0.9, "inputs that are all refused, or all taken, try little"
    assert after - before < 64 * 1024


def test_an_exception_that_is_none_of_ours_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run("requests", seed=1)
    run._target.check = lambda data, chance: {}["none of ours"]  # type: ignore[method-assign]
    run.some(3)
    assert run.tally.failures == 3
    assert "requests seed 1 number 2: KeyError" in capsys.readouterr().out
