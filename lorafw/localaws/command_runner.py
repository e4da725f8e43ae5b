"""Run commands of ``aws iotwireless`` in a local AWS, and print each one with its answer.

Either the AWS CLI runs a command, or boto3 sends the same request if the AWS CLI is not installed.
"""

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

_INPUT_OPTION = "--cli-input-json"
"""The option of the AWS CLI that names a file with all parameters of a request."""


class CommandRunner:
    """Runs commands of ``aws iotwireless`` in a folder.

    For example ``run("get-wireless-gateway-task", "--id", gateway_id)`` prints the command and its answer, and returns
    ``{"Status": "COMPLETED", ...}``.

    Args:
        cloud: The local AWS.
        aws_cli: The path of the AWS CLI. None if it is not installed; then boto3 sends the requests.
        folder: The folder that the names of files in commands, such as ``file://input.json``, are relative to.
        write_line: Called with each text for the user.
    """

    def __init__(self, cloud: Cloud, aws_cli: str | None, folder: Path, write_line: Callable[[str], None]) -> None:
        self._cloud = cloud
        self._aws_cli = aws_cli
        self._folder = folder
        self._write_line = write_line

    def run(self, operation: str, *arguments: str) -> dict[str, Any]:
        """Run a command, and print the command and its answer.

        Args:
            operation: The operation of ``aws iotwireless``, such as "get-wireless-gateway".
            *arguments: Its arguments, such as "--id" and its value.

        Returns:
            The answer, parsed from JSON. Empty if the command prints nothing.

        Raises:
            LorafwError: The command failed.
        """
        self._write_line(f"$ aws iotwireless {operation} {shlex.join(arguments)}")
        output = self._send(operation, arguments).strip()
        if not output:
            self._write_line("(no output)\n")
            return {}
        self._write_line(f"{output}\n")
        answer: dict[str, Any] = json.loads(output)
        return answer

    def _send(self, operation: str, arguments: Sequence[str]) -> str:
        """Send the request of a command, and return the answer as the AWS CLI prints it."""
        if self._aws_cli is None:
            return _send_with_boto3(self._cloud.client("iotwireless"), operation, arguments, self._folder)
        endpoint = LabEndpoint(self._cloud.api.url, example.REGION)
        return _send_with_cli(self._aws_cli, endpoint, operation, arguments, self._folder)


def _send_with_cli(aws_cli: str, endpoint: LabEndpoint, operation: str, arguments: Sequence[str], folder: Path) -> str:
    """Run a command with the AWS CLI in a folder, and return what the AWS CLI prints.

    If the command fails, raises LorafwError with what the AWS CLI printed as an error.
    """
    command = ["iotwireless", operation, *arguments, "--output", "json"]
    completed = subprocess.run(  # noqa: S603 -- the AWS CLI with arguments of this package
        aws_command(str(Path(aws_cli).absolute()), endpoint, command),
        env=aws_environment(os.environ, endpoint),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if completed.returncode != 0:
        error = completed.stderr.strip()
        raise LorafwError(f"aws iotwireless {operation} ended with {completed.returncode}: {error}")
    return completed.stdout


def _send_with_boto3(client: Any, operation: str, arguments: Sequence[str], folder: Path) -> str:
    """Send the request of a command with boto3, and return the answer as the AWS CLI prints it."""
    method = getattr(client, operation.replace("-", "_"))
    answer = method(**_boto3_parameters(arguments, folder))
    answer.pop("ResponseMetadata")
    if not answer:
        return ""
    return json.dumps(answer, indent=4)


def _boto3_parameters(arguments: Sequence[str], folder: Path) -> dict[str, Any]:
    """Return the parameters for boto3 that correspond to arguments of the AWS CLI.

    For example ``--identifier-type GatewayEui`` becomes ``{"IdentifierType": "GatewayEui"}``.

    Args:
        arguments: Options of the AWS CLI, each followed by its value.
        folder: The folder that the file of ``--cli-input-json`` is relative to.
    """
    options, values = arguments[::2], arguments[1::2]
    value_by_option = dict(zip(options, values, strict=True))
    if _INPUT_OPTION in value_by_option:
        name = value_by_option[_INPUT_OPTION].removeprefix("file://")
        parameters: dict[str, Any] = json.loads((folder / name).read_text())
        return parameters
    return {option.removeprefix("--").title().replace("-", ""): value for option, value in value_by_option.items()}
