"""Tables and blocks of text for the panels, as HTML and as plain text, from the same rows.

Nothing depends on colour: everything that matters is also a word, a symbol, bold type or a frame. Colours come from the
style sheet of the panels, which uses those of the theme. A saved notebook does not contain the style sheet. Therefore
the layout is written into the elements, and a page is well arranged without the colours, too.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Final, Literal

from lorafw.text import visible

if TYPE_CHECKING:
    from lorafw.lab.plots.figure import AccessibleFigure

Mood = Literal["good", "bad", "warn", "busy", "idle"]
"""What a chip says beyond its text. The style sheet has a colour for each."""

_CELL: Final = "padding:3px 14px 3px 0;text-align:left;vertical-align:top"
_MONO: Final = "font-family:ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;font-size:11.5px;line-height:1.4"
_BLOCK: Final = (
    f"{_MONO};margin:0;padding:6px 8px;overflow:auto;white-space:pre-wrap;"
    "overflow-wrap:anywhere;word-break:normal;box-sizing:border-box"
)
IMAGE_SIZE_IN: Final = (7.2, 4.0)
"""Width and height of an image. It fits beside the controls on a page of 1280 pixels."""
_IMAGE_DPI: Final = 84
_IMAGE_SCALE: Final = 1.5
"""Pixels of an image for each pixel of the page, for screens of a high resolution."""


class SafeHtml(str):
    """A string of HTML, which ``html`` does not escape again."""

    __slots__ = ()


def html(text: object) -> SafeHtml:
    """Return ``text`` as HTML. Escapes it, unless it is SafeHtml."""
    if isinstance(text, SafeHtml):
        return text
    return SafeHtml(escape(visible(str(text), keep_lines=True)))


def bold(text: object) -> SafeHtml:
    """Return the text in bold type."""
    return SafeHtml(f"<b>{html(text)}</b>")


def highlight(text: object) -> SafeHtml:
    """Return the text in a frame and bold type. It stands out without colour too."""
    return SafeHtml(f'<mark style="font-weight:bold;outline:1px solid">{html(text)}</mark>')


def inverse(text: object) -> SafeHtml:
    """Return the text in the colour of the background, to mark one piece of highlighted text."""
    return SafeHtml(f'<b class="lorafw-inverse" style="outline:1px solid">{html(text)}</b>')


def chip(text: object, mood: Mood, *, large: bool = False) -> SafeHtml:
    """Return a status as a chip.

    Args:
        text: The status with its symbol. It says everything that the colour says.
        mood: Which colour the chip has.
        large: Whether the chip is large, for the most important status of a panel.
    """
    size = " lorafw-large" if large else ""
    return SafeHtml(f'<b class="lorafw-chip lorafw-{mood}{size}">{html(text)}</b>')


def key_figures(*figures: tuple[str, object]) -> SafeHtml:
    """Return the most important figures, in large type.

    Args:
        *figures: Pairs of a name and a value.
    """
    pairs = [f"<div><dt>{html(name)}</dt><dd>{html(value)}</dd></div>" for name, value in figures]
    return SafeHtml(f'<dl class="lorafw-figures">{"".join(pairs)}</dl>')


def quiet(text: object) -> SafeHtml:
    """Return a remark in less prominent type."""
    return SafeHtml(f'<div class="lorafw-quiet" style="margin-top:6px">{html(text)}</div>')


def preformatted(text: object, *, height_px: int | None = None) -> SafeHtml:
    """Return the text as a block in a monospaced font.

    Args:
        text: The text, or HTML.
        height_px: If the block is higher, it scrolls. None means that the block is as high as its text.
    """
    if height_px is None:
        return SafeHtml(f'<pre style="{_BLOCK}">{html(text)}</pre>')
    # With a tabindex the block can be scrolled by keyboard.
    return SafeHtml(f'<pre style="{_BLOCK};max-height:{height_px}px" tabindex="0">{html(text)}</pre>')


def break_anywhere(text: object) -> SafeHtml:
    """Return the text so that a line can break at any character. For one long word."""
    return SafeHtml(f'<span style="word-break:break-all">{html(text)}</span>')


def keep_on_one_line(text: object) -> SafeHtml:
    """Return the text so that no line breaks in it."""
    return SafeHtml(f'<span style="white-space:nowrap">{html(text)}</span>')


def heading(text: object) -> SafeHtml:
    """Return the text as a small heading."""
    return SafeHtml(f'<div class="lorafw-heading" style="font-weight:bold">{html(text)}</div>')


def side_by_side(*parts: tuple[object, int]) -> SafeHtml:
    """Return the parts beside each other, or below each other if the page is too narrow.

    Args:
        *parts: Pairs of a text or HTML, and the width that it needs in pixels.
    """
    style = "min-width:0;max-width:100%"
    cells = "".join(f'<div style="flex:1 1 {width}px;{style}">{html(part)}</div>' for part, width in parts)
    return SafeHtml(f'<div style="display:flex;flex-wrap:wrap;gap:4px 24px;align-items:flex-start">{cells}</div>')


def image(picture: AccessibleFigure) -> SafeHtml:
    """Return a figure as an image with its alternative text. Changes the size of the figure."""
    picture.figure.set_size_inches(*IMAGE_SIZE_IN)
    content = io.BytesIO()
    picture.figure.savefig(content, format="png", dpi=_IMAGE_DPI * _IMAGE_SCALE, metadata={"Software": None})
    source = base64.b64encode(content.getvalue()).decode()
    style = f"width:{IMAGE_SIZE_IN[0] * _IMAGE_DPI:.0f}px;max-width:100%;margin-top:6px"
    return SafeHtml(f'<img alt="{escape(visible(picture.alt))}" src="data:image/png;base64,{source}" style="{style}">')


def table(head: Sequence[str], rows: Iterable[Sequence[object]], caption: str) -> SafeHtml:
    """Return a table.

    Args:
        head: The headings of the columns.
        rows: The cells of each row, text or HTML.
        caption: The title of the table. A screen reader says it first.
    """
    top = "".join(f'<th scope="col" style="{_CELL}">{html(cell)}</th>' for cell in head)
    body = "".join(map(_table_row, rows))
    title = f'<caption style="text-align:left;font-weight:bold;padding:4px 0">{html(caption)}</caption>'
    style = "border-collapse:collapse;margin:0;font-size:13px"
    return SafeHtml(f'<table style="{style}">{title}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>')


def _table_row(cells: Sequence[object]) -> str:
    columns = "".join(f'<td style="{_CELL}">{html(cell)}</td>' for cell in cells)
    return f"<tr>{columns}</tr>"


def view(content: str) -> SafeHtml:
    """Return HTML as the view of a panel, to which the style sheet of the panels applies."""
    return SafeHtml(f'<div class="lorafw-view">{content}</div>')


def is_panel_html(text: str) -> bool:
    """Return whether this HTML is the view of a panel.

    Every panel shows a table with a caption. No other output of the lessons does.
    """
    return "<caption" in text


def text_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table as plain text, with its columns aligned.

    Args:
        head: The headings of the columns.
        rows: The cells of each row.
    """
    lines = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(_aligned(line, widths) for line in lines)


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Return the cells as one line, each as wide as its column, without blanks at the end."""
    padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
    return "  ".join(padded).rstrip()
