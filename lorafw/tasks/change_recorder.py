"""Collects what a call of the update service changes, and saves it when the call ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lorafw.clock import Clock, Moment
from lorafw.tasks.changes import ApiRecord, SavedChanges, ServiceStore
from lorafw.tasks.definition_table import DefinitionTable
from lorafw.tasks.gateway_table import GatewayTable
from lorafw.tasks.task_log import TaskLog


@dataclass(slots=True)
class NotedChanges:
    """What the current call has changed so far."""

    gateway_ids: set[str] = field(default_factory=set)
    """The gateways that the call has changed or deleted, or that it may have changed."""
    definition_ids: set[str] = field(default_factory=set)
    """The task definitions that the call has created, changed or deleted."""
    api_values: dict[ApiRecord, Any] = field(default_factory=dict)
    """The values of the API that the call has saved. None stands for a value that it has deleted."""


class ChangeRecorder:
    """Collects the changes of a call, and passes them to the store when the call ends.

    A call notes the id of each gateway and definition that it may change. Their states are read when the call ends, so
    it does not matter whether the call notes an id before or after the change. Not thread-safe: callers must hold a
    lock.

    Args:
        gateways: The states of the gateways.
        definitions: The task definitions.
        log: The task log. It knows its new rows itself.
    """

    def __init__(self, gateways: GatewayTable, definitions: DefinitionTable, log: TaskLog) -> None:
        self.store: ServiceStore | None = None
        """Where changes are saved before a call is answered. None to keep the state in memory only."""
        self._gateways = gateways
        self._definitions = definitions
        self._log = log
        self._noted = NotedChanges()

    def note_gateway(self, gateway_id: str) -> None:
        """Note that the current call may change, create or delete a gateway."""
        self._noted.gateway_ids.add(gateway_id)

    def note_definition(self, definition_id: str) -> None:
        """Note that the current call may change, create or delete a task definition."""
        self._noted.definition_ids.add(definition_id)

    def note_api_value(self, record: ApiRecord, value: Any) -> None:
        """Note a new value of the API. None stands for a value that is deleted."""
        self._noted.api_values[record] = value

    def save(self, clock: Clock) -> None:
        """Pass the changes of the current call to the store, if there is one. The call must have ended.

        Raises:
            StateError: These or earlier changes cannot be saved. The call must not be answered.
        """
        noted, new_rows = self._noted, self._log.take_unsaved_rows()
        self._noted = NotedChanges()  # The next call starts without changes, even if these cannot be saved.
        if self.store is None:
            return
        changes = SavedChanges(
            now=Moment.of(clock),
            gateways={gateway_id: self._gateways.find_by_id(gateway_id) for gateway_id in noted.gateway_ids},
            definitions={each_id: self._definitions.find_by_id(each_id) for each_id in noted.definition_ids},
            log=new_rows,
            api_records=noted.api_values,
        )
        if changes.is_empty:
            self.store.check()
        else:
            self.store.save(changes)
