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
BORDER: Final = "#cbd5e1"
"""Colour of the border of a diagram."""

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
_BASE_LINE_SHIFT: Final = 5
"""Distance from the middle of a line of text down to its base line."""
_SMALL_BASE_LINE_SHIFT: Final = 4
"""The same for small text."""
_LABEL_PADDING: Final = 3
"""Background at the left and at the right of a label."""
_LABEL_TOP: Final = 9
"""Distance from the middle of a label up to the edge of its background."""
_LABEL_HEIGHT: Final = 17
_CORNER_RADIUS: Final = 5
_TITLE_AT: Final = (20, 30)
_TITLE_SIZE: Final = 16
_BOLD: Final = "600"
"""SVG's number for semi-bold type."""
_LINE_WIDTH: Final = "1.4"
_ARROW_HEAD: Final = "arrow"
"""Id of the SVG marker for the head of an arrow."""
_DASHES: Final = "5 4"
"""Lengths of a dash and of the gap behind it."""


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
    """Collects the shapes of a diagram. Lengths are in pixels, and ``y`` grows downwards."""

    def __init__(self, title: str, width: int, height: int) -> None:
        """Begin a diagram that shows its title only.

        Args:
            title: What the diagram is about.
            width: Width of the diagram.
            height: Height of the diagram.
        """
        self._title = title
        self._root = _svg_root(width, height)
        self._add("title", {"id": "title"}).text = title
        self._description = self._add("desc", {"id": "description"})
        """The text alternative. ``finish`` fills it in."""
        _add_arrow_head(self._add("defs", {}))
        # Half a pixel from the edge, so that the border is one sharp pixel wide.
        self._rectangle(0.5, 0.5, width - 1, height - 1, fill=BACKGROUND, stroke=BORDER)
        self.text(_TITLE_AT, title, size=_TITLE_SIZE, bold=True, anchor="start")

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
        center_x = x + width / 2
        center_y = y + height / 2
        distance_to_last_line = (len(lines) - 1) * LINE_HEIGHT
        line_y = center_y - distance_to_last_line / 2
        for index, line in enumerate(lines):
            is_first = index == 0
            self.text((center_x, line_y + _BASE_LINE_SHIFT), line, bold=is_first)
            line_y += LINE_HEIGHT

    def text(self, at: Point, text: str, *, size: int = FONT_SIZE, bold: bool = False, anchor: str = "middle") -> None:
        """Draw a line of text.

        Args:
            at: A point on the base line of the text, on which the letters stand.
            text: The text.
            size: Font size.
            bold: Whether the type is bold.
            anchor: Whether the text begins at the point ("start"), ends there ("end"), or is centered ("middle").
        """
        x, y = at
        attributes = {
            "x": _number(x),
            "y": _number(y),
            "font-size": str(size),
            "fill": INK,
            "text-anchor": anchor,
        }
        if bold:
            attributes["font-weight"] = _BOLD
        self._add("text", attributes).text = text

    def label(self, at: Point, text: str) -> None:
        """Draw a small text on a background of its own, so that a line behind it does not cross it.

        Args:
            at: The middle of the label.
            text: The text.
        """
        x, y = at
        text_width = len(text) * SMALL * _MEAN_LETTER_WIDTH
        width = text_width + 2 * _LABEL_PADDING
        left = x - width / 2
        top = y - _LABEL_TOP
        self._rectangle(left, top, width, _LABEL_HEIGHT, fill=BACKGROUND)
        self.text((x, y + _SMALL_BASE_LINE_SHIFT), text, size=SMALL)

    def line(self, start: Point, end: Point, *, dashed: bool = False, arrow: bool = False) -> None:
        """Draw a straight line.

        Args:
            start: Where the line begins.
            end: Where the line ends.
            dashed: Whether the line is dashed.
            arrow: Whether an arrow head is at the end.
        """
        attributes = {
            "x1": _number(start[0]),
            "y1": _number(start[1]),
            "x2": _number(end[0]),
            "y2": _number(end[1]),
            "stroke": LINE,
            "stroke-width": _LINE_WIDTH,
        }
        if dashed:
            attributes["stroke-dasharray"] = _DASHES
        if arrow:
            attributes["marker-end"] = f"url(#{_ARROW_HEAD})"
        self._add("line", attributes)

    def dot(self, at: Point, radius: float = 5) -> None:
        """Draw a filled circle around a point."""
        x, y = at
        self._add("circle", {"cx": _number(x), "cy": _number(y), "r": _number(radius), "fill": LINE})

    def finish(self, alt: str) -> Diagram:
        """Return the diagram.

        Args:
            alt: The text alternative: what the diagram shows, in words.
        """
        self._description.text = alt
        svg = ElementTree.tostring(self._root, encoding="unicode")
        return Diagram(self._title, alt, svg)

    def _rectangle(self, x: float, y: float, width: float, height: float, *, fill: str, stroke: str = "none") -> None:
        """Draw a rectangle with round corners. ``x`` and ``y`` are its left and its upper edge."""
        attributes = {
            "x": _number(x),
            "y": _number(y),
            "width": _number(width),
            "height": _number(height),
            "rx": _number(_CORNER_RADIUS),
            "fill": fill,
            "stroke": stroke,
        }
        self._add("rect", attributes)

    def _add(self, tag: str, attributes: dict[str, str]) -> ElementTree.Element:
        """Append an element to the drawing and return it."""
        return ElementTree.SubElement(self._root, tag, attributes)


def _svg_root(width: int, height: int) -> ElementTree.Element:
    """Return an empty SVG image. A screen reader says its title and its description."""
    attributes = {
        "xmlns": "http://www.w3.org/2000/svg",
        "width": str(width),
        "height": str(height),
        "viewBox": f"0 0 {width} {height}",
        "role": "img",
        "aria-labelledby": "title description",
        "font-family": FONT,
    }
    return ElementTree.Element("svg", attributes)


def _add_arrow_head(definitions: ElementTree.Element) -> None:
    """Define the head of arrows: a triangle whose tip, the point (9, 5) of its box, is at the end of the line."""
    attributes = {
        "id": _ARROW_HEAD,
        "viewBox": "0 0 10 10",
        "refX": "9",
        "refY": "5",
        "orient": "auto-start-reverse",
        "markerWidth": "7",
        "markerHeight": "7",
    }
    marker = ElementTree.SubElement(definitions, "marker", attributes)
    ElementTree.SubElement(marker, "path", {"d": "M0 0 10 5 0 10z", "fill": LINE})


def _number(value: float) -> str:
    """Return a number with at most one decimal, so that equal diagrams have equal text everywhere."""
    return f"{value:.1f}".removesuffix(".0")
