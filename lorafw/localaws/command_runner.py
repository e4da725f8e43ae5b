"""Run commands of ``aws iotwireless`` in a local AWS, and print each one with its answer."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lorafw import example
from lorafw.errors import LorafwError
from lorafw.localaws.aws_cli import aws_command, aws_environment
from lorafw.localaws.cloud import Cloud
from lorafw.localaws.lab_endpoint import LabEndpoint


class CommandRunner:
    """Runs commands with the AWS CLI. If it is not installed, boto3 sends the same requests.

    Args:
        cloud: The local AWS.
        aws_cli: The path of the AWS CLI. None if it is not installed.
        write_line: Called with each text for the user.
    """

    def __init__(self, cloud: Cloud, aws_cli: str | None, write_line: Callable[[str], None]) -> None:
        self._cloud = cloud
        self._aws_cli = aws_cli
        self._write_line = write_line

    def run(self, operation: str, *arguments: str, printed_arguments: Sequence[str] | None = None) -> dict[str, Any]:
        """Run a command, and print the command and its answer.

        Args:
            operation: The operation of ``aws iotwireless``, such as "get-wireless-gateway".
            *arguments: Its arguments, such as "--id" and its value.
            printed_arguments: The arguments as they are printed. None means that they are printed unchanged.

        Returns:
            The answer, parsed from JSON. Empty if the command prints nothing.

        Raises:
            LorafwError: The command failed.
        """
        if printed_arguments is None:
            printed_arguments = arguments
        self._write_line(f"$ aws iotwireless {operation} {shlex.join(printed_arguments)}")
        if self._aws_cli is None:
            output = _run_with_boto3(self._cloud.client("iotwireless"), operation, arguments)
        else:
            endpoint = LabEndpoint(self._cloud.api.url, example.REGION)
            output = _run_with_cli(self._aws_cli, endpoint, operation, arguments)
        if not output.strip():
            self._write_line("(no output)\n")
            return {}
        self._write_line(f"{output.strip()}\n")
        answer: dict[str, Any] = json.loads(output)
        return answer


def _run_with_cli(aws_cli: str, endpoint: LabEndpoint, operation: str, arguments: tuple[str, ...]) -> str:
    """Run a command with the AWS CLI and return what it prints. Raises LorafwError if the command fails."""
    command = ["iotwireless", operation, *arguments, "--output", "json"]
    completed = subprocess.run(  # noqa: S603 -- the AWS CLI with arguments of this package
        aws_command(aws_cli, endpoint, command),
        env=aws_environment(os.environ, endpoint),
        capture_output=True,
        text=True,
        check=False,
    )
    if completed.returncode != 0:
        error = completed.stderr.strip()
        raise LorafwError(f"aws iotwireless {operation} ended with {completed.returncode}: {error}")
    return completed.stdout


def _run_with_boto3(client: Any, operation: str, arguments: tuple[str, ...]) -> str:
    """Send the request of a command with boto3, and return the answer as the AWS CLI prints it."""
    method = getattr(client, operation.replace("-", "_"))
    answer = method(**_boto3_parameters(arguments))
    answer.pop("ResponseMetadata")
    if not answer:
        return ""
    return json.dumps(answer, indent=4)


def _boto3_parameters(arguments: tuple[str, ...]) -> dict[str, Any]:
    """Return the parameters for boto3 that correspond to arguments of the AWS CLI, such as ``--id`` to ``Id``."""
    value_by_option = dict(zip(arguments[::2], arguments[1::2], strict=True))
    input_url = value_by_option.pop("--cli-input-json", None)
    if input_url is not None:
        parameters: dict[str, Any] = json.loads(Path(input_url.removeprefix("file://")).read_text())
        return parameters
    return {option.removeprefix("--").title().replace("-", ""): value for option, value in value_by_option.items()}
