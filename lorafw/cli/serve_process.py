"""What `lorafw serve` does as a process: its output, termination signals, the ready file and the open-file limit."""

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
from lorafw.errors import LorafwError
from lorafw.server.refusals import LineLimit, logger
from lorafw.tasks.lifecycle import LogRow

BROKEN_PIPE_STATUS: Final = 141
"""Exit status of a program whose output has lost its reader: 128 plus the number of SIGPIPE."""
TERMINATION_SIGNALS: Final = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT")
"""Not all of them exist on every system."""


class Output:
    """Standard output that several threads print to.

    If the reader of the output has closed it, printing sets ``stop`` instead of raising an exception, so that a line
    of the log ends no server thread.
    """

    def __init__(self) -> None:
        self.stop = threading.Event()
        """Set when ``lorafw serve`` should end."""
        self.is_broken = False
        """True if the reader of the output has closed it."""
        self.error: LorafwError | None = None
        """Why ``lorafw serve`` has to end. None if nothing is wrong."""

    def __enter__(self) -> Output:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self.is_broken:
            return
        # Python flushes standard output when it ends, and would report the broken pipe then.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def show(self, text: str) -> None:
        """Print a line. Sets ``stop`` if the output is closed."""
        if self.is_broken:
            return
        try:
            echo_highlighted(text)
        except (OSError, ValueError):  # ValueError: the file was closed in this process
            self.is_broken = True
            self.stop.set()

    def stop_because(self, error: LorafwError) -> None:
        """Set ``stop`` because of an error, which ends the command."""
        self.error = error
        self.stop.set()

    def show_row(self, row: LogRow) -> None:
        """Print a line for a change of a task."""
        change = f"{row.from_status or 'no task'} -> {row.to_status or 'no task'}"
        self.show(f"{format_iso(row.time)} task of gateway {row.gateway}: {change} ({row.cause})")


class _OutputHandler(logging.Handler):
    """A logging handler that prints records to an ``Output``."""

    def __init__(self, output: Output) -> None:
        super().__init__(logging.INFO)
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        time = format_iso(round(record.created * 1000))
        self._output.show(f"{time} {self.format(record)}")


@contextlib.contextmanager
def show_refusals(output: Output) -> Iterator[None]:
    """Print a line for each request that the servers refuse, and limit the number of lines that asyncio logs.

    The configuration of the loggers is restored after the block.
    """
    handler, limit = _OutputHandler(output), LineLimit()
    asyncio_log = logging.getLogger("asyncio")
    previous_level, previous_propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    asyncio_log.addFilter(limit)
    try:
        yield
    finally:
        asyncio_log.removeFilter(limit)
        logger.removeHandler(handler)
        logger.level = previous_level
        logger.propagate = previous_propagate


@contextlib.contextmanager
def stop_on_signals(stop: threading.Event) -> Iterator[None]:
    """Set ``stop`` when the process receives a termination signal.

    A signal that is ignored, such as SIGHUP under nohup, stays ignored. The previous handlers are restored after the
    block.
    """

    def set_stop(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    previous_handlers = {}
    for name in TERMINATION_SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            previous_handlers[number] = signal.signal(number, set_stop)
    try:
        yield
    finally:
        for number, handler in previous_handlers.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def ready_file(path: Path | None, content: Mapping[str, object]) -> Iterator[None]:
    """Write the ready file, and remove it after the block.

    The file appears with its whole content, and only its owner can read it.

    Args:
        path: Where the file is written, or None for no ready file.
        content: The JSON object to write.
    """
    if path is None:
        yield
        return
    _write_private_json(path, content)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _write_private_json(path: Path, content: Mapping[str, object]) -> None:
    """Write a JSON file of mode 0600 under a temporary name and rename it."""
    descriptor, temporary_name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # has mode 0600
    temporary_path = Path(temporary_name)
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump(content, file)
        temporary_path.replace(path)
    finally:
        temporary_path.unlink(missing_ok=True)


def raise_open_file_limit() -> None:
    """Raise this process's limit of open files to the highest value that it may have. Each connection is a file."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # noqa: PLC0415 -- does not exist on Windows

        _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))
