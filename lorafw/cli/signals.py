"""Let a command clean up when it receives a termination signal, as it does on Ctrl-C."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

_SIGNAL_NAMES: Final = ("SIGTERM", "SIGHUP", "SIGQUIT")
"""Windows has only the first."""


@contextmanager
def exit_on_signals() -> Iterator[None]:
    """Raise SystemExit in the block when the process receives SIGTERM, SIGHUP or SIGQUIT.

    The exit status is 128 plus the number of the signal. A signal that is ignored, such as SIGHUP under nohup, stays
    ignored. The previous handlers are restored after the block.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python allows signal handlers in the main thread only
        return
    numbers = [getattr(signal, name) for name in _SIGNAL_NAMES if hasattr(signal, name)]
    replaced = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in replaced:
        signal.signal(number, _raise_system_exit)
    try:
        yield
    finally:
        for number in replaced:
            signal.signal(number, signal.SIG_DFL)


def _raise_system_exit(number: int, _frame: Any) -> None:
    sys.exit(128 + number)
