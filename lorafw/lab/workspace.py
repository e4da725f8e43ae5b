"""What a terminal has and a notebook has not: a folder to write files into, and variables for the commands.

While it is open, it is the current folder, ``lorafw`` and ``aws`` are found, and the AWS CLI speaks to the lab and to
nothing else: without a server it finds none. Afterwards everything is as it was, and the folder is gone. One is open
at a time, for a process has one folder and one set of variables.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from lorafw.isolation.environment import replaced_environ, unreachable_aws_variables, without_aws_settings
from lorafw.lab.serve_process import ServeProcess
from lorafw.scratch import scratch_folder
from lorafw.testbed import Testbed


class Workspace:
    """A folder and the variables of a terminal beside ``server``; a context manager, or ``open()`` and ``close()``."""

    _in_process: ClassVar[Workspace | None] = None

    def __init__(self, server: Testbed | ServeProcess | None = None) -> None:
        self._server = server
        self._exit_stack = contextlib.ExitStack()

    path: Path
    """The folder."""

    def open(self) -> Workspace:
        """One that is open already is closed first: a cell may be run again."""
        if Workspace._in_process is not None:
            Workspace._in_process.close()
        with contextlib.ExitStack() as stack:
            variables = stack.enter_context(_variables_of(self._server))
            self.path = stack.enter_context(scratch_folder("lorafw-work-"))
            # The commands that were installed with this package come first.
            search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
            # Colours are for a screen.
            shown = {"PATH": search, "NO_COLOR": "1"}
            stack.enter_context(replaced_environ(without_aws_settings(os.environ) | dict(variables) | shown))
            stack.enter_context(contextlib.chdir(self.path))
            self._exit_stack = stack.pop_all()
        Workspace._in_process = self
        return self

    def close(self) -> None:
        """Twice is harmless."""
        if Workspace._in_process is self:
            Workspace._in_process = None
        self._exit_stack.close()

    def __enter__(self) -> Workspace:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()


@contextlib.contextmanager
def _variables_of(server: Testbed | ServeProcess | None) -> Iterator[Mapping[str, str]]:
    if isinstance(server, Testbed):
        with server.api_over_http() as variables:
            yield variables
    else:
        yield server.environment if server is not None else unreachable_aws_variables()
