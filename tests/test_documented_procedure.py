"""The commands of AWS's documentation, run with the AWS CLI against `lorafw serve --seed documented`."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from processes import killed_at_the_end

from lorafw.firmware.signing import KeyPair, sign_update
from lorafw.lab.serve_process import ServeProcess

LORAFW = [sys.executable, "-m", "lorafw"]
BIN = Path(sys.executable).parent

# The commands and the file of the documentation, as printed but for the blanks behind the backslashes.
GET_GATEWAY = """aws iotwireless get-wireless-gateway \\
    --identifier 5a11b0a85a11b0a8 \\
        --identifier-type GatewayEui
"""
GET_VERSION = """aws iotwireless get-wireless-gateway-firmware-information \\
    --id "3039b406-5cc9-4307-925b-9948c63da25b"
"""
CREATE_DEFINITION = """aws iotwireless create-wireless-gateway-task-definition \\
    --cli-input-json file://input.json
"""
DOCUMENTED_GATEWAY_ID = "1352172b-0602-4b40-896f-54da9ed16b57"
GET_TASK = f"""aws iotwireless get-wireless-gateway-task \\
    --id {DOCUMENTED_GATEWAY_ID}
"""
DELETE_TASK = """aws iotwireless delete-wireless-gateway-task \\
    --id 1352172b-0602-4b40-896f-54da9ed16b57
