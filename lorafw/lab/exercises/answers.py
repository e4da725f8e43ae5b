"""What an exercise is, and the usual ways to judge an answer. A judge may raise: that is a wrong answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Judge = Callable[[object], bool]


@dataclass(frozen=True, slots=True)
class Exercise:
    """``hint`` leads to the answer and does not give it; ``is_right`` may raise on an answer of another type."""

    hint: str
    is_right: Judge


def equals(wanted: object) -> Judge:
    """The same value of the same type: ``True`` is not 1."""
    return lambda answer: type(answer) is type(wanted) and answer == wanted


def number(wanted: float) -> Judge:
    """This number, whole or not."""
    return lambda answer: isinstance(answer, int | float) and not isinstance(answer, bool) and answer == wanted
