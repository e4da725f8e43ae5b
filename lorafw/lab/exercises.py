"""Exercises that check themselves. ``check`` never raises: a wrong answer is part of learning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from lorafw.tasks.lifecycle import TERMINAL


@dataclass(frozen=True, slots=True)
class Exercise:
    """``is_right`` may raise on an answer of another type; that is a wrong answer."""

    hint: str
    is_right: Callable[[object], bool]


def _equals(wanted: object) -> Callable[[object], bool]:
    return lambda answer: type(answer) is type(wanted) and answer == wanted


EXERCISES: Final[Mapping[str, Exercise]] = MappingProxyType(
    {
        "01-null": Exercise(
            'Read the request once more: what stands behind "package" when there is no version.txt? In Python: None.',
            lambda answer: answer is None,
        ),
        "01-trim": Exercise(
            "A station cuts blanks and line ends off the end of version.txt, and leaves those at its beginning.",
            _equals(" 2.0.0"),
        ),
        "01-match": Exercise(
            "All three fields must be equal, character by character. How many of the three lines differ in nothing?",
            _equals(1),
        ),
        "05-polls": Exercise(
            "One send a poll, three sends at most; and the verdict on the third send falls at the poll after it.",
            _equals(4),
        ),
        "05-ended": Exercise(
            "A set of two statuses, as text: those after which nothing more happens to a task.",
            _equals({str(status) for status in TERMINAL}),
        ),
        "05-wait": Exercise(
            "The gateway's clock decides: with its default interval it asks once in 24 h. Answer in hours.",
            lambda answer: answer in (72, 72.0),
        ),
    }
)


def check(name: str, answer: object = ...) -> None:
    """Print ☐ (not done), ☑ (right) or ☒ (not yet right) with a hint."""
    exercise = EXERCISES.get(name)
    if exercise is None:
        print(f"☒ there is no exercise {name!r}")  # noqa: T201 -- a notebook shows what is printed
    elif answer is ...:
        print(f"☐ not done yet. Hint: {exercise.hint}")  # noqa: T201
    elif _is_right(exercise, answer):
        print("☑ correct")  # noqa: T201
    else:
        print(f"☒ not yet. Hint: {exercise.hint}")  # noqa: T201


def _is_right(exercise: Exercise, answer: object) -> bool:
    try:
        return bool(exercise.is_right(answer))
    except Exception:  # any failure of a comparison is a wrong answer, never an error in the notebook
        return False
