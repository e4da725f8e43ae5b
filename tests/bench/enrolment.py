"""Interrupt ``gateway init`` in every way, and run it again at a second server and at the first one.

Each try runs the command in a process of its own, ends it (a signal at a random moment, kill -9, a full disk, or a
second run beside it in the same or in another folder), and runs it again: at a second server where somebody else has
registered the same EUI, perhaps with another EUI or from a moved folder, and at last at the first server with the same
settings. Both servers are real ``lorafw serve`` processes. A try fails if anything is gone or changed that the command
had not made, if anything that it made is left over, or if there is no home folder in the end that works.

    python tests/bench/enrolment.py [--tries 100] [--seed 1]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import botocore.config

from lorafw.cli import main
from lorafw.gateway.home import Home
from lorafw.gateway.transport import HttpTransport
from lorafw.gateway.virtual import VirtualGateway
from lorafw.station.exchange import ExchangeOutcome

EUI, OTHER_EUI = "58a0cbfffe800001", "58a0cbfffe800002"
ENDS = ("SIGTERM", "SIGHUP", "SIGINT", "SIGKILL", "full disk", "same folder at once", "other folder at once")
DETOURS = ("second server", "another EUI", "moved folder")
START_LIMIT_S = 60.0

State = dict[str, Any]


@dataclass(frozen=True)
class Server:
    """A ``lorafw serve`` process."""

    environment: Mapping[str, str]

    def client(self, name: str) -> Any:
        return boto3.client(
            name,  # type: ignore[call-overload]
            region_name=self.environment["AWS_DEFAULT_REGION"],
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
            config=botocore.config.Config(proxies={}),
        )

    def state(self) -> State:
        """Everything that the API shows of gateways and certificates."""
        wireless, iot = self.client("iotwireless"), self.client("iot")
        state: State = {}
        for listed in wireless.list_wireless_gateways()["WirelessGatewayList"]:
            gateway = wireless.get_wireless_gateway(Identifier=listed["Id"], IdentifierType="WirelessGatewayId")
            gateway.pop("ResponseMetadata")
            state[listed["Id"]] = gateway, _bound(wireless, listed["Id"])
        for certificate in iot.list_certificates()["certificates"]:
            state[certificate["certificateId"]] = certificate["status"]
        return state

    def delete_new(self, before: State) -> None:
        wireless, iot = self.client("iotwireless"), self.client("iot")
        for name, value in self.state().items():
            if name in before:
                continue
            if isinstance(value, tuple):
                wireless.delete_wireless_gateway(Id=name)
            else:
                iot.update_certificate(certificateId=name, newStatus="INACTIVE")
                iot.delete_certificate(certificateId=name)

    def register(self, eui: str) -> None:
        """Register a gateway with a certificate, as another admin does."""
        wireless = self.client("iotwireless")
        gateway_id = wireless.create_wireless_gateway(LoRaWAN={"GatewayEui": eui, "RfRegion": "EU868"})["Id"]
        certificate_id = self.client("iot").create_keys_and_certificate(setAsActive=True)["certificateId"]
        wireless.associate_wireless_gateway_with_certificate(Id=gateway_id, IotCertificateId=certificate_id)


def _bound(wireless: Any, gateway_id: str) -> str | None:
    try:
        certificate_id: str = wireless.get_wireless_gateway_certificate(Id=gateway_id)["IotCertificateId"]
    except wireless.exceptions.ResourceNotFoundException:
        return None
    return certificate_id


@contextmanager
def serving(folder: Path, count: int = 2) -> Iterator[list[Server]]:
    """Start servers, all at once, and stop them at the end."""
    processes = []
    try:
        for number in range(count):
            words = ["serve", "--api-port", "0", "--cups-plain-port", "0", "--cups-port", "0"]
            words += ["--state-dir", str(folder / f"state-{number}"), "--ready-file", str(folder / f"{number}.json")]
            command = [sys.executable, "-m", "lorafw", *words]
            processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        yield [Server(_read_when_ready(folder / f"{number}.json")) for number in range(count)]
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


def _read_when_ready(path: Path) -> dict[str, str]:
    deadline = time.monotonic() + START_LIMIT_S
    while not path.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"no server wrote {path} within {START_LIMIT_S} s")
        time.sleep(0.05)
    environment: dict[str, str] = json.loads(path.read_text())["environment"]
    return environment


def start(server: Server, home: Path, eui: str = EUI, free_bytes: int | None = None) -> int:
    """Start ``lorafw gateway init`` in a process of its own. Forking saves the time of the imports."""
    child = os.fork()
    if child:
        return child
    status = 70
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        os.environ.update(server.environment)
        if free_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (free_bytes, free_bytes))
        main(["gateway", "init", str(home), "--eui", eui])
    except SystemExit as end:
        status = int(end.code or 0)
    except BaseException:
        pass
    finally:
        os._exit(status)


def wait(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run(server: Server, home: Path, eui: str = EUI) -> int:
    return wait(start(server, home, eui))


class Failed(Exception):
    """What went wrong in a try."""


def one_try(servers: list[Server], folder: Path, how: str, detour: str, luck: random.Random, usual_s: float) -> str:
    """Do one try. Return what became of it. Raises Failed."""
    first, second = servers[0], servers[-1]
    before = [server.state() for server in servers]
    home, beside = folder / "home", folder / "beside"
    _end_in_some_way(first, home, beside, how, luck, usual_s)
    was_left = (home / "init.json").exists()
    if detour == "second server":
        run(second, home)
    elif detour == "another EUI" and was_left:
        if run(first, home, OTHER_EUI) == 0:
            raise Failed("the journal of one EUI did not keep another one out")
    elif detour == "moved folder" and was_left:
        home.rename(folder / "moved")
        if run(first, folder / "moved") == 0:
            raise Failed("a moved journal was used")
        (folder / "moved").rename(home)
    _check_untouched(before, servers)
    if second is not first and second.state() != before[-1]:
        raise Failed("something was made at the second server")
    if not (beside / "station.conf").exists():
        run(first, home)
    _check_result(first, before[0], [home, beside])
    _check_untouched(before, servers)
    first.delete_new(before[0])
    return "left a journal" if was_left else "ended clean"


def _end_in_some_way(first: Server, home: Path, beside: Path, how: str, luck: random.Random, usual_s: float) -> None:
    if how == "full disk":
        wait(start(first, home, free_bytes=luck.randrange(3000)))
        return
    if how.endswith("at once"):
        children = [start(first, home)]
        time.sleep(luck.uniform(0, usual_s / 2))
        children.append(start(first, home if how.startswith("same") else beside))
        for child in children:
            wait(child)
        return
    child = start(first, home)
    time.sleep(luck.uniform(0, usual_s))
    os.kill(child, getattr(signal, how))
    wait(child)


def _check_untouched(before: list[State], servers: list[Server]) -> None:
    for known, server in zip(before, servers, strict=True):
        now = server.state()
        for name, value in known.items():
            if now.get(name) != value:
                raise Failed(f"{name} was {value} and is {now.get(name)}")


def _check_result(server: Server, before: State, homes: list[Path]) -> None:
    """One gateway, one certificate, one home that works, and no file of an earlier run."""
    made = {name: value for name, value in server.state().items() if name not in before}
    if sorted(isinstance(value, tuple) for value in made.values()) != [False, True]:
        raise Failed(f"one gateway and one certificate were expected, and there are {made}")
    complete = [home for home in homes if (home / "station.conf").exists()]
    if len(complete) != 1:
        raise Failed(f"one home folder was expected, and there are {complete}")
    names = sorted(path.name for path in complete[0].iterdir())
    if names != ["cups.crt", "cups.key", "cups.trust", "cups.uri", "station.conf", "version.txt"]:
        raise Failed(f"the home folder holds {names}")
    if VirtualGateway(Home(complete[0]), HttpTransport()).poll().exchange is not ExchangeOutcome.DONE:
        raise Failed("the home folder does not work")


def measure(
    tries: int, seed: int, ends: tuple[str, ...] = ENDS, detours: tuple[str, ...] = DETOURS, server_count: int = 2
) -> Counter[str]:
    """Make all tries. Raises Failed with the try that failed."""
    luck = random.Random(seed)
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="lorafw-bench-") as name, serving(Path(name), server_count) as servers:
        for server in servers:
            server.register(OTHER_EUI if server is servers[0] else EUI)
        usual_s = _usual_s(servers[0], Path(name))
        for number in range(tries):
            how, detour = ends[number % len(ends)], luck.choice(detours)
            folder = Path(name) / str(number)
            folder.mkdir()
            try:
                outcome = one_try(servers, folder, how, detour, luck, usual_s)
            except Failed as failure:
                raise Failed(f"try {number} of seed {seed} ({how}, then {detour}): {failure}") from failure
            outcomes[f"{how}: {outcome}"] += 1
    return outcomes


def _usual_s(server: Server, folder: Path) -> float:
    before, started = server.state(), time.monotonic()
    if run(server, folder / "usual") != 0:
        raise Failed("an undisturbed run fails")
    usual_s = time.monotonic() - started
    server.delete_new(before)
    return usual_s


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    counted = measure(options.tries, options.seed)
    for words, times in sorted(counted.items()):
        print(f"{times:4}  {words}")
    print(f"{counted.total()} tries: nothing deleted or left over that should not be")
