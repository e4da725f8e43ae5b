"""A canvas for SVG diagrams, and the diagram that it becomes.

A diagram has its own light background, so that it can be read on light and on dark pages. No meaning depends on colour
alone: every shape has its text, and a dashed line is another kind of line.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

from lorafw.atomic import write_atomic
from lorafw.tasks.lifecycle import TaskStatus

Point = tuple[float, float]

FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, Arial, sans-serif"
BACKGROUND: Final = "#f8fafc"
INK: Final = "#1f2937"
"""Colour of text. Its contrast with every fill is at least 7 to 1."""
LINE: Final = "#475569"
"""Colour of lines and arrows."""

PLAIN: Final = "#e9ebee"
BLUE: Final = "#deebf7"
GREEN: Final = "#dff0e4"
YELLOW: Final = "#fbecc9"
RED: Final = "#f8e0dd"
STATUS_FILLS: Final = {
    TaskStatus.PENDING: PLAIN,
    TaskStatus.IN_PROGRESS: BLUE,
    TaskStatus.FIRST_RETRY: YELLOW,
    TaskStatus.SECOND_RETRY: YELLOW,
    TaskStatus.COMPLETED: GREEN,
    TaskStatus.FAILED: RED,
}
"""The fill of each status, as in the chips of the panels."""

FONT_SIZE: Final = 14
SMALL: Final = 12
LINE_HEIGHT: Final = 17
_MEAN_LETTER_WIDTH: Final = 0.56
"""Width of a letter on average, as a share of the font size."""


@dataclass(frozen=True, slots=True)
class Diagram:
    """A diagram with its text alternative."""

    title: str
    alt: str
    """What the diagram shows, in words."""
    svg: str
    """The diagram as SVG, with its title and the text alternative."""

    def save(self, path: Path | str) -> None:
        """Write the diagram to an SVG file.

        Raises:
            OSError: The file cannot be written.
        """
        write_atomic(Path(path), self.svg.encode())

    def to_html(self) -> str:
        """Return the diagram as an image with its text alternative. JupyterLab shows it in every notebook."""
        source = base64.b64encode(self.svg.encode()).decode()
        return f'<img alt="{escape(self.alt)}" src="data:image/svg+xml;base64,{source}" style="max-width:100%">'

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """Return the diagram for a notebook: as an image with its text alternative, and as the text alone."""
        return {"text/html": self.to_html(), "text/plain": self.alt}

    def __repr__(self) -> str:
        return self.alt


class Canvas:
    """Collects the shapes of a diagram."""

    def __init__(self, title: str, width: int, height: int) -> None:
        """Begin an empty diagram.

        Args:
            title: What the diagram is about.
            width: Width in pixels.
            height: Height in pixels.
        """
        self._title = title
        self._root = ElementTree.Element(
            "svg",
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "width": str(width),
                "height": str(height),
                "viewBox": f"0 0 {width} {height}",
                "role": "img",
                "aria-labelledby": "title description",
                "font-family": FONT,
            },
        )
        self._add("title", {"id": "title"}).text = title
        self._description = self._add("desc", {"id": "description"})
        marker = ElementTree.SubElement(
            self._add("defs", {}),
            "marker",
            {"id": "arrow", "viewBox": "0 0 10 10", "refX": "9", "refY": "5", "orient": "auto-start-reverse"}
            | {"markerWidth": "7", "markerHeight": "7"},
        )
        ElementTree.SubElement(marker, "path", {"d": "M0 0 10 5 0 10z", "fill": LINE})
        self._rectangle(0.5, 0.5, width - 1, height - 1, fill=BACKGROUND, stroke="#cbd5e1")
        self.text((20, 30), title, size=16, bold=True, anchor="start")

    def box(self, x: float, y: float, width: float, height: float, lines: Sequence[str], fill: str = PLAIN) -> None:
        """Draw a rectangle with lines of text in its middle. The first line is bold.

        Args:
            x: Left edge.
            y: Upper edge.
            width: Width of the rectangle.
            height: Height of the rectangle.
            lines: The text.
            fill: Colour of the rectangle.
        """
        self._rectangle(x, y, width, height, fill=fill, stroke=LINE)
        first_y = y + height / 2 - (len(lines) - 1) * LINE_HEIGHT / 2 + 5
        for number, line in enumerate(lines):
            self.text((x + width / 2, first_y + number * LINE_HEIGHT), line, bold=number == 0)

    def text(self, at: Point, text: str, *, size: int = FONT_SIZE, bold: bool = False, anchor: str = "middle") -> None:
        """Draw a line of text.

        Args:
            at: The point of the base line that ``anchor`` names.
            text: The text.
            size: Font size.
            bold: Whether the type is bold.
            anchor: ``start``, ``middle`` or ``end``.
        """
        attributes = {"x": _number(at[0]), "y": _number(at[1]), "font-size": str(size), "fill": INK}
        attributes["text-anchor"] = anchor
        if bold:
            attributes["font-weight"] = "600"
        self._add("text", attributes).text = text

    def label(self, at: Point, text: str) -> None:
        """Draw a small text around a point, on the background, so that a line behind it does not cross it."""
        width = len(text) * SMALL * _MEAN_LETTER_WIDTH + 6
        self._rectangle(at[0] - width / 2, at[1] - 9, width, 17, fill=BACKGROUND)
        self.text((at[0], at[1] + 4), text, size=SMALL)

    def line(self, start: Point, end: Point, *, dashed: bool = False, arrow: bool = False) -> None:
        """Draw a straight line, or an arrow to ``end``."""
        attributes = {"x1": start[0], "y1": start[1], "x2": end[0], "y2": end[1]}
        style = {"stroke": LINE, "stroke-width": "1.4"}
        if dashed:
            style["stroke-dasharray"] = "5 4"
        if arrow:
            style["marker-end"] = "url(#arrow)"
        self._add("line", {name: _number(value) for name, value in attributes.items()} | style)

    def dot(self, at: Point, radius: float = 5) -> None:
        """Draw a filled circle."""
        self._add("circle", {"cx": _number(at[0]), "cy": _number(at[1]), "r": _number(radius), "fill": LINE})

    def finish(self, alt: str) -> Diagram:
        """Return the diagram.

        Args:
            alt: The text alternative.
        """
        self._description.text = alt
        return Diagram(self._title, alt, ElementTree.tostring(self._root, encoding="unicode"))

    def _add(self, tag: str, attributes: dict[str, str]) -> ElementTree.Element:
        return ElementTree.SubElement(self._root, tag, attributes)

    def _rectangle(self, x: float, y: float, width: float, height: float, *, fill: str, stroke: str = "none") -> None:
        place = {"x": x, "y": y, "width": width, "height": height, "rx": 5}
        self._add("rect", {name: _number(value) for name, value in place.items()} | {"fill": fill, "stroke": stroke})


def _number(value: float) -> str:
    """Return a number with at most one decimal, so that equal diagrams have equal text everywhere."""
    return f"{value:.1f}".removesuffix(".0")
