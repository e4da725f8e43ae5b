"""Run an update file that a virtual gateway accepted.

``install_only`` never executes anything that came over the network. It unpacks an update file that lorafw built, and
changes the home folder as the file would. ``execute`` really executes the file; users must ask for it with ``--exec``.
"""

from __future__ import annotations

import errno
import os
import selectors
import subprocess
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Final

from lorafw.errors import FirmwareError
from lorafw.firmware.image import install_image, unpack_image
from lorafw.gateway.home import Home
from lorafw.gateway.storage import UpdateRun
from lorafw.station.exchange import NOTE_MODULE
from lorafw.station.launch import exec_failure, launch_lines
from lorafw.station.log import Level, LogLine

EXEC_TIMEOUT_S: Final = 60.0
"""The time to wait for an executed update. A real station does not wait at all."""

MAX_OUTPUT_BYTES: Final = 64 * 1024
"""The number of bytes of an executed update's output that are kept."""

next_pid = count(6873).__next__
"""Process numbers for a log in which nothing was executed. The first is that of the documented log."""


def install_only(home: Home, update_bin: Path) -> UpdateRun:
    """Install an update file that lorafw built, without executing it. Removes the file afterwards.

    Args:
        home: The home folder, which is changed as the update would change it.
        update_bin: The update file.

    Returns:
        The lines that a station logs, and a note if the update could not be installed.
    """
    content = update_bin.read_bytes()
    lines = launch_lines(next_pid(), exec_failure(content))
    try:
        image = unpack_image(content)
    except FirmwareError as error:
        return UpdateRun((*lines, output_line(f"not executed (that needs --exec), and not installed: {error}")))
    try:
        install_image(image, home.path)
    except (FirmwareError, OSError) as error:
        return UpdateRun((*lines, output_line(f"the update failed: {error}")))
    finally:
        update_bin.unlink(missing_ok=True)
    return UpdateRun(lines, restarts=image.restart is not None)


def execute(home: Home, update_bin: Path) -> UpdateRun:
    """Execute the file in the gateway's temporary folder and wait until it ends, at most EXEC_TIMEOUT_S.

    The process has the environment variables that a station sets.
    """
    environment = {
        **os.environ,
        "STATION_HOME": str(home.path.resolve()),
        "STATION_TEMPDIR": str(home.tmp.resolve()),
    }
    try:
        process = _start_program(str(update_bin.resolve()), home.tmp, environment)
    except OSError as error:
        return UpdateRun(launch_lines(next_pid(), error.strerror))
    output = _read_output(process)
    output_lines = tuple(output_line(line) for line in output.decode("utf-8", "replace").splitlines())
    return UpdateRun((*launch_lines(process.pid), *output_lines))


def _read_output(process: subprocess.Popen[bytes]) -> bytes:
    """Wait for the process and return its output: the first MAX_OUTPUT_BYTES bytes, and a note if more was dropped."""
    assert process.stdout is not None
    deadline = time.monotonic() + EXEC_TIMEOUT_S
    kept = bytearray()
    dropped_bytes = 0
    for output in _iter_output(process.stdout.fileno(), deadline):
        kept_part = output[: MAX_OUTPUT_BYTES - len(kept)]
        kept += kept_part
        dropped_bytes += len(output) - len(kept_part)
    try:
        process.wait(max(deadline - time.monotonic(), 0))
    except subprocess.TimeoutExpired:
        return b"still running"
    process.stdout.close()
    if dropped_bytes:
        kept += b"\n(%d more bytes of output were dropped)" % dropped_bytes
    return bytes(kept)


def _iter_output(descriptor: int, deadline: float) -> Iterator[bytes]:
    """Yield what a process writes, until it closes its output or the deadline has passed."""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while (remaining_s := deadline - time.monotonic()) > 0 and selector.select(remaining_s):
            output = os.read(descriptor, MAX_OUTPUT_BYTES)
            if not output:
                return
            yield output


def _start_program(program: str, folder: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a program and return its process. Runs a file that the system cannot execute with ``sh``, like execvp.

    Args:
        program: The path of the file.
        folder: The working directory.
        environment: The environment variables.

    Raises:
        OSError: The program could not be started.
    """
    command = [program]
    while True:
        try:
            return subprocess.Popen(  # noqa: S603 -- executing it is what was asked for
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            if error.errno != errno.ENOEXEC or len(command) > 1:
                raise
            command = ["/bin/sh", program]


def output_line(text: str) -> LogLine:
    """Return a log line with output of the update, under the module name that a station uses for it."""
    return LogLine(NOTE_MODULE, Level.INFO, text)
