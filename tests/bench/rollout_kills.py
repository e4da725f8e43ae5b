"""Carry out a rollout to 500 gateways on a throttled lab, and end ``apply`` with kill -9 five times.

The lab is a real AWS API and CUPS service on loopback. Each operation of iotwireless allows ten calls a second; another
call is answered with ThrottlingException. The commands are real processes: ``plan``, ``apply``, ``status``, ``report``.
The gateways poll every 5 s. The rollout has a canary and two waves. It must end COMPLETED with one task for each
gateway, and the report must say who started it and when.

    python tests/bench/rollout_kills.py [--gateways 500] [--kills 5] [--seed 1]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lorafw import example
from lorafw.eui import GatewayEui
from lorafw.failures.names import ErrorReply, TransportFailure
from lorafw.failures.planned import ApiCall
from lorafw.firmware.image import build_image
from lorafw.firmware.signing import KeyPair, sign_update
from lorafw.gateway.provisioning import register_gateway, write_home
from lorafw.gateway.transport import InProcessTransport
from lorafw.gateway.virtual import VirtualGateway
from lorafw.localaws.cloud import Cloud
from lorafw.localaws.provisioning import create_bucket_and_role, upload_update
from lorafw.tasks.lifecycle import Cause
from lorafw.version import GatewayVersion

CALLS_PER_S = 10
POLL_S = 5.0
LIMIT_S = 900.0
PLAN = """\
[fleet]
gateways = {gateways}
period_s = {period}
gone = 0

[plan]
name = "canary and two waves"

[plan.update]
apply_s = 1

[[plan.waves]]
size = {canary}
bake_s = 10
again_s = 2
give_up_s = 600
gate = {{ kind = "threshold", success = 0.95, error = 0.05 }}

[[plan.waves]]
size = {second}
bake_s = 10
again_s = 2
give_up_s = 600
gate = {{ kind = "threshold", success = 0.95, error = 0.05 }}

