"""Lesson 03: where does AWS take the update from, and who lets it?"""

from __future__ import annotations

from typing import cast

from lorafw.firmware.iam import AccessRequest, NamedPolicy, evaluate
from lorafw.lab.exercises.answers import Exercise, equals

_BUCKET = "arn:aws:s3:::iotwirelessfwupdate"


def _may_read(policy: object, key: str) -> bool:
    named = NamedPolicy("the answer", cast("str", policy))
    return evaluate([named], AccessRequest("s3:GetObject", f"{_BUCKET}/{key}")).allowed


def _reads_the_second_file_alone(answer: object) -> bool:
    assert isinstance(answer, dict)
    others = ("fwstation", "fwstation-1", "fwstation-20", "secret", "")
    return _may_read(answer, "fwstation-2") and not any(_may_read(answer, key) for key in others)


EXERCISES = {
    "03-policy": Exercise(
        "Take the policy of read.json: which Resource names exactly one object? A star would name more than one.",
        _reads_the_second_file_alone,
    ),
    "03-where": Exercise(
        "The last line of look() names a policy, and what it is the policy of.",
        equals("iotwirelessfwupdate"),
    ),
    "03-versions": Exercise(
        "list_object_versions lists under Versions what was put at that address, even if overwritten or deleted.",
        equals(3),
    ),
}
