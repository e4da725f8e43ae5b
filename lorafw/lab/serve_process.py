"""Run ``lorafw serve`` in a separate process, for a notebook or a test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

from lorafw.errors import SourceUnavailable
from lorafw.isolation.environment import aws_variables, without_aws_settings

START_LIMIT_S: Final = 60.0
"""How long the server may take to be ready."""
_CHECK_INTERVAL_S: Final = 0.02


class ServeProcess:
    """A ``lorafw serve`` process on free ports. A context manager, or ``start()`` and ``stop()``."""

    _started: ClassVar[ServeProcess | None] = None
    """The process that ``start`` has started and that has not been stopped."""

    def __init__(self, *options: str) -> None:
        """Prepare the process. Nothing is started.

        Args:
            *options: Further command-line options of ``lorafw serve``.
        """
        self._options = options
        self._folder = tempfile.TemporaryDirectory(prefix="lorafw-serve-")
        self._output_path = Path(self._folder.name) / "serve.log"
        """The file that receives what the server prints."""
        self._process: subprocess.Popen[bytes] | None = None
        self.api = ""
        """Address of the API. Empty until the server has started, as the two below."""
        self.cups = ""
        """Address of CUPS with TLS."""
        self.cups_plain = ""
        """Address of CUPS without TLS."""

    def start(self) -> ServeProcess:
        """Start the server and wait until it is ready. For notebooks, where ``with`` cannot span several cells.

        Stops the server that an earlier call of ``start`` has left running, because a cell may be run again.

        Returns:
            This object.

        Raises:
            SourceUnavailable: The server does not start. The message holds the server's output.
        """
        if ServeProcess._started is not None:
            ServeProcess._started.stop()
        ServeProcess._started = self
        return self.__enter__()

    def __enter__(self) -> ServeProcess:
        """Start the server, and wait until it is ready. See ``start`` for errors."""
        folder = Path(self._folder.name)
        folder.mkdir(mode=0o700, exist_ok=True)  # stop() has removed it.
        ready_file = folder / "ready.json"
        command = _serve_command(ready_file, folder / "state", self._options)
        self._process = _start_process(command, self._output_path)
        if not _appears(ready_file, self._process):
            output = self.output
            self.stop()
            raise SourceUnavailable(f"'lorafw serve' did not come up: {output}")
        addresses = json.loads(ready_file.read_text())
        self.api = addresses["api"]
        self.cups = addresses["cups"]
        self.cups_plain = addresses["cups_plain"]
        return self

    def stop(self) -> int:
        """Send SIGTERM to the server, wait for it to exit, and return its exit status. Does nothing the second time."""
        if ServeProcess._started is self:
            ServeProcess._started = None
        status = 0
        if self._process is not None:
            self._process.terminate()
            status = self._process.wait()
            self._process = None
        self._folder.cleanup()
        return status

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that direct the AWS CLI and boto3 to this server."""
        return aws_variables(self.api)

    @property
    def output(self) -> str:
        """All that the server has printed so far. Empty if it has not been started."""
        if not self._output_path.exists():
            return ""
        return self._output_path.read_text(errors="replace")


def _serve_command(ready_file: Path, state_folder: Path, options: Sequence[str]) -> list[str]:
    """Return the command that runs ``lorafw serve`` on free ports.

    Args:
        ready_file: The server writes its addresses to this file when it is ready.
        state_folder: Where the server keeps its state.
        options: Further options of the command line. They win over those that are set here.
    """
    command = [sys.executable, "-m", "lorafw", "serve"]
    for port_option in ("--api-port", "--cups-plain-port", "--cups-port"):
        command += [port_option, "0"]  # 0 means any free port
    command += ["--ready-file", str(ready_file)]
    command += ["--state-dir", str(state_folder)]
    command += options
    return command


def _start_process(command: list[str], output_path: Path) -> subprocess.Popen[bytes]:
    """Start a command without the user's AWS settings, and write all that it prints to a file."""
    environment = without_aws_settings(os.environ)
    environment["PYTHONUNBUFFERED"] = "1"  # The file has each line as soon as it is printed.
    with output_path.open("wb") as output:
        return subprocess.Popen(  # noqa: S603 -- this Python, this package
            command, stdout=output, stderr=subprocess.STDOUT, env=environment
        )


def _appears(path: Path, process: subprocess.Popen[bytes]) -> bool:
    """Wait until a process has written a file. Return False if the process exits before, or takes too long."""
    deadline_s = time.monotonic() + START_LIMIT_S
    while not path.exists():
        has_exited = process.poll() is not None
        if has_exited or time.monotonic() > deadline_s:
            return False
        time.sleep(_CHECK_INTERVAL_S)
    return True
