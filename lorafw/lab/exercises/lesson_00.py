"""Lesson 00: what will I do here, and is everything ready?"""

from __future__ import annotations

from lorafw.lab.exercises.grading import Exercise, Grader, equals
from lorafw.lab.exercises.question import Option, Question, right

GATEWAYS = 3


def _are_all_updated(answer: object) -> bool:
    """Return whether every gateway of the testbed runs 1.0.1 and its task is COMPLETED."""
    from lorafw.testbed import Testbed  # noqa: PLC0415 -- importing the testbed takes about a second

    assert isinstance(answer, Testbed)
    versions = [gateway.home.read_package_version() for gateway in answer.gateways]
    statuses = [str(answer.status(gateway)) for gateway in answer.gateways]
    return versions == ["1.0.1"] * GATEWAYS and statuses == ["COMPLETED"] * GATEWAYS


def _feedback_missing_polls(answer: object) -> str | None:
    """Return how many gateways still run the old version, or wait for their second poll."""
    from lorafw.testbed import Testbed  # noqa: PLC0415 -- as above

    if not isinstance(answer, Testbed):
        return "hand in bed, the testbed itself."
    old = sum(gateway.home.read_package_version() != "1.0.1" for gateway in answer.gateways)
    if old:
        return f"{old} of {GATEWAYS} gateways still run the old version."
    return "all gateways run 1.0.1, but AWS does not know it of all of them yet."


EXERCISES = {
    "00-version": Exercise(
        hints=(
            "The cell of the first update printed it.",
            "It is the last word of that line. Write it in quotation marks.",
        ),
        grader=equals("1.0.1"),
        solution='answer = "1.0.1"',
        explanation="The gateway had asked for the update and installed it.",
    ),
    "00-polls": Exercise(
        hints=(
            "Press Poll for one gateway on the board below, and look at its task after each press.",
            "One poll brings the update. What does AWS know after it, and what can it only learn later?",
        ),
        grader=equals(2),
        solution="answer = 2",
        explanation="The first poll brings the update. Only the second one tells AWS that the new version runs.",
    ),
    "00-all": Exercise(
        hints=(
            "The board has a button that advances the clock. Which line of code above does the same?",
            "A gateway polls every ten seconds, and each gateway needs two polls.",
        ),
        grader=Grader("bed", _are_all_updated, _feedback_missing_polls),
        solution="bed.advance(20)\nboard.redraw()\nanswer = bed",
        explanation="Buttons and code do the same thing. Every gateway was sent the update and has reported 1.0.1.",
        is_open_ended=True,
    ),
}

QUESTIONS = {
    "00-first": Question(
        "Your update is ready on AWS. Who starts the exchange that brings it to a gateway?",
        (
            Option(
                "AWS connects to the gateway",
                "AWS has no way to connect to it. Look at the direction of the first arrow.",
            ),
            right("the gateway asks its CUPS server", "So AWS can only wait until the gateway asks."),
            Option("you log in to the gateway", "That is what you want to avoid on 500 roofs."),
        ),
    ),
}
