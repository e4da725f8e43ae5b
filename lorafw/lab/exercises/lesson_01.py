"""Lesson 01: which firmware does my gateway run?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

from lorafw.lab.exercises.grading import Exercise, Grader, equals, function
from lorafw.lab.exercises.question import Option, Question, right

_WANTED: Final = {"PackageVersion": "1.0.0", "Model": "rpi", "Station": "2.0.5(rpi/std) 2021-03-09 03:45:09"}
_CASES: Final[tuple[tuple[dict[str, str], list[str]], ...]] = (
    (_WANTED, []),
    ({**_WANTED, "Model": "RPi"}, ["Model"]),
    ({**_WANTED, "PackageVersion": " 1.0.0"}, ["PackageVersion"]),
    ({**_WANTED, "Model": "linux", "Station": "2.0.6(linux/std)"}, ["Model", "Station"]),
    ({"Model": "rpi", "Station": _WANTED["Station"]}, ["PackageVersion"]),
)
"""What a gateway reports, and the names of the fields that differ."""


def _is_none(answer: object) -> bool:
    return answer is None


def _feedback_stale_request(answer: object) -> str | None:
    """Return feedback on a version number: the learner has looked at an older request."""
    if isinstance(answer, str) and answer[:1].isdigit():
        return "that is in an earlier request. Build the request again, now that version.txt is gone."
    return None


def _names_every_difference(answer: object) -> bool:
    differences = cast("Callable[..., Any]", answer)
    return all(sorted(differences(reported, _WANTED)) == expected for reported, expected in _CASES)


def _feedback_first_case(answer: object) -> str | None:
    """Return the first case in which the function is wrong."""
    differences = cast("Callable[..., Any]", answer)
    for reported, expected in _CASES:
        returned = differences(dict(reported), dict(_WANTED))
        if sorted(returned) != expected:
            return f"for a gateway that reports {reported} it returns {returned!r}."
    return None


EXERCISES = {
    "01-null": Exercise(
        hints=(
            "The page builds a request a few cells above. Build it again: version.txt is gone now.",
            'Decode it with json.loads, and look at the member "package".',
        ),
        grader=Grader("the value None", _is_none, _feedback_stale_request),
        solution="""\
request = gateway.home.build_request(station=gateway.virtual.station, model=gateway.virtual.model)
answer = json.loads(encode_request(request))["package"]""",
        explanation="It is null in JSON and None in Python. AWS only starts an automatic update if the gateway reports "
        'all three fields (assumed; AWS\'s page says "you must specify this field").',
    ),
    "01-trim": Exercise(
        hints=(
            "gateway.home.build_request(...).package shows it, as above.",
            "Count the characters with len. On which side is the whitespace still there?",
        ),
        grader=equals(" 2.0.0"),
        solution="answer = gateway.home.read_package_version()",
        explanation="The station removes whitespace at the end but not at the beginning (observed).",
    ),
    "01-differences": Exercise(
        hints=(
            "Go through the names in wanted, and compare the two values of each name.",
            "A field may be missing. dict.get returns None for it, and None differs from every string.",
        ),
        grader=function(_names_every_difference, _feedback_first_case),
        solution="""\
def differences(reported, wanted):
    return [name for name, value in wanted.items() if reported.get(name) != value]


answer = differences""",
        explanation="check has called your function for five gateways. Near misses such as RPi are the usual "
        "reason why "
        "a gateway is not updated; lorafw's explain reports them.",
        is_open_ended=True,
    ),
}

QUESTIONS = {
    "01-secret": Question(
        "Which of these four files must nobody else ever see?",
        (
            Option("cups.crt", "a certificate is public. The gateway shows it to everyone it talks to."),
            right("cups.key", "It is the private key. Anyone who has it can pretend to be this gateway."),
            Option("cups.trust", "it is the certificate of the server, which is public. But nobody may replace it."),
            Option("cups.uri", "an address is no secret. But nobody may replace it."),
        ),
    ),
}
