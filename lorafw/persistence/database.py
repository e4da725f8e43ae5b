"""The SQLite database in a state folder. A change is on the disk when ``transaction`` has ended.

If a change cannot be saved, the database refuses everything from then on: the process would otherwise answer calls
whose effects are gone after a restart.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from lorafw.atomic import sync_folder
from lorafw.errors import StateError

DATABASE_NAME: Final = "state.sqlite3"
SCHEMA_VERSION: Final = 1
"""Written to the database. A database of a later version is refused."""
APPLICATION_ID: Final = 0x4C466677
"""Marks the database as one of lorafw ("LFfw")."""

# The header of a database file (SQLite's file format, section 1.3).
_HEADER_BYTES: Final = 100
_MAGIC: Final = b"SQLite format 3\0"
_USER_VERSION: Final = slice(60, 64)
"""Position of the number that the program sets with ``PRAGMA user_version``."""
_APPLICATION_ID: Final = slice(68, 72)
"""Position of the number that the program sets with ``PRAGMA application_id``."""

_SCHEMA: Final = """
CREATE TABLE gateway (id TEXT PRIMARY KEY, first_row INTEGER NOT NULL, state TEXT NOT NULL);
CREATE TABLE definition (id TEXT PRIMARY KEY, definition TEXT NOT NULL);
CREATE TABLE log (
    number INTEGER PRIMARY KEY AUTOINCREMENT, time_ms INTEGER NOT NULL, gateway TEXT NOT NULL,
    attempt INTEGER NOT NULL, from_status TEXT, to_status TEXT, cause TEXT NOT NULL
);
CREATE TABLE api_record (
    kind TEXT NOT NULL, account TEXT NOT NULL, region TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (kind, account, region, key)
);
CREATE TABLE request (
    number INTEGER PRIMARY KEY AUTOINCREMENT, time_us INTEGER NOT NULL, seed BLOB NOT NULL,
    environ TEXT NOT NULL, body BLOB NOT NULL, answer BLOB NOT NULL
);
CREATE TABLE property (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
_TABLES: Final = ("gateway", "definition", "log", "api_record", "request", "property")


class StateDatabase:
    """The database of one process. Thread-safe. It is a context manager, which closes the database."""

    def __init__(self, folder: Path) -> None:
        """Open the database of a folder, and create it if there is none.

        Args:
            folder: The folder. This process must have locked it.

        Raises:
            StateError: The database cannot be used. The message says why. Nothing is overwritten.
        """
        self.path = folder / DATABASE_NAME
        self.on_failure: Callable[[StateError], None] | None = None
        """Called once when a change cannot be saved."""
        self._lock = threading.RLock()  # held while the connection is in use
        self._failure: StateError | None = None  # why an earlier change could not be saved
        self._connection = _open(self.path)

    def __enter__(self) -> StateDatabase:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Save all statements of the block together at its end, or none of them if it raises an error.

        Yields:
            The connection on which to execute the statements.

        Raises:
            StateError: The statements cannot be saved. Then the database refuses all further transactions.
        """
        with self._lock:
            self.check()
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException as error:
                self._roll_back(error)
                raise self._failure or error from error

    def check(self) -> None:
        """Raise StateError if an earlier transaction could not be saved."""
        if self._failure is not None:
            raise self._failure

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give the connection for statements that only read. Other threads wait until the end of the block.

        Yields:
            The connection on which to execute the statements.

        Raises:
            StateError: The database is damaged.
        """
        with self._lock:
            try:
                yield self._connection
            except sqlite3.Error as error:
                raise _as_state_error(self.path, error) from error

    def _roll_back(self, error: BaseException) -> None:
        """Undo the statements of a failed transaction. After an error of SQLite, refuse all further transactions."""
        if self._connection.in_transaction:
            self._connection.rollback()
        if isinstance(error, sqlite3.Error):
            self._failure = _as_state_error(self.path, error)
            if self.on_failure is not None:
                self.on_failure(self._failure)


def delete_content(database: StateDatabase) -> None:
    """Delete the rows of all tables. Raises StateError if that cannot be saved. Then nothing is deleted."""
    with database.transaction() as connection:
        for table in _TABLES:
            connection.execute(f"DELETE FROM {table}")  # noqa: S608 -- the names are constants


def _open(path: Path) -> sqlite3.Connection:
    """Open a database, and create it if the file does not exist. Raises StateError if it cannot be used."""
    try:
        if not path.exists():
            _create(path)
        _check_header(path)
        return _connect(path)
    except (sqlite3.Error, OSError) as error:
        raise _as_state_error(path, error) from error


def _check_header(path: Path) -> None:
    """Check that a file is a database which this version of lorafw can use.

    This reads the first bytes of the file itself. If SQLite opened the file, it would write to it: it would merge the
    write-ahead log into the database, even if the database belongs to another program.

    Raises:
        StateError: The database is of a later version or of another program.
        sqlite3.DatabaseError: The file is not a database.
    """
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise sqlite3.DatabaseError("file is not a database")
    application_id = int.from_bytes(header[_APPLICATION_ID], "big")
    version = int.from_bytes(header[_USER_VERSION], "big")
    if application_id != APPLICATION_ID:
        raise StateError(f"{path} is not a database of lorafw; give another --state-dir")
    if version > SCHEMA_VERSION:
        raise StateError(
            f"{path} is of version {version}, and this lorafw knows up to {SCHEMA_VERSION}; "
            "install a later lorafw, or give another --state-dir"
        )


def _create(path: Path) -> None:
    """Create an empty database.

    The file gets its name when it is complete. So if the process is killed, no incomplete database is left behind.
    """
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.unlink(missing_ok=True)
    # SQLite gives its other files the mode of this one.
    os.close(os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    connection = sqlite3.connect(unfinished)
    try:
        connection.executescript(
            f"PRAGMA synchronous=FULL; BEGIN; PRAGMA application_id={APPLICATION_ID};"
            f"PRAGMA user_version={SCHEMA_VERSION}; {_SCHEMA} COMMIT;"
        )
    finally:
        connection.close()
    unfinished.rename(path)
    sync_folder(path.parent)


def _connect(path: Path) -> sqlite3.Connection:
    """Open a database that exists. A commit returns when the change is on the disk.

    Raises sqlite3.Error if the database is damaged.
    """
    uri = f"{path.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")  # before WAL: then SQLite needs no shared memory
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if problem != "ok":
            raise sqlite3.DatabaseError(problem.splitlines()[-1])
    except BaseException:
        connection.close()
        raise
    return connection


def _as_state_error(path: Path, error: Exception) -> StateError:
    """Return a StateError that says what is wrong with the database and how to go on."""
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_FULL:
        return StateError(f"{path} cannot be written: the disk is full; make room and start again, nothing is lost")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or type(error) is sqlite3.DatabaseError:
        return StateError(
            f"{path} is damaged ({error}); put a copy of {path.name} in its place, or move it away to start empty"
        )
    return StateError(f"{path} cannot be used: {error}; put that right and start again, or give another --state-dir")
