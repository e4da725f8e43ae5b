"""Ten questions, asked before and after the course, to show what was gained.

The seed changes the numbers in the questions and the order of the answers, so that the second time cannot be answered
from memory. The answers of the first time are kept in a file until the second time.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Final

from lorafw.atomic import write_atomic
from lorafw.lab.exercises.question import LETTERS, Option, Question, right

BEFORE_FILE: Final = "ten-questions-before.json"
_COUNT: Final = 10


def _question(text: str, answer: object, *wrong: object) -> Question:
    """Return a question whose answers are numbers or words, the right one first."""
    return Question(text, (right(str(answer), ""), *(Option(str(value), "") for value in wrong)))


def _next_request(rng: random.Random) -> Question:
    old = f"1.{rng.randint(0, 9)}.{rng.randint(0, 9)}"
    new = f"2.{rng.randint(0, 9)}.{rng.randint(0, 9)}"
    return _question(
        f"A station runs. Somebody edits its version.txt by hand, from {old} to {new}, and restarts nothing. Which "
        "version is in the gateway's next request, and which one does AWS show after it?",
        f"{new} in both",
        f"{old} in both",
        f"{new} in the request, {old} at AWS",
        f"{old} in the request, {new} at AWS",
    )


def _matching(rng: random.Random) -> Question:
    package = f"1.{rng.randint(0, 9)}.{rng.randint(0, 9)}"
    return _question(
        f"A definition with AutoCreateTasks names version {package} and model rpi. A gateway reports {package} and "
        '"RPi". What does AWS show for this gateway after its next poll?',
        "no task",
        "a task that is PENDING",
        "a task that is FAILED",
        "a task that is IN_PROGRESS",
    )


def _client_address(rng: random.Random) -> Question:
    first, second = (f"127.0.0.1:{port}" for port in rng.sample(range(5000, 10_000), 2))
    return _question(
        f"A script makes its boto3 client while AWS_ENDPOINT_URL is http://{first}. Then it sets the variable to "
        f"http://{second}, and deletes it before it makes a call. Where does the call of this client go?",
        f"to {first}",
        f"to {second}",
        "to the real AWS",
        "nowhere: it raises an error",
    )


def _pending(rng: random.Random) -> Question:
    polls = rng.randint(4, 9)
    return _question(
        f"AutoCreateTasks has created a task. The gateway has polled {polls} times since then, and the task is still "
        "PENDING. What is the cause?",
        "the role may not read the update file",
        "the gateway has no key for the signature",
        "the gateway has no space for the update",
        "the gateway reports a different model",
    )


def _time_to_failed(rng: random.Random) -> Question:
    hours = rng.choice((4, 6, 8, 12, 24))
    return _question(
        f"Gateways poll every {hours} h. The update has no effect and restarts nothing. How long after the first send "
        "is the task FAILED?",
        f"{3 * hours} h",
        f"{2 * hours} h",
        f"{4 * hours} h",
        f"{3 * hours + 48} h",
    )


def _no_key(rng: random.Random) -> Question:
    return _question(
        "A gateway has no sig-0.key. It receives two updates: one is signed, and the other one is not. Which does it "
        "run?",
        "only the unsigned one",
        "only the signed one",
        "both, in either order",
        "none, without a key",
    )


def _canary(rng: random.Random) -> Question:
    canaries = rng.choice((10, 15, 20, 30, 40, 60))
    rate = 1 - 0.05 ** (1 / canaries)
    return _question(
        f"None of {canaries} canaries fails. Which failure rate is still possible at most (95 % confidence)?",
        f"{rate:.1%}",
        f"{1 / canaries:.1%}",
        f"{rate / 6:.1%}",
        f"{rate * 2:.1%}",
    )


def _killed_rollout(rng: random.Random) -> Question:
    created = rng.randint(2, 9)
    gateways = created + rng.randint(11, 30)
    return _question(
        f"lorafw rollout apply is killed when AWS has {created} of the {gateways} tasks of a wave, before it could "
        "write down their results. You start it again. What does it do first?",
        "it asks AWS which tasks there are",
        f"it deletes the {created} tasks and begins again",
        f"it creates {gateways} tasks, and ignores conflicts",
        "it holds until you say which tasks there are",
    )


def _signature_length(rng: random.Random) -> Question:
    length = rng.choice((69, 70, 71, 72))
    return _question(
        f"A signature has {length} bytes. Which number is in the length field of the response?",
        length + 4,
        length,
        length + 2,
        length + 8,
    )


def _comes_back(rng: random.Random) -> Question:
    polls = rng.randint(5, 9)
    return _question(
        "An update never has an effect, and a task is FAILED. You delete the task, but not its definition, which has "
        f"AutoCreateTasks. How often is the update sent to the gateway in its next {polls} polls?",
        "3 times",
        "0 times",
        "1 time",
        f"{polls} times",
    )


_MAKERS: Final[tuple[Callable[[random.Random], Question], ...]] = (
    _next_request,
    _matching,
    _client_address,
    _pending,
    _time_to_failed,
    _no_key,
    _canary,
    _killed_rollout,
    _signature_length,
    _comes_back,
)


class TenQuestions:
    """Ten questions that a learner answers before the course and after it."""

    def __init__(self, seed: int = 1, folder: Path | str = ".") -> None:
        """Choose the numbers in the questions, and the order of the answers.

        Args:
            seed: Equal seeds give equal questions.
            folder: Where the result of the first time is kept until the second time.
        """
        rng = random.Random(seed)
        self.questions = [_shuffled(make(rng), rng) for make in _MAKERS]
        self._path = Path(folder) / BEFORE_FILE

    def ask(self) -> None:
        """Print the questions with their answers."""
        for number, question in enumerate(self.questions, start=1):
            _say(f"{number}. {question.text}")
            for letter, option in question.lettered():
                _say(f"   {letter}) {option.text}")

    def right_numbers(self, answers: str) -> list[int]:
        """Return the numbers of the questions that are answered correctly.

        Args:
            answers: Ten letters, one for each question.
        """
        numbers = []
        pairs = zip(self.questions, answers.lower(), strict=True)
        for number, (question, letter) in enumerate(pairs, start=1):
            if letter == question.right_letter:
                numbers.append(number)
        return numbers

    def hand_in_before(self, answers: object = ...) -> None:
        """Keep the result of the first time in a file, and do not print it, so that the questions can be asked again.

        Args:
            answers: Ten letters, one for each question.
        """
        letters = _checked_letters(answers)
        if letters is None:
            return
        result = {"right": self.right_numbers(letters)}
        write_atomic(self._path, json.dumps(result).encode())
        _say("☑ kept. You will see the result after the course.")

    def hand_in_after(self, answers: object = ...) -> None:
        """Print the results of both times and what was gained.

        Args:
            answers: Ten letters, one for each question.
        """
        letters = _checked_letters(answers)
        if letters is None:
            return
        before = self._read_before()
        after = set(self.right_numbers(letters))
        still_wrong = set(range(1, _COUNT + 1)) - after
        if before is not None:
            _say(f"before  {len(before)} of {_COUNT}")
        _say(f"after   {len(after)} of {_COUNT}")
        if before is not None:
            _say(f"gained: questions {_listed(after - before)}")
        _say(f"to read again: questions {_listed(still_wrong)}")

    def _read_before(self) -> set[int] | None:
        """Return the numbers that were right the first time. Returns None if there was no first time."""
        try:
            return set(json.loads(self._path.read_bytes())["right"])
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _shuffled(question: Question, rng: random.Random) -> Question:
    """Return the question with its answers in a random order."""
    options = list(question.options)
    rng.shuffle(options)
    return Question(question.text, tuple(options))


def _checked_letters(answers: object) -> str | None:
    """Return ten letters. If the answers are something else, print what is missing and return None."""
    if answers is ...:
        _say("☐ not done yet")
        return None
    text = "".join(str(answers).split()).lower()
    if len(text) != _COUNT or any(letter not in LETTERS[:4] for letter in text):
        _say(f"☒ {answers!r} is not ten letters from a to d, for example 'abcdabcdab'")
        return None
    return text


def _listed(numbers: set[int]) -> str:
    """Return numbers as text, or ``none``."""
    return ", ".join(map(str, sorted(numbers))) or "none"


def _say(text: str) -> None:
    print(text)  # noqa: T201 -- a notebook shows what is printed
