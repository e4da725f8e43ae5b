"""What moto itself would send while it answers a request stays on this machine: deliveries, and Docker's images."""

from __future__ import annotations

import io
import logging
import socket
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import boto3
import pytest
import requests
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.core.models import botocore_stubber

from lorafw import Testbed
from lorafw.errors import LabError
from lorafw.isolation.opening import kept_in
from lorafw.localaws.cloud import Cloud

PAGER = "https://pager.invalid/alarm"
"""An endpoint of daily work, which a script under test subscribes to its topic."""


@pytest.fixture(autouse=True)
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that were looked up, without those of loopback. Every look-up of them fails."""
    names: list[str] = []
    look_up = socket.getaddrinfo

    def record(host: Any, *arguments: Any, **options: Any) -> Any:
        if host in ("127.0.0.1", "localhost"):
            return look_up(host, *arguments, **options)
        names.append(host)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", record)
    return names


class Webhook(BaseHTTPRequestHandler):
    """Counts the deliveries to /here, and redirects all others to the pager."""

    delivered = 0

    def do_POST(self) -> None:
        if self.path == "/here":
            Webhook.delivered += 1
            self.send_response(200)
        else:
            self.send_response(307)
            self.send_header("Location", PAGER)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@pytest.fixture
def webhook() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Webhook) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def publish(sns: Any, endpoint: str) -> Any:
    """Publish to a topic with an HTTP subscription."""
    topic = sns.create_topic(Name=f"alarms-{len(endpoint)}")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol=endpoint.partition(":")[0], Endpoint=endpoint)
    return sns.publish(TopicArn=topic, Message="a gateway is silent")


def invoke_function(client: Any) -> Any:
    """Create and invoke a Lambda function, and return its payload. Skips the test if moto cannot use Docker here."""
    pytest.importorskip("docker")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("alarm.py", "def handle(event, context): return 1")
    role = client("iam").create_role(RoleName="alarm", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    functions = client("lambda")
    code = {"ZipFile": archive.getvalue()}
    functions.create_function(FunctionName="alarm", Runtime="python3.11", Handler="alarm.handle", Role=role, Code=code)
    return functions.invoke(FunctionName="alarm", Payload=b"{}")["Payload"].read()


def test_a_delivery_of_sns_to_another_host_is_refused_before_its_name_is_looked_up(looked_up: list[str]) -> None:
    with Testbed(gateways=0), pytest.raises(LabError, match=r"moto would deliver to pager\.invalid, which is not this"):
        publish(boto3.client("sns"), PAGER)
    assert looked_up == []


def test_a_delivery_to_this_machine_arrives_and_is_not_redirected_elsewhere(
    webhook: str, looked_up: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.invalid:3128")
    before = Webhook.delivered
    with Testbed(gateways=0):
        publish(boto3.client("sns"), f"{webhook}/here")
        with pytest.raises(LabError, match=r"moto would deliver to pager\.invalid"):
            publish(boto3.client("sns"), f"{webhook}/elsewhere")
    assert Webhook.delivered == before + 1
    assert looked_up == []


def test_an_allowed_host_gets_its_delivery_and_requests_of_the_user_are_not_affected(looked_up: list[str]) -> None:
    with Testbed(gateways=0, allow_hosts=["pager.invalid"]), pytest.raises(requests.ConnectionError):
        publish(boto3.client("sns"), PAGER)
    with Testbed(gateways=0), pytest.raises(requests.ConnectionError):
        requests.get("http://docs.invalid/", timeout=5)
    assert set(looked_up) == {"pager.invalid", "docs.invalid"}


def test_a_guard_without_a_testbed_keeps_the_deliveries_of_mock_aws_in(looked_up: list[str]) -> None:
    with kept_in("us-east-1", occasion="a test runs", remedy="do nothing"):
        with mock_aws(), pytest.raises(LabError, match=r"pager\.invalid, .* while a test runs, and was kept back"):
            publish(boto3.client("sns"), PAGER)
        assert looked_up == []
        with Testbed(gateways=0, allow_hosts=["pager.invalid"]), pytest.raises(requests.ConnectionError):
            publish(boto3.client("sns"), PAGER)
    assert looked_up == ["pager.invalid"]


def test_a_delivery_of_firehose_is_refused_too(looked_up: list[str]) -> None:
    bucket = {"RoleARN": "arn:aws:iam::123456789012:role/x", "BucketARN": "arn:aws:s3:::failed"}
    destination = {"EndpointConfiguration": {"Url": PAGER}, "S3Configuration": bucket}
    with Testbed(gateways=0):
        firehose = boto3.client("firehose")
        firehose.create_delivery_stream(DeliveryStreamName="log", HttpEndpointDestinationConfiguration=destination)
        with pytest.raises(RuntimeError) as failed:
            firehose.put_record(DeliveryStreamName="log", Record={"Data": b"x"})
    assert isinstance(failed.value.__cause__, LabError)
    assert looked_up == []


def test_a_function_runs_in_docker_only_if_that_was_asked_for(
    looked_up: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://docker.invalid:2375")
    with Testbed(gateways=0), pytest.raises(LabError, match=r"would run a LambdaFunction in Docker, .*use_docker"):
        invoke_function(boto3.client)
    assert looked_up == []
    with Testbed(gateways=0, moto_config={"lambda": {"use_docker": False}}):
        assert invoke_function(boto3.client)
    assert looked_up == []
    with Testbed(gateways=0, moto_config={"lambda": {"use_docker": True}}):
        assert b"error running docker" in invoke_function(boto3.client)
    assert looked_up == ["docker.invalid"]


def test_the_lab_delivers_to_this_machine_only_and_says_so(
    webhook: str, looked_up: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    before = Webhook.delivered
    with Cloud() as cloud, caplog.at_level(logging.WARNING, "lorafw.deliveries"):
        assert publish(cloud.client("sns"), PAGER)["MessageId"]
        assert publish(cloud.client("sns"), f"{webhook}/here")["MessageId"]
        with pytest.raises(ClientError, match=r"\(AccessDeniedException\) .* the lab starts no containers"):
            invoke_function(cloud.client)
    assert Webhook.delivered == before + 1
    assert "moto would deliver to pager.invalid" in caplog.text
    assert looked_up == []


def test_motos_own_clients_are_answered_in_this_process_and_not_by_a_server_on_port_5000() -> None:
    with Testbed(gateways=0):
        assert botocore_stubber.enabled, "moto's clients for Step Functions call http://localhost:5000 otherwise"
