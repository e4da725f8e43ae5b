"""The input of a fleet panel: a few numbers that determine the fleet, the plan and the random numbers."""

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
"""Backhaul mixes by name: the share of each kind of backhaul. None means the default mix of the simulator.

The shares are assumptions.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A fleet and a rollout plan to simulate.

    The rates are assumptions to be varied: there are no reliable figures from the field.
    """

    gateways: int = 1000
    mix: str = "mixed"
    """Name of the backhaul mix, a key of MIXES."""
    plan: str = "at-once"
    """Name of the plan, a key of PLANS."""
    fails: float = 0.1
    """Share of installs that fail."""
    missed_poll: float = 0.05
    """Share of polls that do not happen."""
    wrong_key: float = 0.0
    """Share of gateways whose key does not belong to the signature of the update."""
    replications: int = 1
    """Number of independent rollouts to simulate."""
    seed: int = 1

    @property
    def total_gateways(self) -> int:
        """Number of gateways to simulate in all rollouts together."""
        return self.gateways * self.replications

    def fleet(self) -> Fleet:
        """Return the fleet. Equal scenarios have equal fleets."""
        return mixed_fleet(
            self.gateways,
            seed=self.seed,
            backhaul=MIXES[self.mix],
            wrong_key=self.wrong_key,
            conditions=replace(typical_conditions(), missed_poll=self.missed_poll),
        )

    def plan_for(self, name: str | None = None) -> Plan:
        """Return a plan with the scenario's share of failing installs.

        Args:
            name: Name of the plan. None means the plan of the scenario.
        """
        return PLANS[name or self.plan](fails=self.fails)

    def run(self, progress: Callable[[int, int], None] | None = None) -> Result:
        """Simulate the rollouts.

        Args:
            progress: Called as ``progress(done, total)`` with numbers of gateways. What it raises is passed on.

        Returns:
            The result of all rollouts.

        Raises:
            FleetError: The plan does not fit the fleet, or a value is out of range.
        """
        return simulate(
            self.fleet(), self.plan_for(), seed=self.seed, replications=self.replications, progress=progress
        )

    def replace(self, **changes: Any) -> Scenario:
        """Return a copy with the given fields changed."""
        return replace(self, **changes)
