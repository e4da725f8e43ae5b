"""Lesson 05: how do I run an update and track its progress?"""

from __future__ import annotations

from lorafw.lab.exercises.grading import Exercise, equals
from lorafw.tasks.lifecycle import TERMINAL

EXERCISES = {
    "05-polls": Exercise(
        "One send a poll, three sends at most; and the verdict on the third send falls at the poll after it.",
        equals(4),
    ),
    "05-ended": Exercise(
        "A set of two statuses, as text: those after which nothing more happens to a task.",
        equals({str(status) for status in TERMINAL}),
    ),
    "05-wait": Exercise(
        "The gateway's clock decides: with its default interval it asks once in 24 h. Answer in hours.",
        equals(72),
    ),
}
