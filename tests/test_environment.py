"""The lab works beside the AWS settings of somebody's daily work, and does not change them."""

from __future__ import annotations

import os
import subprocess
import urllib.request
from pathlib import Path

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest

from lorafw.isolation.environment import (
    LOOPBACK_HOSTS,
    aws_variables,
    aws_variables_that_win,
    unreachable_aws_variables,
    without_aws_settings,
)
from lorafw.isolation.sessions import make_client
from lorafw.lab import ServeProcess, Workspace
from lorafw.localaws.cloud import Cloud
from lorafw.testbed import Testbed

DIRECT = ",".join(LOOPBACK_HOSTS)
PLUGINS = "BOTOCORE_EXPERIMENTAL__PLUGINS"


def test_a_plugin_of_botocore_does_not_change_the_clients_of_lorafw_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plugin = "def initialize_client_plugin(client): client.meta.changed = True"
    (tmp_path / "corporate_plugin.py").write_text(plugin)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("AWS_PROFILE")
    monkeypatch.setenv(PLUGINS, "sign=corporate_plugin")
    assert hasattr(boto3.Session().client("sts", region_name="us-east-1").meta, "changed"), "botocore has no plugins"
    assert not hasattr(make_client("sts", region="us-east-1").meta, "changed")


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
    with ServeProcess("--seed", "documented") as server, Workspace(server):
        done = subprocess.run(
            ["aws", "s3", "ls", "s3://iotwirelessfwupdate"], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.stdout.split()[-1:] == ["fwstation"], done.stderr
    assert os.environ["AWS_ENDPOINT_URL_S3"] == "http://127.0.0.1:9"


def test_serve_says_that_the_profile_must_go(monkeypatch: pytest.MonkeyPatch) -> None:
    with ServeProcess() as server:
        assert "unset" not in server.output
    monkeypatch.setattr("lorafw.lab.serve_process.without_aws_settings", dict)
    with ServeProcess() as server:
        assert "\nunset AWS_PROFILE\nexport AWS_ENDPOINT_URL=" in server.output


def test_what_leads_to_the_lab_is_all_that_is_left() -> None:
    found = without_aws_settings(
        {"AWS_PROFILE": "daily-work", "AWS_REGION": "eu-west-1", PLUGINS: "sign=corporate", "HOME": "/home/me"}
    ) | aws_variables("http://x")
    assert found["AWS_ENDPOINT_URL"] == "http://x"
    assert not {"AWS_PROFILE", "AWS_REGION", PLUGINS} & set(found)
    assert found["HOME"] == "/home/me"
    assert found["AWS_CONFIG_FILE"] == found["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull


@pytest.mark.parametrize(
    ("there", "wanted"),
    [
        ({}, {"NO_PROXY": DIRECT}),
        ({"NO_PROXY": "*"}, {"NO_PROXY": "*"}),
        ({"NO_PROXY": ".work, localhost"}, {"NO_PROXY": ".work,localhost,127.0.0.1,::1,[::1]"}),
        ({"no_proxy": ".work"}, {"NO_PROXY": DIRECT, "no_proxy": f".work,{DIRECT}"}),
    ],
)
def test_calls_to_this_machine_go_past_a_proxy_beside_those_that_do_already(
    monkeypatch: pytest.MonkeyPatch, there: dict[str, str], wanted: dict[str, str]
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HTTP_PROXY": "http://127.0.0.1:9", **there}.items():
        monkeypatch.setenv(name, value)
    found = {name: value for name, value in unreachable_aws_variables().items() if "proxy" in name.lower()}
    assert found == wanted
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    assert urllib.request.proxy_bypass("127.0.0.1:5000")
    assert urllib.request.proxy_bypass("localhost:5000")
    assert urllib.request.proxy_bypass("[::1]:5000")


@pytest.mark.parametrize(
    "name",
    [
        "AWS_PROFILE",
        "AWS_DEFAULT_PROFILE",
        "AWS_ENDPOINT_URL_S3",
        "AWS_ENDPOINT_URL_IOT_WIRELESS",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
        "AWS_USE_DUALSTACK_ENDPOINT",
        "AWS_USE_FIPS_ENDPOINT",
        "AWS_SESSION_TOKEN",
        "AWS_REGION",
        "AWS_CREDENTIAL_EXPIRATION",
    ],
)
def test_a_variable_that_wins_over_the_pasted_endpoint_is_named(name: str) -> None:
    assert aws_variables_that_win({name: "true", "HOME": "/home/me"}) == [name]


def test_variables_that_do_no_harm_to_the_pasted_endpoint_are_not_named() -> None:
    harmless = {"AWS_USE_FIPS_ENDPOINT": "false", "AWS_ENDPOINT_URL_S3": "", "AWS_PAGER": "less", "HOME": "/home/me"}
    assert aws_variables_that_win(harmless | aws_variables("http://127.0.0.1:5000")) == []


BREAKS_BOTO3 = {
    "AWS_ACCOUNT_ID_ENDPOINT_MODE": "x",
    "AWS_CREDENTIAL_EXPIRATION": "2020-01-01T00:00:00Z",
    "AWS_DEFAULTS_MODE": "x",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "x",
    "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:10",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
    "AWS_MAX_ATTEMPTS": "x",
    "AWS_METADATA_SERVICE_TIMEOUT": "x",
    "AWS_PROFILE": "daily-work",
    "AWS_RETRY_MODE": "x",
    "AWS_STS_REGIONAL_ENDPOINTS": "x",
}


@pytest.mark.parametrize("name", BREAKS_BOTO3)
def test_what_really_leads_boto3_past_the_pasted_endpoint_or_breaks_it_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    pasted = aws_variables("http://127.0.0.1:9")
    for variable in aws_variables_that_win(os.environ):
        monkeypatch.delenv(variable)
    for variable, value in {**pasted, name: BREAKS_BOTO3[name]}.items():
        monkeypatch.setenv(variable, value)
    assert address_asked_by_boto3() != "http://127.0.0.1:9/"
    for variable in aws_variables_that_win(os.environ):
        monkeypatch.delenv(variable)
    assert address_asked_by_boto3() == "http://127.0.0.1:9/"


def address_asked_by_boto3() -> str:
    """Return where a new client of STS would send its request, or the name of the error that keeps it from it."""
    asked: list[str] = []

    def note(request: AWSPreparedRequest, **_: object) -> None:
        asked.append(request.url)
        raise InterruptedError

    try:
        client = boto3.Session().client("sts")
        client.meta.events.register_first("before-send", note)
        client.get_caller_identity()
    except Exception as error:
        return asked[0] if asked else type(error).__name__
    return ""
