"""The commands of `lorafw rollout` that work beside a running `apply`, and those for afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lorafw.cli.console import echo, echo_highlighted
from lorafw.cli.rollout import (
    JOURNAL_OPTION,
    PLAN_ARGUMENT,
    connect_to_plan,
    journal_of,
    load_plan,
    target_options,
)

if TYPE_CHECKING:
    from lorafw.rollout import Command

REASON_OPTION = click.option("--reason", required=True, help="Why. It is recorded with your name and the time.")


@click.command()
@PLAN_ARGUMENT
@JOURNAL_OPTION
@REASON_OPTION
def pause(*, plan_file: Path, journal: Path | None, reason: str) -> None:
    """Create no more tasks, and check no gate, until the rollout is resumed. Tasks that exist go on."""
    from lorafw.rollout import Command  # noqa: PLC0415 -- keeps --help fast

    _command(plan_file, journal, Command.PAUSE, reason)


@click.command()
@PLAN_ARGUMENT
@JOURNAL_OPTION
@REASON_OPTION
def resume(*, plan_file: Path, journal: Path | None, reason: str) -> None:
    """Go on after a pause."""
    from lorafw.rollout import Command  # noqa: PLC0415 -- keeps --help fast

    _command(plan_file, journal, Command.RESUME, reason)


@click.command()
@PLAN_ARGUMENT
@JOURNAL_OPTION
@REASON_OPTION
def promote(*, plan_file: Path, journal: Path | None, reason: str) -> None:
    """Go on although the rollout holds.

    What 'status' gives as the reason is accepted, and nothing else. A gate that holds counts as passed. A gateway that
    is the reason of the hold is left out of the rollout, and the gate of its wave is checked as before. A replaced
    update file is never accepted.

    If nothing holds the rollout, and all gates have passed or it was aborted, it ends without waiting for the last
    gateways.
    """
    from lorafw.rollout import Command  # noqa: PLC0415 -- keeps --help fast

    _command(plan_file, journal, Command.PROMOTE, reason)


@click.command()
@PLAN_ARGUMENT
@JOURNAL_OPTION
@REASON_OPTION
def abort(*, plan_file: Path, journal: Path | None, reason: str) -> None:
    """Stop the rollout: create no more tasks, and delete those that are PENDING.

    Gateways that were already sent the update run to their end. An update that was installed stays installed. To go
    back, roll out the old firmware as a new update.
    """
    from lorafw.rollout import Command  # noqa: PLC0415 -- keeps --help fast

    _command(plan_file, journal, Command.ABORT, reason)


def _command(plan_file: Path, journal: Path | None, chosen: Command, reason: str) -> None:
    """Write a command to the journal, and say what happens next."""
    from lorafw.rollout import Command, command, read_state  # noqa: PLC0415 -- keeps --help fast
    from lorafw.rollout.actor import local_actor  # noqa: PLC0415
    from lorafw.rollout.file_system import is_locked  # noqa: PLC0415
    from lorafw.rollout.plan_text import describe_status  # noqa: PLC0415
    from lorafw.rollout.status import can_be_promoted  # noqa: PLC0415

    saved, path = load_plan(plan_file), journal_of(plan_file, journal)
    if chosen is Command.PROMOTE and not can_be_promoted(read_state(saved, path)):
        raise click.ClickException("there is nothing that a promotion would change; see 'lorafw rollout status'")
    is_running = is_locked(path)
    state = command(saved, path, chosen, actor=local_actor(), reason=reason)
    echo_highlighted(describe_status(state))
    if not is_running:
        echo(f"apply is not running. This takes effect when you run: lorafw rollout apply {plan_file}", err=True)


@click.command()
@PLAN_ARGUMENT
@JOURNAL_OPTION
@target_options
def clean(*, plan_file: Path, journal: Path | None, lab: bool, account: str | None, ready_file: Path | None) -> None:
    """Delete the ended tasks of an ended rollout, because they block the next update.

    The journal keeps how they ended. The task definition stays. Afterwards a new plan can try the gateways that FAILED
    again: give their ids to 'lorafw rollout plan' with --fleet.
    """
    from lorafw.rollout import clean as clean_tasks  # noqa: PLC0415 -- keeps --help fast

    saved = load_plan(plan_file)
    connection = connect_to_plan(saved, lab=lab, account=account, ready_file=ready_file)
    result = clean_tasks(saved, journal_of(plan_file, journal), connection)
    text = f"Deleted {result.deleted} ended tasks; {result.left} were gone already or belong to another update"
    if result.not_ended:
        text += f"; {result.not_ended} have not ended, and go on by themselves"
    echo(f"{text}.")
