"""The waves of a rollout plan and the gates between them, drawn from the plan."""

from __future__ import annotations

import textwrap
from typing import Final

from lorafw.errors import LabError
from lorafw.fleet import Plan
from lorafw.fleet.describe import describe_gate, describe_size
from lorafw.fleet.presets import canary_plan
from lorafw.lab.diagrams.canvas import BLUE, SMALL, YELLOW, Canvas, Diagram

_WAVE_WIDTH: Final = 120
_GATE_WIDTH: Final = 190
_BASE: Final = 230
_LOWEST_PX: Final = 30
_HEIGHT_PX: Final = 130
"""Height of a wave that is the whole fleet, beyond the lowest height."""


def rollout_waves(plan: Plan | None = None) -> Diagram:
    """Return a diagram of the waves of a plan. The height of a wave grows with its share of the fleet.

    Args:
        plan: The plan. None: the canary plan.

    Raises:
        LabError: The plan has no waves.
    """
    plan = plan or canary_plan()
    if not plan.waves:
        raise LabError(f"plan: {plan.name} has no waves, so there is nothing to draw; choose a plan with waves")
    count = len(plan.waves)
    canvas = Canvas(f"The waves of the plan '{plan.name}'", 40 + count * _WAVE_WIDTH + (count - 1) * _GATE_WIDTH, 270)
    sentences = []
    x = 20
    for number, wave in enumerate(plan.waves, 1):
        share = wave.share or 0.0
        height = _LOWEST_PX + share * _HEIGHT_PX
        size = describe_size(wave)
        canvas.box(x, _BASE - height, _WAVE_WIDTH, height, [f"wave {number}: {size}"], BLUE)
        sentences.append(f"wave {number}: {size}")
        x += _WAVE_WIDTH
        if number < count:
            gate = describe_gate(wave)
            _draw_gate(canvas, x, gate)
            sentences.append(f"then {gate}")
            x += _GATE_WIDTH
    canvas.text((20, 256), "If a gate stops the rollout, no later wave begins.", anchor="start", size=SMALL)
    return canvas.finish(
        f"The waves of the plan '{plan.name}'. {'; '.join(sentences)}. If a gate stops, no wave begins."
    )


def _draw_gate(canvas: Canvas, x: float, gate: str) -> None:
    """Draw what must hold before the next wave begins, with an arrow to it."""
    lines = textwrap.wrap(gate, 26)
    top = _BASE - 40 - 16 * len(lines)
    for number, line in enumerate(lines):
        canvas.text((x + _GATE_WIDTH / 2, top + 16 * number), line, size=SMALL)
    y = _BASE - _LOWEST_PX / 2
    canvas.line((x, y), (x + _GATE_WIDTH, y), arrow=True)
    canvas.box(x + _GATE_WIDTH / 2 - 30, y - 13, 60, 26, ["gate"], YELLOW)
