"""Which requests the servers of `lorafw serve` accept: over real sockets, with a real browser, and as a process."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lorafw import Testbed, example
from lorafw.cups.codec import encode_request
from lorafw.cups.credentials import Credentials
from lorafw.cups.messages import UpdateInfoRequest
from lorafw.errors import LabError
from lorafw.eui import GatewayEui
from lorafw.gateway.provisioning import enrol, plain_cups_uri
from lorafw.gateway.transport import HttpTransport
from lorafw.iotwireless.http_server import is_control_path
from lorafw.localaws.api_server import ApiServer
from lorafw.localaws.cloud import Cloud
from lorafw.server.refusals import RefusalReason
from lorafw.tasks.model import AccountRegion

OWNER = AccountRegion(example.ACCOUNT, example.REGION)
EUI = GatewayEui(7)
MAX_BODY = 99


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with Cloud(cups_tls_port=0, state_dir=tmp_path_factory.mktemp("doors") / "state") as opened:
        opened.service.create_gateway(OWNER, EUI)
        yield opened


def ask(port: int, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, str, Any]:
    """Status, body and headers of a reply. ``headers`` have underscores in place of hyphens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, response.read().decode(), response.headers
    finally:
        connection.close()


def update_info(eui: GatewayEui = EUI) -> bytes:
    return encode_request(UpdateInfoRequest(eui, station="2.0.6", model="rpi", package="1.0.0"))


CREDENTIAL = "Credential=testing/20260101/us-east-1/iotwireless/aws4_request"
SIGNED = f"AWS4-HMAC-SHA256 {CREDENTIAL}, SignedHeaders=host, Signature=0"
FOREIGN = {
    "a rebound name": {"Host": "rebound.example:5000"},
    "a foreign origin": {"Origin": "http://evil.example"},
    "the origin of a sandboxed page": {"Origin": "null"},
    "another server of this machine": {"Origin": "http://127.0.0.1:1"},
    "a cross-site request": {"Sec_Fetch_Site": "cross-site"},
    "a same-site request": {"Sec_Fetch_Site": "same-site"},
}


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN.keys())
def test_the_api_refuses_what_a_web_page_sends_and_does_nothing(cloud: Cloud, headers: dict[str, str]) -> None:
    body = json.dumps({"LoRaWAN": {"GatewayEui": "00000000000000aa", "RfRegion": "US915"}}).encode()
    before = len(cloud.service.gateways(OWNER))
    status, text, answered = ask(
        cloud.api.port, "POST", "/wireless-gateways", body, Authorization=SIGNED, Content_Type="text/plain", **headers
    )
    assert (status, answered["Access-Control-Allow-Origin"]) == (403, None)
    assert "lorafw" in json.loads(text)["message"]
    assert len(cloud.service.gateways(OWNER)) == before
    assert "not admitted" in cloud.api.refused


def test_the_api_lets_no_page_read_its_answers(cloud: Cloud) -> None:
    origin = f"http://127.0.0.1:{cloud.api.port}"
    status, _, answered = ask(cloud.api.port, "GET", "/wireless-gateways", Authorization=SIGNED, Origin=origin)
    assert status == 200
    assert [name for name in answered if name.lower().startswith("access-control")] == []
    status, _, answered = ask(
        cloud.api.port, "OPTIONS", "/", Origin="http://evil.example", Access_Control_Request_Method="PUT"
    )
    assert (status, answered["Access-Control-Allow-Origin"]) == (403, None)


@pytest.mark.parametrize(
    "path",
    [
        "/moto-api/",
        "/moto-api/data.json",
        "/moto-api/config",
        "/moto-api/reset",
        "/moto-api/recorder/start-recording",
        "/moto-api/recorder/replay-recording",
        "/moto-api/proxy/passthrough",
        "//moto-api/reset",
        "/%6doto-api/reset",
        "/Moto-API/reset",
        "http://localhost/moto-api/reset",
    ],
)
def test_none_of_motos_own_paths_is_served(cloud: Cloud, path: str) -> None:
    before = len(cloud.service.gateways(OWNER))
    for method in ("GET", "POST", "PUT"):
        status, text, _ = ask(cloud.api.port, method, path, b"{}")
        assert (status, "path is not served" in text) == (404, True)
    assert len(cloud.service.gateways(OWNER)) == before


def test_a_bucket_may_have_a_name_that_only_resembles_them() -> None:
    assert not is_control_path("/bucket/moto-api/reset")
    assert is_control_path("//moto-api")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "bucket.localhost", "bucket.s3.localhost:5000", "[::1]"])
def test_the_api_answers_to_every_name_of_this_machine(cloud: Cloud, host: str) -> None:
    assert ask(cloud.api.port, "GET", "/", Host=host)[0] in (200, 404)  # 404: there is no such bucket


