"""`lorafw aws`: run the AWS CLI against the lab."""

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
    help="Use the lab that wrote FILE ('lorafw serve --ready-file FILE').  [default: the lab at AWS_ENDPOINT_URL]",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="COMMAND...")
def aws(*, ready_file: Path | None, arguments: tuple[str, ...]) -> None:
    """Run the AWS CLI (version 1 or 2) against a running 'lorafw serve', never against AWS.

    COMMAND is what you would type after 'aws', for example

        lorafw aws iotwireless list-wireless-gateways

    The command ignores your AWS profiles, configuration, credentials and proxies. It fails if no lab answers on this
    machine. For the help of the AWS CLI, run 'lorafw aws help' or 'lorafw aws iotwireless help'.
    """
    from lorafw.localaws.aws_cli import aws_command, aws_environment, require_aws_cli  # noqa: PLC0415 -- keeps --help fast
    from lorafw.localaws.lab_endpoint import check_is_lab, find_endpoint  # noqa: PLC0415

    endpoint = find_endpoint(os.environ, ready_file)
    command = aws_command(require_aws_cli(), endpoint, arguments)
    check_is_lab(endpoint)
    _replace_process(command, aws_environment(os.environ, endpoint))


def _replace_process(command: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Replace this process by the command.

    The command keeps the terminal, receives the signals and sets the exit status.

    Args:
        command: Path of the program, then its arguments.
        environment: The environment variables of the command.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "posix":
        os.execve(command[0], list(command), dict(environment))  # noqa: S606 -- the AWS CLI, without a shell
    # On Windows, execve() would return to the shell before the command has ended.
    sys.exit(subprocess.run(list(command), env=dict(environment), check=False).returncode)  # noqa: S603
