"""The `lorafw` command. Each verb is a thin call into the library; errors of the library become one line on stderr."""

from __future__ import annotations

import logging
import sys
from typing import Any

import click

from lorafw.cli.cups import cups
from lorafw.cli.demo import demo
from lorafw.cli.explain import explain
from lorafw.cli.firmware import firmware
from lorafw.cli.gateway import gateway
from lorafw.cli.lab import lab
from lorafw.cli.serve import serve
from lorafw.cli.simulate import simulate
from lorafw.errors import LorafwError


class _Group(click.Group):
    """A group in which an error of the library ends the command with its message and exit status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except LorafwError as error:
            raise click.ClickException(str(error)) from error
        except BrokenPipeError:
            raise  # click ends in silence, as a command before `| head` should
        except OSError as error:
            name = f"{error.filename}: " if error.filename else ""
            raise click.ClickException(f"{name}{error.strerror or error}") from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="lorafw")
def main() -> None:
    """Firmware updates of LoRaWAN gateways as AWS IoT Core for LoRaWAN does them, on this machine alone.

    Start with 'lorafw demo'. Then 'lorafw serve --world seed' in one terminal, and the AWS CLI in another.
    """
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")


main.add_command(serve)
main.add_command(explain)
main.add_command(gateway)
main.add_command(cups)
main.add_command(firmware)
main.add_command(demo)
main.add_command(lab)
main.add_command(simulate)
