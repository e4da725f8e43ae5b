"""Collects what a call of the update service changes, and saves it when the call ends."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from lorafw.clock import Clock, Moment
from lorafw.tasks.changes import ApiRecord, SavedChanges, SavingLock, ServiceStore
from lorafw.tasks.definition_table import DefinitionTable
from lorafw.tasks.gateway_table import GatewayTable
from lorafw.tasks.task_log import TaskLog


class ChangeSaver:
    """Saves what a call of the update service has changed, before the call is answered. Thread-safe.

    Each call holds ``lock``. The tables and the task log know what has changed in them since the last call.

    Args:
        gateways: The states of the gateways.
        definitions: The task definitions.
        log: The task log.
        clock: The clock of the service.
    """

    def __init__(self, gateways: GatewayTable, definitions: DefinitionTable, log: TaskLog, clock: Clock) -> None:
        self.lock = SavingLock(self._save_changes)
        """The lock of the service. It saves the changes before it is released."""
        self.store: ServiceStore | None = None
        """Where changes are saved. None to keep the state in memory only."""
        self._gateways = gateways
        self._definitions = definitions
        self._log = log
        self._clock = clock
        self._api_values: dict[ApiRecord, Any] = {}
        """The values of the API that the current call has changed. None stands for a deleted value."""

    def transaction(self) -> AbstractContextManager[None]:
        """Return a context manager that saves all changes of its block at once, if there is a store.

        Other calls wait until the block has ended, so the block must not wait for another server.
        """
        if self.store is None:
            return nullcontext()
        return self.lock

    def note_api_value(self, record: ApiRecord, value: Any) -> None:
        """Save a value of the API when the current call ends. None deletes it."""
        with self.lock:
            self._api_values[record] = value

    def _save_changes(self) -> None:
        """Pass the changes of the current call to the store, if there is one. The lock calls this when it is released.

        Raises:
            StateError: These or earlier changes cannot be saved. The call must not be answered.
        """
        # Taking the changes removes them, so the next call starts without changes even if these cannot be saved.
        changes = self._take_changes()
        if self.store is None:
            return
        if changes.is_empty:
            self.store.check()
        else:
            self.store.save(changes)

    def _take_changes(self) -> SavedChanges:
        """Return the changes of the current call, and forget them."""
        api_values, self._api_values = self._api_values, {}
        return SavedChanges(
            now=Moment.of(self._clock),
            gateways=self._gateways.take_changes(),
            definitions=self._definitions.take_changes(),
            log=self._log.take_unsaved_rows(),
            api_records=api_values,
        )
