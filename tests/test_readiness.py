"""The checks of the set-up name what is installed, and for what is missing, what to do."""

from __future__ import annotations

import importlib.util
import socket
import sys
from pathlib import Path

import pytest

from lorafw.lab import check_setup
from lorafw.lab import setup_check as readiness


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    check_setup()
    return capsys.readouterr().out.splitlines()


def failed(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that fails."""
    wrong = [line for line in lines(capsys) if line.startswith("☒")]
    assert len(wrong) == 1, wrong
    return wrong[0]


def test_all_is_well_where_the_lessons_are_tested(capsys: pytest.CaptureFixture[str]) -> None:
    assert [line[0] for line in lines(capsys)] == ["☑"] * 5


def test_a_python_that_is_too_old_is_named(monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(readiness, "PYTHON", (99, 0))
    assert f"this is {sys.version.split()[0]}" in failed(capsys)


def test_a_missing_package_is_named_with_what_to_install(monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(readiness, "find_spec", lambda name: None if name == "pandas" else real(name))
    line = failed(capsys)
    assert ": pandas missing" in line
    assert "lorafw[lab]" in line


def test_the_aws_cli_is_looked_for_beside_this_python_and_in_the_path(
    monkeypatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    beside, path = tmp_path / "bin", tmp_path / "path"
    for folder, name in ((beside, "lorafw"), (path, "aws")):
        folder.mkdir()
        (folder / name).touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(beside / "python"))
    monkeypatch.setenv("PATH", str(path))
    assert "☒" not in "".join(lines(capsys))
    (path / "aws").unlink()
    assert ": aws not found" in failed(capsys)


def test_a_full_disk_is_reported_with_the_error_of_the_system(monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(readiness.tempfile, "TemporaryDirectory", full)
    assert "No space left on device; make room" in failed(capsys)


def test_a_machine_that_cannot_connect_to_itself_is_reported(monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    def nobody(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(readiness.socket, "create_connection", nobody)
    assert "let the name localhost mean 127.0.0.1" in failed(capsys)
