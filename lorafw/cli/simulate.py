"""`lorafw simulate`: predict the outcome of a rollout before it is run."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from lorafw.cli.console import echo, echo_highlighted
from lorafw.cli.numbers import FiniteRange
from lorafw.cli.progress import account_progress, rollout_progress
from lorafw.cli.rollout_inputs import (
    DEFAULT_FLEET_BY_PLAN,
    DEFAULT_FLEET_SIZE,
    EXAMPLE_TOML,
    FleetChoice,
    load_fleet,
    load_plan,
    load_plan_named,
    with_install_failures,
)

if TYPE_CHECKING:
    from lorafw.fleet import Fleet, Plan, Result, Summary

SWEEP: Final = (0.005, 0.01, 0.02, 0.05, 0.1)
"""Failure probabilities of an install. No published figure exists, so the estimates are repeated for each of these."""

COMPARISON_REPLICATIONS: Final = 20
"""Default number of replications of ``--compare``. An interval for a difference needs several."""

MIN_BYTES_PER_GATEWAY: Final = 50
"""Memory that a simulated gateway takes at least, as measured."""

PICTURES: Final = ("timeline", "completion", "retries", "waves", "causes", "load")


def show_example(context: click.Context, _: click.Parameter, is_requested: bool) -> None:
    """Print an example of a TOML file and end the command, if ``--example`` was given."""
    if is_requested and not context.resilient_parsing:
        echo(EXAMPLE_TOML, nl=False)
        context.exit()


def show_columns(context: click.Context, _: click.Parameter, is_requested: bool) -> None:
    """Print the columns that a CSV file may have and end the command, if ``--columns`` was given."""
    if is_requested and not context.resilient_parsing:
        from lorafw.fleet.io.columns import COLUMNS  # noqa: PLC0415 -- NumPy is slow to import

        for name, meaning in COLUMNS.items():
            echo(f"{name:<16} {meaning}")
        context.exit()


READABLE = click.Path(exists=True, dir_okay=False, path_type=Path)
WRITABLE = click.Path(dir_okay=False, writable=True, path_type=Path)


@click.command()
@click.argument("file", required=False, type=READABLE)
@click.option(
    "--preset",
    type=click.Choice(list(DEFAULT_FLEET_BY_PLAN)),
    help="Plan. at-once: AutoCreateTasks for every gateway. canary, waves: with gates. reference: the model that has a "
    "closed-form solution.  [default: at-once]",
)
@click.option(
    "--fleet", type=READABLE, metavar="CSV", help="Read the gateways from a CSV file, one per line (see --columns)."
)
@click.option("--ignore-unknown", is_flag=True, help="Ignore columns of the CSV that lorafw does not know.")
@click.option("--fill-empty", is_flag=True, help="Fill empty cells of the CSV with the default of the column.")
@click.option(
    "--account",
    is_flag=True,
    help="Use the gateways of the AWS account that boto3 is configured for. Sends 10 requests per second.",
)
@click.option(
    "--gateways", type=click.IntRange(min=1), metavar="N", help=f"Size of the fleet.  [default: {DEFAULT_FLEET_SIZE}]"
)
@click.option("--fails", type=FiniteRange(0, 1), metavar="P", help="Probability that one install fails, e.g. 0.02.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed of the random numbers. The same seed gives the same result.",
)
@click.option(
    "--replications",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of rollouts with independent random numbers.  [default: 1; with --compare 20]",
)
@click.option(
    "--ci",
    "confidence_level",
    type=FiniteRange(0, 1, min_open=True, max_open=True),
    default=0.95,
    show_default=True,
    help="Confidence level of the intervals.",
)
@click.option(
    "--sweep/--no-sweep",
    default=None,
    help="Repeat for install failure probabilities from 0.5 % to 10 %.  [default: sweep, but not with --json]",
)
@click.option(
    "--compare",
    nargs=2,
    metavar="A B",
    help="Compare two plans (presets or TOML files) on one fleet with common random numbers.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--parquet", type=WRITABLE, metavar="FILE", help="Write the event log to this file (needs pyarrow).")
@click.option(
    "--plot", type=WRITABLE, metavar="FILE", help="Write a picture to this .png, .svg or .pdf file (needs matplotlib)."
)
@click.option(
    "--export",
    type=WRITABLE,
    metavar="CSV",
    help="Write the waves to this file: for each gateway its wave, and when its task is created. For people who carry "
    "out the plan with a script of their own; 'lorafw rollout' does it for you.",
)
@click.option(
    "--picture", type=click.Choice(PICTURES), default="timeline", show_default=True, help="Picture that --plot writes."
)
@click.option(
    "--example",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=show_example,
    help="Print an example of a TOML file and exit.",
)
@click.option(
    "--columns",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=show_columns,
    help="List the columns that a CSV file of gateways may have and exit.",
)
def simulate(
    *,
    file: Path | None,
    preset: str | None,
    fleet: Path | None,
    ignore_unknown: bool,
    fill_empty: bool,
    account: bool,
    gateways: int | None,
    fails: float | None,
    seed: int,
    replications: int | None,
    confidence_level: float,
    sweep: bool | None,
    compare: tuple[str, str] | None,
    as_json: bool,
    parquet: Path | None,
    plot: Path | None,
    export: Path | None,
    picture: str,
) -> None:
    """Predict how many gateways complete or fail, and when.

    FILE is a TOML file with [fleet] and [plan] (see --example). Without it, a preset is simulated: by default a mixed
    fleet that gets the update all at once. The output lists every assumption with its source.

    \b
      lorafw simulate --gateways 40000
      lorafw simulate --preset canary --fails 0.05 --replications 100
      lorafw simulate --compare at-once waves --fails 0.3
      lorafw simulate rollout.toml --json
    """  # noqa: D301 -- \b is the character with which click keeps line breaks
    if compare and (parquet or plot or export):
        raise click.UsageError("--parquet, --plot and --export go with one rollout, not with --compare")
    fleet_choice = FleetChoice(
        preset=preset,
        toml_file=file,
        csv_file=fleet,
        from_account=account,
        gateways=gateways,
        ignore_unknown=ignore_unknown,
        fill_empty=fill_empty,
    )
    fleet_choice.check()
    if replications is None:
        replications = COMPARISON_REPLICATIONS if compare else 1
    if sweep is None:
        sweep = not as_json
    options = _Options(seed, replications, confidence_level, as_json)
    _check_memory(fleet_choice.count_gateways() * replications)
    writers = _output_writers(parquet, plot, picture)
    if export is not None:
        writers.append(_waves_writer(export))
    progress = account_progress() if account else None
    loaded_fleet = load_fleet(fleet_choice, progress)
    if compare:
        plans = [_override_failures(load_plan_named(name), fails) for name in compare]
        _print_comparison(loaded_fleet, plans, options)
        return
    plan = _override_failures(load_plan(preset, file), fails)
    sweep_plans = [with_install_failures(plan, probability) for probability in SWEEP] if sweep else []
    result = _print_rollout(loaded_fleet, plan, sweep_plans, options)
    for write in writers:
        echo(f"Wrote {write(result)}", err=True)


def _override_failures(plan: Plan, probability: float | None) -> Plan:
    """Return the plan with the failure probability of ``--fails``. None if the option was not given."""
    if probability is None:
        return plan
    return with_install_failures(plan, probability)


@dataclass(frozen=True, slots=True)
class _Options:
    """How often a plan is simulated, and how the answer is printed."""

    seed: int
    replications: int
    confidence_level: float
    as_json: bool


def _check_memory(gateway_count: int) -> None:
    """Refuse a simulation that does not fit into the memory of this machine, before it has used it up.

    Args:
        gateway_count: Number of gateways times number of replications.

    Raises:
        click.UsageError: The simulation needs more memory than the machine has.
    """
    if not hasattr(os, "sysconf"):
        return  # Windows
    needed_bytes = gateway_count * MIN_BYTES_PER_GATEWAY
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed_bytes <= memory_bytes:
        return
    raise click.UsageError(
        f"{gateway_count:,} gateways x replications take at least {needed_bytes / 1e9:,.0f} GB; this machine has"
        f" {memory_bytes / 1e9:,.0f} GB: at most {memory_bytes // MIN_BYTES_PER_GATEWAY:,}"
    )


def _print_rollout(fleet: Fleet, plan: Plan, sweep_plans: list[Plan], options: _Options) -> Result:
    """Simulate a plan and print the estimates.

    Args:
        fleet: The gateways.
        plan: The plan to report on.
        sweep_plans: The same plan with other failure probabilities, for the table that compares them.
        options: How often to simulate each plan, and how to print the answer.

    Returns:
        The simulated rollout of ``plan``.
    """
    result, sweep = _simulate_all(fleet, plan, sweep_plans, options)
    summary = result.summary(options.confidence_level)
    if options.as_json:
        echo(json.dumps(_to_json(result, summary, sweep), indent=4))
        return result
    from lorafw.cli.report import format_report  # noqa: PLC0415 -- SciPy is slow to import

    echo_highlighted(format_report(result, summary, sweep))
    return result


def _simulate_all(
    fleet: Fleet, plan: Plan, sweep_plans: list[Plan], options: _Options
) -> tuple[Result, list[tuple[Plan, Summary]]]:
    """Simulate a plan and its variants. Return the result of the plan and the summaries of the variants."""
    from lorafw.fleet import simulate as simulate_rollout  # noqa: PLC0415 -- NumPy is slow to import

    sweep: list[tuple[Plan, Summary]] = []
    seed, replications = options.seed, options.replications
    with rollout_progress(fleet.size * replications * (1 + len(sweep_plans))) as progress:
        result = simulate_rollout(fleet, plan, seed=seed, replications=replications, progress=progress)
        for variant in sweep_plans:
            outcome = simulate_rollout(fleet, variant, seed=seed, replications=replications, progress=progress)
            sweep.append((variant, outcome.summary(options.confidence_level)))
    return result, sweep


def _print_comparison(fleet: Fleet, plans: list[Plan], options: _Options) -> None:
    """Simulate two plans with common random numbers and print how they differ."""
    from lorafw.fleet import compare  # noqa: PLC0415 -- NumPy is slow to import

    level, replications = options.confidence_level, options.replications
    with rollout_progress(2 * fleet.size * replications) as progress:
        rows = compare(fleet, *plans, seed=options.seed, replications=replications, level=level, progress=progress)
    if options.as_json:
        document = {
            "first": plans[0].name,
            "second": plans[1].name,
            "gateways": fleet.size,
            "replications": replications,
            "seed": options.seed,
            "level": level,
            "figures": [asdict(row) for row in rows],
        }
        echo(json.dumps(document, indent=4))
        return
    from lorafw.cli.report import format_comparison  # noqa: PLC0415 -- SciPy is slow to import

    echo_highlighted(format_comparison(fleet, plans, rows, options.seed, replications, level))


def _to_json(result: Result, summary: Summary, sweep: list[tuple[Plan, Summary]]) -> dict[str, Any]:
    """Return the JSON document with the estimates and everything that they were calculated from."""
    document = {
        **summary.to_json(),
        "seed": result.seed,
        "version": result.version,
        "plan": asdict(result.plan),
        "assumptions": [dict(zip(("quantity", "value", "source"), row, strict=True)) for row in result.assumptions()],
    }
    if sweep:
        document["sweep"] = [{"fails": plan.update.fails, **variant.to_json()} for plan, variant in sweep]
    return document


def _output_writers(parquet: Path | None, plot: Path | None, picture: str) -> list[Callable[[Result], str]]:
    """Return the functions that write the requested files.

    Imports the libraries that they need, so that a missing one is reported before the simulation starts.

    Args:
        parquet: Path of the event log, or None for no event log.
        plot: Path of the picture, or None for no picture.
        picture: Name of the picture.

    Returns:
        Functions that take the result, write one file, and return its name and what is in it.

    Raises:
        click.ClickException: matplotlib is not installed.
    """
    writers: list[Callable[[Result], str]] = []
    if parquet is not None:
        writers.append(_parquet_writer(parquet))
    if plot is not None:
        writers.append(_plot_writer(plot, picture))
    return writers


def _parquet_writer(path: Path) -> Callable[[Result], str]:
    """Return a function that writes the event log and returns the number of its rows as text."""
    from lorafw.fleet.io.parquet import load_pyarrow, write_parquet  # noqa: PLC0415 -- NumPy is slow to import

    load_pyarrow()

    def write(result: Result) -> str:
        return f"{path}: {write_parquet(result, path)} rows"

    return write


def _waves_writer(path: Path) -> Callable[[Result], str]:
    """Return a function that writes the waves and returns the number of gateways as text."""
    from lorafw.fleet.io.waves import write_waves  # noqa: PLC0415 -- NumPy is slow to import

    def write(result: Result) -> str:
        return f"{path}: {write_waves(result.fleet, result.plan, path, seed=result.seed)} gateways"

    return write


def _plot_writer(path: Path, picture: str) -> Callable[[Result], str]:
    """Return a function that draws a picture, saves it and returns its alt text."""
    try:
        from lorafw.lab.plots import PICTURES as PLOTS  # noqa: PLC0415 -- matplotlib is slow to import
        from lorafw.lab.plots.figure import check_format  # noqa: PLC0415
    except ImportError as error:
        raise click.ClickException("--plot needs matplotlib: pip install 'lorafw[lab]'") from error
    check_format(path)

    def write(result: Result) -> str:
        figure = PLOTS[picture](result)
        figure.save(path)
        return f"{path}: {figure.alt}"

    return write
