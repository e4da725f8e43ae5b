"""`lorafw rollout status`: what a rollout is doing, from its journal."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from lorafw.cli.console import echo
from lorafw.cli.rollout import (
    JOURNAL_OPTION,
    PLAN_ARGUMENT,
    ProgressPrinter,
    finish_with_status,
    journal_of,
    load_plan,
)

if TYPE_CHECKING:
    from lorafw.rollout import SavedPlan
    from lorafw.rollout.state import RolloutState

WATCH_INTERVAL_S: Final = 2.0


@click.command()
@PLAN_ARGUMENT
@JOURNAL_OPTION
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--watch", is_flag=True, help="Print the status again whenever it changes, until the rollout has ended.")
def status(*, plan_file: Path, journal: Path | None, as_json: bool, watch: bool) -> None:
    """Print what a rollout is doing and why, what happens next, and what you can do. Sends nothing.

    It reads the journal, while 'apply' runs or afterwards. 'report' names the gateways that are left.

    In a script, use the exit status or 'state' of --json. The exit status is 0 if the rollout is completed, 1 after an
    error, 2 if the command was wrong, 3 aborted, 4 planned or running, 5 holding, 6 paused, and 7 failed. 'state' is
    one of these words. failed means that all waves have ended and a gate did not pass.
    """
    from lorafw.rollout import read_state, status_document  # noqa: PLC0415 -- keeps --help fast
    from lorafw.rollout.file_system import is_locked  # noqa: PLC0415
    from lorafw.rollout.status import EXIT_STATUS, describe_state  # noqa: PLC0415

    saved, path = load_plan(plan_file), journal_of(plan_file, journal)
    state = read_state(saved, path)
    if watch:
        state = _watch(saved, path)
    is_running = is_locked(path)
    if as_json:
        document = status_document(state)
        document["apply_is_running"] = is_running
        echo(json.dumps(document, indent=4))
        sys.exit(EXIT_STATUS[describe_state(state).name])
    if state.started_ms is not None and state.finished is None and not is_running:
        echo(f"'apply' is not running. Nothing is created or checked before you run: lorafw rollout apply {plan_file}")
    finish_with_status(state)


def _watch(saved: SavedPlan, path: Path) -> RolloutState:
    """Print a line whenever the state changes, and return the last state."""
    from lorafw.rollout import read_state  # noqa: PLC0415 -- keeps --help fast

    show_progress = ProgressPrinter()
    state = read_state(saved, path)
    while state.finished is None:
        show_progress(state)
        time.sleep(WATCH_INTERVAL_S)
        state = read_state(saved, path)
    return state
