"""Lesson 09: what happens when a whole fleet is updated?"""

from __future__ import annotations

from lorafw.lab.exercises.grading import Exercise, Grader, number


def _is_number_left_after_two_days(answer: object) -> bool:
    """Return whether this is the number of gateways that have not completed after two days. Runs the simulation."""
    from lorafw.fleet import mixed_fleet, simulate, typical_plan  # noqa: PLC0415 -- importing it takes about a second

    fleet = mixed_fleet(2000, seed=1)
    completed = simulate(fleet, typical_plan(), seed=1).counts([48 * 3600])["COMPLETED"][0]
    return number(fleet.size - float(completed)).is_correct(answer)


EXERCISES = {
    "09-clock": Exercise(
        "Between the first poll and the fourth lie three intervals, and between 9:00 and 17:00 eight hours.",
        number(9600),
    ),
    "09-sends": Exercise(
        "The first send always; the second if the first failed; the third if both failed: 1 + q + q * q.",
        number(1.24, tolerance=0.005),
    ),
    "09-left": Exercise(
        'result.counts([48 * 3600])["COMPLETED"] counts those that are, in a list with one number.',
        Grader("a number", _is_number_left_after_two_days),
    ),
}
