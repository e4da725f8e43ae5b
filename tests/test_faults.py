"""Faults by name: a gateway in trouble, and what the service sees of it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from lorafw.cli import main
from lorafw.errors import FaultError
from lorafw.eui import GatewayEui
from lorafw.fault import Fault
from lorafw.fleet import codes
from lorafw.gateway.faults import injection
from lorafw.gateway.faults.install import OtherBuildTime
from lorafw.gateway.faults.link import SlowLink
from lorafw.gateway.station import Action, Outcome, Verdict
from lorafw.gateway.virtual import STATION
from lorafw.tasks.lifecycle import Cause, TaskStatus
from lorafw.testbed import BedGateway, Testbed

NAMES = [fault for fault in Fault if fault is not Fault.NONE]
NO_REQUEST = [Fault.SERVER_ERROR, Fault.OFFLINE, Fault.CONNECTION_REFUSED]
BROKEN_REPLY = [Fault.SLOW_LINK, Fault.LINK_DROP]
KEEPS_ITS_FIRMWARE = [
    Fault.TRUNCATED_BODY,
    Fault.WRONG_KEY,
    Fault.NO_KEY,
    Fault.UNSIGNED_WITH_KEY,
    Fault.TMP_FULL,
    Fault.SCRIPT_FAILS,
    Fault.POWER_CUT,
]
SPENT = [Cause.OFFERED, Cause.OLD_VERSION, Cause.OLD_VERSION, Cause.OLD_VERSION]


@pytest.fixture
def bed() -> Iterator[Testbed]:
    with Testbed() as bed:
        bed.define_update("1.0.1")
        yield bed


def polls(bed: Testbed, count: int) -> list[Verdict]:
    verdicts = []
    for _ in range(count):
        verdicts.append(bed.poll())
        bed.clock.advance(verdicts[-1].wait_s)
    return verdicts


def causes(bed: Testbed) -> list[Cause]:
    return [row.cause for row in bed.log if row.cause is not Cause.CREATED_AUTOMATICALLY]


def by_name(fault: Fault) -> str:
    return fault.value


def test_the_simulator_and_the_virtual_gateway_speak_of_the_same_faults() -> None:
    assert codes.Fault is Fault
    assert len({fault.value for fault in Fault}) == 16
    with Testbed(gateways=0) as bed:
        assert [injection(fault, bed.service).fault for fault in NAMES] == NAMES


@pytest.mark.parametrize("fault", NO_REQUEST, ids=by_name)
def test_trouble_on_the_way_there_shows_the_service_nothing(bed: Testbed, fault: Fault) -> None:
    bed.inject(fault, polls=1)
    (verdict,) = polls(bed, 1)
    assert (verdict.exchange, verdict.wait_s) == (Outcome.FAILED, 60)
    assert bed.log == []
    assert bed.service.last_seen_ms(bed.owner, bed.gateways[0].id) is None
    bed.advance(3600)
    assert bed.status() is TaskStatus.COMPLETED


@pytest.mark.parametrize("fault", BROKEN_REPLY, ids=by_name)
def test_a_reply_that_was_not_taken_whole_uses_no_attempt_up(bed: Testbed, fault: Fault) -> None:
    bed.inject(fault)
    assert {verdict.exchange for verdict in polls(bed, 5)} == {Outcome.FAILED}
    assert causes(bed) == [Cause.OFFERED, Cause.REPLY_BROKEN] + [Cause.OFFERED_AGAIN, Cause.REPLY_BROKEN] * 4
    assert bed.status() is TaskStatus.IN_PROGRESS
    bed.heal()
    bed.advance(3600)
    assert bed.status() is TaskStatus.COMPLETED


@pytest.mark.parametrize("fault", KEEPS_ITS_FIRMWARE, ids=by_name)
def test_an_update_that_was_sent_whole_and_does_not_take_effect_fails_at_the_fourth_poll(
    bed: Testbed, fault: Fault
) -> None:
    bed.inject(fault)
    polls(bed, 3)
    assert bed.status() is TaskStatus.SECOND_RETRY
    polls(bed, 1)
    assert causes(bed) == SPENT
    assert bed.status() is TaskStatus.FAILED
    assert bed.gateways[0].home.package() == "1.0.0"


@pytest.mark.parametrize(
    ("fault", "action", "word"),
    [
        (Fault.WRONG_KEY, Action.REFUSED, "No key could verify signature. Tried 1 keys"),
        (Fault.NO_KEY, Action.REFUSED, "No key could verify signature. Tried 0 keys"),
        (Fault.UNSIGNED_WITH_KEY, Action.REFUSED, "Keyfile present, but no signature provided. Aborting update."),
        (Fault.TMP_FULL, Action.NONE, "but failed to write (ignored)"),
        (Fault.SCRIPT_FAILS, Action.RUN, "prepare_versionp: command not found"),
        (Fault.TRUNCATED_BODY, Action.NONE, "[3] Error reading HTTP Body"),
        (Fault.LINK_DROP, Action.NONE, "[3] Connection closed unexpectedly"),
        (Fault.SLOW_LINK, Action.NONE, "CUPS timed out"),
        (Fault.OFFLINE, Action.NONE, "NET - Failed to get an IP address for the given hostname"),
        (Fault.CONNECTION_REFUSED, Action.NONE, "NET - The connection to the given server / port failed"),
        (Fault.SERVER_ERROR, Action.NONE, "Failed to retrieve TCURI from CUPS: (500) Internal Server Error"),
    ],
    ids=lambda value: value.value if isinstance(value, Fault) else "",
)
def test_the_station_says_of_its_trouble_what_a_station_says(
    bed: Testbed, fault: Fault, action: Action, word: str
) -> None:
    bed.inject(fault)
    (verdict,) = polls(bed, 1)
    assert verdict.update is action
    assert any(word in str(line) for line in verdict.log), verdict.log


def test_the_keys_of_the_fault_are_the_ones_that_the_gateway_presents(bed: Testbed) -> None:
    bed.inject("no-key")
    polls(bed, 1)
    assert "the gateway has no key" in str(bed.explain())


def test_a_power_cut_restarts_the_station_and_empties_its_tmp(bed: Testbed) -> None:
    bed.inject("power-cut", polls=1)
    (verdict,) = polls(bed, 1)
    assert verdict.wait_s < 1
    assert not (bed.gateways[0].home.tmp / "update.bin").exists()
    polls(bed, 2)
    assert causes(bed) == [Cause.OFFERED, Cause.OLD_VERSION, Cause.NEW_VERSION]


def test_an_update_that_stays_runs_again_at_every_start(bed: Testbed) -> None:
    bed.inject("update-stays")
    polls(bed, 2)
    assert bed.status() is TaskStatus.COMPLETED
    gateway = bed.gateways[0]
    gateway.home.write("version.txt", "2.0.0\n")
    polls(bed, 1)
    assert bed.service.presented_version(bed.owner, gateway.id).package == "2.0.0"
    for _ in range(2):
        gateway.home.write("version.txt", "2.0.0\n")
        gateway.virtual.start()
        polls(bed, 1)
        assert bed.service.presented_version(bed.owner, gateway.id).package == "1.0.1", "the old update ran again"


def test_a_restart_that_an_update_asks_for_runs_a_left_over_update(bed: Testbed) -> None:
    bed.client("iotwireless").delete_wireless_gateway_task_definition(
        Id=bed.client("iotwireless").list_wireless_gateway_task_definitions()["TaskDefinitions"][0]["Id"]
    )
    bed.define_update("1.0.1", restart="reboot")
    bed.inject("update-stays")
    assert polls(bed, 1)[0].wait_s < 1
    bed.gateways[0].home.write("version.txt", "2.0.0\n")
    polls(bed, 1)
    assert bed.gateways[0].home.package() == "1.0.1"


def make_strict(bed: Testbed, update_version: dict[str, str]) -> None:
    """The same definition, with UpdateVersion."""
    wireless = bed.client("iotwireless")
    first = wireless.list_wireless_gateway_task_definitions()["TaskDefinitions"][0]["Id"]
    update = wireless.get_wireless_gateway_task_definition(Id=first)["Update"]
    wireless.delete_wireless_gateway_task_definition(Id=first)
    update["LoRaWAN"]["UpdateVersion"] = update_version
    wireless.create_wireless_gateway_task_definition(AutoCreateTasks=True, Name="strict", Update=update)


def test_a_blank_in_the_new_version_is_another_version_than_the_definitions(bed: Testbed) -> None:
    make_strict(bed, {"PackageVersion": "1.0.1"})
    bed.inject("version-mismatch")
    polls(bed, 4)
    assert bed.gateways[0].home.package() == " 1.0.1"
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
        assert causes(bed) == [Cause.SOURCE_UNREADABLE, Cause.OFFERED]
        assert bed.status() is TaskStatus.PENDING
        assert "Unavailable" in str(bed.explain())
        bed.heal()
        bed.advance(3600)
        assert bed.status() is TaskStatus.COMPLETED


def wait_until_sent(bed: Testbed, gateway: BedGateway) -> None:
    until = time.monotonic() + 30
    while bed.service.is_sending(bed.owner, gateway.id):
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("size", [100, 4 << 20])
@pytest.mark.parametrize("fault", BROKEN_REPLY, ids=by_name)
def test_a_link_that_breaks_over_a_socket_is_seen_by_the_server(fault: Fault, size: int) -> None:
    with Testbed(gateways=0) as bed:
        bed.define_update("1.0.1", files={"station": bytes(size)})
        gateway = bed.add_gateway(GatewayEui(0xABCDEF), http=True)
        bed.inject(fault, gateway, polls=1)
        assert bed.poll(gateway).exchange is Outcome.FAILED
        wait_until_sent(bed, gateway)
        assert causes(bed) == [Cause.OFFERED, Cause.REPLY_BROKEN]
        left = gateway.home.tmp / "update.bi_"
        assert left.exists() is (size > 8192), "what has come in whole buffers stays, and is never executed"
        assert bed.poll(gateway).update is Action.RUN
        assert not left.exists()


def test_a_body_that_is_cut_behind_the_server_counts_as_sent_over_a_socket(bed: Testbed) -> None:
    gateway = bed.add_gateway(GatewayEui(0xABCDEF), http=True)
    bed.inject("truncated-body", gateway, polls=1)
    assert bed.poll(gateway).exchange is Outcome.FAILED
    wait_until_sent(bed, gateway)
    bed.poll(gateway)
    assert causes(bed) == [Cause.OFFERED, Cause.OLD_VERSION]


def test_a_link_is_too_slow_only_past_the_time_of_one_buffer(bed: Testbed) -> None:
    size = len(bed.client("s3").get_object(Bucket="iotwirelessfwupdate", Key="fwstation")["Body"].read())
    bed.gateways[0].virtual.inject(SlowLink(bytes_per_s=size))
    assert polls(bed, 1)[0].update is Action.RUN


def test_a_fault_holds_for_as_many_polls_as_were_asked_for(bed: Testbed) -> None:
    bed.inject(Fault.OFFLINE, polls=2)
    bed.inject(Fault.SERVER_ERROR, polls=1)
    virtual = bed.gateways[0].virtual
    assert virtual.faults == (Fault.OFFLINE, Fault.SERVER_ERROR)
    polls(bed, 1)
    assert virtual.faults == (Fault.OFFLINE,)
    polls(bed, 1)
    assert virtual.faults == ()


def test_a_name_that_is_no_fault_is_answered_with_those_that_are() -> None:
    with pytest.raises(FaultError, match="link-drop") as caught:
        injection("link-dorp")
    assert caught.value.fault == "link-dorp"
    with pytest.raises(FaultError, match="at the server"):
        injection("storage-error")


def test_the_command_line_lists_the_faults_and_takes_them_by_name(tmp_path) -> None:
    from lorafw.gateway.setup import write_home

    listed = CliRunner().invoke(main, ["gateway", "faults"]).output
    assert all(fault.value in listed for fault in NAMES if fault is not Fault.STORAGE_ERROR)
    home = write_home(tmp_path / "home", eui=GatewayEui(7), cups_uri="http://localhost:9", package="1.0.0")
    ran = CliRunner().invoke(
        main, ["gateway", "run", str(home.path), "--polls", "2", "--interval", "0.01", "--fault", "server-error:1"]
    )
    assert "(500) Internal Server Error" in ran.output, ran.output
    refused = CliRunner().invoke(main, ["gateway", "run", str(home.path), "--fault", "link-dorp"])
    assert refused.exit_code == 1
    assert "there is no fault 'link-dorp'" in refused.output
