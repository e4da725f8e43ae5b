"""Lesson 11: how do I get from the lab to AWS?"""

from __future__ import annotations

from collections.abc import Mapping

from lorafw.lab.exercises.grading import Exercise, Grader, equals
from lorafw.lab.exercises.question import Option, Question, right

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
        return "that is what the function returned. Hand in the function itself, without parentheses."
    return None


EXERCISES = {
    "11-variable": Exercise(
        hints=(
            "The text above says how the name is put together. What does the cell print?",
            "Write the printed name in capitals, with _ instead of the space.",
        ),
        grader=equals("AWS_ENDPOINT_URL_IOT_WIRELESS"),
        solution='answer = "AWS_ENDPOINT_URL_IOT_WIRELESS"',
        explanation="S3 and IAM keep their own addresses. For the lessons all of them must be redirected.",
    ),
    "11-pages": Exercise(
        hints=(
            'Call list_wireless_gateways again with NextToken=page["NextToken"], as long as the page has one.',
            "Catch iot.exceptions.ResourceNotFoundException around get_wireless_gateway_task, and count it.",
        ),
        grader=Grader("the function itself", _counts_every_gateway, _feedback_called),
        solution="""\
from collections import Counter


def all_gateways(iot):
    page = iot.list_wireless_gateways(MaxResults=2)
    yield from page["WirelessGatewayList"]
    while "NextToken" in page:
        page = iot.list_wireless_gateways(MaxResults=2, NextToken=page["NextToken"])
        yield from page["WirelessGatewayList"]


def statuses(iot):
    count = Counter()
    for gateway in all_gateways(iot):
        try:
            count[iot.get_wireless_gateway_task(Id=gateway["Id"])["Status"]] += 1
        except iot.exceptions.ResourceNotFoundException:
            count["NONE"] += 1
    return count


answer = statuses""",
        explanation="check has called it with the five gateways of a testbed of its own.",
        is_open_ended=True,
    ),
    "11-policy": Exercise(
        hints=(
            "lorafw serve --policies lists the values of delete_task. There are two.",
            "In which status is the old task here? Test each value with under(Policy(delete_task=...)).",
        ),
        grader=equals("ended_only"),
        solution="""\
assert under(Policy(delete_task="ended_only")) == "ValidationException"
answer = "ended_only\"""",
        explanation="The old task is still PENDING. A script that waits for COMPLETED or FAILED before it deletes the "
        "task works with both values, and AWS asks for this, too.",
    ),
}

QUESTIONS = {
    "11-tag": Question(
        "Your script relies on a behaviour that lorafw has tagged as assumed. What do you do?",
        (
            Option(
                "nothing: the tests are green", "they are green with lorafw's decision. AWS may have decided otherwise."
            ),
            right(
                "test it with each value of the policy, and check it on AWS",
                "Then the script works either way, or you know what it depends on.",
            ),
            Option("rewrite it without AWS", "most behaviour is documented. Only check the part that is not."),
        ),
    ),
}
