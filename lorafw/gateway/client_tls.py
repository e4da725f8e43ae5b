"""Set up TLS as a Basics Station does, from the files cups.trust, cups.crt and cups.key.

The files that exist decide how the two sides authenticate:

* With cups.trust alone, the station checks the server.
* With all three files, both sides are checked (mutual TLS).
* With cups.trust and cups.key, the key file has a token, which the station sends as a header of the request.

Source: Basics Station 2.0.6.
"""

from __future__ import annotations

import itertools
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from cryptography.hazmat.primitives import serialization

from lorafw.cups.credentials import Credentials
from lorafw.gateway.certificate_chain import load_cert_chain
from lorafw.station.http import TransportError
from lorafw.station.log import Level, LogLine
from lorafw.station.tls_files import PrivateKey, TlsFileError, can_be_trusted, read_certificates, read_private_key

_PEM = serialization.Encoding.PEM
_DER = serialization.Encoding.DER
_HEADER_LINE_START = re.compile(rb"[A-Za-z0-9_-]+: ")

# Texts of the station's log, which follow the name of the set of files, such as "cups-bak".
_TRUST_REJECTED = "trust certificates rejected by MBedTLS"
_KEY_REJECTED = "key/cert rejected by MBedTLS"
_MALFORMED_HEADER = "contains malformed auth token - expecting: {header: value{\\r\\n|\\n}}*"


class UnmatchedKey(TransportError):
    """The key does not belong to the certificate. A station notices this only when the server refuses its signature."""


def client_context(credentials: Credentials) -> ssl.SSLContext:
    """Return the TLS context for a connection.

    Raises:
        UnmatchedKey: The key does not belong to the certificate.
        TransportError: One of the files cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # A station trusts an intermediate CA of its file, too. OpenSSL alone would want the root.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False  # certificate_matches_host checks it by the station's rules
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    _load_trust(context, credentials)
    _check_token(credentials)
    if credentials.certificate and credentials.key:
        _load_client_certificate(context, credentials)
    return context


def _load_trust(context: ssl.SSLContext, credentials: Credentials) -> None:
    """Load the certificates of cups.trust, by which the station checks the server."""
    rejection = f"{credentials.file_set} {_TRUST_REJECTED}"
    with _tls_errors_as_station_log("Parsing trust certificate", rejection):
        certificates = read_certificates(credentials.trust)
        trusted = [certificate for certificate in certificates if can_be_trusted(certificate)]
        trusted_der = b"".join(certificate.public_bytes(_DER) for certificate in trusted)
        if trusted_der:
            context.load_verify_locations(cadata=trusted_der)


def _load_client_certificate(context: ssl.SSLContext, credentials: Credentials) -> None:
    """Load cups.key and cups.crt, with which the station authenticates itself. The key is read first, as it does.

    Raises:
        UnmatchedKey: The key does not belong to the certificate.
        TransportError: One of the files cannot be used.
    """
    rejection = f"{credentials.file_set} {_KEY_REJECTED}"
    with _tls_errors_as_station_log("Parsing key", rejection):
        key = read_private_key(credentials.key)
    with _tls_errors_as_station_log("Parsing my cert certificate", rejection):
        certificates = read_certificates(credentials.certificate)
        if key.public_key() != certificates[0].public_key():
            raise UnmatchedKey
        certificate_pem = b"".join(certificate.public_bytes(_PEM) for certificate in certificates)
        load_cert_chain(context, certificate_pem, _key_to_pem(key))


def _key_to_pem(key: PrivateKey) -> bytes:
    """Return a private key in PEM, without a password."""
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


@contextmanager
def _tls_errors_as_station_log(operation: str, rejection: str) -> Iterator[None]:
    """Replace an error about a TLS file by a TransportError with the lines that a station logs.

    Args:
        operation: What the station was doing. Its TLS library logs this with the cause of the error.
        rejection: The line that the station itself adds.

    Raises:
        TransportError: The file cannot be used.
    """
    station_line = LogLine("AIO", Level.ERROR, rejection)
    try:
        yield
    except TlsFileError as error:
        library_line = LogLine("any", Level.ERROR, f"{operation}: {error}")
        raise TransportError(library_line, station_line) from None
    except ssl.SSLError:
        raise TransportError(station_line) from None


def certificate_matches_host(certificate: Mapping[str, Any], host: str) -> bool:
    """Return True if a certificate is valid for a host, by the rules of a station (observed).

    A station compares DNS names only: an address such as 127.0.0.1 must be in the certificate as a DNS name. It uses
    the common name only if the certificate has no subject alternative names at all.

    Args:
        certificate: The certificate in the form that ``SSLSocket.getpeercert`` returns.
        host: The host name or address from cups.uri.
    """
    names = _certificate_names(certificate)
    return any(_name_matches_host(name.lower(), host.lower()) for name in names)


def _certificate_names(certificate: Mapping[str, Any]) -> list[str]:
    """Return the DNS names of a certificate, or its common names if it has no alternative names of any kind."""
    alternative_names = certificate.get("subjectAltName", ())
    if alternative_names:
        return [value for name_type, value in alternative_names if name_type == "DNS"]
    attributes = itertools.chain.from_iterable(certificate.get("subject", ()))
    return [value for name, value in attributes if name == "commonName"]


def _name_matches_host(name: str, host: str) -> bool:
    """Return True if a name is the host, or a wildcard for the first label of the host."""
    if name == host:
        return True
    _, _, domain = host.partition(".")
    return name.startswith("*.") and name[2:] == domain


def auth_header_lines(credentials: Credentials) -> bytes:
    """Return the header lines of a token in the key file.

    The result is b"" if there is a certificate, so that the key file has a key, or if the file has only empty lines.

    Raises:
        TransportError: The key file has a line that is not a header line.
    """
    _check_token(credentials)
    return b"".join(line + b"\r\n" for line in _token_lines(credentials))


def _check_token(credentials: Credentials) -> None:
    """Raise TransportError if a line of the token is not a header line."""
    if not all(_HEADER_LINE_START.match(line) for line in _token_lines(credentials)):
        raise TransportError(LogLine("AIO", Level.ERROR, f"{credentials.file_set} {_MALFORMED_HEADER}"))


def _token_lines(credentials: Credentials) -> list[bytes]:
    """Return the lines of the token without their line ends. The list is empty if the key file has no token."""
    if credentials.certificate:
        return []
    c_string = credentials.key.partition(b"\0")[0]
    text = c_string.replace(b"\r\n", b"\n").rstrip(b"\n")
    if not text:
        return []
    return text.split(b"\n")
