"""What the rollout monitor does to a rollout: it writes a person's commands, and it carries the plan out.

A plan is carried out on a testbed, whose clock is moved, or over a connection, in real time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lorafw.errors import LabError, LorafwError
from lorafw.lab.panels.background import Progress
from lorafw.localaws.lab_endpoint import LabEndpoint
from lorafw.localaws.remote_explanation import request_explanation
from lorafw.rollout import (
    Command,
    Connection,
    RealTime,
    SavedPlan,
    SimulatedTime,
    Until,
    apply,
    command,
    connect_clients,
    read_state,
)
from lorafw.rollout.actor import local_actor
from lorafw.rollout.file_system import is_locked
from lorafw.rollout.state import RolloutState
from lorafw.rollout.status import can_be_promoted
from lorafw.rollout.timing import RolloutClock
from lorafw.testbed import Testbed

_NOT_OPEN: Final = "the testbed of this rollout was stopped: run the cell that starts it, and this one, once more"


@dataclass(frozen=True, slots=True)
class RolloutDriver:
    """Carries a plan out, and explains why gateways have their status."""

    connect: Callable[[], Connection]
    """Returns the connection to AWS. Raises LabError if it cannot be used any more."""
    clock: RolloutClock
    """Tells the time and waits: the testbed's clock, or the real time."""
    explanation_of: Callable[[str], Sequence[str]] | None
    """Returns the lines that explain the gateway with the given id. None if nobody can be asked."""

    def run(self, plan: SavedPlan, journal: Path, progress: Progress) -> RolloutState:
        """Carry a plan out until it ends, holds or is paused.

        A plan updates gateways in groups, the waves. A rollout holds if a rule of its plan has stopped it, so that a
        person can look and decide.

        Args:
            plan: The saved plan.
            journal: The file of the journal.
            progress: Called as ``progress(done, total)`` with numbers of gateways. If it raises an exception, the run
                ends. The next run goes on from the journal.

        Returns:
            The last state.
        """
        total = len(plan.gateway_ids)

        def report_progress(state: RolloutState) -> None:
            progress(total - count_unfinished(state), total)

        return apply(plan, journal, self.connect(), self.clock, until=Until.HOLD, on_change=report_progress)

    def explain(self, gateway: str) -> list[str]:
        """Return why a gateway has its status, line by line, or the error message if it cannot be explained.

        Args:
            gateway: The id of the gateway.

        Returns:
            The lines. The list is empty if nobody can be asked.
        """
        if self.explanation_of is None:
            return []
        try:
            return list(self.explanation_of(gateway))
        except LorafwError as error:
            return [str(error)]


def count_unfinished(state: RolloutState) -> int:
    """Return the number of gateways that have no update task yet, or whose task has not ended.

    Args:
        state: The rollout at this moment.
    """
    without_task = sum(wave.count("waiting", "creating") for wave in state.waves)
    return without_task + state.open_count


def record_command(
    plan: SavedPlan, journal: Path, chosen: Command, reason: str, clock: RolloutClock | None = None
) -> str:
    """Write a command of the person at this computer into a journal.

    Args:
        plan: The saved plan.
        journal: The file of the journal.
        chosen: The command.
        reason: Why the person gives it. It is recorded with the person's name.
        clock: The clock of the rollout. None means the time of this computer.

    Returns:
        A sentence that says when the command takes effect.

    Raises:
        LabError: There is no reason, or a promotion would change nothing.
        JournalError: The journal cannot be read or written.
    """
    reason = reason.strip()
    if not reason:
        raise LabError(f"reason: say why, before you press {chosen.capitalize()}; it is recorded with your name")
    if chosen is Command.PROMOTE and not can_be_promoted(read_state(plan, journal)):
        raise LabError("there is nothing that a promotion would change; press Refresh")
    # A running apply locks the journal. Ask before the command, which needs the journal itself.
    is_applied = journal.exists() and is_locked(journal)
    command(plan, journal, chosen, actor=local_actor(), reason=reason, clock=clock)
    effect = "it takes effect when apply runs again"
    if is_applied:
        effect = "apply reads it at its next step"
    return f"✔ {chosen.capitalize()} is recorded; {effect}."


def make_driver(target: Testbed | Connection) -> RolloutDriver:
    """Return the driver for a testbed or for a connection.

    Args:
        target: The testbed or the connection.
    """
    if isinstance(target, Testbed):
        return _testbed_driver(target)
    return _connection_driver(target)


def _testbed_driver(bed: Testbed) -> RolloutDriver:
    """Return the driver for a testbed. If the rollout must wait, the driver moves the testbed's clock."""

    def connect() -> Connection:
        if not bed.is_open:
            raise LabError(_NOT_OPEN)
        return connect_clients(bed.client, "lab")

    def explanation_of(gateway: str) -> Sequence[str]:
        if not bed.is_open:
            raise LabError(_NOT_OPEN)
        return bed.service.explain(bed.owner, gateway).lines

    clock = SimulatedTime(bed.clock.now_ms, bed.advance)
    return RolloutDriver(connect, clock, explanation_of)


def _connection_driver(connection: Connection) -> RolloutDriver:
    """Return the driver for a connection. Only a lab explains gateways; AWS does not."""

    def connect() -> Connection:
        return connection

    if connection.lab_url is None:
        return RolloutDriver(connect, RealTime(), explanation_of=None)
    endpoint = LabEndpoint(connection.lab_url, connection.target.region)

    def explanation_of(gateway: str) -> Sequence[str]:
        lines: list[str] = request_explanation(endpoint, gateway)["lines"]
        return lines

    return RolloutDriver(connect, RealTime(), explanation_of)
