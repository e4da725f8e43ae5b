"""Carries out a rollout: calls AWS, writes the journal, and waits.

``rollout.decisions`` decides which actions come next. The engine performs them and reports what it observed.

Each change at AWS is written to the journal twice: as an intent before its call, and as a result afterwards. Several
changes can share a commit, but an intent is on the disk before its call begins. After a crash, an intent without a
result shows that its call may or may not have reached AWS. The first thing to do is then to read the state at AWS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Final

from lorafw.rollout.calls import AwsCalls, CallError
from lorafw.rollout.decisions import step
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
    CreateDefinition,
    CreateTask,
    DeleteEndedTask,
    DeleteTask,
    ListGateways,
    Observation,
    ReadDefinitions,
    ReadObject,
    ReadTask,
    Record,
    RunHook,
    Wait,
)
from lorafw.rollout.state import RolloutState
from lorafw.rollout.status import StateName, describe_state
from lorafw.rollout.task_log import created_row, deleted_row
from lorafw.rollout.timing import RolloutClock

_STATES_WITHOUT_PROGRESS: Final = (StateName.HOLDING, StateName.PAUSED, StateName.ABORTED)
"""States in which a rollout that has nothing to do stays until a person commands something."""


class Until(Enum):
    """When ``apply`` returns."""

    END = "end"
    """When the rollout has ended."""
    HOLD = "hold"
    """When it has ended, holds or is paused, or is aborted and has nothing left to delete."""
    IDLE = "idle"
    """When there is nothing to do now: one round."""


class Engine:
    """Carries out one plan.

    Args:
        state: The state, replayed from the journal.
        journal: The open journal.
        calls: The calls of AWS.
        clock: The clock.
        hook: Runs the operator's hook. None if there is none.
        on_change: Called with the state after each step.
    """

    def __init__(
        self,
        state: RolloutState,
        journal: Journal,
        calls: AwsCalls,
        clock: RolloutClock,
        hook: Hook | None = None,
        on_change: Callable[[RolloutState], None] | None = None,
    ) -> None:
        self.state = state
        self._journal = journal
        self._calls = calls
        self._clock = clock
        self._hook = hook
        self._on_change = on_change
        self._method_by_action: Mapping[type[Action], Callable[[Any], list[Observation]]] = {
            ReadTask: self._read_task,
            CheckGateway: self._check_gateway,
            ListGateways: self._list_gateways,
            ReadDefinitions: self._read_definitions,
            ReadObject: self._read_object,
            CreateDefinition: self._create_definition,
            DeleteEndedTask: self._delete_ended_task,
            RunHook: self._run_hook,
        }

    def run(self, until: Until = Until.END) -> RolloutState:
        """Carry the rollout on.

        Args:
            until: When to return.

        Returns:
            The last state.

        Raises:
            JournalError: The journal cannot be written. Nothing was sent that it does not know.
        """
        observations: list[Observation] = []
        while True:
            observations += self._journal.read_new_commands()
            self.state, actions = step(self.state, observations, self._clock.now_ms())
            if self._on_change is not None:
                self._on_change(self.state)
            if self._is_over(actions, until):
                self._write_records(actions)
                return self.state
            observations = self._perform_actions(actions)

    def _is_over(self, actions: Sequence[Action], until: Until) -> bool:
        """Return whether ``run`` returns now."""
        if self.state.finished is not None:
            return True
        is_idle = not actions or isinstance(actions[0], Wait)
        if until is Until.IDLE:
            return is_idle
        if until is Until.HOLD and is_idle:
            return describe_state(self.state).name in _STATES_WITHOUT_PROGRESS
        return False

    def _perform_actions(self, actions: Sequence[Action]) -> list[Observation]:
        """Perform all actions of a step. Waits if there is nothing else to do.

        Returns:
            What was observed and done, in order.
        """
        self._write_records(actions)
        observations: list[Observation] = []
        observations += self._create_tasks([action.gateway for action in actions if isinstance(action, CreateTask)])
        observations += self._delete_tasks([action.gateway for action in actions if isinstance(action, DeleteTask)])
        for action in actions:
            if not isinstance(action, Record | CreateTask | DeleteTask | Wait):
                observations += self._perform_single_action(action)
        self._wait_if_idle(actions)
        return observations

    def _wait_if_idle(self, actions: Sequence[Action]) -> None:
        """Wait for the time of the next step or a command of a person, if the actions ask for nothing else."""
        until_ms = None
        if actions:
            first_action = actions[0]
            if not isinstance(first_action, Wait):
                return
            until_ms = first_action.until_ms
        self._clock.wait_until(until_ms, self._journal.has_new_commands)

    def _write_records(self, actions: Iterable[Action]) -> None:
        """Write the records among the actions to the journal, in one commit."""
        self._journal.append([action.event for action in actions if isinstance(action, Record)])

    # --- tasks of the plan: write the intent, make the call, write the result ---

    def _create_tasks(self, gateways: Sequence[str]) -> list[Observation]:
        """Create the tasks of gateways, and return what was done and what failed."""
        definition_id = self.state.definition_id
        assert definition_id is not None or not gateways

        def create(gateway: str) -> StatusChanged:
            """Create the task of one gateway."""
            self._calls.create_task(gateway, str(definition_id))
            now_ms = self._clock.now_ms()
            return created_row(gateway, now_ms, now_ms)

        now_ms = self._clock.now_ms()
        intents = [CreateIntended(at_ms=now_ms, gateway=gateway) for gateway in gateways]
        return self._call_between_intent_and_result(gateways, intents, create)

    def _delete_tasks(self, gateways: Sequence[str]) -> list[Observation]:
        """Delete the tasks of gateways, and return what was done and what failed."""

        def delete(gateway: str) -> StatusChanged:
            """Delete the task of one gateway."""
            self._calls.delete_task(gateway)
            return deleted_row(gateway, self.state.progress_of(gateway), self._clock.now_ms())

        now_ms = self._clock.now_ms()
        intents = [DeleteIntended(at_ms=now_ms, gateway=gateway) for gateway in gateways]
        return self._call_between_intent_and_result(gateways, intents, delete)

    def _call_between_intent_and_result(
        self, gateways: Sequence[str], intents: Sequence[Event], call_aws: Callable[[str], Event]
    ) -> list[Observation]:
        """Write the intents to the journal, make one call of AWS for each gateway, and write the results.

        Args:
            gateways: The ids of the gateways.
            intents: For each gateway the event that says which call will be made.
            call_aws: Makes the call for one gateway, and returns the event that says what it did. Raises CallError if
                the call fails.

        Returns:
            The intents, the results, and the failures. A failed call has an intent without a result.
        """
        if not gateways:
            return []
        self._journal.append(intents)
        results: list[Event] = []
        failures: list[Observation] = []
        for gateway in gateways:
            try:
                results.append(call_aws(gateway))
            except CallError as error:
                failures.append(_failure(error, gateway))
        self._journal.append(results)
        return [*intents, *results, *failures]

    # --- all other actions ---

    def _perform_single_action(self, action: Action) -> list[Observation]:
        """Perform one action that does not create or delete a task of the plan. A failed call is an observation too."""
        perform = self._method_by_action[type(action)]
        try:
            return perform(action)
        except CallError as error:
            gateway = getattr(action, "gateway", None)
            return [_failure(error, gateway)]

    def _read_task(self, action: ReadTask) -> list[Observation]:
        """Read the task of a gateway."""
        return [self._calls.read_gateway(action.gateway, with_version=False)]

    def _check_gateway(self, action: CheckGateway) -> list[Observation]:
        """Read the task and the version of a gateway."""
        return [self._calls.read_gateway(action.gateway, with_version=True)]

    def _list_gateways(self, _: ListGateways) -> list[Observation]:
        """List all gateways."""
        return [self._calls.list_gateways()]

    def _read_definitions(self, _: ReadDefinitions) -> list[Observation]:
        """Read the task definitions."""
        return [self._calls.read_definitions()]

    def _read_object(self, _: ReadObject) -> list[Observation]:
        """Compare the update file with the plan."""
        return [self._calls.read_object()]

    def _create_definition(self, _: CreateDefinition) -> list[Observation]:
        """Create the task definition of the plan."""
        intent = DefinitionIntended(at_ms=self._clock.now_ms())
        self._journal.append([intent])
        definition_id = self._calls.create_definition()
        result = DefinitionReady(at_ms=self._clock.now_ms(), definition_id=definition_id)
        self._journal.append([result])
        return [intent, result]

    def _delete_ended_task(self, action: DeleteEndedTask) -> list[Observation]:
        """Delete a task of an earlier update that has ended."""
        self._journal.append([DeleteIntended(at_ms=self._clock.now_ms(), gateway=action.gateway)])
        self._calls.delete_task(action.gateway)
        result = EndedTaskDeleted(
            at_ms=self._clock.now_ms(),
            gateway=action.gateway,
            definition_id=action.task.definition_id,
            status=action.task.status,
        )
        self._journal.append([result])
        return [result]

    def _run_hook(self, action: RunHook) -> list[Observation]:
        """Run the hook."""
        assert self._hook is not None
        finished = self._hook(action.wave, action.moment)
        result = HookRan(
            at_ms=self._clock.now_ms(),
            wave=action.wave,
            moment=action.moment,
            exit_status=finished.exit_status,
            output=finished.output,
        )
        self._journal.append([result])
        return [result]


def _failure(error: CallError, gateway: str | None) -> CallFailed:
    """Return the observation of a call that failed."""
    return CallFailed(error.operation, error.kind, error.message, gateway)
