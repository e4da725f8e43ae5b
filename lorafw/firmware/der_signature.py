"""Read ECDSA signatures in DER as a Basics Station does.

The station uses mbed TLS, which accepts more than OpenSSL: an integer may have needless leading zeros, it may lack
the zero that makes it positive, and lengths may be in the long form. No bytes may follow the signature. A raw
signature (r and s without DER) is refused. Source: mbed TLS 2.28, asn1parse.c and ecdsa.c.
"""

from __future__ import annotations

from typing import Final

from lorafw.errors import SignatureError

RAW_SIGNATURE_BYTES: Final = 64
"""Length of a raw signature: r and s, 32 bytes each, as JOSE, WebCrypto and PKCS #11 write them."""

_SEQUENCE: Final = 0x30
_INTEGER: Final = 0x02


def is_raw_signature(signature: bytes) -> bool:
    """Return whether a signature has the length of a raw one (r and s) and is not DER."""
    return len(signature) == RAW_SIGNATURE_BYTES and not _is_der(signature)


def check_is_der(signature: bytes) -> None:
    """Check that a station can read a signature.

    Args:
        signature: The bytes of the signature.

    Raises:
        SignatureError: A station cannot read it. The message says whether the signature is raw.
    """
    if is_raw_signature(signature):
        raise SignatureError(
            "the signature is raw (r and s, 64 bytes), and a station reads DER; "
            "encode r and s in DER, or sign with 'openssl dgst -sha512 -sign'"
        )
    if not _is_der(signature):
        raise SignatureError("the signature is not in DER; sign with 'openssl dgst -sha512 -sign'")


def _is_der(signature: bytes) -> bool:
    """Return whether a station can read a signature as DER."""
    try:
        read_der_signature(signature)
    except ValueError:
        return False
    return True


def read_der_signature(signature: bytes) -> tuple[int, int]:
    """Return r and s of a signature as a station reads them.

    Args:
        signature: The signature in DER.

    Raises:
        ValueError: A station cannot read it.
    """
    sequence, after_sequence = _read_element(signature, _SEQUENCE)
    r, after_r = _read_element(sequence, _INTEGER)
    s, after_s = _read_element(after_r, _INTEGER)
    if after_sequence or after_s:
        raise ValueError("bytes behind the signature")
    return int.from_bytes(r, "big"), int.from_bytes(s, "big")


def _read_element(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """Return the content of the ASN.1 element at the start of the data, and the bytes that follow it."""
    if len(data) < 2 or data[0] != tag:
        raise ValueError("unexpected ASN.1 tag")
    length = data[1]
    start = 2
    # With the high bit set, this byte says how many bytes of length follow (the long form).
    if length & 0x80:
        width = length & 0x7F
        start += width
        if not 1 <= width <= 4 or len(data) < start:
            raise ValueError("unexpected ASN.1 length")
        length = int.from_bytes(data[2:start], "big")
    end = start + length
    if len(data) < end:
        raise ValueError("the element is longer than the data")
    return data[start:end], data[end:]
