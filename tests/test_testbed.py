"""The testbed as people use it: cells that are run again, machines behind a proxy, fixtures that return too early."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from lorafw import Testbed, example
from lorafw.errors import HomeError, LabError, NotFound
from lorafw.eui import GatewayEui
from lorafw.gateway.virtual import MODEL, STATION
from lorafw.localaws.cloud import Cloud
from lorafw.tasks.lifecycle import Cause
from lorafw.tasks.policy import Policy
from lorafw.version import GatewayVersion

NEEDS_AN_OPEN_TESTBED: dict[str, Callable[[Testbed], Any]] = {
    "client": lambda bed: bed.client("iotwireless"),
    "api_over_http": lambda bed: bed.api_over_http().__enter__(),
    "add_gateway": lambda bed: bed.add_gateway("5a11b0a85a11b0ff"),
    "upload": lambda bed: bed.upload(b"update"),
    "define_update": lambda bed: bed.define_update("1.0.1"),
    "fail_next": lambda bed: bed.fail_next("GetWirelessGatewayTask", "AccessDeniedException"),
    "throttle": lambda bed: bed.throttle(),
    "inject": lambda bed: bed.inject("no-key"),
    "heal": lambda bed: bed.heal(),
    "poll": lambda bed: bed.poll(),
    "advance": lambda bed: bed.advance(10),
    "status": lambda bed: bed.status(),
    "explain": lambda bed: bed.explain(),
}


def sent_by(client: Any) -> list[str]:
    """What the client would send from now on, by URL; nothing is sent."""
    urls: list[str] = []

    def record(request: Any, **_: Any) -> AWSResponse:
        urls.append(request.url)
        return AWSResponse(request.url, 500, {}, Raw())

    client.meta.events.register_first("before-send", record)
    return urls


class Raw:
    def stream(self) -> list[bytes]:
        return [b"{}"]


@pytest.mark.parametrize("name", NEEDS_AN_OPEN_TESTBED)
def test_a_testbed_that_is_not_open_makes_no_connection_and_says_how_to_open_it(name: str) -> None:
    bed = Testbed()
    with pytest.raises(LabError, match=r"not open.*`with Testbed\(\) as bed:`.*`yield bed`"):
        NEEDS_AN_OPEN_TESTBED[name](bed)
    with bed:
        pass
    with pytest.raises(LabError, match="not open"):
        NEEDS_AN_OPEN_TESTBED[name](bed)


def test_every_public_method_of_a_testbed_is_looked_at_above() -> None:
    methods = {name for name in dir(Testbed) if callable(getattr(Testbed, name)) and not name.startswith("_")}
    assert methods - {"start", "stop", "now", "current"} == set(NEEDS_AN_OPEN_TESTBED)


def test_a_client_of_a_testbed_that_has_ended_sends_nothing() -> None:
    with Testbed() as bed:
        wireless, s3 = bed.client("iotwireless"), bed.client("s3")
        assert wireless.list_wireless_gateways()["WirelessGatewayList"]
        wireless_sent, s3_sent = sent_by(wireless), sent_by(s3)
    for call in (wireless.list_wireless_gateways, s3.list_buckets):
        with pytest.raises(LabError, match="not open"):
            call()
    assert wireless_sent == s3_sent == []
    with Testbed() as another:
        assert another.gateways
        with pytest.raises(LabError, match="not open"):
            wireless.list_wireless_gateways()


def test_the_service_of_a_testbed_that_has_ended_reads_no_update_from_the_real_aws(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Testbed() as bed:
        bed.define_update("1.0.1")
        request = bed.gateways[0].home.build_request(STATION, MODEL)
    # Without moto boto3 looks for credentials; they may as well be somebody's own.
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "real")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "real")
    monkeypatch.setattr("botocore.httpsession.URLLib3Session.send", lambda *_: pytest.fail("something was sent"))
    with pytest.raises(LabError, match="not open"):
        bed.service.answer(request)
    with pytest.raises(LabError, match="not open"):
        bed.service.explain(bed.owner, bed.gateways[0].id)


def test_the_log_of_a_testbed_can_be_read_after_its_end() -> None:
    bed = Testbed()
    with pytest.raises(LabError, match="not open"):
        _ = bed.log
    with bed:
        bed.define_update("1.0.1")
        bed.advance(20)
    assert bed.log[-1].to_status == "COMPLETED"
    assert bed.now() == "2021-03-12T09:56:32.047Z"


def test_a_script_that_leaves_its_testbed_open_ends_without_a_word() -> None:
    script = "kept = {}\nexec('from lorafw import Testbed; bed = Testbed().start()', kept)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout + ended.stderr == ""


def test_a_testbed_that_is_opened_again_starts_afresh() -> None:
    bed = Testbed(gateways=2)
    seen = []
    for _ in range(2):
        with bed:
            assert bed.now() == "2021-03-12T09:56:12.047Z"
            assert not bed.log
            bed.define_update("1.0.1")
            bed.advance(20)
            seen.append([(gateway.id, gateway.eui, bed.status(gateway)) for gateway in bed.gateways])
    assert len(seen[0]) == 2
    assert seen[0] == seen[1]


def test_a_cell_does_not_end_a_testbed_that_was_once_started_and_is_open_by_with_now() -> None:
    bed = Testbed().start()
    bed.stop()
    with bed:
        with pytest.raises(LabError, match="end that one first"):
            Testbed().start()
        bed.poll()


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"gateways": -1}, "gateways"),
        ({"gateways": 1.5}, "gateways"),
        ({"gateways": True}, "gateways"),
        ({"interval_s": 0}, "interval_s"),
        ({"interval_s": -10}, "interval_s"),
        ({"interval_s": 0.0004}, "interval_s"),
        ({"interval_s": float("nan")}, "interval_s"),
        ({"interval_s": "10"}, "interval_s"),
        ({"policy": {"settle_s": 30}}, "policy"),
        ({"policy": Policy}, "policy"),
        ({"start": "yesterday"}, "start"),
    ],
    ids=str,
)
def test_a_testbed_refuses_what_could_not_work_and_names_the_field(arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(LabError, match=rf"^{field}: .*give "):
        Testbed(**arguments)


def test_the_clock_of_a_testbed_is_not_turned_back_and_a_fault_holds_for_one_poll_at_least() -> None:
    with Testbed() as bed:
        for seconds in (-1, float("nan"), float("inf"), "10"):
            with pytest.raises(LabError, match=r"^seconds: "):
                bed.advance(seconds)  # type: ignore[arg-type]
        for polls in (0, -1, 1.5):
            with pytest.raises(LabError, match=r"^polls: "):
                bed.inject("no-key", polls=polls)  # type: ignore[arg-type]
        assert bed.now() == "2021-03-12T09:56:12.047Z"
        assert not bed.gateways[0].virtual.faults


def test_an_interval_of_0_in_a_station_conf_does_not_hold_the_clock_still() -> None:
    with Testbed() as bed:
        gateway = bed.gateways[0]
        conf = (gateway.home.path / "station.conf").read_text()
        gateway.home.write("station.conf", conf.replace('"10000ms"', '"0s"'))
        bed.advance(0.02)
        assert bed.now() == "2021-03-12T09:56:12.067Z"
        assert bed.poll().wait_s == 0


def test_a_gateway_whose_update_breaks_its_station_conf_falls_silent_and_the_others_go_on() -> None:
    with Testbed(gateways=2) as bed:
        broken, other = bed.gateways
        own = (broken.home.path / "station.conf").read_bytes()
        bed.define_update("1.0.1", files={"station.conf": b'{"station_conf": 1}'})
        bed.poll(broken)
        good = (other.home.path / "station.conf").read_bytes()
        bed.define_update("1.0.1", key="good", files={"station.conf": good})
        bed.service.delete_definition(bed.owner, bed.service.definitions(bed.owner)[0].id)
        bed.advance(3600)
        assert bed.status(other) == "COMPLETED"
        assert bed.status(broken) == "IN_PROGRESS"
        assert broken.is_silent
        last = broken.log[-1]
        assert last.startswith("2021-03-12 09:56:22.047 [___:ERRO] the station does not start: ")
        assert last.endswith("station.conf: a station does not start with it: @.station_conf: Expecting an object")
        assert len([line for line in broken.log if "Connecting to CUPS" in line]) == 1
        with pytest.raises(HomeError, match=r"station\.conf"):
            bed.poll(broken)
        broken.home.write("station.conf", own)
        bed.poll(broken)
        assert bed.status(broken) == "COMPLETED"
        assert not broken.is_silent


def test_the_task_of_a_gateway_that_fell_silent_ends_as_the_table_says() -> None:
    with Testbed() as bed:
        bed.inject("tmp-full", polls=2)
        bed.define_update("1.0.1", files={"station.conf": b"not JSON"})
        bed.advance(40)
        assert bed.status() == "SECOND_RETRY"
        bed.advance(48 * 3600 - 60)
        assert bed.status() == "SECOND_RETRY"
        bed.advance(60)
        assert bed.status() == "FAILED"
        assert bed.log[-1].cause is Cause.SILENCE


def test_an_update_is_for_the_version_that_the_first_gateway_has_by_then() -> None:
    with Testbed() as bed:
        bed.define_update("1.0.1")
        bed.advance(20)
        bed.client("iotwireless").delete_wireless_gateway_task(Id=bed.gateways[0].id)
        bed.define_update("1.0.2", key="next")
        bed.advance(20)
        assert bed.status() == "COMPLETED"
        assert bed.gateways[0].home.read_package_version() == "1.0.2"


def test_a_definition_has_the_members_that_its_keywords_say() -> None:
    with Testbed(gateways=0) as bed:
        iot = bed.client("iotwireless")
        usual = iot.get_wireless_gateway_task_definition(Id=bed.define_update("1.0.1"))
        assert usual["Update"]["LoRaWAN"]["CurrentVersion"] == example.CURRENT_VERSION.to_aws()
        assert "UpdateVersion" not in usual["Update"]["LoRaWAN"]
        other = iot.get_wireless_gateway_task_definition(
            Id=bed.define_update(
                "1.0.1",
                name="Night",
                auto_create_tasks=False,
                current_version=GatewayVersion(package="0.9"),
                update_version=GatewayVersion(package="1.0.1"),
                data_source="s3://elsewhere/fw",
                role=example.ROLE_ARN + "2",
                signature=b"",
            )
        )
        assert (other["Name"], other["AutoCreateTasks"]) == ("Night", False)
        assert other["Update"] == {
            "UpdateDataSource": "s3://elsewhere/fw",
            "UpdateDataRole": example.ROLE_ARN + "2",
            "LoRaWAN": {"CurrentVersion": {"PackageVersion": "0.9"}, "UpdateVersion": {"PackageVersion": "1.0.1"}},
        }


def test_a_version_that_is_no_version_is_refused_and_nothing_is_uploaded() -> None:
    with Testbed() as bed:
        with pytest.raises(LabError, match=r"^current_version: '1.0.0' is not a GatewayVersion; give one"):
            bed.define_update("1.0.1", current_version="1.0.0")  # type: ignore[arg-type]
        assert "Contents" not in bed.client("s3").list_objects_v2(Bucket=example.BUCKET)


@pytest.mark.parametrize(
    "named",
    [
        lambda bed: bed.gateways[1],
        lambda bed: bed.gateways[1].id,
        lambda bed: bed.gateways[1].eui,
        lambda _: "5a11b0a85a11b0a9",
        lambda _: "5A-11-B0-A8-5A-11-B0-A9",
        lambda _: "5a11:b0a8:5a11:b0a9",
        lambda _: 1,
        lambda _: -2,
    ],
)
def test_a_gateway_is_named_by_itself_its_index_its_id_or_its_eui(named: Callable[[Testbed], Any]) -> None:
    with Testbed(gateways=3) as bed:
        bed.define_update("1.0.1")
        which = named(bed)
        bed.inject("no-key", which)
        assert [bool(gateway.virtual.faults) for gateway in bed.gateways] == [False, True, False]
        bed.heal(which)
        bed.poll(which)
        assert bed.status(which) == "IN_PROGRESS"
        assert bed.explain(which).gateway_eui == "5a11b0a85a11b0a9"
        for other in (0, 2):
            with pytest.raises(NotFound):
                bed.status(other)


def test_a_gateway_that_is_not_there_is_answered_with_those_that_are() -> None:
    with Testbed(gateways=2) as bed:
        first, second = bed.gateways
        there = f"0: {first.eui.hex} \\(id {first.id}\\), 1: {second.eui.hex} \\(id {second.id}\\)$"
        for which in (2, -3, "Raspberry pi", "5a11b0a85a11b0aa", True, 1.0):
            with pytest.raises(LabError, match=there):
                bed.poll(which)  # type: ignore[arg-type]
    with Testbed() as another, pytest.raises(LabError, match="of another testbed"):
        another.poll(first)


def test_a_testbed_without_gateways_says_so() -> None:
    with Testbed(gateways=0) as bed, pytest.raises(LabError, match=r"this testbed has none.*add_gateway"):
        bed.poll()


def test_gateways_of_several_versions_live_on_one_testbed() -> None:
    with Testbed() as bed:
        bed.add_gateway("5A-11-B0-A8-5A-11-B0-FF", package="0.9", model="corecell", station="2.0.6(x/std)")
        bed.add_gateway("::1", package=None)
        bed.add_gateway(GatewayEui(2))
        presented = []
        for index in range(4):
            bed.poll(index)
            version = bed.service.presented_version(bed.owner, bed.gateways[index].id)
            presented.append(version.to_aws() if version else {})
        usual = example.CURRENT_VERSION.to_aws()
        assert presented[0] == presented[3] == usual
        assert presented[1] == {"PackageVersion": "0.9", "Model": "corecell", "Station": "2.0.6(x/std)"}
        assert presented[2] == {name: value for name, value in usual.items() if name != "PackageVersion"}


def test_a_gateway_that_a_script_has_registered_is_taken_as_it_is() -> None:
    with Testbed(gateways=0) as bed:
        iot = bed.client("iotwireless")
        created = iot.create_wireless_gateway(Name="roof", LoRaWAN={"GatewayEui": "58a0cbfffe800001"})
        bed.add_gateway("58a0cbfffe800001")
        bed.define_update("1.0.1")
        bed.advance(20)
        assert iot.get_wireless_gateway_task(Id=created["Id"])["Status"] == "COMPLETED"
        assert iot.list_wireless_gateways()["WirelessGatewayList"][0]["Name"] == "roof"


def test_a_gateway_is_not_added_twice_nor_by_half_an_eui_nor_from_another_region() -> None:
    with Testbed() as bed:
        with pytest.raises(LabError, match="has the gateway 5a11b0a85a11b0a8 already"):
            bed.add_gateway("5a11b0a85a11b0a8")
        with pytest.raises(LabError, match="'5a11' is not a gateway EUI"):
            bed.add_gateway("5a11")
        bed.client("iotwireless", "eu-west-1").create_wireless_gateway(LoRaWAN={"GatewayEui": "58a0cbfffe800001"})
        with pytest.raises(LabError, match="registered in eu-west-1"):
            bed.add_gateway("58a0cbfffe800001")
        assert len(bed.gateways) == 1


def test_a_setup_cell_that_is_run_again_ends_the_testbed_of_before() -> None:
    before = Testbed().start()
    again = Testbed().start()
    try:
        assert not before.gateways[0].home.path.exists()
        again.define_update("1.0.1")
        again.advance(20)
        assert again.status() == "COMPLETED"
    finally:
        again.stop()
    again.stop()


def test_a_testbed_inside_another_is_refused_and_the_outer_one_goes_on() -> None:
    with Testbed() as outer:
        with pytest.raises(LabError, match="end that one first"), Testbed():
            pass
        outer.poll()
        assert outer.gateways[0].home.path.exists()
    with Testbed() as later:
        assert later.gateways


def test_a_proxy_in_the_environment_does_not_stand_between_the_parts_of_a_cloud(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert urllib.request.getproxies()["http"]
    with Cloud() as cloud:
        assert cloud.client("iotwireless").list_wireless_gateways()["WirelessGatewayList"] == []
        assert cloud.environment()["NO_PROXY"].startswith("127.0.0.1,localhost,")


@pytest.mark.parametrize("text", ["not base64!", "AA==", "A" * 4096], ids=["text", "short", "long"])
def test_a_signature_that_no_station_could_take_is_refused_or_taken_and_never_sent(text: str) -> None:
    members = example.input_json()
    members["Update"]["LoRaWAN"]["UpdateSignature"] = text
    with Testbed() as bed:
        iot = bed.client("iotwireless")
        with pytest.raises(iot.exceptions.ValidationException, match="UpdateSignature"):
            iot.create_wireless_gateway_task_definition(**members)
    with Testbed(policy=Policy(unusable_signature="accept")) as bed:
        iot = bed.client("iotwireless")
        bed.upload(example.update_file())
        created = iot.create_wireless_gateway_task_definition(**members)
        known = iot.get_wireless_gateway_task_definition(Id=created["Id"])
        assert known["Update"]["LoRaWAN"]["UpdateSignature"] == text
        bed.advance(60)
        assert bed.status() == "PENDING"
        assert "cannot be read (InvalidValue): UpdateSignature: no station could take it" in str(bed.explain())
        members["Update"]["LoRaWAN"]["UpdateSignature"] = "A" * 4097
        with pytest.raises(iot.exceptions.ValidationException, match="4096"):
            iot.create_wireless_gateway_task_definition(**members)


def test_the_first_polls_of_a_fleet_can_be_spread_over_an_interval() -> None:
    with Testbed(gateways=4, interval_s=3600, spread_polls=True) as bed:
        start_ms = bed.clock.now_ms()
        minutes = [(gateway.next_poll_ms - start_ms) / 60_000 for gateway in bed.gateways]
        bed.advance(3600)
        again = [(gateway.next_poll_ms - start_ms) / 60_000 for gateway in bed.gateways]
    assert minutes == [0, 15, 30, 45]
    assert again == pytest.approx([120, 75, 90, 105], abs=0.1)
