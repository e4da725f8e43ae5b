"""The process of a Jupyter application, and the questions whether it is ready and whether it still runs."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from lorafw.errors import LabError

START_LIMIT_S: Final = 120.0
"""How long a server may take to answer."""
STOP_LIMIT_S: Final = 15.0
"""How long a server may take to exit after SIGTERM."""
_CHECK_INTERVAL_S: Final = 0.05
_REQUEST_TIMEOUT_S: Final = 5
_SHOWN_LOG_LINES: Final = 8
"""Number of lines of the server's log that an error shows."""


class JupyterProcess:
    """A Jupyter application in a process of its own."""

    def __init__(
        self, title: str, arguments: Sequence[str], *, environment: Mapping[str, str], folder: Path, log: Path
    ) -> None:
        """Start the process.

        Args:
            title: Name of the application, as messages show it.
            arguments: The Python module of the application, and its command-line arguments.
            environment: The variables of the process and of its kernels. No other variables are set.
            folder: The current folder of the process.
            log: The file that receives the output. An older one is replaced.
        """
        self._title = title
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 -- this Python, this package
                [sys.executable, "-m", "lorafw.lab.jupyter_launch", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=folder,
                start_new_session=True,  # Ctrl-C reaches only the command, which then stops the server.
            )

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def wait(self) -> int:
        """Wait for the process to exit, and return its exit status."""
        return self._process.wait()

    def stop(self) -> None:
        """End the process and its kernels. Kill the process if it does not exit in time."""
        self._process.terminate()
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds. It is checked again and again.

        Args:
            condition: Returns whether the condition holds.

        Raises:
            LabError: The process has exited, or the time is up. The message holds the end of the log.
        """
        deadline_s = time.monotonic() + START_LIMIT_S
        while not condition():
            has_exited = self._process.poll() is not None
            if has_exited or time.monotonic() > deadline_s:
                raise LabError(f"{self._title} did not come up; {self._log} ends with\n{self._end_of_log()}")
            time.sleep(_CHECK_INTERVAL_S)

    def _end_of_log(self) -> str:
        """Return the last lines of the output."""
        lines = self._log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-_SHOWN_LOG_LINES:])


def read_server_record(path: Path) -> dict[str, str]:
    """Return what a JupyterLab has written about itself: its address, its token and so on.

    Args:
        path: The file ``jpserver-PID.json`` in the runtime folder.

    Returns:
        The values by name. Empty if the file does not exist, or is not written completely yet.
    """
    with suppress(OSError, ValueError, RecursionError):
        content = json.loads(path.read_text())
        if isinstance(content, dict):
            return content
    return {}


class _RefuseRedirects(urllib.request.HTTPRedirectHandler):
    """Makes a redirect an error instead of following it."""

    def redirect_request(self, *_: object) -> None:
        """Return None: the redirect is not followed."""


_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}), _RefuseRedirects)
"""Opens URLs of this machine, without a proxy."""


def responds_ok(url: str) -> bool:
    """Return whether a request to the address is answered with status 200.

    A redirect is not followed. A server that redirects a valid token to its login page is another server than ours.

    Args:
        url: The address, on this machine.
    """
    try:
        with _OPENER.open(url, timeout=_REQUEST_TIMEOUT_S) as reply:
            return bool(reply.status == 200)
    except (OSError, http.client.HTTPException, ValueError):  # URLError is an OSError
        return False
