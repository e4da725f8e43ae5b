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
from lorafw.gateway.faults.injector import Injection
from lorafw.gateway.home import Home, ignore_line
from lorafw.gateway.runner import next_pid, said
from lorafw.gateway.storage import Disk, Run, Runner
from lorafw.station.launch import UPDATE_BIN, launch_lines
from lorafw.station.log import LogLine
from lorafw.tasks.lifecycle import TaskStatus


class _HomeWithKeys(Home):
    """A home folder in which other keys lie than its files say."""

    def __init__(self, path: Path, keys: tuple[bytes, ...]) -> None:
        super().__init__(path)
        self._keys = keys

    def sig_keys(self) -> list[bytes]:
        return list(self._keys)


@dataclass(frozen=True, slots=True)
class WrongKey(Injection):
    """sig-0.key is a key, and not the one that the update is signed for."""

    fault = Fault.WRONG_KEY
    leaves = TaskStatus.FAILED
    sig_key: bytes = field(default_factory=lambda: KeyPair.from_secret(0xBAD).public_key.sig_key)

    def home(self, inner: Home) -> Home:
        return _HomeWithKeys(inner.path, (self.sig_key,))


class NoKey(Injection):
    """There is no sig-0.key."""

    fault = Fault.NO_KEY
    leaves = TaskStatus.FAILED

    def home(self, inner: Home) -> Home:
        return _HomeWithKeys(inner.path, ())


class TmpFull(Injection):
    """A full /tmp: it takes the name of the file, and not one byte of it."""

    fault = Fault.TMP_FULL
    leaves = TaskStatus.FAILED

    def disk(self, inner: Disk) -> Disk:
        def open_full(path: Path) -> BinaryIO:
            inner(path).close()
            return _NoRoom()

        return open_full


class _NoRoom(io.BytesIO):
    def write(self, data: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class ScriptFails(Injection):
    """The script does all but write version.txt, as the published one does with its slip ``prepare_versionp``."""

    fault = Fault.SCRIPT_FAILS
    leaves = TaskStatus.FAILED

    def runner(self, inner: Runner) -> Runner:
        def run(home: Home, update_bin: Path) -> Run:
            before = _version_txt(home)
            done = inner(home, update_bin)
            _put_back(home, before)
            return Run((*done.lines, said(f"{UPDATE_BIN}: prepare_versionp: command not found")), done.restarts)

        return run


class UpdateStays(Injection):
    """The script does its work and does not remove /tmp/update.bin."""

    fault = Fault.UPDATE_STAYS
    leaves = TaskStatus.COMPLETED

    def runner(self, inner: Runner) -> Runner:
        def run(home: Home, update_bin: Path) -> Run:
            content, mode = update_bin.read_bytes(), update_bin.stat().st_mode & 0o777
            done = inner(home, update_bin)
            update_bin.write_bytes(content)
            update_bin.chmod(mode)
            return done

        return run


class PowerCut(Injection):
    """The power goes before anything is in its place; /tmp is in memory, so update.bin is gone with it."""

    fault = Fault.POWER_CUT
    leaves = TaskStatus.FAILED

    def runner(self, inner: Runner) -> Runner:
        def run(home: Home, update_bin: Path) -> Run:
            update_bin.unlink(missing_ok=True)
            return Run(launch_lines(next_pid()), restarts=True)

        return run


class VersionMismatch(Injection):
    """The script writes a blank in front of the version: a station cuts blanks off behind it, not before it."""

    fault = Fault.VERSION_MISMATCH
    leaves = TaskStatus.COMPLETED
    leaves_if_version_given = TaskStatus.FAILED

    def runner(self, inner: Runner) -> Runner:
        def run(home: Home, update_bin: Path) -> Run:
            before = _version_txt(home)
            done = inner(home, update_bin)
            after = _version_txt(home)
            if after is not None and after != before:
                home.write("version.txt", b" " + after)
            return done

        return run


class OtherBuildTime(Injection):
    """The new station was built a second later than its definition says."""

    fault = Fault.VERSION_MISMATCH
    leaves = TaskStatus.COMPLETED
    leaves_if_version_given = TaskStatus.FAILED

    def __init__(self) -> None:
        self._is_new = False

    def runner(self, inner: Runner) -> Runner:
        def run(home: Home, update_bin: Path) -> Run:
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


def _put_back(home: Home, version_txt: bytes | None) -> None:
    if version_txt is None:
        (home.path / "version.txt").unlink(missing_ok=True)
    else:
        home.write("version.txt", version_txt)
