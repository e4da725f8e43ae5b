"""CUPS requests appear in CloudWatch Logs as AWS documents it, according to the log levels. Read with boto3."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from fakes import FakeSource

from lorafw.clock import ManualClock, parse_iso
from lorafw.iotwireless.monitoring import gateway_log
from lorafw.localaws.cloud import Cloud
from lorafw.tasks.service import UpdateService
from lorafw.testbed import Testbed

DOCUMENTED_INFO = {
    "timestamp": "2021-05-13T16:56:08.853Z",
    "resource": "WirelessGateway",
    "wirelessGatewayId": "5da85cc8-3361-4c79-8be3-3360fb87abda",
    "wirelessGatewayType": "LoRaWAN",
    "gatewayEui": "feffff00000000e2",
    "event": "CUPS_Request",
    "logLevel": "INFO",
    "message": "Sending CUPS response of total length 3213 to GatewayEui: feffff00000000e2 with  TC Credentials,",
}
"""AWS's example of a line about a response, from "Log entries for wireless gateways"."""
DOCUMENTED_ERROR = "The CUPS CRC is missing from the request. Check your gateway setup and enter the CUPS CRC,"
REQUEST = {"router": "5a11:b0a8:5a11:b0a8", "cupsCredCrc": 2077607535, "tcCredCrc": 2077607535, "keys": []}
EMPTY_RESPONSE_BYTES = 14


@pytest.fixture
def bed() -> Iterator[Testbed]:
    with Testbed(gateways=2) as opened:
        yield opened


def set_level(bed: Testbed, level: str) -> None:
    bed.client("iotwireless").update_log_levels_by_resource_types(DefaultLogLevel=level)


def lines(aws: Any, **parameters: Any) -> list[dict[str, Any]]:
    """The lines of the log group, oldest first. There are none without a log group."""
    logs = aws.client("logs")
    if not logs.describe_log_groups(logGroupNamePrefix=gateway_log.LOG_GROUP)["logGroups"]:
        return []
    events = logs.filter_log_events(logGroupName=gateway_log.LOG_GROUP, **parameters)["events"]
    return [json.loads(event["message"]) for event in sorted(events, key=lambda event: event["timestamp"])]


def test_a_line_has_the_documented_members_in_their_order_with_the_time_of_the_clock(bed: Testbed) -> None:
    set_level(bed, "INFO")
    bed.poll()
    (line,) = lines(bed)
    gateway = bed.gateways[0]
    assert list(line) == list(DOCUMENTED_INFO)
    assert {**DOCUMENTED_INFO, **line} == {
        **DOCUMENTED_INFO,
        "timestamp": line["timestamp"],
        "wirelessGatewayId": gateway.id,
        "gatewayEui": gateway.eui.hex,
        "message": f"Sending CUPS response of total length 14 to GatewayEui: {gateway.eui.hex}",
    }
    assert parse_iso(line["timestamp"]) == bed.clock.now_ms()
    assert DOCUMENTED_INFO["message"].startswith("Sending CUPS response of total length 3213 to GatewayEui: ")


def test_the_total_length_is_that_of_the_response_with_its_update(bed: Testbed) -> None:
    set_level(bed, "INFO")
    bed.define_update("1.0.1")
    delivered = bed.poll()
    (line,) = lines(bed)
    total = int(re.search(r"total length (\d+) to", line["message"])[1])  # type: ignore[index]
    task = bed.client("s3").head_object(Bucket="iotwirelessfwupdate", Key="fwstation")
    assert delivered.update is not None
    assert total > task["ContentLength"] + EMPTY_RESPONSE_BYTES


def test_no_line_tells_anything_of_firmware_tasks(bed: Testbed) -> None:
    set_level(bed, "INFO")
    bed.define_update("1.0.1")
    bed.advance(60)
    assert bed.status() == "COMPLETED"
    told = {re.sub(r"\d+ to GatewayEui: [0-9a-f]{16}", "", line["message"]) for line in lines(bed)}
    assert told == {"Sending CUPS response of total length "}


@pytest.mark.parametrize("level", ["ERROR", "DISABLED", None])
def test_a_request_that_succeeds_writes_nothing_unless_the_level_is_info(bed: Testbed, level: str | None) -> None:
    if level is not None:
        set_level(bed, level)
    bed.poll()
    assert lines(bed) == []
    groups = bed.client("logs").describe_log_groups()["logGroups"]
    assert groups == []