def test_a_refused_call_names_the_host_and_the_remedy_to_boto3(cloud: Cloud) -> None:
    client = cloud.client("iotwireless")

    def set_host(request: Any, **_: Any) -> None:
        request.headers["Host"] = "lab.example:5000"

    client.meta.events.register("before-send", set_host)
    with pytest.raises(ClientError, match=r"does not know the host 'lab.example:5000'.*--public-name"):
        client.list_wireless_gateways()


def test_a_public_name_is_admitted_and_the_names_of_buckets_under_it() -> None:
    with ApiServer(public_names=["lab.example"]) as server:
        assert ask(server.port, "GET", "/wireless-gateways", Authorization=SIGNED, Host="lab.example:5000")[0] == 200
        assert ask(server.port, "GET", "/", Host="bucket.lab.example")[0] in (200, 404)
        assert ask(server.port, "GET", "/", Host="other.example")[0] == 403


def test_a_bucket_may_stand_in_front_of_the_name(cloud: Cloud) -> None:
    signed = SIGNED.replace("iotwireless", "s3")
    for host in ("doors.localhost:5000", "doors.s3.localhost:5000"):
        assert ask(cloud.api.port, "PUT", "/", Host=host, Authorization=signed)[0] == 200
        assert ask(cloud.api.port, "PUT", "/key", b"content", Host=host, Authorization=signed)[0] == 200
        assert ask(cloud.api.port, "GET", "/key", Host=host, Authorization=signed)[:2] == (200, "content")


def test_the_api_of_a_testbed_is_behind_the_same_door() -> None:
    with Testbed() as bed, bed.api_over_http() as variables:
        port = int(variables["AWS_ENDPOINT_URL"].rpartition(":")[2])
        assert ask(port, "GET", "/wireless-gateways", Authorization=SIGNED)[0] == 200
        assert ask(port, "GET", "/wireless-gateways", Authorization=SIGNED, Host="evil.example")[0] == 403
        assert ask(port, "POST", "/moto-api/reset")[0] == 404


@pytest.mark.parametrize(
    "headers",
    [*FOREIGN.values(), {"Sec_Fetch_Site": "none"}, {"Sec_Fetch_Site": "same-origin"}],
    ids=[*FOREIGN.keys(), "a person with a browser", "a page of its own"],
)
def test_plain_cups_refuses_browsers_in_a_few_bytes(cloud: Cloud, headers: dict[str, str]) -> None:
    before = cloud.cups.tally.counts[RefusalReason.NOT_ADMITTED]
    status, body, answered = ask(cloud.cups.port, "POST", "/update-info", update_info(), **headers)
    assert status == 403
    assert 0 < len(body) <= MAX_BODY
    assert answered["Access-Control-Allow-Origin"] is None
    assert cloud.cups.tally.counts[RefusalReason.NOT_ADMITTED] == before + 1


def test_plain_cups_answers_a_station(cloud: Cloud) -> None:
    cloud.service.create_gateway(OWNER, GatewayEui(8))
    assert ask(cloud.cups.port, "POST", "/update-info", update_info(GatewayEui(8)))[0] == 200


def test_a_gateway_that_has_a_certificate_must_use_it(cloud: Cloud, tmp_path: Path) -> None:
    bound = GatewayEui(0x58A0CBFFFE800077)
    enrol(tmp_path / "home", cloud.client, eui=bound, name="g", rf_region="US915", package="1.0.0")
    status, body, _ = ask(cloud.cups.port, "POST", "/update-info", update_info(bound))
    assert (status, body) == (403, "not allowed\n")
    assert cloud.cups.tally.counts[RefusalReason.NOT_ALLOWED] == 1


def test_plain_cups_can_be_left_out(tmp_path: Path) -> None:
    with Cloud(cups_port=None, cups_tls_port=0, state_dir=tmp_path / "state") as cloud:
        assert cloud.cups_plain is None
        with pytest.raises(LabError, match="no plain CUPS"):
            _ = cloud.cups
        with pytest.raises(ClientError, match="without --plain"):
            plain_cups_uri(cloud.client("iotwireless"))
    with pytest.raises(LabError, match="one of them"):
        Cloud(cups_port=None)


def test_a_cloud_on_ipv6_loopback_works_and_its_addresses_are_usable(tmp_path: Path) -> None:
    with Cloud(api_host="::1", cups_host="::1", cups_tls_port=0, state_dir=tmp_path / "state") as cloud:
        assert cloud.api.url == f"http://[::1]:{cloud.api.port}"
        assert cloud.cups.uri == f"http://[::1]:{cloud.cups.port}"
        assert cloud.client("iotwireless").list_wireless_gateways()["WirelessGatewayList"] == []
        assert cloud.cups_tls is not None
        cloud.service.create_gateway(OWNER, EUI)
        with HttpTransport().post(cloud.cups.uri, update_info(), 20, Credentials(), lambda: None) as reply:
            assert reply.status == 200
        with socket.create_connection(("::1", cloud.cups_tls.port), 20):
            pass


