"""Run the documented procedure and show every command, its real answer and the gateway's log."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from lorafw import example
from lorafw.errors import LorafwError
from lorafw.firmware.signing import KeyPair, sign_update
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
"""The task becomes FAILED at the fourth poll after its definition was created."""

OWNER: Final = AccountRegion(example.ACCOUNT, example.REGION)


class DocumentedWalkthrough:
    """Context manager for one run of the procedure in its own lab. ``show`` is called with each text for the user."""

    def __init__(self, show: Callable[[str], None], *, package: str, fail: str | None = None) -> None:
        self._show = show
        self._package = package
        self._fail = fail
        self._aws = find_aws_cli()
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
        """Run the procedure and return the final status of the task.

        Raises:
            LorafwError: A command failed.
        """
        self._show("A firmware update with AWS IoT Core for LoRaWAN, on this machine alone.")
        self._show(
            f"API {self._cloud.api.url}, CUPS {self._cloud.cups.uri}"
            + ("" if self._aws else "; no AWS CLI was found, so boto3 asks in its place")
        )
        input_json = self._publish_update()
        gateway_id, gateway = self._gateway()
        self._version(gateway_id)
        self._heading("2. Create a wireless gateway task definition")
        self._show("$ cat input.json\n" + input_json.read_text())
        self._run_aws_command(
            "create-wireless-gateway-task-definition",
            "--cli-input-json",
            f"file://{input_json}",
            shown=["--cli-input-json", "file://input.json"],
        )
        return self._poll_until_ended(gateway_id, gateway)

    def _publish_update(self) -> Path:
        """Create the update file, its signature, the bucket and the role. Returns the path of input.json."""
        self._heading("0. Update file, signature, bucket and role")
        self._keys = KeyPair.generate()
        update = example.update_file(self._package)
        signer = KeyPair.generate() if self._fail == "wrong-key" else self._keys
        signed = sign_update(signer, update)
        self._show(f"{example.KEY}: {len(update)} bytes, brings PackageVersion {self._package}")
        self._show(f"signature: {len(signed.signature)} bytes, SigKeyCrc {signed.key_crc} ({signed.key_crc:08X})")
        if self._fail == "wrong-key":
            crc = self._keys.public_key.crc
            self._show(f"(--fail wrong-key: the gateway's sig-0.key has the CRC {crc}, {crc:08X})")
        if self._fail == "tampered":
            update += b"\n"
            self._show("(--fail tampered: one byte is added to the file after it was signed)")
        create_bucket_and_role(self._cloud.client)
        upload_update(self._cloud.client, update)
        self._show(f"{example.DATA_SOURCE} is readable through {example.ROLE_ARN}")
        members = example.input_json(signature=signed.signature, sig_key_crc=signed.key_crc)
        path = self._folder / "input.json"
        path.write_text(json.dumps(members, indent=4))
        return path

    def _gateway(self) -> tuple[str, VirtualGateway]:
        known = register_gateway(
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
        self._show(f"The gateway {example.GATEWAY_EUI} is registered and powered on:")
        gateway = VirtualGateway(home, HttpTransport(), log=lambda line: self._show(f"    {line}"))
        gateway.poll()
        return known.id, gateway

    def _version(self, gateway_id: str) -> None:
        self._heading("1. Get the current version running on your gateway")
        self._run_aws_command(
            "get-wireless-gateway", "--identifier", example.GATEWAY_EUI.hex, "--identifier-type", "GatewayEui"
        )
        self._run_aws_command("get-wireless-gateway-firmware-information", "--id", gateway_id)

    def _poll_until_ended(self, gateway_id: str, gateway: VirtualGateway) -> str:
        self._heading("3. Run the firmware update task and track progress")
        status = ""
        for poll in range(1, MAX_POLLS + 1):
            self._show(f"The gateway polls CUPS (poll {poll}):")
            gateway.poll()
            status = self._run_aws_command("get-wireless-gateway-task", "--id", gateway_id)["Status"]
            if status in ("COMPLETED", "FAILED"):
                break
        if status == "COMPLETED":
            self._run_aws_command("get-wireless-gateway-firmware-information", "--id", gateway_id)
        explanation = self._cloud.service.explain(OWNER, gateway_id)
        if status != "COMPLETED":
            self._show("Why?")
            self._show("\n".join(f"    {line}" for line in explanation.lines))
            self._show("    The gateway's log above says it too: its key does not verify the signature, so the")
            self._show("    update was refused. " + _REASONS.get(self._fail or "", "The update did not take effect."))
        self._run_aws_command("delete-wireless-gateway-task", "--id", gateway_id)
        self._show(f"\n{status}: the gateway runs PackageVersion {gateway.home.package()}.")
        return status

    def _heading(self, text: str) -> None:
        self._show(f"\n{text}\n{'-' * len(text)}")

    def _run_aws_command(self, operation: str, *arguments: str, shown: list[str] | None = None) -> dict[str, Any]:
        """Run ``aws iotwireless OPERATION ...`` against the lab and return its answer."""
        self._show(f"$ aws iotwireless {operation} {shlex.join(shown or arguments)}")
        answer = self._run_with_cli(operation, arguments) if self._aws else self._run_with_boto3(operation, arguments)
        self._show(f"{answer.strip()}\n" if answer.strip() else "(no output)\n")
        members: dict[str, Any] = json.loads(answer) if answer.strip() else {}
        return members

    def _run_with_cli(self, operation: str, arguments: tuple[str, ...]) -> str:
        assert self._aws is not None
        endpoint = LabEndpoint(self._cloud.api.url, example.REGION)
        command = ["iotwireless", operation, *arguments, "--output", "json"]
        done = subprocess.run(  # noqa: S603 -- the AWS CLI with arguments of ours
            aws_command(self._aws, endpoint, command),
            env=aws_environment(os.environ, endpoint),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise LorafwError(f"aws iotwireless {operation} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def _run_with_boto3(self, operation: str, arguments: tuple[str, ...]) -> str:
        client = self._cloud.client("iotwireless")
        pairs = dict(zip(arguments[::2], arguments[1::2], strict=True))
        source = pairs.pop("--cli-input-json", None)
        parameters = (
            json.loads(Path(source.removeprefix("file://")).read_text())
            if source
            else {name.removeprefix("--").title().replace("-", ""): value for name, value in pairs.items()}
        )
        answer = getattr(client, operation.replace("-", "_"))(**parameters)
        answer.pop("ResponseMetadata")
        return json.dumps(answer, indent=4) if answer else ""


_REASONS: Final = {
    "wrong-key": "The update was signed with another key than the one whose public half is on the gateway.",
    "tampered": "The file in the bucket is not the one that was signed.",
}
