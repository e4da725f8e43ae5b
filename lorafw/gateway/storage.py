"""Store the files of a CUPS response in a home folder.

The files change in the same order as on a station, so that a power cut leaves the same state behind.
Source: Basics Station 2.0.6, sys.c and sys_linux.c.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from lorafw.cups.credentials import Credentials
from lorafw.gateway.config_files import PendingConfig
from lorafw.gateway.home import Home
from lorafw.gateway.home_files import CREDENTIAL_SUFFIXES
from lorafw.station.log import Level, LogLine
from lorafw.text import encode_lossless

_ANYBODY_MAY_EXECUTE: Final = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH


@dataclass(frozen=True, slots=True)
class UpdateRun:
    """The result of running an update file."""

    lines: tuple[LogLine, ...]
    """The lines that the station logs."""
    restarts: bool = False
    """Whether the update restarts the station."""


RunUpdate = Callable[[Home, Path], UpdateRun]
"""Runs an update file, and returns whether it restarts the station and which lines the station logs."""

OpenUpdateFile = Callable[[Path], BinaryIO]
"""Opens the file for an update. Opening and writing raise OSError if the disk is full."""


def open_update(path: Path) -> BinaryIO:
    """Open update.bi_ as a station does: truncated, with mode 0750, and without a buffer that delays errors."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o750), "wb", buffering=0)


def run_if_executable(home: Home, update_bin: Path, run_update: RunUpdate) -> UpdateRun:
    """Run update.bin. A station does nothing, and logs nothing, if there is no such file or it is not executable."""
    try:
        mode = update_bin.stat().st_mode
    except OSError:
        return UpdateRun(())
    may_be_executed = os.name == "nt" or bool(mode & _ANYBODY_MAY_EXECUTE)  # Windows has no such bits
    if not (stat.S_ISREG(mode) and may_be_executed):
        return UpdateRun(())
    return run_update(home, update_bin)


class UpdateFile:
    """The file of an update: update.bi_ while it is received, then update.bin.

    If it cannot be written, the station still reads the whole update and ignores it (observed).

    Args:
        folder: The folder that stands for /tmp of a real station.
        open_file: Opens the file.
    """

    def __init__(self, folder: Path, open_file: OpenUpdateFile) -> None:
        self.complete_path = folder / "update.bin"
        """The path of a complete update."""
        self._unfinished_path = folder / "update.bi_"
        self._open_file = open_file
        self._file: BinaryIO | None = None
        """The open file. None before the update begins, after its end, and after an error."""

    def begin(self) -> Iterable[LogLine]:
        """Create the file. Return the lines that a station logs if that fails."""
        try:
            self._unfinished_path.parent.mkdir(mode=0o700, exist_ok=True)
            self._file = self._open_file(self._unfinished_path)
        except OSError as error:
            return self._stop("open", error)
        return ()

    def write(self, data: bytes) -> Iterable[LogLine]:
        """Append data, unless an error has happened before. Return the lines that a station logs if this fails."""
        if self._file is None:
            return ()
        try:
            self._file.write(data)
        except OSError as error:
            return self._stop("write", error)
        return ()

    def commit(self) -> bool:
        """Rename the file to update.bin. If it could not be written, remove it and return False."""
        if self._file is None:
            self._remove()
            return False
        try:
            self._file.close()
            self._unfinished_path.replace(self.complete_path)
        except OSError:
            self._remove()
            return False
        self._file = None
        return True

    def _remove(self) -> None:
        """Close and remove the unfinished file, if there is one."""
        self.close()
        with suppress(OSError):
            self._unfinished_path.unlink()

    def close(self) -> None:
        """Close the file. An update that was not committed stays in update.bi_."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None

    def _stop(self, operation: str, error: OSError) -> tuple[LogLine]:
        """Close the file after an error, and return the line that a station logs."""
        self.close()
        return (LogLine("SYS", Level.ERROR, f"Failed to {operation} '/tmp/update.bi_': {error.strerror}"),)


class HomeStorage:
    """The ``Storage`` of one exchange, in a home folder.

    Args:
        home: The home folder.
        runner: Runs update.bin.
        disk: Opens the file for the update.
    """

    def __init__(self, home: Home, runner: RunUpdate, disk: OpenUpdateFile = open_update) -> None:
        self._home = home
        self._runner = runner
        self._config = PendingConfig(home)
        self._update = UpdateFile(home.tmp, disk)
        self.restarts = False
        """Whether the update that was run restarts the station."""

    def reset_config(self) -> None:
        """Remove temporary files that an earlier exchange left."""
        self._config.reset()

    def save_uri(self, category: str, uri: str) -> None:
        """Write a URI to a temporary file."""
        self._config.save(category, "uri", encode_lossless(uri))

    def save_credentials(self, category: str, credentials: Credentials) -> None:
        """Write trust, certificate and key to temporary files."""
        for part, suffix in CREDENTIAL_SUFFIXES.items():
            self._config.save(category, suffix, getattr(credentials, part))

    def commit_config(self) -> None:
        """Rename the temporary files to the regular ones."""
        self._config.commit()

    def begin_update(self, length: int) -> Iterable[LogLine]:
        """Create update.bi_. Return the lines that a station logs if that fails."""
        return self._update.begin()

    def write_update(self, data: bytes) -> Iterable[LogLine]:
        """Append to update.bi_. Return the lines that a station logs when that fails for the first time."""
        return self._update.write(data)

    def commit_update(self) -> bool:
        """Rename update.bi_ to update.bin. Return False if the update could not be written."""
        return self._update.commit()

    def discard_update(self) -> None:
        """Remove update.bin."""
        self._update.complete_path.unlink(missing_ok=True)

    def run_update(self) -> Iterable[LogLine]:
        """Run update.bin, note whether it restarts the station, and return the lines that a station logs."""
        run = run_if_executable(self._home, self._update.complete_path, self._runner)
        self.restarts = run.restarts
        return run.lines

    def close(self) -> None:
        """Close the file of an update that did not arrive completely."""
        self._update.close()
