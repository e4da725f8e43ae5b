"""Lesson 00: what will I do here, and is everything ready?"""

from __future__ import annotations

from lorafw.lab.exercises.grading import Exercise, Grader, equals

GATEWAYS = 3


def _are_all_completed(answer: object) -> bool:
    return isinstance(answer, list) and [str(status) for status in answer] == ["COMPLETED"] * GATEWAYS


EXERCISES = {
    "00-version": Exercise(
        "The text of version.txt: what stands at the end of the line that was printed?",
        equals("1.0.1"),
    ),
    "00-all": Exercise(
        "A list of three statuses. Let all three gateways ask twice: once to be sent the update, once to show that it "
        "is there.",
        Grader("a list", _are_all_completed),
    ),
}
