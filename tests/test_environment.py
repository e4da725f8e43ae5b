"""AWS settings of somebody's daily work: the lab runs beside them, and leaves them as they are."""

from __future__ import annotations

import os
import subprocess
import urllib.request

import boto3
import pytest

from lorafw.cloud import Cloud
from lorafw.environment import alone, leading_nowhere, leading_to
from lorafw.lab import ServeProcess, Workspace
from lorafw.testbed import Testbed


@pytest.fixture(autouse=True)
def daily_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile that boto3 cannot find, which is what a configuration of another machine looks like."""
    monkeypatch.setenv("AWS_PROFILE", "daily-work")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")


def test_a_testbed_runs_beside_a_profile_and_gives_it_back() -> None:
    with Testbed() as bed:
        bed.define_update("1.0.1")
        bed.advance(20)
        assert bed.status() == "COMPLETED"
    assert os.environ["AWS_PROFILE"] == "daily-work"


def test_a_script_that_makes_its_own_clients_finds_the_gateways_of_the_testbed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with Testbed(gateways=2) as bed:
        found = boto3.client("iotwireless").list_wireless_gateways()["WirelessGatewayList"]
        assert [gateway["Id"] for gateway in found] == [gateway.id for gateway in bed.gateways]
    assert os.environ["AWS_DEFAULT_REGION"] == "eu-west-1"
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with Testbed():
        boto3.client("iotwireless").list_wireless_gateways()
    assert "AWS_DEFAULT_REGION" not in os.environ


def test_a_cloud_runs_beside_a_profile_and_gives_it_back() -> None:
    with Cloud() as cloud:
        assert cloud.client("iotwireless").list_wireless_gateways()["WirelessGatewayList"] == []
    assert os.environ["AWS_PROFILE"] == "daily-work"


def test_the_aws_cli_of_a_lesson_speaks_to_the_lab_with_every_service() -> None:
    with ServeProcess("--world", "seed") as server, Workspace(server):
        done = subprocess.run(
            ["aws", "s3", "ls", "s3://iotwirelessfwupdate"], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.stdout.split()[-1:] == ["fwstation"], done.stderr
    assert os.environ["AWS_ENDPOINT_URL_S3"] == "http://127.0.0.1:9"


def test_serve_says_that_the_profile_must_go(monkeypatch: pytest.MonkeyPatch) -> None:
    with ServeProcess() as server:
        assert "unset" not in server.output
    monkeypatch.setattr("lorafw.lab.serving.alone", dict)
    with ServeProcess() as server:
        assert "\nunset AWS_PROFILE\nexport AWS_ENDPOINT_URL=" in server.output


def test_what_leads_to_the_lab_is_all_that_is_left() -> None:
    found = alone({"AWS_PROFILE": "daily-work", "AWS_REGION": "eu-west-1", "HOME": "/home/me"}) | leading_to("http://x")
    assert found["AWS_ENDPOINT_URL"] == "http://x"
    assert not {"AWS_PROFILE", "AWS_REGION"} & set(found)
    assert found["HOME"] == "/home/me"
    assert found["AWS_CONFIG_FILE"] == found["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull


@pytest.mark.parametrize(
    ("there", "wanted"),
    [
        ({}, {"NO_PROXY": "127.0.0.1,localhost"}),
        ({"NO_PROXY": "*"}, {"NO_PROXY": "*"}),
        ({"NO_PROXY": ".work, localhost"}, {"NO_PROXY": ".work,localhost,127.0.0.1"}),
        ({"no_proxy": ".work"}, {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": ".work,127.0.0.1,localhost"}),
    ],
)
def test_calls_to_this_machine_go_past_a_proxy_beside_those_that_do_already(
    monkeypatch: pytest.MonkeyPatch, there: dict[str, str], wanted: dict[str, str]
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HTTP_PROXY": "http://127.0.0.1:9", **there}.items():
        monkeypatch.setenv(name, value)
    found = {name: value for name, value in leading_nowhere().items() if "proxy" in name.lower()}
    assert found == wanted
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    assert urllib.request.proxy_bypass("127.0.0.1:5000")
    assert urllib.request.proxy_bypass("localhost:5000")
