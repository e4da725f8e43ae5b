"""Exercises judge what was handed in, and say what is wrong with an answer that is nearly right."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lorafw import KeyPair, sign_update
from lorafw.faults import Fault
from lorafw.lab import SignatureWorkbench, check
from lorafw.lab.exercises.lesson_02 import MINE, SECRET
from lorafw.tasks.lifecycle import TaskStatus

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
        ("07-nothing", "14", "a text", "a number"),
        ("09-sends", "1.24", "a text", "a number"),
        ("09-clock", "9600", "a text", "a number"),
        ("09-clock", " 9600.0 ", "a text", "a number"),
        ("09-clock", [9600], "a list", "a number"),
        ("01-match", True, "True or False", "a number"),
        ("09-sends", Decimal("1.24"), "of the type Decimal", "a number"),
        ("06-settle", "45", "a text", "a number"),
        ("04-fifth", "False", "a text", "True or False"),
        ("04-fifth", 0, "a number", "True or False"),
        ("01-null", "None", "a text", "the value None"),
        ("06-which", Fault.TMP_FULL, "of the type Fault", "a text"),
        ("00-version", ["1.0.1"], "a list", "a text"),
        ("01-secret", Path("cups.key"), "of the type PosixPath", "a text"),
        ("05-ended", ["COMPLETED", "FAILED"], "a list", "a set"),
        ("05-ended", "COMPLETED, FAILED", "a text", "a set"),
        ("08-unsigned", "B, C", "a text", "a set"),
        ("00-all", ("COMPLETED",) * 3, "a tuple", "a list"),
        ("07-crc", (3434210794).to_bytes(4, "little"), "bytes", "a text"),
        ("08-rotate", KeyPair.from_secret(4712).public_key.sig_key, "bytes", "a list"),
        ("03-policy", str(policy("s3:GetObject")), "a text", "a dict"),
    ],
)
def test_a_right_value_of_another_kind_is_told_which_kind_is_asked_for(
    capsys: pytest.CaptureFixture[str], name: str, answer: object, kind: str, asked: str
) -> None:
    wanted = f"☒ not yet. Hint: that is the right value, but {kind}; {asked} is asked for.\n"
    assert said(name, answer, capsys) == wanted


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("07-nothing", 14.0),
        ("07-nothing", np.int64(14)),
        ("09-clock", 9600),
        ("09-sends", 1.24),
        ("09-sends", np.float64(1.2401)),
        ("05-ended", {TaskStatus.COMPLETED, TaskStatus.FAILED}),
        ("00-all", [TaskStatus.COMPLETED] * 3),
        ("02-sign", SIGNED.signature),
    ],
)
def test_a_right_answer_is_right_however_its_number_is_written(
    capsys: pytest.CaptureFixture[str], name: str, answer: object
) -> None:
    assert said(name, answer, capsys) == "☑ correct\n"


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("02-sign", SIGNED.base64, "that is base64"),
        ("02-sign", SIGNED, "that is the whole result"),
        ("01-null", "1.0.0", "Make the request anew"),
        ("08-rotate", [KeyPair.from_secret(4712).public_key], "public key's .sig_key"),
        ("11-pages", {"COMPLETED": 5}, "without parentheses"),
        ("00-version", '"1.0.1"', "quotation marks"),
        ("06-unheard", {Fault.SERVER_ERROR, Fault.OFFLINE, Fault.CONNECTION_REFUSED}, "the kind of what it holds"),
    ],
)
def test_a_wrong_answer_that_shows_the_slip_is_told_of_it(
    capsys: pytest.CaptureFixture[str], name: str, answer: object, words: str
) -> None:
    assert said(name, answer, capsys).startswith("☒ not yet. Hint: ")
    assert words in said(name, answer, capsys)


@pytest.mark.parametrize(
    "action", ["s3:GetObject", ["s3:GetObject"], ["s3:GetObject", "s3:GetObjectVersion"], "s3:Get*"]
)
def test_a_policy_that_reads_the_file_is_right(capsys: pytest.CaptureFixture[str], action: Any) -> None:
    assert said("03-policy", policy(action), capsys) == "☑ correct\n"


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
        (policy("s3:ListBucket"), "Take the policy of read.json"),
    ],
)
def test_a_policy_that_allows_anything_else_is_told_what(
    capsys: pytest.CaptureFixture[str], answer: dict[str, Any], words: str
) -> None:
    assert said("03-policy", answer, capsys).startswith("☒ not yet. Hint: ")
    assert words in said("03-policy", answer, capsys)


def test_to_change_a_byte_twice_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    workbench = SignatureWorkbench()
    assert "as they were built" in said("08-bench", workbench.bench, capsys)
    workbench.tamper.click()
    assert "Which button" in said("08-bench", workbench.bench, capsys)
    workbench.tamper.click()
    assert "as they were built" in said("08-bench", workbench.bench, capsys)
    workbench.tamper.click()
    workbench.sign.click()
    assert said("08-bench", workbench.bench, capsys) == "☑ correct\n"
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
    from lorafw.lab.exercises import EXERCISES

    for name in EXERCISES:
        assert said(name, answer, capsys).startswith("☒ not yet. Hint: ")
