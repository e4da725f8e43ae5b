"""Which servers a station trusts because of its cups.trust. mbed TLS 2.28.0 gave the expected values."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from lorafw.cups.credentials import Credentials
from lorafw.gateway.client_tls import client_context


@dataclass
class Party:
    """The subject of certificates."""

    name: str
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def certify(self, subject: Party, *, is_ca: bool, until: int = 2040) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(name_of(subject))
            .issuer_name(name_of(self))
            .public_key(subject.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
            .not_valid_after(datetime(until, 1, 1, tzinfo=UTC))
        )
        if is_ca:
            builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        return builder.sign(self.key, SHA256()).public_bytes(Encoding.PEM)


def name_of(party: Party) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, party.name)])


ROOT, INTERMEDIATE, SERVER = Party("root"), Party("intermediate"), Party("localhost")
ROOT_CA = ROOT.certify(ROOT, is_ca=True)
EXPIRED_CA = ROOT.certify(ROOT, is_ca=True, until=2021)
NO_CA = ROOT.certify(ROOT, is_ca=False)
INTERMEDIATE_CA = ROOT.certify(INTERMEDIATE, is_ca=True)
LEAF = INTERMEDIATE.certify(SERVER, is_ca=False)
DIRECT_LEAF = ROOT.certify(SERVER, is_ca=False)
SELF_SIGNED = SERVER.certify(SERVER, is_ca=False)


@pytest.mark.parametrize(
    ("trust", "chain", "is_trusted"),
    [
        (ROOT_CA, LEAF + INTERMEDIATE_CA, True),
        (ROOT_CA, LEAF, False),
        (INTERMEDIATE_CA, LEAF + INTERMEDIATE_CA, True),
        (INTERMEDIATE_CA, LEAF, True),
        (LEAF, LEAF, False),
        (DIRECT_LEAF, DIRECT_LEAF, False),
        (LEAF + INTERMEDIATE_CA, LEAF, True),
        (SELF_SIGNED, SELF_SIGNED, True),
        (ROOT_CA, SELF_SIGNED, False),
        (NO_CA, DIRECT_LEAF, False),
        (EXPIRED_CA, DIRECT_LEAF, False),
        (EXPIRED_CA + ROOT_CA, DIRECT_LEAF, True),
    ],
    ids=[
        "root",
        "no intermediate",
        "intermediate",
        "intermediate alone",
        "the server's own",
        "the server's own, by the root",
        "the server's own and its CA",
        "self-signed",
        "another self-signed",
        "no CA",
        "expired",
        "expired and renewed",
    ],
)
def test_a_station_trusts_any_ca_of_its_file(tmp_path: Path, trust: bytes, chain: bytes, is_trusted: bool) -> None:
    path = tmp_path / "server.pem"
    path.write_bytes(SERVER.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + chain)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    client = client_context(Credentials(trust))
    if is_trusted:
        shake_hands(client, server)
        return
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(client, server)


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    """Make a TLS handshake in memory."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True)]
    while sides:
        side = sides.pop(0)
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            sides.append(side)