[[plan.waves]]
size = {third}
bake_s = 5
again_s = 2
give_up_s = 600
gate = {{ kind = "threshold", success = 0.95, error = 0.05 }}
"""


@contextmanager
def throttled(cloud: Cloud, calls_per_s: int) -> Iterator[Counter[str]]:
    """Throttle the API. Yields how many calls of each operation were refused; the counter grows."""
    refused: Counter[str] = Counter()
    registry = cloud.failures
    decide = registry.failure_of

    def count(call: ApiCall) -> ErrorReply | TransportFailure | None:
        failure = decide(call)
        if failure is not None:
            refused[call.operation.name] += 1
        return failure

    registry.failure_of = count  # type: ignore[method-assign]
    registry.throttle(calls_per_s)
    try:
        yield refused
    finally:
        registry.clear()
        registry.failure_of = decide  # type: ignore[method-assign]


def add_gateways(cloud: Cloud, count: int, folder: Path, pair: KeyPair) -> list[VirtualGateway]:
    """Register gateways, write their home folders, and return the stations."""
    stations = []
    for number in range(count):
        eui = GatewayEui(example.GATEWAY_EUI.value + number)
        register_gateway(cloud.client("iotwireless"), eui, example.GATEWAY_NAME, example.RF_REGION)
        home = write_home(
            folder / eui.hex,
            eui=eui,
            cups_uri=cloud.cups.uri,
            package="1.0.0",
            sig_keys=[pair.public_key],
            interval_s=POLL_S,
        )
        stations.append(VirtualGateway(home, InProcessTransport(cloud.service)))
    return stations


@contextmanager
def polling(stations: list[VirtualGateway]) -> Iterator[None]:
    """Poll with all stations, each when its waiting time is over."""
    stop = threading.Event()
    start = time.monotonic()
    due = [start + number * POLL_S / len(stations) for number in range(len(stations))]

    def run() -> None:
        while not stop.is_set():
            number = min(range(len(stations)), key=due.__getitem__)
            if stop.wait(max(0.0, due[number] - time.monotonic())):
                return
            due[number] = time.monotonic() + stations[number].poll().wait_s

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def lorafw(environment: Mapping[str, str], folder: Path, *words: str) -> subprocess.Popen[str]:
    """Start a command of lorafw."""
    return subprocess.Popen(
        [sys.executable, "-m", "lorafw", "rollout", *words],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], status: int = 0) -> str:
    """Wait for a command and return what it printed."""
    out, err = process.communicate(timeout=LIMIT_S)
    if process.returncode != status:
        raise SystemExit(f"{process.args} ended with {process.returncode}:\n{out}\n{err}")
    return out


def write_inputs(cloud: Cloud, folder: Path, gateways: int, pair: KeyPair) -> None:
    """Write the plan and the definition, and put the update file into the bucket."""
    canary, second = max(1, gateways // 50), gateways // 5
    sizes = {"canary": canary, "second": second, "third": gateways - canary - second}
    (folder / "rollout.toml").write_text(PLAN.format(gateways=gateways, period=POLL_S, **sizes))
    update = build_image(package_version="1.0.1", files={}, restart="true")
    create_bucket_and_role(cloud.client)
    source = upload_update(cloud.client, update)
    signed = sign_update(pair, update)
    old = GatewayVersion(station=None, package="1.0.0", model=None)
    members = example.input_json(
        current_version=old,
        update_version=GatewayVersion(package="1.0.1"),
        signature=signed.signature,
        sig_key_crc=signed.key_crc,
        data_source=source,
    )
    (folder / "input.json").write_text(json.dumps(members))


def run_with_kills(environment: Mapping[str, str], folder: Path, kills: int, chance: random.Random) -> list[float]:
    """Run ``apply`` to its end. Kill it at random moments. Return how long each run lasted."""
    durations = []
    for _ in range(kills):
        process = lorafw(environment, folder, "apply")
        lifetime_s = chance.uniform(3, 20)
        try:
            process.wait(timeout=lifetime_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            durations.append(lifetime_s)
            continue
        raise SystemExit(f"apply ended before it was killed: {process.communicate()}")
    finish(lorafw(environment, folder, "apply"))
    return durations


def check(cloud: Cloud, report: dict[str, Any], gateways: int) -> None:
    """Check that each gateway got one task and is COMPLETED, and that the report says who and when."""
    created = Counter(row.gateway for row in cloud.service.log if row.cause is Cause.CREATED_MANUALLY)
    assert len(created) == gateways, f"{gateways - len(created)} gateways were forgotten"
    assert set(created.values()) == {1}, f"second tasks: {[eui for eui, count in created.items() if count > 1]}"
    assert report["state"] == "completed"
    assert report["counts"]["COMPLETED"] == gateways
    starts = [decision for decision in report["decisions"] if decision["decision"] == "apply started"]
    assert all(decision["actor"].startswith("arn:aws:") and decision["time"] for decision in starts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateways", type=int, default=500)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    pair = KeyPair.generate()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").exists() else None) as name, Cloud() as cloud:
        folder = Path(name)
        stations = add_gateways(cloud, arguments.gateways, folder / "homes", pair)
        write_inputs(cloud, folder, arguments.gateways, pair)
        start = time.monotonic()
        with throttled(cloud, CALLS_PER_S) as refused, polling(stations):
            environment = cloud.environment()
            finish(lorafw(environment, folder, "plan", "rollout.toml", "--definition", "input.json", "--lab"))
            planned_s = time.monotonic() - start
            lives = run_with_kills(environment, folder, arguments.kills, random.Random(arguments.seed))
            elapsed_s = time.monotonic() - start
        report = json.loads(finish(lorafw(environment, folder, "report", "--json")))
        check(cloud, report, arguments.gateways)
        starts = sum(decision["decision"] == "apply started" for decision in report["decisions"])
        print(f"{arguments.gateways} gateways COMPLETED with one task each in {elapsed_s:.0f} s")
        print(f"plan took {planned_s:.1f} s; apply was killed after {', '.join(f'{life:.1f}' for life in lives)} s")
        print(f"{starts} starts in the report; {sum(refused.values())} calls were throttled")


if __name__ == "__main__":
    main()