def test_an_address_for_all_interfaces_is_never_given_to_a_client() -> None:
    with ApiServer("0.0.0.0") as server:
        assert server.url == f"http://127.0.0.1:{server.port}"
        assert ask(server.port, "GET", "/", Host=f"0.0.0.0:{server.port}")[0] == 403


def certificate_of_version_2(folder: Path) -> str:
    """A self-signed certificate whose version says 2, which nobody issues and a hostile caller can register."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
         "/CN=x", "-keyout", "k.pem", "-outform", "DER", "-out", "c.der"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    der = (folder / "c.der").read_bytes().replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x01", 1)
    (folder / "c2.der").write_bytes(der)
    return ssl.DER_cert_to_PEM_cert(der)


def test_a_certificate_that_cannot_be_read_is_refused_before_it_is_bound(cloud: Cloud, tmp_path: Path) -> None:
    pem = certificate_of_version_2(tmp_path)
    iot, wireless = cloud.client("iot"), cloud.client("iotwireless")
    certificate = iot.register_certificate_without_ca(certificatePem=pem, status="ACTIVE")["certificateId"]
    lorawan = {"GatewayEui": "00000000000000bb", "RfRegion": "US915"}
    gateway = wireless.create_wireless_gateway(LoRaWAN=lorawan)["Id"]
    with pytest.raises(wireless.exceptions.ValidationException, match="IotCertificateId: no TLS client can use it"):
        wireless.associate_wireless_gateway_with_certificate(Id=gateway, IotCertificateId=certificate)
    with pytest.raises(wireless.exceptions.ResourceNotFoundException):
        wireless.get_wireless_gateway_certificate(Id=gateway)


# --- a real browser ---

ATTACK = """async ([url, body]) => {
    const seen = [];
    for (const options of [
        {method: 'POST', mode: 'no-cors', body}, {method: 'POST', body}, {mode: 'no-cors'}, {},
        {method: 'PUT', body}, {method: 'POST', body, credentials: 'include'},
    ]) {
        try {
            const reply = await fetch(url, options);
            seen.push([reply.type, reply.status, await reply.text()]);
        } catch (error) { seen.push(['error', 0, '']); }
    }
    return seen;
}"""


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    """A page of an attacker. Its name means 127.0.0.1 when it asks again, as with DNS rebinding."""
    from browser import ARGUMENTS, CHROMIUM, need_chromium
    from playwright.sync_api import sync_playwright

    need_chromium()
    rules = "--host-resolver-rules=MAP *.rebound.example 127.0.0.1"
    # Chromium's own defence of loopback would hide ours; other browsers have none.
    defenceless = "--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, rules, defenceless])
        opened = browser.new_page()
        opened.route("**/attacker", lambda route: route.fulfill(body="<p>hello", content_type="text/html"))
        yield opened
        browser.close()


@pytest.mark.parametrize("how", ["rebinding", "no-cors"])
@pytest.mark.parametrize("door", ["api", "cups"])
def test_a_page_in_chromium_neither_changes_nor_reads_anything(cloud: Cloud, page: Any, how: str, door: str) -> None:
    port, path = {"api": (cloud.api.port, "/attacked-bucket"), "cups": (cloud.cups.port, "/update-info")}[door]
    if (how, door) == ("no-cors", "api"):
        path = "/moto-api/reset"
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="kept")
    # Another test may have opened a Cloud of its own, which empties moto and the service.
    gateway = cloud.service.find_gateway(EUI) or cloud.service.create_gateway(OWNER, EUI)
    own = f"http://a.rebound.example:{port}"
    page_url, target = f"{own}/attacker", own
    if how == "no-cors":
        page_url, target = "http://evil.rebound.example/attacker", f"http://127.0.0.1:{port}"
    page.goto(page_url)
    seen = page.evaluate(ATTACK, [target + path, update_info().decode()])
    names = [one["Name"] for one in s3.list_buckets()["Buckets"]]
    assert "kept" in names
    assert "attacked-bucket" not in names
    assert cloud.service.last_seen_ms(OWNER, gateway.id) is None, "no request of this gateway was taken"
    if how == "no-cors":
        assert {text for _, _, text in seen} == {""}, "a foreign page reads nothing"
    else:
        assert {status for _, status, _ in seen} == {403}, "each request has come, and was refused"


def test_urls_of_the_api_open_in_no_frame_of_a_page(cloud: Cloud) -> None:
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(
            urllib.request.Request(cloud.api.url, headers={"Sec-Fetch-Site": "cross-site"}), timeout=20
        )
