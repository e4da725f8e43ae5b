"""The files that a reply of CUPS changes in a station's home folder, in the order in which a station changes them."""

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


@dataclass(frozen=True, slots=True)
class UpdateRun:
    """An update file was run: the station's log lines, and whether the station is restarted by it."""

    lines: tuple[LogLine, ...]
    restarts: bool = False


CATEGORIES: Final = ("cups", "tc")

RunUpdate = Callable[[Home, Path], UpdateRun]
"""Runs an update file that a station would run."""

OpenUpdateFile = Callable[[Path], BinaryIO]
"""Opens the file that takes an update. Raises OSError, as writing to it does, where there is no room."""


def open_update(path: Path) -> BinaryIO:
    """update.bi_ as a station opens it: from its beginning, with mode 0750."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o750), "wb")


class HomeStorage:
    """Storage of one exchange, in a home folder.

    Where the update cannot be written, all of it is read all the same, and ignored (observed).
    """

    def __init__(self, home: Home, runner: RunUpdate, disk: OpenUpdateFile = open_update) -> None:
        self._home = home
        self._runner = runner
        self._disk = disk
        self._file: BinaryIO | None = None
        self._changed: set[str] = set()
        self.restarts = False

    def reset_config(self) -> None:
        self._changed.clear()
        for category in CATEGORIES:
            for name in (f"{category}-temp.upd", *_temporary_files(category)):
                (self._home.path / name).unlink(missing_ok=True)

    def save_uri(self, category: str, uri: str) -> None:
        self._save(category, "uri", uri.encode("utf-8", "surrogateescape"))

    def save_credentials(self, category: str, credentials: Credentials) -> None:
        for part, ending in CREDENTIAL_SUFFIXES.items():
            self._save(category, ending, getattr(credentials, part))

    def commit_config(self) -> None:
        for category in CATEGORIES:
            if category in self._changed:
                (self._home.path / f"{category}-temp.upd").touch()
                _replace_config(self._home, category)
        self._changed.clear()

    def update_begin(self, length: int) -> Iterable[LogLine]:
        try:
            self._home.tmp.mkdir(mode=0o700, exist_ok=True)
            self._file = self._disk(self._partial)
        except OSError as error:
            return self._given_up("open", error)
        return ()

    def update_data(self, data: bytes) -> Iterable[LogLine]:
        if self._file is not None:
            try:
                self._file.write(data)
            except OSError as error:
                return self._given_up("write", error)
        return ()

    def update_commit(self) -> bool:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
                self._partial.replace(self.update_bin)
                self._file = None
                return True
        self.close()
        with suppress(OSError):
            self._partial.unlink()
        return False

    def update_abort(self) -> None:
        self.update_bin.unlink(missing_ok=True)

    def update_run(self) -> Iterable[LogLine]:
        run = self._runner(self._home, self.update_bin)
        self.restarts = run.restarts
        return run.lines

    def close(self) -> None:
        """The exchange is over; what was not committed stays as update.bi_."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None

    def _given_up(self, what: str, error: OSError) -> tuple[LogLine]:
        self.close()
        return (LogLine("SYS", Level.ERROR, f"Failed to {what} '/tmp/update.bi_': {error.strerror}"),)

    @property
    def update_bin(self) -> Path:
        return self._home.tmp / "update.bin"

    @property
    def _partial(self) -> Path:
        return self._home.tmp / "update.bi_"

    def _save(self, category: str, ending: str, content: bytes) -> None:
        self._home.write(f"{category}-temp.{ending}", content, mode=0o600)
        self._changed.add(category)


def complete_interrupted(home: Home) -> None:
    """Finish what a power cut interrupted: the files of a reply take effect, and the backup is made.

    A marker in the home folder tells that the files were written: ``{cups,tc}-temp.upd`` and ``cups-temp.cpy``.
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
    return [f"{category}-temp.{ending}" for ending in (*CREDENTIAL_SUFFIXES.values(), "uri")]
