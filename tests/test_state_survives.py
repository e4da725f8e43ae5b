"""What the API has answered is still there after kill -9: S3, IAM, IoT, KMS and iotwireless."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import moto
import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fakes import OWNER

from lorafw import example
from lorafw.errors import StateError
from lorafw.eui import GatewayEui
from lorafw.gateway.provisioning import enrol
from lorafw.gateway.transport import HttpTransport
from lorafw.gateway.virtual import VirtualGateway
from lorafw.localaws.cloud import Cloud
from lorafw.localaws.provisioning import create_bucket_and_role
from lorafw.persistence.kept_state import KeptState
from lorafw.station.exchange import ExchangeOutcome, UpdateAction

BUCKET = example.BUCKET
LOG_OPTIONS = [{"Type": "LoRaWAN", "LogLevel": "ERROR", "Events": [{"Event": "CUPS_Request", "LogLevel": "INFO"}]}]


@contextmanager
def cloud_in(folder: Path, cups_tls_port: int = 0) -> Iterator[Cloud]:
    """A cloud as `lorafw serve --state-dir` runs it."""
    with Cloud(state_dir=folder, kept_state=KeptState(folder), cups_port=None, cups_tls_port=cups_tls_port) as cloud:
        yield cloud


def copy_as_killed(folder: Path) -> Path:
    """Return a copy of the folder as it is on the disk now, while the database is open: as kill -9 would leave it."""
    return shutil.copytree(folder, folder.with_name(f"{folder.name}-killed"))


def csr() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def fill(cloud: Cloud) -> None:
    """Create something of every kind that is promised to be kept."""
    s3, iam, iot, kms = (cloud.client(name) for name in ("s3", "iam", "iot", "kms"))
    create_bucket_and_role(cloud.client)
    for body in (b"first", b"second" * 1000):
        s3.put_object(Bucket=BUCKET, Key="fwstation", Body=body, Metadata={"under_score": "x"}, Tagging="a=b")
    s3.put_object(Bucket=BUCKET, Key="folder/name with ü+%", Body=b"deleted later")
    s3.delete_object(Bucket=BUCKET, Key="folder/name with ü+%")
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="parts")["UploadId"]
    part = s3.upload_part(Bucket=BUCKET, Key="parts", UploadId=upload, PartNumber=1, Body=b"p" * 100)
    parts = {"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
    s3.complete_multipart_upload(Bucket=BUCKET, Key="parts", UploadId=upload, MultipartUpload=parts)
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": []}))
    document = example.permission_policy()
    policy = iam.create_policy(PolicyName="Own", PolicyDocument=document)["Policy"]["Arn"]
    iam.attach_role_policy(RoleName=example.ROLE_NAME, PolicyArn=policy)
    iam.attach_role_policy(RoleName=example.ROLE_NAME, PolicyArn="arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess")
    iam.create_user(UserName="somebody")
    iam.create_access_key(UserName="somebody")
    active = iot.create_keys_and_certificate(setAsActive=True)
    iot.create_keys_and_certificate(setAsActive=False)
    iot.create_certificate_from_csr(certificateSigningRequest=csr(), setAsActive=True)
    thing = iot.create_thing(thingName="thing")["thingArn"]
    iot.attach_thing_principal(thingName="thing", principal=active["certificateArn"])
    kms.create_key(Description="key")
    iotwireless = cloud.client("iotwireless")
    gateway = iotwireless.create_wireless_gateway(
        Name="g", LoRaWAN={"GatewayEui": "5a11b0a85a11b0a8", "MaxEirp": 10.5}, Tags=[{"Key": "a", "Value": "b"}]
    )
    iotwireless.associate_wireless_gateway_with_certificate(Id=gateway["Id"], IotCertificateId=active["certificateId"])
    iotwireless.associate_wireless_gateway_with_thing(Id=gateway["Id"], ThingArn=thing)
    definition = iotwireless.create_wireless_gateway_task_definition(
        **example.input_json(), Tags=[{"Key": "c", "Value": "d"}, {"Key": "e", "Value": "f"}]
    )
    iotwireless.untag_resource(ResourceArn=definition["Arn"], TagKeys=["e"])
    iotwireless.create_wireless_gateway_task(Id=gateway["Id"], WirelessGatewayTaskDefinitionId=definition["Id"])
    iotwireless.update_log_levels_by_resource_types(DefaultLogLevel="DISABLED", WirelessGatewayLogOptions=LOG_OPTIONS)
    resource = {"ResourceIdentifier": gateway["Id"], "ResourceType": "WirelessGateway"}
    iotwireless.put_resource_log_level(**resource, LogLevel="INFO")
    topics = {"LoRaWAN": {"WirelessGatewayEventTopic": "Enabled"}}
    iotwireless.update_event_configuration_by_resource_types(ConnectionStatus=topics)
    iotwireless.update_resource_event_configuration(
        Identifier=gateway["Id"],
        IdentifierType="WirelessGatewayId",
        ConnectionStatus={"WirelessGatewayIdEventTopic": "Enabled"},
    )


def listing(cloud: Cloud) -> dict[str, Any]:
    """Return what the API tells of all that ``fill`` has created."""
    s3, iam, iot, kms, iotwireless = (cloud.client(name) for name in ("s3", "iam", "iot", "kms", "iotwireless"))
    role = {"RoleName": example.ROLE_NAME}
    told = {
        "buckets": s3.list_buckets(),
        "versions": s3.list_object_versions(Bucket=BUCKET),
        "metadata": s3.head_object(Bucket=BUCKET, Key="fwstation"),
        "object tags": s3.get_object_tagging(Bucket=BUCKET, Key="fwstation"),
        "bucket policy": s3.get_bucket_policy(Bucket=BUCKET),
        "roles": iam.list_roles(),
        "role policy": iam.get_role_policy(**role, PolicyName="ReadFwUpdate"),
        "attached": iam.list_attached_role_policies(**role),
        "policies": iam.list_policies(Scope="Local"),
        "access keys": iam.list_access_keys(UserName="somebody"),
        "things": iot.list_things(),
        "principals": iot.list_thing_principals(thingName="thing"),
        "keys": kms.list_keys(),
        "gateways": iotwireless.list_wireless_gateways(),
        "definitions": iotwireless.list_wireless_gateway_task_definitions(),
        "log levels": iotwireless.get_log_levels_by_resource_types(),
        "event topics": iotwireless.get_event_configuration_by_resource_types(),
        "event configurations": iotwireless.list_event_configurations(ResourceType="WirelessGateway"),
    }
    assert told["log levels"]["DefaultLogLevel"] == "DISABLED"
    assert told["event configurations"]["EventConfigurationsList"]
    for gateway in told["gateways"]["WirelessGatewayList"]:
        resource = {"ResourceIdentifier": gateway["Id"], "ResourceType": "WirelessGateway"}
        told[f"log level of {gateway['Id']}"] = iotwireless.get_resource_log_level(**resource)["LogLevel"]
    for version in told["versions"]["Versions"]:
        found = s3.get_object(Bucket=BUCKET, Key=version["Key"], VersionId=version["VersionId"])
        told[f"body {version['VersionId']}"] = found["Body"].read()
    for certificate in iot.list_certificates()["certificates"]:
        certificate_id = certificate["certificateId"]
        described = iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
        told[f"certificate {certificate_id}"] = (described["status"], described["certificatePem"])
    for resource in told["gateways"]["WirelessGatewayList"] + told["definitions"]["TaskDefinitions"]:
        told[f"tags {resource['Arn']}"] = iotwireless.list_tags_for_resource(ResourceArn=resource["Arn"])
    for gateway in told["gateways"]["WirelessGatewayList"]:
        told["gateway"] = iotwireless.get_wireless_gateway(Identifier=gateway["Id"], IdentifierType="WirelessGatewayId")
        told["bound"] = iotwireless.get_wireless_gateway_certificate(Id=gateway["Id"])
        told["task"] = iotwireless.get_wireless_gateway_task(Id=gateway["Id"])
    for answer in told.values():
        if isinstance(answer, dict):
            answer.pop("ResponseMetadata", None)
    return told


def test_everything_that_was_answered_is_told_in_the_same_way_after_a_kill(tmp_path: Path) -> None:
    with cloud_in(tmp_path / "state") as cloud:
        fill(cloud)
        before = listing(cloud)
        killed = copy_as_killed(tmp_path / "state")
    with cloud_in(killed) as cloud:
        assert cloud.kept_state is not None
        assert cloud.kept_state.replay.differing == ()
        after = listing(cloud)
    assert after == before
    assert len(before["versions"]["Versions"]) == 4
    assert len([name for name in before if name.startswith("certificate ")]) == 3


def test_no_private_key_and_no_signature_is_in_the_database(tmp_path: Path) -> None:
    with cloud_in(tmp_path / "state") as cloud:
        made = cloud.client("iot").create_keys_and_certificate(setAsActive=True)
        secret = made["keyPair"]["PrivateKey"].splitlines()[3].encode()
        content = b"".join(path.read_bytes() for path in (tmp_path / "state").glob("state.sqlite3*"))
    assert b"register-no-ca" in content
    assert secret not in content
    assert b"Signature=0" in content


def test_a_home_folder_keeps_working_after_a_kill(tmp_path: Path) -> None:
    with cloud_in(tmp_path / "state") as cloud:
        create_bucket_and_role(cloud.client)
        cloud.client("s3").put_object(Bucket=BUCKET, Key=example.KEY, Body=example.update_file())
        enrolled = enrol(
            tmp_path / "home", cloud.client, eui=GatewayEui(10), name="g", rf_region="EU868", package="1.0.0"
        )
        gateway = VirtualGateway(enrolled.home, HttpTransport())
        assert gateway.poll().exchange is ExchangeOutcome.DONE
        assert cloud.cups_tls is not None
        port = cloud.cups_tls.port
        killed = copy_as_killed(tmp_path / "state")
    with cloud_in(killed, port) as cloud:
        version = cloud.service.presented_version(OWNER, enrolled.registration.id)
        assert version is not None
        unsigned = example.input_json(signature=b"", current_version=version)
        cloud.client("iotwireless").create_wireless_gateway_task_definition(**unsigned)
        assert gateway.poll().update is UpdateAction.RUN
        assert gateway.poll().exchange is ExchangeOutcome.DONE
        assert str(cloud.service.task(OWNER, enrolled.registration.id).status) == "COMPLETED"


def test_a_call_that_is_repeated_after_a_kill_creates_nothing_twice(tmp_path: Path) -> None:
    request = {"ClientRequestToken": "token", "LoRaWAN": {"GatewayEui": "5a11b0a85a11b0a8"}, "Name": "g"}
    with cloud_in(tmp_path / "state") as cloud:
        first = cloud.client("iotwireless").create_wireless_gateway(**request)
        killed = copy_as_killed(tmp_path / "state")
    with cloud_in(killed) as cloud:
        iotwireless = cloud.client("iotwireless")
        assert iotwireless.create_wireless_gateway(**request)["Id"] == first["Id"]
        with pytest.raises(iotwireless.exceptions.ConflictException):
            iotwireless.create_wireless_gateway(**{**request, "Name": "other"})


def test_requests_of_many_clients_at_once_are_all_kept(tmp_path: Path) -> None:
    with cloud_in(tmp_path / "state") as cloud:
        cloud.client("s3").create_bucket(Bucket=BUCKET)
        versions: dict[str, str] = {}

        def put(name: str) -> None:
            for number in range(5):
                key = f"{name}{number}"
                versions[key] = cloud.client("s3").put_object(Bucket=BUCKET, Key=key, Body=os.urandom(10))["ETag"]

        threads = [threading.Thread(target=put, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        killed = copy_as_killed(tmp_path / "state")
    with cloud_in(killed) as cloud:
        listed = cloud.client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]
        assert {item["Key"]: item["ETag"] for item in listed} == versions
        assert len(versions) == 20


def test_a_full_disk_is_told_to_the_caller_and_nothing_that_was_answered_is_lost(tmp_path: Path) -> None:
    told: list[StateError] = []
    with cloud_in(tmp_path / "state") as cloud:
        assert cloud.kept_state is not None
        cloud.kept_state.database.on_failure = told.append
        s3 = cloud.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        s3.put_object(Bucket=BUCKET, Key="kept", Body=b"kept")
        with cloud.kept_state.database.reading() as connection:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(ClientError) as caught:
            s3.put_object(Bucket=BUCKET, Key="lost", Body=b"x" * 100_000)
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 507
        assert "the disk is full" in str(caught.value)
        with pytest.raises(ClientError, match="the disk is full"):
            cloud.client("iotwireless").create_wireless_gateway(LoRaWAN={"GatewayEui": "5a11b0a85a11b0a8"})
        assert len(told) == 1
        killed = copy_as_killed(tmp_path / "state")
    with cloud_in(killed) as cloud:
        listed = cloud.client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]
        assert [item["Key"] for item in listed] == ["kept"]


def change_database(folder: Path, *statements: str) -> None:
    with sqlite3.connect(folder / "state.sqlite3") as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def test_another_release_of_moto_that_answers_in_another_way_is_refused(tmp_path: Path) -> None:
    with cloud_in(tmp_path / "state") as cloud:
        cloud.client("s3").create_bucket(Bucket=BUCKET)
    wrong_answer = f"UPDATE request SET answer = x'{'00' * 32}'"
    change_database(tmp_path / "state", wrong_answer)
    with cloud_in(tmp_path / "state") as cloud:
        assert cloud.kept_state is not None
        assert cloud.kept_state.replay.differing == (f"PUT /{BUCKET}",), "the same release: it is told"
    change_database(tmp_path / "state", "UPDATE property SET value = '5.2.0' WHERE name = 'moto'")
    with pytest.raises(
        StateError, match=rf"moto {moto.__version__} answers 1 of its requests .*pip install moto==5\.2"
    ):
        cloud_in(tmp_path / "state").__enter__()
