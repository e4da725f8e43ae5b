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
===================  ===================================================================================

Source: Basics Station 2.0.6, sys.c and sys_linux.c.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from lorafw.atomic import PRIVATE_MODE, PUBLIC_MODE
from lorafw.gateway.home import Home
from lorafw.gateway.home_files import CREDENTIAL_SUFFIXES, file_mode

_CATEGORIES: Final = ("cups", "tc")
"""The two servers of a station, as the beginning of the names of their files."""
_SUFFIXES: Final = (*CREDENTIAL_SUFFIXES.values(), "uri")
"""The suffixes of the files of each server, in the order in which a station renames them."""
_BACKUP_SUFFIXES: Final = ("uri", *CREDENTIAL_SUFFIXES.values())


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
                    (self._home.path / name).unlink(missing_ok=True)

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


def complete_interrupted(home: Home) -> None:
    """Complete what a power cut has interrupted: the renaming of new files, and the backup of cups.*."""
    for category in _CATEGORIES:
        if _update_marker(home, category).exists():
            _rename_temporary_files(home, category)
    if (home.path / "cups-temp.cpy").exists():
        back_up_cups(home)


def _update_marker(home: Home, category: str) -> Path:
    """Return the path of the file that exists while the temporary files of a server are renamed."""
    return home.path / f"{category}-temp.upd"


def _rename_temporary_files(home: Home, category: str) -> None:
    """Rename the temporary files of a server to the regular ones, and remove the marker."""
    for suffix in _SUFFIXES:
        temporary = home.path / f"{category}-temp.{suffix}"
        if temporary.exists():
            temporary.replace(home.path / f"{category}.{suffix}")
    _update_marker(home, category).unlink(missing_ok=True)


def back_up_cups(home: Home) -> None:
    """Copy cups.* to cups-bak.*, unless there is a complete copy already.

    A station does this when a server answers with status 200. If a power cut interrupts the copy, it is made again.
    """
    # These are strings, because this runs at each poll, and a Path is slow.
    folder = str(home.path)
    done_marker = f"{folder}/cups-bak.done"
    copying_marker = f"{folder}/cups-temp.cpy"
    is_done = os.path.exists(done_marker) and not os.path.exists(copying_marker)  # noqa: PTH110
    if is_done:
        return
    Path(copying_marker).touch()
    Path(done_marker).unlink(missing_ok=True)
    for suffix in _BACKUP_SUFFIXES:
        Path(f"{folder}/cups-bak.{suffix}").unlink(missing_ok=True)
    for suffix in _BACKUP_SUFFIXES:
        content = home.read(f"cups.{suffix}")
        if content is not None:
            home.write(f"cups-bak.{suffix}", content, mode=file_mode(suffix))
    Path(done_marker).touch(mode=PUBLIC_MODE)
    Path(copying_marker).unlink()
