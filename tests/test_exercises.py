"""Exercises grade answers, and say what is wrong with an answer that is nearly right."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from lorafw import KeyPair, sign_update
from lorafw.faults import Fault
from lorafw.lab import SignatureWorkbench, check, choose, hint, solution
from lorafw.lab.exercises import EXERCISES, QUESTIONS
from lorafw.lab.exercises.lesson_02 import MINE, SECRET
from lorafw.lab.exercises.session import ExerciseSession

FILE = "arn:aws:s3:::iotwirelessfwupdate/fwstation-2"
SIGNED = sign_update(KeyPair.from_secret(SECRET), MINE)


def policy(action: Any, resource: Any = FILE) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": resource}]}


def said(name: str, answer: object, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    check(name, answer)
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "answer", "kind", "asked"),
    [
        ("07-siglen", "74", "a string", "a number"),
        ("09-clock", "9600", "a string", "a number"),
        ("09-clock", " 9600.0 ", "a string", "a number"),
        ("09-clock", [9600], "a list", "a number"),
        ("07-siglen", Decimal(74), "of the type Decimal", "a number"),
        ("01-null", "None", "a string", "the value None"),
        ("06-which", Fault.TMP_FULL, "of the type Fault", "a string"),
        ("06-which", ["tmp-full"], "a list", "a string"),
        ("08-unsigned", ["B", "C"], "a list", "a set"),
        ("08-unsigned", "B, C", "a string", "a set"),
        ("08-unsigned", "CB", "a string", "a set"),
        ("07-crc", (3434210794).to_bytes(4, "little"), "bytes", "a string"),
        ("08-rotate", KeyPair.from_secret(4712).public_key.sig_key, "bytes", "a list"),
        ("03-policy", str(policy("s3:GetObject")), "a string", "a dict"),
    ],
)
def test_feedback_on_a_correct_value_of_another_type_names_the_expected_type(
    capsys: pytest.CaptureFixture[str], name: str, answer: object, kind: str, asked: str
) -> None:
    wanted = f"☒ not yet: that is the right value, but {kind}; {asked} is asked for.\n"
    assert said(name, answer, capsys) == wanted


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("07-siglen", 74.0),
        ("07-siglen", np.int64(74)),
        ("09-clock", 9600),
        ("06-interval", np.float64(45.5)),
        ("02-sign", SIGNED.signature),
    ],
)
def test_a_right_answer_is_right_however_its_number_is_written(
    capsys: pytest.CaptureFixture[str], name: str, answer: object
) -> None:
    assert said(name, answer, capsys).startswith("☑ correct. ")


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("02-sign", SIGNED.base64, "that is base64"),
        ("02-sign", SIGNED, "that is the whole result"),
        ("02-update", (b"", SIGNED.base64), "that is base64"),
        ("01-null", "1.0.0", "Build the request again"),
        ("08-rotate", [KeyPair.from_secret(4712).public_key], "public key's .sig_key"),
        ("11-pages", {"COMPLETED": 5}, "without parentheses"),
        ("06-which", '"tmp-full"', "quotation marks"),
        ("06-interval", 30, "while the update is still being installed"),
        ("09-deadline", 3600, "24 times a day"),
        ("08-rotate", [], "that nobody signed"),
        ("04-definitions", [], "for the gateways []"),
        ("02-update", b"", "two values"),
    ],
)
def test_feedback_names_the_mistake_that_a_wrong_answer_shows(
    capsys: pytest.CaptureFixture[str], name: str, answer: object, words: str
) -> None:
    assert said(name, answer, capsys).startswith("☒ not yet")
    assert words in said(name, answer, capsys)


@pytest.mark.parametrize(
    "action", ["s3:GetObject", ["s3:GetObject"], ["s3:GetObject", "s3:GetObjectVersion"], "s3:Get*"]
)
def test_a_policy_that_reads_the_file_is_right(capsys: pytest.CaptureFixture[str], action: Any) -> None:
    assert said("03-policy", policy(action), capsys).startswith("☑ correct. ")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (policy("s3:*"), "more than read: s3:PutObject."),
        (policy("*"), "more than read: s3:PutObject."),
        (policy(["s3:GetObject", "s3:DeleteObject"]), "more than read: s3:DeleteObject."),
        (
            policy(["s3:GetObject", "s3:PutBucketPolicy"], [FILE, FILE.partition("/")[0]]),
            "more than read: s3:PutBucketPolicy.",
        ),
        (policy("s3:GetObject", FILE + "*"), "may read fwstation-20, too"),
        (policy("s3:GetObject", FILE[:-2] + "*"), "may read fwstation, too"),
        (policy("s3:PutObject"), "more than read: s3:PutObject."),
        (policy("s3:ListBucket"), "Try again"),
    ],
)
def test_feedback_on_a_policy_names_what_it_allows_in_addition(
    capsys: pytest.CaptureFixture[str], answer: dict[str, Any], words: str
) -> None:
    assert said("03-policy", answer, capsys).startswith("☒ not yet")
    assert words in said("03-policy", answer, capsys)


def test_to_change_a_byte_twice_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    workbench = SignatureWorkbench()
    assert "as they were built" in said("08-bench", workbench.bench, capsys)
    workbench.tamper.click()
    assert "Try again" in said("08-bench", workbench.bench, capsys)
    workbench.tamper.click()
    assert "as they were built" in said("08-bench", workbench.bench, capsys)
    workbench.tamper.click()
    workbench.sign.click()
    assert said("08-bench", workbench.bench, capsys).startswith("☑ correct. ")
    assert "hand in workbench.bench" in said("08-bench", workbench, capsys)


class Hostile:
    """Whatever is asked of it fails."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    "answer", [Hostile(), np.zeros(3), "(" * 900, "9" * 5000, float("nan"), [[[]]], {1: Hostile()}]
)
def test_an_answer_may_be_anything_and_never_ends_in_an_error(
    capsys: pytest.CaptureFixture[str], answer: object
) -> None:
    for name in EXERCISES:
        assert said(name, answer, capsys).startswith("☒ not yet")


