"""Apply a plan: check where it leads, lock and replay the journal, and run the engine."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Final

from lorafw.errors import RolloutError, StalePlan
from lorafw.localaws.connection import Connection
from lorafw.rollout.account_facts import find_changes
from lorafw.rollout.aws_api import AwsApi, CallError
from lorafw.rollout.engine import Engine, Until
from lorafw.rollout.events import Command, Commanded, Event, Started
from lorafw.rollout.evolution import evolve
from lorafw.rollout.file_system import check_is_local, lock_journal
from lorafw.rollout.hooks import Hook
from lorafw.rollout.journal import has_begun, open_journal
from lorafw.rollout.performing import Tools
from lorafw.rollout.rates import CALLS_PER_S, OperationRates
from lorafw.rollout.saved_plan import SavedPlan
from lorafw.rollout.state import EnvelopeCheck, RolloutState, Settings, check_band, initial_state
from lorafw.rollout.timing import RealTime, RolloutClock

OnChange = Callable[[RolloutState], None]

_LARGEST_BATCH: Final = 10_000
"""The largest number of gateways that one step reads, however many calls are allowed."""


def apply(
    plan: SavedPlan,
    journal: Path,
    connection: Connection,
    clock: RolloutClock | None = None,
    *,
    until: Until = Until.END,
    hook: Hook | None = None,
    replace_ended: bool = False,
    envelope: EnvelopeCheck = check_band,
    calls_per_s: float = CALLS_PER_S,
    on_change: OnChange | None = None,
) -> RolloutState:
    """Carry out a plan, or go on with it. Can be killed at any moment and called again.

    Args:
        plan: The saved plan.
        journal: The file of the journal. It is created if it does not exist.
        connection: The account.
        clock: The clock. None for the machine's.
        until: When to return.
        hook: Runs before each wave and after each gate. A status other than 0 holds the rollout.
        replace_ended: True to delete tasks of earlier updates that have ended and are in the way.
        envelope: Compares each wave with its prediction. The rollout holds if it returns a reason.
        calls_per_s: The largest number of calls of one operation in a second.
        on_change: Called with the state after each step.

    Returns:
        The last state.

    Raises:
        WrongTarget: The connection leads elsewhere. Nothing was sent.
        StalePlan: The account has changed since the plan was made, and nothing was created yet.
        JournalError: Another ``apply`` is running, or the journal cannot be used.
        RolloutError: The account cannot be read.
    """
    clock = clock or RealTime()
    plan.check_target(connection.target)
    check_is_local(journal)
    settings = Settings(
        batch=max(1, int(min(calls_per_s, _LARGEST_BATCH))),
        replaces_ended=replace_ended,
        has_hook=hook is not None,
        envelope=envelope,
        compares_clock=isinstance(clock, RealTime),
    )
    rates = OperationRates(calls_per_s, clock.monotonic_s, clock.sleep)
    now_ms = clock.now_ms if settings.compares_clock else None
    api = AwsApi(connection.clients, rates, now_ms)
    with lock_journal(journal), open_journal(journal, plan) as opened:
        # 1. Find out how far the rollout has come.
        state = evolve(initial_state(plan, settings), opened.read())
        if state.finished is not None:
            return state
        if state.started_ms is None:
            _check_is_fresh(plan, api, connection)

        # 2. Go on from there.
        started = Started(at_ms=clock.now_ms(), actor=connection.actor, version=version("lorafw"))
        state = evolve(state, opened.append([started]))
        engine = Engine(state, Tools(plan, opened, api, clock, hook), on_change)
        return engine.run(until)


def _check_is_fresh(plan: SavedPlan, api: AwsApi, connection: Connection) -> None:
    """Refuse a plan that does not fit the account any more."""
    try:
        changes = find_changes(plan, api, connection.clients)
    except CallError as error:
        raise RolloutError(f"the account cannot be read: {error}") from error
    if changes:
        raise StalePlan(changes)


def read_state(plan: SavedPlan, journal: Path) -> RolloutState:
    """Return the state of a rollout from its journal, while ``apply`` runs or not.

    Args:
        plan: The saved plan.
        journal: The file of the journal. Without it, the rollout is planned.

    Raises:
        JournalError: The journal cannot be read, or is that of another plan.
    """
    return read_journal(plan, journal)[0]


def read_journal(plan: SavedPlan, journal: Path) -> tuple[RolloutState, list[Event]]:
    """Return the state of a rollout, and all events of its journal.

    Args:
        plan: The saved plan.
        journal: The file of the journal. Without it, nothing has happened.

    Raises:
        JournalError: The journal cannot be read, or is that of another plan.
    """
    if not has_begun(journal):
        return initial_state(plan), []
    with open_journal(journal, plan) as opened:
        events = opened.read()
    return evolve(initial_state(plan), events), events


def command(
    plan: SavedPlan,
    journal: Path,
    chosen: Command,
    *,
    actor: str,
    reason: str,
    clock: RolloutClock | None = None,
) -> RolloutState:
    """Tell a rollout to pause, to resume, to go on, or to stop. ``apply`` reads it at its next step.

    Args:
        plan: The saved plan.
        journal: The file of the journal. It is created if it does not exist.
        chosen: The command.
        actor: The person who gives the command, for the report.
        reason: Why the person gives it, for the report.
        clock: The clock. None for the machine's.

    Returns:
        The state with the command.

    Raises:
        RolloutError: The rollout has ended.
        JournalError: The journal cannot be written.
    """
    clock = clock or RealTime()
    with open_journal(journal, plan) as opened:
        state = evolve(initial_state(plan), opened.read())
        _check_is_not_over(state, chosen)
        event = Commanded(at_ms=clock.now_ms(), command=chosen, actor=actor, reason=reason)
        position = opened.read_position
        opened.append([event])
        # The rollout can have ended just before the command.
        state = evolve(state, opened.read(after=position))
        _check_is_not_over(state, chosen)
        return state


def _check_is_not_over(state: RolloutState, chosen: Command) -> None:
    """Raise RolloutError if a command comes too late."""
    if state.finished is not None:
        raise RolloutError(f"the rollout has ended ({state.finished.ending}); it cannot be told to {chosen}")
