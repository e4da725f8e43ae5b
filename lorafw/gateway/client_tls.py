"""TLS as a Basics Station does it, from the files cups.trust, cups.crt and cups.key.

Which files are there decides (source: Basics Station 2.0.6): trust alone, the server is checked; trust, certificate and
key, both sides are; trust and a key without a certificate, the key is a token, sent as a header of the request.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from lorafw.cups.credentials import Credentials
from lorafw.gateway.certificate_chain import load_cert_chain
from lorafw.station.http import TransportError
from lorafw.station.log import Level, LogLine
from lorafw.station.tls_files import PrivateKey, TlsFileError, read_certificates, read_private_key

_PEM = serialization.Encoding.PEM
_DER = serialization.Encoding.DER
_KEY_REJECTED = "cups key/cert rejected by MBedTLS"
_TOKEN_LINE = re.compile(rb"[A-Za-z0-9_-]+: ")


class UnmatchedKey(TransportError):
    """The key is not that of the certificate. A station finds that out when the server refuses its signature."""


def client_context(credentials: Credentials) -> ssl.SSLContext:
    """Return a context for one connection.

    Raises:
        UnmatchedKey: The certificate is of another key.
        TransportError: A file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # is_named does it, in the station's way
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    with _tls_errors_logged_as("Parsing trust certificate", "cups trust certificates rejected by MBedTLS"):
        trusted = read_certificates(credentials.trust)
        context.load_verify_locations(cadata=b"".join(certificate.public_bytes(_DER) for certificate in trusted))
    auth_header_lines(credentials)
    if credentials.certificate and credentials.key:
        with _tls_errors_logged_as("Parsing key", _KEY_REJECTED):
            key = read_private_key(credentials.key)
        with _tls_errors_logged_as("Parsing my cert certificate", _KEY_REJECTED):
            _load_chain(context, key, read_certificates(credentials.certificate))
    return context


@contextmanager
def _tls_errors_logged_as(what: str, words: str) -> Iterator[None]:
    """Turn an error about a file into the lines that a station logs: ``what`` and the cause, then ``words``."""
    rejected = LogLine("AIO", Level.ERROR, words)
    try:
        yield
    except TlsFileError as error:
        raise TransportError(LogLine("any", Level.ERROR, f"{what}: {error}"), rejected) from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise UnmatchedKey from None
        raise TransportError(rejected) from None


def certificate_matches_host(certificate: Mapping[str, Any], host: str) -> bool:
    """Is the certificate (in the form of ``getpeercert``) that of this host?

    A station looks at the names of hosts alone: the address 127.0.0.1 must stand there as a name, too. The common
    name counts where there are no alternative names at all (observed).
    """
    alternatives = certificate.get("subjectAltName", ())
    names = [value for kind, value in alternatives if kind == "DNS"]
    if not alternatives:
        names = [value for part in certificate.get("subject", ()) for kind, value in part if kind == "commonName"]
    host = host.lower()
    return any(
        host == name.lower() or (name.startswith("*.") and host.partition(".")[2] == name[2:].lower()) for name in names
    )


def auth_header_lines(credentials: Credentials) -> bytes:
    """Return the header lines of a key file that is a token, or b"" if it is none or has blank lines only.

    Raises:
        TransportError: The text is not made of header lines.
    """
    if credentials.certificate:
        return b""
    text = credentials.key.partition(b"\0")[0].replace(b"\r\n", b"\n").rstrip(b"\n")
    if not text:
        return b""
    lines = text.split(b"\n")
    if not all(_TOKEN_LINE.match(line) for line in lines):
        words = "cups contains malformed auth token - expecting: {header: value{\\r\\n|\\n}}*"
        raise TransportError(LogLine("AIO", Level.ERROR, words))
    return b"".join(line + b"\r\n" for line in lines)


def _load_chain(context: ssl.SSLContext, key: PrivateKey, certificates: Sequence[x509.Certificate]) -> None:
    """Let a context present a certificate chain."""
    key_pem = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    certificate_pem = b"".join(certificate.public_bytes(_PEM) for certificate in certificates)
    load_cert_chain(context, certificate_pem, key_pem)
