"""Lesson 10: how do I plan a rollout that stops in time?"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

from lorafw.lab.exercises.grading import Exercise, Grader, function, is_number, number
from lorafw.lab.exercises.question import Option, Question, right

if TYPE_CHECKING:
    from lorafw.testbed import Testbed

_ACCEPTABLE_RATE: Final = 0.02
_MAX_FALSE_ALARM: Final = 0.1
_STEP: Final = 10


def _false_alarm_probability(minimum_executed: int) -> float | None:
    """Return how probably the abort criterion stops a rollout with an acceptable failure rate, if that is known."""
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


class _Baking:
    """Advances the clock of a testbed by 20 seconds for each call, the time in which an update can succeed."""

    def __init__(self, bed: Testbed) -> None:
        self._bed = bed

    def __call__(self) -> None:
        self._bed.advance(20)


def _which_got_a_task(answer: object, *, is_bad: bool = False, is_silent: bool = False) -> list[bool]:
    """Run the learner's rollout on five gateways, two of which are canaries: they get the update first.

    Args:
        answer: The learner's function.
        is_bad: Whether the firmware is bad: its updates have no effect.
        is_silent: Whether the second canary is offline.

    Returns:
        For each gateway, whether it got a task.
    """
    from lorafw.testbed import Testbed  # noqa: PLC0415 -- importing the testbed takes about a second

    roll_out = cast("Callable[..., Any]", answer)
    with Testbed(gateways=5) as bed:
        bed.poll()
        definition_id = bed.define_update("1.0.1", auto_create_tasks=False)
        if is_bad:
            for gateway in bed.gateways:
                bed.inject("script-fails", gateway)
        if is_silent:
            bed.inject("offline", 1)
        ids = [gateway.id for gateway in bed.gateways]
        canaries, others = ids[:2], ids[2:]
        roll_out(bed.client("iotwireless"), definition_id, [canaries, others], _Baking(bed))
        return [_has_task(bed, gateway_id) for gateway_id in ids]


def _has_task(bed: Testbed, gateway_id: str) -> bool:
    iot = bed.client("iotwireless")
    try:
        iot.get_wireless_gateway_task(Id=gateway_id)
    except iot.exceptions.ResourceNotFoundException:
        return False
    return True


_ALL: Final = [True] * 5
_CANARIES: Final = [True, True, False, False, False]


def _stops_in_time(answer: object) -> bool:
    if _which_got_a_task(answer) != _ALL:
        return False
    if _which_got_a_task(answer, is_bad=True) != _CANARIES:
        return False
    return _which_got_a_task(answer, is_silent=True) == _CANARIES


def _feedback_rollout(answer: object) -> str | None:
    if _which_got_a_task(answer) != _ALL:
        return "with good firmware not every gateway gets a task."
    if _which_got_a_task(answer, is_bad=True) != _CANARIES:
        return "with bad firmware the second wave gets tasks, too."
    if _which_got_a_task(answer, is_silent=True) != _CANARIES:
        return "one of two canaries is silent, and the second wave begins all the same."
    return None


EXERCISES = {
    "10-bake": Exercise(
        hints=(
            "How long does a canary need until its first send, at most?",
            "Then FIRST_RETRY, SECOND_RETRY and FAILED each take one interval more.",
        ),
        grader=number(24),
        solution="answer = 4 * 6",
        explanation="Up to one interval until the first send, and three more until the request that shows that the "
        "third send has failed.",
    ),
    "10-canaries": Exercise(
        hints=(
            "The cell above calculates the rate for a number of canaries. You need the number for a rate.",
            "Find the smallest n for which 0.97 ** n is below 0.05, by trying or with log.",
        ),
        grader=number(99),
        solution="from math import ceil, log\n\nanswer = ceil(log(0.05) / log(1 - 0.03))",
        explanation="required_canaries(0.03) of lorafw.fleet.statistics.sample_size returns the same. Gateways that "
        "share a power line or an Internet provider fail together, so they tell you less.",
    ),
    "10-minimum": Exercise(
        hints=(
            "Call operating_characteristic for the rate 0.02 with minimum 10, 20, 30 and so on.",
            "Each point has .stops.value. Take the first minimum for which it is below 0.1.",
        ),
        grader=Grader("a number", _is_smallest_minimum),
        solution="""\
answer = next(
    minimum
    for minimum in range(10, 1000, 10)
    if operating_characteristic(Abort(threshold=0.05, minimum_executed=minimum), [0.02])[0].stops.value < 0.1
)""",
        explanation="A larger minimum gives fewer false alarms, and notices bad firmware later.",
    ),
    "10-loop": Exercise(
        hints=(
            "The loop on this page is nearly what you need. What does it do after it has printed stop?",
            "Ask for the status of each gateway of the wave. Go on only if all are COMPLETED: a silent one is not.",
        ),
        grader=function(_stops_in_time, _feedback_rollout),
        solution="""\
def roll_out(iot, definition, waves, bake):
    for wave in waves:
        for gateway_id in wave:
            iot.create_wireless_gateway_task(Id=gateway_id, WirelessGatewayTaskDefinitionId=definition)
        bake()
        tasks = [iot.get_wireless_gateway_task(Id=gateway_id) for gateway_id in wave]
        if any(task["Status"] != "COMPLETED" for task in tasks):
            return


answer = roll_out""",
        explanation="check has run your function three times: with good firmware, with bad firmware, and with a canary "
        "that is silent. A silent canary is no success.",
        is_open_ended=True,
    ),
}

QUESTIONS = {
    "10-silence": Question(
        "After one day no canary is FAILED. The gateways poll once a day. What does that tell you?",
        (
            Option(
                "the firmware is good", "no task can be FAILED yet: that takes three intervals after the first send."
            ),
            right("nothing yet", "Ask how many canaries are COMPLETED. A success shows sooner than a failure."),
            Option(
                "at least that no gateway was lost",
                "a gateway that was lost is silent, and its task is not FAILED yet.",
            ),
        ),
    ),
}
