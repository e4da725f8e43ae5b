"""Log levels and event configurations are kept, checked and deleted as AWS's pages say. Asked through boto3."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lorafw.iotwireless.models import IoTWirelessBackend, iotwireless_backends
from lorafw.iotwireless.monitoring.log_levels import MAX_OVERRIDES, GatewayEvent, LogLevel
from lorafw.testbed import Testbed

DOCUMENTED = {
    "DefaultLogLevel": "INFO",
    "WirelessDeviceLogOptions": [
        {"Type": "Sidewalk", "LogLevel": "INFO", "Events": [{"Event": "Registration", "LogLevel": "DISABLED"}]},
        {
            "Type": "LoRaWAN",
            "LogLevel": "INFO",
            "Events": [{"Event": "Join", "LogLevel": "DISABLED"}, {"Event": "Rejoin", "LogLevel": "ERROR"}],
        },
    ],
    "WirelessGatewayLogOptions": [
        {
            "Type": "LoRaWAN",
            "LogLevel": "INFO",
            "Events": [
                {"Event": "CUPS_Request", "LogLevel": "DISABLED"},
                {"Event": "Certificate", "LogLevel": "ERROR"},
            ],
        }
    ],
}
"""The input.json of AWS's page about log levels, with the comma that it lacks."""
ON = {"ConnectionStatus": {"WirelessGatewayIdEventTopic": "Enabled"}}


@pytest.fixture
def bed() -> Iterator[Testbed]:
    with Testbed(gateways=3) as opened:
        yield opened


@pytest.fixture
def iot(bed: Testbed) -> Any:
    return bed.client("iotwireless")


