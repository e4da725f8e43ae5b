"""The lines that a Basics Station logs when it starts an update file.

A station does not learn how the update ends. The line "completed" means only that the process was started. The station
logs it even if the file could not be executed.

Source: recorded from Basics Station 2.0.6, sys_linux.c (``sys_execCommand``).
"""

from __future__ import annotations

import errno
import os
import re
from typing import Final

from lorafw.station.log import Level, LogLine

UPDATE_BIN: Final = "/tmp/update.bin"  # noqa: S108 -- the name in a station's log; lorafw does not open it
SCRIPT_HEAD_BYTES: Final = 256
"""The number of bytes at the beginning of a script in which Linux searches for the name of the interpreter."""

_INTERPRETER: Final = re.compile(rb"#![ \t]*([^ \t\n\0]+)[ \t\n\0]")


def launch_lines(pid: int | str, failure: str | None = None) -> tuple[LogLine, ...]:
    """Return the lines that a station logs when it starts the update.

    Args:
        pid: The process ID, or a text that stands for it.
        failure: The operating system's error if the file could not be executed, otherwise None.
    """
    forked = LogLine("SYS", Level.VERBOSE, f"{UPDATE_BIN}: Forked, waiting...")
    completed = LogLine("SYS", Level.INFO, f"Process {UPDATE_BIN} (pid={pid}) completed")
    if failure is None:
        return forked, completed
    return forked, LogLine("SYS", Level.ERROR, f"{UPDATE_BIN}: Failed to exec: {failure}"), completed


def exec_failure(update: bytes) -> str | None:
    """Return why this machine cannot execute an update file that is a script, or None if it can.

    The reason is that the interpreter in the first line is missing or is not executable. The station runs a file
    without such a line with ``sh``. Only the first SCRIPT_HEAD_BYTES of ``update`` are used.
    """
    # Linux fills the rest of its buffer with zero bytes, so the first line of a short script needs no line end.
    head = update[:SCRIPT_HEAD_BYTES].ljust(SCRIPT_HEAD_BYTES, b"\0")
    interpreter = _INTERPRETER.match(head)
    if interpreter is None:
        return None
    path = interpreter[1]
    if not os.path.exists(path):  # noqa: PTH110 -- a path in bytes
        return os.strerror(errno.ENOENT)
    if not os.path.isfile(path) or not os.access(path, os.X_OK):  # noqa: PTH113
        return os.strerror(errno.EACCES)
    return None
