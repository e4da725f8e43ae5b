"""The API has the statuses, constraints and errors of botocore's own service model. Called through boto3 alone."""

from __future__ import annotations

import copy
import importlib.util
import json
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import boto3
import botocore.session
import moto
import pytest
from botocore import xform_name
from botocore.awsrequest import AWSPreparedRequest
from botocore.config import Config
from botocore.exceptions import ClientError
from fakes import FakeSource
from moto import mock_aws
from moto.moto_server import werkzeug_app
from werkzeug.serving import WSGIRequestHandler

import lorafw
from lorafw.errors import IncompatibleMoto
from lorafw.iotwireless.context import use_service
from lorafw.iotwireless.operation_response import read_body
from lorafw.iotwireless.validation import parse_parameters
from lorafw.localaws.api_server import ApiServer, reset_moto
from lorafw.server.admission import HostNames
from lorafw.tasks.service import UpdateService

MODEL = botocore.session.get_session().get_service_model("iotwireless")
UNCHECKED = Config(parameter_validation=False, retries={"total_max_attempts": 1})
NO_SUCH_ID = "4ac46ff4-efc5-44fd-9def-e8517077bb12"
EUI = "5a11b0a85a11b0a8"
UPDATE = {
    "UpdateDataSource": "s3://iotwirelessfwupdate/fwstation",
    "UpdateDataRole": "arn:aws:iam::123456789012:role/IoTWirelessFwUpdateRole",
    "LoRaWAN": {
        "SigKeyCrc": 3434210794,
        "UpdateSignature": (
            "MEQCIDPY/p2ssgXIPNCOgZr+NzeTLpX+WfBo5tYWbh5pQWN3AiBROen+XlIdMScvAsfVfU/ZScJCalkVNZh4esyS8mNIgA=="
        ),
        "CurrentVersion": {"PackageVersion": "1.0.0", "Model": "rpi", "Station": "2.0.5(rpi/std) 2021-03-09 03:45:09"},
        "UpdateVersion": {"PackageVersion": "1.0.1", "Model": "rpi", "Station": "2.0.5(rpi/std) 2021-03-09 03:45:09"},
    },
}
TAGS = [{"Key": "site", "Value": "roof"}]
GATEWAY = {
    "Name": "Raspberry pi",
    "Description": "on the roof",
    "LoRaWAN": {
        "GatewayEui": EUI,
        "RfRegion": "US915",
        "JoinEuiFilters": [["0000000000000000", "00000000000000ff"]],
        "NetIdFilters": ["000013"],
        "SubBands": [1, 8],
        "Beaconing": {"DataRate": 8, "Frequencies": [923300000]},
        "MaxEirp": 27.5,
    },
    "Tags": TAGS,
    "ClientRequestToken": "token-1_a",
}
LOG_OPTIONS = {
    "DefaultLogLevel": "DISABLED",
    "FuotaTaskLogOptions": [
        {"Type": "LoRaWAN", "LogLevel": "INFO", "Events": [{"Event": "Fuota", "LogLevel": "ERROR"}]}
    ],
    "WirelessDeviceLogOptions": [
        {"Type": "Sidewalk", "LogLevel": "INFO", "Events": [{"Event": "Registration", "LogLevel": "DISABLED"}]}
    ],
    "WirelessGatewayLogOptions": [
        {"Type": "LoRaWAN", "LogLevel": "INFO", "Events": [{"Event": "Certificate", "LogLevel": "ERROR"}]}
    ],
}
RESOURCE = {"ResourceIdentifier": NO_SUCH_ID, "ResourceType": "WirelessGateway"}
TOPICS_OF_TYPES = {
    "DeviceRegistrationState": {"Sidewalk": {"WirelessDeviceEventTopic": "Enabled"}},
    "Proximity": {"Sidewalk": {"WirelessDeviceEventTopic": "Enabled"}},
    "Join": {"LoRaWAN": {"WirelessDeviceEventTopic": "Enabled"}},
    "ConnectionStatus": {"LoRaWAN": {"WirelessGatewayEventTopic": "Enabled"}},
    "MessageDeliveryStatus": {"Sidewalk": {"WirelessDeviceEventTopic": "Enabled"}},
}
EVENT_SOURCE = {"Identifier": NO_SUCH_ID, "IdentifierType": "WirelessGatewayId", "PartnerType": "Sidewalk"}
DEVICE_TOPICS = {"Sidewalk": {"AmazonIdEventTopic": "Enabled"}, "WirelessDeviceIdEventTopic": "Disabled"}
CONNECTION_TOPICS = {"LoRaWAN": {"GatewayEuiEventTopic": "Enabled"}, "WirelessGatewayIdEventTopic": "Disabled"}
TOPICS = {
    "DeviceRegistrationState": DEVICE_TOPICS,
    "Proximity": DEVICE_TOPICS,
    "Join": {"LoRaWAN": {"DevEuiEventTopic": "Enabled"}, "WirelessDeviceIdEventTopic": "Disabled"},
    "ConnectionStatus": CONNECTION_TOPICS,
    "MessageDeliveryStatus": DEVICE_TOPICS,
}
VALID: dict[str, dict[str, Any]] = {
    "CreateWirelessGateway": GATEWAY,
    "GetWirelessGateway": {"Identifier": EUI, "IdentifierType": "GatewayEui"},
    "ListWirelessGateways": {"MaxResults": 5, "NextToken": "x"},
    "UpdateWirelessGateway": {
        "Id": NO_SUCH_ID,
        "Name": "n",
        "Description": "d",
        "JoinEuiFilters": [["0000000000000000", "00000000000000ff"]],
        "NetIdFilters": ["000013"],
        "MaxEirp": 0.0,
    },
    "DeleteWirelessGateway": {"Id": NO_SUCH_ID},
    "GetWirelessGatewayFirmwareInformation": {"Id": NO_SUCH_ID},
    "GetWirelessGatewayStatistics": {"WirelessGatewayId": NO_SUCH_ID},
    "AssociateWirelessGatewayWithCertificate": {"Id": NO_SUCH_ID, "IotCertificateId": "c"},
    "DisassociateWirelessGatewayFromCertificate": {"Id": NO_SUCH_ID},
    "GetWirelessGatewayCertificate": {"Id": NO_SUCH_ID},
    "AssociateWirelessGatewayWithThing": {"Id": NO_SUCH_ID, "ThingArn": "arn:aws:iot:us-east-1:123456789012:thing/t"},
    "DisassociateWirelessGatewayFromThing": {"Id": NO_SUCH_ID},
    "CreateWirelessGatewayTaskDefinition": {
        "AutoCreateTasks": True,
        "Name": "FirmwareUpdate",
        "Update": UPDATE,
        "ClientRequestToken": "token-1_a",
        "Tags": TAGS,
    },
    "GetWirelessGatewayTaskDefinition": {"Id": NO_SUCH_ID},
    "ListWirelessGatewayTaskDefinitions": {"MaxResults": 5, "NextToken": "x", "TaskDefinitionType": "UPDATE"},
    "DeleteWirelessGatewayTaskDefinition": {"Id": NO_SUCH_ID},
    "CreateWirelessGatewayTask": {"Id": NO_SUCH_ID, "WirelessGatewayTaskDefinitionId": NO_SUCH_ID},
    "GetWirelessGatewayTask": {"Id": NO_SUCH_ID},
    "DeleteWirelessGatewayTask": {"Id": NO_SUCH_ID},
    "GetServiceEndpoint": {"ServiceType": "CUPS"},
    "TagResource": {"ResourceArn": "arn:aws:iotwireless:us-east-1:123456789012:WirelessGateway/x", "Tags": TAGS},
    "UntagResource": {"ResourceArn": "arn:aws:iotwireless:us-east-1:123456789012:WirelessGateway/x", "TagKeys": ["k"]},
    "ListTagsForResource": {"ResourceArn": "arn:aws:iotwireless:us-east-1:123456789012:WirelessGateway/x"},
    "GetLogLevelsByResourceTypes": {},
    "UpdateLogLevelsByResourceTypes": LOG_OPTIONS,
    "GetResourceLogLevel": RESOURCE,
    "PutResourceLogLevel": {**RESOURCE, "LogLevel": "INFO"},
    "ResetResourceLogLevel": RESOURCE,
    "ResetAllResourceLogLevels": {},
    "GetEventConfigurationByResourceTypes": {},
    "UpdateEventConfigurationByResourceTypes": TOPICS_OF_TYPES,
    "GetResourceEventConfiguration": EVENT_SOURCE,
    "UpdateResourceEventConfiguration": {**EVENT_SOURCE, **TOPICS},
    "ListEventConfigurations": {"ResourceType": "WirelessGateway", "MaxResults": 5, "NextToken": "x"},
}
"""For each operation that is built, every member of its input with a value that the model allows."""


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    lorafw.register()


