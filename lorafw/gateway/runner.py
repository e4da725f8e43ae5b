"""Two ways to run an update file that a station would run.

``install_only`` never executes what came over the wire: it reads an update file that lorafw built and does to the home
folder what the file would do. ``execute`` is the real thing, for whoever asks for it by name (``--exec``).
"""

from __future__ import annotations

import errno
import os
import selectors
import subprocess
import time
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

EXEC_LIMIT_S: Final = 60.0
"""So long is waited for an executed update; a real station does not wait at all."""

MOST_OUTPUT: Final = 64 * 1024
"""So many bytes of an executed update's output are kept."""

next_pid = count(6873).__next__
"""Process numbers for a log in which nothing was executed. The first is that of the documented log."""


def install_only(home: Home, update_bin: Path) -> UpdateRun:
    """Do what an update file that lorafw built would do, without executing it."""
    content = update_bin.read_bytes()
    lines = launch_lines(next_pid(), exec_failure(content))
    try:
        image = unpack_image(content)
    except FirmwareError as error:
        return UpdateRun((*lines, said(f"not executed (that needs --exec), and not installed: {error}")))
    try:
        install_image(image, home.path)
    except (FirmwareError, OSError) as error:
        return UpdateRun((*lines, said(f"the update failed: {error}")))
    finally:
        update_bin.unlink(missing_ok=True)
    return UpdateRun(lines, restarts=image.restart is not None)


def execute(home: Home, update_bin: Path) -> UpdateRun:
    """Run the file, in the gateway's private temporary folder, with the environment that a station gives it."""
    environment = {
        **os.environ,
        "STATION_HOME": str(home.path.resolve()),
        "STATION_TEMPDIR": str(home.tmp.resolve()),
    }
    try:
        process = _popen(str(update_bin.resolve()), home.tmp, environment)
    except OSError as error:
        return UpdateRun(launch_lines(next_pid(), error.strerror))
    output = _output_of(process)
    output_lines = tuple(said(line) for line in output.decode("utf-8", "replace").splitlines())
    return UpdateRun((*launch_lines(process.pid), *output_lines))


def _output_of(process: subprocess.Popen[bytes]) -> bytes:
    """Read what the process says until it ends. Waits; keeps the first MOST_OUTPUT bytes and drops the rest."""
    kept, dropped, deadline = bytearray(), 0, time.monotonic() + EXEC_LIMIT_S
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while (left_s := deadline - time.monotonic()) > 0 and selector.select(left_s):
            piece = os.read(process.stdout.fileno(), MOST_OUTPUT)
            if not piece:
                break
            taken = piece[: MOST_OUTPUT - len(kept)]
            kept += taken
            dropped += len(piece) - len(taken)
    try:
        process.wait(max(deadline - time.monotonic(), 0))
    except subprocess.TimeoutExpired:
        return b"still running"
    process.stdout.close()
    if dropped:
        kept += b"\n(%d more bytes of output were dropped)" % dropped
    return bytes(kept)


def _popen(program: str, folder: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """As execvp does it: what has no interpreter and is no program is a script for sh."""
    words = [program]
    while True:
        try:
            return subprocess.Popen(  # noqa: S603 -- executing it is what was asked for
                words,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            if error.errno != errno.ENOEXEC or len(words) > 1:
                raise
            words = ["/bin/sh", program]


def said(text: str) -> LogLine:
    """Output of the update: a station's log shows it under this name."""
    return LogLine(NOTE_MODULE, Level.INFO, text)
