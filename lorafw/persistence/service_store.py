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
        self._saved_texts: dict[str, str | None] = {}
        """The text that is in the database for each gateway, by id. None if the gateway was deleted."""

    def save(self, changes: SavedChanges) -> None:
        """Save all changes or none.

        Args:
            changes: The changes. Gateways that are among them but are the same as before are not written again.

        Raises:
            StateError: The changes cannot be saved, or earlier changes could not be saved.
        """
        gateway_texts = {
            gateway_id: text
            for gateway_id, text in _gateway_texts(changes.gateways)
            if text != self._saved_texts.get(gateway_id)
        }
        if not (gateway_texts or changes.definitions or changes.log or changes.api_records):
            self.check()
            return
        with self._database.transaction() as connection:
            _write_gateways(connection, gateway_texts)
            _write_definitions(connection, changes.definitions)
            _write_log(connection, changes.log)
            _write_api_records(connection, changes.api_records)
            write_property(connection, _SAVED_AT, to_json(changes.now))
        self._saved_texts.update(gateway_texts)

    def check(self) -> None:
        """Raise StateError if earlier changes could not be saved."""
        self._database.check()

    def load(self) -> SavedState | None:
        """Return the saved state. None if nothing was saved yet.

        Raises:
            StateError: The database is damaged, or an earlier or later lorafw has written it in another way.
        """
        try:
            with self._database.reading() as connection:
                self._saved_texts = dict(connection.execute("SELECT id, state FROM gateway"))
                return _read_state(connection)
        except ValueError as error:
            raise StateError(
                f"{self._database.path} cannot be read ({error}); install the lorafw that wrote it, or give "
                "another --state-dir"
            ) from error

    def api_records(self) -> dict[ApiRecord, Any]:
        """Return all values of the API, by their keys, in the order in which they were saved."""
        with self._database.reading() as connection:
            return dict(_read_api_records(connection))

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
        """Forget which gateways are in the database. Call this after the database was cleared."""
        self._saved_texts.clear()


def read_property(connection: sqlite3.Connection, name: str) -> str | None:
    """Return a property of the state folder. None if it was not written yet."""
    row = connection.execute("SELECT value FROM property WHERE name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


def write_property(connection: sqlite3.Connection, name: str, value: str) -> None:
    """Write a property of the state folder. It replaces the previous value."""
    connection.execute("INSERT OR REPLACE INTO property VALUES (?, ?)", (name, value))


def _read_state(connection: sqlite3.Connection) -> SavedState | None:
    """Return the saved state. None if nothing was saved yet. Raises ValueError if it cannot be read."""
    saved_at = read_property(connection, _SAVED_AT)
    if saved_at is None:
        return None
    log = dict(_read_log(connection))
    rows = connection.execute("SELECT state, first_row FROM gateway")
    gateways = _join_log([(_gateway_state(text), last_row_before) for text, last_row_before in rows], log)
    return SavedState(from_json(Moment, saved_at), gateways, _read_definitions(connection), tuple(log.values()))


def _gateway_texts(gateways: Mapping[str, GatewayState | None]) -> Iterator[tuple[str, str | None]]:
    """Yield the id of each gateway with the text to save. The text is None if the gateway was deleted."""
    for gateway_id, state in gateways.items():
        if state is None:
            yield gateway_id, None
            continue
        saved = SavedGateway(
            gateway=state.gateway,
            request=state.request,
            last_request_at=state.last_request_at,
            task=state.task,
            status_since=state.status_since,
            exchanges=tuple(state.exchanges),
        )
        yield gateway_id, to_json(saved)


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


def _join_log(gateways: Sequence[tuple[GatewayState, int]], log: Mapping[int, LogRow]) -> list[GatewayState]:
    """Give each gateway its latest rows of the task log.

    A row names its gateway by the EUI. If a gateway was deleted and registered again, the rows of both have the same
    EUI. So the number of the last row before the registration tells which rows are about the present gateway.

    Args:
        gateways: Each gateway, and the number of the last row that was written before it was registered.
        log: The rows of the task log by their numbers, oldest first.

    Returns:
        The gateways in the order of their registration. They are the given objects, with rows in ``recent_log``.
    """
    by_eui = {state.gateway.eui.hex: (state, last_row_before) for state, last_row_before in gateways}
    for number, row in log.items():
        if row.gateway not in by_eui:
            continue  # the gateway was deleted
        state, last_row_before = by_eui[row.gateway]
        if number > last_row_before:
            state.recent_log.append(row)
    states = [state for state, _ in gateways]
    return sorted(states, key=lambda state: state.gateway.sequence)


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


def _read_api_records(connection: sqlite3.Connection) -> Iterator[tuple[ApiRecord, Any]]:
    """Yield the keys and values of the API, in the order in which they were saved."""
    rows = connection.execute("SELECT kind, account, region, key, value FROM api_record ORDER BY rowid")
    for kind, account, region, key, value in rows:
        yield ApiRecord(kind, AccountRegion(account, region), key), json.loads(value)


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
