"""Store the files of a CUPS response in a home folder.

The files change in the same order as on a station, so that a power cut leaves the same state behind.
Source: Basics Station 2.0.6, sys.c and sys_linux.c.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from lorafw.cups.credentials import Credentials
from lorafw.gateway.home import CREDENTIAL_SUFFIXES, Home
from lorafw.station.log import Level, LogLine
from lorafw.text import encode_lossless


@dataclass(frozen=True, slots=True)
class UpdateRun:
    """The result of running an update file."""

    lines: tuple[LogLine, ...]
    """The lines that the station logs."""
    restarts: bool = False
    """Whether the update restarts the station."""


CATEGORIES: Final = ("cups", "tc")

RunUpdate = Callable[[Home, Path], UpdateRun]
"""Runs an update file, and returns whether it restarts the station and which lines the station logs."""

OpenUpdateFile = Callable[[Path], BinaryIO]
"""Opens the file for an update. Opening and writing raise OSError if the disk is full."""


def open_update(path: Path) -> BinaryIO:
    """Open update.bi_ as a station does: truncated, with mode 0750."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o750), "wb")


class HomeStorage:
    """The ``Storage`` of one exchange, in a home folder.

    If the update cannot be written, the station still reads all of it and ignores it (observed).

    Args:
        home: The home folder.
        runner: Runs update.bin.
        disk: Opens the file for the update.
    """

    def __init__(self, home: Home, runner: RunUpdate, disk: OpenUpdateFile = open_update) -> None:
        self._home = home
        self._runner = runner
        self._open_file = disk
        self._file: BinaryIO | None = None
        self._changed_categories: set[str] = set()
        """The categories, such as ``cups``, of which this exchange has written temporary files."""
        self.restarts = False
        """Whether the update that was run restarts the station."""

    def reset_config(self) -> None:
        """Remove temporary files that an earlier exchange left."""
        self._changed_categories.clear()
        # One listing is faster than ten attempts to remove a file that is not there, as nearly always.
        present = set(os.listdir(self._home.path))  # noqa: PTH208 -- three times as fast as Path.iterdir()
        for name in _ALL_TEMPORARY_FILES:
            if name in present:
                (self._home.path / name).unlink(missing_ok=True)

    def save_uri(self, category: str, uri: str) -> None:
        """Write a URI to a temporary file."""
        self._save(category, "uri", encode_lossless(uri))

    def save_credentials(self, category: str, credentials: Credentials) -> None:
        """Write trust, certificate and key to temporary files."""
        for part, suffix in CREDENTIAL_SUFFIXES.items():
            self._save(category, suffix, getattr(credentials, part))

    def commit_config(self) -> None:
        """Put the temporary files into force. A marker file makes this survive a power cut."""
        for category in CATEGORIES:
            if category in self._changed_categories:
                (self._home.path / f"{category}-temp.upd").touch()
                _replace_config(self._home, category)
        self._changed_categories.clear()

    def begin_update(self, length: int) -> Iterable[LogLine]:
        """Open update.bi_. Return the lines that a station logs if that fails."""
        try:
            self._home.tmp.mkdir(mode=0o700, exist_ok=True)
            self._file = self._open_file(self._unfinished_update)
        except OSError as error:
            return self._stop_writing("open", error)
        return ()

    def write_update(self, data: bytes) -> Iterable[LogLine]:
        """Append to update.bi_. Return the lines that a station logs when that fails for the first time."""
        if self._file is None:
            # Opening or writing has failed before. The station reads the rest of the update and ignores it.
            return ()
        try:
            self._file.write(data)
        except OSError as error:
            return self._stop_writing("write", error)
        return ()

    def commit_update(self) -> bool:
        """Rename update.bi_ to update.bin. If it could not be written, remove it and return False."""
        if self._file is None:
            self._remove_unfinished_update()
            return False
        try:
            self._file.close()
            self._unfinished_update.replace(self.update_bin)
        except OSError:
            self._remove_unfinished_update()
            return False
        self._file = None
        return True

    def _remove_unfinished_update(self) -> None:
        """Close and remove update.bi_, if there is one."""
        self.close()
        with suppress(OSError):
            self._unfinished_update.unlink()

    def discard_update(self) -> None:
        """Remove update.bin."""
        self.update_bin.unlink(missing_ok=True)

    def run_update(self) -> Iterable[LogLine]:
        """Run update.bin, note whether it restarts the station, and return the lines that a station logs."""
        run = self._runner(self._home, self.update_bin)
        self.restarts = run.restarts
        return run.lines

    def close(self) -> None:
        """Close the file of the update. An update that was not committed stays in update.bi_."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None

    def _stop_writing(self, operation: str, error: OSError) -> tuple[LogLine]:
        """Close the file after an error, and return the line that a station logs."""
        self.close()
        return (LogLine("SYS", Level.ERROR, f"Failed to {operation} '/tmp/update.bi_': {error.strerror}"),)

    @property
    def update_bin(self) -> Path:
        """The path of a complete update."""
        return self._home.tmp / "update.bin"

    @property
    def _unfinished_update(self) -> Path:
        """The path of an update while it is received."""
        return self._home.tmp / "update.bi_"

    def _save(self, category: str, suffix: str, content: bytes) -> None:
        self._home.write(f"{category}-temp.{suffix}", content, mode=0o600)
        self._changed_categories.add(category)


def complete_interrupted(home: Home) -> None:
    """Finish what a power cut interrupted: put received files into force, and complete the backup of cups.*.

    Marker files show what is left to do: ``{cups,tc}-temp.upd`` and ``cups-temp.cpy``.
    """
    for category in CATEGORIES:
        if (home.path / f"{category}-temp.upd").exists():
            _replace_config(home, category)
    if (home.path / "cups-temp.cpy").exists():
        home.back_up_cups()


def _replace_config(home: Home, category: str) -> None:
    """Rename the temporary files of a category to the regular ones, and remove the marker."""
    for name in _temporary_files(category):
        path = home.path / name
        if path.exists():
            path.replace(home.path / name.replace("-temp.", "."))
    (home.path / f"{category}-temp.upd").unlink(missing_ok=True)


def _temporary_files(category: str) -> list[str]:
    return [f"{category}-temp.{suffix}" for suffix in (*CREDENTIAL_SUFFIXES.values(), "uri")]


_ALL_TEMPORARY_FILES: Final = tuple(
    name for category in CATEGORIES for name in (f"{category}-temp.upd", *_temporary_files(category))
)
"""The files that ``reset_config`` removes, in its order."""
