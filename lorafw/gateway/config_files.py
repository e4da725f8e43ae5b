"""Replace the addresses and credentials of a home folder, and back them up, so that a power cut loses nothing.

New files are first written under temporary names, such as cups-temp.uri, and then renamed. Empty marker files show what
a power cut has interrupted:

===================  ===================================================================================
marker               meaning
===================  ===================================================================================
cups-temp.upd        all new files of the CUPS server have arrived; they are being renamed to cups.*
tc-temp.upd          the same for the files of the TC server
cups-temp.cpy        cups.* is being copied to cups-bak.*
cups-bak.done        the copy cups-bak.* is complete
tc-temp.cpy          tc.* is being copied to tc-bak.*. A station without a TC engine only completes this
===================  ===================================================================================

Source: Basics Station 2.0.6, sys.c and sys_linux.c.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from lorafw.atomic import PRIVATE_MODE, PUBLIC_MODE
from lorafw.errors import HomeError
from lorafw.gateway.home import Home
from lorafw.gateway.home_files import CREDENTIAL_SUFFIXES, file_mode
from lorafw.station.log import Level, LogLine

_CATEGORIES: Final = ("cups", "tc")
"""The two servers of a station, as the beginning of the names of their files."""
_SUFFIXES: Final = (*CREDENTIAL_SUFFIXES.values(), "uri")
"""The suffixes of the files of each server, in the order in which a station renames and copies them."""


class PendingConfig:
    """The new addresses and credentials that one exchange has received and not put into force yet.

    Args:
        home: The home folder.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._changed_categories: set[str] = set()

    def reset(self) -> None:
        """Remove the temporary files that an earlier exchange left behind."""
        self._changed_categories.clear()
        # One listing is faster than ten attempts to remove a file that is not there, as nearly always.
        present = set(os.listdir(self._home.path))  # noqa: PTH208 -- three times as fast as Path.iterdir()
        for category in _CATEGORIES:
            for suffix in ("upd", *_SUFFIXES):
                name = f"{category}-temp.{suffix}"
                if name in present:
                    # A station ignores it if it cannot remove one.
                    with suppress(OSError):
                        (self._home.path / name).unlink()

    def save(self, category: str, suffix: str, content: bytes) -> None:
        """Write a temporary file.

        Args:
            category: The server: ``cups`` or ``tc``.
            suffix: The suffix of the file: ``uri``, ``trust``, ``crt`` or ``key``.
            content: The content of the file.
        """
        self._home.write(f"{category}-temp.{suffix}", content, mode=PRIVATE_MODE)
        self._changed_categories.add(category)

    def commit(self) -> None:
        """Rename the temporary files to the regular ones."""
        for category in _CATEGORIES:
            if category in self._changed_categories:
                _update_marker(self._home, category).touch()
                _rename_temporary_files(self._home, category)
        self._changed_categories.clear()


def complete_interrupted(home: Home, backup: Backup, on_log: Callable[[LogLine], None]) -> None:
    """Complete what a power cut has interrupted: the renaming of new files, and the copying to backups.

    Args:
        home: The home folder.
        backup: The backup of cups.*.
        on_log: Called with each line that a station logs.

    Raises:
        HomeError: A station would not start, because it cannot complete this.
    """
    backups = (backup, Backup(home, "tc"))
    for category, each in zip(_CATEGORIES, backups, strict=True):
        if _update_marker(home, category).exists():
            _rename_temporary_files(home, category)
        if not each.complete_interrupted(on_log):
            raise HomeError(f"{home.path}: Forward recovery of some station config files failed")


def _update_marker(home: Home, category: str) -> Path:
    """Return the path of the file that exists while the temporary files of a server are renamed."""
    return home.path / f"{category}-temp.upd"


