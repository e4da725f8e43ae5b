"""Responses have the members that AWS's responses have: statistics, the endpoint's trust, and remembered tokens."""

from __future__ import annotations

from typing import Any

import pytest

from lorafw.iotwireless.context import set_cups_endpoint
from lorafw.testbed import Testbed

GATEWAY = {
    "Name": "roof",
    "LoRaWAN": {"GatewayEui": "a1b2c3d4e5f60718", "RfRegion": "EU868"},
    "ClientRequestToken": "one-token",
}


def test_a_gateway_that_never_connected_has_no_connection_status() -> None:
    with Testbed() as bed:
        iot = bed.client("iotwireless")
        silent = iot.create_wireless_gateway(**GATEWAY)["Id"]
        never = iot.get_wireless_gateway_statistics(WirelessGatewayId=silent)
        assert set(never) == {"WirelessGatewayId", "ResponseMetadata"}
        bed.poll()
        seen = iot.get_wireless_gateway_statistics(WirelessGatewayId=bed.gateways[0].id)
        assert seen["ConnectionStatus"] == "Connected"
        assert "LastUplinkReceivedAt" in seen


def test_the_endpoint_of_lns_has_a_server_trust_and_an_address_of_its_own() -> None:
    with Testbed() as bed, set_cups_endpoint("https://127.0.0.1:1", "a certificate"):
        answer = bed.client("iotwireless").get_service_endpoint(ServiceType="LNS")
        assert answer["ServerTrust"] == "a certificate"
        assert answer["ServiceEndpoint"].startswith("wss://")


def create_again(bed: Testbed, **changes: Any) -> str:
    gateway_id: str = bed.client("iotwireless").create_wireless_gateway(**{**GATEWAY, **changes})["Id"]
    return gateway_id


def test_a_token_is_remembered_for_ten_minutes_of_the_services_clock() -> None:
    with Testbed() as bed:
        iot = bed.client("iotwireless")
        first = create_again(bed)
        bed.clock.advance(599)
        assert create_again(bed) == first
        bed.clock.advance(1)
        with pytest.raises(iot.exceptions.ConflictException, match=r"(?i)eui"):
            create_again(bed)


def test_a_token_with_other_parameters_is_a_conflict_until_it_is_forgotten() -> None:
    other = {"Name": "cellar", "LoRaWAN": {"GatewayEui": "a1b2c3d4e5f60719", "RfRegion": "EU868"}}
    with Testbed() as bed:
        first = create_again(bed)
        with pytest.raises(bed.client("iotwireless").exceptions.ConflictException, match="one-token"):
            create_again(bed, **other)
        bed.clock.advance(600)
        assert create_again(bed, **other) != first


def test_a_token_whose_gateway_was_deleted_answers_again_and_makes_nothing() -> None:
    with Testbed() as bed:
        iot = bed.client("iotwireless")
        first = create_again(bed)
        iot.delete_wireless_gateway(Id=first)
        assert create_again(bed) == first
        with pytest.raises(iot.exceptions.ResourceNotFoundException):
            iot.get_wireless_gateway(Identifier=first, IdentifierType="WirelessGatewayId")
