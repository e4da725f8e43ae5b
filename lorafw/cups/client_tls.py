"""TLS as a Basics Station does it, from the files cups.trust, cups.crt and cups.key.

Which files are there decides (source: Basics Station 2.0.6): trust alone, the server is checked; trust, certificate and
key, both sides are; trust and a key without a certificate, the key is a token, sent as a header of the request.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from lorafw.cups.certificate_chain import load_cert_chain
from lorafw.cups.credentials import Credentials
from lorafw.cups.station_http import TransportError
from lorafw.station_log import Level, LogLine

_PEM = b"-----BEGIN"
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
    with _station_words("cups trust certificates rejected by MBedTLS"):
        is_pem = credentials.trust.startswith(_PEM)
        context.load_verify_locations(cadata=credentials.trust.decode("ascii") if is_pem else credentials.trust)
    if credentials.certificate and credentials.key:
        with _station_words("cups key/cert rejected by MBedTLS"):
            load_cert_chain(context, _certificate_pem(credentials.certificate), _key_pem(credentials.key))
    return context


@contextmanager
def _station_words(words: str) -> Iterator[None]:
    try:
        yield
    except (ssl.SSLError, ValueError, TypeError) as error:
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            raise UnmatchedKey from None
        raise TransportError(LogLine("AIO", Level.ERROR, words)) from None


def is_named(certificate: Mapping[str, Any], host: str) -> bool:
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


def token_text(credentials: Credentials) -> bytes:
    """The header lines in a key file that is a token. Raises TransportError where they are none."""
    if credentials.certificate or not credentials.key:
        return b""
    lines = credentials.key.rstrip(b"\r\n").replace(b"\r\n", b"\n").split(b"\n")
    if not all(_TOKEN_LINE.match(line) for line in lines):
        words = "cups contains malformed auth token - expecting: {header: value{\\r\\n|\\n}}*"
        raise TransportError(LogLine("AIO", Level.ERROR, words))
    return b"".join(line + b"\r\n" for line in lines)


def _certificate_pem(content: bytes) -> bytes:
    if content.startswith(_PEM):
        return content
    return x509.load_der_x509_certificate(content).public_bytes(serialization.Encoding.PEM)


def _key_pem(content: bytes) -> bytes:
    if content.startswith(_PEM):
        return content
    key = serialization.load_der_private_key(content, None)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
