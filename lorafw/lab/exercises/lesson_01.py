"""Lesson 01: which firmware does my gateway run?"""

from __future__ import annotations

from lorafw.lab.exercises.grading import Exercise, Grader, equals


def _is_none(answer: object) -> bool:
    return answer is None


def _feedback_stale_request(answer: object) -> str | None:
    """Return feedback on a version number: the learner has looked at an older request."""
    if isinstance(answer, str) and answer[:1].isdigit():
        return "that stands in a request of before. Make the request anew, as above, now that version.txt is gone."
    return None


EXERCISES = {
    "01-secret": Exercise(
        "With which of them could somebody else pretend to be this gateway?",
        equals("cups.key"),
    ),
    "01-null": Exercise(
        'Make the request anew, as above, now that version.txt is gone: what stands behind "package"? What does '
        "json.loads make of it?",
        Grader("the value None", _is_none, _feedback_stale_request),
    ),
    "01-trim": Exercise(
        "gateway.home.request(...).package shows it, as above. Count the characters: which blanks are still there?",
        equals(" 2.0.0"),
    ),
    "01-match": Exercise(
        "All three fields must be equal, character by character. How many of the three lines differ in nothing?",
        equals(1),
    ),
}
