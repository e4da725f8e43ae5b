"""`lorafw serve` as a process of its own, for a notebook or a test."""

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
    """Starts the server on free ports; a context manager, or ``start()`` and ``stop()``.

    ``isolation.environment`` is what the AWS CLI and boto3 need; ``output`` is all that the server has printed so far.
    """

    _started: ClassVar[ServeProcess | None] = None

    def __init__(self, *options: str) -> None:
        self._options = options
        self._folder = tempfile.TemporaryDirectory(prefix="lorafw-serve-")
        self._process: subprocess.Popen[bytes] | None = None
        self.api = ""
        self.cups = ""
        self.cups_plain = ""

    def start(self) -> ServeProcess:
        """What ``with`` does at its beginning; for notebooks, whose cells no ``with`` can span.

        One that was started before and not stopped ends now: a cell may be run again.
        """
        if ServeProcess._started is not None:
            ServeProcess._started.stop()
        ServeProcess._started = self
        return self.__enter__()

    def __enter__(self) -> ServeProcess:
        """Raises Unavailable, with the server's own words, where it does not come up."""
        Path(self._folder.name).mkdir(mode=0o700, exist_ok=True)  # it went when this was stopped
        ready = Path(self._folder.name) / "ready.json"
        command = [sys.executable, "-m", "lorafw", "serve", "--api-port", "0", "--cups-plain-port", "0"]
        command += ["--cups-port", "0"]
        with self._output_path.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 -- this Python, this package
                [*command, "--ready-file", str(ready), "--state-dir", str(ready.with_name("state")), *self._options],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**without_aws_settings(os.environ), "PYTHONUNBUFFERED": "1"},
            )
        deadline = time.monotonic() + START_LIMIT_S
        while not ready.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                words = self.output
                self.stop()
                raise SourceUnavailable(f"'lorafw serve' did not come up: {words}")
            time.sleep(0.02)
        addresses = json.loads(ready.read_text())
        self.api, self.cups, self.cups_plain = addresses["api"], addresses["cups"], addresses["cups_plain"]
        return self

    def stop(self) -> int:
        """End the server as SIGTERM does; gives its exit status. Twice is harmless."""
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
        return aws_variables(self.api)

    @property
    def output(self) -> str:
        return self._output_path.read_text(errors="replace") if self._output_path.exists() else ""

    @property
    def _output_path(self) -> Path:
        return Path(self._folder.name) / "serve.log"
