"""One step of the simulation: what all of its stages read."""

from __future__ import annotations

from dataclasses import dataclass

from lorafw.fleet.arrays import Floats
from lorafw.fleet.simulation.active import ActiveGateways
from lorafw.fleet.simulation.inputs import BatchColumns, SimulationParameters
from lorafw.fleet.simulation.outages import Outages
from lorafw.fleet.simulation.random_streams import Stream, uniform


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One step of a batch. In each step every active gateway makes one exchange with the server."""

    number: int
    """The number of the step, from 0. It selects the random numbers."""
    params: SimulationParameters
    """The plan and the conditions of the rollout."""
    columns: BatchColumns
    """The gateways of the batch, including those that are no longer active."""
    outages: Outages | None
    """The outages of the networks. None if there are none."""

    def random_numbers(self, active: ActiveGateways, stream: Stream) -> Floats:
        """Return one uniform random number in (0, 1) for each gateway.

        Args:
            active: The gateways.
            stream: What the numbers decide.
        """
        return uniform(active.rng_key, stream, self.number)
