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


@dataclass(frozen=True, slots=True)
class RolloutInputs:
    """Which fleet and which plan are to be simulated, as the command line gives them."""

    preset: str | None
    """Name of a preset plan, or None for the one in ``file`` or the default."""
    file: Path | None
    """TOML file with [fleet], [plan] or both."""
    fleet: Path | None
    """CSV file of gateways."""
    account: bool
    """True to read the gateways of the AWS account that boto3 is configured for."""
    gateways: int | None
    """Size of the fleet, or None for that of ``file`` or the default."""
    fails: float | None
    """Probability that an install fails, or None for that of the plan."""
    ignore_unknown: bool = False
    """True to leave out unknown columns of the CSV file."""
    fill_empty: bool = False
    """True to fill empty cells of the CSV file with the column's default."""

    def check(self) -> None:
        """Raise click.UsageError if options contradict each other. Reads no file."""
        if self.fleet is not None and self.account:
            raise click.UsageError("--fleet and --account both say which gateways there are; give one")
        if self.gateways is not None and (self.fleet is not None or self.account):
            raise click.UsageError(
                "--gateways goes with presets and TOML files; the table or the account says how many"
            )
        if self.file is not None and self.file.suffix == ".csv":
            raise click.UsageError(f"a table of gateways is given as --fleet {self.file}; FILE is TOML (see --example)")
        if (self.ignore_unknown or self.fill_empty) and self.fleet is None:
            raise click.UsageError("--ignore-unknown and --fill-empty say how a CSV is read: give one with --fleet")

    def count_gateways(self) -> int:
        """Return the size of the fleet before it is loaded, or 0 if only loading it can tell (CSV, account)."""
        if self.account or self.fleet is not None:
            return 0
        if self.gateways is not None:
            return self.gateways
        fleet_table = self._read_document().get("fleet")
        if not isinstance(fleet_table, dict):
            return DEFAULT_FLEET_SIZE
        count = fleet_table.get("gateways")
        if not isinstance(count, int):
            return DEFAULT_FLEET_SIZE
        return count

    def _read_document(self) -> dict[str, Any]:
        """Return the content of the TOML file, or an empty dictionary if none was given."""
        from lorafw.fleet import io  # noqa: PLC0415 -- NumPy is slow to import

        if self.file is None:
            return {}
        return io.read_document(self.file)

    def load_fleet(self, progress: Callable[[int, int], None] | None = None) -> Fleet:
        """Return the fleet. Reads the account or the files that the options name.

        Args:
            progress: Called as ``progress(done, total)`` while the gateways of an account are read.

        Raises:
            FleetError: A file or an answer of AWS is malformed.
        """
        from lorafw.fleet import io  # noqa: PLC0415 -- NumPy is slow to import

        if self.account:
            from lorafw.fleet.io.account import account_client, fleet_from_account  # noqa: PLC0415

            return fleet_from_account(account_client(), progress=progress)
        if self.fleet is not None:
            return io.read_csv(self.fleet, ignore_unknown=self.ignore_unknown, fill_empty=self.fill_empty)
        if self.file is not None and "fleet" in self._read_document():
            return io.read_fleet(self.file, gateways=self.gateways)
        return self._preset_fleet()

    def _preset_fleet(self) -> Fleet:
        """Return the preset fleet that belongs to the preset plan."""
        from lorafw.fleet.presets import FLEETS  # noqa: PLC0415 -- NumPy is slow to import

        make_fleet = FLEETS[DEFAULT_FLEET_BY_PLAN[self.preset or DEFAULT_PLAN]]
        fleet: Fleet = make_fleet(self.gateways or DEFAULT_FLEET_SIZE)
        return fleet

    def load_plan(self) -> Plan:
        """Return the plan from the TOML file, or the preset if the file has none.

        Raises:
            FleetError: The file is malformed.
        """
        from lorafw.fleet import io  # noqa: PLC0415 -- NumPy is slow to import

        if self.file is not None and "plan" in self._read_document():
            return self._override_failures(io.read_plan(self.file))
        return self.load_plan_named(self.preset or DEFAULT_PLAN)

    def load_plan_named(self, name: str) -> Plan:
        """Return a plan by its preset name, or by the name of its TOML file.

        Raises:
            FleetError: There is no such preset, or the file is malformed.
        """
        from lorafw.fleet import io  # noqa: PLC0415 -- NumPy is slow to import
        from lorafw.fleet._validation import require_known_name  # noqa: PLC0415
        from lorafw.fleet.presets import PLANS  # noqa: PLC0415

        if name.endswith(".toml"):
            return self._override_failures(io.read_plan(name))
        make_plan = PLANS[require_known_name("plan", name, PLANS)]
        return self._override_failures(make_plan())

    def _override_failures(self, plan: Plan) -> Plan:
        """Return the plan with the failure probability of the command line, if it was given."""
        if self.fails is None:
            return plan
        return with_install_failures(plan, self.fails)


def with_install_failures(plan: Plan, probability: float) -> Plan:
    """Return a copy of the plan in which an install fails with this probability."""
    return replace(plan, update=replace(plan.update, fails=probability))
