"""End `lorafw serve --state-dir` with kill -9 at random moments of a rollout, and start it again.

The gateways are registered through the AWS API and poll over HTTPS with certificates of AWS IoT, from home folders that
are made once. One third of them fail to install the update at the first try. A ledger holds what each answered call
promised. After each restart it is compared with what the API says. At the end the task log is read from the database.

    python tests/bench/kills.py [--kills 100] [--gateways 50] [--seed 1]
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from lorafw import example
from lorafw.cups.credentials import Credentials
from lorafw.eui import GatewayEui
from lorafw.firmware.image import build_image
from lorafw.firmware.signing import KeyPair, sign_update
from lorafw.gateway.home import Home
from lorafw.gateway.provisioning import write_home
from lorafw.gateway.runner import install_only
from lorafw.gateway.storage import UpdateRun
from lorafw.gateway.transport import HttpTransport
from lorafw.gateway.virtual import VirtualGateway
from lorafw.localaws.provisioning import create_bucket_and_role
from lorafw.station.exchange import ExchangeOutcome
from lorafw.version import GatewayVersion

STATION, MODEL, OLD, NEW = "2.0.6(test)", "kills", "1.0.0", "1.0.1"
STATUSES = ("PENDING", "IN_PROGRESS", "FIRST_RETRY", "SECOND_RETRY", "COMPLETED")
CALLS_PER_LIFE = 16
"""Largest number of calls that are begun before a kill."""
START_LIMIT_S = 120.0
WORKERS = 4

Result = TypeVar("Result")


class Killed(Exception):
    """A call was not answered, because the server was killed."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A `lorafw serve` that is killed and started again, always at the same ports and in the same folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.ready = folder / "ready.json"
        self.api_port, self.cups_port = free_port(), free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "lorafw", "serve", "--no-plain", "--state-dir", str(self.state)]
        command += ["--api-port", str(self.api_port), "--cups-port", str(self.cups_port)]
        command += ["--ready-file", str(self.ready)]
        with (self.folder / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + START_LIMIT_S
        while not self.ready.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit((self.folder / "serve.log").read_text()[-2000:])
            time.sleep(0.01)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def client(self, service: str) -> Any:
        return boto3.client(
            service,  # type: ignore[call-overload]
            region_name=example.REGION,
            endpoint_url=f"http://127.0.0.1:{self.api_port}",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
            config=Config(retries={"total_max_attempts": 1}, read_timeout=30, connect_timeout=5),
        )


class Budget:
    """Lets a limited number of calls begin before each kill."""

    def __init__(self) -> None:
        self._calls = threading.Semaphore(0)
        self.is_over = threading.Event()
        self.is_used_up = threading.Event()

    def grant(self, calls: int) -> None:
        self.is_used_up.clear()
        for _ in range(calls):
            self._calls.release()

    def take(self) -> bool:
        """Wait until a call may begin. Returns False if the run is over."""
        while not self._calls.acquire(timeout=0.02):
            self.is_used_up.set()
            if self.is_over.is_set():
                return False
        return True


@dataclass
class Promise:
    """What the answered calls of one gateway have promised."""

    gateway_id: str | None = None
    arn: str | None = None
    certificate: dict[str, Any] | None = None
    is_associated: bool = False
    is_tagged: bool = False
    package: str | None = None
    """The package that it presented in the last answered poll."""
    status: str | None = None
    """The last status that the API answered."""
    deliveries: int = 0
    """Number of updates that the gateway has received whole."""


@dataclass
class Rollout:
    """The gateways of a rollout, and what was promised to them."""

    server: Server
    budget: Budget
    folder: Path
    gateways: int
    key: KeyPair
    endpoint: dict[str, Any]
    uri: str
    promises: list[Promise] = field(default_factory=list)
    virtual: dict[int, VirtualGateway] = field(default_factory=dict)
    locks: list[threading.Lock] = field(default_factory=list)
    lost_replies: int = 0

    def __post_init__(self) -> None:
        self.promises = [Promise() for _ in range(self.gateways)]
        self.locks = [threading.Lock() for _ in range(self.gateways)]

    # --- steps ---

    def call(self, function: Callable[..., Result], **arguments: Any) -> Result:
        """Make a call. Raises Killed if it is not answered."""
        try:
            return function(**arguments)
        except ClientError:
            raise
        except BotoCoreError as error:
            self.lost_replies += 1
            raise Killed from error

    def work(self, numbers: list[int]) -> None:
        """Take the next step of one gateway after the other until the run is over."""
        iotwireless, iot = self.server.client("iotwireless"), self.server.client("iot")
        position = 0
        while self.budget.take():
            number = numbers[position % len(numbers)]
            position += 1
            with self.locks[number]:
                try:
                    self.step(number, iotwireless, iot)
                except Killed:
                    time.sleep(0.01)

    def step(self, number: int, iotwireless: Any, iot: Any) -> None:
        promise = self.promises[number]
        if promise.gateway_id is None:
            self.register(number, promise, iotwireless)
        elif promise.certificate is None:
            promise.certificate = self.call(iot.create_keys_and_certificate, setAsActive=True)
        elif not promise.is_associated:
            certificate_id = promise.certificate["certificateId"]
            associate = iotwireless.associate_wireless_gateway_with_certificate
            self.call(associate, Id=promise.gateway_id, IotCertificateId=certificate_id)
            promise.is_associated = True
        elif not promise.is_tagged:
            tags = [{"Key": "wave", "Value": str(number % 5)}]
            self.call(iotwireless.tag_resource, ResourceArn=promise.arn, Tags=tags)
            promise.is_tagged = True
        else:
            self.poll(number, promise)

    def register(self, number: int, promise: Promise, iotwireless: Any) -> None:
        """Register a gateway. The token makes a repeated call harmless if the first answer was lost."""
        answer = self.call(
            iotwireless.create_wireless_gateway,
            LoRaWAN={"GatewayEui": f"{number + 1:016x}", "RfRegion": "EU868"},
            Name=f"gateway {number}",
            ClientRequestToken=f"register-{number}",
        )
        promise.gateway_id, promise.arn = answer["Id"], answer["Arn"]

    def poll(self, number: int, promise: Promise) -> None:
        gateway = self.virtual.get(number) or self.make_gateway(number, promise)
        package = gateway.home.read_package_version()
        result = gateway.poll()
        if result.exchange is ExchangeOutcome.DONE:
            promise.package = package
            promise.deliveries += result.update != "none"
        else:
            self.lost_replies += 1

    def make_gateway(self, number: int, promise: Promise) -> VirtualGateway:
        assert promise.certificate is not None
        credentials = Credentials(
            trust=self.endpoint["ServerTrust"].encode(),
            certificate=promise.certificate["certificatePem"].encode(),
            key=promise.certificate["keyPair"]["PrivateKey"].encode(),
        )
        home = write_home(
            self.folder / f"gateway-{number}",
            eui=GatewayEui(number + 1),
            cups_uri=self.uri,
            package=OLD,
            sig_keys=(self.key.public_key,),
            credentials=credentials,
        )
        runner = FailsOnce() if number % 3 == 0 else install_only
        gateway = VirtualGateway(home, HttpTransport(), station=STATION, model=MODEL, runner=runner)
        self.virtual[number] = gateway
        return gateway

    # --- what must hold after a restart ---

    def check(self, numbers: list[int]) -> list[str]:
        """Compare the promises to some gateways with the API. Returns what is wrong."""
        iotwireless, iot = self.server.client("iotwireless"), self.server.client("iot")
        problems = []
        for number in numbers:
            with self.locks[number]:
                promise = self.promises[number]
                if promise.gateway_id is not None:
                    problems += self.check_gateway(number, promise, iotwireless, iot)
        return problems

    def check_gateway(self, number: int, promise: Promise, iotwireless: Any, iot: Any) -> list[str]:
        found = iotwireless.get_wireless_gateway(Identifier=f"{number + 1:016x}", IdentifierType="GatewayEui")
        pairs = [("id", promise.gateway_id, found["Id"]), ("name", f"gateway {number}", found["Name"])]
        if promise.certificate is not None:
            certificate_id = promise.certificate["certificateId"]
            stored = iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
            pairs.append(("certificate", promise.certificate["certificatePem"], stored["certificatePem"]))
            pairs.append(("certificate status", "ACTIVE", stored["status"]))
        if promise.is_associated:
            bound = iotwireless.get_wireless_gateway_certificate(Id=promise.gateway_id)
            pairs.append(("association", certificate_id, bound["IotCertificateId"]))
        if promise.is_tagged:
            tags = iotwireless.list_tags_for_resource(ResourceArn=promise.arn)["Tags"]
            pairs.append(("tags", [{"Key": "wave", "Value": str(number % 5)}], tags))
        if promise.package is not None:
            pairs += self.check_rollout(promise, iotwireless)
        return [f"gateway {number}: {what} is {is_so}, was {was}" for what, was, is_so in pairs if was != is_so]

    def check_rollout(self, promise: Promise, iotwireless: Any) -> list[tuple[str, Any, Any]]:
        """Return what was promised and what is, for the firmware and the task of a gateway that was answered."""
        firmware = iotwireless.get_wireless_gateway_firmware_information(Id=promise.gateway_id)
        package = firmware["LoRaWAN"]["CurrentVersion"]["PackageVersion"]
        status = iotwireless.get_wireless_gateway_task(Id=promise.gateway_id)["Status"]
        was, promise.status = promise.status or "PENDING", status
        return [
            # A request may have been recorded whose answer was lost.
            ("package", True, package in (promise.package, NEW)),
            ("status", True, STATUSES.index(status) >= STATUSES.index(was)),
            ("deliveries", True, promise.deliveries == 0 or status != "PENDING"),
        ]


class FailsOnce:
    """Runs an update, but the first one fails."""

    def __init__(self) -> None:
        self.has_failed = False

    def __call__(self, home: Home, update_bin: Path) -> UpdateRun:
        if self.has_failed:
            return install_only(home, update_bin)
        self.has_failed = True
        update_bin.unlink()
        return UpdateRun(())


def set_up(server: Server, folder: Path, gateways: int) -> tuple[Rollout, dict[str, Any]]:
    """Create the bucket, the role, the update and its definition. Returns the rollout and what it stands on."""
    key = KeyPair.generate()
    update = build_image(package_version=NEW, files={"station": random.randbytes(200_000)})
    create_bucket_and_role(server.client)
    put = server.client("s3").put_object(Bucket=example.BUCKET, Key=example.KEY, Body=update)
    signature = sign_update(key, update)
    current = GatewayVersion(STATION, OLD, MODEL)
    arguments = example.input_json(
        signature=signature.signature,
        sig_key_crc=signature.key_crc,
        current_version=current,
        update_version=GatewayVersion(STATION, NEW, MODEL),
    )
    iotwireless = server.client("iotwireless")
    definition = iotwireless.create_wireless_gateway_task_definition(**arguments)
    endpoint = iotwireless.get_service_endpoint(ServiceType="CUPS")
    rollout = Rollout(server, Budget(), folder, gateways, key, endpoint, endpoint["ServiceEndpoint"])
    base = {"version": put["VersionId"], "definition": definition["Id"], "update": update}
    return rollout, base


def check_base(server: Server, base: dict[str, Any], endpoint: dict[str, Any]) -> list[str]:
    """Return what is wrong with the bucket, the role, the definition and the server's identity."""
    s3, iam, iotwireless = (server.client(name) for name in ("s3", "iam", "iotwireless"))
    found = s3.get_object(Bucket=example.BUCKET, Key=example.KEY, VersionId=base["version"])
    policy = iam.get_role_policy(RoleName=example.ROLE_NAME, PolicyName="ReadFwUpdate")
    definition = iotwireless.get_wireless_gateway_task_definition(Id=base["definition"])
    now = iotwireless.get_service_endpoint(ServiceType="CUPS")
    holds = {
        "object": found["Body"].read() == base["update"],
        "policy": policy["PolicyDocument"] == json.loads(example.permission_policy()),
        "definition": definition["Name"] == example.DEFINITION_NAME,
        "CA": now["ServerTrust"] == endpoint["ServerTrust"],
        "address": now["ServiceEndpoint"] == endpoint["ServiceEndpoint"],
    }
    return [f"{what} has changed" for what, is_so in holds.items() if not is_so]


def check_log(state: Path, gateways: int) -> list[str]:
    """Return what is wrong with the task log: each gateway has one task, which was completed once."""
    with sqlite3.connect(state / "state.sqlite3") as connection:
        rows = connection.execute("SELECT gateway, from_status, to_status, cause FROM log ORDER BY number").fetchall()
    created = Counter(gateway for gateway, before, _, _ in rows if before is None)
    completed = Counter(gateway for gateway, before, after, _ in rows if before != after == "COMPLETED")
    problems = []
    for number in range(gateways):
        counts = created[f"{number + 1:016x}"], completed[f"{number + 1:016x}"]
        if counts != (1, 1):
            problems.append(f"gateway {number}: {counts[0]} tasks, completed {counts[1]} times")
    deleted = sum(after is None for _, _, after, _ in rows)
    return problems + [f"{deleted} tasks were deleted"] * bool(deleted)


def run(kills: int, gateways: int, seed: int) -> dict[str, Any]:
    """Run a rollout with kills. Returns the figures and all problems."""
    draw = random.Random(seed)
    problems: list[str] = []
    restarts_s: list[float] = []
    with tempfile.TemporaryDirectory(prefix="lorafw-kills-") as name:
        folder = Path(name)
        server = Server(folder)
        server.start()
        rollout, base = set_up(server, folder, gateways)
        shares = [list(range(first, gateways, WORKERS)) for first in range(WORKERS)]
        with ThreadPoolExecutor(WORKERS) as pool:
            workers = [pool.submit(rollout.work, share) for share in shares if share]
            try:
                for number in range(kills):
                    rollout.budget.grant(draw.randint(1, CALLS_PER_LIFE))
                    rollout.budget.is_used_up.wait(30)
                    rollout.budget.grant(WORKERS)
                    time.sleep(draw.uniform(0, 0.08))
                    server.kill()
                    started = time.monotonic()
                    server.start()
                    restarts_s.append(time.monotonic() - started)
                    problems += check_base(server, base, rollout.endpoint)
                    is_last = number == kills - 1
                    checked = list(range(gateways)) if is_last else draw.sample(range(gateways), min(10, gateways))
                    problems += [f"after kill {number + 1}: {text}" for text in rollout.check(checked)]
                finish(rollout, gateways)
            finally:
                rollout.budget.is_over.set()
            for worker in workers:
                worker.result()
        problems += [f"at the end: {text}" for text in rollout.check(list(range(gateways)))]
        statuses = Counter(promise.status for promise in rollout.promises)
        server.kill()
        problems += check_log(server.state, gateways)
    return {
        "kills": kills,
        "gateways": gateways,
        "statuses": dict(statuses),
        "calls without an answer": rollout.lost_replies,
        "median restart, s": round(sorted(restarts_s)[len(restarts_s) // 2], 2),
        "problems": problems,
    }


def finish(rollout: Rollout, gateways: int) -> None:
    """Let the rollout go on without kills until each gateway has the new version, or does not get it."""
    for _ in range(12):
        if all(promise.package == NEW for promise in rollout.promises):
            return
        rollout.budget.grant(gateways)
        rollout.budget.is_used_up.wait(60)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--gateways", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    result = run(options.kills, options.gateways, options.seed)
    print(json.dumps(result, indent=2))
    is_complete = result["statuses"] == {"COMPLETED": options.gateways}
    return 0 if is_complete and not result["problems"] else 1


if __name__ == "__main__":
    sys.exit(main())
