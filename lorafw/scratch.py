"""Temporary folders that are removed when the process ends, even if SIGTERM ends it.

Python removes a temporary folder when its ``with`` block ends, and when the interpreter exits. SIGTERM does neither by
default: the process just stops. While a folder of this module is open, SIGTERM ends the process as ``sys.exit`` does.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NoReturn

SIGTERM_STATUS: Final = 128 + signal.SIGTERM
"""The exit status that a shell shows for a process that SIGTERM ended."""


@contextlib.contextmanager
def scratch_folder(prefix: str) -> Iterator[Path]:
    """Make a temporary folder, and remove it at the end of the block.

    A program that handles SIGTERM by itself keeps its handler. So does one that opens the folder in another thread
    than the main one, where Python cannot set a handler.
    """
    with _exit_at_sigterm(), tempfile.TemporaryDirectory(prefix=prefix) as folder:
        yield Path(folder)


@contextlib.contextmanager
def _exit_at_sigterm() -> Iterator[None]:
    """Let SIGTERM end the process as ``sys.exit`` does, until the end of the block. Changes the signal handler."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is _exit:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _exit(*_: object) -> NoReturn:
    """Handle SIGTERM: exit, so that ``with`` blocks are left and the folder is removed."""
    sys.exit(SIGTERM_STATUS)
