"""`lorafw aws`: the AWS CLI against the lab."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import click


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    options_metavar="[--ready-file FILE]",
)
@click.option(
    "--ready-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Use the lab whose 'serve --ready-file' wrote FILE.  [default: the lab at AWS_ENDPOINT_URL]",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="COMMAND...")
def aws(*, ready_file: Path | None, arguments: tuple[str, ...]) -> None:
    """Run the AWS CLI (version 1 or 2) against a running 'lorafw serve', and never against AWS.

    COMMAND is what you would write after 'aws', for example

        lorafw aws iotwireless list-wireless-gateways

    Your profiles, configuration, credentials and proxies are not used. The command is refused if no lab answers on
    this machine. For the AWS CLI's own help run 'lorafw aws help' or 'lorafw aws iotwireless help'.
    """
    from lorafw.localaws.aws_cli import aws_command, aws_environment, require_aws_cli  # noqa: PLC0415 -- 0.1 s
    from lorafw.localaws.lab_endpoint import check_is_lab, find_endpoint  # noqa: PLC0415

    endpoint = find_endpoint(os.environ, ready_file)
    command = aws_command(require_aws_cli(), endpoint, arguments)
    check_is_lab(endpoint)
    _become(command, aws_environment(os.environ, endpoint))


def _become(command: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Replace this process with the command, so that its input, output, signals and exit status are the command's."""
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "posix":
        os.execve(command[0], list(command), dict(environment))  # noqa: S606 -- the AWS CLI, without a shell
    # On Windows execve() returns to the shell at once.
    sys.exit(subprocess.run(list(command), env=dict(environment), check=False).returncode)  # noqa: S603
