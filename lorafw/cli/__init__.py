"""The `lorafw` command. Each verb is a thin call into the library; errors of the library become one line on stderr.

Each subcommand has a module of its own, which is imported when the subcommand is used.
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
    "aws": LazyCommand("lorafw.cli.aws", "Run the AWS CLI against a running 'lorafw serve'."),
    "cups": LazyCommand("lorafw.cli.cups", "Decode what gateways send to CUPS."),
    "demo": LazyCommand("lorafw.cli.demo", "Run AWS's documented update from the key to COMPLETED."),
    "explain": LazyCommand("lorafw.cli.explain", "Say why a gateway is updated, or is not."),
    "firmware": LazyCommand("lorafw.cli.firmware", "Make keys; build, sign, verify and inspect update files."),
    "gateway": LazyCommand("lorafw.cli.gateway", "Set up and run virtual gateways."),
    "lab": LazyCommand("lorafw.cli.lab", "Open the lessons in JupyterLab or Voila."),
    "serve": LazyCommand("lorafw.cli.serve", "Serve the AWS API and CUPS on this machine."),
    "simulate": LazyCommand("lorafw.cli.simulate", "Predict how a rollout to a fleet ends, and when."),
}


class _Group(LazyGroup):
    """A group in which an error of the library ends the command with its message and exit status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            error.message = visible(error.message, keep_lines=True)  # type: ignore[misc]  # click has no other way
            raise
        except LorafwError as error:
            raise click.ClickException(visible(str(error), keep_lines=True)) from error
        except BrokenPipeError:
            raise  # click ends in silence, as a command before `| head` should
        except OSError as error:
            name = f"{error.filename}: " if error.filename else ""
            raise click.ClickException(visible(f"{name}{error.strerror or error}")) from error


class _VisibleFormatter(logging.Formatter):
    """Keeps control characters in a message away from the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record), keep_lines=True)


@click.group(
    cls=_Group,
    lazy_commands=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="lorafw")
def main() -> None:
    """Firmware updates of LoRaWAN gateways as AWS IoT Core for LoRaWAN does them, on this machine alone.

    Start with 'lorafw demo'. Then 'lorafw serve --world seed' in one terminal, and 'lorafw aws ...' in another.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_VisibleFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
