"""The exercises and concept questions of the lessons, one module for each lesson, and the functions that ask them."""

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
    lesson_16,
)
from lorafw.lab.exercises.grading import Exercise
from lorafw.lab.exercises.question import Question
from lorafw.lab.exercises.session import ExerciseSession

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
    lesson_16,
)

EXERCISES: Final[Mapping[str, Exercise]] = MappingProxyType(ChainMap(*(lesson.EXERCISES for lesson in _LESSONS)))
QUESTIONS: Final[Mapping[str, Question]] = MappingProxyType(ChainMap(*(lesson.QUESTIONS for lesson in _LESSONS)))

_SESSION: Final = ExerciseSession(EXERCISES, QUESTIONS)
"""The progress of the learner whose notebook has imported this module. It ends with the kernel."""

check = _SESSION.check
hint = _SESSION.hint
solution = _SESSION.solution
choose = _SESSION.choose
