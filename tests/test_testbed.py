"""The testbed as people use it: cells that are run again, machines behind a proxy."""

from __future__ import annotations

import urllib.request

import pytest

from lorafw import Testbed
from lorafw.cloud import Cloud
from lorafw.errors import LabError


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
        assert cloud.environment()["NO_PROXY"] == "127.0.0.1,localhost"
