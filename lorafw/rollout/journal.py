"""The journal of a rollout: an SQLite file with a table of events that can only grow.

Each commit is on the disk before ``append`` returns (WAL with synchronous=FULL), so an event that was written survives
kill -9 and a power failure. The view ``task_log`` has the columns of the simulator's log.

``apply`` writes what it decides and does. The other commands write what a person commands, while ``apply`` runs or not.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from lorafw.atomic import PRIVATE_MODE
from lorafw.errors import JournalError
from lorafw.rollout.events import Commanded, Event, from_members, name_of, to_members
from lorafw.rollout.file_system import check_is_local, follow_links
from lorafw.rollout.saved_plan import SavedPlan

FORMAT: Final = "1"
_BUSY_TIMEOUT_S: Final = 30.0

_SCHEMA: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE events (
    sequence INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    members TEXT NOT NULL
) STRICT;
CREATE INDEX commands ON events (sequence) WHERE kind = 'commanded';
CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER events_are_not_deleted BEFORE DELETE ON events
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE VIEW task_log AS SELECT
    members ->> 'time_ms' AS time,
    members ->> 'gateway' AS gateway,
    members ->> 'attempt' AS attempt,
    members ->> 'from_status' AS from_status,
    members ->> 'to_status' AS to_status,
    members ->> 'cause' AS cause
    FROM events WHERE kind = 'status_changed' ORDER BY time, sequence;
"""


_READ_BEHIND: Final = "SELECT sequence, at_ms, kind, members FROM events WHERE sequence > ? ORDER BY sequence"
_READ_COMMANDS_BEHIND: Final = (
    "SELECT sequence, at_ms, kind, members FROM events WHERE kind = 'commanded' AND sequence > ? ORDER BY sequence"
)


class TaskLogRow(NamedTuple):
    """A row of the task log, with the columns of the simulator's log."""

    time_ms: int
    """When the status was seen to have changed, in milliseconds since 1970 UTC."""
    gateway: str
    attempt: int
    from_status: str | None
    """None if the row is about the creation of the task."""
    to_status: str | None
    """None if the row is about the deletion of the task."""
    cause: str


