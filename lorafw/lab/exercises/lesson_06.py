"""Lesson 06: why did my update fail?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, cast

from lorafw.faults import Fault
from lorafw.lab.exercises.grading import Exercise, Grader, equals, function, is_number
from lorafw.lab.exercises.question import Option, Question, right

INSTALLATION_S: Final = 45
"""How long the slow installation of the lesson takes."""
_TRIAGED: Final = (Fault.WRONG_KEY, Fault.TMP_FULL, Fault.SCRIPT_FAILS, Fault.LINK_DROP)


def _is_longer_than_the_installation(answer: object) -> bool:
    return is_number(answer) and INSTALLATION_S < cast("float", answer) <= 3600


def _feedback_interval(answer: object) -> str | None:
    if is_number(answer) and cast("float", answer) > 3600:
        return "that is longer than an hour."
    if is_number(answer):
        return "a gateway with this interval polls at least once while the update is still being installed."
    return None


def _logs_of_faults() -> dict[str, list[str]]:
    """Return the log of a gateway with each fault, from its first poll of an update."""
    from lorafw.testbed import Testbed  # noqa: PLC0415 -- importing the testbed takes about a second

    with Testbed(gateways=len(_TRIAGED)) as bed:
        bed.define_update("1.0.1")
        for gateway, fault in zip(bed.gateways, _TRIAGED, strict=True):
            bed.inject(fault, gateway)
            bed.poll(gateway)
        return {fault.value: list(gateway.log) for fault, gateway in zip(_TRIAGED, bed.gateways, strict=True)}


def _names_each_fault(answer: object) -> bool:
    triage = cast("Callable[[list[str]], object]", answer)
    return all(triage(log) == fault for fault, log in _logs_of_faults().items())


def _feedback_log(answer: object) -> str | None:
    """Return which kind of log the function does not recognise, by a line that is in it."""
    triage = cast("Callable[[list[str]], object]", answer)
    for fault, log in _logs_of_faults().items():
        named = triage(log)
        if named != fault:
            return f"it returns {named!r} for a log that ends with {log[-1].split('] ', 1)[-1]!r}, of {len(log)} lines."
    return None


EXERCISES = {
    "06-which": Exercise(
        hints=(
            "Which line is an error, and which device does it name?",
            "Where in the list of faults would you look for a full disk?",
        ),
        grader=equals("tmp-full"),
        solution='answer = "tmp-full"',
        explanation='"failed to write (ignored)" means that there was no space in /tmp. The station treats the '
        "exchange "
        "as successful, and polls again at its regular time (observed).",
    ),
    "06-interval": Exercise(
        hints=(
            "When may the first poll after the send come, so that it finds the new version?",
            "The station polls one interval after the exchange. Compare the interval with the installation.",
        ),
        grader=Grader("a number", _is_longer_than_the_installation, _feedback_interval),
        solution="answer = 60",
        explanation="Any interval that is longer than the installation will do. The default of 24 hours is, by far.",
    ),
    "06-triage": Exercise(
        hints=(
            "Print the log of one gateway for each of the four faults, and look for a line that only one of them has.",
            "Join the lines, and look for such words with in. The order of your tests does not matter if they "
            "are unique.",
        ),
        grader=function(_names_each_fault, _feedback_log),
        solution="""\
def triage(log):
    text = "\\n".join(log)
    if "NOT verified" in text:
        return "wrong-key"
    if "No space left" in text:
        return "tmp-full"
    if "command not found" in text:
        return "script-fails"
    return "link-drop"


answer = triage""",
        explanation="check has run four gateways and given you their logs. In the field, keep such a function, and add "
        "a case for each new cause that you find.",
        is_open_ended=True,
    ),
}

QUESTIONS = {
    "06-word": Question(
        "The task of a gateway on a roof is FAILED. What do you know for certain?",
        (
            Option(
                "the signature was wrong", "that is one of several causes. AWS shows the same word for all of them."
            ),
            Option("the gateway is switched off", "silence ends a task only in SECOND_RETRY, after two retries."),
            right(
                "nothing that it reported showed an effect in time",
                "The reason is in the gateway's log, or in what explain can conclude.",
            ),
            Option(
                "the gateway still runs the old version",
                "it reported the old one, or nothing. An update that takes long may have been installed since.",
            ),
        ),
    ),
}
