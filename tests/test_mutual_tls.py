"""CUPS over mutual TLS: who may speak for whom, from a home folder that one command made."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import ssl
import stat
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from lorafw import example
from lorafw.cloud import Cloud
from lorafw.cups.authority import load_or_make
from lorafw.cups.client import HttpTransport
from lorafw.errors import HomeError
from lorafw.eui import GatewayEui
from lorafw.firmware.signing import KeyPair, sign_update
from lorafw.gateway.home import Home
from lorafw.gateway.setup import Enrolment, enrol
from lorafw.gateway.station import Outcome
from lorafw.gateway.virtual import VirtualGateway
from lorafw.staging import make_bucket_and_role, upload
from lorafw.tasks.model import Owner

OWNER = Owner(example.ACCOUNT, example.REGION)
KEY = KeyPair.from_secret(3)
EUI = GatewayEui.parse("58a0cbfffe800001")
REFUSED = "Failed to retrieve TCURI from CUPS: (403) Forbidden"
ALERT = "Send failed: SSL - A fatal alert message was received from our peer"
RESET = "NET - Connection was reset by peer"


@dataclass
class Lab:
    cloud: Cloud
    folder: Path

    def client(self, name: str) -> Any:
        return self.cloud.client(name)

    def enrol(self, eui: GatewayEui = EUI) -> Enrolment:
        return enrol(
            self.folder / eui.hex,
            self.client,
            eui=eui,
            name="gateway",
            rf_region="US915",
            package="1.0.0",
            sig_keys=[KEY.public_key],
        )

    def poll(self, home: Home) -> tuple[Outcome, list[str]]:
        verdict = VirtualGateway(home, HttpTransport()).poll()
        return verdict.exchange, [line.text for line in verdict.log]

    def define(self) -> None:
        make_bucket_and_role(self.client)
        update = example.update_file()
        upload(self.client, update)
        signed = sign_update(KEY, update)
        members = example.input_json(signature=signed.signature, sig_key_crc=signed.key_crc)
        self.client("iotwireless").create_wireless_gateway_task_definition(**members)

    def assert_untouched(self) -> None:
        assert self.cloud.service.log == []


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Cloud(cups_tls_port=0, state_dir=tmp_path / "state") as cloud:
        yield Lab(cloud, tmp_path)


def certificate_by_openssl(folder: Path, *options: str) -> tuple[bytes, bytes]:
    """A self-signed certificate and its key, as anybody can make them."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
         "/CN=stranger", "-keyout", "k.pem", "-out", "c.pem", *options],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    return (folder / "c.pem").read_bytes(), (folder / "k.pem").read_bytes()


def test_the_whole_update_runs_over_mutual_tls_from_the_home_that_enrolment_made(lab: Lab) -> None:
    enrolment = lab.enrol()
    lab.define()
    log: list[str] = []
    gateway = VirtualGateway(enrolment.home, HttpTransport(), log=log.append, interval_s=10)
    gateway.poll()
    deadline = time.monotonic() + 5
    while lab.cloud.service.is_sending(OWNER, enrolment.registration.id):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    gateway.poll()
    task = lab.client("iotwireless").get_wireless_gateway_task(Id=enrolment.registration.id)
    assert task["Status"] == "COMPLETED"
    assert any("Connecting to CUPS ... https://localhost:" in line for line in log)
    assert any("ECDSA key#0 -> VERIFIED" in line for line in log)


def test_a_home_holds_what_a_real_station_needs_and_its_key_is_private(lab: Lab) -> None:
    home = lab.enrol().home
    names = sorted(path.name for path in home.path.iterdir())
    assert names == ["cups.crt", "cups.key", "cups.trust", "cups.uri", "sig-0.key", "station.conf", "version.txt"]
    assert stat.S_IMODE((home.path / "cups.key").stat().st_mode) == 0o600
    assert (home.path / "cups.trust").read_text().startswith("-----BEGIN CERTIFICATE-----")
    uri = (home.path / "cups.uri").read_text()
    assert uri.startswith("https://localhost:")


