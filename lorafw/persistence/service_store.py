"""Saves the update service in the database, and loads it after a restart."""

from __future__ import annotations

import json
import sqlite3
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lorafw.clock import Moment
from lorafw.cups.messages import UpdateInfoRequest
from lorafw.errors import StateError
from lorafw.persistence.codec import from_json, to_json
from lorafw.persistence.database import StateDatabase
from lorafw.tasks.changes import ApiRecord, SavedChanges
from lorafw.tasks.gateway_state import RECENT_EXCHANGES, RECENT_ROWS, GatewayState
from lorafw.tasks.lifecycle import Cause, LogRow, TaskStatus
from lorafw.tasks.model import AccountRegion, Definition, ExchangeRecord, Gateway, Task
from lorafw.tasks.saved_state import SavedState
from lorafw.tasks.task_log import LOG_ROWS

_SAVED_AT: Final = "saved_at"
"""Name of the property with the time of the last change."""
_LOG_COLUMNS: Final = "time_ms, gateway, attempt, from_status, to_status, cause"


@dataclass(frozen=True, slots=True)
class SavedGateway:
    """What is saved of a ``GatewayState``. Its log rows are saved in the task log."""

    gateway: Gateway
    request: UpdateInfoRequest | None = None
    last_request_at: Moment | None = None
    task: Task | None = None
    status_since: Moment | None = None
    exchanges: tuple[ExchangeRecord, ...] = ()


