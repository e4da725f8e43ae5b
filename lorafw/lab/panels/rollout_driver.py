"""How a panel carries a rollout out: on a testbed, whose clock it moves, or over a connection, in real time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lorafw.errors import LabError
from lorafw.lab.panels.background import Progress
from lorafw.localaws.lab_endpoint import LabEndpoint
from lorafw.localaws.remote_explanation import request_explanation
from lorafw.rollout import Connection, RealTime, SavedPlan, SimulatedTime, Until, apply, connect_clients
from lorafw.rollout.state import RolloutState
from lorafw.rollout.timing import RolloutClock
from lorafw.testbed import Testbed

_NOT_OPEN: Final = "the testbed of this rollout was stopped: run the cell that starts it, and this one, once more"


@dataclass(frozen=True, slots=True)
class RolloutDriver:
    """Carries a plan out, and explains gateways."""

    connect: Callable[[], Connection]
    """Returns the connection. Raises LabError if it cannot be used any more."""
    clock: RolloutClock
    explain: Callable[[str], Sequence[str]] | None
    """Returns the lines that explain a gateway, whose id it is given. None if nobody can be asked."""

    def run(self, plan: SavedPlan, journal: Path, progress: Progress) -> RolloutState:
        """Carry a plan out until it ends, holds or is paused.

        Args:
            plan: The saved plan.
            journal: The file of the journal.
            progress: Called as ``progress(done, total)`` with numbers of gateways. What it raises ends the run, after
                which the next one goes on.

        Returns:
            The last state.
        """
        total = len(plan.gateway_ids)

        def report_progress(state: RolloutState) -> None:
            still_open = sum(wave.count("waiting", "creating") for wave in state.waves) + state.open_count
            progress(total - still_open, total)

        return apply(plan, journal, self.connect(), self.clock, until=Until.HOLD, on_change=report_progress)


def make_driver(target: Testbed | Connection) -> RolloutDriver:
    """Return the driver for a testbed or for a connection.

    Args:
        target: The testbed or the connection.
    """
    if isinstance(target, Testbed):
        return _drive_testbed(target)
    return RolloutDriver(lambda: target, RealTime(), _explain_over(target))


def _drive_testbed(bed: Testbed) -> RolloutDriver:
    """Return the driver for a testbed. To wait is to move the testbed's clock."""

    def connect() -> Connection:
        if not bed.is_open:
            raise LabError(_NOT_OPEN)
        return connect_clients(bed.client, "lab")

    def explain(gateway: str) -> Sequence[str]:
        if not bed.is_open:
            raise LabError(_NOT_OPEN)
        return bed.service.explain(bed.owner, gateway).lines

    return RolloutDriver(connect, SimulatedTime(bed.clock.now_ms, bed.advance), explain)


def _explain_over(connection: Connection) -> Callable[[str], Sequence[str]] | None:
    """Return a function that asks the lab of a connection. None if it is no lab: AWS explains nothing."""
    if connection.lab_url is None:
        return None
    endpoint = LabEndpoint(connection.lab_url, connection.target.region)

    def explain(gateway: str) -> Sequence[str]:
        lines: list[str] = request_explanation(endpoint, gateway)["lines"]
        return lines

    return explain
