"""Check that ``lorafw explain`` names the cause for each reason why an update does not happen.

A ``lorafw serve`` is started as a process. For each cause a gateway and its definition are created with boto3, the
gateway sends one CUPS request, and ``lorafw explain`` runs as a command. Its output must contain the expected words.

    python tests/bench/causes.py
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from lorafw.cups.messages import UpdateInfoRequest
from lorafw.cups.request_json import encode_request
from lorafw.eui import GatewayEui
from lorafw.firmware.signing import KeyPair
from lorafw.version import GatewayVersion

START_LIMIT_S = 60
PAIR = KeyPair.from_secret(4711)
OTHER_PAIR = KeyPair.from_secret(4712)
CONTENT = b"#!/bin/sh\necho 2.0.5 > version.txt\n"
BUCKET = "firmware"
KEY = "update.bin"
VERSION = GatewayVersion(station="2.0.4(linux/std) 2021-03-17 14:44:14", package="1.0.0", model="linux")
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "iotwireless.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}
READ = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": f"arn:aws:s3:::{BUCKET}*"}],
}


def sign(hash_algorithm: hashes.HashAlgorithm, content: bytes = CONTENT) -> bytes:
    """Return a signature in DER, made with the key that the gateways have."""
    private_key = serialization.load_pem_private_key(PAIR.pem, None)
    assert isinstance(private_key, ec.EllipticCurvePrivateKey)
    return private_key.sign(content, ec.ECDSA(hash_algorithm))


def as_raw(signature: bytes) -> bytes:
    """Return r and s of a signature, 32 bytes each."""
    r, s = decode_dss_signature(signature)
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


@dataclass(frozen=True)
class Cause:
    """One reason why an update does not happen."""

    name: str
    expected: str
    """Words that the output of ``lorafw explain`` must contain."""
    presented: GatewayVersion | None = VERSION
    """Version in the gateway's CUPS request. None: the gateway sends no request."""
    wanted: GatewayVersion = VERSION
    """CurrentVersion of the definition."""
    keys: tuple[int, ...] = (PAIR.public_key.crc,)
    signature: bytes = sign(hashes.SHA512())
    sig_key_crc: int = PAIR.public_key.crc
    object_key: str = KEY
    role: str = "reader"
    account: str = "123456789012"
    auto_create: bool = True
    unexpected: str = "Traceback"


CAUSES = [
    Cause("signature over SHA-256", "It was made with SHA-256", signature=sign(hashes.SHA256())),
    Cause("signature over SHA-1", "It was made with SHA-1", signature=sign(hashes.SHA1()), unexpected="overwritten"),
    Cause("signature of another object", "Was the object overwritten?", signature=sign(hashes.SHA512(), b"another")),
    Cause("CRC of another key", "One of these keys verifies the signature", sig_key_crc=OTHER_PAIR.public_key.crc),
    Cause("key that the gateway does not have", "; the gateway has the keys", keys=(OTHER_PAIR.public_key.crc,)),
    Cause("gateway without keys", "A station without a key refuses a signed update", keys=()),
    Cause("empty package", "Its PackageVersion is empty", presented=replace(VERSION, package="")),
    Cause("package of 33 characters", "has 33 characters", presented=replace(VERSION, package="x" * 33)),
    Cause("no package", "PackageVersion", presented=replace(VERSION, package=None)),
    Cause("no build date", "the gateway presents none", presented=replace(VERSION, station="2.0.4(linux/std)")),
    Cause("another model", "Model: the definition wants", presented=replace(VERSION, model="rak")),
    Cause("silent gateway", "has not sent a CUPS request yet", presented=None),
    Cause("object missing", "does not exist (NoSuchKey)", object_key="missing.bin"),
    Cause("role missing", "does not exist", role="missing"),
    Cause("role of another account", "another account", account="999999999999"),
    Cause("role that nobody may assume", "trust", role="untrusted"),
    Cause("role without permission", "s3:GetObject", role="powerless"),
    Cause("AutoCreateTasks off", "these need CreateWirelessGatewayTask (documented)", auto_create=False),
]


