"""Faults at the gateway: its keys, its disk, and the update's own script."""

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
from lorafw.gateway.runner import next_pid, said
from lorafw.gateway.storage import OpenUpdateFile, RunUpdate, UpdateRun
from lorafw.station.launch import UPDATE_BIN, launch_lines
from lorafw.station.log import LogLine
from lorafw.tasks.lifecycle import TaskStatus


class _HomeWithKeys(Home):
    """A home folder with other signature keys than those in its files."""

    def __init__(self, path: Path, keys: tuple[bytes, ...]) -> None:
        super().__init__(path)
        self._keys = keys

    def sig_keys(self) -> list[bytes]:
        return list(self._keys)


@dataclass(frozen=True, slots=True)
class WrongKey(FaultInjector):
    """sig-0.key is a key, and not the one that the update is signed for."""

    fault = Fault.WRONG_KEY
    expected_status = TaskStatus.FAILED
    sig_key: bytes = field(default_factory=lambda: KeyPair.from_secret(0xBAD).public_key.sig_key)

    def home(self, inner: Home) -> Home:
        return _HomeWithKeys(inner.path, (self.sig_key,))


class NoKey(FaultInjector):
    """There is no sig-0.key."""

    fault = Fault.NO_KEY
    expected_status = TaskStatus.FAILED

    def home(self, inner: Home) -> Home:
        return _HomeWithKeys(inner.path, ())


class TmpFull(FaultInjector):
    """A full /tmp: it takes the name of the file, and not one byte of it."""

    fault = Fault.TMP_FULL
    expected_status = TaskStatus.FAILED

    def disk(self, inner: OpenUpdateFile) -> OpenUpdateFile:
        def open_full(path: Path) -> BinaryIO:
            inner(path).close()
            return _FullDiskFile()

        return open_full


class _FullDiskFile(io.BytesIO):
    def write(self, data: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class ScriptFails(FaultInjector):
    """The script does all but write version.txt, as the published one does with its slip ``prepare_versionp``."""

    fault = Fault.SCRIPT_FAILS
    expected_status = TaskStatus.FAILED

    def runner(self, inner: RunUpdate) -> RunUpdate:
        def run(home: Home, update_bin: Path) -> UpdateRun:
            before = _version_txt(home)
            done = inner(home, update_bin)
            _restore_version_txt(home, before)
            return UpdateRun((*done.lines, said(f"{UPDATE_BIN}: prepare_versionp: command not found")), done.restarts)

        return run


class UpdateStays(FaultInjector):
    """The script does its work and does not remove /tmp/update.bin."""

    fault = Fault.UPDATE_STAYS
    expected_status = TaskStatus.COMPLETED

    def runner(self, inner: RunUpdate) -> RunUpdate:
        def run(home: Home, update_bin: Path) -> UpdateRun:
            content, mode = update_bin.read_bytes(), update_bin.stat().st_mode & 0o777
            done = inner(home, update_bin)
            update_bin.write_bytes(content)
            update_bin.chmod(mode)
            return done

        return run


class PowerCut(FaultInjector):
    """The power goes before anything is in its place; /tmp is in memory, so update.bin is gone with it."""

    fault = Fault.POWER_CUT
    expected_status = TaskStatus.FAILED

    def runner(self, inner: RunUpdate) -> RunUpdate:
        def run(home: Home, update_bin: Path) -> UpdateRun:
            update_bin.unlink(missing_ok=True)
            return UpdateRun(launch_lines(next_pid()), restarts=True)

        return run


class VersionMismatch(FaultInjector):
    """The script writes a blank in front of the version: a station cuts blanks off behind it, not before it."""

    fault = Fault.VERSION_MISMATCH
    expected_status = TaskStatus.COMPLETED
    leaves_if_version_given = TaskStatus.FAILED

    def runner(self, inner: RunUpdate) -> RunUpdate:
        def run(home: Home, update_bin: Path) -> UpdateRun:
            before = _version_txt(home)
            done = inner(home, update_bin)
            after = _version_txt(home)
            if after is not None and after != before:
                home.write("version.txt", b" " + after)
            return done

        return run


class OtherBuildTime(FaultInjector):
    """The new station was built a second later than its definition says."""

    fault = Fault.VERSION_MISMATCH
    expected_status = TaskStatus.COMPLETED
    leaves_if_version_given = TaskStatus.FAILED

    def __init__(self) -> None:
        self._is_new = False

    def runner(self, inner: RunUpdate) -> RunUpdate:
        def run(home: Home, update_bin: Path) -> UpdateRun:
            before = _version_txt(home)
            done = inner(home, update_bin)
            self._is_new = self._is_new or _version_txt(home) != before
            return done

        return run

    def home(self, inner: Home) -> Home:
        return _HomeBuiltLater(inner.path) if self._is_new else inner


class _HomeBuiltLater(Home):
    """A home folder whose station has another build time than it is said to have."""

    def request(self, station: str, model: str, on_log: Callable[[LogLine], None] = ignore_line) -> UpdateInfoRequest:
        front, _, seconds = station.rpartition(":")
        if seconds.isdecimal():
            station = f"{front}:{(int(seconds) + 1) % 60:02d}"
        return super().request(station, model, on_log)


def _version_txt(home: Home) -> bytes | None:
    path = home.path / "version.txt"
    return path.read_bytes() if path.exists() else None


def _restore_version_txt(home: Home, version_txt: bytes | None) -> None:
    if version_txt is None:
        (home.path / "version.txt").unlink(missing_ok=True)
    else:
        home.write("version.txt", version_txt)
