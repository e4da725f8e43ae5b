"""`lorafw lab`: the lessons in JupyterLab, or as an application in Voila."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import NoReturn

import click

from lorafw.cli.console import echo
from lorafw.errors import LabError

_FOLDER = click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of your working copy of the lessons.  [default: ~/lorafw-lessons]",
)


@click.group(invoke_without_command=True)
@_FOLDER
@click.option("--port", type=click.IntRange(1, 65535), help="Port.  [default: the first free one from 8888 on]")
@click.option("--browser/--no-browser", default=True, help="Open a browser, or only print the address.")
@click.option("--app", is_flag=True, help="The lessons as an application (Voila): no code, only text and widgets.")
@click.pass_context
def lab(context: click.Context, *, folder: Path | None, port: int | None, browser: bool, app: bool) -> None:
    """Open the lessons: JupyterLab on lesson 00, on this machine alone. Ctrl-C ends it.

    You work in a copy of your own; what you change in it stays. 'lorafw lab reset' gives fresh lessons and moves
    yours into a folder beside them. Nothing needs the network.
    """
    if context.invoked_subcommand is not None:
        context.obj = folder
        return
    from lorafw.lab.jupyter import LabServer, sign_unchanged_lessons  # noqa: PLC0415
    from lorafw.lab.lessons import WorkingCopy, default_folder  # noqa: PLC0415

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    # A script that starts a command in the background lets it ignore Ctrl-C's signal; whoever sends it here means it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    copy = WorkingCopy((folder or default_folder()).absolute())
    copy.bring_up_to_date()
    sign_unchanged_lessons(copy)
    echo(f"Starting {'Voila' if app else 'JupyterLab'} ...", err=True)
    status = 0
    try:
        with LabServer(copy, port=port, browser=browser, app=app) as server:
            echo(f"\nThe lessons are open at\n\n    {server.url}\n")
            echo(f"Your copy of them is in {copy.path}. Ctrl-C ends the lab; 'lorafw lab reset' starts afresh.")
            status = server.wait()
    except KeyboardInterrupt:
        pass
    echo("\nThe lab has ended.")
    context.exit(status)


@lab.command()
@_FOLDER
@click.pass_obj
def reset(above: Path | None, folder: Path | None) -> None:
    """Fresh lessons, for you or for the next group.

    The lessons that were changed are moved into a folder of their own beside the fresh ones: kept-1, the next time
    kept-2. Files that are not lessons stay as they are. A lab that is open on the folder has to be ended first.
    """
    from lorafw.lab.jupyter import is_lab_running  # noqa: PLC0415
    from lorafw.lab.lessons import WorkingCopy, default_folder  # noqa: PLC0415

    copy = WorkingCopy((folder or above or default_folder()).absolute())
    if is_lab_running(copy):
        raise LabError(f"a lab is open on {copy.path}: close its pages and end it with Ctrl-C, then reset")
    kept = copy.reset()
    echo(f"Fresh lessons are in {copy.path}.")
    if kept:
        echo(f"The lessons that were changed are in {copy.path / kept[0].folder}:")
    for one in kept:
        echo(f"    {one.lesson}")


def _end(*_: object) -> NoReturn:
    sys.exit(0)