def open_ended_cases() -> list[tuple[str, Callable[..., object], str]]:
    """Return functions that are nearly right, and what each of them is told."""

    def never_stops(iot: Any, gateway_id: str, wait: Callable[[], None]) -> list[None]:
        while True:
            wait()

    def ignores_silence(iot: Any, definition: str, waves: list[list[str]], bake: Callable[[], None]) -> None:
        for wave in waves:
            for gateway_id in wave:
                iot.create_wireless_gateway_task(Id=gateway_id, WirelessGatewayTaskDefinitionId=definition)
            bake()
            statuses = [iot.get_wireless_gateway_task(Id=gateway_id)["Status"] for gateway_id in wave]
            if any(status in ("FAILED", "FIRST_RETRY") for status in statuses):
                return

    def only_the_model(reported: dict[str, str], wanted: dict[str, str]) -> list[str]:
        return ["Model"] if reported["Model"] != wanted["Model"] else []

    def raises(log: list[str]) -> str:
        raise LookupError("no such line")

    return [
        ("05-watch", never_stops, "still waits"),
        ("10-loop", ignores_silence, "one of two canaries is silent"),
        ("01-differences", only_the_model, "PackageVersion"),
        ("06-triage", raises, "your function raises LookupError: no such line"),
    ]


NEARLY_RIGHT = open_ended_cases()


@pytest.mark.parametrize(("name", "answer", "words"), NEARLY_RIGHT, ids=[name for name, _, _ in NEARLY_RIGHT])
def test_a_function_that_is_nearly_right_is_told_where_it_is_wrong(
    capsys: pytest.CaptureFixture[str], name: str, answer: Callable[..., object], words: str
) -> None:
    assert words in said(name, answer, capsys)


def test_help_comes_in_steps_and_not_before_a_wrong_answer(capsys: pytest.CaptureFixture[str]) -> None:
    session = ExerciseSession(EXERCISES, QUESTIONS)
    exercise = EXERCISES["02-crc"]

    def told(action: Callable[..., None], *arguments: object, **options: bool) -> str:
        action("02-crc", *arguments, **options)
        return capsys.readouterr().out.strip()

    assert told(session.check) == "☐ not done yet"
    assert "first try an answer" in told(session.hint)
    assert exercise.solution not in told(session.solution)
    assert told(session.check, 1) == '☒ not yet. Try again, or run hint("02-crc").'
    assert told(session.hint) == f"Hint 1 of 2: {exercise.hints[0]}"
    assert exercise.solution not in told(session.solution)
    assert told(session.hint) == f"Hint 2 of 2: {exercise.hints[1]}"
    assert "no further hint" in told(session.hint)
    assert told(session.solution).startswith(exercise.solution)


def test_a_right_answer_or_a_trainer_gets_the_solution_without_hints(capsys: pytest.CaptureFixture[str]) -> None:
    solved, trainer = ExerciseSession(EXERCISES, QUESTIONS), ExerciseSession(EXERCISES, QUESTIONS)
    solved.check("02-crc", 0x37316C36)
    solved.solution("02-crc")
    trainer.solution("02-crc", at_once=True)
    assert capsys.readouterr().out.count(EXERCISES["02-crc"].solution) == 2


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_has_one_right_answer_and_feedback_for_each(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    question = QUESTIONS[name]
    assert len(question.options) >= 3
    assert sum(option.is_right for option in question.options) == 1
    choose(name)
    assert capsys.readouterr().out.startswith(f"☐ {question.text}\n  a) ")
    for letter, option in question.lettered():
        choose(name, letter.upper())
        mark = "☑ correct. " if option.is_right else "☒ not yet: "
        assert capsys.readouterr().out == f"{mark}{option.feedback}\n"
    choose(name, 7)
    assert "is not one of the letters a, b, c" in capsys.readouterr().out


def test_unknown_names_print_a_message(capsys: pytest.CaptureFixture[str]) -> None:
    for ask in (hint, solution, choose):
        ask("99-nothing")
        assert "'99-nothing'" in capsys.readouterr().out


def test_help_for_a_question_or_an_exercise_by_the_wrong_function_names_the_right_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for ask in (check, hint, solution):
        ask("03-outside")
        assert 'choose("03-outside", "a")' in capsys.readouterr().out
    choose("03-versions")
    assert 'check("03-versions", answer)' in capsys.readouterr().out
