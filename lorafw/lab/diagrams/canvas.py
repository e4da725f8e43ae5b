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
from lorafw.lab.diagrams import svg
from lorafw.lab.diagrams.svg import Point
from lorafw.tasks.lifecycle import TaskStatus

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
        self._root = svg.image(width, height, FONT)
        ElementTree.SubElement(self._root, "title", {"id": "title"}).text = title
        self._description = ElementTree.SubElement(self._root, "desc", {"id": "description"})
        """The text alternative. ``finish`` fills it in."""
        definitions = ElementTree.SubElement(self._root, "defs")
        definitions.append(svg.arrow_head(_ARROW_HEAD, LINE))
        # Half a pixel from the edge, so that the border is one sharp pixel wide.
        self._root.append(svg.rectangle(0.5, 0.5, width - 1, height - 1, BACKGROUND, BORDER))
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
        self._root.append(svg.rectangle(x, y, width, height, fill, LINE))
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
        element = svg.text(at, text, size, INK, anchor)
        if bold:
            element.set("font-weight", _BOLD)
        self._root.append(element)

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
        self._root.append(svg.rectangle(left, top, width, _LABEL_HEIGHT, BACKGROUND))
        self.text((x, y + _SMALL_BASE_LINE_SHIFT), text, size=SMALL)

    def line(self, start: Point, end: Point, *, dashed: bool = False, arrow: bool = False) -> None:
        """Draw a straight line.

        Args:
            start: Where the line begins.
            end: Where the line ends.
            dashed: Whether the line is dashed.
            arrow: Whether an arrow head is at the end.
        """
        element = svg.line(start, end, LINE, _LINE_WIDTH)
        if dashed:
            element.set("stroke-dasharray", _DASHES)
        if arrow:
            element.set("marker-end", f"url(#{_ARROW_HEAD})")
        self._root.append(element)

    def dot(self, at: Point, radius: float = 5) -> None:
        """Draw a filled circle around a point."""
        self._root.append(svg.circle(at, radius, LINE))

    def finish(self, alt: str) -> Diagram:
        """Return the diagram.

        Args:
            alt: The text alternative: what the diagram shows, in words.
        """
        self._description.text = alt
        return Diagram(self._title, alt, ElementTree.tostring(self._root, encoding="unicode"))
