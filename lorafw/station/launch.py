"""What a Basics Station logs when it starts an update file.

Of how the update ends, a station hears nothing. The line "completed" means that the process was started, and it follows
even if the file could not be executed. Source: recorded from Basics Station 2.0.6, sys_linux.c (``sys_execCommand``).
"""

from __future__ import annotations

import errno
import os
import re
from typing import Final

from lorafw.station.log import Level, LogLine

UPDATE_BIN: Final = "/tmp/update.bin"  # noqa: S108 -- the name in a station's log, not a file of ours
SCRIPT_HEAD_BYTES: Final = 256
"""Bytes of a script that Linux looks at for the name of its interpreter."""

_INTERPRETER: Final = re.compile(rb"#![ \t]*([^ \t\n\0]+)[ \t\n\0]")


def launch_lines(pid: int | str, failure: str | None = None) -> tuple[LogLine, ...]:
    """Return the lines of a start. ``failure`` is the error of the system if the file could not be executed."""
    forked = LogLine("SYS", Level.VERBOSE, f"{UPDATE_BIN}: Forked, waiting...")
    completed = LogLine("SYS", Level.INFO, f"Process {UPDATE_BIN} (pid={pid}) completed")
    if failure is None:
        return forked, completed
    return forked, LogLine("SYS", Level.ERROR, f"{UPDATE_BIN}: Failed to exec: {failure}"), completed


def exec_failure(update: bytes) -> str | None:
    """Return why an update file that is a script cannot be executed on this machine, or None if it can.

    A file that is neither a program nor names an interpreter is run by ``sh``. Only the beginning of ``update`` counts,
    SCRIPT_HEAD_BYTES of it.
    """
    interpreter = _INTERPRETER.match(update[:SCRIPT_HEAD_BYTES])
    if interpreter is None:
        return None
    path = interpreter[1]
    if not os.path.exists(path):  # noqa: PTH110 -- a path in bytes
        return os.strerror(errno.ENOENT)
    if not os.path.isfile(path) or not os.access(path, os.X_OK):  # noqa: PTH113
        return os.strerror(errno.EACCES)
    return None
