"""The report as one HTML file that needs nothing else: no script, no network, and its pictures inside.

Jinja2 fills the template. It escapes everything that is inserted, so that a name in the account or the output of a hook
cannot become a part of the page. The page also forbids itself to load or to run anything (Content-Security-Policy).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from lorafw.atomic import write_atomic
from lorafw.rollout.one_task import SAFEGUARDS, describe_calls, describe_tasks
from lorafw.rollout.report.report import Picture, Report
from lorafw.rollout.report.text import (
    describe_deciders,
    describe_predicted,
    describe_reason,
    describe_seen,
    gateways_with_reason,
    list_facts,
    without_task,
)
from lorafw.text import visible

_FOLDER: Final = Path(__file__).parent
_TEMPLATE: Final = "report.html.jinja"
_STYLE_SHEET: Final = "report.css"

STATE_SIGNS: Final[Mapping[str, str]] = {
    "planned": "○",
    "running": "▶",
    "holding": "◆",
    "paused": "Ⅱ",
    "completed": "✔",
    "aborted": "✖",
    "failed": "✖",
}
"""A sign for each state. It says the same as the colour."""


def format_html(report: Report, pictures: Sequence[Picture] = ()) -> str:
    """Return a report as an HTML page.

    Args:
        report: The report.
        pictures: Pictures of the waves, such as ``lorafw.lab.plots.wave_course`` draws. They become a part of the page.
    """
    document = report.document
    return _template().render(
        report=document,
        facts=list_facts(document),
        waves=_waves(document),
        tasks=describe_tasks(document),
        safeguards=[describe_calls(document), *SAFEGUARDS],
        pictures=[_picture(picture) for picture in pictures],
        gateways=gateways_with_reason(document),
        without_task=without_task(document),
        describe_deciders=describe_deciders,
        describe_reason=describe_reason,
        state_signs=STATE_SIGNS,
    )


def write_html(report: Report, path: Path | str, pictures: Sequence[Picture] = ()) -> None:
    """Write a report to an HTML file, as a whole or not at all.

    Args:
        report: The report.
        path: The file. An existing one is replaced.
        pictures: Pictures of the waves.

    Raises:
        OSError: The file cannot be written.
    """
    write_atomic(Path(path), format_html(report, pictures))


@cache
def _template() -> Template:
    """Return the template, which escapes what is inserted and fails if a name is missing."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_show_invisible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style_sheet = (_FOLDER / _STYLE_SHEET).read_text(encoding="utf-8")
    return environment.get_template(_TEMPLATE, globals={"style_sheet": _Trusted(style_sheet)})


class _Trusted(str):
    """A text of lorafw that Jinja2 inserts as it is."""

    __slots__ = ()

    def __html__(self) -> str:
        """Return the text."""
        return str(self)


def _show_invisible(value: object) -> object:
    """Replace invisible characters of a text that is inserted by their escapes."""
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return visible(value, keep_lines=True)
    return value


def _waves(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the table of waves."""
    gates = document["planned"]["gates"]
    rows = []
    for number, (wave, gate) in enumerate(zip(document["waves"], gates, strict=True), 1):
        row = {"number": number, "size": wave["size"], "state": wave["state"], "gate": gate}
        rows.append({**row, "seen": describe_seen(wave), "predicted": describe_predicted(wave)})
    return rows


def _picture(picture: Picture) -> dict[str, str]:
    """Return the alternative text of a picture, and its content as base64."""
    return {"alt": picture.alt, "source": base64.b64encode(picture.svg()).decode()}
