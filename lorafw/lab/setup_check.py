"""Is everything there that the lessons need? A line for each, with a remedy where it fails. Nothing is changed."""

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
    """``remedy`` is empty where all is well."""

    what: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"☒ {self.what}: {self.remedy}" if self.remedy else f"☑ {self.what}"


def check_setup() -> None:
    """Print ☑ for each thing that the lessons need, or ☒ and what to do about it."""
    for finding in findings():
        print(finding)  # noqa: T201 -- a notebook shows what is printed


def findings() -> Iterator[CheckResult]:
    yield CheckResult("Python 3.11 or newer", _python())
    yield CheckResult(f"packages: {', '.join(PACKAGES)}", _packages())
    yield CheckResult(f"commands: {', '.join(COMMANDS)}", _commands())
    yield CheckResult("a folder for files that come and go", _folder())
    yield CheckResult("a port of this machine can be opened and reached", _port())


def _python() -> str:
    return "" if sys.version_info >= PYTHON else f"this is {sys.version.split()[0]}; make .venv with a newer one"


def _packages() -> str:
    missing = [name for name in PACKAGES if find_spec(name) is None]
    return f"{', '.join(missing)} missing; install 'lorafw[lab]' into the Python of this kernel" if missing else ""


def _commands() -> str:
    """Those beside this Python come first, as in the lessons."""
    path = f"{Path(sys.executable).parent}{pathsep}{environ.get('PATH', '')}"
    missing = [name for name in COMMANDS if shutil.which(name, path=path) is None]
    return f"{', '.join(missing)} not found; install 'lorafw[lab]', which brings the AWS CLI along" if missing else ""


def _folder() -> str:
    try:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "file").write_text("there")
    except OSError as error:
        return f"{error}; make room, or set TMPDIR to a folder that you may write to"
    return ""


def _port() -> str:
    """The lab's servers listen on loopback, and are called by the name that stands in their certificates."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(("localhost", server.getsockname()[1]), timeout=5).close()
    except OSError as error:
        return f"{error}; allow connections within this machine, and let the name localhost mean 127.0.0.1"
    return ""
