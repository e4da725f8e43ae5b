"""A terminal's surroundings for a notebook: a folder to write files into, and environment variables for commands.

While a workspace is open, its folder is the current folder, the commands ``lorafw`` and ``aws`` are found, and the AWS
CLI reaches the lab's server only, or no server if there is none. Closing it restores everything and removes the folder.
A process has one current folder and one set of environment variables, so only one workspace can be open.
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
    """A folder and environment variables for commands that a notebook runs.

    A context manager, or ``open()`` and ``close()`` for notebooks, in which ``with`` cannot span several cells.
    """

    _open_workspace: ClassVar[Workspace | None] = None
    """The workspace of this process that is open."""

    path: Path
    """The folder. Set by ``open``."""

    def __init__(self, server: Testbed | ServeProcess | None = None) -> None:
        """Prepare a workspace. Nothing is changed until it is opened.

        Args:
            server: The server that the AWS CLI is directed to. None means that the AWS CLI finds no server.
        """
        self._server = server
        self._exit_stack = contextlib.ExitStack()
        """Undoes what ``open`` has changed."""

    def open(self) -> Workspace:
        """Create the folder, make it the current one, and set the environment variables.

        Closes the workspace that is open in this process, because a cell may be run again.
        """
        if Workspace._open_workspace is not None:
            Workspace._open_workspace.close()
        with contextlib.ExitStack() as stack:
            server_variables = stack.enter_context(_variables_of(self._server))
            self.path = stack.enter_context(scratch_folder("lorafw-work-"))
            environment = without_aws_settings(os.environ)
            environment |= server_variables
            environment |= _terminal_variables()
            stack.enter_context(replaced_environ(environment))
            stack.enter_context(contextlib.chdir(self.path))
            self._exit_stack = stack.pop_all()
        Workspace._open_workspace = self
        return self

    def close(self) -> None:
        """Restore the current folder and the variables, and remove the folder. Does nothing the second time."""
        if Workspace._open_workspace is self:
            Workspace._open_workspace = None
        self._exit_stack.close()

    def __enter__(self) -> Workspace:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()


def _terminal_variables() -> dict[str, str]:
    """Return the search path with this Python's commands first, and a variable that turns colours off."""
    search_path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {"PATH": search_path, "NO_COLOR": "1"}


@contextlib.contextmanager
def _variables_of(server: Testbed | ServeProcess | None) -> Iterator[Mapping[str, str]]:
    """Return the variables that direct the AWS CLI to the server. Serves a testbed's API over HTTP meanwhile."""
    if isinstance(server, Testbed):
        with server.api_over_http() as variables:
            yield variables
    elif server is None:
        yield unreachable_aws_variables()
    else:
        yield server.environment
