"""Several threads that ask for the same thing at the same time share one call."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from lorafw.sources.cache import SingleFlight


def test_calls_during_a_load_share_the_result_of_the_next_load() -> None:
    flights: SingleFlight[int] = SingleFlight()
    gate, begun = threading.Event(), threading.Event()
    found: list[int] = []

    def find() -> int:
        begun.set()
        gate.wait(10)
        found.append(len(found))
        return found[-1]

    with ThreadPoolExecutor(20) as pool:
        first = pool.submit(flights.get_result, "same", find)
        assert begun.wait(10)
        later = [pool.submit(flights.get_result, "same", find) for _ in range(10)]
        other = pool.submit(flights.get_result, "other", lambda: 99)
        assert other.result(10) == 99, "another question does not wait"
        while not flights._pending:
            pass
        gate.set()
        assert first.result(10) == 0
        answers = [one.result(10) for one in later]
    assert min(answers) == 1, "nobody gets an answer that was begun before they asked"
    assert len(found) < 11


def test_an_error_reaches_all_waiting_calls_and_is_not_kept() -> None:
    flights: SingleFlight[int] = SingleFlight()

    def fail() -> int:
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            flights.get_result("same", fail)
    assert flights.get_result("same", lambda: 7) == 7
    assert not flights._pending
