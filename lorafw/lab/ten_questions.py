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
        f"Somebody edits version.txt on a gateway by hand, from {old} to {new}. What does its next request report?",
        new,
        f"{old}, until the station restarts",
        f"{old}, because no signature fits {new}",
        "no version at all",
    )


def _matching(rng: random.Random) -> Question:
    package = f"1.{rng.randint(0, 9)}.{rng.randint(0, 9)}"
    return _question(
        f'A definition names version {package} and model rpi. A gateway reports {package} and "RPi". What happens?',
        "nothing: there is no task",
        "it is updated",
        "a task is created and FAILED",
        "AWS corrects the spelling",
    )


def _client_address(rng: random.Random) -> Question:
    address = f"127.0.0.1:{rng.randint(5000, 9999)}"
    return _question(
        f"A script makes its boto3 client while AWS_ENDPOINT_URL is http://{address}. Then the variable is deleted. "
        "Where do the calls of this client go?",
        f"to {address}",
        "to the real AWS",
        "nowhere: boto3 raises an error",
        "to the address in ~/.aws/config",
    )


def _pending(rng: random.Random) -> Question:
    polls = rng.randint(4, 9)
    return _question(
        f"A gateway has polled {polls} times, and its task is still PENDING. Where do you look first?",
        "at the object and the role in S3 and IAM",
        "at the signature",
        "at the gateway's /tmp",
        "at the gateway's power supply",
    )


def _time_to_failed(rng: random.Random) -> Question:
    hours = rng.choice((4, 6, 8, 12, 24))
    return _question(
        f"Gateways poll every {hours} h. The update has no effect. How long after the first send is the task FAILED?",
        f"{3 * hours} h",
        f"{hours} h",
        f"{2 * hours} h",
        "at once",
    )


def _no_key(rng: random.Random) -> Question:
    return _question(
        "A gateway has no sig-0.key. What does it do with an update that nobody has signed?",
        "it runs it",
        "it refuses it",
        "it asks AWS for the key",
        "it waits for a signed one",
    )


def _canary(rng: random.Random) -> Question:
    canaries = rng.choice((10, 15, 20, 30, 40, 60))
    rate = 1 - 0.05 ** (1 / canaries)
    return _question(
        f"None of {canaries} canaries fails. Which failure rate is still possible at most (95 % confidence)?",
        f"{rate:.0%}",
        "0 %",
        f"{1 / canaries / 10:.1%}",
        f"{rate / 10:.1%}",
    )


def _killed_rollout(rng: random.Random) -> Question:
    created = rng.randint(2, 9)
    gateways = created + rng.randint(11, 30)
    return _question(
        f"lorafw rollout apply is killed when AWS has {created} of the {gateways} tasks of a wave, before it could "
        "write down their results. You start it again. How many more tasks does it create?",
        gateways - created,
        gateways,
        "none, until you have made a new plan",
        "none, until you have deleted the tasks that exist",
    )


def _signature_length(rng: random.Random) -> Question:
    length = rng.choice((69, 70, 71, 72))
    return _question(
        f"A signature has {length} bytes. Which number is in the length field of the response?",
        length + 4,
        length,
        length + 2,
        length * 2,
    )


def _comes_back(rng: random.Random) -> Question:
    return _question(
        "A task is FAILED. You delete it, but not its definition, which has AutoCreateTasks. What happens?",
        "the next poll of the gateway creates a new task",
        "nothing more",
        "the definition is deleted, too",
        "the update is sent once, without a task",
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
