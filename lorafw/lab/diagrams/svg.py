"""The SVG elements that a diagram consists of. Lengths are in pixels, and ``y`` grows downwards."""

from __future__ import annotations

from typing import Final
from xml.etree.ElementTree import Element, SubElement

Point = tuple[float, float]
"""The coordinates ``x`` and ``y`` of a point."""

_CORNER_RADIUS: Final = 5


def image(width: int, height: int, font: str) -> Element:
    """Return an empty SVG image. A screen reader says its title and its description.

    Args:
        width: Width of the image.
        height: Height of the image.
        font: The font family of all texts.
    """
    attributes = {
        "xmlns": "http://www.w3.org/2000/svg",
        "width": str(width),
        "height": str(height),
        "viewBox": f"0 0 {width} {height}",
        "role": "img",
        "aria-labelledby": "title description",
        "font-family": font,
    }
    return Element("svg", attributes)


def arrow_head(identifier: str, colour: str) -> Element:
    """Return the head of arrows: a triangle whose tip, the point (9, 5) of its box, is at the end of the line.

    Args:
        identifier: The id by which lines refer to the head.
        colour: The colour of the triangle.
    """
    attributes = {
        "id": identifier,
        "viewBox": "0 0 10 10",
        "refX": "9",
        "refY": "5",
        "orient": "auto-start-reverse",
        "markerWidth": "7",
        "markerHeight": "7",
    }
    marker = Element("marker", attributes)
    SubElement(marker, "path", {"d": "M0 0 10 5 0 10z", "fill": colour})
    return marker


def rectangle(left: float, top: float, width: float, height: float, fill: str, stroke: str = "none") -> Element:
    """Return a rectangle with round corners.

    Args:
        left: The left edge.
        top: The upper edge.
        width: Width of the rectangle.
        height: Height of the rectangle.
        fill: The colour of the area.
        stroke: The colour of the border, or ``none``.
    """
    attributes = {
        "x": format_number(left),
        "y": format_number(top),
        "width": format_number(width),
        "height": format_number(height),
        "rx": format_number(_CORNER_RADIUS),
        "fill": fill,
        "stroke": stroke,
    }
    return Element("rect", attributes)


def text(at: Point, content: str, size: int, colour: str, anchor: str) -> Element:
    """Return a line of text.

    Args:
        at: A point on the base line of the text, on which the letters stand.
        content: The text.
        size: The font size.
        colour: The colour of the letters.
        anchor: Whether the text begins at the point ("start"), ends there ("end"), or is centered ("middle").
    """
    x, y = at
    attributes = {
        "x": format_number(x),
        "y": format_number(y),
        "font-size": str(size),
        "fill": colour,
        "text-anchor": anchor,
    }
    element = Element("text", attributes)
    element.text = content
    return element


def line(start: Point, end: Point, colour: str, width: str) -> Element:
    """Return a straight line.

    Args:
        start: Where the line begins.
        end: Where the line ends.
        colour: The colour of the line.
        width: The width of the line, as SVG writes it.
    """
    attributes = {
        "x1": format_number(start[0]),
        "y1": format_number(start[1]),
        "x2": format_number(end[0]),
        "y2": format_number(end[1]),
        "stroke": colour,
        "stroke-width": width,
    }
    return Element("line", attributes)


def circle(center: Point, radius: float, colour: str) -> Element:
    """Return a filled circle."""
    x, y = center
    attributes = {"cx": format_number(x), "cy": format_number(y), "r": format_number(radius), "fill": colour}
    return Element("circle", attributes)


def format_number(value: float) -> str:
    """Return a number with at most one decimal, so that equal diagrams have equal text everywhere."""
    return f"{value:.1f}".removesuffix(".0")