"""
INPUT_JSON = """{
    "AutoCreateTasks": true,
    "Name": "FirmwareUpdate",
    "Update":
    {
        "UpdateDataSource" : "s3://iotwirelessfwupdate/fwstation",
        "UpdateDataRole" : "arn:aws:iam::123456789012:role/IoTWirelessFwUpdateRole",
        "LoRaWAN" :
        {
            "SigKeyCrc": 3434210794,
            "UpdateSignature":
"MEQCIDPY/p2ssgXIPNCOgZr+NzeTLpX+WfBo5tYWbh5pQWN3AiBROen+XlIdMScvAsfVfU/ZScJCalkVNZh4esyS8mNIgA==",
            "CurrentVersion" :
            {
            "PackageVersion": "1.0.0",
            "Model": "rpi",
            "Station": "2.0.5(rpi/std) 2021-03-09 03:45:09"
            }
        }
    }
}
"""
CURRENT_VERSION = {"PackageVersion": "1.0.0", "Model": "rpi", "Station": "2.0.5(rpi/std) 2021-03-09 03:45:09"}


@dataclass
class Lab:
    """A server of its own, and a shell beside it with nothing but the printed variables set."""

    serve: ServeProcess
    folder: Path

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environment |= {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "AWS_CONFIG_FILE": os.devnull}
        return subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=environment | self.serve.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def answer(self, command: str) -> Any:
        done = self.run(command)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    def wait_for_status(self, status: str, limit_s: float = 20) -> Any:
        """Wait until the documented task has a status, and return what the AWS CLI then says of it.

        boto3 does the waiting: each start of the AWS CLI takes half a second of the CPU that the server needs too.
        """
        client = boto3.client(
            "iotwireless",
            endpoint_url=self.serve.api,
            region_name=self.serve.environment["AWS_DEFAULT_REGION"],
            aws_access_key_id=self.serve.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.serve.environment["AWS_SECRET_ACCESS_KEY"],
        )
        deadline = time.monotonic() + limit_s
        seen = ""
        while seen != status:
            assert time.monotonic() < deadline, f"waited for {status}, last seen {seen}"
            time.sleep(0.02)
            with contextlib.suppress(client.exceptions.ResourceNotFoundException):
                seen = client.get_wireless_gateway_task(Id=DOCUMENTED_GATEWAY_ID)["Status"]
        task = self.answer(GET_TASK)
        assert task["Status"] == status
        return task


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[Lab]:
    with ServeProcess(*options) as serve:
        yield Lab(serve, folder)


def test_the_documented_commands_answer_as_documented_with_the_documented_signature(tmp_path: Path) -> None:
    (tmp_path / "input.json").write_text(INPUT_JSON)
    with serving(tmp_path, "--seed", "documented") as lab:
        gateway = lab.answer(GET_GATEWAY)
        assert list(gateway) == ["Name", "Id", "Description", "LoRaWAN", "Arn"]
        assert gateway["Name"] == gateway["Description"] == "Raspberry pi"
        assert gateway["Id"] == "1352172b-0602-4b40-896f-54da9ed16b57"
        assert gateway["LoRaWAN"] == {"GatewayEui": "5a11b0a85a11b0a8", "RfRegion": "US915"}
        assert gateway["Arn"].startswith("arn:aws:iotwireless:us-east-1:")
        assert gateway["Arn"].endswith(f":WirelessGateway/{gateway['Id']}")

        assert lab.answer(GET_VERSION) == {"LoRaWAN": {"CurrentVersion": CURRENT_VERSION}}

        definition = lab.answer(CREATE_DEFINITION)
        assert list(definition) == ["Id", "Arn"]
        assert definition["Arn"].endswith(f":WirelessGatewayTaskDefinition/{definition['Id']}")

        # "When you run the command the first time, it will show the task status as IN_PROGRESS."
        task = lab.wait_for_status("IN_PROGRESS", limit_s=5)
        assert list(task) == [
            "WirelessGatewayId",
            "WirelessGatewayTaskDefinitionId",
            "LastUplinkReceivedAt",
            "TaskCreatedAt",
            "Status",
        ]
        assert task["WirelessGatewayTaskDefinitionId"] == definition["Id"]
        for name in ("LastUplinkReceivedAt", "TaskCreatedAt"):
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", task[name])

        lab.wait_for_status("COMPLETED")
        assert lab.run(DELETE_TASK).stdout == ""
        assert "ResourceNotFoundException" in lab.run(GET_TASK).stderr

        log = lab.serve.output
    lines = [
        "[CUP:INFO] CUPS provided update.bin",
        "[CUP:INFO] CUPS provided signature len=70 keycrc=CCB1E5EA",
        "[CUP:INFO] ECDSA key#0 -> VERIFIED",
        "[CUP:INFO] Running update.bin as background process",
        "[SYS:VERB] /tmp/update.bin: Forked, waiting...",
        "[SYS:INFO] Process /tmp/update.bin (pid=",
        "[CUP:INFO] Interaction with CUPS done - next regular check in 10s",
    ]
    places = [log.index(line) for line in lines]
    assert places == sorted(places)


@pytest.mark.slow
def test_the_documented_file_runs_with_a_signature_of_ones_own(tmp_path: Path) -> None:
    with serving(tmp_path, "--seed", "documented") as lab:
        key = re.search(r"^Key that it trusts too: (\S+)", lab.serve.output, re.MULTILINE)
        assert key is not None
        lab.run("aws s3 cp s3://iotwirelessfwupdate/fwstation fwstation")
        update = (tmp_path / "fwstation").read_bytes()
        signed = sign_update(KeyPair.load(Path(key[1])), update)
        members = json.loads(INPUT_JSON)
        members["Update"]["LoRaWAN"] |= {"UpdateSignature": signed.base64, "SigKeyCrc": signed.key_crc}
        (tmp_path / "input.json").write_text(json.dumps(members))
        lab.answer(CREATE_DEFINITION)
        lab.wait_for_status("IN_PROGRESS", limit_s=5)
        lab.wait_for_status("COMPLETED")


@pytest.mark.slow
def test_one_s_own_gateway_and_update_go_from_key_to_completed_on_the_command_line(tmp_path: Path) -> None:
    with serving(tmp_path, "--seed", "documented") as lab:
        for command in (
            "lorafw firmware keygen",
            "lorafw firmware build --package 1.0.1 -o fwstation",
            "lorafw gateway init home --eui 58a0cbfffe800001 --name mine --plain --sig-key sig-0.key",
            "aws s3 cp fwstation s3://iotwirelessfwupdate/fwstation",
            "lorafw firmware task-definition --file fwstation --key private.pem > input.json",
            "aws iotwireless create-wireless-gateway-task-definition --cli-input-json file://input.json",
        ):
            done = lab.run(command)
            assert done.returncode == 0, (command, done.stdout, done.stderr)
        assert "PackageVersion: 1.0.0" in lab.run("lorafw gateway info home").stdout
        run = lab.run("lorafw gateway run home --interval 0.3 --polls 2")
        assert run.returncode == 0, run.stderr
        assert "ECDSA key#0 -> VERIFIED" in run.stdout
        assert "next regular check in 300ms" in run.stdout
        gateway = lab.answer(
            "aws iotwireless get-wireless-gateway --identifier 58a0cbfffe800001 --identifier-type GatewayEui"
        )
        task = lab.answer(f"aws iotwireless get-wireless-gateway-task --id {gateway['Id']}")
        assert task["Status"] == "COMPLETED"
        assert "PackageVersion: 1.0.1" in lab.run("lorafw gateway info home").stdout


def test_serve_says_what_to_paste_and_ends_within_two_seconds_of_sigterm() -> None:
    with ServeProcess("--policy", "settle_s=30") as serve:
        assert f"export AWS_ENDPOINT_URL={serve.api}\n" in serve.output
        assert "state is kept in " in serve.output
        assert serve.api.startswith("http://127.0.0.1:")
        assert serve.cups_plain.startswith("http://127.0.0.1:")
        started = time.monotonic()
        assert serve.stop() == 0
        assert time.monotonic() - started < 2


def test_the_ready_file_holds_the_addresses_and_goes_with_the_server(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    command = [*LORAFW, "serve", "--api-port", "0", "--cups-plain-port", "0", "--cups-port", "0"]
    command += ["--state-dir", str(tmp_path / "state"), "--seed", "documented", "--ready-file", str(ready)]
    ready.write_text('{"of": "a process that was killed"}')
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process, killed_at_the_end(process):
        deadline = time.monotonic() + 30
        while not ready.exists() or "of" in (told := json.loads(ready.read_text())):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        addresses = {"api", "cups", "cups_plain", "public_names", "public_api"}
        assert told.keys() == {*addresses, "environment", "home", "private_key"}
        assert told["environment"]["AWS_ENDPOINT_URL"] == told["api"]
        assert told["environment"]["AWS_DEFAULT_REGION"] == "us-east-1"
        assert (Path(told["home"]) / "station.conf").exists()
        assert b"PRIVATE KEY" in Path(told["private_key"]).read_bytes()
        process.send_signal(signal.SIGTERM)
        assert process.wait(2) == 0
    assert not ready.exists()


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (["--policy", "setle_s=1"], "did you mean settle_s?"),
        (["--policy", "settle_s=soon"], "is not a number"),
        (["--policy", "key_mismatch=maybe"], "offer, withhold"),
        (["--policy", "settle_s"], "K=V"),
    ],
)
def test_a_policy_that_is_none_is_refused_with_its_name_and_a_remedy(option: list[str], words: str) -> None:
    done = subprocess.run([*LORAFW, "serve", *option], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode != 0
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_ready_file_of_before_is_gone_where_the_server_does_not_come_up(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    ready.write_text("{}")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for option in ("--api-port", "--cups-plain-port", "--cups-port"):
            command = [*LORAFW, "serve", "--api-port", "0", "--cups-plain-port", "0", "--ready-file", str(ready)]
            done = subprocess.run([*command, option, port], capture_output=True, text=True, check=False, timeout=30)
            assert done.returncode == 1
            assert f"Error: {option} {port}: Address already in use (127.0.0.1:{port})" in done.stderr
    assert not ready.exists()


def test_a_port_that_is_taken_is_named() -> None:
    with ServeProcess() as serve:
        port = serve.api.rsplit(":", 1)[1]
        done = subprocess.run(
            [*LORAFW, "serve", "--api-port", port], capture_output=True, text=True, check=False, timeout=30
        )
        assert done.returncode == 1
        assert f"--api-port {port}: Address already in use" in done.stderr
        assert "give another port, or 0" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_gateway_with_its_own_certificate_is_made_updated_and_explained_on_the_command_line(tmp_path: Path) -> None:
    with serving(tmp_path, "--seed", "documented") as lab:
        for command in (
            "lorafw firmware keygen",
            "lorafw gateway init home --eui 58a0cbfffe800001 --name mine --sig-key sig-0.key",
            "lorafw firmware build --package 1.0.1",
            "aws s3 cp fwstation s3://iotwirelessfwupdate/fwstation",
            "lorafw firmware task-definition --file fwstation --key private.pem > input.json",
            "aws iotwireless create-wireless-gateway-task-definition --cli-input-json file://input.json",
        ):
            done = lab.run(command)
            assert done.returncode == 0, (command, done.stdout, done.stderr)
        assert lab.serve.cups == (tmp_path / "home" / "cups.uri").read_text()
        run = lab.run("lorafw gateway run home --interval 0.3 --polls 2")
        assert "Connecting to CUPS ... https://localhost:" in run.stdout
        assert "ECDSA key#0 -> VERIFIED" in run.stdout
        told = lab.run("lorafw explain 58:a0:cb:ff:fe:80:00:01")
        assert "COMPLETED" in told.stdout
        assert "got the update, all of it" in told.stdout
        unknown = lab.run("lorafw explain 0000000000000001")
        assert unknown.returncode == 1
        assert "does not exist" in unknown.stderr
        again = lab.run("lorafw gateway init home --eui 58a0cbfffe800001")
        assert again.returncode == 1
        assert "is the home of a gateway already" in again.stderr


DENY = (
    '{"Version": "2012-10-17", "Statement": {"Sid": "NotTonight", "Effect": "Deny", "Action": "s3:*", "Resource": "*"}}'
)


def test_the_statement_that_keeps_an_update_from_being_read_is_named_before_any_gateway_asks(tmp_path: Path) -> None:
    (tmp_path / "deny.json").write_text(DENY)
    (tmp_path / "fwstation").write_bytes(b"#!/bin/sh\n")
    with serving(tmp_path, "--seed", "documented") as lab:
        for command in (
            "aws s3 cp fwstation s3://iotwirelessfwupdate/fwstation",
            "aws iam put-role-policy --role-name IoTWirelessFwUpdateRole --policy-name Pause "
            "--policy-document file://deny.json",
            "lorafw gateway init home --eui 58a0cbfffe800001 --plain",
            "lorafw gateway run home --interval 0.1 --polls 1",
            "lorafw firmware task-definition --sig-key-crc 3434210794 --signature "
            "MEQCIDPY/p2ssgXIPNCOgZr+NzeTLpX+WfBo5tYWbh5pQWN3AiBROen+XlIdMScvAsfVfU/ZScJCalkVNZh4esyS8mNIgA== "
            "> input.json",
            "aws iotwireless create-wireless-gateway-task-definition --cli-input-json file://input.json",
        ):
            done = lab.run(command)
            assert done.returncode == 0, (command, done.stdout, done.stderr)
        told = lab.run("lorafw explain 58a0cbfffe800001").stdout
        assert "It has no task." in told
        assert "The update cannot be read (AccessDenied)" in told
        assert "NotTonight" in told
        assert "Pause" in told


def test_explain_without_a_server_says_what_to_do() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(
        [*LORAFW, "explain", "5a11b0a85a11b0a8"], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 1
    assert "start 'lorafw serve'" in done.stderr
