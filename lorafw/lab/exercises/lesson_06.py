"""Lesson 06: why did my update fail?"""

from __future__ import annotations

from typing import cast

from lorafw.lab.exercises.grading import Exercise, Grader, equals, is_number


def _is_between_the_polls(answer: object) -> bool:
    """Return whether the time settles after the poll at 40 s and not after the one at 50 s."""
    return is_number(answer) and 40 < cast("float", answer) <= 50


EXERCISES = {
    "06-deadline": Exercise(
        "format_iso(milliseconds) gives the text; the last row of bed.log has the milliseconds in .time.",
        equals("2021-03-14T09:57:12.047Z"),
    ),
    "06-unheard": Exercise(
        'The table says "no task" for them: no request came to the server. Names as they stand in the first column.',
        equals({"server-error", "offline", "connection-refused"}),
    ),
    "06-which": Exercise(
        "Which line tells of something that did not work? Which fault of the table happens at that place?",
        equals("tmp-full"),
    ),
    "06-settle": Exercise(
        "The polls come at 10, 20, 30, 40 and 50 s after the send. Which must count for nothing, which must count?",
        Grader("a number", _is_between_the_polls),
    ),
}
