"""The capstone and the ten questions can be solved with the API and the logs alone, and refuse wrong answers."""

from __future__ import annotations

import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lorafw.errors import LabError
from lorafw.lab import Capstone, TenQuestions
from lorafw.lab.capstone import CAUSES, GATEWAYS, draw_causes


def all_gateways(iot: Any) -> list[str]:
    found, page = [], iot.list_wireless_gateways()
    while True:
        found += [gateway["Id"] for gateway in page["WirelessGatewayList"]]
        if "NextToken" not in page:
            return found
        page = iot.list_wireless_gateways(NextToken=page["NextToken"])


def cause_of(iot: Any, gateway_id: str, log: str) -> str:
    """Name the cause as a learner of the lessons would."""
    try:
        status = iot.get_wireless_gateway_task(Id=gateway_id)["Status"]
    except iot.exceptions.ResourceNotFoundException:
        reported = iot.get_wireless_gateway_firmware_information(Id=gateway_id)["LoRaWAN"]
        return "other-version" if "CurrentVersion" in reported else "offline"
    if status == "COMPLETED":
        return "updated"
    if "NOT verified" in log:
        return "wrong-key"
    return "tmp-full" if "No space left" in log else "script-fails"


def repair(capstone: Capstone, iot: Any, gateway_ids: list[str]) -> None:
    """Create a definition for each version that the first one has missed."""
    (listed,) = iot.list_wireless_gateway_task_definitions()["TaskDefinitions"]
    known = iot.get_wireless_gateway_task_definition(Id=listed["Id"])
    for number, gateway_id in enumerate(gateway_ids):
        runs = iot.get_wireless_gateway_firmware_information(Id=gateway_id)["LoRaWAN"]["CurrentVersion"]
        update = {**known["Update"], "LoRaWAN": {**known["Update"]["LoRaWAN"], "CurrentVersion": runs}}
        iot.create_wireless_gateway_task_definition(AutoCreateTasks=True, Name=f"missed {number}", Update=update)
    capstone.advance(1200)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_script_with_the_api_and_the_logs_solves_it_and_wrong_answers_do_not(seed: int) -> None:
    capstone = Capstone(seed).start()
    try:
        iot, logs = capstone.client("iotwireless"), capstone.logs
        causes = {gateway_id: cause_of(iot, gateway_id, "\n".join(logs[gateway_id])) for gateway_id in logs}
        assert set(all_gateways(iot)) == set(logs)
        assert set(CAUSES) < set(causes.values())

        unrepaired = capstone.report(causes)
        assert unrepaired is not None
        assert unrepaired.named_correctly == GATEWAYS
        assert not unrepaired.passed

        repair(capstone, iot, [gateway_id for gateway_id, cause in causes.items() if cause == "other-version"])
        solved = capstone.report(causes)
        assert solved is not None
        assert solved.passed

        for wrong in (
            {},
            dict.fromkeys(causes, "updated"),
            dict.fromkeys(causes, "tmp-full"),
            {**causes, min(causes): 0},
        ):
            report = capstone.report(wrong)
            assert report is not None
            assert not report.passed
    finally:
        capstone.stop()


def test_the_causes_differ_from_seed_to_seed_and_not_from_run_to_run() -> None:
    first = draw_causes(random.Random(1))
    assert first == draw_causes(random.Random(1))
    assert first != draw_causes(random.Random(2))
    assert len(first) == GATEWAYS
    assert len(Counter(first)) == len(CAUSES) + 1


def test_the_capstone_tells_what_is_wrong_with_its_use(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(LabError, match="not a whole number"):
        Capstone("one")  # type: ignore[arg-type]
    with pytest.raises(LabError, match="not open"):
        Capstone().client("iotwireless")
    assert Capstone().report() is None
    assert Capstone().report("all fine") is None
    assert capsys.readouterr().out == (
        "☐ not done yet\n☒ hand in a dict with the cause of each gateway, by the gateway's id\n"
    )


def letters_of(questions: TenQuestions, *, wrong: int = 0) -> str:
    """Return the right letters, with another letter for the first ``wrong`` questions."""
    right = [question.right_letter for question in questions.questions]
    return "".join("a" if number < wrong and letter != "a" else letter for number, letter in enumerate(right))


def test_ten_questions_show_what_was_gained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = TenQuestions(1, tmp_path), TenQuestions(2, tmp_path)
    answers_before = letters_of(before, wrong=6)
    before.hand_in_before(answers_before)
    right_before = before.right_numbers(answers_before)
    assert 0 < len(right_before) < 10
    assert str(len(right_before)) not in capsys.readouterr().out

    after.hand_in_after(letters_of(after))
    told = capsys.readouterr().out
    gained = ", ".join(str(number) for number in range(1, 11) if number not in right_before)
    assert told.splitlines() == [
        f"before  {len(right_before)} of 10",
        "after   10 of 10",
        f"gained: questions {gained}",
        "to read again: questions none",
    ]


def test_a_seed_changes_numbers_and_order_and_each_question_has_four_different_answers() -> None:
    first, second = TenQuestions(1), TenQuestions(2)
    assert [question.text for question in first.questions] != [question.text for question in second.questions]
    assert letters_of(first) != letters_of(second)
    for seed in range(50):
        for question in TenQuestions(seed).questions:
            assert len({option.text for option in question.options}) == 4
            assert sum(option.is_right for option in question.options) == 1


def test_no_answer_of_the_ten_questions_has_the_same_letter_before_and_after_the_course() -> None:
    notebook = (Path(__file__).parent.parent / "notebooks" / "12-ten-questions.ipynb").read_text()
    before, after = (TenQuestions(int(seed)) for seed in re.findall(r"TenQuestions\(seed=(\d+)\)", notebook))
    letters_before, letters_after = letters_of(before), letters_of(after)
    assert all(one != other for one, other in zip(letters_before, letters_after, strict=True))
    for letters in (letters_before, letters_after):
        assert {letter: letters.count(letter) for letter in letters}.keys() == set("abcd")
        assert max(letters.count(letter) for letter in "abcd") <= 3


def test_the_right_answer_of_the_ten_questions_is_not_the_longest_one() -> None:
    for seed in range(50):
        for question in TenQuestions(seed).questions:
            right = next(option.text for option in question.options if option.is_right)
            longest_wrong = max(len(option.text) for option in question.options if not option.is_right)
            assert len(right) <= longest_wrong, question.text


def test_answers_that_are_not_ten_letters_are_not_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    questions = TenQuestions(1, tmp_path)
    for answers in (..., "abc", "abcdabcdaz", 7, None):
        questions.hand_in_before(answers)
        questions.hand_in_after(answers)
    assert not list(tmp_path.iterdir())
    assert capsys.readouterr().out.count("☒") == 8
    questions.hand_in_after(letters_of(questions, wrong=3))
    assert "before" not in capsys.readouterr().out
