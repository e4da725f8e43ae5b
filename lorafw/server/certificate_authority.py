"""The lab's certificate authority: one CA, and the certificate of the CUPS server, kept in a folder.

The folder is 0700 and its keys 0600; they survive a restart, so that gateways go on trusting the server. What a Basics
Station needs of the server's certificate (source: Basics Station 2.0.6): a dNSName that equals the host in cups.uri
(an IP address is not enough; other clients ask for just that, so a name that is an address is listed as both), a curve
or RSA, no Ed25519, no clientAuth-only usage.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lorafw.atomic import PRIVATE_MODE, write_atomic
from lorafw.cups.codec import MAX_URI
from lorafw.errors import HomeError

_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")
CA_LIFETIME: Final = timedelta(days=3650)
SERVER_LIFETIME: Final = timedelta(days=365)
_CLOCK_SKEW: Final = timedelta(days=1)
"""Certificates are valid from a day ago: a gateway's clock may be behind."""


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """``ca_pem`` is what a gateway trusts; the server presents the certificate of the file ``server``, with its key."""

    ca_pem: str
    server: Path

    def server_context(self) -> ssl.SSLContext:
        """TLS 1.2, which is what a Basics Station speaks; a client certificate is required, and none is trusted yet.

        Once a client has shown who it is, it may not renegotiate; compression is off in any case.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.server)
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.verify_mode = ssl.CERT_REQUIRED
        # Each gateway's certificate is trusted by itself: nobody but AWS has the CA that issued it.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return context


def load_or_create(folder: Path, names: Sequence[str]) -> CertificateAuthority:
    """The authority in ``folder``, made at first use; the server's certificate is made anew for other ``names``.

    Raises HomeError where the folder is open to others, a file cannot be read, or a name cannot be in a certificate.
    """
    _check_names(names)
    _ensure_private_dir(folder)
    ca_key, ca = _load_or_make_ca(folder)
    server = folder / "server.pem"
    if not _is_reusable(server, ca, names):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _server_certificate(key, ca_key, ca, names)
        # Certificate and key in one file: there is never one without its other.
        write_atomic(server, certificate.public_bytes(serialization.Encoding.PEM) + _pem(key), mode=PRIVATE_MODE)
    return CertificateAuthority(ca.public_bytes(serialization.Encoding.PEM).decode(), server)


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        if not _NAME.fullmatch(name) or len(f"https://{name}:65535") > MAX_URI:
            raise HomeError(
                f"{name!r} cannot be the name of a server: give a host name such as lab.example, or an IPv4 address, "
                f"of letters, digits, '-' and '.', so that https://NAME:PORT has {MAX_URI} characters at most"
            )


def _ensure_private_dir(folder: Path) -> None:
    """The folder is there and ours alone. One that is open to others and not empty is left as it is."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.name == "posix" and folder.stat().st_mode & 0o077:
        if any(folder.iterdir()):
            raise HomeError(f"{folder} is open to others: 'chmod 700 {folder}', or give another folder")
        folder.chmod(0o700)


def _load_or_make_ca(folder: Path) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    path = folder / "ca.pem"
    if not path.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _ca_certificate(key)
        content = _pem(key) + certificate.public_bytes(serialization.Encoding.PEM)
        # If two processes make a CA at the same time, both use the one that was written first.
        with suppress(FileExistsError):
            write_atomic(path, content, mode=PRIVATE_MODE, overwrite=False)
    content = path.read_bytes()
    try:
        loaded = serialization.load_pem_private_key(content, None)
        certificate = x509.load_pem_x509_certificate(content)
    except (ValueError, x509.InvalidVersion) as error:
        raise HomeError(f"{path} cannot be read ({error}); remove it, and a new CA is made") from error
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise HomeError(f"{path} holds no EC key; remove it, and a new CA is made")
    return loaded, certificate


def _is_reusable(path: Path, ca: x509.Certificate, names: Sequence[str]) -> bool:
    """Is there a server certificate of this CA with its key, for these names, that lasts a while?"""
    try:
        content = path.read_bytes()
        certificate = x509.load_pem_x509_certificate(content)
        certificate.verify_directly_issued_by(ca)
        listed = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        key = serialization.load_pem_private_key(content, None)
    except Exception:  # whatever is wrong with it, a new one is made
        return False
    return (
        key.public_key() == certificate.public_key()
        and set(listed) == set(_subject_names(names))
        and certificate.not_valid_after_utc > datetime.now(UTC) + _CLOCK_SKEW
    )


def _subject_names(names: Sequence[str]) -> list[x509.GeneralName]:
    listed: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
    for name in names:
        with suppress(ValueError):
            listed.append(x509.IPAddress(ip_address(name)))
    return listed


def _ca_certificate(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lorafw lab CA")])
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    return (
        _builder(name, name, key, CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, SHA256())
    )


def _server_certificate(
    key: ec.EllipticCurvePrivateKey, ca_key: ec.EllipticCurvePrivateKey, ca: x509.Certificate, names: Sequence[str]
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    ca_public = ca_key.public_key()
    return (
        _builder(subject, ca.subject, key, SERVER_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(_subject_names(names)), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_public), critical=False)
        .sign(ca_key, SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, lifetime: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
