"""CUPS over mutual TLS: which certificate may send requests for which gateway, from a home folder of `gateway init`."""

from __future__ import annotations

import shutil
import ssl
import stat
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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
from lorafw.errors import CertificateNotAllowed, HomeError
from lorafw.eui import GatewayEui
from lorafw.firmware.signing import KeyPair, sign_update
from lorafw.gateway.home import Home
from lorafw.gateway.provisioning import Enrolment, enrol
from lorafw.gateway.transport import HttpTransport
from lorafw.gateway.virtual import VirtualGateway
from lorafw.localaws.cloud import Cloud
from lorafw.localaws.provisioning import create_bucket_and_role, upload_update
from lorafw.server.certificate_authority import load_or_create
from lorafw.server.refusals import RefusalReason
from lorafw.station.exchange import ExchangeOutcome
from lorafw.tasks.model import AccountRegion

OWNER = AccountRegion(example.ACCOUNT, example.REGION)
KEY = KeyPair.from_secret(3)
EUI = GatewayEui.parse("58a0cbfffe800001")
REFUSED = "Failed to retrieve TCURI from CUPS: (403) Forbidden"
ALERT = "Send failed: SSL - A fatal alert message was received from our peer"


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

    def poll(self, home: Home) -> tuple[ExchangeOutcome, list[str]]:
        verdict = VirtualGateway(home, HttpTransport()).poll()
        return verdict.exchange, [line.text for line in verdict.log]

    def define(self) -> None:
        create_bucket_and_role(self.client)
        update = example.update_file()
        upload_update(self.client, update)
        signed = sign_update(KEY, update)
        members = example.input_json(signature=signed.signature, sig_key_crc=signed.key_crc)
        self.client("iotwireless").create_wireless_gateway_task_definition(**members)

    def explain(self, enrolment: Enrolment) -> str:
        return str(self.cloud.service.explain(OWNER, enrolment.registration.id))

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
    assert outcome is ExchangeOutcome.FAILED
    assert REFUSED in log
    lab.assert_untouched()
    told = lab.explain(own)
    assert "The last CUPS request in its name was refused " in told
    assert f": this certificate is not the one that is bound to gateway {EUI.hex}." in told
    assert "has not sent a CUPS request" not in told
    assert "was refused" not in lab.explain(other)


def test_an_inactive_certificate_is_refused_at_the_next_request_and_let_in_again(lab: Lab) -> None:
    enrolment = lab.enrol()
    assert lab.poll(enrolment.home)[0] is ExchangeOutcome.DONE
    iot = lab.client("iot")
    for status, outcome in (
        ("INACTIVE", ExchangeOutcome.FAILED),
        ("ACTIVE", ExchangeOutcome.DONE),
        ("REVOKED", ExchangeOutcome.FAILED),
    ):
        iot.update_certificate(certificateId=enrolment.certificate_id, newStatus=status)
        assert lab.poll(enrolment.home)[0] is outcome
        is_refused = outcome is ExchangeOutcome.FAILED
        assert (f": the certificate of gateway {EUI.hex} is not active." in lab.explain(enrolment)) is is_refused
    lab.assert_untouched()


def test_a_disassociated_certificate_is_refused_at_the_next_request(lab: Lab) -> None:
    enrolment = lab.enrol()
    lab.define()
    wireless = lab.client("iotwireless")
    wireless.disassociate_wireless_gateway_from_certificate(Id=enrolment.registration.id)
    outcome, log = lab.poll(enrolment.home)
    assert outcome is ExchangeOutcome.FAILED
    assert REFUSED in log
    lab.assert_untouched()
    wireless.associate_wireless_gateway_with_certificate(
        Id=enrolment.registration.id, IotCertificateId=enrolment.certificate_id
    )
    assert lab.poll(enrolment.home)[0] is ExchangeOutcome.DONE


def alert_of(lab: Lab, home: Path, *identity: object) -> str:
    """What openssl tells of a handshake with this identity."""
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{lab.cloud.cups_tls.port}", "-servername", "localhost",
         "-CAfile", home / "cups.trust", *map(str, identity)],
        input="", capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip
    return next((line for line in done.stderr.splitlines() if "alert" in line), "no alert")


