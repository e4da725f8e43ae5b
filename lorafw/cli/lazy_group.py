"""A click group that imports the module of a subcommand only when the subcommand is used.

The pattern is the ``LazyGroup`` of click's documentation ("Complex Applications"). The group also knows a one-line
summary of each subcommand, so that the group's own ``--help`` imports none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import click


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """Where a subcommand is defined, and the line about it in the group's help."""

    module: str
    """Name of the module that defines the command."""
    summary: str
    """One line for the group's help."""

    def load(self, name: str) -> click.Command:
        """Import the module and return its command ``name``.

        Raises:
            TypeError: The module has no click command of this name.
        """
        command = getattr(import_module(self.module), name)
        if not isinstance(command, click.Command):
            raise TypeError(f"{self.module}.{name} is not a click command")
        return command


class LazyGroup(click.Group):
    """A group whose subcommands are imported when they are used.

    Args:
        args: Positional arguments of ``click.Group``.
        lazy_commands: The subcommands by name. Each module defines a command of that name.
        attrs: Keyword arguments of ``click.Group``.
    """

    def __init__(self, *args: Any, lazy_commands: Mapping[str, LazyCommand], **attrs: Any) -> None:
        super().__init__(*args, **attrs)
        self._lazy_commands = lazy_commands

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all subcommands. Imports nothing."""
        return sorted({*super().list_commands(ctx), *self._lazy_commands})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the subcommand of this name, or None if there is none. Imports the module of the subcommand."""
        if cmd_name in self._lazy_commands:
            return self._lazy_commands[cmd_name].load(cmd_name)
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of subcommands. Imports nothing."""
        rows = [(name, command.summary) for name, command in sorted(self._lazy_commands.items())]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
