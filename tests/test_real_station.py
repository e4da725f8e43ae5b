"""One home folder, used by lorafw's virtual gateway and, if there is one, by the real Basics Station.

Both are processes of their own that are told nothing but the folder, and go through a whole update over mutual TLS. For
the real one set LORAFW_STATION to its program; it is started as ``station -N -h HOME -t HOME``, its intervals shortened
by environment variables, so that the folder stays as ``gateway init`` wrote it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lorafw import example
from lorafw.eui import GatewayEui
from lorafw.firmware.signing import KeyPair, sign_update
from lorafw.gateway.provisioning import enrol
from lorafw.localaws.cloud import Cloud
from lorafw.localaws.provisioning import create_bucket_and_role, upload_update

STATION = os.environ.get("LORAFW_STATION")
LEFT_OVER = Path("/tmp/update.bin")
KEY = KeyPair.from_secret(5)
UPDATE = b"""#!/bin/sh
rm -f /tmp/update.bin
printf '1.0.1\\n' >"$STATION_HOME/version.txt"
"""
real = pytest.mark.skipif(STATION is None, reason="set LORAFW_STATION=/path/to/station to run the real client")


def virtual_station(home: Path) -> list[str]:
    return [sys.executable, "-m", "lorafw", "gateway", "run", str(home), "--interval", "1", "--exec"]


def real_station(home: Path) -> list[str]:
    return [str(STATION), "-N", "-h", str(home), "-t", str(home)]


@contextmanager
def running(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    intervals = {"CUPS_OKSYNC_INTV": '"2s"', "CUPS_RESYNC_INTV": '"1s"'}
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=os.environ | intervals)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.mark.parametrize("station", [virtual_station, pytest.param(real_station, marks=real)])
def test_a_station_goes_through_the_whole_update_from_the_home_as_init_wrote_it(
    tmp_path: Path, station: Callable[[Path], list[str]]
) -> None:
    assert not LEFT_OVER.exists(), f"{LEFT_OVER} is there: a station runs it when it starts; look at it, and remove it"
    home, log = tmp_path / "home", tmp_path / "station.log"
    with Cloud(cups_tls_port=0, state_dir=tmp_path / "state") as cloud:
        wireless = cloud.client("iotwireless")
        enrolled = enrol(
            home, cloud.client, eui=GatewayEui.parse("58a0cbfffe800001"), name="station", rf_region="US915",
            package="1.0.0", sig_keys=[KEY.public_key],
        )  # fmt: skip
        gateway = enrolled.registration.id
        before = {path.name: path.read_bytes() for path in home.iterdir()}
        create_bucket_and_role(cloud.client)
        upload_update(cloud.client, UPDATE)

        def presented() -> dict[str, str]:
            found = wireless.get_wireless_gateway_firmware_information(Id=gateway)
            return found["LoRaWAN"].get("CurrentVersion", {})

        def status() -> str | None:
            try:
                return wireless.get_wireless_gateway_task(Id=gateway)["Status"]
            except wireless.exceptions.ResourceNotFoundException:
                return None

        def wait_until(is_so: Callable[[], object]) -> None:
            deadline = time.monotonic() + 60
            while not is_so():
                assert time.monotonic() < deadline, f"{presented()} {status()}\n{log.read_text()}"
                time.sleep(0.2)

        with running(station(home), log):
            wait_until(presented)
            signed = sign_update(KEY, UPDATE)
            definition = example.input_json(signature=signed.signature, sig_key_crc=signed.key_crc)
            definition["Update"]["LoRaWAN"]["CurrentVersion"] = presented()
            wireless.create_wireless_gateway_task_definition(**definition)
            wait_until(lambda: status() == "COMPLETED")
        assert presented()["PackageVersion"] == "1.0.1"
        assert cloud.cups_tls is not None
        assert not cloud.cups_tls.tally.counts
    text = log.read_text()
    assert "Connecting to CUPS ... https://localhost:" in text
    assert "ECDSA key#0 -> VERIFIED" in text
    after = {name: (home / name).read_bytes() for name in before}
    assert after == before | {"version.txt": b"1.0.1\n"}
    assert not LEFT_OVER.exists()
