"""Calls that fail as planned, through boto3 in process and over HTTP."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from lorafw import Testbed
from lorafw.failures.names import Operation, find_operation
from lorafw.failures.requests import WireRequest, read_call
from lorafw.isolation.environment import replaced_environ

ONCE = Config(retries={"total_max_attempts": 1})
IMPATIENT = ONCE.merge(Config(read_timeout=0.3))
"""For calls that get no reply. Over HTTP the test really waits."""
BUCKET = "iotwirelessfwupdate"
ROLE = "IoTWirelessFwUpdateRole"


@pytest.fixture(scope="module", params=["in process", "over HTTP"])
def shared_bed(request: pytest.FixtureRequest) -> Iterator[Testbed]:
    """Open one testbed for many tests, because opening costs more than a test."""
    with Testbed() as bed:
        if request.param == "in process":
            yield bed
            return
        with bed.api_over_http() as environment, replaced_environ(environment):
            bed.url = environment["AWS_ENDPOINT_URL"]  # type: ignore[attr-defined]
            yield bed


@pytest.fixture
def bed(shared_bed: Testbed) -> Iterator[Testbed]:
    yield shared_bed
    shared_bed._failures.clear()


@functools.cache
def client(bed: Testbed, service: str, config: Config = ONCE) -> Any:
    url = getattr(bed, "url", None)
    return boto3.client(service, region_name="us-east-1", config=config, endpoint_url=url)


NUMBERS = itertools.count(0x58A0CBFFFE800001)


def new_eui() -> str:
    """Return an EUI that no test has used."""
    return f"{next(NUMBERS):016x}"


def listed(bed: Testbed) -> list[str]:
    """Return the ids of the gateways."""
    return [gateway["Id"] for gateway in client(bed, "iotwireless").list_wireless_gateways()["WirelessGatewayList"]]


def call(bed: Testbed, service: str, operation: str, **parameters: Any) -> Any:
    return getattr(client(bed, service), operation)(**parameters)


CALLS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "GetWirelessGateway": ("iotwireless", "get_wireless_gateway", {"Identifier": "a", "IdentifierType": "GatewayEui"}),
    "iot:DescribeCertificate": ("iot", "describe_certificate", {"certificateId": "a" * 64}),
    "GetRole": ("iam", "get_role", {"RoleName": ROLE}),
    "GetCallerIdentity": ("sts", "get_caller_identity", {}),
    "PutObject": ("s3", "put_object", {"Bucket": BUCKET, "Key": "a/b c", "Body": b"x" * 100_000}),
    "GetObject": ("s3", "get_object", {"Bucket": BUCKET, "Key": "a/b"}),
    "HeadObject": ("s3", "head_object", {"Bucket": BUCKET, "Key": "a/b"}),
}


@pytest.mark.parametrize(
    ("operation", "code", "status", "seen"),
    [
        ("GetWirelessGateway", "ThrottlingException", 429, None),
        ("GetWirelessGateway", "ExpiredTokenException", 403, None),
        ("iot:DescribeCertificate", "ThrottlingException", 400, None),
        ("iot:DescribeCertificate", "InternalFailureException", 500, None),
        ("GetRole", "NoSuchEntity", 404, None),
        ("GetRole", "Throttling", 400, None),
        ("GetRole", "AccessDenied", 403, None),
        ("GetCallerIdentity", "ExpiredToken", 403, None),
        ("PutObject", "SlowDown", 503, None),
        ("GetObject", "NoSuchKey", 404, None),
        ("HeadObject", "AccessDenied", 403, "403"),
    ],
)
def test_a_service_spells_its_error_so_that_boto3_reads_it(
    bed: Testbed, operation: str, code: str, status: int, seen: str | None
) -> None:
    service, method, parameters = CALLS[operation]
    bed.fail_next(operation, code, message="not <today>")
    with pytest.raises(ClientError) as caught:
        call(bed, service, method, **parameters)
    response = caught.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert response["Error"]["Code"] == (seen or code)
    assert seen or response["Error"]["Message"] == "not <today>"
    names = [shape.name for shape in client(bed, service).meta.service_model.error_shapes]
    assert type(caught.value).__name__ in (*names, "ClientError")


def test_a_modelled_error_is_the_exception_of_the_client(bed: Testbed) -> None:
    bed.fail_next("GetRole", "NoSuchEntity")
    iam = client(bed, "iam")
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_role(RoleName=ROLE)
    bed.fail_next("GetObject", "NoSuchKey")
    s3 = client(bed, "s3")
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket=BUCKET, Key="a")


def test_only_calls_with_the_members_fail(bed: Testbed) -> None:
    iot, s3, iam = (client(bed, service) for service in ("iotwireless", "s3", "iam"))
    spared, other = (iot.create_wireless_gateway(LoRaWAN={"GatewayEui": new_eui()})["Id"] for _ in range(2))
    eui = new_eui()
    bed.fail_next("DeleteWirelessGateway", "AccessDeniedException", where={"Id": other})
    bed.fail_next("PutObject", "SlowDown", where={"Key": "b/c d"})
    bed.fail_next("iam:GetRole", "AccessDenied", where={"RoleName": ROLE})
    bed.fail_next("CreateWirelessGateway", "ConflictException", where={"LoRaWAN": {"GatewayEui": eui}})
    s3.put_object(Bucket=BUCKET, Key="b/c", Body=b"")
    iot.create_wireless_gateway(LoRaWAN={"GatewayEui": new_eui()})
    iam.create_role(RoleName="other", AssumeRolePolicyDocument="{}")
    iam.get_role(RoleName="other")
    iot.delete_wireless_gateway(Id=spared)
    failing: list[tuple[Any, dict[str, Any]]] = [
        (s3.put_object, {"Bucket": BUCKET, "Key": "b/c d", "Body": b""}),
        (iam.get_role, {"RoleName": ROLE}),
        (iot.create_wireless_gateway, {"LoRaWAN": {"GatewayEui": eui}}),
        (iot.delete_wireless_gateway, {"Id": other}),
    ]
    for method, parameters in failing:
        with pytest.raises(ClientError):
            method(**parameters)
        method(**parameters)


@pytest.mark.parametrize(
    ("failure", "error", "has_effect"),
    [
        ("timeout-before-effect", ReadTimeoutError, False),
        ("timeout-after-effect", ReadTimeoutError, True),
        ("reset-before-effect", ConnectionClosedError, False),
        ("reset-after-effect", ConnectionClosedError, True),
    ],
)
def test_a_reply_is_lost_before_or_after_the_effect(
    bed: Testbed, failure: str, error: type[Exception], has_effect: bool
) -> None:
    config = IMPATIENT if error is ReadTimeoutError else ONCE
    before = len(listed(bed))
    client(bed, "s3").delete_object(Bucket=BUCKET, Key="lost")
    bed.fail_next("CreateWirelessGateway", failure)
    with pytest.raises(error):
        client(bed, "iotwireless", config).create_wireless_gateway(LoRaWAN={"GatewayEui": new_eui()})
    assert len(listed(bed)) == before + has_effect
    bed.fail_next("PutObject", failure)
    with pytest.raises(error):
        client(bed, "s3", config).put_object(Bucket=BUCKET, Key="lost", Body=b"x" * 100_000)
    assert client(bed, "s3").list_objects_v2(Bucket=BUCKET, Prefix="lost")["KeyCount"] == has_effect


def test_boto3_repeats_a_call_whose_reply_was_lost_and_the_token_keeps_it_from_a_second_effect(bed: Testbed) -> None:
    bed.fail_next("CreateWirelessGateway", "reset-after-effect")
    before = listed(bed)
    retrying = client(bed, "iotwireless", Config(retries={"mode": "standard"}))
    created = retrying.create_wireless_gateway(LoRaWAN={"GatewayEui": new_eui()})
    assert created["ResponseMetadata"]["RetryAttempts"] == 1
    assert listed(bed) == [*before, created["Id"]]


@pytest.mark.parametrize("mode", ["legacy", "standard", "adaptive"])
def test_four_retries_move_the_clock_and_do_not_sleep(bed: Testbed, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    bed.fail_next("GetRole", "Throttling", times=4)
    iam = client(bed, "iam", Config(retries={"mode": mode, "total_max_attempts": 5}))  # type: ignore[typeddict-item]
    before_ms = bed.clock.now_ms()
    assert iam.get_role(RoleName=ROLE)["ResponseMetadata"]["RetryAttempts"] == 4
    assert slept == []
    assert bed.clock.now_ms() - before_ms > 500


def test_polls_that_fall_due_while_a_call_waits_are_made_when_it_has_returned(bed: Testbed) -> None:
    gateway = bed.add_gateway(new_eui())
    bed.define_update("1.0.1")
    bed.poll(gateway)
    bed.fail_next("GetWirelessGatewayTask", "ThrottlingException", times=7)
    retrying = client(bed, "iotwireless", Config(retries={"mode": "legacy", "max_attempts": 8}))
    before_ms = bed.clock.now_ms()
    answered = retrying.get_wireless_gateway_task(Id=gateway.id)
    waited_s = (bed.clock.now_ms() - before_ms) / 1000
    assert waited_s > 20
    assert answered["Status"] == "IN_PROGRESS"  # no poll was made while the call waited
    assert bed.status(gateway) == "COMPLETED"
    assert gateway.next_poll_ms - before_ms == 10_000 * (waited_s // 10 + 1)


def test_a_rate_throttles_a_script_that_calls_too_often(bed: Testbed) -> None:
    bed.throttle()
    eui = bed.gateways[0].eui.hex
    retrying = client(bed, "iotwireless", Config())
    before_ms = bed.clock.now_ms()
    retries = 0
    for _ in range(40):
        answer = retrying.get_wireless_gateway(Identifier=eui, IdentifierType="GatewayEui")
        retries += answer["ResponseMetadata"]["RetryAttempts"]
    assert retries > 0
    assert (bed.clock.now_ms() - before_ms) / 1000 >= (40 - 10) / 10
    once = client(bed, "iotwireless")
    for _ in range(10):
        once.list_wireless_gateways()
    with pytest.raises(once.exceptions.ThrottlingException):
        once.list_wireless_gateways()
    bed.throttle(None)
    once.list_wireless_gateways()


def test_the_testbeds_own_calls_and_its_service_do_not_fail(bed: Testbed) -> None:
    for operation in ("CreateWirelessGateway", "CreateWirelessGatewayTaskDefinition"):
        bed.fail_next(operation, "AccessDeniedException", times=99)
    bed.fail_next("PutObject", "AccessDenied", times=99)
    for operation in ("GetRole", "ListRolePolicies", "GetRolePolicy", "ListAttachedRolePolicies"):
        bed.fail_next(operation, "AccessDenied", times=99)
    bed.throttle(0.001)
    bed.throttle(0.001, operation="GetRole")
    gateways = [bed.add_gateway(new_eui(), package="1.1.0") for _ in range(2)]
    bed.define_update("1.1.1", current_version=gateways[0].virtual.version)
    bed.advance(20)
    assert [bed.status(gateway) for gateway in gateways] == ["COMPLETED"] * 2


S3_CALLS: dict[str, dict[str, Any]] = {
    "ListBuckets": {},
    "ListObjects": {"Bucket": BUCKET},
    "ListObjectsV2": {"Bucket": BUCKET},
    "ListObjectVersions": {"Bucket": BUCKET},
    "CreateBucket": {"Bucket": BUCKET},
    "PutBucketVersioning": {"Bucket": BUCKET, "VersioningConfiguration": {"Status": "Enabled"}},
    "GetBucketLifecycleConfiguration": {"Bucket": BUCKET},
    "GetBucketAnalyticsConfiguration": {"Bucket": BUCKET, "Id": "a"},
    "PutObject": {"Bucket": BUCKET, "Key": "a/b"},
    "CopyObject": {"Bucket": BUCKET, "Key": "a/b", "CopySource": "c/d"},
    "UploadPart": {"Bucket": BUCKET, "Key": "a/b", "UploadId": "u", "PartNumber": 1},
    "CreateMultipartUpload": {"Bucket": BUCKET, "Key": "a/b"},
    "CompleteMultipartUpload": {"Bucket": BUCKET, "Key": "a/b", "UploadId": "u"},
    "AbortMultipartUpload": {"Bucket": BUCKET, "Key": "a/b", "UploadId": "u"},
    "DeleteObject": {"Bucket": BUCKET, "Key": "a/b"},
    "GetObjectTagging": {"Bucket": BUCKET, "Key": "a/b"},
}


@pytest.mark.parametrize("style", ["virtual", "path"])
def test_each_request_that_boto3_makes_is_read_as_the_operation_that_it_calls(style: str) -> None:
    seen: list[Any] = []

    def catch(request: Any, **_: Any) -> None:
        headers = {
            name.lower(): value.decode() if isinstance(value, bytes) else value
            for name, value in request.headers.items()
        }
        seen.append(read_call(WireRequest(request.method, request.url, headers)))
        raise KeyboardInterrupt

    s3 = boto3.client(
        "s3",
        region_name="us-east-1",
        config=Config(s3={"addressing_style": style}),
        aws_access_key_id="a",
        aws_secret_access_key="b",
    )
    s3.meta.events.register("before-send", catch)
    for operation, parameters in S3_CALLS.items():
        method = next(name for name, of in s3.meta.method_to_api_mapping.items() if of == operation)
        with pytest.raises(KeyboardInterrupt):
            getattr(s3, method)(**parameters)
        found = seen.pop()
        assert found.operation == find_operation(operation)
        for name in set(parameters) & {"Bucket", "Key", "UploadId", "PartNumber", "Id"}:
            assert found.members[name] == str(parameters[name])


def test_a_request_that_cannot_be_read_is_no_call() -> None:
    for url in ("http://127.0.0.1/", "http://[x", "https://ec2.us-east-1.amazonaws.com/", "http://x/%ff?%ff"):
        for body in (b"", b"\xff", b"[" * 100_000, b"Action=Nothing"):
            for service in ("iam", "iotwireless", "ec2"):
                signature = f"AWS4-HMAC-SHA256 Credential=a/1/us-east-1/{service}/aws4_request, Signature=0"
                if "[" not in url:
                    assert read_call(WireRequest("POST", url, {"authorization": signature}, body)) is None
    assert read_call(WireRequest("GET", "https://sts.amazonaws.com/?Action=GetCallerIdentity", {}, b"")).operation == (  # type: ignore[union-attr]
        Operation("sts", "GetCallerIdentity")
    )
