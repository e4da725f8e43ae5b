"""Temporary folders that are removed when the process ends, even if SIGTERM ends it.

Python removes a temporary folder when its ``with`` block ends, and when the interpreter exits. SIGTERM does neither by
default: the process just stops. While a folder of this module is open, SIGTERM ends the process as ``sys.exit`` does.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from lorafw.signals import exit_on_signals

MEMORY_FOLDER: Final = Path("/dev/shm")  # noqa: S108 -- the folders in it get random names and are private
"""The folder of Linux for files in memory. Small files are created about ten times as fast there as on a disk."""
MIN_FREE_MEMORY_BYTES: Final = 1 << 30
"""MEMORY_FOLDER is used only if this much room is left in it. Containers often have 64 MB."""
_FOLDER_VARIABLES: Final = ("TMPDIR", "TEMP", "TMP")


@contextlib.contextmanager
def scratch_folder(prefix: str, *, in_memory: bool = False) -> Iterator[Path]:
    """Make a temporary folder, and remove it at the end of the block.

    A program that handles SIGTERM by itself keeps its handler. So does one that opens the folder in another thread
    than the main one, where Python cannot set a handler.

    Args:
        prefix: The beginning of the folder's name.
        in_memory: Whether to make it in memory, for thousands of small files. If there is little room in memory, or the
            user has chosen a folder with TMPDIR, it is made in the usual place.

    Yields:
        The folder.
    """
    parent = _find_memory_folder() if in_memory else None
    with exit_on_signals("SIGTERM"), tempfile.TemporaryDirectory(prefix=prefix, dir=parent) as folder:
        yield Path(folder)


def _find_memory_folder() -> Path | None:
    """Return MEMORY_FOLDER, or None if it must not be used."""
    if any(os.environ.get(name) for name in _FOLDER_VARIABLES):
        return None
    if not os.access(MEMORY_FOLDER, os.W_OK | os.X_OK):
        return None
    if shutil.disk_usage(MEMORY_FOLDER).free < MIN_FREE_MEMORY_BYTES:
        return None
    return MEMORY_FOLDER
