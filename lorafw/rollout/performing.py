"""Perform the actions that ``rollout.decisions`` asks for: call AWS, write the journal, run the hook.

The journal and the state in memory have the same order of events. So an intent is not written, and its call is not
made, if a person has given a new command: it is decided again with the command.

Each change at AWS is written to the journal twice: as an intent before its call, and as a result afterwards. Several
changes can share a commit, but an intent is on the disk before its call begins. After a crash, an intent without a
result shows that its call may or may not have reached AWS. The first thing to do is then to read the state at AWS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from lorafw.rollout.aws_api import AwsApi, CallError
from lorafw.rollout.calls import (
    compare_clock,
    create_definition,
    create_task,
    delete_task,
    list_gateways,
    read_definitions,
    read_gateway,
    read_object,
)
from lorafw.rollout.events import (
    CreateIntended,
    DefinitionIntended,
    DefinitionReady,
    DeleteIntended,
    EndedTaskDeleted,
    Event,
    HookRan,
    StatusChanged,
)
from lorafw.rollout.hooks import Hook
from lorafw.rollout.journal import Journal
from lorafw.rollout.observations import (
    Action,
    CallFailed,
    CheckGateway,
    CompareClock,
    CreateDefinition,
    CreateTask,
    DeleteEndedTask,
    DeleteTask,
    ListGateways,
    Observation,
    ReadDefinitions,
    ReadObject,
    ReadTask,
    RunHook,
    Wait,
    WriteEvent,
)
from lorafw.rollout.saved_plan import SavedPlan
from lorafw.rollout.state import RolloutState
from lorafw.rollout.task_log import created_row, deleted_row
from lorafw.rollout.timing import RolloutClock


@dataclass(frozen=True, slots=True)
class Tools:
    """What the actions of a rollout are performed with."""

    plan: SavedPlan
    """The plan that is carried out."""
    journal: Journal
    """The open journal of the plan."""
    api: AwsApi
    """The API of the account."""
    clock: RolloutClock
    """The clock."""
    hook: Hook | None = None
    """Runs the operator's hook. None if there is none."""


def perform_actions(tools: Tools, state: RolloutState, actions: Sequence[Action]) -> list[Observation]:
    """Perform all actions of a step whose events are in the journal, except for a ``Wait``.

    Args:
        tools: What the actions are performed with.
        state: The state after the step.
        actions: The actions of the step.

    Returns:
        What was observed and done, in order. A call that failed is one of the observations.

    Raises:
        JournalError: The journal cannot be written. No call was made of which it does not know.
    """
    to_create = [action.gateway for action in actions if isinstance(action, CreateTask)]
    to_delete = [action.gateway for action in actions if isinstance(action, DeleteTask)]
    observations = _create_tasks(tools, state, to_create)
    observations += _delete_tasks(tools, state, to_delete)
    for action in actions:
        if not isinstance(action, WriteEvent | CreateTask | DeleteTask | Wait):
            observations += _perform_single_action(tools, action)
    comparison = tools.api.answer_dates.take_comparison()
    if comparison is not None:
        observations.insert(0, comparison)  # nothing that was read is recorded with the time of a wrong clock
    return observations


def write_events(journal: Journal, actions: Iterable[Action]) -> bool:
    """Write the events of the ``WriteEvent`` actions to the journal, in one commit.

    Returns:
        False if a person has given a new command, and nothing was written.

    Raises:
        JournalError: The journal cannot be written.
    """
    return journal.append_decisions([action.event for action in actions if isinstance(action, WriteEvent)])


# --- the tasks of the plan: many gateways share the two commits ---


def _create_tasks(tools: Tools, state: RolloutState, gateways: Sequence[str]) -> list[Observation]:
    """Create the tasks of some gateways, and return what was done and what failed."""
    definition_id = state.definition_id
    if definition_id is None:
        return []  # the core asks for tasks only after the definition was created

    def create(gateway: str) -> StatusChanged:
        """Create the task of one gateway, and return its row of the task log."""
        create_task(tools.api, gateway, definition_id)
        now_ms = tools.clock.now_ms()
        return created_row(gateway, now_ms, now_ms)

    now_ms = tools.clock.now_ms()
    intents = [CreateIntended(at_ms=now_ms, gateway=gateway) for gateway in gateways]
    return _change_gateways(tools.journal, gateways, intents, create)


def _delete_tasks(tools: Tools, state: RolloutState, gateways: Sequence[str]) -> list[Observation]:
    """Delete the tasks of some gateways, and return what was done and what failed."""

    def delete(gateway: str) -> StatusChanged:
        """Delete the task of one gateway, and return its row of the task log."""
        delete_task(tools.api, gateway)
        return deleted_row(gateway, state.progress_of(gateway), tools.clock.now_ms())

    now_ms = tools.clock.now_ms()
    intents = [DeleteIntended(at_ms=now_ms, gateway=gateway) for gateway in gateways]
    return _change_gateways(tools.journal, gateways, intents, delete)


