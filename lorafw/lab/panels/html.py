"""Tables and blocks of text for the panels, as HTML and as plain text, from the same rows.

Nothing here speaks through colour: what matters is a word, a sign, bold type or a frame. Colours are those of the page
around it, so that a dark theme stays readable.
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
_INCHES: Final = (6.6, 3.7)
_DPI: Final = 84
"""Two pictures fit beside each other on 1280 pixels."""


class SafeHtml(str):
    """Text that is HTML already, and is not escaped again."""

    __slots__ = ()


def html(text: object) -> SafeHtml:
    """``text`` as HTML: escaped, unless it is HTML."""
    return text if isinstance(text, SafeHtml) else SafeHtml(escape(visible(str(text), keep_lines=True)))


def bold(text: object) -> SafeHtml:
    return SafeHtml(f"<b>{html(text)}</b>")


def highlight(text: object) -> SafeHtml:
    """Stands out by a frame and bold type, in grey as in colour."""
    style = "background:#ffe27a;color:#000;font-weight:bold;outline:1px solid #000"
    return SafeHtml(f'<mark style="{style}">{html(text)}</mark>')


def inverse(text: object) -> SafeHtml:
    """White on black: one thing within what is marked."""
    return SafeHtml(f'<b style="background:#000;color:#fff;outline:1px solid #fff">{html(text)}</b>')


def preformatted(text: object, *, height_px: int | None = None) -> SafeHtml:
    """Text in type of equal width; scrolls, also by keyboard, where it is higher than ``height_px``."""
    limit = f";max-height:{height_px}px" if height_px else ""
    focus = ' tabindex="0"' if height_px else ""
    return SafeHtml(f'<pre style="{_BLOCK}{limit}"{focus}>{html(text)}</pre>')


def break_anywhere(text: object) -> SafeHtml:
    """One long word that may be broken anywhere."""
    return SafeHtml(f'<span style="word-break:break-all">{html(text)}</span>')


def heading(text: object) -> SafeHtml:
    return SafeHtml(f'<div style="font-weight:bold;margin:8px 0 2px 0">{html(text)}</div>')


def side_by_side(*parts: tuple[object, int]) -> SafeHtml:
    """Parts, each with the width in pixels that it needs, beside each other where the page has room for them."""
    style = "min-width:0;max-width:100%;overflow-x:auto"
    cells = "".join(f'<div style="flex:1 1 {width}px;{style}">{html(part)}</div>' for part, width in parts)
    return SafeHtml(f'<div style="display:flex;flex-wrap:wrap;gap:4px 14px;align-items:flex-start">{cells}</div>')


def image(picture: AccessibleFigure) -> SafeHtml:
    """A picture as wide as its place, with its words beside it for whoever does not see it."""
    picture.figure.set_size_inches(*_INCHES)
    content = io.BytesIO()
    picture.figure.savefig(content, format="png", dpi=_DPI, metadata={"Software": None})
    source = base64.b64encode(content.getvalue()).decode()
    return SafeHtml(
        f'<img alt="{escape(visible(picture.alt))}" src="data:image/png;base64,{source}" style="max-width:100%">'
    )


def table(head: Sequence[str], rows: Iterable[Sequence[object]], caption: str) -> SafeHtml:
    """A table with its caption; ``caption`` is what a screen reader says first."""
    top = "".join(f'<th scope="col" style="{_CELL}">{html(cell)}</th>' for cell in head)
    body = "".join("<tr>" + "".join(f'<td style="{_CELL}">{html(cell)}</td>' for cell in row) + "</tr>" for row in rows)
    title = f'<caption style="text-align:left;font-weight:bold;padding:4px 0">{html(caption)}</caption>'
    style = "border-collapse:collapse;margin:4px 0;font-size:13px"
    return SafeHtml(f'<table style="{style}">{title}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>')


def is_panel_html(text: str) -> bool:
    """Is this HTML what a panel shows of itself? Each of them shows a table with a caption, and nothing else does."""
    return "<caption" in text


def text_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """The same as text: columns under their heads."""
    lines = [tuple(map(str, head)), *(tuple(map(str, row)) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
