"""The report as Markdown, with its pictures in files beside it.

Everything that comes from the account or from people is escaped. It can become neither markup nor a link.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

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

_MARKUP: Final = re.compile(r"([\\`*_~\[\]|#])")
_LINKS: Final = re.compile(r"(?i)://|(?<=www)\.|@")
"""What makes some readers of Markdown take a word for an address or for a person, without any markup."""


def format_markdown(report: Report, pictures: Mapping[str, str] | None = None) -> str:
    """Return a report as Markdown.

    Args:
        report: The report.
        pictures: The alternative text of each picture, by the name of its file. None for a report without pictures.
    """
    document = report.document
    not_completed = len(document["not_completed"])
    paragraphs = [
        [f"# Rollout {_text(document['name'])}: {document['state']}"],
        [_text(document["reason"])],
        _table(("plan", ""), list_facts(document)),
        ["## Waves: what was planned, predicted and seen"],
        _waves(document),
        *_pictures(pictures or {}),
        [f"## Tasks: {describe_tasks(document)}"],
        _sentences([describe_calls(document), *SAFEGUARDS]),
        *_failures(document),
        ["## Decisions: when, who, what and why"],
        _decisions(document),
        [f"## Gateways that are not COMPLETED: {not_completed} of {document['gateways']}"],
        _gateways(document),
        *_without_task(document),
        *_assumptions(document),
    ]
    return "\n\n".join("\n".join(lines) for lines in paragraphs if lines) + "\n"


def write_markdown(report: Report, path: Path | str, pictures: Sequence[Picture] = ()) -> list[Path]:
    """Write a report to a Markdown file, and its pictures to PNG files beside it.

    Args:
        report: The report.
        path: The file. Existing files are replaced.
        pictures: Pictures of the waves.

    Returns:
        The files that were written. The Markdown file is the last one.

    Raises:
        OSError: A file cannot be written.
    """
    path = Path(path)
    alt_by_name = {}
    written = []
    for number, picture in enumerate(pictures, 1):
        file = path.with_name(f"{path.stem}-wave-{number}.png")
        write_atomic(file, picture.png())
        alt_by_name[file.name] = picture.alt
        written.append(file)
    write_atomic(path, format_markdown(report, alt_by_name))
    return [*written, path]


def _pictures(pictures: Mapping[str, str]) -> list[list[str]]:
    """Return a paragraph for each picture."""
    return [[f"![{_text(alt)}]({quote(name)})"] for name, alt in pictures.items()]


def _failures(document: Mapping[str, Any]) -> list[list[str]]:
    """Return the heading and the list about what the FAILED tasks mean. Empty if there are none."""
    if not document["failures"]:
        return []
    return [["## FAILED tasks: what they mean"], _sentences(document["failures"])]


def _sentences(sentences: Iterable[str]) -> list[str]:
    """Return the lines of a list of sentences."""
    return [f"- {_text(sentence)}" for sentence in sentences]


def _waves(document: Mapping[str, Any]) -> list[str]:
    """Return the table of the waves."""
    rows = []
    for number, (wave, gate) in enumerate(zip(document["waves"], document["planned"]["gates"], strict=True), 1):
        rows.append((number, wave["size"], wave["state"], describe_seen(wave), describe_predicted(wave), gate))
    return _table(("wave", "gateways", "state", "seen", "predicted", "gate"), rows)


def _decisions(document: Mapping[str, Any]) -> list[str]:
    """Return the table of the decisions."""
    if not document["decisions"]:
        return ["None yet: apply has not started."]
    rows = [(each["time"], each["actor"], each["decision"], describe_reason(each)) for each in document["decisions"]]
    return [_text(describe_deciders(document)), "", *_table(("time (UTC)", "who", "decision", "reason"), rows)]


def _gateways(document: Mapping[str, Any]) -> list[str]:
    """Return the table of the gateways that are not COMPLETED and have a reason of their own."""
    rows = []
    for gateway in gateways_with_reason(document):
        explanation = [line.strip() for line in gateway["explanation"]]
        reason = "; ".join([gateway["reason"], *explanation])
        rows.append((gateway["gateway"], gateway["wave"], gateway["status"], gateway["attempt"], reason))
    if not rows:
        return []
    return _table(("gateway", "wave", "status", "attempt", "reason"), rows)


def _without_task(document: Mapping[str, Any]) -> list[list[str]]:
    """Return a paragraph for each wave with gateways that were not given a task."""
    paragraphs = []
    for wave, ids in without_task(document).items():
        names = _text(", ".join(ids))
        paragraphs.append([f"Wave {wave}: {len(ids)} gateways were not given a task: {names}."])
    return paragraphs


def _assumptions(document: Mapping[str, Any]) -> list[list[str]]:
    """Return the heading and the table of what the prediction assumes. Empty if the plan lists nothing."""
    planned = document["planned"]
    if not planned["assumptions"]:
        return []
    title = f"## What the prediction assumes ({planned['replications']:,} simulated rollouts)"
    return [[title], _table(("quantity", "value", "source"), planned["assumptions"])]


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return the lines of a table."""
    return [_row(head), _row(["---"] * len(head)), *map(_row, rows)]


def _row(cells: Sequence[object]) -> str:
    """Return one line of a table."""
    return f"| {' | '.join(map(_text, cells))} |"


def _text(value: object) -> str:
    """Return a text on one line, in which nothing is markup or a link."""
    escaped = _MARKUP.sub(r"\\\1", escape(visible(str(value)), quote=False))
    return _LINKS.sub(_as_entity, escaped)


def _as_entity(match: re.Match[str]) -> str:
    """Return what was found, with its first character as an entity."""
    found = match.group()
    return f"&#{ord(found[0])};{found[1:]}"
