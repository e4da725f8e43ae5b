"""What a learner has tried so far, and the functions with which a lesson asks and helps.

Help comes in steps. ``check`` says whether an answer is right, and names typical mistakes, but gives no hint. After a
wrong answer ``hint`` gives two hints, one for each call. After these, or after a right answer, ``solution`` prints the
solution. All of it is printed as plain text, so that it works without JavaScript and can be compared in tests.
"""

from __future__ import annotations

from collections.abc import Mapping

from lorafw.lab.exercises.grading import Exercise
from lorafw.lab.exercises.question import Question


class ExerciseSession:
    """The exercises and questions of a course, and a learner's progress in them. Its methods print and never raise.

    Args:
        exercises: The exercises by name, for example ``"02-crc"``.
        questions: The concept questions by name.
    """

    def __init__(self, exercises: Mapping[str, Exercise], questions: Mapping[str, Question]) -> None:
        self._exercises = exercises
        self._questions = questions
        self._wrong: set[str] = set()
        self._solved: set[str] = set()
        self._hints_given: dict[str, int] = {}

    def check(self, name: str, answer: object = ...) -> None:
        """Print ☐ (not done), ☑ (right, with an explanation) or ☒ (not yet right).

        Args:
            name: Name of the exercise, for example ``"02-crc"``.
            answer: The answer. ``...`` means that there is none yet.
        """
        exercise = self._exercises.get(name)
        if exercise is None:
            self._say_no_exercise(name)
        elif answer is ...:
            _say("☐ not done yet")
        elif exercise.accepts(answer):
            self._solved.add(name)
            _say(f"☑ correct. {exercise.explanation}")
        else:
            self._wrong.add(name)
            self._say_wrong(name, exercise.feedback_for(answer))

    def _say_no_exercise(self, name: str) -> None:
        """Print that no exercise has this name. If it is a question, print how to answer it."""
        if name in self._questions:
            _say(f'☐ {name} is a question. Add a letter, as in choose("{name}", "a"). A wrong one tells you something.')
        else:
            _say(f"☒ there is no exercise {name!r}")

    def _say_wrong(self, name: str, feedback: str | None) -> None:
        """Print that an answer is wrong, with feedback if there is any, and where to get help."""
        if feedback:
            _say(f"☒ not yet: {feedback}")
        else:
            _say(f'☒ not yet. Try again, or run hint("{name}").')

    def hint(self, name: str) -> None:
        """Print the next hint of an exercise. There is none before the first wrong answer.

        Args:
            name: Name of the exercise.
        """
        exercise = self._exercises.get(name)
        if exercise is None:
            self._say_no_exercise(name)
            return
        if name not in self._wrong:
            _say("☐ first try an answer, even a guess. After a wrong one there is a hint.")
            return
        step = self._hints_given.get(name, 0)
        if step == len(exercise.hints):
            _say(f'There is no further hint. solution("{name}") prints the solution.')
            return
        self._hints_given[name] = step + 1
        _say(f"Hint {step + 1} of {len(exercise.hints)}: {exercise.hints[step]}")

    def solution(self, name: str, *, at_once: bool = False) -> None:
        """Print the solution of an exercise, after both hints or after a right answer.

        Args:
            name: Name of the exercise.
            at_once: Print it in any case. This is for trainers.
        """
        exercise = self._exercises.get(name)
        if exercise is None:
            self._say_no_exercise(name)
            return
        has_read_hints = self._hints_given.get(name, 0) == len(exercise.hints)
        if at_once or has_read_hints or name in self._solved:
            _say(f"{exercise.solution}\n\n{exercise.explanation}")
        else:
            _say(f'☐ not yet. Try an answer, then run hint("{name}") twice.')

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
            options = [f"  {key}) {option.text}" for key, option in question.lettered()]
            _say("\n".join([f"☐ {question.text}", *options]))
        else:
            self._say_choice(question, letter)

    def _say_choice(self, question: Question, letter: object) -> None:
        """Print the feedback on the answer with this letter."""
        option = question.option(letter)
        if option is None:
            letters = ", ".join(key for key, _ in question.lettered())
            _say(f"☒ {letter!r} is not one of the letters {letters}")
        elif option.is_right:
            _say(f"☑ correct. {option.feedback}")
        else:
            _say(f"☒ not yet: {option.feedback}")


def _say(text: str) -> None:
    print(text)  # noqa: T201 -- a notebook shows what is printed
