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
    """A multiple-choice question with one right answer."""

    text: str
    options: tuple[Option, ...]
    """The answers to choose from, at most eight."""

    def lettered(self) -> list[tuple[str, Option]]:
        """Return the options with their letters, "a" first."""
        return list(zip(LETTERS, self.options, strict=False))

    @property
    def right_letter(self) -> str:
        """The letter of the right answer."""
        for letter, option in self.lettered():
            if option.is_right:
                return letter
        raise LookupError(f"no option of the question is right: {self.text}")

    def option(self, letter: object) -> Option | None:
        """Return the option with this letter, or None if there is none.

        Args:
            letter: What a learner has typed: a letter in upper or lower case, or anything else.
        """
        if not isinstance(letter, str):
            return None
        option_by_letter = dict(self.lettered())
        return option_by_letter.get(letter.strip().lower())