class Journal:
    """The open journal of one plan. ``open_journal`` opens and closes it.

    The read position tells which events this object has returned already. Other processes can write behind it.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, plan: SavedPlan) -> None:
        self._connection = connection
        self.path = path
        self.plan = plan
        self._identity = _identity_of(path)
        self.read_position = 0
        """The number of the last event that was returned. 0 before the first."""

    def append(self, events: Sequence[Event]) -> list[Event]:
        """Write events in one commit. They are on the disk when the method returns.

        Args:
            events: What has happened, in order.

        Returns:
            The new commands, which a person gave before the commit, and then the events. This is their order in the
            journal. The read position moves behind them.

        Raises:
            JournalError: They cannot be written. None of them is in the journal then, except if only the last step
                failed, in which the disk confirms what was written.
        """
        if not events:
            return []
        self._check_is_in_place()
        with _sqlite_errors(self.path, "written"), _transaction(self._connection):
            commands = self.read_new_commands()
            self._insert(events)
        return [*commands, *events]

    def append_decisions(self, events: Sequence[Event]) -> bool:
        """Write what was decided in one commit, unless a person has given a new command, which can change it.

        Args:
            events: What was decided, in order.

        Returns:
            True if the events are on the disk. False if there is a new command, and nothing was written.

        Raises:
            JournalError: As ``append`` raises it.
        """
        if not events:
            return True
        self._check_is_in_place()
        with _sqlite_errors(self.path, "written"), _transaction(self._connection):
            if self.has_new_commands():
                return False
            self._insert(events)
        return True

    def _check_is_in_place(self) -> None:
        """Raise JournalError if the file was moved or deleted after it was opened.

        SQLite would go on to write to a write-ahead log that nobody finds under the new name.
        """
        if _identity_of(self.path) == self._identity:
            return
        raise JournalError(
            f"the journal {self.path} was moved, replaced or deleted while it was in use. Put it back, beside "
            f"{wal_path(self.path).name}, and run the command again"
        )

    def _insert(self, events: Iterable[Event]) -> None:
        """Insert events into the table."""
        rows = [(event.at_ms, name_of(type(event)), json.dumps(to_members(event))) for event in events]
        self._connection.executemany("INSERT INTO events (at_ms, kind, members) VALUES (?, ?, ?)", rows)

    def read(self, after: int = 0) -> list[Event]:
        """Return events, oldest first. Moves the read position to the end.

        Args:
            after: The number of the last event that is not wanted. 0 for all events.

        Raises:
            JournalError: The journal is damaged.
        """
        self.read_position = after
        with _sqlite_errors(self.path, "read"):
            rows = self._connection.execute(_READ_BEHIND, (after,))
            return self._parse_and_advance(rows)

    def read_new_commands(self) -> list[Event]:
        """Return the commands that a person has given since the last call. Moves the read position behind them.

        Raises:
            JournalError: The journal is damaged.
        """
        with _sqlite_errors(self.path, "read"):
            rows = self._connection.execute(_READ_COMMANDS_BEHIND, (self.read_position,))
            return self._parse_and_advance(rows)

    def has_new_commands(self) -> bool:
        """Return True if ``read_new_commands`` would return a command. The read position does not move.

        Raises:
            JournalError: The journal is damaged, or is not there any more.
        """
        self._check_is_in_place()
        with _sqlite_errors(self.path, "read"):
            row = self._connection.execute(
                "SELECT 1 FROM events WHERE kind = 'commanded' AND sequence > ? LIMIT 1", (self.read_position,)
            ).fetchone()
            return row is not None

    def task_log(self) -> list[TaskLogRow]:
        """Return the rows of the task log, oldest first."""
        with _sqlite_errors(self.path, "read"):
            rows = self._connection.execute(
                "SELECT time, gateway, attempt, from_status, to_status, cause FROM task_log"
            )
            return [TaskLogRow(*row) for row in rows]

    def _parse_and_advance(self, rows: Iterable[tuple[int, int, str, str]]) -> list[Event]:
        """Return the events of some rows, and move the read position to the last one."""
        events = []
        for sequence, at_ms, kind, members in rows:
            events.append(self._parse_event(sequence, at_ms, kind, members))
            self.read_position = max(self.read_position, sequence)
        return events

    def _parse_event(self, sequence: int, at_ms: int, kind: str, members: str) -> Event:
        """Return the event of a row of the table. Raises JournalError if the row is damaged."""
        try:
            event = from_members(kind, at_ms, json.loads(members))
            _check_fits_plan(event, self.plan)
        except (TypeError, ValueError, RecursionError) as error:
            raise JournalError(f"{self.path}: event {sequence} ({kind}) cannot be read: {error}. {_REMEDY}") from error
        return event


def _check_fits_plan(event: Event, plan: SavedPlan) -> None:
    """Raise ValueError if an event is about a gateway or a wave that the plan does not have."""
    gateway = getattr(event, "gateway", None)
    if gateway is not None and gateway not in plan.wave_of:
        raise ValueError(f"the plan has no gateway {gateway!r}")
    wave = getattr(event, "wave", None)
    if wave is not None and not 0 <= wave < len(plan.waves):
        raise ValueError(f"the plan has no wave with the index {wave}")


@contextmanager
def _sqlite_errors(path: Path, verb: str) -> Iterator[None]:
    """Raise a JournalError in place of each error of SQLite in the block.

    Args:
        path: The file of the journal.
        verb: What the block does with the file, for the message, such as "read" or "written".

    Raises:
        JournalError: SQLite raised an error in the block.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise JournalError(_describe(error, path, verb)) from error


assert name_of(Commanded) == "commanded"
_REMEDY: Final = (
    "Move the file away and run apply again: it finds the tasks of this plan by the tag of their definition, holds "
    "until you promote it, and creates no second one"
)


def journal_path(plan_path: Path) -> Path:
    """Return the journal of a plan, if no other one is given: the file beside it that ends in ``.journal``."""
    return plan_path.with_suffix(".journal")


def wal_path(journal: Path) -> Path:
    """Return SQLite's write-ahead log of a journal. After kill -9 it has the last events."""
    journal = follow_links(journal)
    return journal.with_name(f"{journal.name}-wal")


def has_begun(journal: Path) -> bool:
    """Return True if there is a journal, or at least its write-ahead log."""
    return journal.exists() or wal_path(journal).exists()


