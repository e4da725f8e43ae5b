"""`lorafw simulate`: what a rollout would come to, before it is run."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from lorafw.cli.console import echo, echo_highlighted
from lorafw.cli.numbers import FiniteRange
from lorafw.cli.progress import account_progress, progress_bar, progress_callback
from lorafw.cli.rollout_inputs import (
    DEFAULT_FLEET_BY_PLAN,
    DEFAULT_FLEET_SIZE,
    EXAMPLE_TOML,
    RolloutInputs,
    with_install_failures,
)

if TYPE_CHECKING:
    from lorafw.fleet import Fleet, Plan, Result

SWEEP: Final = (0.005, 0.01, 0.02, 0.05, 0.1)
"""Nobody has published how often updates of gateways fail in the field: the answer is given for all of these."""

PICTURES: Final = ("timeline", "completion", "retries", "waves", "causes", "load")


def show_example(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Print a rollout to start from, and end."""
    if wanted and not context.resilient_parsing:
        echo(EXAMPLE_TOML, nl=False)
        context.exit()


def show_columns(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Print what a table of gateways may have, and end."""
    if wanted and not context.resilient_parsing:
        from lorafw.fleet.io.columns import COLUMNS  # noqa: PLC0415

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
    help="at-once: AutoCreateTasks; canary, waves: with gates; reference: the proven model.  [default: at-once]",
)
@click.option("--fleet", type=READABLE, metavar="CSV", help="The gateways, one a line (see --columns).")
@click.option("--ignore-unknown", is_flag=True, help="Leave out columns of the CSV that lorafw does not know.")
@click.option("--fill-empty", is_flag=True, help="Give empty cells of the CSV what the column would have if left out.")
@click.option("--account", is_flag=True, help="The gateways of the AWS account that boto3 is set to (10 requests/s).")
@click.option(
    "--gateways", type=click.IntRange(min=1), metavar="N", help=f"Size of the fleet.  [default: {DEFAULT_FLEET_SIZE}]"
)
@click.option("--fails", type=FiniteRange(0, 1), metavar="P", help="Probability that one install fails, e.g. 0.02.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Equal seeds, equal results.")
@click.option(
    "--replications",
    type=click.IntRange(min=1),
    metavar="N",
    help="Rollouts with independent luck.  [default: 1; with --compare 20]",
)
@click.option("--ci", type=FiniteRange(0, 1, min_open=True, max_open=True), default=0.95, show_default=True)
@click.option("--sweep/--no-sweep", default=None, help="Also for 0.5 to 10 % failing installs.  [default: not in JSON]")
@click.option("--compare", nargs=2, metavar="A B", help="Two plans (presets or TOML files) on one fleet, equal luck.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--parquet", type=WRITABLE, metavar="FILE", help="Write the event log (needs pyarrow).")
@click.option("--plot", type=WRITABLE, metavar="FILE", help="Write a picture: .png, .svg or .pdf (needs matplotlib).")
@click.option("--picture", type=click.Choice(PICTURES), default="timeline", show_default=True, help="Which picture.")
@click.option(
    "--example",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=show_example,
    help="Print a TOML file to start from, and exit.",
)
@click.option(
    "--columns",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=show_columns,
    help="List what a CSV of gateways may have, and exit.",
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
    ci: float,
    sweep: bool | None,
    compare: tuple[str, str] | None,
    as_json: bool,
    parquet: Path | None,
    plot: Path | None,
    picture: str,
) -> None:
    """What would this rollout come to: how many COMPLETED, how many FAILED, and when?

    FILE is a TOML file with [fleet] and [plan] (see --example). Without one, a preset: a mixed fleet that gets the
    update all at once. The answer comes with everything that it assumes.

    \b
      lorafw simulate --gateways 40000
      lorafw simulate --preset canary --fails 0.05 --replications 100
      lorafw simulate --compare at-once waves --fails 0.3
      lorafw simulate rollout.toml --json
    """
    _check_sources(file, fleet, account, gateways)
    if (ignore_unknown or fill_empty) and fleet is None:
        raise click.UsageError("--ignore-unknown and --fill-empty say how a CSV is read: give one with --fleet")
    if compare and (parquet or plot):
        raise click.UsageError("--parquet and --plot go with one rollout, not with --compare")
    count = replications or (20 if compare else 1)
    wanted = RolloutInputs(preset, file, fleet, account, gateways, fails, ignore_unknown, fill_empty)
    _check_memory(wanted.count_gateways() * count)
    writers = _output_writers(parquet, plot, picture)
    made = wanted.make_fleet(account_progress() if account else None)
    if compare:
        _compare(made, [wanted.plan_named(name) for name in compare], seed, count, ci, as_json)
        return
    plan = wanted.load_plan()
    swept = [with_install_failures(plan, rate) for rate in SWEEP] if (not as_json if sweep is None else sweep) else []
    with progress_bar(made.size * count * (1 + len(swept))) as bar:
        result = _rollout(made, plan, seed, count, bar)
        rows = [(one, _rollout(made, one, seed, count, bar).summary(ci)) for one in swept]
    summary = result.summary(ci)
    if as_json:
        echo(json.dumps(_document(result, summary, rows), indent=4))
    else:
        from lorafw.cli.report import format_report  # noqa: PLC0415

        echo_highlighted(format_report(result, summary, rows))
    for write in writers:
        echo(f"Wrote {write(result)}", err=True)


def _check_sources(file: Path | None, fleet: Path | None, account: bool, gateways: int | None) -> None:
    if fleet is not None and account:
        raise click.UsageError("--fleet and --account both say which gateways there are; give one")
    if gateways is not None and (fleet is not None or account):
        raise click.UsageError("--gateways goes with presets and TOML files; the table or the account says how many")
    if file is not None and file.suffix == ".csv":
        raise click.UsageError(f"a table of gateways is given as --fleet {file}; FILE is TOML (see --example)")


MIN_BYTES_PER_GATEWAY: Final = 50
"""Measured: what a gateway of a rollout takes in memory, at least."""


def _check_memory(gateways: int) -> None:
    """More than the machine can hold is refused at once, not when it has taken all memory."""
    if not hasattr(os, "sysconf"):
        return
    needed, there = gateways * MIN_BYTES_PER_GATEWAY, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        most = there // MIN_BYTES_PER_GATEWAY
        raise click.UsageError(
            f"{gateways:,} gateways x replications take at least {needed / 1e9:,.0f} GB; this machine has"
            f" {there / 1e9:,.0f} GB: at most {most:,}"
        )


def _rollout(fleet: Fleet, plan: Plan, seed: int, replications: int, bar: Any) -> Result:
    from lorafw.fleet import simulate as carry_out  # noqa: PLC0415

    return carry_out(fleet, plan, seed=seed, replications=replications, progress=progress_callback(bar))


def _compare(fleet: Fleet, plans: list[Plan], seed: int, replications: int, level: float, as_json: bool) -> None:
    from lorafw.fleet import compare  # noqa: PLC0415

    with progress_bar(2 * fleet.size * replications) as bar:
        rows = compare(
            fleet, *plans, seed=seed, replications=replications, level=level, progress=progress_callback(bar)
        )
    if as_json:
        names = {"first": plans[0].name, "second": plans[1].name}
        facts = {"gateways": fleet.size, "replications": replications, "seed": seed, "level": level}
        echo(json.dumps({**names, **facts, "figures": [asdict(row) for row in rows]}, indent=4))
        return
    from lorafw.cli.report import format_comparison  # noqa: PLC0415

    echo_highlighted(format_comparison(fleet, plans, rows, seed, replications, level))


def _document(result: Result, summary: Any, rows: list[tuple[Plan, Any]]) -> dict[str, Any]:
    """The answer for programs, with what it came from."""
    document = {
        **summary.to_json(),
        "seed": result.seed,
        "version": result.version,
        "plan": asdict(result.plan),
        "assumptions": [dict(zip(("quantity", "value", "source"), row, strict=True)) for row in result.assumptions()],
    }
    if rows:
        document["sweep"] = [{"fails": plan.update.fails, **one.to_json()} for plan, one in rows]
    return document


def _output_writers(parquet: Path | None, plot: Path | None, picture: str) -> list[Callable[[Result], str]]:
    """What writes the files; what it needs is looked for before the work begins."""
    writers: list[Callable[[Result], str]] = []
    if parquet is not None:
        from lorafw.fleet.io.parquet import load_pyarrow, write_parquet  # noqa: PLC0415

        load_pyarrow()
        writers.append(lambda result: f"{parquet}: {write_parquet(result, parquet)} rows")
    if plot is not None:
        draw = _plot_writer(plot, picture)
        writers.append(lambda result: f"{plot}: {draw(result, plot)}")
    return writers


def _plot_writer(plot: Path, picture: str) -> Callable[[Result, Path], str]:
    """Draws, writes, and gives the words."""
    try:
        from lorafw.lab.plots import PICTURES as PLOTS  # noqa: PLC0415
        from lorafw.lab.plots.figure import check_format  # noqa: PLC0415
    except ImportError as error:
        raise click.ClickException("--plot needs matplotlib: pip install 'lorafw[lab]'") from error
    check_format(plot)

    def draw(result: Result, path: Path) -> str:
        drawn = PLOTS[picture](result)
        drawn.save(path)
        return drawn.alt

    return draw
