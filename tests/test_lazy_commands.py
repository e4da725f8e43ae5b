"""`lorafw --help` imports no subcommand, and a subcommand imports no other."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from lorafw.cli import main
from lorafw.cli.lazy_group import LazyCommand

LIBRARIES = {"boto3", "botocore", "moto", "numpy", "cryptography", "aiohttp", "flask", "scipy", "pandas"}
CONTEXT = click.Context(main)
COMMANDS = main.list_commands(CONTEXT)
SHARED = {"lorafw.cli", "lorafw.cli.lazy_group"}


def modules_after(*arguments: str) -> set[str]:
    """Return the names of all modules that a run of the command has imported."""
    script = (
        "import sys; from lorafw.cli import main\n"
        f"main({list(arguments)!r}, standalone_mode=False)\n"
        "print('modules:', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("modules:")[2].split())


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_the_help_of_all_imports_no_subcommand_and_no_large_library(option: str) -> None:
    modules = modules_after(option)
    assert {name for name in modules if name.startswith("lorafw.cli")} == SHARED
    assert modules & LIBRARIES == set()


def test_a_subcommand_imports_no_other_subcommand() -> None:
    modules = modules_after("demo", "--help")
    subcommands = {f"lorafw.cli.{name}" for name in COMMANDS}
    assert modules & subcommands == {"lorafw.cli.demo"}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_name_in_the_help_leads_to_a_command_with_this_name(name: str) -> None:
    command = main.get_command(CONTEXT, name)
    assert command is not None
    assert command.name == name


def test_a_lazy_command_that_is_no_command_is_an_error() -> None:
    with pytest.raises(TypeError, match=r"lorafw\.eui\.GatewayEui is not a click command"):
        LazyCommand("lorafw.eui", "").load("GatewayEui")