def _identity_of(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from all others of this machine. None if there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


@contextmanager
def open_journal(path: Path, plan: SavedPlan) -> Iterator[Journal]:
    """Open the journal of a plan until the end of the block. Creates the file if there is none.

    Args:
        path: The file.
        plan: The plan that the journal belongs to.

    Yields:
        The journal.

    Raises:
        JournalError: The file is damaged, is the journal of another plan, or lies on a network file system.
    """
    check_is_local(path)
    connection = _connect(path)
    try:
        journal = Journal(connection, path, plan)
        with _sqlite_errors(path, "opened"):
            _prepare(connection, path, plan)
        yield journal
    finally:
        connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    """Open the file. A new one can only be read by its owner, from the first moment."""
    if path.exists() and not path.is_file():
        raise JournalError(f"the journal {path} cannot be opened: it is not a regular file")
    if has_begun(path) and not path.exists():
        # SQLite would delete the log, and the events in it.
        raise JournalError(
            f"the journal {path} is gone, but {wal_path(path)} is there, which belongs to it. Put the journal back. "
            f"If it is lost, move {wal_path(path).name} away"
        )
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, PRIVATE_MODE))
        with _sqlite_errors(path, "opened"):
            return sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
    except OSError as error:
        raise JournalError(f"the journal {path} cannot be opened: {error.strerror}") from error


def _prepare(connection: sqlite3.Connection, path: Path, plan: SavedPlan) -> None:
    """Create the tables if there are none, and check that the journal is that of the plan."""
    # 1. Refuse the file of something else before anything in it is changed.
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if names and not names >= {"meta", "events"}:
        raise JournalError(f"{path} is an SQLite database, but not a journal; give another file with --journal")
    if names:
        _check_meta(dict(connection.execute("SELECT name, value FROM meta")), path, plan)

    # 2. Each commit is on the disk before it returns, and readers do not block the writer.
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise JournalError(f"the journal {path} cannot be written safely here (mode {mode}); choose a local disk")
    connection.execute("PRAGMA synchronous = FULL")

    # 3. Refuse a damaged file before anything is added to it.
    (first_problem,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if first_problem != "ok":
        raise JournalError(f"the journal {path} is damaged: {first_problem}. {_REMEDY}")

    # 4. Create the tables in a new file. Two processes may do it at the same time.
    with _transaction(connection):
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
            for statement in _statements():
                connection.execute(statement)
            connection.executemany("INSERT INTO meta VALUES (?, ?)", [("format", FORMAT), ("plan", plan.sha256)])
    _check_meta(dict(connection.execute("SELECT name, value FROM meta")), path, plan)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit what the block writes, or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # After some errors, such as a full disk, SQLite has rolled back by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _statements() -> Iterator[str]:
    """Yield the statements of the schema one by one. A trigger has a semicolon inside."""
    statement = ""
    for line in _SCHEMA.splitlines():
        statement += f"{line}\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _check_meta(meta: dict[str, str], path: Path, plan: SavedPlan) -> None:
    """Check that a journal has a known format and belongs to the plan."""
    if meta.get("format") != FORMAT:
        raise JournalError(f"{path} has format {meta.get('format')!r}; this version of lorafw reads {FORMAT}")
    if meta.get("plan") != plan.sha256:
        raise JournalError(
            f"{path} is the journal of another plan ({str(meta.get('plan'))[:12]}..., this plan is "
            f"{plan.sha256[:12]}...); give another file with --journal"
        )


def _describe(error: sqlite3.Error, path: Path, verb: str) -> str:
    """Return what an error of SQLite means for the person who runs the rollout."""
    text = str(error)
    # The lowest byte of a code is its kind. A disk without room for SQLite's own files is an input/output error.
    kind = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if kind == sqlite3.SQLITE_FULL:
        return f"the journal {path} cannot be {verb}: the disk is full. Make room, then run the command again"
    if kind == sqlite3.SQLITE_IOERR:
        problem = f"the journal {path} cannot be {verb}: {text}"
        return f"{problem}. Check that the disk is neither full nor damaged, then run the command again"
    if isinstance(error, sqlite3.DatabaseError) and ("malformed" in text or "not a database" in text):
        return f"the journal {path} is damaged: {text}. {_REMEDY}"
    return f"the journal {path} cannot be {verb}: {text}"
