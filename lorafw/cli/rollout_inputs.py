"""The fleet and the plan that `lorafw simulate` is asked for: presets, files, or an AWS account."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from lorafw.fleet import Fleet, Plan

DEFAULT_FLEET_SIZE: Final = 10_000
DEFAULT_PLAN: Final = "at-once"
DEFAULT_FLEET_BY_PLAN: Final = {"at-once": "mixed", "canary": "mixed", "waves": "mixed", "reference": "reference"}
"""For each preset of a plan, the preset of the fleet that it is simulated on."""

EXAMPLE_TOML: Final = """\
# A rollout for 'lorafw simulate rollout.toml'. Values that you leave out have the defaults of the presets.

[fleet]
gateways = 40000
gone = 0.02                      # share that never polls
wrong_key = 0.001                # share that does not have the key of the update
backhaul = { ethernet = 0.4, lte-cat1 = 0.4, cat-m1 = 0.2 }

[fleet.conditions]
missed_poll = 0.05
link_drops_per_h = 0.5

[plan]
name = "canary, then everybody"
abort = { threshold = 0.10, minimum_executed = 50 }
rate = { maximum_per_minute = 500 }

[plan.update]
size_bytes = 2000000
apply_s = 90
fails = 0.02                     # probability that one install fails

[[plan.waves]]
size = 300
bake_s = 345600                  # four days, because a task takes three days to become FAILED
gate = { kind = "beta-binomial", acceptable = 0.05 }

[[plan.waves]]
share = 0.9925
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetChoice:
    """The fleet that the command line asks for: a preset, a TOML file, a table, or the gateways of an AWS account."""

    preset: str | None = None
    """Name of the preset plan. The preset fleet that belongs to it is used if nothing else is given."""
    toml_file: Path | None = None
    """TOML file, which may have a table [fleet]. None if there is no file."""
    csv_file: Path | None = None
    """CSV file of gateways. None if there is no file."""
    from_account: bool = False
    """True to read the gateways of the AWS account that boto3 is configured for."""
    gateways: int | None = None
    """Number of gateways. None for the number in the TOML file, or for the default."""
    ignore_unknown: bool = False
    """True to leave out columns of the CSV file that lorafw does not know."""
    fill_empty: bool = False
    """True to fill empty cells of the CSV file with the default of their column."""

    def check(self) -> None:
        """Check that the options do not contradict each other. Reads no file.

        Raises:
            click.UsageError: Two options contradict each other.
        """
        if self.csv_file is not None and self.from_account:
            raise click.UsageError("--fleet and --account both say which gateways there are; give one")
        if self.gateways is not None and (self.csv_file is not None or self.from_account):
            raise click.UsageError(
                "--gateways goes with presets and TOML files; the table or the account says how many"
            )
        if self.toml_file is not None and self.toml_file.suffix == ".csv":
            raise click.UsageError(
                f"a table of gateways is given as --fleet {self.toml_file}; FILE is TOML (see --example)"
            )
        if (self.ignore_unknown or self.fill_empty) and self.csv_file is None:
            raise click.UsageError("--ignore-unknown and --fill-empty say how a CSV is read: give one with --fleet")

    def count_gateways(self) -> int:
        """Return the number of gateways before they are loaded. 0 if only loading them can tell (CSV, account)."""
        if self.from_account or self.csv_file is not None:
            return 0
        if self.gateways is not None:
            return self.gateways
        fleet_table = _read_table(self.toml_file, "fleet")
        if not isinstance(fleet_table, dict):
            return DEFAULT_FLEET_SIZE
        count = fleet_table.get("gateways")
        if not isinstance(count, int):
            return DEFAULT_FLEET_SIZE
        return count


def load_fleet(choice: FleetChoice, progress: Callable[[int, int], None] | None = None) -> Fleet:
    """Return the fleet that the command line asks for. Reads the file or the account.

    Args:
        choice: The options of the command line.
        progress: Called as ``progress(done, total)`` while the gateways of an account are read.

    Raises:
        FleetError: A file or an answer of AWS is malformed.
    """
    from lorafw.fleet import io  # noqa: PLC0415 -- NumPy is slow to import
    from lorafw.fleet.presets import FLEETS  # noqa: PLC0415

    if choice.from_account:
        from lorafw.fleet.io.account import account_client, fleet_from_account  # noqa: PLC0415

        return fleet_from_account(account_client(), progress=progress)
    if choice.csv_file is not None:
        return io.read_csv(choice.csv_file, ignore_unknown=choice.ignore_unknown, fill_empty=choice.fill_empty)
    if choice.toml_file is not None and _read_table(choice.toml_file, "fleet") is not None:
        return io.read_fleet(choice.toml_file, gateways=choice.gateways)
    make_fleet = FLEETS[DEFAULT_FLEET_BY_PLAN[choice.preset or DEFAULT_PLAN]]
    fleet: Fleet = make_fleet(choice.gateways or DEFAULT_FLEET_SIZE)
    return fleet


def load_plan(preset: str | None, toml_file: Path | None) -> Plan:
    """Return the plan that the command line asks for.

    Args:
        preset: Name of a preset plan. None for the default.
        toml_file: TOML file. Its plan is used if it has a table [plan]. None if there is no file.

    Raises:
        FleetError: The file is malformed.
    """
    from lorafw.fleet import io  # noqa: PLC0415 -- NumPy is slow to import

    if toml_file is not None and _read_table(toml_file, "plan") is not None:
        return io.read_plan(toml_file)
    return load_plan_named(preset or DEFAULT_PLAN)


def load_plan_named(name: str) -> Plan:
    """Return a plan by the name of its preset, or by the name of its TOML file.

    Args:
        name: The name. A name that ends in ``.toml`` is that of a file.

    Raises:
        FleetError: There is no such preset, or the file is malformed.
    """
    from lorafw.fleet import io  # noqa: PLC0415 -- NumPy is slow to import
    from lorafw.fleet._validation import require_known_name  # noqa: PLC0415
    from lorafw.fleet.presets import PLANS  # noqa: PLC0415

    if name.endswith(".toml"):
        return io.read_plan(name)
    make_plan = PLANS[require_known_name("plan", name, PLANS)]
    plan: Plan = make_plan()
    return plan


def _read_table(toml_file: Path | None, name: str) -> Any:
    """Return a table of a TOML file. None if there is no file, or if it has no such table."""
    from lorafw.fleet import io  # noqa: PLC0415 -- NumPy is slow to import

    if toml_file is None:
        return None
    return io.read_document(toml_file).get(name)


def with_install_failures(plan: Plan, probability: float) -> Plan:
    """Return a copy of the plan in which an install fails with this probability."""
    return replace(plan, update=replace(plan.update, fails=probability))
