"""Let a block clean up when the process receives a termination signal, as it does on Ctrl-C."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

TERMINATION_SIGNALS: Final = ("SIGTERM", "SIGHUP", "SIGQUIT")
"""Windows has only the first."""


@contextmanager
def exit_on_signals(*names: str) -> Iterator[None]:
    """Raise SystemExit in the block when the process receives a termination signal.

    The exit status is 128 plus the number of the signal. A signal that the program ignores or handles by itself, such
    as SIGHUP under nohup, is left alone. So are all signals in another thread than the main one, where Python cannot
    set a handler. The handlers are restored after the block.

    Args:
        *names: The names of the signals. TERMINATION_SIGNALS if none is given.
    """
    if not _is_main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in names or TERMINATION_SIGNALS if hasattr(signal, name)]
    replaced = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in replaced:
        signal.signal(number, _raise_system_exit)
    try:
        yield
    finally:
        if _is_main_thread():
            _restore_defaults(replaced)


@contextmanager
def ctrl_c_postponed() -> Iterator[None]:
    """Let Ctrl-C wait until the end of the block, and raise KeyboardInterrupt then. A second Ctrl-C does not wait.

    In another thread than the main one, and in a program that handles Ctrl-C by itself, nothing is changed.
    """
    if not _is_main_thread() or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    received: list[int] = []

    def note(number: int, _frame: Any) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if received:
            raise KeyboardInterrupt


def _is_main_thread() -> bool:
    """Return whether this is the main thread. A block can end in another thread than it began in."""
    return threading.current_thread() is threading.main_thread()


def _restore_defaults(numbers: list[signal.Signals]) -> None:
    """Restore the default handlers of signals, except where the program has set a handler of its own meanwhile."""
    for number in numbers:
        if signal.getsignal(number) is _raise_system_exit:
            signal.signal(number, signal.SIG_DFL)


def _raise_system_exit(number: int, _frame: Any) -> None:
    sys.exit(128 + number)