class Lab:
    """A running ``lorafw serve`` with the bucket and the roles of the causes."""

    def __init__(self, ready: dict[str, Any]) -> None:
        self._cups_url = ready["cups_plain"]
        self.environment = {**os.environ, **ready["environment"]}
        os.environ.update(ready["environment"])
        self._iotwireless = boto3.client("iotwireless")
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        boto3.client("s3").put_object(Bucket=BUCKET, Key=KEY, Body=CONTENT)
        self._create_role("reader", "iotwireless.amazonaws.com", READ)
        self._create_role("untrusted", "ec2.amazonaws.com", READ)
        self._create_role("powerless", "iotwireless.amazonaws.com", None)

    def _create_role(self, name: str, service: str, policy: dict[str, Any] | None) -> None:
        iam = boto3.client("iam")
        trust = json.dumps(TRUST).replace("iotwireless.amazonaws.com", service)
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
        if policy:
            iam.put_role_policy(RoleName=name, PolicyName="read", PolicyDocument=json.dumps(policy))

    def show(self, cause: Cause, eui: GatewayEui) -> str:
        """Let a cause happen to a new gateway, and return what ``lorafw explain`` prints."""
        self._iotwireless.create_wireless_gateway(LoRaWAN={"GatewayEui": eui.hex, "RfRegion": "US915"})
        definition_id = self._create_definition(cause)
        if cause.presented is not None:
            self._poll(eui, cause.presented, cause.keys)
        try:
            return self._explain(eui)
        finally:
            # No gateway of another cause shall match this definition.
            self._delete_task(eui)
            self._iotwireless.delete_wireless_gateway_task_definition(Id=definition_id)

    def _create_definition(self, cause: Cause) -> str:
        """Create the definition of a cause, and return its id."""
        members = {
            "CurrentVersion": version_members(cause.wanted),
            "SigKeyCrc": cause.sig_key_crc,
            "UpdateSignature": base64.b64encode(cause.signature).decode(),
        }
        role_arn = f"arn:aws:iam::{cause.account}:role/{cause.role}"
        answer = self._iotwireless.create_wireless_gateway_task_definition(
            AutoCreateTasks=cause.auto_create,
            Update={
                "UpdateDataSource": f"s3://{BUCKET}/{cause.object_key}",
                "UpdateDataRole": role_arn,
                "LoRaWAN": members,
            },
        )
        return str(answer["Id"])

    def _delete_task(self, eui: GatewayEui) -> None:
        """Delete the task of a gateway if it has one."""
        answer = self._iotwireless.get_wireless_gateway(Identifier=eui.hex, IdentifierType="GatewayEui")
        with suppress(self._iotwireless.exceptions.ResourceNotFoundException):
            self._iotwireless.delete_wireless_gateway_task(Id=answer["Id"])

    def _poll(self, eui: GatewayEui, version: GatewayVersion, keys: tuple[int, ...]) -> None:
        """Send one CUPS request of a gateway, and read the response."""
        request = UpdateInfoRequest(
            eui, station=version.station, model=version.model, package=version.package, keys=keys
        )
        url = f"{self._cups_url}/update-info"
        with urllib.request.urlopen(urllib.request.Request(url, encode_request(request)), timeout=30) as response:
            response.read()

    def _explain(self, eui: GatewayEui) -> str:
        """Run ``lorafw explain`` for a gateway, and return what it prints."""
        command = [sys.executable, "-m", "lorafw", "explain", eui.hex]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment, check=False)
        return done.stdout + done.stderr


def version_members(version: GatewayVersion) -> dict[str, str]:
    """Return a version as the API spells it, without the members that are absent."""
    members = {"Station": version.station, "PackageVersion": version.package, "Model": version.model}
    return {name: value for name, value in members.items() if value is not None}


@contextmanager
def running_serve() -> Iterator[Lab]:
    """Start ``lorafw serve`` with free ports, and end it afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        ready_path = Path(folder, "ready.json")
        ports = ["--api-port", "0", "--cups-plain-port", "0", "--cups-port", "0"]
        files = ["--ready-file", str(ready_path), "--state-dir", folder]
        command = [sys.executable, "-m", "lorafw", "serve", *ports, *files]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                wait_for_file(ready_path)
                yield Lab(json.loads(ready_path.read_text()))
            finally:
                process.terminate()


def wait_for_file(path: Path) -> None:
    """Wait until a file exists. Raises TimeoutError after ``START_LIMIT_S``."""
    deadline = time.monotonic() + START_LIMIT_S
    while not path.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path} did not appear within {START_LIMIT_S} s")
        time.sleep(0.05)


def main() -> None:
    """Print one line for each cause. Exit with status 1 if a cause is not named."""
    wrong_count = 0
    with running_serve() as lab:
        for number, cause in enumerate(CAUSES, 1):
            text = lab.show(cause, GatewayEui(number))
            is_named = cause.expected in text and cause.unexpected not in text
            wrong_count += not is_named
            line = next((line.strip() for line in text.splitlines() if cause.expected in line), "NOT NAMED")
            print(f"{cause.name:32} {line}", flush=True)
            if not is_named:
                print(text)
    print(f"{len(CAUSES)} causes, {wrong_count} not named")
    sys.exit(wrong_count > 0)


if __name__ == "__main__":
    main()
