"""Lesson 03: where does AWS read the update, and what allows it to?"""

from __future__ import annotations

from typing import Final, cast

from lorafw.lab.exercises.grading import Exercise, Grader, equals
from lorafw.lab.exercises.question import Option, Question, right
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
    """Return an action, other than reading, that the policy allows on the file or its bucket. None if there is none."""
    for action in _OTHER_ACTIONS:
        if _allows(policy, action, f"{_BUCKET}/{_KEY}") or _allows(policy, action, _BUCKET):
            return action
    return None


def _allows_only_reading_the_file(answer: object) -> bool:
    """Return True if a policy allows to read the file of the exercise, and nothing else."""
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
            return f"with it the role may read {key}, too. Compare its Resource with the name of the file."
    action = _extra_permission(answer)
    if action:
        return f"with it the role may do more than read: {action}. Compare its Action with what the role is for."
    return None


EXERCISES = {
    "03-policy": Exercise(
        hints=(
            "Begin with the policy in read.json. Which of its lines name the old file?",
            "A star names more than one object. An action that lists a bucket is not needed to read one file.",
        ),
        grader=Grader("a dict", _allows_only_reading_the_file, _feedback_extra_permissions),
        solution="""\
answer = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::iotwirelessfwupdate/fwstation-2"}
    ],
}""",
        explanation="check has evaluated your policy for this file, for other files and for other actions. fwstation* "
        "would also allow every other file whose name begins with fwstation.",
        is_open_ended=True,
    ),
    "03-versions": Exercise(
        hints=(
            "A bucket with versioning keeps everything that was ever stored at an address. Ask S3.",
            "list_object_versions lists them under Versions. The delete marker is in another list.",
        ),
        grader=equals(3),
        solution='answer = len(s3.list_object_versions(Bucket="iotwirelessfwupdate")["Versions"])',
        explanation="They are the first upload, the one that you put back, and the next build.",
    ),
}

QUESTIONS = {
    "03-outside": Question(
        "AutoCreateTasks has created a task, which stays PENDING, poll after poll. What do you conclude?",
        (
            Option(
                "the gateway does not match",
                "then AutoCreateTasks would not have created a task for it.",
            ),
            Option("the gateway refused the update", "then it was sent, and the status is at least IN_PROGRESS."),
            right(
                "the gateway matches, but nothing was sent",
                "So look at what AWS reads before it sends: the object, the bucket's policy and the role.",
            ),
            Option("the update is being installed", "it cannot be: a task is IN_PROGRESS from the first send on."),
        ),
    ),
}
