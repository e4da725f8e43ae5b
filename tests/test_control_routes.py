"""The control routes of `lorafw serve`: clock, reset and planned failures, as their OpenAPI document describes them."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
from click.testing import CliRunner
from fakes import OLD, OWNER
from hypothesis import given, settings
from hypothesis import strategies as st

from lorafw.cli.serve import serve
from lorafw.clock import ManualClock, parse_iso
from lorafw.cups.codec import encode_request
from lorafw.cups.messages import UpdateInfoRequest
from lorafw.errors import LabError
from lorafw.eui import GatewayEui
from lorafw.localaws.cloud import Cloud
from lorafw.localaws.control import MAX_BODY_BYTES, OPENAPI_PATH, ControlMiddleware
from lorafw.persistence.kept_state import KeptState
from lorafw.server.loopback import host_name_of

DOCUMENT = json.loads(files("lorafw.localaws").joinpath("openapi.json").read_text())
JSON = {"Content-Type": "application/json"}


def send(cloud: Cloud, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """Send a request, and check that its answer is in the OpenAPI document."""
    connection = http.client.HTTPConnection("127.0.0.1", cloud.api.port, timeout=60)
    given = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method, path, given if body is not None else None, {**JSON, **headers})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    told = json.loads(content) if content else None
    check_answer(path, method, answer.status, told)
    return answer.status, told


def check_answer(path: str, method: str, status: int, content: Any) -> None:
    operation = DOCUMENT["paths"][path].get(method.lower())
    if operation is None:
        assert status in (403, 405)
        return
    response = operation["responses"][str(status)]
    if "$ref" in response:
        response = DOCUMENT["components"]["responses"][response["$ref"].rsplit("/", 1)[1]]
    if "content" not in response:
        assert content is None
        return
    schema = {**response["content"]["application/json"]["schema"], "components": DOCUMENT["components"]}
    jsonschema.validate(content, schema)


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """A cloud with a manual clock."""
    with Cloud(clock=ManualClock()) as running:
        yield running


def test_the_document_describes_exactly_the_routes_that_are_served(cloud: Cloud) -> None:
    status, told = send(cloud, "GET", OPENAPI_PATH)
    assert (status, told) == (200, DOCUMENT)
    middleware = ControlMiddleware(lambda *_: [], cloud)
    served = {path: [route.method.lower()] for path, route in middleware._routes.items()}
    assert {path: list(methods) for path, methods in DOCUMENT["paths"].items()} == served
    for path, route in middleware._routes.items():
        wrong = "DELETE" if route.method == "POST" else "POST"
        assert send(cloud, wrong, path)[0] == 405


def test_the_clock_moves_by_the_seconds_that_are_asked_for(cloud: Cloud) -> None:
    _, before = send(cloud, "POST", "/lorafw/advance", {"seconds": 0})
    status, after = send(cloud, "POST", "/lorafw/advance", {"seconds": 1.5})
    assert status == 200
    assert parse_iso(after["now"]) - parse_iso(before["now"]) == 1500


def test_a_real_clock_cannot_be_moved() -> None:
    with Cloud() as running:
        status, told = send(running, "POST", "/lorafw/advance", {"seconds": 1})
    assert (status, "--clock manual" in told["message"]) == (409, True)


def test_a_planned_failure_hits_the_next_call_and_no_other(cloud: Cloud) -> None:
    body = {"operation": "ListWirelessGateways", "code": "ThrottlingException", "times": 1.0, "where": None}
    assert send(cloud, "POST", "/lorafw/fail-next", body) == (204, None)
    with pytest.raises(LabError, match="times"):
        cloud.fail_next("ListWirelessGateways", "ThrottlingException", times=0)
    status, told = send(cloud, "POST", "/lorafw/fail-next", {"operation": "ListGateways", "code": "X"})
    assert (status, "ListWirelessGateways" in told["message"]) == (404, True)
    iotwireless = cloud.client("iotwireless")
    answers = [iotwireless.list_wireless_gateways()["ResponseMetadata"] for _ in range(2)]
    assert [answer["RetryAttempts"] for answer in answers] == [1, 0]


def test_reset_deletes_everything_and_keeps_the_time(cloud: Cloud) -> None:
    cloud.client("s3").create_bucket(Bucket="bucket")
    cloud.service.create_gateway(OWNER, GatewayEui(8))
    cloud.fail_next("ListWirelessGateways", "ThrottlingException")
    _, before = send(cloud, "POST", "/lorafw/advance", {"seconds": 60})
    assert send(cloud, "POST", "/lorafw/reset") == (204, None)
    assert cloud.client("s3").list_buckets()["Buckets"] == []
    assert cloud.client("iotwireless").list_wireless_gateways()["WirelessGatewayList"] == []
    assert cloud.service.log == []
    assert send(cloud, "POST", "/lorafw/advance", {"seconds": 0})[1] == before


def test_reset_and_the_time_of_a_manual_clock_are_kept_in_the_folder(tmp_path: Path) -> None:
    def opened(clock: ManualClock) -> Cloud:
        return Cloud(clock=clock, kept_state=KeptState(tmp_path / "state"))

    with opened(ManualClock()) as running:
        running.client("s3").create_bucket(Bucket="bucket")
        running.service.create_gateway(OWNER, GatewayEui(8))
        send(running, "POST", "/lorafw/advance", {"seconds": 3600})
        now_ms = running.now_ms()
    with opened(ManualClock()) as running:
        assert running.now_ms() == now_ms
        assert len(running.service.gateways(OWNER)) == 1
        assert send(running, "POST", "/lorafw/reset")[0] == 204
        running.service.create_gateway(OWNER, GatewayEui(9))
    with opened(ManualClock()) as running:
        assert running.client("s3").list_buckets()["Buckets"] == []
        assert [gateway.eui.value for gateway in running.service.gateways(OWNER)] == [9]


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}], ids=str
)
def test_a_request_that_a_web_page_caused_is_refused(cloud: Cloud, headers: dict[str, str]) -> None:
    cloud.service.create_gateway(OWNER, GatewayEui(10))
    for path in ("/lorafw/reset", "/lorafw/advance", "/lorafw/fail-next"):
        assert send(cloud, "POST", path, {"seconds": 1}, **headers)[0] == 403
    assert cloud.service.find_gateway(GatewayEui(10)) is not None
    cloud.reset()


def test_a_bucket_may_have_the_name_of_the_routes(cloud: Cloud) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="lorafw")
    s3.put_object(Bucket="lorafw", Key="openapi.json", Body=b"mine")
    assert s3.get_object(Bucket="lorafw", Key="openapi.json")["Body"].read() == b"mine"


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"x" * (MAX_BODY_BYTES + 1), {}, 413),
        (b"{}", {"Content-Type": "text/plain"}, 415),
        (b"[" * 60_000, {}, 400),
        (b"\xff", {}, 400),
        (b'{"seconds": NaN}', {}, 400),
        (b'{"seconds": 1e999}', {}, 400),
    ],
    ids=["too long", "not JSON's type", "deep", "no UTF-8", "NaN", "infinite"],
)
def test_a_body_that_cannot_be_used_is_refused(cloud: Cloud, body: bytes, headers: dict[str, str], status: int) -> None:
    assert send(cloud, "POST", "/lorafw/advance", body, **headers)[0] == status


class Recorder:
    """Stands for the cloud behind the routes."""

    def now_ms(self) -> int:
        return 0

    def advance(self, seconds: float) -> int:
        return round(seconds * 1000)

    def reset(self) -> None:
        return None

    def fail_next(self, operation: str, code: str, **options: Any) -> None:
        return None


def status_of(path: str, members: object) -> int:
    """Return the status with which a body is answered, without a server."""
    body = json.dumps(members).encode()
    environ = {"PATH_INFO": path, "REQUEST_METHOD": "POST", "CONTENT_TYPE": "application/json"}
    environ |= {"CONTENT_LENGTH": str(len(body)), "wsgi.input": BytesIO(body)}  # type: ignore[dict-item]
    started: list[str] = []
    answer = ControlMiddleware(lambda *_: [], Recorder())(environ, lambda status, _: started.append(status))
    check_answer(path, "POST", int(started[0][:3]), json.loads(b"".join(answer) or b"null"))
    return int(started[0][:3])


SIMPLE = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | st.text(max_size=5)
VALUES = SIMPLE | st.lists(SIMPLE, max_size=2) | st.dictionaries(st.text(max_size=3), SIMPLE, max_size=2)


@pytest.mark.parametrize(("path", "schema"), [("/lorafw/advance", "Advance"), ("/lorafw/fail-next", "FailNext")])
def test_a_body_is_accepted_if_and_only_if_the_document_allows_it(path: str, schema: str) -> None:
    names = [*DOCUMENT["components"]["schemas"][schema]["properties"], "other"]
    validator = jsonschema.Draft202012Validator(DOCUMENT["components"]["schemas"][schema])

    @settings(max_examples=30, deadline=None, derandomize=True, database=None)
    @given(st.dictionaries(st.sampled_from(names), VALUES, max_size=4) | VALUES)
    def check(members: Any) -> None:
        assert (status_of(path, members) < 300) == validator.is_valid(members)

    check()


def test_the_document_is_an_openapi_document_whose_references_exist() -> None:
    text = json.dumps(DOCUMENT)
    assert DOCUMENT["openapi"] == "3.1.0"
    for reference in set(text.split('"$ref": "#/')[1:]):
        place: Any = DOCUMENT
        for step in reference.split('"', 1)[0].split("/"):
            place = place[step]
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_a_clock_that_makes_no_sense_is_refused() -> None:
    runner = CliRunner()
    done = runner.invoke(serve, ["--clock", "manual", "--clock-start", "yesterday"])
    assert (done.exit_code, "ISO 8601" in done.output) == (2, True)
    done = runner.invoke(serve, ["--clock-start", "2026-01-01"])
    assert (done.exit_code, "add --clock manual" in done.output) == (2, True)


# --- addresses ---


def cups_status(cloud: Cloud, folder: Path) -> int:
    """Poll the printed HTTPS address with the certificate of a gateway, and check the server's name and CA."""
    iotwireless = cloud.client("iotwireless")
    made = cloud.client("iot").create_keys_and_certificate(setAsActive=True)
    gateway = iotwireless.create_wireless_gateway(LoRaWAN={"GatewayEui": "00000000000000ff"})
    iotwireless.associate_wireless_gateway_with_certificate(Id=gateway["Id"], IotCertificateId=made["certificateId"])
    endpoint = iotwireless.get_service_endpoint(ServiceType="CUPS")
    context = ssl.create_default_context(cadata=endpoint["ServerTrust"])
    identity = folder / "identity.pem"
    identity.write_text(made["certificatePem"] + made["keyPair"]["PrivateKey"])
    context.load_cert_chain(identity)
    address = urlsplit(endpoint["ServiceEndpoint"])
    connection = http.client.HTTPSConnection(str(address.hostname), address.port, context=context, timeout=30)
    request = UpdateInfoRequest(GatewayEui(0xFF), station=OLD.station, model=OLD.model, package=OLD.package)
    connection.request("POST", "/update-info", encode_request(request))
    return connection.getresponse().status


@pytest.mark.parametrize("host", ["::1", "127.0.0.2"])
def test_the_printed_address_is_reachable(tmp_path: Path, host: str) -> None:
    with Cloud(cups_host=host, cups_port=None, cups_tls_port=0) as running:
        assert cups_status(running, tmp_path) == 200


def test_a_name_is_preferred_to_an_ipv6_address(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"localhost": "127.0.0.1", "ip6-localhost": "::1"}

    def look_up(name: str, *_: Any, **__: Any) -> list[Any]:
        if name not in known:
            raise OSError("unknown")
        return [(None, None, None, "", (known[name], 0))]

    monkeypatch.setattr("lorafw.server.loopback.socket.getaddrinfo", look_up)
    assert [host_name_of(host) for host in ("127.0.0.1", "0.0.0.0", "::1", "::")] == [
        "localhost",
        "localhost",
        "ip6-localhost",
        "ip6-localhost",
    ]
    del known["ip6-localhost"]
    assert host_name_of("::1") == "::1"
    assert host_name_of("192.0.2.7") == "192.0.2.7"
