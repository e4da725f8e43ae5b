"""The bytes of a CUPS response, drawn from the segments that the codec knows and from a response that it encodes."""

from __future__ import annotations

from typing import Final

from lorafw.cups.annotate import Part, annotate_response
from lorafw.cups.codec import encode_response
from lorafw.cups.messages import UpdateInfoResponse
from lorafw.lab.diagrams.canvas import BLUE, GREEN, PLAIN, SMALL, YELLOW, Canvas, Diagram

_LENGTH_SUFFIX: Final = "Len"
_LEFT: Final = 100
_BOX_WIDTH: Final = 180
_ROW_HEIGHT: Final = 44
_ROW_GAP: Final = 4
_FIRST_ROW_Y: Final = 60
_MARGIN: Final = 20
_HEIGHT_WITHOUT_ROWS: Final = 70
_HEAD_Y: Final = 52
_OFFSET_SHIFT: Final = 24
"""Distance from the upper edge of a row down to the base line of its offset."""

_EVERY_FIELD: Final = UpdateInfoResponse(
    cups_uri="https://cups.example",
    tc_uri="wss://lns.example",
    cups_cred=bytes(900),
    tc_cred=bytes(900),
    key_crc=1,
    signature=bytes(71),
    update=bytes(4161),
)
"""A response in which no field is empty. Only the lengths of its fields matter."""


def reply_layout(body: bytes | None = None) -> Diagram:
    """Return a diagram of the parts of a response in their order. Each row is one field: its length, then its content.

    Args:
        body: The body of a response. None means one in which no field is empty.
    """
    if body is None:
        body = encode_response(_EVERY_FIELD)
    rows = _rows(annotate_response(body))
    longest_row = max(len(row) for row in rows)
    width = _LEFT + longest_row * _BOX_WIDTH + _MARGIN
    height = _HEIGHT_WITHOUT_ROWS + len(rows) * _ROW_HEIGHT
    canvas = Canvas("The layout of a CUPS response", width, height)
    canvas.text((_MARGIN, _HEAD_Y), "from byte", anchor="start", size=SMALL)
    for number, row in enumerate(rows):
        _draw_row(canvas, _FIRST_ROW_Y + number * _ROW_HEIGHT, row)
    parts = [f"{part.name} {_size(part)} from byte {part.start}" for part in annotate_response(body)]
    return canvas.finish(f"The layout of a CUPS response of {len(body)} bytes, in order: {', '.join(parts)}.")


def _rows(parts: list[Part]) -> list[list[Part]]:
    """Return the parts of each segment: its length, then its content."""
    rows: list[list[Part]] = []
    for part in parts:
        if part.name.endswith(_LENGTH_SUFFIX) or not rows:
            rows.append([])
        rows[-1].append(part)
    return rows


def _draw_row(canvas: Canvas, y: float, row: list[Part]) -> None:
    """Draw the parts of a segment side by side, with the offset of the first."""
    canvas.text((_MARGIN, y + _OFFSET_SHIFT), str(row[0].start), anchor="start", size=SMALL)
    for number, part in enumerate(row):
        x = _LEFT + number * _BOX_WIDTH
        canvas.box(x, y, _BOX_WIDTH, _ROW_HEIGHT - _ROW_GAP, [part.name, _size(part)], _fill(part))


def _size(part: Part) -> str:
    """Return the number of bytes of a part as text."""
    return "1 byte" if len(part) == 1 else f"{len(part)} bytes"


def _fill(part: Part) -> str:
    """Return a colour for the kind of a part."""
    if part.name.endswith(_LENGTH_SUFFIX):
        return PLAIN
    if part.name in ("keyCRC", "sig"):
        return YELLOW
    if part.name == "updData":
        return GREEN
    return BLUE
