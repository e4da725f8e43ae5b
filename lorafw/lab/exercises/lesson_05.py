"""Lesson 05: how do I run an update and track its progress?"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from lorafw.firmware.signing import KeyPair
from lorafw.lab.exercises.grading import Exercise, equals, function
from lorafw.lab.exercises.question import Option, Question, right

if TYPE_CHECKING:
    from lorafw.testbed import Testbed

_FOREIGN_SECRET: Final = 4711
"""The number of a key pair whose public key is on no gateway of the testbed."""
_MAX_WAITS: Final = 60
_STEP_S: Final = 5.0

_SUCCESS: Final = [None, "IN_PROGRESS", "COMPLETED"]
_FAILURE: Final = [None, "IN_PROGRESS", "FIRST_RETRY", "SECOND_RETRY", "FAILED"]


class _DoesNotStopError(Exception):
    """The learner's function waits although the task has ended."""


class _Waiting:
    """Advances the clock of a testbed by five seconds for each call, but not without end."""

    def __init__(self, bed: Testbed) -> None:
        self._bed = bed
        self._calls = 0

    def __call__(self) -> None:
        self._calls += 1
        if self._calls > _MAX_WAITS:
            raise _DoesNotStopError
        self._bed.advance(_STEP_S)


def _watched(answer: object, key_pair: KeyPair | None) -> list[str | None]:
    """Run the learner's function on an update that is signed with this key, and return what it returns."""
    from lorafw.testbed import Testbed  # noqa: PLC0415 -- importing the testbed takes about a second

    watch = cast("Callable[..., list[str | None]]", answer)
    with Testbed(gateways=1) as bed:
        bed.define_update("1.0.1", key_pair=key_pair)
        return list(watch(bed.client("iotwireless"), bed.gateways[0].id, _Waiting(bed)))


def _sees_every_change(answer: object) -> bool:
    if _watched(answer, None) != _SUCCESS:
        return False
    return _watched(answer, KeyPair.from_secret(_FOREIGN_SECRET)) == _FAILURE


def _feedback_run(answer: object) -> str | None:
    """Return what the function returned for the update that it does not watch as it should."""
    try:
        good = _watched(answer, None)
    except _DoesNotStopError:
        return "it still waits after five minutes, although the task has ended."
    if good != _SUCCESS:
        return f"for an update that works it returns {good}."
    return f"for an update that has no effect it returns {_watched(answer, KeyPair.from_secret(_FOREIGN_SECRET))}."


EXERCISES = {
    "05-polls": Exercise(
        hints=(
            "Each row of the log belongs to a poll. The first two rows belong to the same one.",
            "At which polls is the update sent? Which poll can show that the last send had no effect?",
        ),
        grader=equals(4),
        solution="answer = 4",
        explanation="The update is sent at three polls. Only the next one shows that the third send had no "
        "effect (assumed).",
    ),
    "05-wait": Exercise(
        hints=("Count the intervals between the polls, not the polls.", "How long is one interval by default?"),
        grader=equals(72),
        solution="answer = 3 * 24",
        explanation="With default settings you learn of a failure three days after the first send.",
    ),
    "05-watch": Exercise(
        hints=(
            "Keep a list of the statuses that you have seen. Append one only if it differs from the last one.",
            "get_wireless_gateway_task raises ResourceNotFoundException while there is no task. Call wait() before "
            "you ask again, and stop after COMPLETED or FAILED.",
        ),
        grader=function(_sees_every_change, _feedback_run),
        solution="""\
def watch(iot, gateway_id, wait):
    seen = []
    while True:
        try:
            status = iot.get_wireless_gateway_task(Id=gateway_id)["Status"]
        except iot.exceptions.ResourceNotFoundException:
            status = None
        if not seen or seen[-1] != status:
            seen.append(status)
        if status in ("COMPLETED", "FAILED"):
            return seen
        wait()


answer = watch""",
        explanation="check has run your function on an update that works and on one that has no effect. For a gateway "
        "that is switched off, a script in production also needs a time limit.",
        is_open_ended=True,
    ),
}

QUESTIONS = {
    "05-learn": Question(
        "When does AWS learn that the update has worked?",
        (
            Option("when the last byte was sent", "then the task is IN_PROGRESS. Nobody has installed anything yet."),
            Option(
                "when the station logs completed",
                "that line stays on the gateway, and it only means that the update was started.",
            ),
            right(
                "when a later request reports another version",
                "So a task cannot end before the gateway polls again.",
            ),
            Option(
                "when the update's script exits", "the station does not wait for it, and CUPS has no message about it."
            ),
        ),
    ),
}
