"""Exercises, and the usual ways to grade an answer.

An answer is wrong if its grader raises an exception. If the value of a wrong answer is right and only its type is not,
for example a string instead of a number, the feedback says so.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from enum import Enum
from numbers import Real
from typing import Final

MAX_TEXT_LENGTH: Final = 1000
"""A longer text is not searched for the value that was meant."""

_TYPE_LABELS: Final[dict[type, str]] = {
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "True or False",
    list: "a list",
    tuple: "a tuple",
    set: "a set",
    dict: "a dict",
    bytes: "bytes",
    type(None): "None",
}


Check = Callable[[object], bool]
"""Returns whether an answer is right."""
Feedback = Callable[[object], str | None]
"""Returns what to say about a wrong answer. The result is None if there is nothing in particular to say."""


def no_feedback(answer: object) -> str | None:
    """Return None: there is nothing to say about this answer in particular."""
    return None


@dataclass(frozen=True, slots=True)
class Grader:
    """Grades the answers to one exercise."""

    expected_type: str
    """What to hand in, in words."""
    is_correct: Check
    """An exception that it raises means that the answer is wrong."""
    feedback: Feedback = no_feedback
    """Recognizes typical mistakes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exercise:
    """An exercise of a lesson."""

    hints: tuple[str, str]
    """The first hint says where to look. The second one says how to get there. Neither gives the answer."""
    grader: Grader
    solution: str
    """Code that sets ``answer`` to a right answer, in the exercise's place in the lesson."""
    explanation: str
    """What a learner should know after finding the answer."""
    is_open_ended: bool = False
    """Whether many answers are right, so that an answer is judged by running it."""

    def accepts(self, answer: object) -> bool:
        """Return whether the answer is right. Never raises."""
        try:
            return bool(self.grader.is_correct(answer))
        except Exception:  # any failure of a comparison is a wrong answer, never an error in the notebook
            return False

    def feedback_for(self, answer: object) -> str | None:
        """Return what to say about a wrong answer. Never raises.

        Returns:
            Feedback about a typical mistake or, if the value is right, about its type. None if there is nothing in
            particular to say.
        """
        try:
            feedback = self.grader.feedback(answer)
            if feedback:
                return feedback
            has_right_value = any(self.accepts(value) for value in _plausible_values(answer))
            if has_right_value:
                return self._type_feedback(answer)
        except Exception:  # The learner's answer may be any object, and its methods may raise anything.
            return None
        return None

    def _type_feedback(self, answer: object) -> str:
        """Return feedback on an answer that has the right value in a wrong form."""
        label = type_label(answer)
        expected = self.grader.expected_type
        if label == expected:
            return "the right value is in it. Look at spaces, at quotation marks, and at the types of its items."
        return f"that is the right value, but {label}; {expected} is asked for."


def equals(expected: object, feedback: Feedback = no_feedback) -> Grader:
    """Return a grader that accepts an equal value of the same type.

    Args:
        expected: The right answer. If it is a number, any type of number is accepted. ``True`` is not a number.
        feedback: Recognizes typical mistakes.
    """
    if isinstance(expected, int | float) and not isinstance(expected, bool):
        return number(expected, feedback=feedback)

    def is_correct(answer: object) -> bool:
        return type(answer) is type(expected) and answer == expected

    return Grader(_TYPE_LABELS[type(expected)], is_correct, feedback)


def number(expected: float, tolerance: float = 0, feedback: Feedback = no_feedback) -> Grader:
    """Return a grader that accepts a number.

    Args:
        expected: The right answer.
        tolerance: How far an answer may be from it, so that a rounded one is accepted.
        feedback: Recognizes typical mistakes.
    """

    def is_correct(answer: object) -> bool:
        return is_number(answer) and abs(float(answer) - expected) <= tolerance  # type: ignore[arg-type]

    return Grader("a number", is_correct, feedback)


def function(behaves: Check, feedback: Feedback = no_feedback) -> Grader:
    """Return a grader for an exercise whose answer is a function that the learner wrote.

    Args:
        behaves: Calls the learner's function, and returns whether it does what it must do.
        feedback: Recognizes typical mistakes. Called with the learner's function.
    """

    def is_correct(answer: object) -> bool:
        return callable(answer) and behaves(answer)

    def describe_mistake(answer: object) -> str | None:
        if not callable(answer):
            return "hand in the function itself, without parentheses."
        try:
            return feedback(answer)
        except Exception as error:  # the learner's function may raise anything
            return f"your function raises {type(error).__name__}: {error}"

    return Grader("the function itself", is_correct, describe_mistake)


def is_number(answer: object) -> bool:
    """Return whether the answer is a real number. ``True`` is not."""
    return isinstance(answer, Real) and not isinstance(answer, bool)


def type_label(answer: object) -> str:
    """Return the type of an answer in words."""
    return _TYPE_LABELS.get(type(answer), f"of the type {type(answer).__name__}")


def _plausible_values(answer: object) -> Iterator[object]:
    """Yield the values that a learner may have meant with this answer."""
    if isinstance(answer, str):
        yield from _values_in_text(answer)
    elif isinstance(answer, bytes):
        yield answer.hex(" ")
        yield answer.decode(errors="replace")
    elif isinstance(answer, list | tuple | set | frozenset):
        yield from _values_in_collection(answer)
    else:
        yield from _values_of_scalar(answer)
    yield [answer]


def _values_in_collection(answer: Collection[object]) -> Iterator[object]:
    """Yield the items as a list and as a set, and the item itself if there is only one."""
    items = [item.value if isinstance(item, Enum) else item for item in answer]
    yield items
    yield set(items)
    if len(items) == 1:
        yield items[0]


def _values_of_scalar(answer: object) -> Iterator[object]:
    """Yield the value of an enum, 0 and 1 as False and True and the other way round, and the values in the text."""
    if isinstance(answer, Enum):
        yield answer.value
    if answer in (0, 1):
        yield bool(answer)
        yield 1 if answer else 0
    yield from _values_in_text(str(answer))


def _values_in_text(text: str) -> Iterator[object]:
    """Yield the text with and without quotation marks, its letters and words as sets, and its value in Python."""
    if len(text) > MAX_TEXT_LENGTH:
        return
    yield text
    yield text.strip().strip("\"'")
    yield set(text.strip())
    yield set(re.findall(r"[\w-]+", text))
    for parse in (ast.literal_eval, float):
        try:
            yield parse(text.strip())
        except (ValueError, SyntaxError, TypeError):
            continue
