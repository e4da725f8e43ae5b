"""`lorafw serve` as a process: its output, the signals that end it, its ready file, and its limit of files."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final

from lorafw.cli.console import echo_highlighted
from lorafw.clock import format_iso
from lorafw.server.refusals import LineLimit, logger
from lorafw.tasks.lifecycle import LogRow

BROKEN_PIPE_STATUS: Final = 141
"""Exit status of a program that wrote into a pipe that nobody reads any more: 128 and the number of SIGPIPE."""
ENDING_SIGNALS: Final = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT")
"""Not all of them exist on every system."""


class Output:
    """Standard output, which several threads write to. When nobody reads it any more, ``stop`` is set.

    No method raises if the output is closed, so that no thread ends because of a line that it would tell.
    """

    def __init__(self) -> None:
        self.stop = threading.Event()
        """Set when serve is to end."""
        self.is_broken = False
        """True if the reader of the output went away."""

    def __enter__(self) -> Output:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.is_broken:
            # Python flushes standard output at its end, and would complain of the pipe.
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def show(self, text: str) -> None:
        """Print a line. Sets ``stop`` if nobody reads it."""
        if self.is_broken:
            return
        try:
            echo_highlighted(text)
        except (OSError, ValueError):  # ValueError: the file was closed in this process
            self.is_broken = True
            self.stop.set()

    def show_row(self, row: LogRow) -> None:
        """Print a line for what has happened to a task."""
        change = f"{row.from_status or 'no task'} -> {row.to_status or 'no task'}"
        self.show(f"{format_iso(row.time)} task of gateway {row.gateway}: {change} ({row.cause})")


class _OutputHandler(logging.Handler):
    def __init__(self, output: Output) -> None:
        super().__init__(logging.INFO)
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        time = format_iso(round(record.created * 1000))
        self._output.show(f"{time} {self.format(record)}")


@contextlib.contextmanager
def refusals_shown(output: Output) -> Iterator[None]:
    """Print a line for what the servers refuse, and limit the lines of asyncio. Both are as they were at the end."""
    handler, limit = _OutputHandler(output), LineLimit()
    asyncio_log = logging.getLogger("asyncio")
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    asyncio_log.addFilter(limit)
    try:
        yield
    finally:
        asyncio_log.removeFilter(limit)
        logger.removeHandler(handler)
        logger.level, logger.propagate = before


@contextlib.contextmanager
def stop_on_signals(stop: threading.Event) -> Iterator[None]:
    """Set ``stop`` at a signal that asks the process to end, so that it ends in order.

    A signal that was ignored stays ignored: so does SIGHUP under nohup.
    """

    def set_stop(_: int, __: FrameType | None) -> None:
        stop.set()

    before = {}
    for name in ENDING_SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, set_stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def announced(path: Path | None, content: Mapping[str, object]) -> Iterator[None]:
    """Keep the ready file exactly while its addresses answer. It is written whole, and nobody else may read it."""
    if path is None:
        yield
        return
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump(content, file)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def open_many_files() -> None:
    """Raise this process's limit of open files to what it may be. Each connection is a file."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # noqa: PLC0415 -- does not exist on Windows

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