def test_openssl_sees_the_alert_that_says_what_is_wrong_with_a_certificate(lab: Lab) -> None:
    home = lab.enrol().home.path
    certificate_by_openssl(lab.folder)
    stranger = "-cert", lab.folder / "c.pem", "-key", lab.folder / "k.pem"
    assert "alert handshake failure" in alert_of(lab, home)
    assert "alert unknown ca" in alert_of(lab, home, *stranger)
    assert alert_of(lab, home, "-cert", home / "cups.crt", "-key", home / "cups.key") == "no alert"
    assert lab.cloud.cups_tls.tally.counts[RefusalReason.HANDSHAKE] == 2


def test_who_is_let_in_may_not_renegotiate(lab: Lab) -> None:
    home = lab.enrol().home.path
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{lab.cloud.cups_tls.port}", "-servername", "localhost",
         "-cert", home / "cups.crt", "-key", home / "cups.key", "-CAfile", home / "cups.trust"],
        input="R\n", capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip
    assert "RENEGOTIATING" in done.stderr + done.stdout
    assert "no renegotiation" in done.stderr


def test_a_session_that_is_resumed_does_not_outlive_its_certificate(lab: Lab) -> None:
    enrolment = lab.enrol()
    home = enrolment.home.path
    later = datetime.now(UTC) + timedelta(days=365 * 50)
    gatekeeper = lab.cloud.cups_tls.tls.gatekeeper
    certificate = ssl.PEM_cert_to_DER_cert((home / "cups.crt").read_text().strip())
    gatekeeper.check(certificate, EUI)
    gatekeeper._now = lambda: later
    with pytest.raises(CertificateNotAllowed, match="not in its time"):
        gatekeeper.check(certificate, EUI)


def test_only_the_first_certificate_of_a_text_is_trusted_and_not_its_issuer(lab: Lab) -> None:
    enrolment = lab.enrol()
    issuer, issuer_key = certificate_by_openssl(lab.folder)
    (lab.folder / "issuer.pem").write_bytes(issuer)
    (lab.folder / "issuer.key").write_bytes(issuer_key)

    def issue(name: str) -> tuple[bytes, bytes]:
        return certificate_by_openssl(lab.folder, "-CA", "issuer.pem", "-CAkey", "issuer.key", "-subj", f"/CN={name}")

    ours, our_key = issue("ours")
    bind(lab, enrolment, ours + issuer)
    for certificate, key, outcome in ((ours, our_key, ExchangeOutcome.DONE), (*issue("other"), ExchangeOutcome.FAILED)):
        enrolment.home.write("cups.crt", certificate)
        enrolment.home.write("cups.key", key, mode=0o600)
        exchange, log = lab.poll(enrolment.home)
        assert exchange is outcome
    assert any(ALERT in line for line in log)


def test_an_unknown_certificate_gets_a_tls_alert(lab: Lab) -> None:
    home = lab.enrol().home
    lab.define()
    certificate, key = certificate_by_openssl(lab.folder)
    home.write("cups.crt", certificate)
    home.write("cups.key", key, mode=0o600)
    outcome, log = lab.poll(home)
    assert outcome is ExchangeOutcome.FAILED
    assert any(ALERT in line for line in log)
    lab.assert_untouched()


def test_no_certificate_gets_a_tls_alert(lab: Lab) -> None:
    home = lab.enrol().home
    lab.define()
    for name in ("cups.crt", "cups.key"):
        (home.path / name).unlink()
    outcome, log = lab.poll(home)
    assert outcome is ExchangeOutcome.FAILED
    assert any(ALERT in line for line in log)
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
    assert outcome is ExchangeOutcome.FAILED
    assert any(ALERT in line for line in log)
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
    assert lab.poll(enrolment.home)[0] is ExchangeOutcome.DONE


def test_a_server_that_is_not_trusted_is_not_spoken_to(lab: Lab) -> None:
    home = lab.enrol().home
    home.write("cups.trust", certificate_by_openssl(lab.folder)[0])
    outcome, log = lab.poll(home)
    assert outcome is ExchangeOutcome.FAILED
    assert any("X509 - Certificate verification failed" in line for line in log)
    (home.path / "cups.trust").unlink()
    assert any("requires TLS but no trust configured" in line for line in lab.poll(home)[1])


