"""`lorafw rollout report`: tell how a rollout went, as text, JSON, HTML, Markdown, CSV and Parquet."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lorafw.cli.console import echo, echo_highlighted
from lorafw.cli.rollout import JOURNAL_OPTION, PLAN_ARGUMENT, journal_of, load_plan

if TYPE_CHECKING:
    from lorafw.lab.plots.figure import AccessibleFigure
    from lorafw.rollout import Report, SavedPlan

WRITABLE = click.Path(dir_okay=False, writable=True, path_type=Path)
Write = Callable[["Report"], str]
"""Writes a report to a file. Returns the name of the file and what is in it."""


@click.command()
@PLAN_ARGUMENT
@JOURNAL_OPTION
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--explain",
    "asks_lab",
    is_flag=True,
    help="Ask the running 'lorafw serve' why gateways with a task are not COMPLETED, as 'lorafw explain' does.",
)
@click.option(
    "--html",
    type=WRITABLE,
    metavar="FILE",
    help="Write an HTML page with pictures. It needs no other file and no network (needs matplotlib).",
)
@click.option(
    "--markdown",
    type=WRITABLE,
    metavar="FILE",
    help="Write Markdown, and its pictures beside it: FILE.md has FILE-wave-1.png (needs matplotlib).",
)
@click.option("--csv", type=WRITABLE, metavar="FILE", help="Write the task log. Its times are ms since the start.")
@click.option("--parquet", type=WRITABLE, metavar="FILE", help="Write the task log as Parquet (needs pyarrow).")
def report(
    *,
    plan_file: Path,
    journal: Path | None,
    as_json: bool,
    asks_lab: bool,
    html: Path | None,
    markdown: Path | None,
    csv: Path | None,
    parquet: Path | None,
) -> None:
    """Tell what was planned, predicted and seen, who decided what and why, and every gateway that is not COMPLETED.

    Reads the plan and the journal, while 'apply' runs or afterwards, and sends nothing to AWS. The report is printed.
    The files that you name are written as well, each as a whole; existing files are replaced.

    \b
      lorafw rollout report rollout.plan --html report.html --csv log.csv
    """  # noqa: D301 -- \b is the character with which click keeps line breaks
    writers = _writers(html, markdown, csv, parquet)
    from lorafw.rollout import format_report, read_report  # noqa: PLC0415 -- keeps --help fast

    saved = load_plan(plan_file)
    explain = _ask_lab(saved) if asks_lab else None
    found = read_report(saved, journal_of(plan_file, journal), explain)
    if as_json:
        echo(json.dumps(found.document, indent=4))
    else:
        echo_highlighted(format_report(found.document))
    for write in writers:
        echo(f"Wrote {write(found)}", err=True)


def _ask_lab(saved: SavedPlan) -> Callable[[str], list[str]]:
    """Return a function that asks the running lab about a gateway. Raises LabError if no lab is known."""
    if saved.target.kind != "lab":
        raise click.UsageError(f"--explain asks a lab, and the plan is for {saved.target}; AWS explains nothing")
    from lorafw.localaws.lab_endpoint import LabEndpoint, find_service_url  # noqa: PLC0415 -- keeps --help fast
    from lorafw.localaws.remote_explanation import request_explanation  # noqa: PLC0415

    endpoint = LabEndpoint(find_service_url(os.environ), saved.target.region)

    def explain(gateway: str) -> list[str]:
        lines: list[str] = request_explanation(endpoint, gateway)["lines"]
        return lines

    return explain


def _writers(html: Path | None, markdown: Path | None, csv: Path | None, parquet: Path | None) -> list[Write]:
    """Return the functions that write the requested files.

    Imports the libraries that they need, so that a missing one is reported before anything is printed or written.
    """
    writers: list[Write] = []
    if html is not None:
        writers.append(_html_writer(html))
    if markdown is not None:
        writers.append(_markdown_writer(markdown))
    if csv is not None:
        writers.append(_csv_writer(csv))
    if parquet is not None:
        writers.append(_parquet_writer(parquet))
    return writers


def _html_writer(path: Path) -> Write:
    """Return a function that writes the HTML page."""
    draw = _picture_of_each_wave("--html")

    def write(found: Report) -> str:
        from lorafw.rollout import write_html  # noqa: PLC0415 -- keeps --help fast

        pictures = draw(found)
        write_html(found, path, pictures)
        return f"{path}: {len(pictures)} pictures"

    return write


def _markdown_writer(path: Path) -> Write:
    """Return a function that writes the Markdown file and its pictures."""
    draw = _picture_of_each_wave("--markdown")

    def write(found: Report) -> str:
        from lorafw.rollout import write_markdown  # noqa: PLC0415 -- keeps --help fast

        *pictures, _ = write_markdown(found, path, draw(found))
        return f"{path}: pictures in {', '.join(picture.name for picture in pictures)}"

    return write


def _picture_of_each_wave(option: str) -> Callable[[Report], list[AccessibleFigure]]:
    """Return a function that draws each wave. Raises click.ClickException if matplotlib is not installed."""
    try:
        from lorafw.lab.plots import wave_course  # noqa: PLC0415 -- matplotlib is slow to import
    except ImportError as error:
        raise click.ClickException(f"{option} needs matplotlib: pip install 'lorafw[lab]'") from error

    def draw(found: Report) -> list[AccessibleFigure]:
        return [wave_course(course) for course in found.courses]

    return draw


def _csv_writer(path: Path) -> Write:
    """Return a function that writes the task log as CSV."""

    def write(found: Report) -> str:
        from lorafw.rollout import write_csv  # noqa: PLC0415 -- keeps --help fast

        return f"{path}: {write_csv(found, path)} rows"

    return write


def _parquet_writer(path: Path) -> Write:
    """Return a function that writes the task log as Parquet."""
    from lorafw.fleet.io.parquet import load_pyarrow  # noqa: PLC0415 -- NumPy is slow to import

    load_pyarrow()

    def write(found: Report) -> str:
        from lorafw.rollout import write_parquet  # noqa: PLC0415 -- keeps --help fast

        return f"{path}: {write_parquet(found, path)} rows"

    return write
