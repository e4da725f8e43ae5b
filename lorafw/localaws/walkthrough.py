"""Run AWS's documented procedure, and print each command, its answer and the gateway's log."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

from lorafw import example
from lorafw.firmware.signing import KeyPair, UpdateSignature, sign_update
from lorafw.gateway.provisioning import register_gateway, write_home
from lorafw.gateway.transport import HttpTransport
from lorafw.gateway.virtual import VirtualGateway
from lorafw.localaws.aws_cli import find_aws_cli
from lorafw.localaws.cloud import Cloud
from lorafw.localaws.command_runner import CommandRunner
from lorafw.localaws.provisioning import create_bucket_and_role, upload_update
from lorafw.scratch import scratch_folder
from lorafw.tasks.model import AccountRegion

MAX_POLLS: Final = 4
"""A task becomes FAILED at the fourth poll after its definition was created, at the latest."""

OWNER: Final = AccountRegion(example.ACCOUNT, example.REGION)

_FAILURE_REASONS: Final = {
    "wrong-key": "The update was signed with another key than the one whose public half is on the gateway.",
    "tampered": "The file in the bucket is not the one that was signed.",
}
"""Why the update fails, by the value of ``fail``."""


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
        """Start the local AWS, and create a folder for the files of the procedure."""
        with contextlib.ExitStack() as stack:
            self._folder = stack.enter_context(scratch_folder("lorafw-demo-"))
            self._cloud = stack.enter_context(Cloud())
            self._commands = CommandRunner(self._cloud, self._aws_cli, self._write_line)
            self._exit_stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the local AWS, and delete the folder."""
        self._exit_stack.close()

    def run(self) -> str:
        """Run the procedure, step by step.

        Returns:
            The final status of the task: COMPLETED or FAILED.

        Raises:
            LorafwError: A command failed.
        """
        self._write_introduction()
        gateway_keys = KeyPair.generate()

        self._write_heading("0. Update file, signature, bucket and role")
        signature = self._publish_update(gateway_keys)
        gateway_id, gateway = self._create_gateway(gateway_keys)

        self._write_heading("1. Get the current version running on your gateway")
        self._show_version(gateway_id)

        self._write_heading("2. Create a wireless gateway task definition")
        self._create_task_definition(signature)

        self._write_heading("3. Run the firmware update task and track progress")
        status = self._poll_until_ended(gateway_id, gateway)
        self._show_result(gateway_id, status)
        self._commands.run("delete-wireless-gateway-task", "--id", gateway_id)
        self._write_line(f"\n{status}: the gateway runs PackageVersion {gateway.home.read_package_version()}.")
        return status

    def _write_introduction(self) -> None:
        """Show where the local AWS listens, and what sends the commands."""
        self._write_line("A firmware update with AWS IoT Core for LoRaWAN, on this machine alone.")
        addresses = f"API {self._cloud.api.url}, CUPS {self._cloud.cups.uri}"
        if not self._aws_cli:
            addresses += "; no AWS CLI was found, so boto3 asks in its place"
        self._write_line(addresses)

    def _write_heading(self, text: str) -> None:
        """Show a heading, underlined and after an empty line."""
        self._write_line(f"\n{text}\n{'-' * len(text)}")

    def _publish_update(self, gateway_keys: KeyPair) -> UpdateSignature:
        """Build and sign the update file, upload it to the bucket, and create the role that can read it.

        Args:
            gateway_keys: The keys whose public half is on the gateway.

        Returns:
            The signature of the update.
        """
        update = example.update_file(self._package)
        self._write_line(f"{example.KEY}: {len(update)} bytes, brings PackageVersion {self._package}")
        signature = self._sign(update, gateway_keys)
        if self._fail == "tampered":
            update += b"\n"
            self._write_line("(--fail tampered: one byte is added to the file after it was signed)")
        create_bucket_and_role(self._cloud.client)
        upload_update(self._cloud.client, update)
        self._write_line(f"{example.DATA_SOURCE} is readable through {example.ROLE_ARN}")
        return signature

    def _sign(self, update: bytes, gateway_keys: KeyPair) -> UpdateSignature:
        """Sign the update with the gateway's key, or with another key if the update must fail with ``wrong-key``."""
        signing_keys = gateway_keys
        if self._fail == "wrong-key":
            signing_keys = KeyPair.generate()
        signed = sign_update(signing_keys, update)
        self._write_line(f"signature: {len(signed.signature)} bytes, SigKeyCrc {signed.key_crc} ({signed.key_crc:08X})")
        if self._fail == "wrong-key":
            crc = gateway_keys.public_key.crc
            self._write_line(f"(--fail wrong-key: the gateway's sig-0.key has the CRC {crc}, {crc:08X})")
        return signed

    def _create_gateway(self, gateway_keys: KeyPair) -> tuple[str, VirtualGateway]:
        """Register the gateway, write its home folder and let it poll once. Returns its id and the virtual gateway."""
        client = self._cloud.client("iotwireless")
        registration = register_gateway(client, example.GATEWAY_EUI, example.GATEWAY_NAME, example.RF_REGION)
        home = write_home(
            self._folder / "gateway",
            eui=example.GATEWAY_EUI,
            cups_uri=self._cloud.cups.uri,
            package=example.CURRENT_VERSION.package,
            sig_keys=[gateway_keys.public_key],
            interval_s=example.POLL_INTERVAL_S,
        )
        self._write_line(f"The gateway {example.GATEWAY_EUI} is registered and powered on:")
        gateway = VirtualGateway(home, HttpTransport(), log=self._write_log_line)
        gateway.poll()
        return registration.id, gateway

    def _write_log_line(self, line: str) -> None:
        """Show a line of the gateway's log, indented."""
        self._write_line(f"    {line}")

    def _show_version(self, gateway_id: str) -> None:
        """Show the version that the gateway reported in its poll."""
        eui = example.GATEWAY_EUI.hex
        self._commands.run("get-wireless-gateway", "--identifier", eui, "--identifier-type", "GatewayEui")
        self._commands.run("get-wireless-gateway-firmware-information", "--id", gateway_id)

    def _create_task_definition(self, signature: UpdateSignature) -> None:
        """Write input.json, show it, and create the task definition with it."""
        parameters = example.input_json(signature=signature.signature, sig_key_crc=signature.key_crc)
        path: Path = self._folder / "input.json"
        path.write_text(json.dumps(parameters, indent=4))
        self._write_line(f"$ cat input.json\n{path.read_text()}")
        self._commands.run(
            "create-wireless-gateway-task-definition",
            "--cli-input-json",
            f"file://{path}",
            # The name of the temporary folder would only distract.
            printed_arguments=["--cli-input-json", "file://input.json"],
        )

    def _poll_until_ended(self, gateway_id: str, gateway: VirtualGateway) -> str:
        """Let the gateway poll until its task has ended. Returns the status of the task."""
        status = ""
        for poll_number in range(1, MAX_POLLS + 1):
            self._write_line(f"The gateway polls CUPS (poll {poll_number}):")
            gateway.poll()
            status = self._commands.run("get-wireless-gateway-task", "--id", gateway_id)["Status"]
            if status in ("COMPLETED", "FAILED"):
                break
        return status

    def _show_result(self, gateway_id: str, status: str) -> None:
        """Show the new version of the gateway, or why its task failed. Call this before the task is deleted."""
        if status == "COMPLETED":
            self._commands.run("get-wireless-gateway-firmware-information", "--id", gateway_id)
            return
        explanation = self._cloud.service.explain(OWNER, gateway_id)
        reason = _FAILURE_REASONS.get(self._fail or "", "The update did not take effect.")
        self._write_line("Why?")
        self._write_line("\n".join(f"    {line}" for line in explanation.lines))
        self._write_line("    The gateway's log above says it too: its key does not verify the signature, so the")
        self._write_line(f"    update was refused. {reason}")