def test_the_authority_survives_a_restart_and_its_folder_is_private(lab: Lab, tmp_path: Path) -> None:
    folder = tmp_path / "state"
    first = load_or_create(folder, ["localhost"])
    again = load_or_create(folder, ["localhost"])
    assert first.ca_pem == again.ca_pem
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in ("ca.pem", "server.pem"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    server = first.server.read_bytes()
    assert again.server.read_bytes() == server
    assert load_or_create(folder, ["localhost", "lab.example"]).server.read_bytes() != server
    assert load_or_create(folder, ["localhost"]).ca_pem == first.ca_pem


def test_a_gateway_goes_on_trusting_a_server_that_was_started_again(tmp_path: Path) -> None:
    with Cloud(cups_tls_port=0, state_dir=tmp_path / "state") as cloud:
        enrolment = Lab(cloud, tmp_path).enrol()
        assert cloud.cups_tls is not None
        port = cloud.cups_tls.port
    with Cloud(cups_tls_port=port, state_dir=tmp_path / "state") as cloud:
        # What AWS keeps for ever is in memory here, and is told again.
        lab = Lab(cloud, tmp_path)
        known = lab.client("iot").register_certificate_without_ca(
            certificatePem=(enrolment.home.path / "cups.crt").read_text(), status="ACTIVE"
        )
        wireless = lab.client("iotwireless")
        created = wireless.create_wireless_gateway(LoRaWAN={"GatewayEui": EUI.hex, "RfRegion": "US915"})
        wireless.associate_wireless_gateway_with_certificate(Id=created["Id"], IotCertificateId=known["certificateId"])
        assert lab.poll(enrolment.home)[0] is ExchangeOutcome.DONE


def test_a_server_key_that_does_not_fit_its_certificate_is_made_anew(tmp_path: Path) -> None:
    authority = load_or_create(tmp_path / "state", ["localhost"])
    _, other_key = certificate_by_openssl(tmp_path)
    certificate = authority.server.read_text().partition("-----BEGIN PRIVATE")[0]
    authority.server.write_text(certificate + other_key.decode())
    load_or_create(tmp_path / "state", ["localhost"]).server_context()


def test_two_processes_that_create_an_authority_at_once_end_with_the_same_one(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: load_or_create(tmp_path / "state", ["localhost"]).ca_pem, range(8)))
    assert len(set(made)) == 1


def test_a_state_folder_that_is_open_to_others_is_not_used_and_not_changed(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir(mode=0o755)
    (folder / "letter.txt").write_text("mine")
    with pytest.raises(HomeError, match="chmod 700"):
        load_or_create(folder, ["localhost"])
    assert [path.name for path in folder.iterdir()] == ["letter.txt"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755


@pytest.mark.parametrize("name", ["", "two words", "gäteway", "-x", "a..b", "x" * 120, "http://x"])
def test_a_public_name_that_no_station_could_use_is_refused_with_a_remedy(tmp_path: Path, name: str) -> None:
    with pytest.raises(HomeError, match="give a host name"):
        load_or_create(tmp_path / "state", ["localhost", name])


def test_openssl_finds_every_name_of_the_server_in_its_certificate(tmp_path: Path, openssl: Any) -> None:
    authority = load_or_create(tmp_path / "state", ["localhost", "lab.example", "192.0.2.7"])
    text = openssl("x509", "-noout", "-ext", "subjectAltName", "-in", authority.server).decode()
    for name in ("DNS:localhost", "DNS:lab.example", "DNS:192.0.2.7", "IP Address:192.0.2.7"):
        assert name in text


def test_a_state_folder_that_cannot_be_read_says_what_to_do(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    tmp_path.joinpath("ca.pem").write_text("nonsense")
    with pytest.raises(HomeError, match="remove it"):
        load_or_create(tmp_path, ["localhost"])


def test_a_server_under_another_name_is_spoken_to_only_without_tls_sni(lab: Lab) -> None:
    home = lab.enrol().home
    home.write("cups.uri", home.read_uri("cups").replace("localhost", "127.1"))
    verdict = VirtualGateway(home, HttpTransport()).poll()
    assert "[AIO:ERRO] [3] Send failed: X509 - Certificate verification failed" in str(verdict.log[-3])
    conf = home.path / "station.conf"
    conf.write_text(conf.read_text().replace('"euiprefix"', '"TLS_SNI": false, "euiprefix"'))
    assert home.read_conf().tls_sni is False
    assert VirtualGateway(home, HttpTransport(tls_sni=False)).poll().exchange is ExchangeOutcome.DONE
