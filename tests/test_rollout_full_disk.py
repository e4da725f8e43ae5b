"""If the disk is full at any write, ``apply`` ends with a clear error. Nothing is lost or done twice.

The disk is full at each commit of the journal in turn, in three ways: the write fails, half of it is written, or all of
it is written and only the confirmation (fsync) fails. The operating system limits the size of the files. ``apply`` is
then run once more on the full disk, and once with room.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from rollout_example import carry_out
from rollout_memory import HOUR_MS, MemoryAws, make_gateways, make_plan, run_apply
from test_files_are_written_whole import full_disk
from test_rollout_survives import Written, folder, log_of

from lorafw.errors import JournalError
from lorafw.fleet.plan import Abort, Plan, Threshold, Wave
from lorafw.rollout import (
    Command,
    command,
    read_report,
    write_csv,
    write_html,
    write_markdown,
    write_parquet,
    write_plan,
)
from lorafw.rollout.application import read_journal
from lorafw.rollout.engine import Until
from lorafw.rollout.events import CreateIntended, Event
from lorafw.rollout.file_system import is_locked, lock_journal
from lorafw.rollout.journal import Journal, open_journal
from lorafw.rollout.saved_plan import SavedPlan

__all__ = ["folder"]

PLAN = Plan(
    waves=(Wave(size=1, bake_s=7200, gate=Threshold(success=0.5, error=0.9)), Wave(size=3, bake_s=36_000)),
    abort=Abort(threshold=0.3, minimum_executed=3),
)
"""The only failure stops it, and the task of the gateway that never polls is deleted."""
TOLD = r"rollout\.journal cannot be \w+: .*(full|disk I/O error).* then run the command again"


@contextmanager
def write_fails(journal: Journal) -> Iterator[None]:
    """No file can grow."""
    with full_disk():
        yield


@contextmanager
def half_is_written(journal: Journal) -> Iterator[None]:
    """The write-ahead log can grow by half a page only."""
    wal = journal.path.with_name(f"{journal.path.name}-wal")
    size_bytes = wal.stat().st_size if wal.exists() else 0
    with full_disk(size_bytes + 2048):
        yield


class Unconfirmed:
    """A connection whose commits take effect and fail all the same."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, statement: str, *arguments: Any) -> Any:
        result = self._connection.execute(statement, *arguments)
        if statement == "COMMIT":
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
            raise error
        return result


class RolledBack(Unconfirmed):
    """A connection whose commits fail. SQLite has rolled them back by itself, as it does if the disk is full."""

    def execute(self, statement: str, *arguments: Any) -> Any:
        if statement != "COMMIT":
            return self._connection.execute(statement, *arguments)
        self._connection.execute("ROLLBACK")
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error


@contextmanager
def fsync_fails(journal: Journal) -> Iterator[None]:
    """All is written, and the disk does not confirm it."""
    connection = journal._connection
    journal._connection = Unconfirmed(connection)  # type: ignore[assignment]
    yield
    journal._connection = connection


FullDisk = Callable[[Journal], AbstractContextManager[None]]
WAYS: tuple[FullDisk, ...] = (write_fails, half_is_written, fsync_fails)


class FullDiskJournal(Journal):
    """A journal whose disk is full at one of its commits."""

    def __init__(self, journal: Journal, full_at: int, way: FullDisk) -> None:
        super().__init__(journal._connection, journal.path, journal.plan)
        self.full_at, self.way, self.commits = full_at, way, 0

    def append(self, events: Sequence[Event]) -> list[Event]:
        return self._with_full_disk(super().append, events)

    def append_decisions(self, events: Sequence[Event]) -> bool:
        return self._with_full_disk(super().append_decisions, events)

    def _with_full_disk(self, write: Callable[[Sequence[Event]], Written], events: Sequence[Event]) -> Written:
        if events:
            self.commits += 1
        if self.commits != self.full_at or not events:
            return write(events)
        with self.way(self):
            return write(events)


def make_rollout() -> tuple[MemoryAws, SavedPlan]:
    gateways = make_gateways(4, period_ms=HOUR_MS, failing={1: 3})
    gateways[3].gone = True
    return MemoryAws(gateways), make_plan(PLAN, [gateway.id for gateway in gateways], period_ms=HOUR_MS)


