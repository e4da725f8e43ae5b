"""Lesson 11: how do I get from the lab to AWS?"""

from __future__ import annotations

from collections.abc import Mapping

from lorafw.lab.exercises.grading import Exercise, Grader, equals

GATEWAYS = 5


def _counts_every_gateway(answer: object) -> bool:
    """Return whether the function counts right on a testbed in which one gateway has no task. Runs the testbed."""
    from lorafw.testbed import Testbed  # noqa: PLC0415 -- importing the testbed takes about a second

    assert callable(answer)
    with Testbed(gateways=GATEWAYS) as bed:
        bed.define_update()
        for gateway in bed.gateways[1:]:
            bed.poll(gateway)
        return dict(answer(bed.client("iotwireless"))) == {"IN_PROGRESS": GATEWAYS - 1, "NONE": 1}


def _feedback_called(answer: object) -> str | None:
    """Return feedback on the result of the function instead of the function."""
    if isinstance(answer, Mapping):
        return "that is what the function gave back. Hand in the function itself, without parentheses."
    return None


EXERCISES = {
    "11-variable": Exercise(
        "AWS_ENDPOINT_URL_ with the printed name behind it, in capitals, and _ where the name has a blank.",
        equals("AWS_ENDPOINT_URL_IOT_WIRELESS"),
    ),
    "11-pages": Exercise(
        "Walk over all_pages(iot) instead of the first page, catch iot.exceptions.ResourceNotFoundException, and give "
        "the count back. The answer is the function itself, without parentheses.",
        Grader("the function itself", _counts_every_gateway, _feedback_called),
    ),
    "11-policy": Exercise(
        "The task to be deleted has not ended. Which of the two values of delete_task forbids just that?",
        equals("ended_only"),
    ),
}
