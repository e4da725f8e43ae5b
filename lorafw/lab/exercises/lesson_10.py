"""Lesson 10: how do I plan a rollout that stops in time?"""

from __future__ import annotations

from typing import cast

from lorafw.lab.exercises.grading import Exercise, Grader, is_number, number


def _smallest_minimum(answer: object) -> bool:
    """Reckoned anew, with the rule that the lesson judges."""
    from lorafw.fleet import Abort, operating_characteristic  # noqa: PLC0415 -- only who asks pays for it

    assert is_number(answer)
    smallest = int(cast("float", answer))
    assert 10 <= smallest < 1000 and smallest % 10 == 0 and smallest == answer  # noqa: PT018 -- one of the steps
    stops = [
        operating_characteristic(Abort(threshold=0.05, minimum_executed=minimum), [0.02])[0].stops.value
        for minimum in (smallest, smallest - 10)
        if minimum
    ]
    return stops[0] is not None and stops[0] < 0.1 and all(value is not None and value >= 0.1 for value in stops[1:])


EXERCISES = {
    "10-bake": Exercise(
        "First send after up to one interval; then FIRST_RETRY, SECOND_RETRY and FAILED, an interval each.",
        number(24),
    ),
    "10-canaries": Exercise(
        "The smallest n for which 0.97 ** n is below 0.05. Try some, or use log.",
        number(99),
    ),
    "10-minimum": Exercise(
        "Let minimum_executed go up in steps of ten, and look at .stops.value for the rate 0.02.",
        Grader("a number", _smallest_minimum),
    ),
}