def run(aws: MemoryAws, plan: SavedPlan, path: Path, full_at: int = 0, way: FullDisk = write_fails) -> FullDiskJournal:
    """Carry the rollout out, and return its journal."""
    opened = []

    def full_journal(journal: Journal) -> Journal:
        opened.append(FullDiskJournal(journal, full_at, way))
        return opened[0]

    run_apply(aws, plan, path, journal_type=full_journal, batch=2, min_list_interval_ms=1_800_000)
    return opened[0]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_disk_that_is_full_at_any_commit_stops_apply_and_nothing_is_lost_or_done_twice(
    way: FullDisk, folder: Path
) -> None:
    expected, plan = make_rollout()
    commits = run(expected, plan, folder / "undisturbed").commits
    assert commits > 15
    assert sum(expected.deleted.values()) == 1
    for full_at in range(1, commits + 1):
        aws, plan = make_rollout()
        path = folder / f"{full_at}" / "rollout.journal"
        path.parent.mkdir()
        with pytest.raises(JournalError, match=TOLD):
            run(aws, plan, path, full_at, way)
        intended = {event.gateway for event in read_journal(plan, path)[1] if isinstance(event, CreateIntended)}
        assert set(aws.created) <= intended, "each call is in the journal before it is made"
        calls = aws.calls.copy()
        with full_disk(), pytest.raises(JournalError, match=TOLD):
            run(aws, plan, path)
        assert aws.calls == calls, "nothing is called while nothing can be written"
        run(aws, plan, path)
        assert aws.created == expected.created
        assert aws.deleted == expected.deleted
        assert not aws.conflicts
        assert len(aws.definitions) == 1
        assert log_of(plan, path) == log_of(plan, folder / "undisturbed"), f"full at commit {full_at}"


def test_a_command_on_a_full_disk_is_refused_and_not_in_the_journal(folder: Path) -> None:
    aws, plan = make_rollout()
    path = folder / "rollout.journal"
    run_apply(aws, plan, path, Until.IDLE)
    before = read_journal(plan, path)[1]
    with open_journal(path, plan), full_disk(), pytest.raises(JournalError, match=TOLD):
        command(plan, path, Command.PAUSE, actor="me", reason="a storm")
    assert read_journal(plan, path)[1] == before


def test_a_journal_that_cannot_be_created_names_the_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, path = make_rollout()[1], tmp_path / "rollout.journal"
    with monkeypatch.context() as patched:
        patched.setattr("lorafw.rollout.journal._connect", lambda path: RolledBack(sqlite3.connect(path)))
        with pytest.raises(JournalError, match=r"the disk is full\. Make room"), open_journal(path, plan):
            pass
    assert read_journal(plan, path)[1] == []


def test_without_room_for_the_lock_the_error_names_it_and_nothing_is_said_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    path = tmp_path / "rollout.journal"
    path.write_text("")
    assert not is_locked(path)
    assert list(tmp_path.iterdir()) == [path], "a look creates no file"
    monkeypatch.setattr("lorafw.rollout.file_system.os.open", full)
    with (
        pytest.raises(JournalError, match=r"rollout\.journal\.lock cannot be created: No space left"),
        lock_journal(path),
    ):
        pass


class Dot:
    """A picture."""

    alt = "a dot"

    def png(self) -> bytes:
        return b"png" * 1000

    def svg(self) -> bytes:
        return b"svg" * 1000


@contextmanager
def failing_fsync(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("lorafw.atomic.os.fsync", full)
        yield


def test_a_report_and_a_plan_on_a_full_disk_leave_the_old_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = carry_out(tmp_path)
    report = read_report(plan, tmp_path / "rollout.journal")
    out = tmp_path / "out"
    out.mkdir()
    writers: dict[str, Callable[[], object]] = {
        "plan": lambda: write_plan(plan, out / "plan"),
        "html": lambda: write_html(report, out / "html", [Dot()]),
        "markdown": lambda: write_markdown(report, out / "markdown.md", [Dot()]),
        "csv": lambda: write_csv(report, out / "csv"),
        "parquet": lambda: write_parquet(report, out / "parquet"),
    }
    for name, write in writers.items():
        write()
        before = {path.name: path.read_bytes() for path in out.iterdir()}
        longest = max(len(content) for content in before.values())
        for full in (full_disk(), full_disk(100), full_disk(longest // 2), failing_fsync(monkeypatch)):
            with full, pytest.raises(OSError, match=r"File too large|No space left"):
                write()
            assert {path.name: path.read_bytes() for path in out.iterdir()} == before, name
        for path in out.iterdir():
            path.unlink()
