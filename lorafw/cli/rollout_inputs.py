"""Which rollout is wanted: fleet and plan by preset, from files, or from an account."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from lorafw.fleet import Fleet, Plan

DEFAULT_FLEET_SIZE: Final = 10_000
DEFAULT_FLEET_BY_PLAN: Final = {"at-once": "mixed", "canary": "mixed", "waves": "mixed", "reference": "reference"}
"""The presets of plans, and the fleet that each is tried on."""

EXAMPLE_TOML: Final = """\
# A rollout for 'lorafw simulate rollout.toml'. What is left out is as the presets have it.

[fleet]
gateways = 40000
gone = 0.02                      # share that never polls
wrong_key = 0.001                # share that has not the key of the update
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
bake_s = 345600                  # four days: FAILED takes three
gate = { kind = "beta-binomial", acceptable = 0.05 }

[[plan.waves]]
share = 0.9925
"""


@dataclass(frozen=True, slots=True)
class RolloutInputs:
    """Where fleet and plan come from."""

    preset: str | None
    file: Path | None
    fleet: Path | None
    account: bool
    gateways: int | None
    fails: float | None
    ignore_unknown: bool = False
    fill_empty: bool = False

    def count_gateways(self) -> int:
        """Return how many gateways are asked for, before the fleet is made. Of a table nobody knows it yet: 0."""
        if self.account or self.fleet is not None:
            return 0
        if self.gateways is not None:
            return self.gateways
        given = self._document().get("fleet")
        count = given.get("gateways") if isinstance(given, dict) else None
        return count if isinstance(count, int) else DEFAULT_FLEET_SIZE

    def _document(self) -> dict[str, Any]:
        from lorafw.fleet import io  # noqa: PLC0415

        return io.read_document(self.file) if self.file is not None else {}

    def make_fleet(self, progress: Callable[[int, int], None] | None = None) -> Fleet:
        from lorafw.fleet import io  # noqa: PLC0415
        from lorafw.fleet.presets import FLEETS  # noqa: PLC0415

        if self.account:
            from lorafw.fleet.io.account import account_client, fleet_from_account  # noqa: PLC0415

            return fleet_from_account(account_client(), progress=progress)
        if self.fleet is not None:
            return io.read_csv(self.fleet, ignore_unknown=self.ignore_unknown, fill_empty=self.fill_empty)
        if self.file is not None and "fleet" in io.read_document(self.file):
            return io.read_fleet(self.file, gateways=self.gateways)
        fleet: Fleet = FLEETS[DEFAULT_FLEET_BY_PLAN[self.preset or "at-once"]](self.gateways or DEFAULT_FLEET_SIZE)
        return fleet

    def load_plan(self) -> Plan:
        from lorafw.fleet import io  # noqa: PLC0415

        if self.file is not None and "plan" in io.read_document(self.file):
            return self._override_failures(io.read_plan(self.file))
        return self.plan_named(self.preset or "at-once")

    def plan_named(self, name: str) -> Plan:
        """The preset, or the plan of the TOML file, with this name."""
        from lorafw.fleet import io  # noqa: PLC0415
        from lorafw.fleet._validation import require_known_name  # noqa: PLC0415
        from lorafw.fleet.presets import PLANS  # noqa: PLC0415

        if name.endswith(".toml"):
            return self._override_failures(io.read_plan(name))
        return self._override_failures(PLANS[require_known_name("plan", name, PLANS)]())

    def _override_failures(self, plan: Plan) -> Plan:
        return plan if self.fails is None else with_install_failures(plan, self.fails)


def with_install_failures(plan: Plan, fails: float) -> Plan:
    """The plan, with an update whose install fails so often."""
    return replace(plan, update=replace(plan.update, fails=fails))