def test_openssl_agrees_that_the_server_can_be_trusted_and_speaks_tls_1_2(lab: Lab) -> None:
    home = lab.enrol().home.path
    port = lab.cloud.cups_tls.port
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "localhost", "-verify_hostname",
         "localhost", "-CAfile", home / "cups.trust", "-cert", home / "cups.crt", "-key", home / "cups.key"],
        input="", capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip
    assert "Verify return code: 0 (ok)" in done.stdout
    assert "Protocol  : TLSv1.2" in done.stdout


def test_another_gateways_certificate_is_refused_and_tasks_are_untouched(lab: Lab) -> None:
    own, other = lab.enrol(), lab.enrol(GatewayEui(0x58A0CBFFFE800002))
    lab.define()
    for name in ("cups.crt", "cups.key"):
        shutil.copy(other.home.path / name, own.home.path / name)
    outcome, log = lab.poll(own.home)
    assert outcome is Outcome.FAILED
    assert REFUSED in log
    lab.assert_untouched()


def test_an_inactive_certificate_is_refused_at_the_next_request_and_let_in_again(lab: Lab) -> None:
    enrolment = lab.enrol()
    assert lab.poll(enrolment.home)[0] is Outcome.DONE
    iot = lab.client("iot")
    for status, outcome in (("INACTIVE", Outcome.FAILED), ("ACTIVE", Outcome.DONE), ("REVOKED", Outcome.FAILED)):
        iot.update_certificate(certificateId=enrolment.certificate_id, newStatus=status)
        assert lab.poll(enrolment.home)[0] is outcome
    lab.assert_untouched()


def test_a_disassociated_certificate_is_refused_at_the_next_request(lab: Lab) -> None:
    enrolment = lab.enrol()
    lab.define()
    wireless = lab.client("iotwireless")
    wireless.disassociate_wireless_gateway_from_certificate(Id=enrolment.registration.id)
    outcome, log = lab.poll(enrolment.home)
    assert outcome is Outcome.FAILED
    assert REFUSED in log
    lab.assert_untouched()
    wireless.associate_wireless_gateway_with_certificate(
        Id=enrolment.registration.id, IotCertificateId=enrolment.certificate_id
    )
    assert lab.poll(enrolment.home)[0] is Outcome.DONE


def test_an_unknown_certificate_gets_a_tls_alert(lab: Lab) -> None:
    home = lab.enrol().home
    lab.define()
    certificate, key = certificate_by_openssl(lab.folder)
    home.write("cups.crt", certificate)
    home.write("cups.key", key, mode=0o600)
    outcome, log = lab.poll(home)
    assert outcome is Outcome.FAILED
    assert any(ALERT in line or RESET in line for line in log)
    lab.assert_untouched()


def test_no_certificate_gets_a_tls_alert(lab: Lab) -> None:
    home = lab.enrol().home
    lab.define()
    for name in ("cups.crt", "cups.key"):
        (home.path / name).unlink()
    outcome, log = lab.poll(home)
    assert outcome is Outcome.FAILED
    assert any(ALERT in line or RESET in line for line in log)
    lab.assert_untouched()


