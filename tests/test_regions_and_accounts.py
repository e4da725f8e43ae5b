"""A testbed in any Region and account, and several of them at once with polling gateways in each."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args, get_overloads, get_type_hints

import boto3
import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner

from lorafw import Testbed
from lorafw.cli import main
from lorafw.errors import LabError
from lorafw.faults import Fault, FaultName
from lorafw.isolation.environment import replaced_environ
from lorafw.isolation.regions import lorawan_regions
from lorafw.tasks.model import AccountRegion
from lorafw.testbed.aws_side import AwsSide
from lorafw.testbed.gateways import TestbedGateway as Gateway

HOME = AccountRegion("111122223333", "eu-west-1")
OTHER = "444455556666"


@pytest.fixture(scope="module")
def bed() -> Iterator[Testbed]:
    start = datetime(2026, 11, 25, 10, tzinfo=timezone(timedelta(hours=1)))
    config = {"iot": {"use_valid_cert": True}}
    with Testbed(region=HOME.region, account=HOME.account, start=start, moto_config=config) as bed:
        yield bed


def ids(client: Any) -> list[str]:
    return [gateway["Id"] for gateway in client.list_wireless_gateways()["WirelessGatewayList"]]


@pytest.fixture(scope="module")
def others(bed: Testbed) -> list[Gateway]:
    places = [(HOME.account, "us-east-1"), (OTHER, "eu-west-1"), (OTHER, "us-east-1")]
    return [
        bed.add_gateway(f"58a0cbfffe80000{number}", account=account, region=region)
        for number, (account, region) in enumerate(places)
    ]


def test_the_users_own_clients_are_in_the_account_and_region_of_the_testbed(bed: Testbed) -> None:
    assert boto3.client("sts").get_caller_identity()["Account"] == HOME.account
    assert boto3.client("sts", aws_access_key_id="a", aws_secret_access_key="b").get_caller_identity()["Account"] == (
        HOME.account
    )
    (gateway,) = boto3.client("iotwireless").list_wireless_gateways()["WirelessGatewayList"]
    assert gateway["Arn"] == f"arn:aws:iotwireless:eu-west-1:{HOME.account}:WirelessGateway/{bed.gateways[0].id}"
    assert boto3.client("s3").get_bucket_location(Bucket="iotwirelessfwupdate")["LocationConstraint"] == "eu-west-1"
    with bed.api_over_http() as variables, replaced_environ(variables):
        assert boto3.client("sts").get_caller_identity()["Account"] == HOME.account
        assert ids(boto3.client("iotwireless")) == [bed.gateways[0].id]


def test_gateways_of_each_account_and_region_are_updated_by_its_own_definitions(
    bed: Testbed, others: list[Gateway]
) -> None:
    places = [HOME, *(gateway.owner for gateway in others)]
    gateways = [bed.gateways[0], *others]
    for number, place in enumerate(places):
        bed.define_update(f"2.0.{number}", region=place.region, account=place.account)
    bed.advance(20)
    assert [bed.status(gateway) for gateway in gateways] == ["COMPLETED"] * 4
    assert [gateway.home.read_package_version() for gateway in gateways] == ["2.0.0", "2.0.1", "2.0.2", "2.0.3"]
    assert "COMPLETED" in str(bed.explain(others[2]))


def test_a_client_sees_the_gateways_of_its_account_and_region_only(bed: Testbed, others: list[Gateway]) -> None:
    for gateway in others:
        place = gateway.owner
        assert ids(bed.client("iotwireless", place.region, account=place.account)) == [gateway.id]
    with (
        bed.api_over_http(region="us-east-1", account=OTHER) as variables,
        replaced_environ(variables),
    ):
        assert ids(boto3.client("iotwireless")) == [others[2].id]


def test_a_role_that_is_assumed_leads_into_its_account(bed: Testbed, others: list[Gateway]) -> None:
    bed.client("iam", account=OTHER).create_role(RoleName="rollout", AssumeRolePolicyDocument="{}")
    role = f"arn:aws:iam::{OTHER}:role/rollout"
    keys = boto3.client("sts").assume_role(RoleArn=role, RoleSessionName="rollout")["Credentials"]
    session = boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
    assert ids(session.client("iotwireless", region_name="us-east-1")) == [others[2].id]


def test_a_gateway_has_the_name_the_tags_and_the_rf_region_that_it_was_given(bed: Testbed) -> None:
    gateway = bed.add_gateway("58a0cbfffe8000f1", name="mast", tags={"site": "roof"}, rf_region="EU868")
    iot = bed.client("iotwireless")
    described = iot.get_wireless_gateway(Identifier=gateway.id, IdentifierType="WirelessGatewayId")
    assert (described["Name"], described["LoRaWAN"]["RfRegion"]) == ("mast", "EU868")
    assert iot.list_tags_for_resource(ResourceArn=described["Arn"])["Tags"] == [{"Key": "site", "Value": "roof"}]
    before = len(bed.gateways)
    with pytest.raises(ClientError, match=r"ValidationException.*RfRegion"):
        bed.add_gateway("58a0cbfffe8000f2", rf_region="x" * 65)
    with pytest.raises(LabError, match=r"^tags: "):
        bed.add_gateway("58a0cbfffe8000f2", tags={"site": 1})  # type: ignore[dict-item]
    assert len(bed.gateways) == before


def test_a_gateway_that_is_registered_elsewhere_is_refused_with_its_place(bed: Testbed) -> None:
    bed.client("iotwireless", "sa-east-1").create_wireless_gateway(LoRaWAN={"GatewayEui": "58a0cbfffe8000f3"})
    with pytest.raises(
        LabError, match=r"^eui: .* is registered in sa-east-1, account 111122223333, and not in eu-west"
    ):
        bed.add_gateway("58a0cbfffe8000f3")
    assert bed.add_gateway("58a0cbfffe8000f3", region="sa-east-1").owner.region == "sa-east-1"


def test_explain_says_where_a_gateway_is_registered(bed: Testbed, others: list[Gateway]) -> None:
    elsewhere, strangers, _ = others
    with bed.api_over_http() as variables:
        for gateway, region, words in [
            (elsewhere.id, "eu-west-1", f"is registered in us-east-1, account {HOME.account}, and not in eu-west-1"),
            (elsewhere.eui.id6, "sa-east-1", f"is registered in us-east-1, account {HOME.account}, and not in sa-east"),
            (strangers.eui.hex, "eu-west-1", f"is registered in eu-west-1, account {OTHER}, and not in eu-west-1"),
            (elsewhere.eui.hex, "us-east-2", "'us-east-2' has no AWS IoT Wireless"),
        ]:
            result = CliRunner().invoke(main, ["explain", gateway, "--region", region], env=variables)
            assert result.exit_code == 1
            assert words in result.output
            assert "to list the gateways" not in result.output
        found = CliRunner().invoke(main, ["explain", elsewhere.id, "--region", "us-east-1"], env=variables)
        assert found.output.startswith(f"Gateway {elsewhere.eui.hex} ")
        unknown = CliRunner().invoke(main, ["explain", "58a0cbfffe8000ff"], env=variables)
        assert "'58a0cbfffe8000ff' does not exist (to list the gateways: " in unknown.output


def test_the_clock_starts_at_a_datetime_and_motos_configuration_holds(bed: Testbed) -> None:
    assert bed.now().startswith("2026-11-25T09:0")
    from moto.core.config import default_user_config

    assert default_user_config["iot"]["use_valid_cert"]
    assert Testbed(start=datetime(2026, 1, 2, tzinfo=UTC)).now() == "2026-01-02T00:00:00.000Z"


def test_a_region_without_lorawan_is_refused_with_those_that_have_it(bed: Testbed) -> None:
    everywhere = "ap-northeast-1, ap-southeast-2, eu-central-1, eu-west-1, sa-east-1, us-east-1, us-west-2"
    words = rf"^region: 'us-east-2' has no AWS IoT Core for LoRaWAN; give one that has it: .*{everywhere[-30:]}"
    for use in (
        lambda: Testbed(region="us-east-2"),
        lambda: bed.client("iotwireless", "us-east-2"),
        lambda: bed.add_gateway("58a0cbfffe8000f4", region="us-east-2"),
        lambda: bed.define_update("1.0.1", region="us-east-2"),
        lambda: bed.api_over_http(region="us-east-2").__enter__(),
    ):
        with pytest.raises(LabError, match=words):
            use()
    assert (
        lorawan_regions()
        == tuple(everywhere.split(", "))
        == tuple(sorted(boto3.Session().get_available_regions("iotwireless")))
    )
    assert bed.client("s3", "us-east-2").list_buckets()["Buckets"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"account": "12345678901"}, r"^account: .* twelve digits"),
        ({"account": 123456789012}, r"^account: "),
        ({"region": None}, r"^region: None has no"),
        ({"start": 5}, r"^start: 5 is not a time; .*datetime"),
        ({"moto_config": []}, r"^moto_config: \[\] is not"),
        ({"moto_config": {"core": 1}}, r"^moto_config: "),
        ({"moto_config": {"core": {"passthrough": {"services": ["s3"]}}}}, r"^moto_config: passthrough .*allow_hosts"),
    ],
    ids=str,
)
def test_a_bad_argument_is_refused_before_anything_is_opened(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(LabError, match=words):
        Testbed(**arguments)


def test_the_stubs_of_boto3_and_the_literal_of_faults_name_what_exists() -> None:
    overloads = get_overloads(AwsSide.client)
    assert len(overloads) == 6
    for overload in overloads[:-1]:
        name, returned = overload.__annotations__["name"], overload.__annotations__["return"]
        service = re.sub(r"[^a-z0-9]", "", name.removeprefix("Literal"))
        module = importlib.import_module(f"mypy_boto3_{service}.client")
        assert hasattr(module, returned)
        assert hasattr(getattr(module, returned), "get_paginator")
    assert set(get_args(FaultName)) == {fault.value for fault in Fault if fault is not Fault.NONE}
    assert get_type_hints(Testbed.inject)["fault"] == Fault | FaultName
