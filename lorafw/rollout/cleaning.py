"""Delete the ended tasks of a rollout. An ended task blocks the next update of its gateway (documented)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lorafw.errors import RolloutError
from lorafw.localaws.connection import Connection
from lorafw.rollout.aws_api import AwsApi, CallError
from lorafw.rollout.calls import delete_task, read_gateway
from lorafw.rollout.events import DeleteIntended, TaskCleaned
from lorafw.rollout.evolution import evolve
from lorafw.rollout.file_system import lock_journal
from lorafw.rollout.journal import Journal, open_journal
from lorafw.rollout.rates import CALLS_PER_S, OperationRates
from lorafw.rollout.saved_plan import SavedPlan
from lorafw.rollout.state import Phase, initial_state
from lorafw.rollout.timing import RealTime, RolloutClock
from lorafw.tasks.lifecycle import TERMINAL


@dataclass(frozen=True, slots=True)
class CleaningResult:
    """What ``clean`` has done."""

    deleted: int
    """Number of tasks that were deleted."""
    left: int
    """Number of gateways whose task is gone already, or is not that of the rollout."""


def clean(
    plan: SavedPlan,
    journal: Path,
    connection: Connection,
    clock: RolloutClock | None = None,
    *,
    calls_per_s: float = CALLS_PER_S,
) -> CleaningResult:
    """Delete the tasks of a rollout that have ended. The journal still says how each task ended.

    Each task is read just before it is deleted, because it may be that of another rollout by now.

    Args:
        plan: The saved plan.
        journal: The file of the journal.
        connection: The account.
        clock: The clock. None for the machine's.
        calls_per_s: The largest number of calls of one operation in a second.

    Returns:
        How many tasks were deleted, and how many gateways had no task of the rollout any more.

    Raises:
        RolloutError: The rollout has not ended, or a call failed. What was deleted is in the journal.
        WrongTarget: The connection leads elsewhere.
        JournalError: ``apply`` is running, or the journal cannot be used.
    """
    clock = clock or RealTime()
    plan.check_target(connection.target)
    with lock_journal(journal), open_journal(journal, plan) as opened:
        state = evolve(initial_state(plan), opened.read())
        if state.finished is None:
            raise RolloutError("the rollout has not ended; only ended tasks of an ended rollout are deleted")
        api = AwsApi(connection.clients, OperationRates(calls_per_s, clock.monotonic_s, clock.sleep))
        ended = [gateway for gateway, progress in state.gateways.items() if progress.phase is Phase.ENDED]
        deleted = 0
        try:
            for gateway in ended:
                was_deleted = _clean_gateway(gateway, state.definition_id, api, opened, clock)
                deleted += int(was_deleted)
        except CallError as error:
            raise RolloutError(f"not everything was deleted: {error}; run clean again") from error
        return CleaningResult(deleted, len(ended) - deleted)


def _clean_gateway(gateway: str, definition_id: str | None, api: AwsApi, journal: Journal, clock: RolloutClock) -> bool:
    """Delete the task of a gateway if it is that of the rollout and has ended. Returns whether it was deleted."""
    task = read_gateway(api, gateway, with_version=False).task
    if task is None or task.definition_id != definition_id or task.status not in TERMINAL:
        return False
    journal.append([DeleteIntended(at_ms=clock.now_ms(), gateway=gateway)])
    delete_task(api, gateway)
    journal.append([TaskCleaned(at_ms=clock.now_ms(), gateway=gateway, status=task.status)])
    return True
