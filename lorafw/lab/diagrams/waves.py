"""The waves of a rollout plan and the gates between them, drawn from the plan."""

from __future__ import annotations

import textwrap
from typing import Final

from lorafw.errors import LabError
from lorafw.fleet import Plan
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


def rollout_waves(plan: Plan | None = None) -> Diagram:
    """Return a diagram of the waves of a plan. The height of a wave grows with its share of the fleet.

    Args:
        plan: The plan. None means the canary plan.

    Raises:
        LabError: The plan has no waves.
    """
    plan = plan or canary_plan()
    if not plan.waves:
        raise LabError(f"plan: {plan.name} has no waves, so there is nothing to draw; choose a plan with waves")
    count = len(plan.waves)
    width = 2 * _MARGIN + count * _WAVE_WIDTH + (count - 1) * _GATE_WIDTH
    canvas = Canvas(f"The waves of the plan '{plan.name}'", width, _HEIGHT)
    sentences = []
    x = _MARGIN
    for number, wave in enumerate(plan.waves, 1):
        share = wave.share or 0.0
        height = _MIN_WAVE_HEIGHT + share * _FLEET_HEIGHT
        size = describe_size(wave)
        canvas.box(x, _BASE_Y - height, _WAVE_WIDTH, height, [f"wave {number}: {size}"], BLUE)
        sentences.append(f"wave {number}: {size}")
        x += _WAVE_WIDTH
        if number < count:
            gate = describe_gate(wave)
            _draw_gate(canvas, x, gate)
            sentences.append(f"then {gate}")
            x += _GATE_WIDTH
    canvas.text(
        (_MARGIN, _BASE_Y + 26), "If a gate stops the rollout, no later wave begins.", anchor="start", size=SMALL
    )
    return canvas.finish(
        f"The waves of the plan '{plan.name}'. {'; '.join(sentences)}. If a gate stops, no wave begins."
    )


def _draw_gate(canvas: Canvas, x: float, gate: str) -> None:
    """Draw what must hold before the next wave begins, with an arrow to it."""
    lines = textwrap.wrap(gate, _GATE_LINE_CHARS)
    middle = x + _GATE_WIDTH / 2
    text_top = _BASE_Y - 40 - _LINE_SPACING * len(lines)
    for index, line in enumerate(lines):
        canvas.text((middle, text_top + _LINE_SPACING * index), line, size=SMALL)
    arrow_y = _BASE_Y - _MIN_WAVE_HEIGHT / 2
    canvas.line((x, arrow_y), (x + _GATE_WIDTH, arrow_y), arrow=True)
    width, height = _GATE_BOX
    canvas.box(middle - width / 2, arrow_y - height / 2, width, height, ["gate"], YELLOW)
