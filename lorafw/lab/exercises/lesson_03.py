"""Lesson 03: where does AWS take the update from, and who lets it?"""

from __future__ import annotations

from typing import Final, cast

from lorafw.lab.exercises.grading import Exercise, Grader, equals
from lorafw.sources.iam.evaluation import AccessRequest, NamedPolicy, evaluate

_BUCKET: Final = "arn:aws:s3:::iotwirelessfwupdate"
_FILE: Final = "fwstation-2"
_OTHERS: Final = ("fwstation", "fwstation-1", "fwstation-20", "secret", "")
_MORE_THAN_READING: Final = (
    *("s3:PutObject", "s3:PutObjectAcl", "s3:PutObjectTagging", "s3:DeleteObject", "s3:DeleteObjectVersion"),
    *("s3:PutBucketPolicy", "s3:DeleteBucket", "iam:PassRole", "iotwireless:CreateWirelessGatewayTask"),
)


def _allows(policy: object, action: str, resource: str) -> bool:
    return evaluate([NamedPolicy("the answer", cast("str", policy))], AccessRequest(action, resource)).allowed


def _may_read(policy: object, key: str) -> bool:
    return _allows(policy, "s3:GetObject", f"{_BUCKET}/{key}")


def _extra_permission(policy: object) -> str | None:
    """An action that the role needs not, and may use on the file or on its bucket."""
    resources = (f"{_BUCKET}/{_FILE}", _BUCKET)
    allowed = (action for action in _MORE_THAN_READING for one in resources if _allows(policy, action, one))
    return next(allowed, None)


def _reads_the_second_file_alone(answer: object) -> bool:
    assert isinstance(answer, dict)
    reads = _may_read(answer, _FILE) and not any(_may_read(answer, key) for key in _OTHERS)
    return reads and _extra_permission(answer) is None


def _feedback_extra_permissions(answer: object) -> str | None:
    if not isinstance(answer, dict):
        return None
    if also := next((key for key in _OTHERS if key and _may_read(answer, key)), None):
        return f"with it the role may read {also}, too. Which Resource names exactly one object?"
    if more := _extra_permission(answer):
        return f"with it the role may do more than read: {more}. Which Action is to read an object, and no more?"
    return None


EXERCISES = {
    "03-policy": Exercise(
        "Take the policy of read.json: which Resource names exactly one object? A star would name more than one.",
        Grader("a dict", _reads_the_second_file_alone, _feedback_extra_permissions),
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
