"""Errors of the API that a script must handle: through boto3 in process and over HTTP, and with the AWS CLI."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from lorafw import Testbed
from lorafw.errors import LabError
from lorafw.isolation.environment import replaced_environ

MODEL = botocore.session.get_session().get_service_model("iotwireless")
ERRORS = MODEL.operation_model("GetWirelessGateway").error_shapes
EUI = "5a11b0a85a11b0a8"
ONCE = Config(retries={"total_max_attempts": 1})


@pytest.fixture(params=["in process", "over HTTP"])
def bed(request: pytest.FixtureRequest) -> Iterator[Testbed]:
    with Testbed() as bed:
        if request.param == "in process":
            yield bed
            return
        with bed.api_over_http() as environment, replaced_environ(environment):
            yield bed


def get(client: Any = None) -> Any:
    client = client or boto3.client("iotwireless", region_name="us-east-1", config=ONCE)
    return client.get_wireless_gateway(Identifier=EUI, IdentifierType="GatewayEui")


@pytest.mark.parametrize("shape", ERRORS, ids=lambda shape: shape.name)
def test_the_next_call_ends_with_the_error_of_the_model_and_the_one_after_it_does_not(bed: Testbed, shape: Any) -> None:
    bed.fail_next("GetWirelessGateway", shape.name, message="not today")
    client = boto3.client("iotwireless", region_name="us-east-1", config=ONCE)
    with pytest.raises(getattr(client.exceptions, shape.name)) as caught:
        get(client)
    response = caught.value.response
    assert response["Error"] == {"Code": shape.name, "Message": "not today"}
    assert response["ResponseMetadata"]["HTTPStatusCode"] == shape.metadata["error"]["httpStatusCode"]
    assert get()["LoRaWAN"]["GatewayEui"] == EUI


def test_only_this_operation_fails_and_so_often_as_was_said(bed: Testbed) -> None:
    bed.fail_next("GetWirelessGateway", "ThrottlingException", times=2)
    bed.fail_next("GetWirelessGateway", "AccessDeniedException")
    boto3.client("iotwireless", region_name="us-east-1").list_wireless_gateways()
    codes = []
    for _ in range(3):
        with pytest.raises(ClientError) as caught:
            get()
        codes.append(caught.value.response["Error"]["Code"])
    assert codes == ["ThrottlingException", "ThrottlingException", "AccessDeniedException"]
    get()


def test_boto3_tries_what_is_throttled_again_by_itself(bed: Testbed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    bed.fail_next("GetWirelessGateway", "ThrottlingException", times=2)
    assert get(bed.client("iotwireless"))["ResponseMetadata"]["RetryAttempts"] == 2


def test_a_call_with_an_injected_failure_changes_nothing(bed: Testbed) -> None:
    bed.fail_next("DeleteWirelessGateway", "AccessDeniedException")
    with pytest.raises(ClientError):
        bed.client("iotwireless").delete_wireless_gateway(Id=bed.gateways[0].id)
    assert get()["Id"] == bed.gateways[0].id


def test_injected_failures_end_with_their_testbed() -> None:
    with Testbed() as bed:
        bed.fail_next("GetWirelessGateway", "AccessDeniedException")
    with Testbed():
        get()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("GetWirelessGatewayTasks", "ThrottlingException"), "^operation: .* give GetWirelessGatewayTask$"),
        (("get_wireless_gateway", "ThrottlingException"), "^operation: "),
        (("GetWirelessGateway", "Throttling"), "^code: 'Throttling' is not an error of GetWirelessGateway; give Thr"),
        (("GetWirelessGateway", "ConflictException"), "^code: .*; give "),
    ],
    ids=str,
)
def test_a_name_that_the_model_has_not_is_refused(arguments: tuple[str, str], words: str) -> None:
    with Testbed() as bed:
        with pytest.raises(LabError, match=words):
            bed.fail_next(*arguments)
        for times in (0, -1, 1.5, True):
            with pytest.raises(LabError, match=r"^times: "):
                bed.fail_next("GetWirelessGateway", "ThrottlingException", times=times)  # type: ignore[arg-type]
        get()


def aws(bed: Testbed, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the AWS CLI against the testbed, once per call."""
    with bed.api_over_http() as environment:
        variables = {**environment, "AWS_MAX_ATTEMPTS": "1", "PATH": str(Path(sys.executable).parent)}
        command = [str(Path(sys.executable).parent / "aws"), *arguments]
        return subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=60)


def test_the_aws_cli_shows_the_errors_that_were_planned_as_each_protocol_spells_them() -> None:
    with Testbed(gateways=0) as bed:
        bed.fail_next("ListWirelessGateways", "ThrottlingException", message="Rate exceeded")
        bed.fail_next("GetRole", "AccessDenied", message="not you")
        bed.fail_next("ListBuckets", "SlowDown", message="Please reduce your request rate.")
        listed = aws(bed, "iotwireless", "list-wireless-gateways")
        assert (
            "An error occurred (ThrottlingException) when calling the ListWirelessGateways operation" in listed.stderr
        )
        assert listed.stderr.rstrip().endswith("Rate exceeded")
        role = aws(bed, "iam", "get-role", "--role-name", "IoTWirelessFwUpdateRole")
        assert "An error occurred (AccessDenied) when calling the GetRole operation: not you" in role.stderr
        buckets = aws(bed, "s3api", "list-buckets")
        assert buckets.stderr.rstrip().endswith("Please reduce your request rate.")
        assert "(SlowDown)" in buckets.stderr