def members(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def resource(bed: Testbed, number: int = 0) -> dict[str, str]:
    return {"ResourceIdentifier": bed.gateways[number].id, "ResourceType": "WirelessGateway"}


def backend_of(bed: Testbed) -> IoTWirelessBackend:
    backend: IoTWirelessBackend = iotwireless_backends[bed.owner.account][bed.owner.region]
    return backend


def levels_of(bed: Testbed, gateway_id: str) -> list[str]:
    return [str(backend_of(bed).log_level_of(gateway_id, event)) for event in GatewayEvent]


def test_an_empty_list_removes_options_and_a_list_that_is_left_out_stays(iot: Any) -> None:
    iot.update_log_levels_by_resource_types(**DOCUMENTED)
    iot.update_log_levels_by_resource_types(WirelessDeviceLogOptions=[])
    left = {name: value for name, value in DOCUMENTED.items() if name != "WirelessDeviceLogOptions"}
    assert members(iot.get_log_levels_by_resource_types()) == left


def test_the_level_of_a_gateway_is_its_own_or_the_events_or_that_of_gateways_or_the_default(
    bed: Testbed, iot: Any
) -> None:
    one, other, _ = (gateway.id for gateway in bed.gateways)
    assert levels_of(bed, one) == ["ERROR", "ERROR"]
    iot.update_log_levels_by_resource_types(DefaultLogLevel="INFO")
    assert levels_of(bed, one) == ["INFO", "INFO"]
    iot.update_log_levels_by_resource_types(WirelessGatewayLogOptions=[{"Type": "LoRaWAN", "LogLevel": "ERROR"}])
    assert levels_of(bed, one) == ["ERROR", "ERROR"]
    iot.update_log_levels_by_resource_types(**DOCUMENTED)
    assert levels_of(bed, one) == ["DISABLED", "ERROR"]
    iot.put_resource_log_level(**resource(bed), LogLevel="INFO")
    assert (levels_of(bed, one), levels_of(bed, other)) == (["INFO", "INFO"], ["DISABLED", "ERROR"])
    iot.reset_resource_log_level(**resource(bed))
    assert levels_of(bed, one) == ["DISABLED", "ERROR"]


def test_resetting_all_gateways_leaves_the_options_by_resource_type(bed: Testbed, iot: Any) -> None:
    iot.update_log_levels_by_resource_types(**DOCUMENTED)
    for number in (0, 1):
        iot.put_resource_log_level(**resource(bed, number), LogLevel="INFO")
    iot.reset_all_resource_log_levels()
    assert [members(iot.get_resource_log_level(**resource(bed, number))) for number in (0, 1)] == [{}, {}]
    assert members(iot.get_log_levels_by_resource_types()) == DOCUMENTED


@pytest.mark.parametrize(
    "twice",
    [
        {"WirelessGatewayLogOptions": [{"Type": "LoRaWAN", "LogLevel": level} for level in ("INFO", "ERROR")]},
        {
            "WirelessGatewayLogOptions": [
                {
                    "Type": "LoRaWAN",
                    "LogLevel": "INFO",
                    "Events": [{"Event": "Certificate", "LogLevel": level} for level in ("INFO", "ERROR")],
                }
            ]
        },
    ],
    ids=["type", "event"],
)
def test_a_type_or_an_event_that_is_listed_twice_is_refused_and_changes_nothing(iot: Any, twice: Any) -> None:
    with pytest.raises(iot.exceptions.ValidationException, match="is listed twice"):
        iot.update_log_levels_by_resource_types(DefaultLogLevel="INFO", **twice)
    assert members(iot.get_log_levels_by_resource_types()) == {"DefaultLogLevel": "ERROR"}


def test_a_resource_type_that_aws_does_not_have_is_named_and_a_device_is_not_found(bed: Testbed, iot: Any) -> None:
    with pytest.raises(iot.exceptions.ValidationException, match="'Gateway' has no log level; these have: Wireless"):
        iot.put_resource_log_level(ResourceIdentifier=bed.gateways[0].id, ResourceType="Gateway", LogLevel="INFO")
    with pytest.raises(iot.exceptions.ResourceNotFoundException) as caught:
        iot.get_resource_log_level(ResourceIdentifier="x", ResourceType="WirelessDevice")
    assert caught.value.response["ResourceType"] == "WirelessDevice"


def test_the_201st_gateway_with_a_level_of_its_own_is_refused(bed: Testbed, iot: Any) -> None:
    levels = backend_of(bed).gateway_log_levels
    iot.put_resource_log_level(**resource(bed), LogLevel="INFO")
    for number in range(MAX_OVERRIDES - 1):
        levels._level_by_gateway[f"filler {number}"] = LogLevel.ERROR
    with pytest.raises(iot.exceptions.ValidationException, match="200 resources have a log level"):
        iot.put_resource_log_level(**resource(bed, 1), LogLevel="INFO")
    iot.put_resource_log_level(**resource(bed), LogLevel="ERROR")
    iot.reset_resource_log_level(**resource(bed))
    iot.put_resource_log_level(**resource(bed, 1), LogLevel="INFO")


def test_a_gateway_has_one_configuration_under_both_identifiers(bed: Testbed, iot: Any) -> None:
    gateway = bed.gateways[0]
    by_eui = {"Identifier": gateway.eui.hex, "IdentifierType": "GatewayEui"}
    iot.update_resource_event_configuration(**by_eui, **ON)
    by_id = {"Identifier": gateway.id, "IdentifierType": "WirelessGatewayId"}
    expected = {"LoRaWAN": {"GatewayEuiEventTopic": "Disabled"}, "WirelessGatewayIdEventTopic": "Enabled"}
    assert members(iot.get_resource_event_configuration(**by_id)) == {"ConnectionStatus": expected}
    iot.update_resource_event_configuration(**by_id, ConnectionStatus={"LoRaWAN": {"GatewayEuiEventTopic": "Enabled"}})
    expected["LoRaWAN"]["GatewayEuiEventTopic"] = "Enabled"  # type: ignore[index]
    assert members(iot.get_resource_event_configuration(**by_eui)) == {"ConnectionStatus": expected}


def test_only_gateways_with_an_enabled_topic_are_listed_page_by_page(bed: Testbed, iot: Any) -> None:
    sources = [{"Identifier": item.id, "IdentifierType": "WirelessGatewayId"} for item in bed.gateways]
    for source in sources:
        iot.update_resource_event_configuration(**source, **ON)
    off = {"ConnectionStatus": {"WirelessGatewayIdEventTopic": "Disabled"}}
    iot.update_resource_event_configuration(**sources[1], **off)
    first = iot.list_event_configurations(ResourceType="WirelessGateway", MaxResults=1)
    second = iot.list_event_configurations(ResourceType="WirelessGateway", NextToken=first["NextToken"])
    listed = [item["Identifier"] for page in (first, second) for item in page["EventConfigurationsList"]]
    assert listed == [bed.gateways[0].id, bed.gateways[2].id]
    assert iot.list_event_configurations(ResourceType="WirelessDevice")["EventConfigurationsList"] == []


def test_an_event_that_a_gateway_does_not_have_is_refused_and_changes_nothing(bed: Testbed, iot: Any) -> None:
    source = {"Identifier": bed.gateways[1].id, "IdentifierType": "WirelessGatewayId"}
    before = members(iot.get_resource_event_configuration(**source))
    with pytest.raises(iot.exceptions.ValidationException, match="a gateway has no event Join; it has Connection"):
        iot.update_resource_event_configuration(**source, **ON, Join={"WirelessDeviceIdEventTopic": "Enabled"})
    assert members(iot.get_resource_event_configuration(**source)) == before


def test_a_gateway_that_is_registered_again_has_neither_a_level_nor_topics_of_the_deleted_one(bed: Testbed) -> None:
    iot = bed.client("iotwireless")
    lorawan = {"LoRaWAN": {"GatewayEui": "00000000000000aa"}}
    first = iot.create_wireless_gateway(**lorawan)["Id"]
    iot.put_resource_log_level(ResourceIdentifier=first, ResourceType="WirelessGateway", LogLevel="INFO")
    iot.update_resource_event_configuration(Identifier=first, IdentifierType="WirelessGatewayId", **ON)
    iot.delete_wireless_gateway(Id=first)
    assert levels_of(bed, first) == ["ERROR", "ERROR"]
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        iot.get_resource_event_configuration(Identifier=first, IdentifierType="WirelessGatewayId")


def test_accounts_and_regions_have_their_own_levels_and_a_reset_restores_the_default(bed: Testbed, iot: Any) -> None:
    iot.update_log_levels_by_resource_types(DefaultLogLevel="INFO")
    for other in (bed.client("iotwireless", "eu-west-1"), bed.client("iotwireless", account="999999999999")):
        assert other.get_log_levels_by_resource_types()["DefaultLogLevel"] == "ERROR"
    backend_of(bed).reset()
    assert iot.get_log_levels_by_resource_types()["DefaultLogLevel"] == "ERROR"


def test_the_aws_cli_sets_the_documented_levels(bed: Testbed, iot: Any, tmp_path: Path) -> None:
    (tmp_path / "input.json").write_text(json.dumps(DOCUMENTED))
    update = ["update-log-levels-by-resource-types", "--cli-input-json", "file://input.json"]
    with bed.api_over_http() as variables:
        subprocess.run(
            [Path(sys.executable).with_name("aws"), "iotwireless", *update],
            cwd=tmp_path,
            env={**variables, "HOME": str(tmp_path)},
            check=True,
            timeout=60,
        )
    assert members(iot.get_log_levels_by_resource_types()) == DOCUMENTED
