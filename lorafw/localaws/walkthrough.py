"""Run AWS's documented procedure, and print each command, its answer and the gateway's log."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from lorafw import example
from lorafw.errors import LorafwError
from lorafw.firmware.signing import KeyPair, UpdateSignature, sign_update
from lorafw.gateway.provisioning import register_gateway, write_home
from lorafw.gateway.transport import HttpTransport
from lorafw.gateway.virtual import VirtualGateway
from lorafw.localaws.aws_cli import aws_command, aws_environment, find_aws_cli
from lorafw.localaws.cloud import Cloud
from lorafw.localaws.lab_endpoint import LabEndpoint
from lorafw.localaws.provisioning import create_bucket_and_role, upload_update
from lorafw.scratch import scratch_folder
from lorafw.tasks.model import AccountRegion

MAX_POLLS: Final = 4
"""A task becomes FAILED at the fourth poll after its definition was created, at the latest."""

OWNER: Final = AccountRegion(example.ACCOUNT, example.REGION)


class DocumentedWalkthrough:
    """A context manager for one run of the documented procedure in its own local AWS.

    Args:
        write_line: Called with each text for the user.
        package: The PackageVersion that the update installs.
        fail: ``wrong-key`` or ``tampered`` to make the update fail, or None.
    """

    def __init__(self, write_line: Callable[[str], None], *, package: str, fail: str | None = None) -> None:
        self._write_line = write_line
        self._package = package
        self._fail = fail
        self._aws_cli = find_aws_cli()
        self._exit_stack = contextlib.ExitStack()

    def __enter__(self) -> DocumentedWalkthrough:
        with contextlib.ExitStack() as stack:
            self._folder = stack.enter_context(scratch_folder("lorafw-demo-"))
            self._cloud = stack.enter_context(Cloud())
            self._exit_stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exit_stack.close()

    def run(self) -> str:
        """Run the procedure.

        Returns:
            The final status of the task: COMPLETED or FAILED.

        Raises:
            LorafwError: A command failed.
        """
        self._write_line("A firmware update with AWS IoT Core for LoRaWAN, on this machine alone.")
        addresses = f"API {self._cloud.api.url}, CUPS {self._cloud.cups.uri}"
        if not self._aws_cli:
            addresses += "; no AWS CLI was found, so boto3 asks in its place"
        self._write_line(addresses)
        input_json = self._publish_update()
        gateway_id, gateway = self._create_gateway()
        self._show_version(gateway_id)
        self._write_heading("2. Create a wireless gateway task definition")
        self._write_line("$ cat input.json\n" + input_json.read_text())
        self._run_aws_command(
            "create-wireless-gateway-task-definition",
            "--cli-input-json",
            f"file://{input_json}",
            printed_arguments=["--cli-input-json", "file://input.json"],
        )
        return self._poll_until_ended(gateway_id, gateway)

    def _publish_update(self) -> Path:
        """Create and upload the update file and its signature, and create the role. Returns the path of input.json."""
        self._write_heading("0. Update file, signature, bucket and role")
        self._keys = KeyPair.generate()
        update = example.update_file(self._package)
        self._write_line(f"{example.KEY}: {len(update)} bytes, brings PackageVersion {self._package}")
        signed = self._sign(update)
        if self._fail == "tampered":
            update += b"\n"
            self._write_line("(--fail tampered: one byte is added to the file after it was signed)")
        create_bucket_and_role(self._cloud.client)
        upload_update(self._cloud.client, update)
        self._write_line(f"{example.DATA_SOURCE} is readable through {example.ROLE_ARN}")
        parameters = example.input_json(signature=signed.signature, sig_key_crc=signed.key_crc)
        path = self._folder / "input.json"
        path.write_text(json.dumps(parameters, indent=4))
        return path

    def _sign(self, update: bytes) -> UpdateSignature:
        """Sign the update with the gateway's key, or with another key if the update must fail with ``wrong-key``."""
        signing_keys = self._keys
        if self._fail == "wrong-key":
            signing_keys = KeyPair.generate()
        signed = sign_update(signing_keys, update)
        self._write_line(f"signature: {len(signed.signature)} bytes, SigKeyCrc {signed.key_crc} ({signed.key_crc:08X})")
        if self._fail == "wrong-key":
            crc = self._keys.public_key.crc
            self._write_line(f"(--fail wrong-key: the gateway's sig-0.key has the CRC {crc}, {crc:08X})")
        return signed

    def _create_gateway(self) -> tuple[str, VirtualGateway]:
        """Register the gateway, write its home folder and let it poll once. Returns its id and the virtual gateway."""
        registration = register_gateway(
            self._cloud.client("iotwireless"), example.GATEWAY_EUI, example.GATEWAY_NAME, example.RF_REGION
        )
        home = write_home(
            self._folder / "gateway",
            eui=example.GATEWAY_EUI,
            cups_uri=self._cloud.cups.uri,
            package=example.CURRENT_VERSION.package,
            sig_keys=[self._keys.public_key],
            interval_s=example.POLL_INTERVAL_S,
        )
        self._write_line(f"The gateway {example.GATEWAY_EUI} is registered and powered on:")
        gateway = VirtualGateway(home, HttpTransport(), log=self._write_log_line)
        gateway.poll()
        return registration.id, gateway

    def _show_version(self, gateway_id: str) -> None:
        """Show the version that the gateway reported in its poll."""
        self._write_heading("1. Get the current version running on your gateway")
        self._run_aws_command(
            "get-wireless-gateway", "--identifier", example.GATEWAY_EUI.hex, "--identifier-type", "GatewayEui"
        )
        self._run_aws_command("get-wireless-gateway-firmware-information", "--id", gateway_id)

    def _poll_until_ended(self, gateway_id: str, gateway: VirtualGateway) -> str:
        """Let the gateway poll until its task has ended, show the result, and delete the task. Returns the status."""
        self._write_heading("3. Run the firmware update task and track progress")
        status = ""
        for poll in range(1, MAX_POLLS + 1):
            self._write_line(f"The gateway polls CUPS (poll {poll}):")
            gateway.poll()
            status = self._run_aws_command("get-wireless-gateway-task", "--id", gateway_id)["Status"]
            if status in ("COMPLETED", "FAILED"):
                break
        if status == "COMPLETED":
            self._run_aws_command("get-wireless-gateway-firmware-information", "--id", gateway_id)
        else:
            self._explain_failure(gateway_id)
        self._run_aws_command("delete-wireless-gateway-task", "--id", gateway_id)
        self._write_line(f"\n{status}: the gateway runs PackageVersion {gateway.home.read_package_version()}.")
        return status

    def _explain_failure(self, gateway_id: str) -> None:
        """Show why the task failed. Call this before the task is deleted."""
        explanation = self._cloud.service.explain(OWNER, gateway_id)
        reason = _FAILURE_REASONS.get(self._fail or "", "The update did not take effect.")
        self._write_line("Why?")
        self._write_line("\n".join(f"    {line}" for line in explanation.lines))
        self._write_line("    The gateway's log above says it too: its key does not verify the signature, so the")
        self._write_line(f"    update was refused. {reason}")

    def _write_log_line(self, line: str) -> None:
        """Show a line of the gateway's log, indented."""
        self._write_line(f"    {line}")

    def _write_heading(self, text: str) -> None:
        """Show a heading, underlined and after an empty line."""
        self._write_line(f"\n{text}\n{'-' * len(text)}")

    def _run_aws_command(
        self, operation: str, *arguments: str, printed_arguments: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """Run a command of the AWS CLI in the local AWS, and print the command and its answer.

        If the AWS CLI is not installed, boto3 sends the same request.

        Args:
            operation: The operation of ``aws iotwireless``.
            *arguments: Its arguments.
            printed_arguments: The arguments as they are printed. None means that they are printed unchanged.

        Returns:
            The answer, parsed from JSON. Empty if the command prints nothing.
        """
        if printed_arguments is None:
            printed_arguments = arguments
        self._write_line(f"$ aws iotwireless {operation} {shlex.join(printed_arguments)}")
        if self._aws_cli is None:
            output = self._run_with_boto3(operation, arguments)
        else:
            output = self._run_with_cli(self._aws_cli, operation, arguments)
        if not output.strip():
            self._write_line("(no output)\n")
            return {}
        self._write_line(f"{output.strip()}\n")
        members: dict[str, Any] = json.loads(output)
        return members

    def _run_with_cli(self, aws_cli: str, operation: str, arguments: tuple[str, ...]) -> str:
        """Run a command with the AWS CLI and return what it prints. Raises LorafwError if the command fails."""
        endpoint = LabEndpoint(self._cloud.api.url, example.REGION)
        command = ["iotwireless", operation, *arguments, "--output", "json"]
        completed = subprocess.run(  # noqa: S603 -- the AWS CLI with arguments of this module
            aws_command(aws_cli, endpoint, command),
            env=aws_environment(os.environ, endpoint),
            capture_output=True,
            text=True,
            check=False,
        )
        if completed.returncode != 0:
            raise LorafwError(
                f"aws iotwireless {operation} ended with {completed.returncode}: {completed.stderr.strip()}"
            )
        return completed.stdout

    def _run_with_boto3(self, operation: str, arguments: tuple[str, ...]) -> str:
        """Run the same command with boto3, and return its answer as the AWS CLI prints it."""
        client = self._cloud.client("iotwireless")
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


_FAILURE_REASONS: Final = {
    "wrong-key": "The update was signed with another key than the one whose public half is on the gateway.",
    "tampered": "The file in the bucket is not the one that was signed.",
}
