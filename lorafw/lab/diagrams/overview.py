"""How an update reaches a gateway: what the operator gives AWS, what AWS holds, and what the gateway asks for."""

from __future__ import annotations

from typing import Final

from lorafw import example
from lorafw.lab.diagrams.canvas import BLUE, GREEN, PLAIN, SMALL, YELLOW, Canvas, Diagram

# Positions and sizes in pixels.
_SIZE: Final = (1000, 330)
_OPERATOR_BOX: Final = (20, 200)
"""Left and right edge of the box of the operator."""
_AWS_BOX: Final = (320, 600)
_GATEWAY_BOX: Final = (800, 980)
_BOX_TOP: Final = 54
_BOX_HEIGHT: Final = 260
_AWS_TITLE_Y: Final = 76
_PART_MARGIN: Final = 12
"""Distance from the edge of the box of AWS to the boxes inside."""
_PART_HEIGHT: Final = 46
_PART_TOPS: Final = {"bucket": 88, "role": 144, "task definition": 200, "task": 256}
"""Upper edge of the box of each part that AWS holds."""
_PARTS: Final = {
    "bucket": "the update file",
    "role": "lets AWS read the file",
    "task definition": "for whom, with which signature",
    "task": "how one gateway's update goes",
}
_REQUEST_Y: Final = 150
_RESPONSE_Y: Final = 230
_TEXT_RISE: Final = 8
"""Distance from an arrow up to the base line of its text."""


def update_overview(installed: str = example.CURRENT_VERSION.package or "", offered: str = "1.0.1") -> Diagram:
    """Return a diagram of the way of an update from the operator through AWS to a gateway.

    Args:
        installed: The version that the gateway runs before the update.
        offered: The version that the update installs.
    """
    canvas = Canvas("How an update reaches a gateway", *_SIZE)
    _draw_box(canvas, _OPERATOR_BOX, ["you", "build and sign", "the update", "(AWS CLI, boto3)"], PLAIN)
    _draw_box(canvas, _AWS_BOX, [], BLUE)
    canvas.text((sum(_AWS_BOX) / 2, _AWS_TITLE_Y), "AWS", bold=True)
    for name, meaning in _PARTS.items():
        _draw_part(canvas, name, meaning)
    gateway_lines = [
        "gateway",
        "runs Basics Station",
        f"version.txt: {installed}",
        "checks the signature",
        "with sig-0.key",
    ]
    _draw_box(canvas, _GATEWAY_BOX, gateway_lines, YELLOW)

    operator_edge, aws_edge = _OPERATOR_BOX[1], _AWS_BOX[0] + _PART_MARGIN
    _draw_arrow(canvas, operator_edge, aws_edge, _middle_of_part("bucket"), "1. upload")
    _draw_arrow(canvas, operator_edge, aws_edge, _middle_of_part("task definition"), "2. define")
    _draw_arrow(canvas, aws_edge, operator_edge, _middle_of_part("task"), "5. status")
    aws_edge, gateway_edge = _AWS_BOX[1], _GATEWAY_BOX[0]
    _draw_arrow(canvas, gateway_edge, aws_edge, _REQUEST_Y, f"3. CUPS: I run {installed}")
    _draw_arrow(canvas, aws_edge, gateway_edge, _RESPONSE_Y, f"4. CUPS: {offered}, signed")
    parts = "; ".join(f"{name}: {meaning}" for name, meaning in _PARTS.items())
    return canvas.finish(
        "How an update reaches a gateway. 1. You upload the update file to a bucket of AWS. 2. You create a task "
        f"definition. 3. The gateway tells AWS over CUPS that it runs {installed}. 4. AWS sends {offered} and its "
        "signature. The gateway checks it with sig-0.key, then runs the update. 5. You read the status of the "
        f"task. What AWS holds: {parts}."
    )


def _draw_box(canvas: Canvas, edges: tuple[float, float], lines: list[str], fill: str) -> None:
    """Draw one of the three large boxes between a left and a right edge."""
    left, right = edges
    canvas.box(left, _BOX_TOP, right - left, _BOX_HEIGHT, lines, fill)


def _draw_part(canvas: Canvas, name: str, meaning: str) -> None:
    """Draw a part that AWS holds, inside the box of AWS."""
    left, right = _AWS_BOX
    width = right - left - 2 * _PART_MARGIN
    canvas.box(left + _PART_MARGIN, _PART_TOPS[name], width, _PART_HEIGHT, [name, meaning], GREEN)


def _middle_of_part(name: str) -> float:
    """Return the y coordinate at which an arrow meets a part."""
    return _PART_TOPS[name] + _PART_HEIGHT / 2


def _draw_arrow(canvas: Canvas, start_x: float, end_x: float, y: float, text: str) -> None:
    """Draw a horizontal arrow with a text above it."""
    canvas.line((start_x, y), (end_x, y), arrow=True)
    # The boxes of AWS reach into the arrow by a margin. The text is in the gap between the large boxes.
    canvas.text(((start_x + end_x) / 2, y - _TEXT_RISE), text, size=SMALL)
