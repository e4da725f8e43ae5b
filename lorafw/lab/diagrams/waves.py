"""The waves of a rollout plan and the gates between them, drawn from the plan."""

from __future__ import annotations

import textwrap
from typing import Final

from lorafw.errors import LabError
from lorafw.fleet import Plan, Wave
from lorafw.fleet.describe import describe_gate, describe_size
from lorafw.fleet.presets import canary_plan
from lorafw.lab.diagrams.canvas import BLUE, SMALL, YELLOW, Canvas, Diagram

# Positions and sizes in pixels.
_MARGIN: Final = 20
_WAVE_WIDTH: Final = 120
_GATE_WIDTH: Final = 190
_GATE_BOX: Final = (60, 26)
_BASE_Y: Final = 230
"""The lower edge of the waves."""
_HEIGHT: Final = 270
_MIN_WAVE_HEIGHT: Final = 30
_FLEET_HEIGHT: Final = 130
"""Height of a wave that is the whole fleet, beyond the lowest height."""
_LINE_SPACING: Final = 16
_GATE_LINE_CHARS: Final = 26
"""Number of characters after which the text of a gate is wrapped."""
_GATE_TEXT_GAP: Final = 40
"""Distance from the lower edge of the waves up to the end of a gate's text."""
_NOTE_DISTANCE: Final = 26
"""Distance from the lower edge of the waves down to the note below them."""


def rollout_waves(plan: Plan | None = None) -> Diagram:
    """Return a diagram of the waves of a plan, and of the gates between them.

    A wave is a part of the fleet that is updated together. A gate says what must hold before the next wave begins. The
    height of a wave grows with its share of the fleet.

    Args:
        plan: The plan. None means the canary plan.

    Raises:
        LabError: The plan has no waves.
    """
    plan = plan or canary_plan()
    if not plan.waves:
        raise LabError(f"plan: {plan.name} has no waves, so there is nothing to draw; choose a plan with waves")
    # From left to right: margin, wave 1, gate 1, wave 2, gate 2, ..., last wave, margin.
    step = _WAVE_WIDTH + _GATE_WIDTH
    width = 2 * _MARGIN + len(plan.waves) * step - _GATE_WIDTH
    canvas = Canvas(f"The waves of the plan '{plan.name}'", width, _HEIGHT)
    for index, wave in enumerate(plan.waves):
        wave_x = _MARGIN + index * step
        _draw_wave(canvas, wave_x, wave, index + 1)
        is_last = index + 1 == len(plan.waves)
        if not is_last:
            _draw_gate(canvas, wave_x + _WAVE_WIDTH, describe_gate(wave))
    note = "If a gate stops the rollout, no later wave begins."
    canvas.text((_MARGIN, _BASE_Y + _NOTE_DISTANCE), note, anchor="start", size=SMALL)
    return canvas.finish(_text_alternative(plan))


def _text_alternative(plan: Plan) -> str:
    """Return what the diagram shows, in words."""
    parts = []
    for number, wave in enumerate(plan.waves, 1):
        parts.append(_wave_label(wave, number))
        if number < len(plan.waves):
            parts.append(f"then {describe_gate(wave)}")
    return f"The waves of the plan '{plan.name}'. {'; '.join(parts)}. If a gate stops, no wave begins."


def _wave_label(wave: Wave, number: int) -> str:
    """Return the number and the size of a wave."""
    return f"wave {number}: {describe_size(wave)}"


def _draw_wave(canvas: Canvas, x: float, wave: Wave, number: int) -> None:
    """Draw a wave as a box. ``x`` is its left edge."""
    share = wave.share or 0.0
    height = _MIN_WAVE_HEIGHT + share * _FLEET_HEIGHT
    canvas.box(x, _BASE_Y - height, _WAVE_WIDTH, height, [_wave_label(wave, number)], BLUE)


def _draw_gate(canvas: Canvas, x: float, gate: str) -> None:
    """Draw what must hold before the next wave begins, with an arrow to it."""
    lines = textwrap.wrap(gate, _GATE_LINE_CHARS)
    middle = x + _GATE_WIDTH / 2
    text_top = _BASE_Y - _GATE_TEXT_GAP - _LINE_SPACING * len(lines)
    for index, line in enumerate(lines):
        canvas.text((middle, text_top + _LINE_SPACING * index), line, size=SMALL)
    arrow_y = _BASE_Y - _MIN_WAVE_HEIGHT / 2
    canvas.line((x, arrow_y), (x + _GATE_WIDTH, arrow_y), arrow=True)
    width, height = _GATE_BOX
    canvas.box(middle - width / 2, arrow_y - height / 2, width, height, ["gate"], YELLOW)
