"""What was seen of each wave, compared with what was predicted: the numbers and the plot."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rollout_memory import HOUR_MS, START_MS, make_plan

from lorafw.fleet import Plan, Wave
from lorafw.fleet.simulation.gates import GateDecision
from lorafw.lab.plots import wave_course
from lorafw.rollout.curves import CheckPoint, WaveCourse, wave_courses
from lorafw.rollout.envelope import Band
from lorafw.rollout.events import (
    Command,
    Commanded,
    Event,
    GateChecked,
    Started,
    StatusChanged,
    UpdateStalled,
    WaveStarted,
)
from lorafw.rollout.saved_plan import SavedPlan
from lorafw.tasks.lifecycle import Cause, TaskStatus

GATEWAYS = [f"gw-{number}" for number in range(6)]
TWO_WAVES = Plan(waves=(Wave(size=4), Wave(size=2)))


@pytest.fixture
def saved() -> SavedPlan:
    """A plan of six gateways without a prediction."""
    return make_plan(TWO_WAVES, GATEWAYS)


def ended(number: int, hour: float, status: TaskStatus, *, seen_hour: float | None = None) -> StatusChanged:
    """The task of a gateway ended at an hour, and ``apply`` saw it then or later."""
    time_ms = START_MS + round(hour * HOUR_MS)
    at_ms = START_MS + round((seen_hour or hour) * HOUR_MS)
    row: dict[str, Any] = {"attempt": 1, "from_status": TaskStatus.IN_PROGRESS, "cause": Cause.NEW_VERSION}
    return StatusChanged(
        at_ms=at_ms, gateway=GATEWAYS[number], time_ms=time_ms, since_ms=START_MS, to_status=status, **row
    )


def at(hour: float) -> int:
    return START_MS + round(hour * HOUR_MS)


def checked(hour: float, decision: GateDecision) -> GateChecked:
    return GateChecked(
        at_ms=at(hour), wave=0, check=0, decision=decision, completed=2, failed=1, size=4, reason="tested"
    )


EVENTS: list[Event] = [
    Started(at_ms=at(0), actor="arn:test", version="test"),
    WaveStarted(at_ms=at(1), wave=0),
    ended(2, 2.5, TaskStatus.COMPLETED),
    ended(0, 2, TaskStatus.COMPLETED, seen_hour=3),
    UpdateStalled(at_ms=at(3.5), gateway=GATEWAYS[1]),
    ended(1, 4, TaskStatus.FAILED),
    checked(5, GateDecision.HOLD),
    checked(6, GateDecision.GO),
    WaveStarted(at_ms=at(6), wave=1),
    ended(4, 7, TaskStatus.COMPLETED),
]


def test_the_counts_of_each_wave_go_by_the_hours_since_it_began(saved: SavedPlan) -> None:
    first, second = wave_courses(saved, EVENTS)
    assert first.hours == (0, 1, 1.5, 2.5, 3, 6)  # 2 h and 2.5 h are in order, although they were seen at 3 h and 2.5 h
    assert first.completed == (0, 1, 2, 2, 2, 2)
    assert first.failed == (0, 0, 0, 0, 1, 1)
    assert first.stalled == (0, 0, 0, 1, 1, 1)
    assert first.checks == (CheckPoint(4, GateDecision.HOLD), CheckPoint(5, GateDecision.GO))
    assert (second.hours, second.completed, second.failed) == ((0, 1, 1), (0, 1, 1), (0, 0, 0))


def test_a_wave_that_has_not_begun_has_no_counts(saved: SavedPlan) -> None:
    first, second = wave_courses(saved, EVENTS[:2])
    assert first.has_begun
    assert not second.has_begun
    assert second.hours == second.completed == second.failed == second.stalled == ()


def test_the_time_of_a_command_does_not_count_because_it_is_that_of_another_machine(saved: SavedPlan) -> None:
    command = Commanded(at_ms=at(9000), command=Command.PAUSE, actor="somebody", reason="a storm")
    assert wave_courses(saved, [*EVENTS, command])[0].hours == wave_courses(saved, EVENTS)[0].hours


def test_a_clock_that_was_set_back_leaves_the_hours_in_order(saved: SavedPlan) -> None:
    course = wave_courses(saved, [*EVENTS[:2], ended(0, 0.5, TaskStatus.COMPLETED), *EVENTS[2:]])[0]
    assert list(course.hours) == sorted(course.hours)
    assert course.hours[:2] == (0, 0)


def test_what_was_predicted_for_an_hour_lies_between_the_hour_before_and_the_hour_after(saved: SavedPlan) -> None:
    course = with_band(wave_courses(saved, EVENTS)[0])
    wanted = {0.0: (0, 1), 0.5: (0, 4), 1.0: (2, 4), 1.5: (2, 4), 2.0: (4, 4), 9.0: (4, 4)}
    predicted = {hour: course.predicted_at(hour) for hour in wanted}
    assert {hour: counts.completed for hour, counts in predicted.items() if counts is not None} == wanted


def test_a_plan_without_a_prediction_has_no_band(saved: SavedPlan) -> None:
    courses = wave_courses(saved, EVENTS)
    assert [course.band for course in courses] == [None, None]
    alt = wave_course(courses[0]).alt
    assert "COMPLETED: 2 of 4 after 3.0 h" in alt
    assert "predicted" not in alt


def with_band(course: WaveCourse) -> WaveCourse:
    """The same course with a band of three hours: first nobody, then 2 to 4 COMPLETED, and in the end all four."""
    rising, none = np.array([0, 2, 4]), np.zeros(3, dtype=int)
    return replace(
        course, band=Band(np.array([0.0, 1.0, 2.0]), rising, np.array([1, 4, 4]), none, none, stalled_high=0)
    )


def test_the_picture_says_what_was_seen_and_what_was_predicted_for_the_same_hour(saved: SavedPlan) -> None:
    first, second = wave_courses(saved, EVENTS)
    alt = wave_course(with_band(first)).alt
    assert alt.startswith("Wave 1, 4 gateways.")
    assert "COMPLETED: 2 of 4 after 1.5 h (predicted 2 to 4)" in alt
    assert "2 of 4 after 3.0 h (predicted 4 to 4, fewer than predicted)" in alt
    assert "1 of 4 after 3.0 h (predicted 0 to 0, more than predicted)" in alt
    assert (
        "stalled: 0 of 4 after 1.5 h (predicted 0 to 0), 1 of 4 after 3.0 h (predicted 0 to 0, more than predicted)"
        in alt
    )
    assert alt.endswith("The gate decided after 5.0 h: go.")
    assert "gate" not in wave_course(second).alt.replace("gateways", "")


def test_the_picture_of_a_wave_that_has_not_begun_says_what_is_predicted(saved: SavedPlan) -> None:
    alt = wave_course(with_band(wave_courses(saved, [])[0])).alt
    assert alt == (
        "Wave 1, 4 gateways. It has not begun. COMPLETED: 4 to 4 predicted after 2.0 h; "
        "FAILED: 0 to 0 predicted after 2.0 h; stalled: 0 to 0 predicted after 2.0 h."
    )


def test_equal_waves_give_equal_pictures_of_the_usual_size(saved: SavedPlan) -> None:
    def draw() -> bytes:
        return wave_course(with_band(wave_courses(saved, EVENTS)[0])).png()

    png = draw()
    assert png == draw()
    assert (int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")) == (1280, 800)


def test_the_picture_tells_its_counts_apart_without_colour(saved: SavedPlan) -> None:
    all_axes = wave_course(with_band(wave_courses(saved, EVENTS)[0])).figure.axes
    assert [axes.get_title("left") for axes in all_axes] == ["COMPLETED", "FAILED", "stalled"]
    assert len({axes.collections[0].get_hatch() for axes in all_axes}) == 3
    markers = {line.get_marker() for axes in all_axes for line in axes.lines}
    assert {"o", "X", "s"} <= markers
