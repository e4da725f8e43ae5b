"""Measure the time to open a testbed, the time of a rollout to a large fleet, and the cost of one offered update.

    python tests/bench/testbed_size.py                # all three
    python tests/bench/testbed_size.py --only offer

Opening is compared with moto alone, which creates the same bucket, role, policy and gateways. The other two are
compared with commit 6db2304, in which each offer made clients and calls. That commit is checked out into a temporary
worktree. Each figure is a ratio of medians of runs that take turns, each in a process of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
EARLIER_COMMIT = "6db2304"
ROUNDS = 3
FLEET = 3000
EARLIER_FLEET = 100
DAY_S = 86_400
OPENINGS = 3
"""Openings in one process. The first one, which imports moto and boto3, does not count."""


def seconds_of(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def open_testbed() -> None:
    from lorafw import Testbed

    with Testbed(gateways=3):
        pass


def open_moto() -> None:
    """Do with moto and boto3 what opening a testbed does, as a script would."""
    import boto3
    from moto import mock_aws

    from lorafw import example, register
    from lorafw.eui import GatewayEui

    register()
    with mock_aws():
        s3, iam, iot = (boto3.client(name, region_name=example.REGION) for name in ("s3", "iam", "iotwireless"))
        s3.create_bucket(Bucket=example.BUCKET)
        s3.put_bucket_versioning(Bucket=example.BUCKET, VersioningConfiguration={"Status": "Enabled"})
        iam.create_role(RoleName=example.ROLE_NAME, AssumeRolePolicyDocument=example.TRUST_POLICY)
        policy = example.permission_policy(key="*")
        iam.put_role_policy(RoleName=example.ROLE_NAME, PolicyName="ReadFwUpdate", PolicyDocument=policy)
        for index in range(3):
            eui = GatewayEui(example.GATEWAY_EUI.value + index)
            lorawan = {"GatewayEui": eui.hex, "RfRegion": example.RF_REGION}
            iot.create_wireless_gateway(Name=example.GATEWAY_NAME, LoRaWAN=lorawan)


def opening() -> dict[str, float]:
    """Seconds of an opening of each kind, in turns."""
    times: dict[str, list[float]] = {"testbed": [], "moto": []}
    for _ in range(OPENINGS + 1):
        times["testbed"].append(seconds_of(open_testbed))
        times["moto"].append(seconds_of(open_moto))
    return {name: statistics.median(found[1:]) for name, found in times.items()}


def roll_out(gateways: int) -> None:
    """Open a testbed and update all its gateways in three days of daily polls."""
    from lorafw import Testbed

    with Testbed(gateways=gateways, interval_s=DAY_S) as bed:
        bed.define_update("1.0.1")
        bed.advance(3 * DAY_S)
        statuses = {str(bed.service.task(bed.owner, gateway.id).status) for gateway in bed.gateways}
        assert statuses == {"COMPLETED"}, statuses
        assert len(bed.log) == 3 * gateways


def rollout(gateways: int) -> dict[str, float]:
    """Seconds and seconds of the processor for each gateway, after a small rollout that imports everything."""
    roll_out(1)
    start = time.process_time()
    elapsed = seconds_of(lambda: roll_out(gateways))
    return {"seconds": elapsed / gateways, "cpu": (time.process_time() - start) / gateways}


def offer() -> dict[str, float]:
    """The median time of a poll in which a gateway receives and installs an update."""
    from lorafw import Testbed

    with Testbed(gateways=20) as bed:
        bed.define_update("1.0.1")
        bed.poll(0)
        times, cpu = [], []
        for index in range(1, 20):
            start = time.process_time()
            times.append(seconds_of(lambda index=index: bed.poll(index)))
            cpu.append(time.process_time() - start)
            assert (bed.gateways[index].home.path / "version.txt").read_text().strip() == "1.0.1"
    return {"seconds": statistics.median(times), "cpu": statistics.median(cpu)}


MEASUREMENTS: dict[str, Callable[..., dict[str, float]]] = {"open": opening, "rollout": rollout, "offer": offer}


def measure(name: str, *arguments: int, source: Path = ROOT) -> dict[str, float]:
    """Measure in a process of its own, with the lorafw that is in ``source``."""
    command = [sys.executable, "-P", str(Path(__file__)), "--measure", name, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(source)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{name} in {source} failed:\n{done.stderr}")
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


@contextlib.contextmanager
def earlier_worktree() -> Iterator[Path]:
    """Check out EARLIER_COMMIT into a temporary folder."""
    from lorafw.scratch import scratch_folder  # not at the top: EARLIER_COMMIT has no such module

    with scratch_folder("lorafw-bench-", in_memory=True) as folder:
        path = folder / "earlier"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run(
            [*git, "add", "--detach", "--no-checkout", str(path), EARLIER_COMMIT], check=True, stderr=subprocess.DEVNULL
        )
        try:
            subprocess.run(["git", "-C", str(path), "checkout", EARLIER_COMMIT, "--", "lorafw"], check=True)
            yield path
        finally:
            subprocess.run([*git, "remove", "--force", str(path)], check=True)


def compare_opening() -> None:
    runs = [measure("open") for _ in range(ROUNDS)]
    testbed, moto = (statistics.median(run[name] for run in runs) for name in ("testbed", "moto"))
    print(f"opening a testbed with three gateways: {testbed / moto:.2f} times moto alone", end=" ")
    print(f"({testbed * 1000:.0f} and {moto * 1000:.0f} ms); at most 1.5")


def compare_with_earlier(name: str, what: str, now: tuple[int, ...], then: tuple[int, ...], rounds: int) -> None:
    """Print how many times less a measurement takes than in EARLIER_COMMIT."""
    runs: dict[str, list[dict[str, float]]] = {"now": [], "then": []}
    with earlier_worktree() as earlier:
        for _ in range(rounds):
            runs["then"].append(measure(name, *then, source=earlier))
            runs["now"].append(measure(name, *now))
    for unit in ("seconds", "cpu"):
        ours, theirs = (statistics.median(run[unit] for run in runs[side]) for side in ("now", "then"))
        figures = f"{ours * 1000:.2f} and {theirs * 1000:.1f} ms"
        print(f"{what}, {unit}: a {theirs / ours:.1f}th of {EARLIER_COMMIT}'s ({figures}); at most a 20th")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=MEASUREMENTS)
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        name, *arguments = options.measure
        print(json.dumps(MEASUREMENTS[name](*map(int, arguments))))
        return
    chosen = [options.only] if options.only else list(MEASUREMENTS)
    if "open" in chosen:
        compare_opening()
    if "offer" in chosen:
        compare_with_earlier("offer", "one offered update", (), (), ROUNDS)
    if "rollout" in chosen:
        what = f"each of {FLEET} gateways in three days with daily polls, beside {EARLIER_FLEET}"
        compare_with_earlier("rollout", what, (FLEET,), (EARLIER_FLEET,), ROUNDS)


if __name__ == "__main__":
    main()
