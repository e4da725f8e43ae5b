"""What a learner has tried so far, and the functions with which a lesson asks and helps.

Help comes in steps. ``check`` says whether an answer is right, and names typical mistakes, but gives no hint. After a
wrong answer ``hint`` gives two hints, one for each call. After these, or after a right answer, ``solution`` prints the
solution. All of it is printed as plain text, so that it works without JavaScript and can be compared in tests.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from lorafw.lab.exercises.grading import Exercise
from lorafw.lab.exercises.question import Question


@dataclass(slots=True)
class Progress:
    """What a learner has done in one exercise."""

    has_right_answer: bool = False
    """Whether a right answer was given."""
    has_wrong_answer: bool = False
    """Whether a wrong answer was given."""
    hints_given: int = 0
    """Number of hints that were printed."""


class ExerciseSession:
    """The exercises and questions of a course, and a learner's progress in them. Its methods print and never raise."""

    def __init__(self, exercises: Mapping[str, Exercise], questions: Mapping[str, Question]) -> None:
        """Begin without any answer.

        Args:
            exercises: The exercises by name, for example ``"02-crc"``.
            questions: The concept questions by name.
        """
        self._exercises = exercises
        self._questions = questions
        self._progress: dict[str, Progress] = defaultdict(Progress)
        """The learner's progress in each exercise, by its name."""

    def check(self, name: str, answer: object = ...) -> None:
        """Print ☐ (not done), ☑ (right, with an explanation) or ☒ (not yet right).

        Args:
            name: Name of the exercise, for example ``"02-crc"``.
            answer: The answer. ``...`` means that there is none yet.
        """
        exercise = self._find_exercise(name)
        if exercise is None:
            return
        if answer is ...:
            _say("☐ not done yet")
            return
        if exercise.accepts(answer):
            self._progress[name].has_right_answer = True
            _say(f"☑ correct. {exercise.explanation}")
            return
        self._progress[name].has_wrong_answer = True
        feedback = exercise.feedback_for(answer)
        if feedback:
            _say(f"☒ not yet: {feedback}")
        else:
            _say(f'☒ not yet. Try again, or run hint("{name}").')

    def hint(self, name: str) -> None:
        """Print the next hint of an exercise. There is none before the first wrong answer.

        Args:
            name: Name of the exercise.
        """
        exercise = self._find_exercise(name)
        if exercise is None:
            return
        progress = self._progress[name]
        if not progress.has_wrong_answer:
            _say("☐ first try an answer, even a guess. After a wrong one there is a hint.")
            return
        if progress.hints_given == len(exercise.hints):
            _say(f'There is no further hint. solution("{name}") prints the solution.')
            return
        hint = exercise.hints[progress.hints_given]
        progress.hints_given += 1
        _say(f"Hint {progress.hints_given} of {len(exercise.hints)}: {hint}")

    def solution(self, name: str, *, at_once: bool = False) -> None:
        """Print the solution of an exercise, after both hints or after a right answer.

        Args:
            name: Name of the exercise.
            at_once: Print it in any case. This is for trainers.
        """
        exercise = self._find_exercise(name)
        if exercise is None:
            return
        progress = self._progress[name]
        has_read_hints = progress.hints_given == len(exercise.hints)
        if at_once or has_read_hints or progress.has_right_answer:
            _say(f"{exercise.solution}\n\n{exercise.explanation}")
        else:
            _say(f'☐ not yet. Try an answer, then run hint("{name}") twice.')

    def _find_exercise(self, name: str) -> Exercise | None:
        """Return the exercise with this name. If there is none, print what to do, and return None."""
        exercise = self._exercises.get(name)
        if exercise is not None:
            return exercise
        if name in self._questions:
            _say(f'☐ {name} is a question. Add a letter, as in choose("{name}", "a"). A wrong one tells you something.')
        else:
            _say(f"☒ there is no exercise {name!r}")
        return None

    def choose(self, name: str, letter: object = ...) -> None:
        """Print a concept question, or the feedback on an answer to it.

        Args:
            name: Name of the question, for example ``"03-outside"``.
            letter: The letter of the answer. ``...`` prints the question.
        """
        question = self._questions.get(name)
        if question is None and name in self._exercises:
            _say(f'☐ {name} is an exercise. Answer it with check("{name}", answer).')
        elif question is None:
            _say(f"☒ there is no question {name!r}")
        elif letter is ...:
            _say(_question_text(question))
        else:
            _say(_feedback_text(question, letter))


def _question_text(question: Question) -> str:
    """Return a question with its answers, one in each line."""
    lines = [f"☐ {question.text}"]
    for letter, option in question.lettered():
        lines.append(f"  {letter}) {option.text}")
    return "\n".join(lines)


def _feedback_text(question: Question, letter: object) -> str:
    """Return the feedback on the answer with this letter."""
    option = question.option(letter)
    if option is None:
        letters = ", ".join(known_letter for known_letter, _ in question.lettered())
        return f"☒ {letter!r} is not one of the letters {letters}"
    if option.is_right:
        return f"☑ correct. {option.feedback}"
    return f"☒ not yet: {option.feedback}"


def _say(text: str) -> None:
    print(text)  # noqa: T201 -- a notebook shows what is printed
