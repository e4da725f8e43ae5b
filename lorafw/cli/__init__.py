"""The `lorafw` command.

Each subcommand has its own module, which is imported only when the subcommand is used. The modules parse arguments,
call the library and print the result. Errors of the library are printed to standard error.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Final

import click

from lorafw.cli.lazy_group import LazyCommand, LazyGroup
from lorafw.errors import LorafwError
from lorafw.text import visible

_COMMANDS: Final = {
    "assumptions": LazyCommand("lorafw.cli.assumptions", "Find out on which assumptions about AWS a script depends."),
    "aws": LazyCommand("lorafw.cli.aws", "Run the AWS CLI against a running 'lorafw serve'."),
    "cups": LazyCommand("lorafw.cli.cups", "Decode the requests that gateways send to CUPS."),
    "demo": LazyCommand("lorafw.cli.demo", "Run AWS's documented update from the key to COMPLETED."),
    "doctor": LazyCommand("lorafw.cli.doctor", "Check a task definition, a home folder or an account beforehand."),
    "explain": LazyCommand("lorafw.cli.explain", "Explain why a gateway is updated, or why it is not."),
    "firmware": LazyCommand("lorafw.cli.firmware", "Make keys, and build, sign, verify and inspect update files."),
    "gateway": LazyCommand("lorafw.cli.gateway", "Set up and run virtual gateways."),
    "lab": LazyCommand("lorafw.cli.lab", "Open the lessons in JupyterLab or Voila."),
    "rollout": LazyCommand("lorafw.cli.rollout", "Carry out a plan wave by wave, and stop it if it goes wrong."),
    "serve": LazyCommand("lorafw.cli.serve", "Serve the AWS API and CUPS on this machine."),
    "simulate": LazyCommand(
        "lorafw.cli.simulate", "Predict how many gateways of a fleet complete an update, and when."
    ),
}


class _Group(LazyGroup):
    """A group that turns an error of the library into its message on standard error and exit status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Control characters in error messages are printed as escapes."""
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            error.message = visible(error.message, keep_lines=True)  # type: ignore[misc]  # click offers no other way
            raise
        except LorafwError as error:
            raise click.ClickException(visible(str(error), keep_lines=True)) from error
        except BrokenPipeError:
            raise  # click exits without a message, as it should when `| head` has closed the pipe
        except OSError as error:
            raise click.ClickException(visible(_describe_os_error(error))) from error


def _describe_os_error(error: OSError) -> str:
    """Return the name of the file, if there is one, and the reason."""
    reason = error.strerror or str(error)
    if error.filename:
        return f"{error.filename}: {reason}"
    return reason


class _VisibleFormatter(logging.Formatter):
    """A log formatter that escapes control characters, so that a message cannot control the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text with control characters escaped."""
        return visible(super().format(record), keep_lines=True)


@click.group(
    cls=_Group,
    lazy_commands=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="lorafw")
def main() -> None:
    """Update the firmware of LoRaWAN gateways as AWS IoT Core for LoRaWAN does, on this machine and offline.

    Start with 'lorafw demo'. Then run 'lorafw serve --seed documented' in one terminal and 'lorafw aws ...' in
    another.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_VisibleFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