def _change_gateways(
    journal: Journal, gateways: Sequence[str], intents: Sequence[Event], change: Callable[[str], Event]
) -> list[Observation]:
    """Change something at AWS for each of some gateways, and keep the journal up to date.

    Args:
        journal: The open journal.
        gateways: The ids of the gateways.
        intents: For each gateway, the event that says what is about to be done.
        change: Makes the change for one gateway, and returns the event that says what was done. Raises CallError if
            the call of AWS fails.

    Returns:
        The intents, the results, and the failures. A failed call has an intent without a result. Empty if a person has
        given a new command, and no call was made.
    """
    if not gateways:
        return []

    # 1. The intents are on the disk before the first call.
    if not journal.append_decisions(intents):
        return []

    # 2. Make one call for each gateway.
    results: list[Event] = []
    failures: list[Observation] = []
    for gateway in gateways:
        try:
            results.append(change(gateway))
        except CallError as error:
            failures.append(_to_observation(error, gateway))

    # 3. Write what was done.
    return [*intents, *journal.append(results), *failures]


# --- all other actions ---


def _perform_single_action(tools: Tools, action: Action) -> list[Observation]:
    """Perform an action that does not create or delete a task of the plan. A failed call is an observation too."""
    try:
        match action:
            case CreateDefinition():
                return _create_definition(tools)
            case DeleteEndedTask():
                return _delete_ended_task(tools, action)
            case RunHook():
                return [*_run_hook(tools, action)]
            case _:
                return [_read(tools, action)]
    except CallError as error:
        gateway = getattr(action, "gateway", None)
        return [_to_observation(error, gateway)]


def _read(tools: Tools, action: Action) -> Observation:
    """Read what an action asks for. Nothing is changed at AWS.

    Args:
        tools: What the actions are performed with.
        action: An action that only reads.

    Returns:
        What was read.

    Raises:
        CallError: The call failed.
    """
    match action:
        case ReadTask(gateway):
            return read_gateway(tools.api, gateway, with_version=False)
        case CheckGateway(gateway):
            return read_gateway(tools.api, gateway, with_version=True)
        case ListGateways():
            return list_gateways(tools.api)
        case ReadDefinitions():
            return read_definitions(tools.api, tools.plan)
        case ReadObject():
            return read_object(tools.api, tools.plan.update_object)
        case CompareClock():
            return compare_clock(tools.api)
    raise NotImplementedError(f"{type(action).__name__} is not an action that reads")


def _create_definition(tools: Tools) -> list[Observation]:
    """Create the task definition of the plan, and return the intent and the result, or why the call failed."""
    intent = DefinitionIntended(at_ms=tools.clock.now_ms())
    if not tools.journal.append_decisions([intent]):
        return []
    try:
        definition_id = create_definition(tools.api, tools.plan)
    except CallError as error:
        return [intent, _to_observation(error, gateway=None)]
    result = DefinitionReady(at_ms=tools.clock.now_ms(), definition_id=definition_id)
    return [intent, *tools.journal.append([result])]


def _delete_ended_task(tools: Tools, action: DeleteEndedTask) -> list[Observation]:
    """Delete a task of an earlier update that has ended, and return the intent and the result, or why it failed."""
    intent = DeleteIntended(at_ms=tools.clock.now_ms(), gateway=action.gateway)
    if not tools.journal.append_decisions([intent]):
        return []
    try:
        delete_task(tools.api, action.gateway)
    except CallError as error:
        return [intent, _to_observation(error, action.gateway)]
    result = EndedTaskDeleted(
        at_ms=tools.clock.now_ms(),
        gateway=action.gateway,
        definition_id=action.task.definition_id,
        status=action.task.status,
    )
    return [intent, *tools.journal.append([result])]


def _run_hook(tools: Tools, action: RunHook) -> list[Event]:
    """Run the operator's hook, and return how it ended, behind the commands that a person gave meanwhile."""
    assert tools.hook is not None, "a rollout without a hook does not ask for a run of it"
    finished = tools.hook(action.wave, action.moment)
    result = HookRan(
        at_ms=tools.clock.now_ms(),
        wave=action.wave,
        moment=action.moment,
        exit_status=finished.exit_status,
        output=finished.output,
    )
    return tools.journal.append([result])


def _to_observation(error: CallError, gateway: str | None) -> CallFailed:
    """Return the observation of a call that failed. ``gateway`` is the gateway that it was for, or None."""
    return CallFailed(error.operation, error.kind, error.message, gateway)
