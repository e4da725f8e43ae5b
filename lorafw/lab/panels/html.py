"""Tables and blocks of text for the panels, as HTML and as plain text, from the same rows.

Nothing depends on colour: everything that matters is also a word, a symbol, bold type or a frame. Text and background
take the colours of the page, so that a dark theme stays readable.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Final

from lorafw.text import visible

if TYPE_CHECKING:
    from lorafw.lab.plots.figure import AccessibleFigure

_CELL: Final = "padding:2px 10px 2px 4px;border:1px solid rgba(128,128,128,.55);text-align:left;vertical-align:top"
_MONO: Final = "font-family:ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;font-size:12px;line-height:1.45"
_BLOCK: Final = (
    f"{_MONO};margin:0;padding:6px 8px;border:1px solid rgba(128,128,128,.55);overflow:auto;white-space:pre-wrap;"
    "overflow-wrap:anywhere;word-break:normal;box-sizing:border-box;color:inherit;background:transparent"
)
_IMAGE_SIZE_IN: Final = (6.6, 3.7)
"""Width and height of an image. Two of them fit beside each other on 1280 pixels."""
_IMAGE_DPI: Final = 84


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
    """Return the text in a frame and bold type, which stand out without colour, too."""
    style = "background:#ffe27a;color:#000;font-weight:bold;outline:1px solid #000"
    return SafeHtml(f'<mark style="{style}">{html(text)}</mark>')


def inverse(text: object) -> SafeHtml:
    """Return the text in white on black, to mark one piece of highlighted text."""
    return SafeHtml(f'<b style="background:#000;color:#fff;outline:1px solid #fff">{html(text)}</b>')


def preformatted(text: object, *, height_px: int | None = None) -> SafeHtml:
    """Return the text as a block in a monospaced font.

    Args:
        text: The text, or HTML.
        height_px: If the block is higher, it scrolls. None: the block is as high as its text.
    """
    if height_px is None:
        return SafeHtml(f'<pre style="{_BLOCK}">{html(text)}</pre>')
    # With a tabindex the block can be scrolled by keyboard.
    return SafeHtml(f'<pre style="{_BLOCK};max-height:{height_px}px" tabindex="0">{html(text)}</pre>')


def break_anywhere(text: object) -> SafeHtml:
    """Return the text so that a line can break at any character. For one long word."""
    return SafeHtml(f'<span style="word-break:break-all">{html(text)}</span>')


def heading(text: object) -> SafeHtml:
    """Return the text as a small heading."""
    return SafeHtml(f'<div style="font-weight:bold;margin:8px 0 2px 0">{html(text)}</div>')


def side_by_side(*parts: tuple[object, int]) -> SafeHtml:
    """Return the parts beside each other, or below each other if the page is too narrow.

    Args:
        *parts: Pairs of a text or HTML, and the width that it needs in pixels.
    """
    style = "min-width:0;max-width:100%;overflow-x:auto"
    cells = "".join(f'<div style="flex:1 1 {width}px;{style}">{html(part)}</div>' for part, width in parts)
    return SafeHtml(f'<div style="display:flex;flex-wrap:wrap;gap:4px 14px;align-items:flex-start">{cells}</div>')


def image(picture: AccessibleFigure) -> SafeHtml:
    """Return a figure as an image with its alternative text. Changes the size of the figure."""
    picture.figure.set_size_inches(*_IMAGE_SIZE_IN)
    content = io.BytesIO()
    picture.figure.savefig(content, format="png", dpi=_IMAGE_DPI, metadata={"Software": None})
    source = base64.b64encode(content.getvalue()).decode()
    return SafeHtml(
        f'<img alt="{escape(visible(picture.alt))}" src="data:image/png;base64,{source}" style="max-width:100%">'
    )


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
    style = "border-collapse:collapse;margin:4px 0;font-size:13px"
    return SafeHtml(f'<table style="{style}">{title}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>')


def _table_row(cells: Sequence[object]) -> str:
    columns = "".join(f'<td style="{_CELL}">{html(cell)}</td>' for cell in cells)
    return f"<tr>{columns}</tr>"


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
