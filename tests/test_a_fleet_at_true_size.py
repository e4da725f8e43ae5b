"""In a testbed with many gateways, the work for one gateway stays the same, and so do the results."""

from __future__ import annotations

import json
import os
from collections import namedtuple
from pathlib import Path

import pytest

from lorafw import Testbed, example
from lorafw.errors import LabError
from lorafw.gateway.home import Home
from lorafw.gateway.provisioning import station_conf
from lorafw.gateway.station_steps import GatewayLog
from lorafw.scratch import MEMORY_FOLDER, MIN_FREE_MEMORY_BYTES, scratch_folder
from lorafw.testbed import aws_side, own_calls

DAY_S = 86_400


def test_a_rollout_to_sixty_gateways_changes_each_task_as_that_of_one_gateway() -> None:
    logs = []
    for count in (1, 60):
        with Testbed(gateways=count, interval_s=DAY_S) as bed:
            bed.define_update("1.0.1")
            bed.advance(3 * DAY_S)
            logs.append(bed.log)
            euis = [gateway.eui.hex for gateway in bed.gateways]
    expected = [(row.time, row.to_status, row.cause) for row in logs[0]]
    assert [row.to_status for row in logs[0]] == ["PENDING", "IN_PROGRESS", "COMPLETED"]
    for eui in euis:
        assert [(row.time, row.to_status, row.cause) for row in logs[1] if row.gateway == eui] == expected


def test_gateways_are_registered_without_a_client_and_openings_share_those_of_the_testbed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[str] = []

    def counted(service: str, *, region: str, **_: object) -> object:
        made.append(service)
        return make_client(service, region=region)

    make_client = own_calls.make_client
    monkeypatch.setattr(own_calls, "make_client", counted)
    monkeypatch.setattr(aws_side, "make_client", counted)
    own_calls.own_client.cache_clear()
    for _ in range(2):
        with Testbed(gateways=20) as bed:
            bed.define_update("1.0.1")
            bed.upload(b"other", "other")
            assert len(bed.service.gateways(bed.owner)) == 20
    assert sorted(made) == ["iam", "iotwireless", "s3"]


def test_a_client_of_the_testbeds_own_calls_is_not_given_out() -> None:
    with Testbed(gateways=0) as bed:
        assert bed.client("s3") is not bed._own_clients.get("s3", bed.owner)
    with pytest.raises(LabError, match="not open"):
        bed._own_clients.get("s3", bed.owner)


def test_ids_are_those_of_a_script_that_registers_its_gateways_with_boto3() -> None:
    with Testbed(gateways=3) as bed:
        ids = [gateway.id for gateway in bed.gateways]
        definition = bed.define_update("1.0.1")
    with Testbed(gateways=0) as bed:
        iot = bed.client("iotwireless")
        for index, expected in enumerate(ids):
            lorawan = {"GatewayEui": f"{example.GATEWAY_EUI.value + index:016x}", "RfRegion": example.RF_REGION}
            assert iot.create_wireless_gateway(LoRaWAN=lorawan)["Id"] == expected
        assert bed.define_update("1.0.1") == definition


def test_gateways_poll_in_the_order_of_their_times_and_then_in_that_in_which_they_were_added() -> None:
    with Testbed(gateways=3, interval_s=10) as bed:
        bed.advance(4)
        late = bed.add_gateway("5a11b0a85a11c000")
        seen: list[tuple[int, int]] = []
        for index, gateway in enumerate(bed.gateways):
            gateway.log.clear()
            gateway.virtual._log = GatewayLog(
                bed.clock, lambda line, index=index: seen.append((bed.clock.now_ms(), index))
            )
        assert late.next_poll_ms == bed.clock.now_ms()
        start_ms = bed.clock.now_ms()
        bed.advance(17)
        polls = [((time_ms - start_ms) // 1000, index) for time_ms, index in dict.fromkeys(seen)]
        assert polls == [(0, 3), (6, 0), (6, 1), (6, 2), (10, 3), (16, 0), (16, 1), (16, 2)]


def test_a_silent_gateway_is_left_out_until_a_poll_succeeds() -> None:
    with Testbed(gateways=2, interval_s=10) as bed:
        broken, other = bed.gateways
        conf = (broken.home.path / "station.conf").read_text()
        broken.home.write("station.conf", "{")
        bed.advance(30)
        assert broken.is_silent
        assert other.next_poll_ms == bed.clock.now_ms() + 10_000
        lines = len(broken.log)
        broken.home.write("station.conf", conf)
        bed.advance(30)
        assert len(broken.log) == lines, "a station that did not start does not poll by itself"
        bed.poll(broken)
        assert broken.next_poll_ms == bed.clock.now_ms() + 10_000
        bed.advance(10)
        assert len(broken.log) > lines


def test_a_changed_file_counts_at_the_next_poll_even_if_its_size_and_time_are_the_same(tmp_path: Path) -> None:
    home = Home(tmp_path)
    path = home.write("station.conf", station_conf(example.GATEWAY_EUI, interval_s=10))
    assert home.read_conf().timers.oksync_s == 10
    before = path.stat()
    path.write_text(path.read_text().replace("10000ms", "20000ms"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert home.read_conf().timers.oksync_s == 20


def test_what_a_conf_refers_to_counts_at_the_next_poll(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    home.write("station.conf", json.dumps({"station_conf": {"routerid": "router.txt", "euiprefix": "::0"}}))
    home.write("router.txt", "1111222233334444")
    assert home.read_conf().eui.hex == "1111222233334444"
    home.write("router.txt", "5555666677778888")
    assert home.read_conf().eui.hex == "5555666677778888"
    monkeypatch.setenv("CUPS_OKSYNC_INTV", '"90s"')
    assert home.read_conf().timers.oksync_s == 90
    monkeypatch.delenv("CUPS_OKSYNC_INTV")
    assert home.read_conf().timers.oksync_s == DAY_S


def test_each_file_is_read_once_in_a_poll_and_anew_in_the_next(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.write("version.txt", "1.0.0")
    with home.reading_once():
        assert home.read_package_version() == "1.0.0"
        home.write("version.txt", "1.0.1")
        assert home.read_package_version() == "1.0.0"
    assert home.read_package_version() == "1.0.1"


USAGE = namedtuple("USAGE", "total used free")


@pytest.mark.skipif(not MEMORY_FOLDER.is_dir(), reason="this system has no folder in memory")
@pytest.mark.parametrize(
    ("free_bytes", "chosen", "in_memory"),
    [(MIN_FREE_MEMORY_BYTES, "", True), (MIN_FREE_MEMORY_BYTES - 1, "", False), (MIN_FREE_MEMORY_BYTES, "own", False)],
    ids=["enough room", "little room", "TMPDIR is set"],
)
def test_homes_are_in_memory_if_there_is_room_and_the_user_has_chosen_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_bytes: int, chosen: str, in_memory: bool
) -> None:
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    if chosen:
        monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("shutil.disk_usage", lambda _: USAGE(free_bytes, 0, free_bytes))
    with scratch_folder("lorafw-test-", in_memory=True) as folder:
        assert folder.is_relative_to(MEMORY_FOLDER) is in_memory
    assert not folder.exists()
