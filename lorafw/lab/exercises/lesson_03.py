"""Lesson 03: where does AWS read the update, and what allows it to?"""

from __future__ import annotations

from typing import Final, cast

from lorafw.lab.exercises.grading import Exercise, Grader, equals
from lorafw.sources.iam.evaluation import AccessRequest, NamedPolicy, evaluate

_BUCKET: Final = "arn:aws:s3:::iotwirelessfwupdate"
_KEY: Final = "fwstation-2"
_OTHER_KEYS: Final = ("fwstation", "fwstation-1", "fwstation-20", "secret", "")
_OTHER_ACTIONS: Final = (
    *("s3:PutObject", "s3:PutObjectAcl", "s3:PutObjectTagging", "s3:DeleteObject", "s3:DeleteObjectVersion"),
    *("s3:PutBucketPolicy", "s3:DeleteBucket", "iam:PassRole", "iotwireless:CreateWirelessGatewayTask"),
)


def _allows(policy: object, action: str, resource: str) -> bool:
    """Return whether a role with this policy may do the action."""
    policies = [NamedPolicy("the answer", cast("str", policy))]
    return evaluate(policies, AccessRequest(action, resource)).allowed


def _may_read(policy: object, key: str) -> bool:
    return _allows(policy, "s3:GetObject", f"{_BUCKET}/{key}")


def _extra_permission(policy: object) -> str | None:
    """Return an action other than reading that the policy allows on the file or on its bucket. None: there is none."""
    for action in _OTHER_ACTIONS:
        if _allows(policy, action, f"{_BUCKET}/{_KEY}") or _allows(policy, action, _BUCKET):
            return action
    return None


def _allows_only_reading_the_file(answer: object) -> bool:
    assert isinstance(answer, dict)
    if not _may_read(answer, _KEY):
        return False
    if any(_may_read(answer, key) for key in _OTHER_KEYS):
        return False
    return _extra_permission(answer) is None


def _feedback_extra_permissions(answer: object) -> str | None:
    """Return feedback on a policy that allows more than to read the file."""
    if not isinstance(answer, dict):
        return None
    for key in _OTHER_KEYS:
        if key and _may_read(answer, key):
            return f"with it the role may read {key}, too. Which Resource names exactly one object?"
    action = _extra_permission(answer)
    if action:
        return f"with it the role may do more than read: {action}. Which Action is to read an object, and no more?"
    return None


EXERCISES = {
    "03-policy": Exercise(
        "Take the policy of read.json: which Resource names exactly one object? A star would name more than one.",
        Grader("a dict", _allows_only_reading_the_file, _feedback_extra_permissions),
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
