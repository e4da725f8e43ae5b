"""The lab's certificate authority: a CA certificate and the certificate of the CUPS server, stored in a folder.

The folder has mode 0700 and the key files 0600. They are kept across restarts, so that gateways continue to trust the
server. A Basics Station requires of the server's certificate (source: Basics Station 2.0.6):

* It has a dNSName equal to the host in cups.uri. An iPAddress is not enough, but other clients require one, so a name
  that is an IP address is listed as both.
* Its key is an elliptic curve or RSA, but not Ed25519.
* Its extended key usage, if any, is not clientAuth alone.
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
from lorafw.cups.codec import MAX_URI_BYTES
from lorafw.errors import HomeError

_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")
CA_LIFETIME: Final = timedelta(days=3650)
"""Validity of the CA certificate."""
SERVER_LIFETIME: Final = timedelta(days=365)
"""Validity of the server's certificate."""
_CLOCK_SKEW: Final = timedelta(days=1)
"""Certificates are valid from a day before they are made, because a gateway's clock may be slow."""


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """A certificate authority in a folder. Immutable."""

    ca_pem: str
    """The CA certificate in PEM. A gateway must trust it."""
    server: Path
    """Path of the file with the server's certificate and key in PEM."""

    def server_context(self) -> ssl.SSLContext:
        """Return a TLS context for the server that requires a client certificate and trusts none yet.

        It uses TLS 1.2, as a Basics Station does, and refuses renegotiation. Python's defaults turn compression off.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.server)
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.verify_mode = ssl.CERT_REQUIRED
        # Each gateway's certificate is trusted by itself, because only AWS has the CA that issued it.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return context


def load_or_create(folder: Path, names: Sequence[str]) -> CertificateAuthority:
    """Return the certificate authority in a folder, and create the files that are missing.

    A new server certificate is written if the old one is for other names, has expired or cannot be read.

    Args:
        folder: The folder. It is created with mode 0700 if necessary.
        names: Host names and IP addresses of the server, at least one.

    Raises:
        HomeError: Other users can access the folder, the CA cannot be read, or a name cannot be in a certificate.
    """
    _check_names(names)
    _ensure_private_dir(folder)
    ca_key, ca_certificate = _load_or_make_ca(folder)
    server_path = folder / "server.pem"
    if not _is_reusable(server_path, ca_certificate, names):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _server_certificate(key, ca_key, ca_certificate, names)
        # Certificate and key are in one file, so that they always belong together.
        content = _certificate_pem(certificate) + _pem(key)
        write_atomic(server_path, content, mode=PRIVATE_MODE)
    return CertificateAuthority(_certificate_pem(ca_certificate).decode(), server_path)


def _check_names(names: Sequence[str]) -> None:
    """Raise HomeError if a name is not a host name, or too long for the URI that a station can use."""
    for name in names:
        is_usable = _NAME.fullmatch(name) or _is_address(name)
        if not is_usable or len(f"https://{name}:65535") > MAX_URI_BYTES:
            raise HomeError(
                f"{name!r} cannot be the name of a server: give a host name such as lab.example, of letters, digits, "
                f"'-' and '.', or an IP address, so that https://NAME:PORT has {MAX_URI_BYTES} characters at most"
            )


def _is_address(name: str) -> bool:
    """Return True if a name is an IP address."""
    with suppress(ValueError):
        ip_address(name)
        return True
    return False


def _ensure_private_dir(folder: Path) -> None:
    """Create the folder if necessary and close it to other users.

    Raises HomeError for a folder that is open to others and not empty, because a key in it may have been read.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.name == "posix" and folder.stat().st_mode & 0o077:
        if any(folder.iterdir()):
            raise HomeError(f"{folder} is open to others: 'chmod 700 {folder}', or give another folder")
        folder.chmod(0o700)


def _load_or_make_ca(folder: Path) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """Return the key and the certificate of the CA, which are created if the folder has none."""
    path = folder / "ca.pem"
    if not path.exists():
        _write_new_ca(path)
    return _load_ca(path)


def _write_new_ca(path: Path) -> None:
    """Create a CA and write its key and certificate to a file that does not exist yet."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _ca_certificate(key)
    content = _pem(key) + _certificate_pem(certificate)
    # If two processes create a CA at the same time, both use the one that was written first.
    with suppress(FileExistsError):
        write_atomic(path, content, mode=PRIVATE_MODE, overwrite=False)


def _load_ca(path: Path) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """Read the key and the certificate of a CA. Raises HomeError if the file does not contain them."""
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
    """Return True if a file has a server certificate of this CA for these names, its key, and validity left."""
    try:
        content = path.read_bytes()
        certificate = x509.load_pem_x509_certificate(content)
        certificate.verify_directly_issued_by(ca)
        listed = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        key = serialization.load_pem_private_key(content, None)
    except Exception:  # The file can be damaged in many ways; the remedy is always a new one.
        return False
    return (
        key.public_key() == certificate.public_key()
        and set(listed) == set(_subject_names(names))
        and certificate.not_valid_after_utc > datetime.now(UTC) + _CLOCK_SKEW
    )


def _subject_names(names: Sequence[str]) -> list[x509.GeneralName]:
    """Return each name as a dNSName, and each IP address as an iPAddress too."""
    general_names: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
    for name in names:
        with suppress(ValueError):
            general_names.append(x509.IPAddress(ip_address(name)))
    return general_names


def _ca_certificate(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """Return a self-signed CA certificate that may sign certificates of servers only, not of other CAs."""
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
    """Return a certificate for the server, signed by the CA."""
    # A common name has at most 64 characters (RFC 5280, appendix A.1).
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
    """Return a builder with what all certificates have in common."""
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


def _certificate_pem(certificate: x509.Certificate) -> bytes:
    """Return a certificate in PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a private key in PEM, not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
