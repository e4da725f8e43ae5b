"""Certificates with the fields of the recorded ones, signed by an authority of the tests."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_FROM = datetime(2020, 1, 1, tzinfo=UTC)
_UNTIL = datetime(2074, 10, 4, tzinfo=UTC)
_AUTHORITY = "Fuzz CA"
_AUTHORITY_SERIAL = 0x0AE79AE65ED8145292C04B3EE6F799E992178778
_CLIENT_SERIAL = 0x17F49BACE9D17EAF93A8858EE3E71635515CC5D2
_CURVE = ec.SECP256R1()


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


@cache
def _authority_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(_CURVE)


def _certificate(subject: str, serial: int, key: ec.EllipticCurvePublicKey, *, is_authority: bool) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(_AUTHORITY))
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(_FROM)
        .not_valid_after(_UNTIL)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=is_authority)
    )
    if not is_authority:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    return builder.sign(_authority_key(), hashes.SHA256())


@cache
def authority() -> bytes:
    """The certificate of the authority, in PEM."""
    key = _authority_key().public_key()
    return _pem(_certificate(_AUTHORITY, _AUTHORITY_SERIAL, key, is_authority=True))


@cache
def _client() -> bytes:
    """A certificate whose key is not the recorded cups.key."""
    key = ec.generate_private_key(_CURVE).public_key()
    return _pem(_certificate("client", _CLIENT_SERIAL, key, is_authority=False))


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def replacements(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of a case, with certificates of this module in place of the recorded ones."""
    own = {"cups.trust": authority, "cups.crt": _client}
    made = {name: make() for name, make in own.items() if name in files}
    return {**files, **made}


def server_context(folder: Path) -> ssl.SSLContext:
    """A server as the recorded one: TLS, and a client certificate is asked for but not required."""
    key = ec.generate_private_key(_CURVE)
    certificate = _certificate("localhost", 7, key.public_key(), is_authority=False)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "server.pem"
    path.write_bytes(private + _pem(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(cadata=authority().decode())
    return context
