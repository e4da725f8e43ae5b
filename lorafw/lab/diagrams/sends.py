"""When the update is sent to a gateway on which it never takes effect: a timeline from the first poll to FAILED."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
    interval_h = poll_interval_s / _HOUR_S
    polling = _failing_periods(transitions, interval_h)
    silence_h = (policy or Policy()).silence_timeout_s / _HOUR_S
    silent = [*polling[:-1], _Period(polling[-1].status, polling[-1].start_h, polling[-1].start_h + silence_h)]
    end_h = max(polling[-1].end_h, silent[-1].end_h)
    canvas = Canvas("When the update is sent, if it never takes effect", _LEFT + _WIDTH + _RIGHT_MARGIN, _HEIGHT)
    scale = _WIDTH / end_h
    _draw_row(canvas, _FIRST_ROW_Y, ["It polls", "every time"], polling, scale)
    _draw_row(canvas, _SECOND_ROW_Y, ["It is silent after", "the last send"], silent, scale)
    _draw_axis(canvas, sorted({period.start_h for period in polling} | {polling[-1].end_h, silent[-1].end_h}), scale)
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
    """Draw the periods as bars, the sends as arrows above their beginnings, and FAILED at the end."""
    for number, line in enumerate(name):
        canvas.text((20, y + 20 + 16 * number), line, anchor="start", size=SMALL)
    for number, period in enumerate(periods, 1):
        x = _LEFT + period.start_h * scale
        width = (period.end_h - period.start_h) * scale
        canvas.box(x, y, width, _BAR_HEIGHT, [period.status], STATUS_FILLS[period.status])
        canvas.line((x, y - 16), (x, y), arrow=True)
        canvas.text((x + 5, y - 8), f"send {number}", anchor="start", size=SMALL)
    end_x = _LEFT + periods[-1].end_h * scale
    canvas.box(end_x, y, _FAILED_WIDTH, _BAR_HEIGHT, [TaskStatus.FAILED], STATUS_FILLS[TaskStatus.FAILED])


def _draw_axis(canvas: Canvas, hours: list[float], scale: float) -> None:
    """Draw the time axis with a mark at each hour that is given."""
    canvas.line((_LEFT, _AXIS_Y), (_LEFT + _WIDTH + _FAILED_WIDTH, _AXIS_Y), arrow=True)
    for hour in hours:
        x = _LEFT + hour * scale
        canvas.line((x, _AXIS_Y - 5), (x, _AXIS_Y + 5))
        canvas.text((x, _AXIS_Y + 24), f"{hour:g} h")


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
