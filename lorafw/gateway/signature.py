"""How a Basics Station reads a DER signature.

Its library (mbed TLS) is laxer than OpenSSL: an integer may carry needless zeros or lack the zero that makes it
positive, and lengths may be in the long form. But the whole must have exactly its length. Source: mbed TLS 2.28,
asn1parse.c and ecdsa.c.
"""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from lorafw.errors import InvalidKey, SignatureError
from lorafw.firmware.signing import PublicKey

_SEQUENCE = 0x30
_INTEGER = 0x02


def station_verifies(sig_key: bytes, digest: hashlib._Hash, signature: bytes) -> bool:
    """Does this sig-N.key verify? ``digest`` is the SHA-512 of the update."""
    try:
        key = PublicKey(sig_key)
        r, s = _read(signature)
        key.verify_digest(digest.digest(), encode_dss_signature(r, s))
    except (InvalidKey, SignatureError, ValueError):
        return False
    return True


def _read(signature: bytes) -> tuple[int, int]:
    body, rest = _element(signature, _SEQUENCE)
    r, tail = _element(body, _INTEGER)
    s, more = _element(tail, _INTEGER)
    if rest or more:
        raise ValueError("bytes behind the signature")
    return int.from_bytes(r, "big"), int.from_bytes(s, "big")


def _element(data: bytes, tag: int) -> tuple[bytes, bytes]:
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