class DatabaseStore:
    """A ``ServiceStore`` that saves to a database."""

    def __init__(self, database: StateDatabase) -> None:
        self._database = database
        self._saved_texts: dict[str, str] = {}
        """The saved text of each gateway, by id. A gateway that has not changed is not written again."""

    def save(self, changes: SavedChanges) -> None:
        """Save all changes or none. Does nothing if nothing has changed.

        Raises:
            StateError: The changes cannot be saved.
        """
        gateway_texts = self._changed_gateway_texts(changes.gateways)
        if not (gateway_texts or changes.definitions or changes.log or changes.api_records):
            self.check()
            return
        with self._database.transaction() as connection:
            _write_gateways(connection, gateway_texts)
            _write_definitions(connection, changes.definitions)
            _write_log(connection, changes.log)
            _write_api_records(connection, changes.api_records)
            write_property(connection, _SAVED_AT, to_json(changes.now))
        for gateway_id, text in gateway_texts.items():
            self._remember(gateway_id, text)

    def _changed_gateway_texts(self, gateways: Mapping[str, GatewayState | None]) -> dict[str, str | None]:
        """Return the text to save for each gateway that differs from what is saved. None if it was deleted."""
        changed: dict[str, str | None] = {}
        for gateway_id, state in gateways.items():
            text = _gateway_text(state)
            if text != self._saved_texts.get(gateway_id):
                changed[gateway_id] = text
        return changed

    def check(self) -> None:
        """Raise StateError if earlier changes could not be saved."""
        self._database.check()

    def load(self) -> SavedState | None:
        """Return the saved state. None if nothing was saved yet.

        Raises:
            StateError: The database is damaged.
        """
        with self._database.reading() as connection:
            try:
                saved_at = read_property(connection, _SAVED_AT)
                if saved_at is None:
                    return None
                moment = from_json(Moment, saved_at)
                log = dict(_read_log(connection))
                gateways = self._read_gateways(connection, log)
                definitions = _read_definitions(connection)
            except ValueError as error:
                raise StateError(
                    f"{self._database.path} cannot be read ({error}); install the lorafw that wrote it, or give "
                    "another --state-dir"
                ) from error
        return SavedState(moment, gateways, definitions, tuple(log.values()))

    def api_records(self) -> dict[ApiRecord, Any]:
        """Return all values of the API, by their keys, in the order in which they were saved."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT kind, account, region, key, value FROM api_record ORDER BY rowid")
            return {
                ApiRecord(kind, AccountRegion(account, region), key): json.loads(value)
                for kind, account, region, key, value in rows
            }

    def saved_at(self) -> Moment | None:
        """Return the time of the last change. None if nothing was saved yet."""
        with self._database.reading() as connection:
            text = read_property(connection, _SAVED_AT)
        return None if text is None else from_json(Moment, text)

    def save_moment(self, now: Moment) -> None:
        """Save that a clock was moved, even if nothing else has changed. Raises StateError if that is not possible."""
        with self._database.transaction() as connection:
            write_property(connection, _SAVED_AT, to_json(now))

    def forget(self) -> None:
        """Forget which gateways are saved, after the database was cleared."""
        self._saved_texts.clear()

    def _read_gateways(self, connection: sqlite3.Connection, log: Mapping[int, LogRow]) -> list[GatewayState]:
        """Return the gateways in the order of their registration, each with its latest rows of the log.

        Remembers the saved text of each gateway.
        """
        state_by_eui: dict[str, GatewayState] = {}
        # The number of the last row, by EUI, that was written before the gateway was registered.
        last_row_before: dict[str, int] = {}
        for gateway_id, last_row, text in connection.execute("SELECT id, first_row, state FROM gateway"):
            state = _gateway_state(text)
            state_by_eui[state.gateway.eui.hex] = state
            last_row_before[state.gateway.eui.hex] = last_row
            self._remember(gateway_id, text)
        for number, row in log.items():
            state_of_row = state_by_eui.get(row.gateway)
            if state_of_row is None:
                continue  # the gateway was deleted
            if number <= last_row_before[row.gateway]:
                continue  # the row is about an earlier gateway with the same EUI, which was deleted
            state_of_row.recent_log.append(row)
        return sorted(state_by_eui.values(), key=lambda state: state.gateway.sequence)

    def _remember(self, gateway_id: str, text: str | None) -> None:
        """Remember the saved text of a gateway. None if the gateway was deleted."""
        if text is None:
            self._saved_texts.pop(gateway_id, None)
        else:
            self._saved_texts[gateway_id] = text


def read_property(connection: sqlite3.Connection, name: str) -> str | None:
    """Return a property of the state folder. None if it was not written yet."""
    row = connection.execute("SELECT value FROM property WHERE name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


def write_property(connection: sqlite3.Connection, name: str, value: str) -> None:
    """Write a property of the state folder. It replaces the previous value."""
    connection.execute("INSERT OR REPLACE INTO property VALUES (?, ?)", (name, value))


def _gateway_text(state: GatewayState | None) -> str | None:
    """Return what is saved of a gateway. None if it was deleted."""
    if state is None:
        return None
    return to_json(
        SavedGateway(
            state.gateway,
            state.request,
            state.last_request_at,
            state.task,
            state.status_since,
            tuple(state.exchanges),
        )
    )


def _gateway_state(text: str) -> GatewayState:
    """Return a saved gateway without its log rows. Raises ValueError if the text cannot be read."""
    saved = from_json(SavedGateway, text)
    return GatewayState(
        saved.gateway,
        request=saved.request,
        last_request_at=saved.last_request_at,
        task=saved.task,
        status_since=saved.status_since,
        recent_log=deque(maxlen=RECENT_ROWS),
        exchanges=deque(saved.exchanges, RECENT_EXCHANGES),
    )


def _write_gateways(connection: sqlite3.Connection, texts: Mapping[str, str | None]) -> None:
    """Write or delete gateways. For a new gateway, the number of the last row of the log so far is saved too."""
    for gateway_id, text in texts.items():
        if text is None:
            connection.execute("DELETE FROM gateway WHERE id = ?", (gateway_id,))
            continue
        connection.execute(
            "INSERT INTO gateway VALUES (?, (SELECT coalesce(max(number), 0) FROM log), ?)"
            " ON CONFLICT (id) DO UPDATE SET state = excluded.state",
            (gateway_id, text),
        )


def _write_definitions(connection: sqlite3.Connection, definitions: Mapping[str, Definition | None]) -> None:
    """Write or delete definitions."""
    for definition_id, definition in definitions.items():
        if definition is None:
            connection.execute("DELETE FROM definition WHERE id = ?", (definition_id,))
        else:
            text = to_json(definition)
            connection.execute("INSERT OR REPLACE INTO definition VALUES (?, ?)", (definition_id, text))


def _read_definitions(connection: sqlite3.Connection) -> list[Definition]:
    """Return the definitions, oldest first."""
    texts = connection.execute("SELECT definition FROM definition")
    definitions = [from_json(Definition, text) for (text,) in texts]
    return sorted(definitions, key=lambda definition: definition.sequence)


def _write_log(connection: sqlite3.Connection, rows: Sequence[LogRow]) -> None:
    """Add rows to the task log, and delete the oldest ones if there are too many."""
    values = [(row.time, row.gateway, row.attempt, row.from_status, row.to_status, row.cause) for row in rows]
    connection.executemany(f"INSERT INTO log ({_LOG_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", values)  # noqa: S608
    connection.execute("DELETE FROM log WHERE number <= (SELECT max(number) FROM log) - ?", (LOG_ROWS,))


def _read_log(connection: sqlite3.Connection) -> Iterator[tuple[int, LogRow]]:
    """Yield the rows of the task log with their numbers, oldest first."""
    rows = connection.execute(f"SELECT number, {_LOG_COLUMNS} FROM log ORDER BY number")  # noqa: S608
    for number, time_ms, gateway, attempt, from_status, to_status, cause in rows:
        before = None if from_status is None else TaskStatus(from_status)
        after = None if to_status is None else TaskStatus(to_status)
        yield number, LogRow(time_ms, gateway, attempt, before, after, Cause(cause))


def _write_api_records(connection: sqlite3.Connection, records: Mapping[ApiRecord, Any]) -> None:
    """Write or delete values of the API."""
    for record, value in records.items():
        key = (record.kind, record.owner.account, record.owner.region, record.key)
        if value is None:
            connection.execute("DELETE FROM api_record WHERE kind = ? AND account = ? AND region = ? AND key = ?", key)
        else:
            connection.execute("INSERT OR REPLACE INTO api_record VALUES (?, ?, ?, ?, ?)", (*key, json.dumps(value)))
