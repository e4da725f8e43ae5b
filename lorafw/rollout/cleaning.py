"""Delete the ended tasks of a rollout. An ended task blocks the next update of its gateway (documented)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from lorafw.errors import RolloutError
from lorafw.localaws.connection import Connection
from lorafw.rollout.aws_api import AwsApi, CallError
from lorafw.rollout.calls import delete_task, read_gateway
from lorafw.rollout.events import DeleteIntended, Event, TaskCleaned
from lorafw.rollout.evolution import evolve
from lorafw.rollout.file_system import lock_journal
from lorafw.rollout.journal import Journal, open_journal
from lorafw.rollout.rates import CALLS_PER_S, OperationRates
from lorafw.rollout.saved_plan import SavedPlan
from lorafw.rollout.state import Phase, RolloutState, initial_state
from lorafw.rollout.task_log import changed_row
from lorafw.rollout.timing import RealTime, RolloutClock
from lorafw.tasks.lifecycle import TERMINAL


@dataclass(frozen=True, slots=True)
class CleaningResult:
    """What ``clean`` has done."""

    deleted: int
    """Number of tasks that were deleted."""
    left: int
    """Number of gateways whose task is gone already, or is not that of the rollout."""
    not_ended: int = 0
    """Number of gateways whose task has not ended."""


def clean(
    plan: SavedPlan,
    journal: Path,
    connection: Connection,
    clock: RolloutClock | None = None,
    *,
    calls_per_s: float = CALLS_PER_S,
) -> CleaningResult:
    """Delete the tasks of a rollout that have ended. The journal still says how each task ended.

    Each task is read just before it is deleted, because it may be that of another rollout by now. Tasks that have ended
    after the rollout are deleted as well.

    Args:
        plan: The saved plan.
        journal: The file of the journal.
        connection: The account.
        clock: The clock. None for the machine's.
        calls_per_s: The largest number of calls of one operation in a second.

    Returns:
        How many tasks were deleted, how many gateways had no task of the rollout any more, and how many tasks have not
        ended.

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
        results: Counter[_Result] = Counter()
        try:
            for gateway in _gateways_with_task(state):
                results[_clean_gateway(gateway, state, api, opened, clock)] += 1
        except CallError as error:
            raise RolloutError(f"not everything was deleted: {error}; run clean again") from error
        return CleaningResult(results[_Result.DELETED], results[_Result.GONE], results[_Result.NOT_ENDED])


class _Result(Enum):
    """What has become of the task of a gateway."""

    DELETED = auto()
    GONE = auto()
    """It is gone already, or is not that of the rollout."""
    NOT_ENDED = auto()


def _gateways_with_task(state: RolloutState) -> Iterator[str]:
    """Yield the gateways that may have a task of the rollout."""
    for gateway, progress in state.gateways.items():
        was_given_task = progress.tasks_announced or progress.tasks_created
        if was_given_task and progress.phase is not Phase.DELETED:
            yield gateway


def _clean_gateway(gateway: str, state: RolloutState, api: AwsApi, journal: Journal, clock: RolloutClock) -> _Result:
    """Delete the task of a gateway if it is that of the rollout and has ended."""
    task = read_gateway(api, gateway, with_version=False).task
    if task is None or task.definition_id != state.definition_id:
        return _Result.GONE
    if task.status not in TERMINAL:
        return _Result.NOT_ENDED
    progress, now_ms = state.progress_of(gateway), clock.now_ms()
    events: list[Event] = [DeleteIntended(at_ms=now_ms, gateway=gateway)]
    if progress.phase is Phase.OPEN:
        # It has ended after the rollout, so the journal does not say yet how.
        events.insert(0, changed_row(gateway, progress, task, now_ms, state.plan.plan.silence_timeout_ms))
    journal.append(events)
    delete_task(api, gateway)
    journal.append([TaskCleaned(at_ms=clock.now_ms(), gateway=gateway, status=task.status)])
    return _Result.DELETED
