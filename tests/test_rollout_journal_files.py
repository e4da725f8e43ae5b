"""Whatever file is given as a journal: a journal is read, and anything else is told and left as it was."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from rollout_example import carry_out
from test_rollout_holds import Scene

from lorafw.errors import JournalError
from lorafw.rollout import Command, command, file_system, read_report
from lorafw.rollout.application import read_state
from lorafw.rollout.engine import Until
from lorafw.rollout.file_system import is_locked, lock_journal
from lorafw.rollout.saved_plan import SavedPlan, read_plan
from lorafw.rollout.state import Phase
from lorafw.rollout.status import StateName


@pytest.fixture(scope="module")
def rollout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``rollout.plan`` and ``rollout.journal``."""
    folder = tmp_path_factory.mktemp("rollout")
    carry_out(folder, Until.HOLD)
    return folder


@pytest.fixture
def plan(rollout: Path) -> SavedPlan:
    return read_plan(rollout / "rollout.plan")


def change(path: Path, statement: str) -> None:
    """Change a journal in a way that lorafw never does."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TRIGGER events_are_not_changed")
        connection.execute(statement)
        connection.commit()


DAMAGE = {
    "a gateway of another plan": "members = replace(members, 'gw-00000', 'gw-0000x') WHERE kind = 'status_changed'",
    "a wave that the plan does not have": "members = '{\"wave\": 99}' WHERE kind = 'wave_started'",
    "a wave before the first": "members = '{\"wave\": -1}' WHERE kind = 'wave_started'",
    "a wave in quotes": "members = '{\"wave\": \"0\"}' WHERE kind = 'wave_started'",
    "a time after the year 9999": "at_ms = 9000000000000000000 WHERE kind = 'wave_started'",
    "a time before 1970": "at_ms = -1 WHERE kind = 'wave_started'",
    "an event of a later version": "kind = 'wave_undone' WHERE kind = 'wave_started'",
    "no object": "members = '[]' WHERE kind = 'wave_started'",
    "half an object": "members = '{' WHERE kind = 'wave_started'",
    "no status": "members = replace(members, 'COMPLETED', 'COMPLETE') WHERE kind = 'status_changed'",
    "null for a name": "members = '{\"definition_id\": null}' WHERE kind = 'definition_ready'",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_an_event_that_was_damaged_is_named_and_nothing_is_read_wrong(
    damage: str, rollout: Path, plan: SavedPlan, tmp_path: Path
) -> None:
    journal = tmp_path / "damaged.journal"
    shutil.copy(rollout / "rollout.journal", journal)
    change(journal, f"UPDATE events SET {DAMAGE[damage]}")
    with pytest.raises(JournalError, match=r"damaged.journal: event \d+ \(\w+\) cannot be read: .*Move the file away"):
        read_report(plan, journal)
    with pytest.raises(JournalError):
        command(plan, journal, Command.PAUSE, actor="arn:test", reason="tested")


@pytest.mark.parametrize("tables", [["cookies"], ["meta"], ["meta", "events"]])
def test_the_database_of_something_else_is_refused_and_not_changed(
    tables: list[str], plan: SavedPlan, tmp_path: Path
) -> None:
    path = tmp_path / "cookies.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        for table in tables:
            connection.execute(f"CREATE TABLE {table} (name, value)")
        connection.commit()
    before = path.read_bytes()
    with pytest.raises(JournalError):
        read_state(plan, path)
    with pytest.raises(JournalError):
        command(plan, path, Command.PAUSE, actor="arn:test", reason="tested")
    assert path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["cookies.sqlite"]


def make_loop(path: Path) -> None:
    path.symlink_to(path.name)


def make_dangling(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere" / "journal")


@pytest.mark.parametrize("make", [make_loop, make_dangling, os.mkfifo, os.mkdir], ids=lambda make: make.__name__)
def test_what_is_no_file_is_told(make: Callable[[Path], None], plan: SavedPlan, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    make(path)
    with pytest.raises(JournalError, match="cannot be opened"):
        command(plan, path, Command.PAUSE, actor="arn:test", reason="tested")
    assert [path.name for path in tmp_path.iterdir()] == ["journal"]


def test_all_symbolic_links_to_a_journal_have_one_lock(tmp_path: Path) -> None:
    (tmp_path / "real.journal").touch()
    link = tmp_path / "link.journal"
    link.symlink_to("real.journal")
    with lock_journal(tmp_path / "real.journal"):
        assert is_locked(link)
        with pytest.raises(JournalError, match="another 'lorafw rollout apply' is running"), lock_journal(link):
            pass
    assert not is_locked(link)


def test_a_status_that_looks_at_the_lock_at_the_same_moment_does_not_refuse_apply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = tmp_path / "rollout.journal"
    with lock_journal(journal):
        pass
    descriptor = os.open(f"{journal}.lock", os.O_RDWR)
    assert file_system._try_lock(descriptor)
    monkeypatch.setattr(file_system.time, "sleep", lambda _: os.close(descriptor))
    with lock_journal(journal):
        assert is_locked(journal)


@pytest.mark.parametrize("is_deleted", [False, True])
def test_apply_ends_if_its_journal_is_moved_or_deleted_and_what_it_has_written_is_not_lost(
    is_deleted: bool, tmp_path: Path
) -> None:
    scene = Scene(tmp_path)
    moved = scene.journal.with_name("moved.journal")

    def move(operation: str) -> None:
        if operation == "CreateWirelessGatewayTask" and scene.journal.exists():
            if is_deleted:
                scene.journal.unlink()
            else:
                scene.journal.rename(moved)

    scene.aws.after = move
    for _ in range(2):
        with pytest.raises(JournalError, match=r"Put it back, beside|Put the journal back"):
            scene.run(Until.END)
        with pytest.raises(JournalError, match="Put the journal back"):
            scene.tell(Command.PAUSE)
        with pytest.raises(JournalError, match="Put the journal back"):
            read_state(scene.plan, scene.journal)
    assert len(scene.aws.created) == 2
    if is_deleted:
        return
    moved.rename(scene.journal)
    scene.aws.after = lambda _: None
    assert read_state(scene.plan, scene.journal).waves[0].count(Phase.CREATING) == 2
    assert scene.run(Until.END)[0] is StateName.COMPLETED
    assert scene.one_task_each()
