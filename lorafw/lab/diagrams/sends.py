"""When the update is sent to a gateway on which it never takes effect: a timeline from the first poll to FAILED."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from lorafw.lab.diagrams.canvas import SMALL, STATUS_FILLS, Canvas, Diagram
from lorafw.station.exchange import DEFAULT_TIMERS
from lorafw.tasks.lifecycle import INITIAL, TRANSITIONS, TaskEvent, TaskStatus
from lorafw.tasks.policy import Policy

# Positions and sizes in pixels.
_LEFT: Final = 130
"""Where the time axis begins. The names of the rows are to the left of it."""
_WIDTH: Final = 700
"""Width of the whole time."""
_RIGHT_MARGIN: Final = 110
_HEIGHT: Final = 300
_FIRST_ROW_Y: Final = 90
_SECOND_ROW_Y: Final = 180
_BAR_HEIGHT: Final = 40
_FAILED_WIDTH: Final = 80
_AXIS_Y: Final = 250
_HOUR_S: Final = 3600
_NAME_X: Final = 20
_NAME_TOP: Final = 20
"""Distance from the upper edge of a row's bars down to the first line of its name."""
_LINE_HEIGHT: Final = 16
_SEND_ARROW_LENGTH: Final = 16
_SEND_LABEL_SHIFT: Final = (5, -8)
"""Where the label of a send begins, from the upper left corner of its bar."""
_TICK_LENGTH: Final = 10
_TICK_LABEL_DISTANCE: Final = 24
"""Distance from the axis down to the base line of the hours."""


@dataclass(frozen=True, slots=True)
class _Period:
    """A time in which the status does not change."""

    status: TaskStatus
    start_h: float
    end_h: float


def send_timeline(
    poll_interval_s: float = DEFAULT_TIMERS.oksync_s,
    policy: Policy | None = None,
    transitions: Mapping[tuple[TaskStatus, TaskEvent], TaskStatus] = TRANSITIONS,
) -> Diagram:
    """Return a timeline of the sends of an update that never takes effect.

    Args:
        poll_interval_s: Time between two polls of the gateway. The default is that of Basics Station.
        policy: The policy of the service. None means the default policy.
        transitions: The table of transitions.
    """
    if policy is None:
        policy = Policy()
    interval_h = poll_interval_s / _HOUR_S
    silence_h = policy.silence_timeout_s / _HOUR_S
    # Row 1: the gateway polls until the task is FAILED.
    polling = _failing_periods(transitions, interval_h)
    # Row 2: the gateway is silent after the last send. Its last period ends when the service gives up.
    silent_period = replace(polling[-1], end_h=polling[-1].start_h + silence_h)
    silent = [*polling[:-1], silent_period]
    end_h = max(polling[-1].end_h, silent_period.end_h)

    canvas = Canvas("When the update is sent, if it never takes effect", _LEFT + _WIDTH + _RIGHT_MARGIN, _HEIGHT)
    scale = _WIDTH / end_h
    _draw_row(canvas, _FIRST_ROW_Y, ["It polls", "every time"], polling, scale)
    _draw_row(canvas, _SECOND_ROW_Y, ["It is silent after", "the last send"], silent, scale)
    marked_hours = {period.start_h for period in polling} | {polling[-1].end_h, silent_period.end_h}
    _draw_axis(canvas, sorted(marked_hours), scale)
    return canvas.finish(_describe(polling, silent, interval_h))


def _failing_periods(
    transitions: Mapping[tuple[TaskStatus, TaskEvent], TaskStatus], interval_h: float
) -> list[_Period]:
    """Return the statuses of a task whose attempts all fail, from the first poll to the end."""
    periods = []
    status = transitions[INITIAL, TaskEvent.OFFER]
    start_h = 0.0
    while (status, TaskEvent.ATTEMPT_FAILED) in transitions:
        periods.append(_Period(status, start_h, start_h + interval_h))
        status = transitions[status, TaskEvent.ATTEMPT_FAILED]
        start_h += interval_h
    return periods


def _draw_row(canvas: Canvas, y: float, name: list[str], periods: list[_Period], scale: float) -> None:
    """Draw the periods as bars, each send as an arrow to the beginning of its bar, and FAILED at the end."""
    for number, line in enumerate(name):
        canvas.text((_NAME_X, y + _NAME_TOP + _LINE_HEIGHT * number), line, anchor="start", size=SMALL)
    label_dx, label_dy = _SEND_LABEL_SHIFT
    for number, period in enumerate(periods, 1):
        x = _LEFT + period.start_h * scale
        width = (period.end_h - period.start_h) * scale
        canvas.box(x, y, width, _BAR_HEIGHT, [period.status], STATUS_FILLS[period.status])
        canvas.line((x, y - _SEND_ARROW_LENGTH), (x, y), arrow=True)
        canvas.text((x + label_dx, y + label_dy), f"send {number}", anchor="start", size=SMALL)
    end_x = _LEFT + periods[-1].end_h * scale
    canvas.box(end_x, y, _FAILED_WIDTH, _BAR_HEIGHT, [TaskStatus.FAILED], STATUS_FILLS[TaskStatus.FAILED])


def _draw_axis(canvas: Canvas, hours: list[float], scale: float) -> None:
    """Draw the time axis with a mark at each hour that is given."""
    canvas.line((_LEFT, _AXIS_Y), (_LEFT + _WIDTH + _FAILED_WIDTH, _AXIS_Y), arrow=True)
    for hour in hours:
        x = _LEFT + hour * scale
        canvas.line((x, _AXIS_Y - _TICK_LENGTH / 2), (x, _AXIS_Y + _TICK_LENGTH / 2))
        canvas.text((x, _AXIS_Y + _TICK_LABEL_DISTANCE), f"{hour:g} h")


def _describe(polling: list[_Period], silent: list[_Period], interval_h: float) -> str:
    """Return both rows in words."""
    sends = ", ".join(
        f"send {number} at {period.start_h:g} h ({period.status})" for number, period in enumerate(polling, 1)
    )
    return (
        f"When the update is sent to a gateway that polls every {interval_h:g} h, if it never takes effect: {sends}. "
        f"FAILED at {polling[-1].end_h:g} h if the gateway polls again, "
        f"or at {silent[-1].end_h:g} h if it is silent after the last send."
    )
