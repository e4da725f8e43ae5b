"""`lorafw assumptions`: find out on which assumptions about AWS a script depends."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lorafw.cli.console import echo

if TYPE_CHECKING:
    from lorafw.testbed.assumptions import DependencyReport


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("script", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--decisions",
    default="all",
    show_default=True,
    metavar="NAMES",
    help="Decisions to vary, separated by commas. 'lorafw serve --policies' lists them.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0, min_open=True),
    default=300.0,
    show_default=True,
    help="Seconds that a run may last.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def assumptions(script: Path, arguments: tuple[str, ...], decisions: str, timeout_s: float, as_json: bool) -> None:
    """Run the Python file SCRIPT, which opens a Testbed, with every other answer to a decision that lorafw has assumed.

    Prints which answers change the script's exit status or its standard output. Such a script can behave differently
    at AWS. ARGUMENTS are passed to the script.
    """
    from lorafw.tasks.alternatives import select_alternatives  # noqa: PLC0415 -- keeps --help fast
    from lorafw.testbed.scripts import Script  # noqa: PLC0415

    alternatives = select_alternatives(decisions)
    report = Script(script, arguments, timeout_s).find_dependencies(alternatives)
    if as_json:
        echo(json.dumps(asdict(report), indent=4))
        return
    _print_report(script, report, len(alternatives))


def _print_report(script: Path, report: DependencyReport, alternative_count: int) -> None:
    """Print what was found, what was tried, and what could not be."""
    from lorafw.testbed.assumptions import format_untested  # noqa: PLC0415 -- keeps --help fast

    echo(f"{script}: {report.default.verdict} with lorafw's own answers.")
    echo(f"{len(report.tried)} of {alternative_count} other answers were tried. The script does not meet the others.")
    for line in report.lines():
        echo(line)
    echo(format_untested())
