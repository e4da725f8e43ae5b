"""End a command in an orderly way when it gets a termination signal, as Ctrl-C does."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

_NAMES: Final = ("SIGTERM", "SIGHUP", "SIGQUIT")
"""Windows has only the first."""


@contextmanager
def exit_on_signals() -> Iterator[None]:
    """Raise SystemExit in the block when the process gets SIGTERM, SIGHUP or SIGQUIT, so that it can tidy up.

    A signal that is ignored, as SIGHUP is under nohup, stays ignored. The exit status is 128 plus the signal's number.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python sets handlers in the main thread only
        return
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    replaced = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in replaced:
        signal.signal(number, _exit)
    try:
        yield
    finally:
        for number in replaced:
            signal.signal(number, signal.SIG_DFL)


def _exit(number: int, _frame: Any) -> None:
    sys.exit(128 + number)
