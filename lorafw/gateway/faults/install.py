"""Faults of the gateway itself: its keys, its disk, and the script in the update file."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NoReturn

from lorafw.cups.messages import UpdateInfoRequest
from lorafw.faults import Fault
from lorafw.firmware.signing import KeyPair
from lorafw.gateway.faults.injector import FaultInjector
from lorafw.gateway.home import Home, ignore_line
from lorafw.gateway.runner import next_pid, output_line
from lorafw.gateway.storage import OpenUpdateFile, RunUpdate, UpdateRun
from lorafw.station.launch import UPDATE_BIN, launch_lines
from lorafw.station.log import LogLine
from lorafw.tasks.lifecycle import TaskStatus


class _HomeWithKeys(Home):
    """A home folder whose signature keys differ from those in its files."""

    def __init__(self, path: Path, keys: tuple[bytes, ...]) -> None:
        super().__init__(path)
        self._keys = keys

    def read_sig_keys(self) -> list[bytes]:
        """Return the replaced keys."""
        return list(self._keys)


@dataclass(frozen=True, slots=True)
class WrongKey(FaultInjector):
    """sig-0.key is not the key with which the update is signed."""

    fault = Fault.WRONG_KEY
    expected_status = TaskStatus.FAILED
    sig_key: bytes = field(default_factory=lambda: KeyPair.from_secret(0xBAD).public_key.sig_key)
    """The content of the wrong sig-0.key."""

    def wrap_home(self, inner: Home) -> Home:
        """Return a home folder with the wrong key."""
        return _HomeWithKeys(inner.path, (self.sig_key,))


class NoKey(FaultInjector):
    """The gateway has no sig-0.key."""

    fault = Fault.NO_KEY
    expected_status = TaskStatus.FAILED

    def wrap_home(self, inner: Home) -> Home:
        """Return a home folder without keys."""
        return _HomeWithKeys(inner.path, ())


class TmpFull(FaultInjector):
    """The folder /tmp is full: the file for the update can be created, but nothing can be written to it."""

    fault = Fault.TMP_FULL
    expected_status = TaskStatus.FAILED

    def wrap_disk(self, inner: OpenUpdateFile) -> OpenUpdateFile:
        """Return a function that creates the file and returns one to which nothing can be written."""

        def open_full(path: Path) -> BinaryIO:
            inner(path).close()
            return _FullDiskFile()

        return open_full


class _FullDiskFile(io.BytesIO):
    """A file on a full disk."""

    def write(self, data: object) -> NoReturn:
        """Raise the error of a full disk."""
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class ScriptFails(FaultInjector):
    """The script does not write version.txt, like the published script, which has the typo ``prepare_versionp``."""

    fault = Fault.SCRIPT_FAILS
    expected_status = TaskStatus.FAILED

    def wrap_runner(self, inner: RunUpdate) -> RunUpdate:
        """Return a function that runs the update and then restores version.txt."""

        def run(home: Home, update_bin: Path) -> UpdateRun:
            before = _read_version_txt(home)
            update_run = inner(home, update_bin)
            _restore_version_txt(home, before)
            error = output_line(f"{UPDATE_BIN}: prepare_versionp: command not found")
            return UpdateRun((*update_run.lines, error), update_run.restarts)

        return run


class UpdateStays(FaultInjector):
    """The script installs the update, but does not remove /tmp/update.bin."""

    fault = Fault.UPDATE_STAYS
    expected_status = TaskStatus.COMPLETED

    def wrap_runner(self, inner: RunUpdate) -> RunUpdate:
        """Return a function that runs the update and then writes update.bin again."""

        def run(home: Home, update_bin: Path) -> UpdateRun:
            content = update_bin.read_bytes()
            mode = update_bin.stat().st_mode & 0o777
            update_run = inner(home, update_bin)
            update_bin.write_bytes(content)
            update_bin.chmod(mode)
            return update_run

        return run


class PowerCut(FaultInjector):
    """The power fails before anything is installed. /tmp is in memory, so update.bin is lost as well."""

    fault = Fault.POWER_CUT
    expected_status = TaskStatus.FAILED

    def wrap_runner(self, inner: RunUpdate) -> RunUpdate:
        """Return a function that deletes the update and restarts the station."""

        def run(home: Home, update_bin: Path) -> UpdateRun:
            update_bin.unlink(missing_ok=True)
            return UpdateRun(launch_lines(next_pid()), restarts=True)

        return run


class VersionMismatch(FaultInjector):
    """The script writes a space before the version. A station removes spaces only after it."""

    fault = Fault.VERSION_MISMATCH
    expected_status = TaskStatus.COMPLETED
    expected_status_if_version_given = TaskStatus.FAILED

    def wrap_runner(self, inner: RunUpdate) -> RunUpdate:
        """Return a function that runs the update and then adds the space to version.txt."""

        def run(home: Home, update_bin: Path) -> UpdateRun:
            before = _read_version_txt(home)
            update_run = inner(home, update_bin)
            after = _read_version_txt(home)
            if after is not None and after != before:
                home.write("version.txt", b" " + after)
            return update_run

        return run


class OtherBuildTime(FaultInjector):
    """The new station reports a build time that is one second later than in the task definition."""

    fault = Fault.VERSION_MISMATCH
    expected_status = TaskStatus.COMPLETED
    expected_status_if_version_given = TaskStatus.FAILED

    def __init__(self) -> None:
        self._is_installed = False

    def wrap_runner(self, inner: RunUpdate) -> RunUpdate:
        """Return a function that runs the update and remembers whether it changed version.txt."""

        def run(home: Home, update_bin: Path) -> UpdateRun:
            before = _read_version_txt(home)
            update_run = inner(home, update_bin)
            self._is_installed = self._is_installed or _read_version_txt(home) != before
            return update_run

        return run

    def wrap_home(self, inner: Home) -> Home:
        """Return a home folder with the later build time, once the update was installed."""
        if self._is_installed:
            return _HomeBuiltLater(inner.path)
        return inner


class _HomeBuiltLater(Home):
    """A home folder whose station reports a build time that is one second later than the real one."""

    def build_request(
        self, station: str, model: str, on_log: Callable[[LogLine], None] = ignore_line
    ) -> UpdateInfoRequest:
        """Return the request with the later build time."""
        prefix, _, seconds = station.rpartition(":")
        if seconds.isdecimal():
            station = f"{prefix}:{(int(seconds) + 1) % 60:02d}"
        return super().build_request(station, model, on_log)


def _read_version_txt(home: Home) -> bytes | None:
    """Return the content of version.txt, or None if there is no file."""
    path = home.path / "version.txt"
    if not path.exists():
        return None
    return path.read_bytes()


def _restore_version_txt(home: Home, version_txt: bytes | None) -> None:
    """Write version.txt, or delete it if ``version_txt`` is None."""
    if version_txt is None:
        (home.path / "version.txt").unlink(missing_ok=True)
    else:
        home.write("version.txt", version_txt)
