"""Run ``lorafw serve`` in a separate process, for a notebook or a test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import ClassVar, Final

from lorafw.errors import SourceUnavailable
from lorafw.isolation.environment import aws_variables, without_aws_settings

START_LIMIT_S: Final = 60.0


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
            SourceUnavailable: The server does not start.
        """
        if ServeProcess._started is not None:
            ServeProcess._started.stop()
        ServeProcess._started = self
        return self.__enter__()

    def __enter__(self) -> ServeProcess:
        """Start the server, and wait until it is ready.

        Returns:
            This object.

        Raises:
            SourceUnavailable: The server does not start. The message holds the server's output.
        """
        folder = Path(self._folder.name)
        folder.mkdir(mode=0o700, exist_ok=True)  # stop() has removed it.
        ready_file = folder / "ready.json"
        self._process = self._start_process(ready_file)
        self._wait_for_file(ready_file)
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
        """All that the server has printed so far."""
        if not self._output_path.exists():
            return ""
        return self._output_path.read_text(errors="replace")

    @property
    def _output_path(self) -> Path:
        return Path(self._folder.name) / "serve.log"

    def _start_process(self, ready_file: Path) -> subprocess.Popen[bytes]:
        """Start the server process. It writes its addresses to ``ready_file`` when it is ready."""
        command = [
            *(sys.executable, "-m", "lorafw", "serve"),
            *("--api-port", "0", "--cups-plain-port", "0", "--cups-port", "0"),
            *("--ready-file", str(ready_file)),
            *("--state-dir", str(ready_file.with_name("state"))),
            *self._options,
        ]
        with self._output_path.open("wb") as output:
            return subprocess.Popen(  # noqa: S603 -- this Python, this package
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**without_aws_settings(os.environ), "PYTHONUNBUFFERED": "1"},
            )

    def _wait_for_file(self, path: Path) -> None:
        """Wait until the file exists. Stop the server and raise SourceUnavailable if it does not appear in time."""
        assert self._process is not None
        deadline = time.monotonic() + START_LIMIT_S
        while not path.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                output = self.output
                self.stop()
                raise SourceUnavailable(f"'lorafw serve' did not come up: {output}")
            time.sleep(0.02)