@pytest.fixture
def iot() -> Iterator[Any]:
    with mock_aws():
        yield client()


def client(region: str = "us-east-1", **options: Any) -> Any:
    return boto3.client("iotwireless", region_name=region, config=UNCHECKED.merge(Config(**options)))


def call(iot: Any, operation: str, **parameters: Any) -> dict[str, Any]:
    answer: dict[str, Any] = getattr(iot, xform_name(operation))(**parameters)
    return answer


def refused(iot: Any, operation: str, code: str, status: int, **parameters: Any) -> dict[str, Any]:
    """The whole error answer, which has this code and status."""
    with pytest.raises(ClientError) as caught:
        call(iot, operation, **parameters)
    response: dict[str, Any] = caught.value.response
    assert response["Error"]["Code"] == code, response["Error"]
    assert response["ResponseMetadata"]["HTTPStatusCode"] == status
    return response


def given(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def gateway(iot: Any, eui: str = EUI, **parameters: Any) -> str:
    return str(call(iot, "CreateWirelessGateway", LoRaWAN={"GatewayEui": eui}, **parameters)["Id"])


# --- the constraints, as the model has them ---


Violation = tuple[str, Callable[[dict[str, Any]], None], object, str]
"""Path, how to break the valid input there, the bad value, and the limit that must be named."""


def violations(operation: str) -> list[Violation]:
    shape = MODEL.operation_model(operation).input_shape
    found = violations_in(shape, VALID[operation], "", [])
    # An empty label is another path.
    return [case for case in found if not (case[2] == "" and in_the_uri(operation, case[0]))]


def violations_in(shape: Any, value: Any, path: str, steps: list[Any]) -> Iterator[Violation]:
    for bad, limit in bad_values(shape, value):

        def break_it(parameters: dict[str, Any], bad: Any = bad) -> None:
            place: Any = parameters
            for step in steps[:-1]:
                place = place[step]
            place[steps[-1]] = bad

        yield path, break_it, bad, limit
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            inner = f"{path}.{name}" if path else name
            assert name in value, f"{inner} is not covered"
            yield from violations_in(member, value[name], inner, [*steps, name])
    elif shape.type_name == "list":
        yield from violations_in(shape.member, value[0], f"{path}[0]", [*steps, 0])


def bad_values(shape: Any, value: Any) -> Iterator[tuple[Any, str]]:
    """Values just outside each limit, with what a message must say of it."""
    limits, kind = shape.metadata, shape.type_name
    if "max" in limits:
        too_much = {"string": lambda n: "1" * (n + 1), "list": lambda n: [value[0]] * (n + 1)}
        yield too_much.get(kind, lambda n: n + 1)(limits["max"]), str(limits["max"])
    if limits.get("min"):
        too_little = {"string": lambda n: "1" * (n - 1), "list": lambda n: [value[0]] * (n - 1)}
        yield too_little.get(kind, lambda n: n - 1)(limits["min"]), str(limits["min"])
    if "enum" in limits:
        yield "NO_SUCH_VALUE", limits["enum"][0]
    if "pattern" in limits:
        yield "not as the pattern!", limits["pattern"]


def in_the_uri(operation: str, path: str) -> bool:
    member = MODEL.operation_model(operation).input_shape.members.get(path)
    return member is not None and member.serialization.get("location") == "uri"


@pytest.mark.parametrize("operation", VALID)
def test_each_constraint_of_the_model_is_enforced_and_named(iot: Any, operation: str) -> None:
    for path, break_it, bad, limit in violations(operation):
        parameters = copy.deepcopy(VALID[operation])
        break_it(parameters)
        error = refused(iot, operation, "ValidationException", 400, **parameters)["Error"]
        assert f"at '{path}' failed to satisfy constraint" in error["Message"]
        assert limit in error["Message"]
        if isinstance(bad, str | int | float):
            assert f"'{str(bad)[:80]}" in error["Message"]
    assert given(call(iot, "ListWirelessGateways")) == {"WirelessGatewayList": []}
    assert given(call(iot, "ListWirelessGatewayTaskDefinitions")) == {"TaskDefinitions": []}


def test_the_constraints_that_are_tried_are_all_that_the_model_has() -> None:
    """So that a walk which finds nothing cannot pass for one that finds everything."""
    tried = [(operation, path) for operation in VALID for path, *_ in violations(operation)]
    assert len(tried) > 100
    assert {
        ("CreateWirelessGateway", "LoRaWAN.GatewayEui"),
        ("CreateWirelessGateway", "LoRaWAN.Beaconing.Frequencies[0]"),
        ("CreateWirelessGateway", "LoRaWAN.JoinEuiFilters[0]"),
        ("CreateWirelessGatewayTaskDefinition", "Update.LoRaWAN.SigKeyCrc"),
        ("CreateWirelessGatewayTaskDefinition", "Update.LoRaWAN.CurrentVersion.PackageVersion"),
        ("ListWirelessGateways", "MaxResults"),
        ("UntagResource", "TagKeys[0]"),
    } <= set(tried)


@pytest.mark.parametrize("operation", [name for name in VALID if MODEL.operation_model(name).input_shape])
def test_each_required_member_is_asked_for_by_name(iot: Any, operation: str) -> None:
    shape = MODEL.operation_model(operation).input_shape
    for name in shape.required_members:
        if not in_the_uri(operation, name):
            without = {key: value for key, value in VALID[operation].items() if key != name}
            error = refused(iot, operation, "ValidationException", 400, **without)["Error"]
            assert f"Value null at '{name}'" in error["Message"]


@pytest.mark.parametrize("separator", ["", "-", ":", " ", "\t"])
def test_an_eui_in_any_form_of_the_model_is_one_gateway_for_all_accounts_and_regions(iot: Any, separator: str) -> None:
    known = gateway(iot)
    form = separator.join(EUI[i : i + 2] for i in range(0, 16, 2)).upper()
    sts = boto3.client("sts", region_name="us-east-1")
    keys = sts.assume_role(RoleArn="arn:aws:iam::999999999999:role/x", RoleSessionName="other")["Credentials"]
    stranger = boto3.client(
        "iotwireless",
        region_name="us-east-1",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )
    for other in (iot, client("eu-west-1"), stranger):
        error = refused(other, "CreateWirelessGateway", "ConflictException", 409, LoRaWAN={"GatewayEui": form})
        assert error["ResourceType"] == "WirelessGateway"
    if separator != "\t":
        found = call(iot, "GetWirelessGateway", Identifier=form, IdentifierType="GatewayEui")
        assert (found["Id"], found["LoRaWAN"]["GatewayEui"]) == (known, EUI)


# --- what each operation answers ---


def disabled(topics: dict[str, Any]) -> dict[str, Any]:
    """The same topics, all of them disabled."""
    return {name: disabled(value) if isinstance(value, dict) else "Disabled" for name, value in topics.items()}


def test_each_operation_answers_with_the_status_and_the_members_of_the_model(iot: Any) -> None:
    things = boto3.client("iot", region_name="us-east-1")
    certificate = things.create_keys_and_certificate(setAsActive=True)["certificateId"]
    thing = things.create_thing(thingName="roof")["thingArn"]
    done = Counter[str]()

    def ok(operation: str, **parameters: Any) -> dict[str, Any]:
        answer = call(iot, operation, **parameters)
        model = MODEL.operation_model(operation)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == model.http.get("responseCode", 200), operation
        members = given(answer)
        assert set(members) <= set(model.output_shape.members), operation
        done[operation] += 1
        return members

    created = ok("CreateWirelessGateway", **GATEWAY)
    one = created["Id"]
    assert created["Arn"] == f"arn:aws:iotwireless:us-east-1:123456789012:WirelessGateway/{one}"
    described = {"Name": "Raspberry pi", "Description": "on the roof", "Id": one, "Arn": created["Arn"]}
    described["LoRaWAN"] = GATEWAY["LoRaWAN"]
    assert ok("GetWirelessGateway", Identifier=one, IdentifierType="WirelessGatewayId") == described
    assert ok("ListWirelessGateways") == {"WirelessGatewayList": [described]}
    ok("UpdateWirelessGateway", Id=one, Name="new", MaxEirp=0.0)
    changed = {**described, "Name": "new", "LoRaWAN": {**GATEWAY["LoRaWAN"], "MaxEirp": 0.0}}
    assert ok("GetWirelessGateway", Identifier=EUI, IdentifierType="GatewayEui") == changed
    assert ok("GetWirelessGatewayFirmwareInformation", Id=one) == {"LoRaWAN": {}}
    assert ok("GetWirelessGatewayStatistics", WirelessGatewayId=one) == {"WirelessGatewayId": one}

    assert ok("AssociateWirelessGatewayWithCertificate", Id=one, IotCertificateId=certificate) == {
        "IotCertificateId": certificate
    }
    assert ok("GetWirelessGatewayCertificate", Id=one) == {"IotCertificateId": certificate}
    assert ok("DisassociateWirelessGatewayFromCertificate", Id=one) == {}
    assert ok("AssociateWirelessGatewayWithThing", Id=one, ThingArn=thing) == {}
    by_thing = ok("GetWirelessGateway", Identifier="roof", IdentifierType="ThingName")
    assert (by_thing["ThingName"], by_thing["ThingArn"]) == ("roof", thing)
    assert ok("DisassociateWirelessGatewayFromThing", Id=one) == {}

    definition = ok("CreateWirelessGatewayTaskDefinition", **VALID["CreateWirelessGatewayTaskDefinition"])
    kept = {"AutoCreateTasks": True, "Name": "FirmwareUpdate", "Update": UPDATE, "Arn": definition["Arn"]}
    assert ok("GetWirelessGatewayTaskDefinition", Id=definition["Id"]) == kept
    versions = {name: UPDATE["LoRaWAN"][name] for name in ("CurrentVersion", "UpdateVersion")}
    assert ok("ListWirelessGatewayTaskDefinitions", TaskDefinitionType="UPDATE") == {
        "TaskDefinitions": [{**definition, "LoRaWAN": versions}]
    }
    assert ok("CreateWirelessGatewayTask", Id=one, WirelessGatewayTaskDefinitionId=definition["Id"]) == {
        "WirelessGatewayTaskDefinitionId": definition["Id"],
        "Status": "PENDING",
    }
    task = ok("GetWirelessGatewayTask", Id=one)
    assert set(task) == {"WirelessGatewayId", "WirelessGatewayTaskDefinitionId", "TaskCreatedAt", "Status"}
    assert ok("DeleteWirelessGatewayTaskDefinition", Id=definition["Id"]) == {}
    assert ok("GetWirelessGatewayTask", Id=one) == task
    assert ok("DeleteWirelessGatewayTask", Id=one) == {}

    assert ok("GetServiceEndpoint")["ServiceType"] == "CUPS"
    assert ok("GetServiceEndpoint", ServiceType="LNS")["ServiceEndpoint"].startswith("wss://")
    assert ok("ListTagsForResource", ResourceArn=created["Arn"]) == {"Tags": TAGS}
    assert ok("TagResource", ResourceArn=created["Arn"], Tags=[{"Key": "site", "Value": "mast"}]) == {}
    assert ok("UntagResource", ResourceArn=created["Arn"], TagKeys=["site", "none"]) == {}
    assert ok("ListTagsForResource", ResourceArn=created["Arn"]) == {"Tags": []}

    assert ok("GetLogLevelsByResourceTypes") == {"DefaultLogLevel": "ERROR"}
    assert ok("UpdateLogLevelsByResourceTypes", **LOG_OPTIONS) == {}
    assert ok("GetLogLevelsByResourceTypes") == LOG_OPTIONS
    level = {"ResourceIdentifier": one, "ResourceType": "WirelessGateway"}
    assert ok("GetResourceLogLevel", **level) == {}
    assert ok("PutResourceLogLevel", **level, LogLevel="INFO") == {}
    assert ok("GetResourceLogLevel", **level) == {"LogLevel": "INFO"}
    assert ok("ResetResourceLogLevel", **level) == {}
    assert ok("ResetAllResourceLogLevels") == {}

    topics = ok("GetEventConfigurationByResourceTypes")
    assert topics == disabled(TOPICS_OF_TYPES)
    assert ok("UpdateEventConfigurationByResourceTypes", **TOPICS_OF_TYPES) == {}
    assert ok("GetEventConfigurationByResourceTypes") == TOPICS_OF_TYPES
    source = {"Identifier": one, "IdentifierType": "WirelessGatewayId"}
    assert ok("GetResourceEventConfiguration", **source) == {"ConnectionStatus": disabled(CONNECTION_TOPICS)}
    assert ok("UpdateResourceEventConfiguration", **source, ConnectionStatus=CONNECTION_TOPICS) == {}
    assert ok("ListEventConfigurations", ResourceType="WirelessGateway") == {
        "EventConfigurationsList": [{**source, "Events": {"ConnectionStatus": CONNECTION_TOPICS}}]
    }
    assert ok("DeleteWirelessGateway", Id=one) == {}
    assert set(done) == set(VALID)


NEED_WHAT_IS_NOT_THERE = [
    name
    for name in VALID
    if "ResourceNotFoundException" in [shape.name for shape in MODEL.operation_model(name).error_shapes]
    and name not in ("CreateWirelessGatewayTaskDefinition", "GetLogLevelsByResourceTypes")
    and name not in ("UpdateLogLevelsByResourceTypes", "ResetAllResourceLogLevels")
]


@pytest.mark.parametrize("operation", NEED_WHAT_IS_NOT_THERE)
def test_what_is_not_there_is_404_and_names_the_resource(iot: Any, operation: str) -> None:
    error = refused(iot, operation, "ResourceNotFoundException", 404, **VALID[operation])
    assert error["ResourceType"]
    assert error["ResourceId"] in VALID[operation].values() or error["ResourceId"] == "x"


NOT_BUILT = [name for name in MODEL.operation_names if name not in VALID]


def least(shape: Any) -> Any:
    """The least input that a client sends."""
    if shape is None:
        return {}
    match shape.type_name:
        case "structure":
            return {name: least(shape.members[name]) for name in shape.required_members}
        case "list":
            return [least(shape.member)]
        case "map":
            return {}
        case "timestamp":
            return "2021-03-12T09:56:12Z"
        case "integer" | "long" | "float" | "double":
            return 1
        case "boolean":
            return True
        case "blob":
            return b"x"
    return shape.metadata.get("enum", ["x"])[0]


@mock_aws
def test_an_operation_that_is_not_built_says_so_at_once_with_a_code_that_no_script_handles() -> None:
    patient = boto3.client("iotwireless", region_name="us-east-1", config=Config(parameter_validation=False))
    assert len(NOT_BUILT) > 70
    for operation in NOT_BUILT:
        model = MODEL.operation_model(operation)
        with pytest.raises(ClientError, match=f"lorafw does not build {operation};") as caught:
            call(patient, operation, **least(model.input_shape))
        response = caught.value.response
        assert response["Error"]["Code"] == "NotImplemented"
        assert response["ResponseMetadata"]["HTTPStatusCode"] == 501
        assert response["ResponseMetadata"]["RetryAttempts"] == 0


@mock_aws
def test_a_region_without_iot_wireless_is_named_with_those_that_have_it() -> None:
    for operation in ("ListWirelessGateways", "GetServiceEndpoint"):
        error = refused(client("us-east-2"), operation, "ValidationException", 400)["Error"]
        assert "'us-east-2' has no AWS IoT Wireless; it is in ap-northeast-1," in error["Message"]


CREDENTIAL = "Credential=testing/20210312/us-east-1/iotwireless/aws4_request"
SIGNED = {"Authorization": f"AWS4-HMAC-SHA256 {CREDENTIAL}, SignedHeaders=host, Signature=0"}


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    with ApiServer() as served:
        yield served


def send(server: ApiServer, method: str, path: str, body: bytes, content_type: str = "application/json") -> int:
    """Send a request as it is, and return the status of the response."""
    headers = {**SIGNED, "Content-Type": content_type}
    request = urllib.request.Request(f"{server.url}{path}", body, headers, method=method)
    with urllib.request.urlopen(request, timeout=20) as response:
        return int(response.status)


def test_a_body_that_is_not_json_is_an_error_of_the_client_not_of_the_server(server: ApiServer) -> None:
    for body in (b"", b"{", b"\xff\xfe", b"[]", b'{"LoRaWAN": ' + b"[" * 100_000):
        with pytest.raises(urllib.error.HTTPError) as caught:
            send(server, "POST", "/wireless-gateways", body)
        assert caught.value.code == 400
        assert b"ValidationException" in caught.value.read()


def with_unknown_members(value: Any) -> Any:
    """The same value with a null and an unknown member in each structure."""
    if isinstance(value, list):
        return [with_unknown_members(item) for item in value]
    if not isinstance(value, dict):
        return value
    members = {name: with_unknown_members(member) for name, member in value.items()}
    return {**members, "NoSuchMember": {"a": {"b": 1}}, "Neither": None}


@pytest.mark.parametrize("operation", [name for name in VALID if MODEL.operation_model(name).input_shape])
def test_a_member_that_the_model_does_not_have_is_ignored_wherever_it_is(operation: str) -> None:
    shape = MODEL.operation_model(operation).input_shape
    in_body = {name for name, member in shape.members.items() if "location" not in member.serialization}
    body = {name: value for name, value in VALID[operation].items() if name in in_body}
    others = {name: VALID[operation][name] for name in shape.required_members if name not in in_body}
    labels = {shape.members[name].serialization["name"]: value for name, value in others.items()}
    query = urllib.parse.urlencode(labels, doseq=True)
    noisy = json.dumps(with_unknown_members(body)).encode()
    assert parse_parameters(shape, labels, query, noisy) == {**body, **others}


def test_unknown_members_of_topics_leave_the_topics_as_they_are(server: ApiServer) -> None:
    topics = {"Join": {"LoRaWAN": {"NoSuchTopic": "Enabled", "NoSuchGroup": {}}, "Sidewalk": {"x": {}}}}
    assert send(server, "PATCH", "/event-configurations-resource-types", json.dumps(topics).encode()) == 204
    iot = boto3.client("iotwireless", region_name="us-east-1", endpoint_url=server.url)
    assert given(iot.get_event_configuration_by_resource_types()) == disabled(TOPICS_OF_TYPES)


def test_a_body_is_read_whatever_its_content_type_says(server: ApiServer) -> None:
    types = ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain")
    for number, content_type in enumerate(types):
        body = json.dumps({"LoRaWAN": {"GatewayEui": f"{number:016x}"}}).encode()
        assert send(server, "POST", "/wireless-gateways", body, content_type) == 201


def test_an_id_with_any_characters_is_looked_up(server: ApiServer) -> None:
    iot = boto3.client("iotwireless", region_name="us-east-1", endpoint_url=server.url, config=UNCHECKED)
    for gateway_id in ("x\n", "a\r\nb", "a/b", "..", "%", "?", "#", "é"):
        error = refused(iot, "GetWirelessGatewayTask", "ResourceNotFoundException", 404, Id=gateway_id)
        assert error["ResourceId"] == gateway_id


@pytest.mark.parametrize("url", ["http://[bad/x", "http://localhost:99999/x"])
def test_a_url_that_cannot_be_parsed_is_answered(
    server: ApiServer, url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_connection((server.host, server.port), timeout=10) as connection:
        connection.sendall(f"GET {url} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        with connection.makefile("rb") as reply:
            assert reply.readline().startswith(b"HTTP/1.1 400 ")
            reply.read()
    assert "Traceback" not in capfd.readouterr().err


def test_a_message_about_very_many_violations_is_short(iot: Any) -> None:
    options = {"Type": "LoRaWAN", "LogLevel": "INFO", "Events": [{"Event": "x", "LogLevel": "x"}] * 2000}
    parameters = {"WirelessGatewayLogOptions": [options]}
    error = refused(iot, "UpdateLogLevelsByResourceTypes", "ValidationException", 400, **parameters)["Error"]
    assert error["Message"].startswith("100 validation errors detected: ")
    assert len(error["Message"]) < 50_000


# --- tokens, tags, pages ---


@pytest.mark.parametrize("operation", ["CreateWirelessGateway", "CreateWirelessGatewayTaskDefinition"])
def test_a_token_with_the_same_parameters_is_answered_again_and_with_others_is_a_conflict(
    iot: Any, operation: str
) -> None:
    first = given(call(iot, operation, **VALID[operation]))
    assert given(call(iot, operation, **VALID[operation])) == first
    error = refused(iot, operation, "ConflictException", 409, **{**VALID[operation], "Name": "another"})
    assert error["ResourceId"] == first["Id"]
    assert error["ResourceType"] == operation.removeprefix("Create")
    assert len(call(iot, "ListWirelessGateways")["WirelessGatewayList"]) <= 1
    assert len(call(iot, "ListWirelessGatewayTaskDefinitions")["TaskDefinitions"]) <= 1


def test_a_resource_has_at_most_fifty_tags(iot: Any) -> None:
    fifty = [{"Key": f"k{number}", "Value": ""} for number in range(50)]
    more = [{"Key": "one more", "Value": ""}]
    one = call(iot, "CreateWirelessGateway", LoRaWAN={"GatewayEui": EUI}, Tags=fifty)
    error = refused(iot, "TagResource", "TooManyTagsException", 400, ResourceArn=one["Arn"], Tags=more)
    assert error["ResourceName"] == one["Arn"]
    assert call(iot, "ListTagsForResource", ResourceArn=one["Arn"])["Tags"] == fifty
    # Neither operation has TooManyTagsException in its model.
    for operation in ("CreateWirelessGateway", "CreateWirelessGatewayTaskDefinition"):
        parameters = {**VALID[operation], "Tags": fifty + more}
        message = refused(iot, operation, "ValidationException", 400, **parameters)["Error"]["Message"]
        assert message == "Tags: 51 tags; a resource has at most 50"


def test_tags_go_with_their_resource(iot: Any) -> None:
    one = call(iot, "CreateWirelessGateway", LoRaWAN={"GatewayEui": EUI}, Tags=TAGS)
    call(iot, "DeleteWirelessGateway", Id=one["Id"])
    refused(iot, "ListTagsForResource", "ResourceNotFoundException", 404, ResourceArn=one["Arn"])


@pytest.mark.parametrize(
    ("make", "list_all", "delete", "entries"),
    [
        (gateway, "ListWirelessGateways", "DeleteWirelessGateway", "WirelessGatewayList"),
        (
            lambda iot, eui: call(iot, "CreateWirelessGatewayTaskDefinition", AutoCreateTasks=False)["Id"],
            "ListWirelessGatewayTaskDefinitions",
            "DeleteWirelessGatewayTaskDefinition",
            "TaskDefinitions",
        ),
    ],
    ids=["gateways", "definitions"],
)
def test_who_deletes_what_is_on_each_page_misses_nothing(
    iot: Any, make: Callable[[Any, str], str], list_all: str, delete: str, entries: str
) -> None:
    made = [make(iot, f"{number:016x}") for number in range(1, 8)]
    seen: list[str] = []
    token: dict[str, str] = {}
    while True:
        answer = call(iot, list_all, MaxResults=2, **token)
        page = [entry["Id"] for entry in answer[entries]]
        assert len(page) <= 2
        seen += page
        for one in page:
            call(iot, delete, Id=one)
        if "NextToken" not in answer:
            break
        token = {"NextToken": answer["NextToken"]}
    assert seen == made


def test_a_token_of_another_list_is_refused(iot: Any) -> None:
    for number in range(1, 3):
        one = gateway(iot, f"{number:016x}")
        source = {"Identifier": one, "IdentifierType": "WirelessGatewayId"}
        call(iot, "UpdateResourceEventConfiguration", **source, ConnectionStatus=CONNECTION_TOPICS)
        call(iot, "CreateWirelessGatewayTaskDefinition", AutoCreateTasks=False)
    lists: list[tuple[Any, str, dict[str, str]]] = [
        (iot, "ListWirelessGateways", {}),
        (iot, "ListWirelessGatewayTaskDefinitions", {}),
        (iot, "ListEventConfigurations", {"ResourceType": "WirelessGateway"}),
    ]
    others = [
        *lists,
        (iot, "ListEventConfigurations", {"ResourceType": "WirelessDevice"}),
        (client("eu-west-1"), "ListWirelessGateways", {}),
    ]
    for here, operation, parameters in lists:
        token = call(here, operation, **parameters, MaxResults=1)["NextToken"]
        assert "NextToken" not in call(here, operation, **parameters, NextToken=token)
        for other, other_operation, other_parameters in others:
            if (other, other_operation, other_parameters) == (here, operation, parameters):
                continue
            parameters_with_token = {**other_parameters, "NextToken": token}
            error = refused(other, other_operation, "ValidationException", 400, **parameters_with_token)["Error"]
            assert error["Message"].startswith("NextToken: ")


def test_max_results_of_0_means_no_wish(iot: Any) -> None:
    gateway(iot)
    assert len(call(iot, "ListWirelessGateways", MaxResults=0)["WirelessGatewayList"]) == 1


# --- many at once ---


def at_once(work: Callable[[int], Any]) -> list[Any]:
    with ThreadPoolExecutor(20) as threads:
        return list(threads.map(work, range(20)))


def code_of(create: Callable[[], Any]) -> str:
    try:
        create()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "created"


def test_twenty_threads_that_come_first_and_want_one_eui_get_one_gateway(
    iot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service is made at its first use, which here takes its time."""
    made = count()

    def slow_source() -> FakeSource:
        next(made)
        time.sleep(0.05)
        return FakeSource()

    monkeypatch.setattr("lorafw.iotwireless.context._context.service", None)
    monkeypatch.setattr("lorafw.sources.s3.RoleSource", slow_source)
    codes = at_once(lambda _: code_of(lambda: gateway(iot)))
    assert Counter(codes) == {"created": 1, "ConflictException": 19}
    assert next(made) == 1


def test_twenty_threads_with_one_token_get_one_definition(iot: Any) -> None:
    ids = count(1)

    def slow_id() -> str:
        time.sleep(0.005)
        return f"00000000-0000-0000-0000-{next(ids):012d}"

    with use_service(UpdateService(source=FakeSource(), new_id=slow_id)):
        parameters = VALID["CreateWirelessGatewayTaskDefinition"]
        answers = at_once(lambda _: call(iot, "CreateWirelessGatewayTaskDefinition", **parameters)["Id"])
        assert len(set(answers)) == 1
        assert len(call(iot, "ListWirelessGatewayTaskDefinitions")["TaskDefinitions"]) == 1


# --- inside moto ---


@mock_aws
@pytest.mark.parametrize("options", [{}, {"use_dualstack_endpoint": True}, {"use_fips_endpoint": True}], ids=str)
@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
def test_every_host_of_the_api_is_mocked(region: str, options: dict[str, bool]) -> None:
    iot = client(region, **options)
    arn = call(iot, "CreateWirelessGateway", LoRaWAN={"GatewayEui": EUI})["Arn"]
    assert arn.startswith(f"arn:aws:iotwireless:{region}:123456789012:WirelessGateway/")


def test_a_new_mock_and_a_reset_forget_everything() -> None:
    with ApiServer() as server:
        iot = boto3.client("iotwireless", region_name="us-east-1", endpoint_url=server.url)
        gateway(iot)
        reset_moto()
        assert call(iot, "ListWirelessGateways")["WirelessGatewayList"] == []
        gateway(iot)
    for _ in range(2):
        with mock_aws():
            gateway(client())


@mock_aws
class TestUnderTheDecoratorOfAClass:
    @pytest.mark.parametrize("turn", [1, 2])
    def test_each_method_begins_with_nothing(self, turn: int) -> None:
        gateway(client())


@pytest.mark.parametrize("version", ["5.1.22", "4.2.14", "6.0.0", "none"])
def test_a_moto_that_does_not_fit_is_named_with_a_remedy(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moto, "__version__", version)
    with pytest.raises(IncompatibleMoto, match=rf"{version}.*pip install 'moto>=5\.2,<6'"):
        lorafw.register()


def test_registering_twice_is_harmless() -> None:
    from moto.backend_index import backend_url_patterns

    before = list(backend_url_patterns)
    lorafw.register()
    assert backend_url_patterns == before


def test_a_moto_without_a_request_handler_of_its_own_is_served_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(werkzeug_app, "MotoRequestHandler")
    spec = importlib.util.find_spec("lorafw.iotwireless.http_server")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with module.ApiWsgiServer("127.0.0.1", 0, HostNames(["127.0.0.1"])) as server:
        assert issubclass(server.RequestHandlerClass, WSGIRequestHandler)


@pytest.mark.parametrize(("body", "expected"), [(None, b""), ("\u00e9", b"\xc3\xa9"), (bytearray(b"a"), b"a")])
def test_the_body_of_a_request_of_botocore_is_read(body: Any, expected: bytes) -> None:
    """moto 5.2.0 passes such requests on in process."""
    assert read_body(AWSPreparedRequest("POST", "https://localhost/", {}, body, stream_output=False)) == expected