def test_an_expired_certificate_gets_a_tls_alert_though_it_is_bound(lab: Lab) -> None:
    enrolment = lab.enrol()
    lab.define()
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "late")])
    now = datetime.now(UTC)
    late = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now - timedelta(days=1))
        .sign(key, SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    bind(lab, enrolment, late)
    home = enrolment.home
    home.write("cups.crt", late)
    home.write(
        "cups.key",
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        mode=0o600,
    )
    outcome, log = lab.poll(home)
    assert outcome is Outcome.FAILED
    assert any(ALERT in line or RESET in line for line in log)
    lab.assert_untouched()


def bind(lab: Lab, enrolment: Enrolment, certificate: bytes) -> None:
    """Make a certificate known that was issued elsewhere, and bind it to the gateway."""
    known = lab.client("iot").register_certificate_without_ca(certificatePem=certificate.decode(), status="ACTIVE")
    lab.client("iotwireless").associate_wireless_gateway_with_certificate(
        Id=enrolment.registration.id, IotCertificateId=known["certificateId"]
    )


def test_a_certificate_from_elsewhere_is_as_good_once_it_is_known_and_bound(lab: Lab) -> None:
    enrolment = lab.enrol()
    certificate, key = certificate_by_openssl(lab.folder, "-days", "2")
    bind(lab, enrolment, certificate)
    enrolment.home.write("cups.crt", certificate)
    enrolment.home.write("cups.key", key, mode=0o600)
    assert lab.poll(enrolment.home)[0] is Outcome.DONE


def test_a_server_that_is_not_trusted_is_not_spoken_to(lab: Lab) -> None:
    home = lab.enrol().home
    home.write("cups.trust", certificate_by_openssl(lab.folder)[0])
    outcome, log = lab.poll(home)
    assert outcome is Outcome.FAILED
    assert any("X509 - Certificate verification failed" in line for line in log)
    (home.path / "cups.trust").unlink()
    assert any("requires TLS but no trust configured" in line for line in lab.poll(home)[1])


def test_the_authority_survives_a_restart_and_its_folder_is_private(lab: Lab, tmp_path: Path) -> None:
    folder = tmp_path / "state"
    first = load_or_make(folder, ["localhost"])
    again = load_or_make(folder, ["localhost"])
    assert first.ca_pem == again.ca_pem
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in ("ca.pem", "server.key"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    server = first.server_certificate.read_bytes()
    assert load_or_make(folder, ["localhost", "lab.example"]).server_certificate.read_bytes() != server
    assert load_or_make(folder, ["localhost"]).ca_pem == first.ca_pem


def test_a_state_folder_that_cannot_be_read_says_what_to_do(tmp_path: Path) -> None:
    tmp_path.joinpath("ca.pem").write_text("nonsense")
    with pytest.raises(HomeError, match="remove it"):
        load_or_make(tmp_path, ["localhost"])


def test_who_stalls_in_the_handshake_the_header_or_the_body_is_gone_after_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lorafw.cups.connections.REQUEST_LIMIT_S", 1.0)
    monkeypatch.setattr("lorafw.cups.server.REQUEST_LIMIT_S", 1.0)
    with Cloud(cups_tls_port=0, state_dir=tmp_path / "state") as cloud:
        lab = Lab(cloud, tmp_path)
        home = lab.enrol().home.path
        context = ssl.create_default_context(cafile=home / "cups.trust")
        context.load_cert_chain(home / "cups.crt", home / "cups.key")
        port = cloud.cups_tls.port
        stalled: list[socket.socket] = []
        for told in (b"POST /upd", b"POST /update-info HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{"):
            tls = context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="localhost")
            tls.sendall(told)
            stalled.append(tls)
            plain = socket.create_connection(("127.0.0.1", cloud.cups.port))
            plain.sendall(told)
            stalled.append(plain)
        stalled.append(socket.create_connection(("127.0.0.1", port)))
        stalled.append(socket.create_connection(("127.0.0.1", cloud.cups.port)))
        assert lab.poll(Home(home))[0] is Outcome.DONE, "others are served meanwhile"
        for connection in stalled:
            connection.settimeout(10)
            with connection, contextlib.suppress(ConnectionResetError, ssl.SSLError):
                assert connection.recv(1) == b""


REAL_STATION = os.environ.get("LORAFW_STATION")


@pytest.mark.skipif(REAL_STATION is None, reason="set LORAFW_STATION=/path/to/station to run the real client")
def test_a_real_station_runs_the_update_from_the_same_home(lab: Lab) -> None:
    enrolment = lab.enrol()
    home = enrolment.home.path
    settings = (home / "station.conf").read_text().replace('"log_level"', '"CUPS_OKSYNC_INTV": "2s", "log_level"')
    (home / "station.conf").write_text(settings)
    assert REAL_STATION is not None
    with subprocess.Popen([REAL_STATION, "-N", "-h", home, "-t", home], stdout=subprocess.PIPE, text=True) as station:
        deadline = time.monotonic() + 10
        while lab.cloud.service.presented_version(OWNER, enrolment.registration.id) is None:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        station.terminate()
