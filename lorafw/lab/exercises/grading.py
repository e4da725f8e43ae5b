"""What an exercise is, and the usual ways to judge an answer.

Whatever a judge raises means that the answer is wrong. An answer that is wrong only in its kind, a text where a number
is asked for, is told so, since no hint about the question helps there.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from numbers import Real
from typing import Final

LONGEST: Final = 1000
"""A longer text is not looked into."""

_KINDS: Final[dict[type, str]] = {
    str: "a text",
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


def no_feedback(answer: object) -> str | None:
    """There is nothing to say of this answer in particular."""
    return None


@dataclass(frozen=True, slots=True)
class Grader:
    """``asked``: what to hand in. ``told``: what to say of a wrong answer that shows where the slip is."""

    asked: str
    is_right: Callable[[object], bool]
    told: Callable[[object], str | None] = no_feedback


@dataclass(frozen=True, slots=True)
class Exercise:
    """``hint`` leads to the answer and does not give it."""

    hint: str
    judge: Grader

    def accepts(self, answer: object) -> bool:
        """Never raises."""
        try:
            return bool(self.judge.is_right(answer))
        except Exception:  # any failure of a comparison is a wrong answer, never an error in the notebook
            return False

    def feedback_for(self, answer: object) -> str:
        """What helps with this wrong answer. Never raises."""
        try:
            if told := self.judge.told(answer):
                return told
            if any(self.accepts(reading) for reading in _plausible_values(answer)):
                return self._other_kind(answer)
        except Exception:  # an answer may be anything at all
            return self.hint
        return self.hint

    def _other_kind(self, answer: object) -> str:
        kind, asked = type_label(answer), self.judge.asked
        if kind == asked:
            return "the right value is in it. Look at blanks, at quotation marks, and at the kind of what it holds."
        return f"that is the right value, but {kind}; {asked} is asked for."


def equals(wanted: object, told: Callable[[object], str | None] = no_feedback) -> Grader:
    """The same value of the same type: ``True`` is not 1. A number may be whole or not."""
    if isinstance(wanted, int | float) and not isinstance(wanted, bool):
        return number(wanted, told=told)
    return Grader(_KINDS[type(wanted)], lambda answer: type(answer) is type(wanted) and answer == wanted, told)


def number(wanted: float, within: float = 0, told: Callable[[object], str | None] = no_feedback) -> Grader:
    """This number, or one that was rounded."""
    return Grader("a number", lambda answer: is_number(answer) and abs(float(answer) - wanted) <= within, told)  # type: ignore[arg-type]


def is_number(answer: object) -> bool:
    return isinstance(answer, Real) and not isinstance(answer, bool)


def type_label(answer: object) -> str:
    return _KINDS.get(type(answer), f"of the type {type(answer).__name__}")


def _plausible_values(answer: object) -> Iterator[object]:
    """What somebody may have meant who handed this in."""
    if isinstance(answer, str):
        yield from _readings_of_text(answer)
    elif isinstance(answer, bytes):
        yield answer.hex(" ")
        yield answer.decode(errors="replace")
    elif isinstance(answer, list | tuple | set | frozenset):
        plain = [item.value if isinstance(item, Enum) else item for item in answer]
        yield from (plain, set(plain))
        if len(plain) == 1:
            yield plain[0]
    else:
        if isinstance(answer, Enum):
            yield answer.value
        if answer in (0, 1):
            yield from (bool(answer), 1 if answer else 0)
        yield from _readings_of_text(str(answer))
    yield [answer]


def _readings_of_text(text: str) -> Iterator[object]:
    if len(text) > LONGEST:
        return
    yield text
    yield text.strip().strip("\"'")
    yield set(re.findall(r"[\w-]+", text))
    for read in (ast.literal_eval, float):
        try:
            yield read(text.strip())
        except (ValueError, SyntaxError, TypeError):
            continue
