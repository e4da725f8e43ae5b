"""Check whether this machine has everything that the lessons need. The checks change nothing."""

from __future__ import annotations

import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from os import environ, pathsep
from pathlib import Path
from typing import Final

PYTHON: Final = (3, 11)
PACKAGES: Final = ("boto3", "ipywidgets", "jupyterlab", "matplotlib", "moto", "pandas")
COMMANDS: Final = ("aws", "lorafw")


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check."""

    subject: str
    """What was checked."""
    remedy: str = ""
    """What is wrong, and what to do about it. Empty if the check passes."""

    def __str__(self) -> str:
        if self.remedy:
            return f"☒ {self.subject}: {self.remedy}"
        return f"☑ {self.subject}"


def check_setup() -> None:
    """Print ☑ for each thing that the lessons need, or ☒ and what to do about it."""
    for result in run_checks():
        print(result)  # noqa: T201 -- a notebook shows what is printed


def run_checks() -> Iterator[CheckResult]:
    """Run the checks one after the other, and yield the result of each."""
    yield CheckResult("Python 3.11 or newer", _check_python())
    yield CheckResult(f"packages: {', '.join(PACKAGES)}", _check_packages())
    yield CheckResult(f"commands: {', '.join(COMMANDS)}", _check_commands())
    yield CheckResult("a folder for files that come and go", _check_folder())
    yield CheckResult("a port of this machine can be opened and reached", _check_port())


# Each check returns the remedy, or an empty string if it passes.


def _check_python() -> str:
    """Compare the version of this Python with the oldest one that the lessons run on."""
    if sys.version_info >= PYTHON:
        return ""
    return f"this is {sys.version.split()[0]}; make .venv with a newer one"


def _check_packages() -> str:
    """Look for the packages in this Python."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if not missing:
        return ""
    return f"{', '.join(missing)} missing; install 'lorafw[lab]' into the Python of this kernel"


def _check_commands() -> str:
    """Look for the commands beside this Python first, as the lessons do."""
    search_path = f"{Path(sys.executable).parent}{pathsep}{environ.get('PATH', '')}"
    missing = [name for name in COMMANDS if shutil.which(name, path=search_path) is None]
    if not missing:
        return ""
    return f"{', '.join(missing)} not found; install 'lorafw[lab]', which brings the AWS CLI along"


def _check_folder() -> str:
    """Write a file into a new temporary folder."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "file").write_text("there")
    except OSError as error:
        return f"{error}; make room, or set TMPDIR to a folder that you may write to"
    return ""


def _check_port() -> str:
    """Open a port on loopback, and connect to it by the name localhost.

    The lab's servers listen on loopback, and their certificates are for this name.
    """
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(("localhost", server.getsockname()[1]), timeout=5).close()
    except OSError as error:
        return f"{error}; allow connections within this machine, and let the name localhost mean 127.0.0.1"
    return ""
