"""Signatures in DER as a Basics Station reads them, and raw ones, which it cannot read. Pure.

Its library (mbed TLS) is laxer than OpenSSL: an integer may carry needless zeros or lack the zero that makes it
positive, and lengths may be in the long form. But the whole must have exactly its length. Source: mbed TLS 2.28,
asn1parse.c and ecdsa.c.
"""

from __future__ import annotations

from typing import Final

from lorafw.errors import SignatureError

RAW_SIGNATURE_BYTES: Final = 64
"""r and s, 32 bytes each, as JOSE, WebCrypto and PKCS #11 give them."""

_SEQUENCE: Final = 0x30
_INTEGER: Final = 0x02


def is_raw_signature(signature: bytes) -> bool:
    """Return whether a signature is r and s without DER."""
    return len(signature) == RAW_SIGNATURE_BYTES and not _is_der(signature)


def check_is_der(signature: bytes) -> None:
    """Check that a station can read a signature.

    Raises:
        SignatureError: It cannot. The message says whether the signature is raw.
    """
    if is_raw_signature(signature):
        raise SignatureError(
            "the signature is raw (r and s, 64 bytes), and a station reads DER; "
            "encode r and s in DER, or sign with 'openssl dgst -sha512 -sign'"
        )
    if not _is_der(signature):
        raise SignatureError("the signature is not in DER; sign with 'openssl dgst -sha512 -sign'")


def _is_der(signature: bytes) -> bool:
    try:
        read_der_signature(signature)
    except ValueError:
        return False
    return True


def read_der_signature(signature: bytes) -> tuple[int, int]:
    """Return r and s of a signature as a station reads it.

    Raises:
        ValueError: A station cannot read it.
    """
    body, rest = _read_element(signature, _SEQUENCE)
    r, tail = _read_element(body, _INTEGER)
    s, more = _read_element(tail, _INTEGER)
    if rest or more:
        raise ValueError("bytes behind the signature")
    return int.from_bytes(r, "big"), int.from_bytes(s, "big")


def _read_element(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """The content of the element at the start, and what follows it."""
    if len(data) < 2 or data[0] != tag:
        raise ValueError("unexpected ASN.1 tag")
    length, start = data[1], 2
    if length & 0x80:
        width = length & 0x7F
        start += width
        if not 1 <= width <= 4 or len(data) < start:
            raise ValueError("unexpected ASN.1 length")
        length = int.from_bytes(data[2:start], "big")
    if len(data) < start + length:
        raise ValueError("the element is longer than the data")
    return data[start : start + length], data[start + length :]
