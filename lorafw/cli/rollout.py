"""`lorafw rollout`: plan a rollout, carry it out, follow it, and stop it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from lorafw.cli.console import echo, echo_highlighted
from lorafw.cli.files import read_at_most
from lorafw.cli.lazy_group import LazyCommand, LazyGroup
from lorafw.cli.numbers import FiniteRange
from lorafw.cli.rollout_inputs import FleetChoice, load_fleet
from lorafw.cli.rollout_inputs import load_plan as load_toml_plan

if TYPE_CHECKING:
    from lorafw.fleet import Fleet, Plan
    from lorafw.rollout import Connection, SavedPlan
    from lorafw.rollout.state import RolloutState

MAX_DEFINITION_BYTES: Final = 1 << 20
CONTROL_MODULE: Final = "lorafw.cli.rollout_control"
REPORT_MODULE: Final = "lorafw.cli.rollout_report"

_COMMANDS: Final = {
    "status": LazyCommand("lorafw.cli.rollout_status", "Print what a rollout is doing and why, and what you can do."),
    "pause": LazyCommand(CONTROL_MODULE, "Create no more tasks until the rollout is resumed."),
    "resume": LazyCommand(CONTROL_MODULE, "Go on after a pause."),
    "promote": LazyCommand(CONTROL_MODULE, "Go on although the rollout holds."),
    "abort": LazyCommand(CONTROL_MODULE, "Stop: create no more tasks, and delete those that are PENDING."),
    "report": LazyCommand(REPORT_MODULE, "Tell what was planned, predicted and seen, and who decided what."),
    "clean": LazyCommand(CONTROL_MODULE, "Delete the ended tasks of an ended rollout."),
}


class RolloutGroup(LazyGroup):
    """The group of ``lorafw rollout``. Some of its commands are in modules that are imported when they are called."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of all commands."""
        rows = [(name, command.summary) for name, command in self._lazy_commands.items()]
        own = [(name, command.get_short_help_str(100)) for name, command in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl([*own, *rows])


@click.group(cls=RolloutGroup, lazy_commands=_COMMANDS)
def rollout() -> None:
    """Carry out a rollout that was planned and predicted, wave by wave.

    \b
      lorafw rollout plan rollout.toml --definition input.json --lab -o rollout.plan
      lorafw rollout show rollout.plan
      lorafw rollout apply rollout.plan
      lorafw rollout status rollout.plan --watch

    'apply' can be ended with Ctrl-C, killed, or lose its power at any moment, and the machine can sleep: tasks that
    exist go on by themselves. After a sleep 'apply' continues by itself; otherwise run it again, and it continues.

    No gateway gets a second task: 'apply' writes to its journal that it will create a task, and creates it then. After
    a crash it asks AWS first whether the task exists. It holds if AutoCreateTasks of another definition would create
    tasks as well. 'status' and 'report' count the tasks of each gateway.

    A second 'apply' with the same journal is refused. If a plan has been started with another journal, for example on
    another machine, 'apply' holds before it creates a task; use the first journal. If two of them start at the same
    moment, AWS still refuses a second task for a gateway that has one, and both follow the same tasks. Two rollouts can
    run at the same time if no gateway is in both. If one is in both, the later rollout holds.

    'apply' and 'clean' work only in the account and the Region of the plan, which 'show' prints. They ask AWS which
    account they have reached, and refuse any other. A plan for the lab never reaches AWS, and a plan for AWS never
    reaches a lab.

    To stop for the night: 'pause --reason TEXT', or Ctrl-C in 'apply'. Until you go on, no task is created and no gate
    is checked. Tasks that exist go on. To go on: 'resume --reason TEXT' after 'pause', and 'apply' after Ctrl-C. Then
    the gate is checked, and aborts the rollout if it has waited too long: the night counts, and 'status' says how long
    it waits. To keep the rollout alive, 'promote' it before you go on, even if that time has passed.

    'abort' keeps further gateways from getting the update. What is installed stays installed. To go back, roll out the
    old firmware as a new update. A rollout leaves its tasks and its task definition in AWS. 'clean' deletes the tasks
    that have ended. The definition creates no tasks by itself; 'status --json' names it, and 'aws iotwireless
    delete-wireless-gateway-task-definition --id ID' deletes it.
    """  # noqa: D301 -- \b is the character with which click keeps line breaks


PLAN_ARGUMENT = click.argument(
    "plan_file",
    metavar="[PLAN]",
    default="rollout.plan",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
JOURNAL_OPTION = click.option(
    "--journal",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File of the journal.  [default: beside PLAN, with the ending .journal]",
)


def target_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which AWS is meant."""
    for option in (
        click.option(
            "--ready-file",
            type=click.Path(dir_okay=False, path_type=Path),
            help="Use the lab that wrote FILE ('lorafw serve --ready-file FILE').  [default: at AWS_ENDPOINT_URL]",
        ),
        click.option("--account", metavar="N", help="Use this account of AWS, with the credentials of boto3."),
        click.option("--lab", is_flag=True, help="Use the running 'lorafw serve'."),
    ):
        command = option(command)
    return command


def connect(*, lab: bool, account: str | None, ready_file: Path | None) -> Connection:
    """Connect to an account of AWS if ``--account`` was given, otherwise to the lab on this machine.

    Args:
        lab: True if ``--lab`` was given. Without ``--account`` the lab is meant in any case.
        account: The number of the account that the user has typed after ``--account``. None without the option.
        ready_file: The file that ``lorafw serve --ready-file`` has written. None to look at AWS_ENDPOINT_URL.

    Returns:
        The connection.

    Raises:
        click.UsageError: The options name both an account and the lab.
        WrongTarget: The credentials belong to another account, or no lab answers.
    """
    from lorafw.rollout import connect_account, connect_lab  # noqa: PLC0415 -- keeps --help fast

    if account is None:
        return connect_lab(os.environ, ready_file)
    if lab or ready_file is not None:
        raise click.UsageError("--account does not go with --lab and --ready-file; give one")
    return connect_account(account)


def connect_to_plan(plan: SavedPlan, *, lab: bool, account: str | None, ready_file: Path | None) -> Connection:
    """Connect to the account or the lab that a plan was made for. The user must type the number of an account again."""
    if plan.target.kind == "account" and account is None:
        raise click.UsageError(f"the plan is for {plan.target}; type --account {plan.target.account} to reach it")
    return connect(lab=lab, account=account, ready_file=ready_file)


def load_plan(plan_file: Path) -> SavedPlan:
    """Read a saved plan."""
    from lorafw.rollout import read_plan  # noqa: PLC0415 -- keeps --help fast

    return read_plan(plan_file)


def journal_of(plan_file: Path, journal: Path | None) -> Path:
    """Return the file of the journal of a plan."""
    from lorafw.rollout.journal import journal_path  # noqa: PLC0415 -- keeps --help fast

    return journal or journal_path(plan_file)


# --- plan and show ---


@rollout.command("plan")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--definition",
    type=click.File("rb"),
    required=True,
    metavar="JSON",
    help="The input.json of CreateWirelessGatewayTaskDefinition. AutoCreateTasks is set to false.",
)
@target_options
@click.option(
    "--fleet",
    "fleet_csv",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="CSV",
    help="Roll out to the gateways of this table (column gateway: their ids).  [default: all gateways of the account]",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of order and prediction.")
@click.option(
    "--replications",
    type=click.IntRange(min=2000),
    default=2000,
    show_default=True,
    help="Number of simulated rollouts of the prediction.",
)
@click.option("--allow", multiple=True, metavar="RULE", help="Plan although this rule finds an error. Repeatable.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default="rollout.plan",
    show_default=True,
    help="File of the saved plan.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plan_command(
    *,
    file: Path,
    definition: Any,
    lab: bool,
    account: str | None,
    ready_file: Path | None,
    fleet_csv: Path | None,
    seed: int,
    replications: int,
    allow: tuple[str, ...],
    output: Path,
    as_json: bool,
) -> None:
    """Plan the rollout of FILE, a TOML file with [plan] and perhaps [fleet], and save it. Only reads from AWS.

    The figures are those of 'lorafw simulate FILE' for the number of gateways of the account. Nothing is sent before
    'lorafw rollout apply'.
    """
    if not lab and account is None and ready_file is None:
        raise click.UsageError("give --lab, or --account and the number of an account of AWS")
    from lorafw.rollout import make_plan, write_plan  # noqa: PLC0415 -- keeps --help fast
    from lorafw.rollout.doctor_rules import check_with_doctor  # noqa: PLC0415

    _check_is_not_in_use(output)
    fleet_choice = FleetChoice(toml_file=file, csv_file=fleet_csv)
    fleet_choice.check()
    rollout_plan = load_toml_plan(None, file)
    members = _read_definition(definition)
    fleet = load_fleet(fleet_choice) if fleet_csv is not None else partial(_model_of, file)
    connection = connect(lab=lab, account=account, ready_file=ready_file)
    saved = make_plan(
        rollout_plan,
        members,
        fleet,
        connection,
        seed=seed,
        replications=replications,
        rules=[check_with_doctor],
        allowed=allow,
    )
    write_plan(saved, output)
    model = fleet if not callable(fleet) else fleet(len(saved.gateway_ids))
    _print_plan(saved, rollout_plan, model, output, as_json=as_json)


def _check_is_not_in_use(output: Path) -> None:
    """Raise click.ClickException if a plan would be replaced whose rollout was started. No command works without it."""
    from lorafw.rollout.journal import has_begun, journal_path  # noqa: PLC0415 -- keeps --help fast

    journal = journal_path(output)
    if output.exists() and has_begun(journal):
        raise click.ClickException(
            f"{output} is the plan of the rollout in {journal}, which could not be followed, controlled or continued "
            "without it. Give another file with -o"
        )


def _model_of(file: Path, gateways: int) -> Fleet:
    """Return the model of a fleet of this size, as 'lorafw simulate FILE --gateways N' makes it."""
    return load_fleet(FleetChoice(toml_file=file, gateways=gateways))


def _read_definition(file: Any) -> dict[str, Any]:
    """Return the members of an input.json. Raises click.ClickException if it is none."""
    try:
        members = json.loads(read_at_most(file, MAX_DEFINITION_BYTES))
    except (ValueError, RecursionError) as error:
        raise click.ClickException(f"{file.name} is not JSON: {error}") from error
    if not isinstance(members, dict):
        raise click.ClickException(f"{file.name} is no input.json: it holds no object")
    return members


def _print_plan(saved: SavedPlan, plan: Plan, fleet: Fleet, output: Path, *, as_json: bool) -> None:
    """Print the figures that 'lorafw simulate' prints, and what was saved."""
    from lorafw.cli.report import format_report  # noqa: PLC0415 -- SciPy is slow to import
    from lorafw.fleet import simulate  # noqa: PLC0415
    from lorafw.rollout.plan_text import describe_plan, plan_document  # noqa: PLC0415

    result = simulate(fleet, plan, seed=saved.seed)
    summary = result.summary()
    if as_json:
        simulated = {**summary.to_json(), "seed": result.seed, "plan": asdict(plan)}
        echo(json.dumps({**simulated, "saved": plan_document(saved), "file": str(output)}, indent=4))
        return
    echo_highlighted(f"{format_report(result, summary, [])}\n\n{describe_plan(saved)}")
    echo(f"Wrote {output}. Nothing was sent. Next: lorafw rollout apply {output}", err=True)


@rollout.command()
@PLAN_ARGUMENT
@click.option("--json", "as_json", is_flag=True, help="Print JSON, without the gateways and the curves.")
def show(*, plan_file: Path, as_json: bool) -> None:
    """Print a saved plan: its account, waves and gates, the calls that it makes, and its prediction."""
    from lorafw.rollout.plan_text import describe_plan, plan_document  # noqa: PLC0415 -- keeps --help fast

    saved = load_plan(plan_file)
    if as_json:
        echo(json.dumps(plan_document(saved), indent=4))
        return
    echo_highlighted(describe_plan(saved))


# --- apply ---


@rollout.command()
@PLAN_ARGUMENT
@JOURNAL_OPTION
@target_options
@click.option("--once", is_flag=True, help="Do what is due now and end, for cron and systemd timers.")
@click.option("--until-hold", is_flag=True, help="End as soon as the rollout holds or is paused.")
@click.option(
    "--hook",
    metavar="COMMAND",
    help="Run this before each wave and after each gate. An exit status other than 0 holds the rollout.",
)
@click.option("--replace-ended", is_flag=True, help="Delete ended tasks of earlier updates that are in the way.")
@click.option(
    "--calls-per-second",
    "calls_per_s",
    type=FiniteRange(0.1, 1000),
    default=8.0,
    show_default=True,
    help="Largest number of calls of one operation in a second. AWS allows 10.",
)
def apply(
    *,
    plan_file: Path,
    journal: Path | None,
    lab: bool,
    account: str | None,
    ready_file: Path | None,
    once: bool,
    until_hold: bool,
    hook: str | None,
    replace_ended: bool,
    calls_per_s: float,
) -> None:
    """Carry out a saved plan, in the foreground.

    You can end it with Ctrl-C or kill it at any moment. Tasks that exist go on by themselves, no new ones are created,
    and the next 'apply' continues. It is the same while the machine sleeps; 'apply' goes on when it wakes up. A second
    'apply' with the same journal is refused. From another terminal, 'pause', 'resume', 'promote' and 'abort' control
    it.

    A rollout that holds creates no more tasks. 'status' says why, and whether it waits for you.

    It holds while a gate is undecided, and if the gateways do not do what the plan predicts. It also holds if somebody
    else has changed something that it needs, and if the clock of this machine is wrong.

    A FAILED task has had its first try and two retries. This rollout does not try it again. It counts in the gate of
    its wave and in the abort criterion, and the rollout goes on unless one of them holds or stops it. 'status' says how
    close they are, and 'report' names the gateway. To try it again after the rollout: 'clean', then a new plan for it
    ('plan --fleet').

    The exit status is 0 if the rollout is completed, 1 after an error, 2 if the command was wrong, 3 aborted,
    4 running, 5 holding, 6 paused, and 7 if all waves have ended and a gate did not pass.
    """
    if once and until_hold:
        raise click.UsageError("--once and --until-hold both say when to end; give one")
    from lorafw.rollout import Until  # noqa: PLC0415 -- keeps --help fast
    from lorafw.rollout import apply as apply_plan  # noqa: PLC0415
    from lorafw.rollout.hooks import CommandHook  # noqa: PLC0415

    saved = load_plan(plan_file)
    until = Until.IDLE if once else Until.END
    if until_hold:
        until = Until.HOLD
    runner = CommandHook.parse(hook, saved.sha256) if hook is not None else None
    connection = connect_to_plan(saved, lab=lab, account=account, ready_file=ready_file)
    try:
        state = apply_plan(
            saved,
            journal_of(plan_file, journal),
            connection,
            until=until,
            hook=runner,
            replace_ended=replace_ended,
            calls_per_s=calls_per_s,
            on_change=ProgressPrinter(),
        )
    except KeyboardInterrupt:
        echo("Ended. Tasks that exist go on by themselves; run the same command again to continue.", err=True)
        sys.exit(130)
    finish_with_status(state)


class ProgressPrinter:
    """Prints a line to standard error when the state of a rollout, its reason or its counts have changed."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, state: RolloutState) -> None:
        """Print a line if the state, its reason or the counts are new."""
        from lorafw.rollout.plan_text import progress_line  # noqa: PLC0415 -- keeps --help fast

        line = progress_line(state)
        if line != self._last:
            echo(line, err=True)
            self._last = line


def finish_with_status(state: RolloutState) -> None:
    """Print the state of a rollout, and end the command with its exit status."""
    from lorafw.rollout.plan_text import describe_status  # noqa: PLC0415 -- keeps --help fast
    from lorafw.rollout.status import EXIT_STATUS, describe_state  # noqa: PLC0415

    echo_highlighted(describe_status(state))
    sys.exit(EXIT_STATUS[describe_state(state).name])
