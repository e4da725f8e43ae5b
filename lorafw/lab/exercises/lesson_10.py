"""Lesson 10: how do I plan a rollout that stops in time?"""

from __future__ import annotations

from typing import Final, cast

from lorafw.lab.exercises.grading import Exercise, Grader, is_number, number

_ACCEPTABLE_RATE: Final = 0.02
_MAX_FALSE_ALARM: Final = 0.1
_STEP: Final = 10


def _false_alarm_probability(minimum_executed: int) -> float | None:
    """Return how probably the abort criterion stops a rollout with an acceptable failure rate. None: not known."""
    from lorafw.fleet import Abort, operating_characteristic  # noqa: PLC0415 -- importing it takes about a second

    criterion = Abort(threshold=0.05, minimum_executed=minimum_executed)
    (point,) = operating_characteristic(criterion, [_ACCEPTABLE_RATE])
    return point.stops.value


def _is_smallest_minimum(answer: object) -> bool:
    """Return whether this minimum gives few false alarms, and the next smaller one too many. Simulates both."""
    assert is_number(answer)
    minimum = int(cast("float", answer))
    if minimum != answer or minimum % _STEP != 0 or not 10 <= minimum < 1000:
        return False
    probability = _false_alarm_probability(minimum)
    if probability is None or probability >= _MAX_FALSE_ALARM:
        return False
    if minimum == _STEP:
        return True
    smaller = _false_alarm_probability(minimum - _STEP)
    return smaller is not None and smaller >= _MAX_FALSE_ALARM


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
        Grader("a number", _is_smallest_minimum),
    ),
}
