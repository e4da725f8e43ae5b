"""Lesson 04: why does my gateway not match?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from lorafw.example import CURRENT_VERSION
from lorafw.lab.exercises.grading import Exercise, Grader, equals
from lorafw.lab.exercises.question import Option, Question, right
from lorafw.tasks.evaluation import normalize_version
from lorafw.tasks.policy import Policy
from lorafw.version import GatewayVersion

_STATION: Final = str(CURRENT_VERSION.station)
_LATER: Final = "2.0.5(rpi/std) 2021-03-11 17:02:44"
_REPORTED: Final[tuple[Mapping[str, str], ...]] = (
    {"PackageVersion": "1.0.0", "Model": "rpi", "Station": _STATION},
    {"PackageVersion": " 1.0.0", "Model": "rpi", "Station": _STATION},
    {"PackageVersion": "1.0.0", "Model": "rpi", "Station": _LATER},
    {"PackageVersion": "1.0.0", "Model": "RPi", "Station": _STATION},
    {"Model": "rpi", "Station": _STATION},
)
"""What the five gateways of the lesson report."""
_POLICY: Final = Policy()
_TO_UPDATE: Final = {1, 3}
"""The positions of the second and the fourth gateway."""


def _version(fields: Mapping[str, str]) -> GatewayVersion:
    return GatewayVersion(
        station=fields.get("Station"), package=fields.get("PackageVersion"), model=fields.get("Model")
    )


def _matches(definition: Mapping[str, Any], reported: Mapping[str, str]) -> bool:
    """Return whether a task is created for a gateway, by the default policy of the update service."""
    wanted = _version(definition["Update"]["LoRaWAN"]["CurrentVersion"])
    if not definition["AutoCreateTasks"] or None in wanted.as_tuple():
        return False
    return normalize_version(wanted, _POLICY) == normalize_version(_version(reported), _POLICY)


def _updated_gateways(definitions: object) -> set[int]:
    """Return the positions of the gateways for which one of the definitions creates a task."""
    documents = cast("list[Mapping[str, Any]]", definitions)
    return {
        position
        for position, reported in enumerate(_REPORTED)
        if any(_matches(definition, reported) for definition in documents)
    }


def _updates_exactly_the_two(answer: object) -> bool:
    return isinstance(answer, list) and _updated_gateways(answer) == _TO_UPDATE


def _feedback_gateways(answer: object) -> str | None:
    """Return which gateways the definitions update."""
    if isinstance(answer, Mapping):
        return "hand in a list of definitions, even if it has only one."
    if not isinstance(answer, list):
        return None
    updated = sorted(position + 1 for position in _updated_gateways(answer))
    return f"with these definitions a task is created for the gateways {updated} of the five."


EXERCISES = {
    "04-third": Exercise(
        hints=(
            "Do not type it. Which operation of lesson 01 returns what a gateway reported last?",
            "get_wireless_gateway_firmware_information, with the gateway's id.",
        ),
        grader=equals({"PackageVersion": "1.0.0", "Model": "rpi", "Station": _LATER}),
        solution="""\
reply = iotwireless.get_wireless_gateway_firmware_information(Id=third.id)
answer = reply["LoRaWAN"]["CurrentVersion"]""",
        explanation="AWS's page recommends this too: copy the CurrentVersion output that you obtained previously.",
    ),
    "04-definitions": Exercise(
        hints=(
            "One definition has one CurrentVersion. How many do you need for two gateways that report different "
            "fields?",
            "Begin with example.input_json(name=...), and change one field of CurrentVersion in each.",
        ),
        grader=Grader("a list", _updates_exactly_the_two, _feedback_gateways),
        solution="""\
answer = []
for gateway in (second, fourth):
    definition = example.input_json(name=f"For {gateway.eui.hex[-2:]}")
    runs = iotwireless.get_wireless_gateway_firmware_information(Id=gateway.id)["LoRaWAN"]["CurrentVersion"]
    definition["Update"]["LoRaWAN"]["CurrentVersion"] = runs
    answer.append(definition)""",
        explanation="check has matched your definitions with all five gateways. Each variant in the field needs "
        "its own "
        "definition, and each is one more that you have to delete later.",
        is_open_ended=True,
    ),
}

QUESTIONS = {
    "04-fifth": Question(
        "The fifth gateway has no version.txt. How can it be updated?",
        (
            Option(
                "with a definition that leaves out PackageVersion",
                "as lorafw decided (assumed), a definition with two fields creates no task by itself.",
            ),
            Option(
                "with a definition whose PackageVersion is an empty string",
                "the gateway reports no version at all. That differs from an empty one, and the API rejects it.",
            ),
            right(
                "give it a version.txt, then it can match",
                "The station reads the file for every request, so the next poll reports it.",
            ),
        ),
    ),
    "04-delete": Question(
        "The gateway must get the update of the definition Better. What do you delete?",
        (
            Option("only its task", "the next poll creates a new task, again for the oldest definition that matches."),
            Option("only the definition FirmwareUpdate", "the gateway's task continues with it (documented)."),
            right(
                "the definition FirmwareUpdate, then its task",
                "In the other order a poll in between could create the old task again.",
            ),
            Option("the definition Better, then create it again", "then it is still the younger one of the two."),
        ),
    ),
}
