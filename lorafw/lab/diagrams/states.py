"""The statuses of a task and the events between them, drawn from the transition table of the service."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from lorafw.lab.diagrams.canvas import SMALL, STATUS_FILLS, Canvas, Diagram
from lorafw.lab.diagrams.svg import Point
from lorafw.tasks.lifecycle import INITIAL, TRANSITIONS, TaskEvent, TaskStatus

_COLUMN_WIDTH: Final = 205
_BOX_WIDTH: Final = 145
_BOX_HEIGHT: Final = 38
_LEFT: Final = 110
_TOP: Final = 70
_BOTTOM: Final = 220
"""Upper edge of the boxes of statuses that no event leaves."""
_HEIGHT: Final = 310
_CREATION_ARROW_LENGTH: Final = 75
_DOT_RADIUS: Final = 5
_LABEL_SHARE: Final = 0.4
"""Where the label of a slanted line is, as a share of the line."""
_VERTICAL_LABEL_SHARE: Final = 0.65
"""Where that of a vertical line is: lower than those of the lines beside it, so that they do not overlap."""

_RIGHT_TRIM: Final = 20
"""The last column is narrower by this much, because no arrow begins there."""
_NOTE_AT: Final = (20, _HEIGHT - 18)
_LABEL_GAP: Final = 6
"""Distance from an arrow up to the base line of its label."""
_LABEL_LINE_HEIGHT: Final = 14
_TIP_CORRECTION: Final = 2

Transitions = Mapping[tuple[TaskStatus, TaskEvent], TaskStatus]


def task_states(transitions: Transitions = TRANSITIONS) -> Diagram:
    """Return a diagram of the statuses of a task. A box is a status, and an arrow is an event that changes it.

    Args:
        transitions: The table of transitions: the next status for each status and event.
    """
    columns = _columns(transitions)
    corners = _box_corners(columns, transitions)
    column_count = max(columns.values()) + 1
    width = _LEFT + column_count * _COLUMN_WIDTH - _RIGHT_TRIM
    canvas = Canvas("The statuses of a task", round(width), _HEIGHT)
    _draw_creation(canvas, corners[INITIAL])
    for (source, target), events in _events_by_edge(transitions).items():
        _draw_edge(canvas, corners[source], corners[target], " or ".join(events))
    for status, (x, y) in corners.items():
        canvas.box(x, y, _BOX_WIDTH, _BOX_HEIGHT, [status], STATUS_FILLS[status])
    note = f"{_names_of_ended(transitions)}: the task stays until it is deleted."
    canvas.text(_NOTE_AT, note, anchor="start", size=SMALL)
    return canvas.finish(_describe(transitions))


def _draw_creation(canvas: Canvas, initial: Point) -> None:
    """Draw the arrow that leads to the box of the initial status."""
    x, top = initial
    y = top + _BOX_HEIGHT / 2
    canvas.dot((x - _CREATION_ARROW_LENGTH - _DOT_RADIUS, y), _DOT_RADIUS)
    _draw_arrow(canvas, (x - _CREATION_ARROW_LENGTH, y), (x, y), "created")


def _columns(transitions: Transitions) -> dict[TaskStatus, float]:
    """Return the column of each status: in order for those that events leave, below their sources for the others."""
    ended = _ended(transitions)
    active = [status for status in TaskStatus if status not in ended]
    columns: dict[TaskStatus, float] = {status: float(number) for number, status in enumerate(active)}
    last_column = -1.0
    for status in ended:
        source_columns = {columns[source] for (source, _), target in transitions.items() if target == status}
        mean_column = sum(source_columns) / max(len(source_columns), 1)
        last_column = max(mean_column, last_column + 1)  # Two boxes of a row do not overlap.
        columns[status] = last_column
    return columns


def _ended(transitions: Transitions) -> list[TaskStatus]:
    """Return the statuses that no event leaves."""
    sources = {source for source, _ in transitions}
    return [status for status in TaskStatus if status not in sources]


def _names_of_ended(transitions: Transitions) -> str:
    """Return the names of the statuses that no event leaves, such as "COMPLETED and FAILED"."""
    return " and ".join(_ended(transitions))


def _box_corners(columns: Mapping[TaskStatus, float], transitions: Transitions) -> dict[TaskStatus, Point]:
    """Return the upper left corner of each status's box. Statuses that events leave are above the others."""
    ended = _ended(transitions)
    corners: dict[TaskStatus, Point] = {}
    for status, column in columns.items():
        y = _BOTTOM if status in ended else _TOP
        corners[status] = (_LEFT + column * _COLUMN_WIDTH, y)
    return corners


def _events_by_edge(transitions: Transitions) -> Mapping[tuple[TaskStatus, TaskStatus], list[str]]:
    """Return the events that lead from one status to another, for each pair of statuses."""
    events: dict[tuple[TaskStatus, TaskStatus], list[str]] = defaultdict(list)
    for (source, event), target in transitions.items():
        events[source, target].append(event)
    return events


def _draw_edge(canvas: Canvas, source: Point, target: Point, label: str) -> None:
    """Draw an arrow between two boxes: from side to side in one row, otherwise from the lower to the upper edge."""
    source_x, source_y = source
    target_x, target_y = target
    if source_y == target_y:
        middle_y = source_y + _BOX_HEIGHT / 2
        _draw_arrow(canvas, (source_x + _BOX_WIDTH, middle_y), (target_x, middle_y), label)
        return
    start_x, start_y = source_x + _BOX_WIDTH / 2, source_y + _BOX_HEIGHT
    end_x, end_y = target_x + _BOX_WIDTH / 2, target_y
    canvas.line((start_x, start_y), (end_x, end_y), arrow=True)
    is_vertical = start_x == end_x
    share = _VERTICAL_LABEL_SHARE if is_vertical else _LABEL_SHARE
    label_x = start_x + (end_x - start_x) * share
    label_y = start_y + (end_y - start_y) * share
    canvas.label((label_x, label_y), label)


def _draw_arrow(canvas: Canvas, start: Point, end: Point, label: str) -> None:
    """Draw a horizontal arrow with its label above it, one word in each line."""
    canvas.line(start, end, arrow=True)
    start_x, y = start
    end_x, _ = end
    # The tip of the arrow is not part of the line that the eye sees, so the label is a little left of the middle.
    label_x = (start_x + end_x) / 2 - _TIP_CORRECTION
    words = label.split(" ")
    for lines_below, word in enumerate(reversed(words)):
        word_y = y - _LABEL_GAP - lines_below * _LABEL_LINE_HEIGHT
        canvas.text((label_x, word_y), word, size=SMALL)


def _describe(transitions: Transitions) -> str:
    """Return the table of transitions in words."""
    sentences = [f"created leads to {INITIAL}"]
    for (source, target), events in _events_by_edge(transitions).items():
        sentences.append(f"{source}: {' or '.join(events)} leads to {target}")
    return f"The statuses of a task. {'; '.join(sentences)}. {_names_of_ended(transitions)} end the task."