def _rename_temporary_files(home: Home, category: str) -> None:
    """Rename the temporary files of a server to the regular ones, and remove the marker.

    Raises:
        HomeError: A file cannot be renamed. A station ends then.
    """
    for suffix in _SUFFIXES:
        temporary = home.path / f"{category}-temp.{suffix}"
        regular = home.path / f"{category}.{suffix}"
        if not temporary.exists():
            continue
        try:
            temporary.replace(regular)
        except OSError as error:
            raise HomeError(f"Failed to rename '{temporary}' -> '{regular}': {error.strerror}") from error
    with suppress(OSError):
        _update_marker(home, category).unlink()


class _StepFailed(Exception):
    """A step of a backup failed. The message is the line that a station logs."""


class Backup:
    """The backup of the files of one server, such as cups-bak.* for cups.*.

    A station makes it when a server answers with status 200. It makes only one: the marker ``-bak.done`` shows that
    there is one already. A running station remembers this, so that it looks for the marker only when it starts.

    Args:
        home: The home folder.
        category: The server: ``cups`` or ``tc``.
    """

    def __init__(self, home: Home, category: str) -> None:
        self._home = home
        self._category = category
        self._is_complete: bool | None = None
        """Whether there is a complete backup. None before the first look for the marker."""

    def complete_interrupted(self, on_log: Callable[[LogLine], None]) -> bool:
        """Make the backup again if a power cut has interrupted it. Return False if that fails.

        Args:
            on_log: Called with the line that a station logs about a failure.
        """
        self._is_complete = None
        if os.path.exists(self._path("temp.cpy")):  # noqa: PTH110
            return self._copy_or_log(on_log)
        return True

    def make(self, on_log: Callable[[LogLine], None]) -> None:
        """Make the backup, unless there is a complete one.

        Args:
            on_log: Called with the line that a station logs about a failure. Then it tries again at the next response.
        """
        if self._is_complete is None:
            # These are strings, because this runs in the first poll of each gateway, and a Path is slow.
            is_interrupted = os.path.exists(self._path("temp.cpy"))  # noqa: PTH110
            self._is_complete = os.path.exists(self._path("bak.done")) and not is_interrupted  # noqa: PTH110
        if not self._is_complete:
            self._copy_or_log(on_log)

    def _copy_or_log(self, on_log: Callable[[LogLine], None]) -> bool:
        """Make the backup. Log a failure and return False."""
        try:
            self._copy()
        except _StepFailed as error:
            on_log(LogLine("SYS", Level.CRITICAL, str(error)))
            return False
        self._is_complete = True
        return True

    def _copy(self) -> None:
        """Copy the files. Raises _StepFailed."""
        if not os.path.exists(self._path("temp.cpy")):  # noqa: PTH110
            self._write("temp.cpy", b"", PUBLIC_MODE)
        self._remove("bak.done")
        for suffix in _SUFFIXES:
            self._remove(f"bak.{suffix}")
        for suffix in _SUFFIXES:
            content = self._home.read(f"{self._category}.{suffix}")
            if content is not None:
                self._write(f"bak.{suffix}", content, file_mode(suffix))
        self._write("bak.done", b"", PUBLIC_MODE)
        with suppress(OSError):
            os.unlink(self._path("temp.cpy"))  # noqa: PTH108

    def _path(self, ending: str) -> str:
        """Return the path of a file of this server, such as cups-bak.uri."""
        return f"{self._home.path}/{self._category}-{ending}"

    def _write(self, ending: str, content: bytes, mode: int) -> None:
        """Write a file. Raises _StepFailed."""
        path = self._path(ending)
        try:
            self._home.write(os.path.basename(path), content, mode=mode)  # noqa: PTH119
        except OSError as error:
            raise _StepFailed(f"Failed to write file '{path}': {error.strerror}") from error

    def _remove(self, ending: str) -> None:
        """Remove a file if there is one. Raises _StepFailed."""
        path = self._path(ending)
        try:
            os.unlink(path)  # noqa: PTH108
        except FileNotFoundError:
            return
        except OSError as error:
            raise _StepFailed(f"Failed to unlink '{path}': {error.strerror}") from error