def test_the_level_of_one_gateway_counts_for_it_alone(bed: Testbed) -> None:
    set_level(bed, "DISABLED")
    quiet, watched = bed.gateways
    resource = {"ResourceIdentifier": watched.id, "ResourceType": "WirelessGateway"}
    bed.client("iotwireless").put_resource_log_level(**resource, LogLevel="INFO")
    bed.advance(10)
    assert {line["wirelessGatewayId"] for line in lines(bed)} == {watched.id} != {quiet.id}


def test_a_request_without_the_crc_of_its_credentials_is_the_documented_error_unless_lines_are_disabled() -> None:
    body = json.dumps({**REQUEST, "cupsCredCrc": None}).encode()
    with Cloud() as cloud:
        iot = cloud.client("iotwireless")
        iot.create_wireless_gateway(LoRaWAN={"GatewayEui": "5a11b0a85a11b0a8"})
        for number, level in enumerate(["DISABLED", "ERROR", "INFO"]):
            iot.update_log_levels_by_resource_types(DefaultLogLevel=level)
            with urllib.request.urlopen(f"{cloud.cups.uri}/update-info", body, timeout=20) as response:
                assert response.read() == bytes(EMPTY_RESPONSE_BYTES)
            told = [(line["logLevel"], line["message"]) for line in lines(cloud)]
            assert told == [("ERROR", DOCUMENTED_ERROR)] * number, level


def test_lines_are_filtered_over_http_and_a_reset_deletes_them() -> None:
    with Cloud() as cloud:
        iot = cloud.client("iotwireless")
        gateway_id = iot.create_wireless_gateway(LoRaWAN={"GatewayEui": "5a11b0a85a11b0a8"})["Id"]
        iot.update_log_levels_by_resource_types(DefaultLogLevel="INFO")
        for crc in (1, None):
            body = json.dumps({**REQUEST, "cupsCredCrc": crc}).encode()
            urllib.request.urlopen(f"{cloud.cups.uri}/update-info", body, timeout=20).close()
        assert [line["logLevel"] for line in lines(cloud)] == ["INFO", "ERROR"]
        (found,) = lines(cloud, filterPattern='"ERROR"')
        assert found["wirelessGatewayId"] == gateway_id
        (stream,) = cloud.client("logs").describe_log_streams(logGroupName=gateway_log.LOG_GROUP)["logStreams"]
        assert re.fullmatch(r"WirelessGateway-CUPS_Request-[0-9a-f]{64}", stream["logStreamName"])
        cloud.reset()
        assert lines(cloud) == []
        assert iot.get_log_levels_by_resource_types()["DefaultLogLevel"] == "ERROR"


def test_a_gateway_in_another_region_and_account_writes_there() -> None:
    with Testbed(gateways=0) as bed:
        bed.add_gateway("5a11b0a85a11b0ff", region="eu-west-1", account="999999999999")
        elsewhere = {"region": "eu-west-1", "account": "999999999999"}
        bed.client("iotwireless", **elsewhere).update_log_levels_by_resource_types(DefaultLogLevel="INFO")
        bed.advance(10)
        assert lines(bed) == []
        there = bed.client("logs", **elsewhere).filter_log_events(logGroupName=gateway_log.LOG_GROUP)
        assert there["events"]


def test_the_oldest_lines_are_dropped_when_there_are_too_many(bed: Testbed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_log, "MAX_LINES", 3)
    set_level(bed, "INFO")
    for _ in range(3):
        bed.advance(10)
    kept = [line["timestamp"] for line in lines(bed)]
    latest, earlier = bed.clock.now_ms(), bed.clock.now_ms() - 10_000
    assert [parse_iso(time) for time in kept] == [earlier, latest, latest]
    streams = bed.client("logs").describe_log_streams(logGroupName=gateway_log.LOG_GROUP)["logStreams"]
    assert sum(stream["storedBytes"] for stream in streams) < 3 * 400


def test_a_listener_that_fails_is_logged_and_the_request_is_answered(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("the log is full")

    with Testbed() as bed:
        bed.service.answer_listeners.add(fail)
        assert bed.poll().wait_s > 0
        assert "a listener failed at a request of gateway 5a11b0a85a11b0a8" in caplog.text


def test_a_service_that_is_used_twice_writes_each_line_once() -> None:
    from lorafw.iotwireless.context import use_service

    service = UpdateService(source=FakeSource(), clock=ManualClock())
    with use_service(service), use_service(service):
        assert len(service.answer_listeners._listeners) == 1
