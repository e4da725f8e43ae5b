"""The exercises of the lessons, one module for each lesson, and ``check``, which grades an answer."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from lorafw.lab.exercises import (
    lesson_00,
    lesson_01,
    lesson_02,
    lesson_03,
    lesson_04,
    lesson_05,
    lesson_06,
    lesson_07,
    lesson_08,
    lesson_09,
    lesson_10,
    lesson_11,
)
from lorafw.lab.exercises.grading import Exercise

_LESSONS: Final = (
    lesson_00,
    lesson_01,
    lesson_02,
    lesson_03,
    lesson_04,
    lesson_05,
    lesson_06,
    lesson_07,
    lesson_08,
    lesson_09,
    lesson_10,
    lesson_11,
)

EXERCISES: Final[Mapping[str, Exercise]] = MappingProxyType(ChainMap(*(lesson.EXERCISES for lesson in _LESSONS)))


def check(name: str, answer: object = ...) -> None:
    """Print ☐ (not done), ☑ (right) or ☒ (not yet right) with a hint. Never raises.

    Args:
        name: Name of the exercise, for example ``"02-crc"``.
        answer: The answer. If it is wrong in a typical way, the hint is about that. Not given: not done.
    """
    exercise = EXERCISES.get(name)
    if exercise is None:
        print(f"☒ there is no exercise {name!r}")  # noqa: T201 -- a notebook shows what is printed
    elif answer is ...:
        print(f"☐ not done yet. Hint: {exercise.hint}")  # noqa: T201
    elif exercise.accepts(answer):
        print("☑ correct")  # noqa: T201
    else:
        print(f"☒ not yet. Hint: {exercise.feedback_for(answer)}")  # noqa: T201
