"""Colour for what a person reads; click takes it off where no terminal is there."""

from __future__ import annotations

import re
from typing import Final

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
    """Print lines of text, with commands, statuses and warnings standing out. The words alone say everything, too."""
    text = visible(text, keep_lines=True)
    for pattern, style in _STYLES:
        text = pattern.sub(lambda match, style=style: click.style(match[0], **style), text)  # type: ignore[misc]
    click.echo(text)


def echo(text: str = "", *, nl: bool = True, err: bool = False) -> None:
    """Print lines of text without colour. Nothing in them reaches the terminal as a control character."""
    click.echo(visible(text, keep_lines=True), nl=nl, err=err)
