"""Concept questions with several answers. Each wrong answer has feedback about the misconception behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LETTERS: Final = "abcdefgh"


@dataclass(frozen=True, slots=True)
class Option:
    """One of the answers to a question."""

    text: str
    feedback: str
    """What to say to a learner who chooses this answer."""
    is_right: bool = False


def right(text: str, feedback: str) -> Option:
    """Return the right answer to a question."""
    return Option(text, feedback, is_right=True)


@dataclass(frozen=True, slots=True)
class Question:
    """A question with one right answer."""

    text: str
    options: tuple[Option, ...]

    @property
    def right_letter(self) -> str:
        """The letter of the right answer."""
        return next(letter for letter, option in self.lettered() if option.is_right)

    def lettered(self) -> list[tuple[str, Option]]:
        """Return the options with their letters, in order."""
        return list(zip(LETTERS, self.options, strict=False))

    def option(self, letter: object) -> Option | None:
        """Return the option with this letter, in upper or lower case. Returns None if there is none."""
        if not isinstance(letter, str):
            return None
        return dict(self.lettered()).get(letter.strip().lower())
