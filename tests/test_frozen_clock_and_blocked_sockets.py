"""A testbed beside two habits of test suites: a clock that stands still (freezegun), and forbidden sockets."""

from __future__ import annotations

from collections.abc import Iterator

import freezegun
import pytest
import pytest_socket

from lorafw import Testbed
from lorafw.testbed.serving import PLACEHOLDER_URI


@pytest.fixture
def no_sockets() -> Iterator[None]:
    pytest_socket.disable_socket()
    yield
    pytest_socket.enable_socket()


def test_a_gateway_over_http_completes_while_the_clock_stands_still_and_closing_ends() -> None:
    with freezegun.freeze_time("2026-11-25"), Testbed(gateways=0) as bed:
        bed.add_gateway("58a0cbfffe800001", http=True)
        bed.define_update("1.0.1")
        bed.advance(20)
        assert bed.status() == "COMPLETED"


@pytest.mark.usefixtures("no_sockets")
def test_a_testbed_whose_gateways_are_all_in_process_opens_no_socket() -> None:
    with Testbed(gateways=2) as bed:
        bed.define_update("1.0.1")
        bed.advance(20)
        assert [bed.status(gateway) for gateway in bed.gateways] == ["COMPLETED"] * 2


def test_the_homes_of_gateways_in_process_get_the_address_of_the_server_when_it_is_opened() -> None:
    with Testbed(gateways=1) as bed:
        assert bed.gateways[0].home.read_uri("cups") == PLACEHOLDER_URI
        endpoint = bed.client("iotwireless").get_service_endpoint(ServiceType="CUPS")["ServiceEndpoint"]
        added = bed.add_gateway("58a0cbfffe800001")
        assert [gateway.home.read_uri("cups") for gateway in bed.gateways] == [endpoint] * 2
        assert added.home.read_uri("cups") == bed.cups.uri == endpoint
