"""Faults that meet other definitions, another gateway, or a socket: each test has a testbed of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from beds import BROKEN_REPLY, by_name, causes, polls, wait_until_sent

from lorafw.eui import GatewayEui
from lorafw.faults import Fault
from lorafw.fleet.simulation import codes
from lorafw.gateway.faults import injection
from lorafw.gateway.faults.install import OtherBuildTime
from lorafw.gateway.virtual import STATION
from lorafw.station.exchange import ExchangeOutcome, UpdateAction
from lorafw.tasks.lifecycle import Cause, TaskStatus
from lorafw.testbed import Testbed

NAMES = [fault for fault in Fault if fault is not Fault.NONE]


@pytest.fixture
def bed() -> Iterator[Testbed]:
    with Testbed() as bed:
        bed.define_update("1.0.1")
        yield bed


def test_the_simulator_and_the_virtual_gateway_speak_of_the_same_faults() -> None:
    assert codes.Fault is Fault
    assert len({fault.value for fault in Fault}) == 16
    with Testbed(gateways=0) as bed:
        assert [injection(fault, bed.service).fault for fault in NAMES] == NAMES


def make_strict(bed: Testbed, update_version: dict[str, str]) -> None:
    """The same definition, with UpdateVersion."""
    wireless = bed.client("iotwireless")
    first = wireless.list_wireless_gateway_task_definitions()["TaskDefinitions"][0]["Id"]
    update = wireless.get_wireless_gateway_task_definition(Id=first)["Update"]
    wireless.delete_wireless_gateway_task_definition(Id=first)
    update["LoRaWAN"]["UpdateVersion"] = update_version
    wireless.create_wireless_gateway_task_definition(AutoCreateTasks=True, Name="strict", Update=update)


def test_a_restart_that_an_update_asks_for_runs_a_left_over_update(bed: Testbed) -> None:
    bed.client("iotwireless").delete_wireless_gateway_task_definition(
        Id=bed.client("iotwireless").list_wireless_gateway_task_definitions()["TaskDefinitions"][0]["Id"]
    )
    bed.define_update("1.0.1", restart="reboot")
    bed.inject("update-stays")
    assert polls(bed, 1)[0].wait_s < 1
    bed.gateways[0].home.write("version.txt", "2.0.0\n")
    polls(bed, 1)
    assert bed.gateways[0].home.read_package_version() == "1.0.1"


def test_a_blank_in_the_new_version_is_another_version_than_the_definitions(bed: Testbed) -> None:
    make_strict(bed, {"PackageVersion": "1.0.1"})
    bed.inject("version-mismatch")
    polls(bed, 4)
    assert bed.gateways[0].home.read_package_version() == " 1.0.1"
    assert causes(bed) == [Cause.OFFERED] + [Cause.OTHER_VERSION] * 3
    assert bed.status() is TaskStatus.FAILED


def test_another_build_time_is_another_version_than_the_definitions(bed: Testbed) -> None:
    make_strict(bed, {"PackageVersion": "1.0.1", "Station": STATION})
    bed.gateways[0].virtual.inject(OtherBuildTime())
    polls(bed, 4)
    presented = bed.service.presented_version(bed.owner, bed.gateways[0].id)
    assert (presented.package, presented.station) == ("1.0.1", "2.0.5(rpi/std) 2021-03-09 03:45:10")
    assert causes(bed) == [Cause.OFFERED] + [Cause.OTHER_VERSION] * 3
    assert bed.status() is TaskStatus.FAILED


def test_an_error_of_object_storage_is_seen_by_this_gateway_alone_and_uses_nothing_up() -> None:
    with Testbed(gateways=2) as bed:
        bed.define_update("1.0.1")
        bed.inject("storage-error")
        for gateway in bed.gateways:
            bed.poll(gateway)
        assert [causes(bed, gateway) for gateway in bed.gateways] == [[Cause.SOURCE_UNREADABLE], [Cause.OFFERED]]
        assert bed.status() is TaskStatus.PENDING
        assert "Unavailable" in str(bed.explain())
        bed.heal()
        bed.advance(120)
        assert bed.status() is TaskStatus.COMPLETED


@pytest.mark.parametrize("size", [100, 4 << 20])
@pytest.mark.parametrize("fault", BROKEN_REPLY, ids=by_name)
def test_a_link_that_breaks_over_a_socket_is_seen_by_the_server(fault: Fault, size: int) -> None:
    with Testbed(gateways=0) as bed:
        bed.define_update("1.0.1", files={"station": bytes(size)})
        gateway = bed.add_gateway(GatewayEui(0xABCDEF), http=True)
        bed.inject(fault, gateway, polls=1)
        assert bed.poll(gateway).exchange is ExchangeOutcome.FAILED
        wait_until_sent(bed, gateway)
        assert causes(bed) == [Cause.OFFERED, Cause.REPLY_BROKEN]
        left = gateway.home.tmp / "update.bi_"
        assert left.exists() is (size > 8192), "what has come in whole buffers stays, and is never executed"
        assert bed.poll(gateway).update is UpdateAction.RUN
        assert not left.exists()
