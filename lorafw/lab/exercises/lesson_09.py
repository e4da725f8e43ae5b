"""Lesson 09: what happens when a whole fleet is updated?"""

from __future__ import annotations

from typing import Final, cast

from lorafw.lab.exercises.grading import Exercise, Grader, is_number, number
from lorafw.lab.exercises.question import Option, Question, right

ROOFS: Final = 500
_DAY_S: Final = 24 * 3600
_MAX_POLLS_PER_DAY: Final = 6
_MIN_COMPLETED: Final = 0.95


def _is_number_left_after_two_days(answer: object) -> bool:
    """Return whether this is the number of gateways that have not completed after two days. Runs the simulation."""
    from lorafw.fleet import mixed_fleet, simulate, typical_plan  # noqa: PLC0415 -- importing it takes about a second

    fleet = mixed_fleet(2000, seed=1)
    completed = simulate(fleet, typical_plan(), seed=1).counts([48 * 3600])["COMPLETED"][0]
    return number(fleet.size - float(completed)).is_correct(answer)


def _completed_after_a_day(interval_s: float) -> float:
    """Return the share of 500 gateways that are COMPLETED after a day. Runs the simulation."""
    from lorafw.fleet import mixed_fleet, simulate, typical_plan  # noqa: PLC0415 -- as above

    fleet = mixed_fleet(ROOFS, seed=7, period_s=interval_s)
    completed = simulate(fleet, typical_plan(), seed=7).counts([_DAY_S])["COMPLETED"][0]
    return float(completed) / ROOFS


def _is_fast_and_modest(answer: object) -> bool:
    if not is_number(answer):
        return False
    interval_s = float(cast("float", answer))
    if _DAY_S / interval_s > _MAX_POLLS_PER_DAY:
        return False
    return _completed_after_a_day(interval_s) >= _MIN_COMPLETED


def _feedback_interval(answer: object) -> str | None:
    if not is_number(answer):
        return None
    interval_s = float(cast("float", answer))
    if interval_s <= 0:
        return "an interval is a positive number of seconds."
    if _DAY_S / interval_s > _MAX_POLLS_PER_DAY:
        return f"a gateway then polls {_DAY_S / interval_s:.0f} times a day."
    return f"after a day {_completed_after_a_day(interval_s):.0%} of the gateways are COMPLETED."


EXERCISES = {
    "09-clock": Exercise(
        hints=(
            "How many intervals are there between the first poll and the fourth?",
            "Between 9:00 and 17:00 there are eight hours. Answer in seconds.",
        ),
        grader=number(9600),
        solution="answer = 8 * 3600 / 3",
        explanation="The interval is 2 hours and 40 minutes. CUPS_OKSYNC_INTV in the gateway's station.conf sets it "
        "(observed), not AWS.",
    ),
    "09-left": Exercise(
        hints=(
            "The first simulation of this lesson counts the gateways that are COMPLETED at some hours.",
            "result.counts takes a list of seconds. Subtract from the size of the fleet.",
        ),
        grader=Grader("a number", _is_number_left_after_two_days),
        solution='answer = fleet.size - result.counts([48 * 3600])["COMPLETED"][0]',
        explanation="Most of them will never be COMPLETED, because about 2 % of this fleet is gone. This is an "
        "assumption, since nobody publishes such figures.",
    ),
    "09-deadline": Exercise(
        hints=(
            "Simulate mixed_fleet(500, seed=7, period_s=...) for some intervals, and look at counts([24 * 3600]).",
            "Six polls a day are one every four hours. How much longer may the interval be?",
        ),
        grader=Grader("a number", _is_fast_and_modest, _feedback_interval),
        solution="answer = 6 * 3600",
        explanation="check has simulated your 500 gateways. The interval must be set in station.conf before the day on "
        "which you need it, for example by an earlier update.",
        is_open_ended=True,
    ),
}

QUESTIONS = {
    "09-retry": Question(
        "One install in ten fails at random on fleet A. On fleet B one gateway in ten has the wrong key. Which "
        "ends with more FAILED?",
        (
            Option("both with about 10 %", "a retry repairs most random failures: three in a row are rare."),
            Option(
                "A, since every gateway can fail", "each can fail, but it must fail three times in a row: 0.1 ** 3."
            ),
            right("B, with about 10 %", "A retry does not change the key. Each of these gateways fails three times."),
            Option("neither: retries repair both", "a retry sends the same update to a gateway with the same key."),
        ),
    ),
}
