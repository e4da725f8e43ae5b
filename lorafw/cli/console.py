"""Print text to the terminal: escape control characters and colour what should stand out.

There is no colour if the output is not a terminal, or if the variable NO_COLOR is set (https://no-color.org).
"""

from __future__ import annotations

import os
import re
from functools import partial
from typing import Any, Final

import click

from lorafw.text import visible

_STYLES: Final = (
    (re.compile(r"^\$ .*$", re.MULTILINE), {"bold": True}),
    (re.compile(r"\[\w{3}:(?:ERRO|CRIT)\].*"), {"fg": "red"}),
    (re.compile(r"\[\w{3}:WARN\].*"), {"fg": "yellow"}),
    (re.compile(r"-> VERIFIED"), {"fg": "green"}),
    (re.compile(r"-> NOT verified"), {"fg": "red"}),
    (re.compile(r"\bCOMPLETED\b"), {"fg": "green", "bold": True}),
    (re.compile(r"\bFAILED\b"), {"fg": "red", "bold": True}),
    (re.compile(r"\b(?:PENDING|IN_PROGRESS|FIRST_RETRY|SECOND_RETRY)\b"), {"fg": "cyan", "bold": True}),
)


def echo_highlighted(text: str) -> None:
    """Print text with commands, statuses and warnings in colour.

    The colours add no information. Control characters in the text are printed as escapes.
    """
    text = visible(text, keep_lines=True)
    if os.environ.get("NO_COLOR"):
        click.echo(text)
        return
    for pattern, style in _STYLES:
        text = pattern.sub(partial(_style_match, style), text)
    click.echo(text)


def _style_match(style: dict[str, Any], match: re.Match[str]) -> str:
    """Return the matched text with the colour codes of a style around it."""
    return click.style(match[0], **style)


def echo(text: str = "", *, nl: bool = True, err: bool = False) -> None:
    """Print text without colour. Control characters in it are printed as escapes.

    Args:
        text: One or more lines.
        nl: True to end with a newline.
        err: True to print to standard error instead of standard output.
    """
    click.echo(visible(text, keep_lines=True), nl=nl, err=err)
