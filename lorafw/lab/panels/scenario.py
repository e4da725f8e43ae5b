"""What a fleet panel asks the simulator: a few numbers, from which fleet, plan and luck follow. Plain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from lorafw.fleet import Fleet, Plan, Result, mixed_fleet, simulate, typical_conditions
from lorafw.fleet.presets import PLANS

MIXES: Final[Mapping[str, Mapping[str, float] | None]] = {
    "mixed": None,
    "Ethernet only": {"ethernet": 1.0},
    "mobile networks": {"lte-cat4": 0.4, "lte-cat1": 0.4, "3g": 0.1, "cat-m1": 0.1},
    "LTE-M only": {"cat-m1": 1.0},
}
"""Backhaul mixes by name; None is the simulator's own. Shares are assumptions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """``fails``: share of installs that fail; ``missed_poll``: of polls that do not happen; ``wrong_key``: of gateways
    whose key is not the update's. A rate is something to vary: no figure from the field can be trusted."""

    gateways: int = 1000
    mix: str = "mixed"
    plan: str = "at-once"
    fails: float = 0.1
    missed_poll: float = 0.05
    wrong_key: float = 0.0
    replications: int = 1
    seed: int = 1

    @property
    def size(self) -> int:
        """Gateways to simulate in all."""
        return self.gateways * self.replications

    def fleet(self) -> Fleet:
        return mixed_fleet(
            self.gateways,
            seed=self.seed,
            backhaul=MIXES[self.mix],
            wrong_key=self.wrong_key,
            conditions=replace(typical_conditions(), missed_poll=self.missed_poll),
        )

    def the_plan(self, name: str | None = None) -> Plan:
        return PLANS[name or self.plan](fails=self.fails)

    def run(self, progress: Callable[[int, int], None] | None = None) -> Result:
        """Raises FleetError, and whatever ``progress`` raises."""
        return simulate(
            self.fleet(), self.the_plan(), seed=self.seed, replications=self.replications, progress=progress
        )

    def with_(self, **changes: Any) -> Scenario:
        return replace(self, **changes)
