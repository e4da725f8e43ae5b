"""`lorafw lab`: open the lessons in JupyterLab, or as an application in Voila."""

from __future__ import annotations

import contextlib
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from lorafw.cli.console import echo
from lorafw.errors import LabError

if TYPE_CHECKING:
    from lorafw.lab.lessons import WorkingCopy

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
@click.option("--app", is_flag=True, help="Show the lessons as an application (Voila): text and widgets without code.")
@click.pass_context
def lab(context: click.Context, *, folder: Path | None, port: int | None, browser: bool, app: bool) -> None:
    """Open lesson 00 in JupyterLab, on this machine only. Ctrl-C ends it.

    You work in your own copy of the lessons, and your changes are kept. 'lorafw lab reset' restores the original
    lessons and moves yours into a folder beside them. No network is needed.
    """
    if context.invoked_subcommand is not None:
        context.obj = folder
        return
    from lorafw.lab.jupyter import sign_unchanged_lessons  # noqa: PLC0415 -- Jupyter is slow to import
    from lorafw.lab.lessons import WorkingCopy, default_folder  # noqa: PLC0415

    _handle_signals()
    copy = WorkingCopy((folder or default_folder()).absolute())
    copy.update()
    sign_unchanged_lessons(copy)
    status = 0
    with contextlib.suppress(KeyboardInterrupt):
        status = _serve_lessons(copy, port=port, browser=browser, app=app)
    echo("\nThe lab has ended.")
    context.exit(status)


def _handle_signals() -> None:
    """End the process in an orderly way on SIGTERM and SIGHUP, and raise KeyboardInterrupt on SIGINT."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _exit_on_signal)
    # A shell lets a command that a script starts in the background ignore SIGINT. If a SIGINT arrives, it is meant.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _exit_on_signal(*_: object) -> NoReturn:
    sys.exit(0)


def _serve_lessons(copy: WorkingCopy, *, port: int | None, browser: bool, app: bool) -> int:
    """Start the server, print its address and wait until it ends. Return its exit status."""
    from lorafw.lab.jupyter import JupyterLabServer, VoilaServer  # noqa: PLC0415 -- Jupyter is slow to import

    server_class = VoilaServer if app else JupyterLabServer
    echo(f"Starting {server_class.title} ...", err=True)
    with server_class(copy, port=port, browser=browser) as server:
        echo(f"\nThe lessons are open at\n\n    {server.url}\n")
        echo(f"Your copy of them is in {copy.path}. Ctrl-C ends the lab; 'lorafw lab reset' restores the lessons.")
        return server.wait()


@lab.command()
@_FOLDER
@click.pass_obj
def reset(parent_folder: Path | None, folder: Path | None) -> None:
    """Restore the original lessons, for yourself or for the next group.

    Lessons that were changed are moved into a folder beside the new ones: kept-1, the next time kept-2. Other files
    are not touched. End a lab that is open on the folder first.
    """
    from lorafw.lab.jupyter import is_lab_running  # noqa: PLC0415 -- Jupyter is slow to import
    from lorafw.lab.lessons import WorkingCopy, default_folder  # noqa: PLC0415

    copy = WorkingCopy((folder or parent_folder or default_folder()).absolute())
    if is_lab_running(copy):
        raise LabError(f"a lab is open on {copy.path}: close its pages and end it with Ctrl-C, then reset")
    kept = copy.reset()
    echo(f"Fresh lessons are in {copy.path}.")
    if kept:
        echo(f"The lessons that were changed are in {copy.path / kept[0].folder}:")
    for changed_lesson in kept:
        echo(f"    {changed_lesson.lesson}")
