"""Run AWS's documented procedure, and print each command, its answer and the gateway's log."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lorafw import example
from lorafw.firmware.signing import PublicKey, UpdateSignature
from lorafw.gateway.provisioning import register_gateway, write_home
from lorafw.gateway.transport import HttpTransport
from lorafw.gateway.virtual import VirtualGateway
from lorafw.localaws.aws_cli import find_aws_cli
from lorafw.localaws.cloud import Cloud
from lorafw.localaws.command_runner import CommandRunner
from lorafw.localaws.demo_update import Defect, build_demo_update, describe_demo_update, explain_defect
from lorafw.localaws.provisioning import create_bucket_and_role, upload_update
from lorafw.scratch import scratch_folder
from lorafw.tasks.explain import Explanation
from lorafw.tasks.model import AccountRegion

MAX_POLLS: Final = 4
"""A task becomes FAILED at the fourth poll after its definition was created, at the latest."""

OWNER: Final = AccountRegion(example.ACCOUNT, example.REGION)

WriteLine = Callable[[str], None]
"""Shows a text to the user."""


@dataclass(frozen=True, slots=True)
class DemoGateway:
    """The gateway of the procedure."""

    id: str
    """The id that AWS has assigned."""
    virtual: VirtualGateway
    """The program that polls the CUPS server as a Basics Station does."""


class DocumentedWalkthrough:
    """A context manager for one run of the documented procedure in its own local AWS.

    Args:
        write_line: Called with each text for the user.
        package: The PackageVersion that the update installs.
        fail: ``wrong-key`` or ``tampered`` to make the update fail, or None.
    """

    def __init__(self, write_line: WriteLine, *, package: str, fail: str | None = None) -> None:
        self._write_line = write_line
        self._package = package
        self._defect = None if fail is None else Defect(fail)
        self._aws_cli = find_aws_cli()
        self._exit_stack = contextlib.ExitStack()

    def __enter__(self) -> DocumentedWalkthrough:
        """Start the local AWS, and create a folder for the files of the procedure."""
        with contextlib.ExitStack() as stack:
            self._folder = stack.enter_context(scratch_folder("lorafw-demo-"))
            self._cloud = stack.enter_context(Cloud())
            self._commands = CommandRunner(self._cloud, self._aws_cli, self._folder, self._write_line)
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
        write_line, commands = self._write_line, self._commands
        write_line(_introduction(self._cloud, has_cli=self._aws_cli is not None))

        write_line(_heading("0. Update file, signature, bucket and role"))
        update = build_demo_update(self._package, self._defect)
        write_line("\n".join(describe_demo_update(update)))
        _publish(update.published_file, self._cloud, write_line)
        gateway = _create_gateway(self._cloud, self._folder / "gateway", update.gateway_key, write_line)

        write_line(_heading("1. Get the current version running on your gateway"))
        _show_version(gateway, commands)

        write_line(_heading("2. Create a wireless gateway task definition"))
        _create_task_definition(update.signature, self._folder / "input.json", commands, write_line)

        write_line(_heading("3. Run the firmware update task and track progress"))
        status = _poll_until_ended(gateway, commands, write_line)
        if status == "COMPLETED":
            commands.run("get-wireless-gateway-firmware-information", "--id", gateway.id)
        else:
            explanation = self._cloud.service.explain(OWNER, gateway.id)  # before the task is deleted
            write_line(_failure_text(explanation, self._defect))
        commands.run("delete-wireless-gateway-task", "--id", gateway.id)
        write_line(f"\n{status}: the gateway runs PackageVersion {gateway.virtual.home.read_package_version()}.")
        return status


def _introduction(cloud: Cloud, *, has_cli: bool) -> str:
    """Return a text that says where the local AWS listens, and what sends the commands."""
    addresses = f"API {cloud.api.url}, CUPS {cloud.cups.uri}"
    if not has_cli:
        addresses += "; no AWS CLI was found, so boto3 asks in its place"
    return f"A firmware update with AWS IoT Core for LoRaWAN, on this machine alone.\n{addresses}"


def _heading(text: str) -> str:
    """Return a heading, underlined and after an empty line."""
    return f"\n{text}\n{'-' * len(text)}"


def _publish(update_file: bytes, cloud: Cloud, write_line: WriteLine) -> None:
    """Create the documented bucket and role, and upload an update file that the role can read."""
    create_bucket_and_role(cloud.client)
    upload_update(cloud.client, update_file)
    write_line(f"{example.DATA_SOURCE} is readable through {example.ROLE_ARN}")


def _create_gateway(cloud: Cloud, home_folder: Path, sig_key: PublicKey, write_line: WriteLine) -> DemoGateway:
    """Register a gateway, write its home folder, and let it poll once, so that AWS knows its version.

    Args:
        cloud: The local AWS.
        home_folder: Where to write the files of the gateway's station.
        sig_key: The key with which the gateway verifies updates.
        write_line: Called with each line of the gateway's log, indented.

    Returns:
        The gateway.
    """
    client = cloud.client("iotwireless")
    registration = register_gateway(client, example.GATEWAY_EUI, example.GATEWAY_NAME, example.RF_REGION)
    home = write_home(
        home_folder,
        eui=example.GATEWAY_EUI,
        cups_uri=cloud.cups.uri,
        package=example.CURRENT_VERSION.package,
        sig_keys=[sig_key],
        interval_s=example.POLL_INTERVAL_S,
    )
    write_line(f"The gateway {example.GATEWAY_EUI} is registered and powered on:")

    def write_indented(line: str) -> None:
        write_line(f"    {line}")

    virtual = VirtualGateway(home, HttpTransport(), log=write_indented)
    virtual.poll()
    return DemoGateway(registration.id, virtual)


def _show_version(gateway: DemoGateway, commands: CommandRunner) -> None:
    """Show the version that the gateway reported in its poll."""
    eui = example.GATEWAY_EUI.hex
    commands.run("get-wireless-gateway", "--identifier", eui, "--identifier-type", "GatewayEui")
    commands.run("get-wireless-gateway-firmware-information", "--id", gateway.id)


def _create_task_definition(
    signature: UpdateSignature, input_path: Path, commands: CommandRunner, write_line: WriteLine
) -> None:
    """Create the task definition from a file, as the documentation does.

    Args:
        signature: The signature of the update file.
        input_path: The file input.json, in the folder in which the commands run. It is written and shown.
        commands: Runs the command that creates the task definition.
        write_line: Called with the content of the file.
    """
    parameters = example.input_json(signature=signature.signature, sig_key_crc=signature.key_crc)
    input_path.write_text(json.dumps(parameters, indent=4))
    write_line(f"$ cat {input_path.name}\n{input_path.read_text()}")
    # The command runs in the folder of the file.
    commands.run("create-wireless-gateway-task-definition", "--cli-input-json", f"file://{input_path.name}")


def _poll_until_ended(gateway: DemoGateway, commands: CommandRunner, write_line: WriteLine) -> str:
    """Let the gateway poll until its task has ended. Returns the status of the task."""
    status = ""
    for poll_number in range(1, MAX_POLLS + 1):
        write_line(f"The gateway polls CUPS (poll {poll_number}):")
        gateway.virtual.poll()
        status = commands.run("get-wireless-gateway-task", "--id", gateway.id)["Status"]
        if status in ("COMPLETED", "FAILED"):
            break
    return status


def _failure_text(explanation: Explanation, defect: Defect | None) -> str:
    """Return a text that says why the task failed.

    Args:
        explanation: What the update service knows of the failure.
        defect: What is wrong with the update on purpose.
    """
    lines = [
        *explanation.lines,
        "The gateway's log above says it too: its key does not verify the signature, so the",
        f"update was refused. {explain_defect(defect)}",
    ]
    return "\n    ".join(["Why?", *lines])
