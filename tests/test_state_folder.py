"""A state folder that cannot be used is refused in one line that says how to go on, and nothing in it is changed."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from processes import killed_at_the_end

from lorafw.cli import main
from lorafw.errors import StateError
from lorafw.persistence.database import APPLICATION_ID, SCHEMA_VERSION, StateDatabase, delete_content
from lorafw.persistence.folder import NETWORK_FILE_SYSTEMS, file_system_of, locked_folder, prepare_folder

HOLD = """
import sys, time
from pathlib import Path
from lorafw.persistence.folder import locked_folder
with locked_folder(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""


@pytest.fixture(params=["after an orderly end", "after kill -9"])
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A state folder with a database. After kill -9 it has a write-ahead log too."""
    path = tmp_path / "state"
    prepare_folder(path)
    with StateDatabase(path) as database:
        with database.transaction() as connection:
            connection.execute("INSERT INTO property VALUES ('name', 'value')")
        if request.param == "after kill -9":
            killed = shutil.copytree(path, tmp_path / "killed")
            assert (killed / "state.sqlite3-wal").stat().st_size > 0
            return killed
    return path


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "lock"}


def refusal(folder: Path) -> str:
    """Return the message with which a folder is refused, and check that nothing in it was changed."""
    before = content(folder)
    message = message_of_refusal(folder)
    assert content(folder) == before
    return message


def message_of_refusal(folder: Path) -> str:
    with pytest.raises(StateError) as caught, locked_folder(folder), StateDatabase(folder):
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_folder_and_its_files_are_closed_to_others_from_the_first_moment(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "state"
    previous = os.umask(0)
    try:
        with locked_folder(path), StateDatabase(path) as database:
            delete_content(database)
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.iterdir()}
    finally:
        os.umask(previous)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert set(modes) == {"lock", "state.sqlite3", "state.sqlite3-wal"}
    assert set(modes.values()) == {0o600}


def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "state"
    with (
        subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True) as first,
        killed_at_the_end(first),
    ):
        assert first.stdout is not None
        assert first.stdout.readline() == "locked\n"
        with pytest.raises(StateError, match=rf"in use by another process \({first.pid}\); stop it, or give another"):
            locked_folder(path).__enter__()
        first.kill()
        first.wait()
        with locked_folder(path):
            pass


def test_a_database_of_a_later_version_is_refused(folder: Path) -> None:
    for file in folder.glob("state.sqlite3-wal"):
        file.rename(folder / "kept")  # SQLite would bring it into the database
    with sqlite3.connect(folder / "state.sqlite3") as connection:
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    connection.close()
    for file in folder.glob("kept"):
        file.rename(folder / "state.sqlite3-wal")
    assert "install a later lorafw, or give another --state-dir" in refusal(folder)


def test_a_database_of_another_program_is_refused(folder: Path) -> None:
    for file in folder.glob("state.sqlite3*"):
        file.unlink()
    with sqlite3.connect(folder / "state.sqlite3") as connection:
        connection.execute("CREATE TABLE note (text)")
    connection.close()
    assert "is not a database of lorafw" in refusal(folder)
    assert APPLICATION_ID != 0


def overwrite(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset : offset + 300] = b"\xff" * 300
    path.write_bytes(content)


@pytest.mark.parametrize("offset", [0, 4096, 3 * 4096])
def test_a_damaged_database_is_refused_and_not_replaced_by_an_empty_one(folder: Path, offset: int) -> None:
    overwrite(folder / "state.sqlite3", offset)
    damaged = (folder / "state.sqlite3").read_bytes()[offset : offset + 300]
    assert "is damaged" in message_of_refusal(folder)
    assert damaged in (folder / "state.sqlite3").read_bytes()


@pytest.mark.parametrize("size", [0, 50, 5000])
def test_a_database_that_was_cut_off_is_refused(folder: Path, size: int) -> None:
    os.truncate(folder / "state.sqlite3", size)
    assert "is damaged" in message_of_refusal(folder)
    assert (folder / "state.sqlite3").exists()


def test_a_database_that_was_not_finished_is_made_again(tmp_path: Path) -> None:
    prepare_folder(tmp_path / "state")
    (tmp_path / "state" / "state.sqlite3.new").write_bytes(b"half of it")
    with StateDatabase(tmp_path / "state") as database:
        delete_content(database)
    assert not (tmp_path / "state" / "state.sqlite3.new").exists()


def test_the_folder_of_another_user_is_refused_also_for_root(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    assert f"belongs to user {own}, and this process is user {own + 1}" in refusal(folder)


def test_a_folder_that_is_open_to_others_is_refused(folder: Path) -> None:
    folder.chmod(0o750)
    assert f"chmod 700 {folder}" in refusal(folder)


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(StateError, match="cannot be used: File exists"):
        prepare_folder(tmp_path / "state")


@pytest.mark.parametrize(
    ("place", "expected"),
    [("a/nfs/state", "nfs4"), ("a/with space/x", "cifs"), ("a/other", "ext4"), ("a/hidden", "tmpfs")],
)
def test_the_file_system_of_a_folder_is_that_of_its_nearest_mount(tmp_path: Path, place: str, expected: str) -> None:
    mounts = tmp_path / "mounts"
    lines = [
        "rootfs / ext4 rw 0 0",
        f"server:/x {tmp_path}/a/nfs nfs4 rw 0 0",
        rf"//server/y {tmp_path}/a/with\040space cifs rw 0 0",
        f"hidden {tmp_path}/a/hidden nfs rw 0 0",
        f"tmpfs {tmp_path}/a/hidden tmpfs rw 0 0",
    ]
    mounts.write_text("\n".join(lines))
    (tmp_path / place).mkdir(parents=True)
    assert file_system_of(tmp_path / place, mounts) == expected


def test_a_network_file_system_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lorafw.persistence.folder.file_system_of", lambda _: "nfs4")
    assert "nfs4" in NETWORK_FILE_SYSTEMS
    assert "give a --state-dir on a local disk" in refusal(folder)


def test_a_disk_that_is_full_at_the_start_is_told_in_one_line(tmp_path: Path) -> None:
    """The limit of the size of a file makes writing fail as a full disk does."""
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096));"
        "from pathlib import Path; from lorafw.persistence.database import StateDatabase\n"
        "try: StateDatabase(Path(sys.argv[1]))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"StateError {tmp_path}/state.sqlite3 cannot be")
    assert "start again" in done.stdout
    assert not (tmp_path / "state.sqlite3").exists()


def test_serve_tells_why_a_folder_cannot_be_used(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    prepare_folder(folder)
    (folder / "state.sqlite3").write_text("no database")
    ports = ["--api-port", "0", "--cups-plain-port", "0", "--cups-port", "0"]
    done = CliRunner().invoke(main, ["serve", *ports, "--state-dir", str(folder)])
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    assert "is damaged" in done.output
