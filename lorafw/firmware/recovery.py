"""Calculate public keys that verify a given signature for a given file.

This is possible for every ECDSA signature and every file (SEC 1 version 2.0, section 4.1.6). So a signature alone
proves nothing: the key on the gateway must have come there in a safe way. The lab uses this module to run the
signature of AWS's documentation with a file of its own.

The arithmetic is that of a textbook. It is slow and its timing depends on the values, which does no harm because all
values are public.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from lorafw.errors import BadSignature, InvalidKey, SignatureError
from lorafw.firmware.der_signature import read_der_signature
from lorafw.firmware.signing import PublicKey

# The curve P-256 (FIPS 186-4, D.1.2.3): y^2 = x^3 - 3x + B over the integers modulo P, base point G of order N.
P: Final = 2**256 - 2**224 + 2**192 + 2**96 - 1
N: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
B: Final = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
G: Final = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)

Point = tuple[int, int] | None
"""Affine coordinates; None is the point at infinity."""


def recover_public_keys(data: bytes, signature: bytes) -> list[PublicKey]:
    """Return the public keys, usually two, with which ``signature`` verifies for ``data``.

    Args:
        data: The content of a file.
        signature: The signature in DER.

    Raises:
        SignatureError: The signature is not DER, or no key exists for it.
    """
    try:
        decode_dss_signature(signature)
    except ValueError as error:
        raise SignatureError("the signature is not in DER") from error
    return _recover(hashlib.sha512(data).digest(), signature)


def recover_key_crcs(pieces: Iterable[bytes | memoryview], signature: bytes) -> frozenset[int]:
    """Return the CRCs of the public keys with which ``signature`` verifies for a file.

    Args:
        pieces: The content of the file, in order.
        signature: The signature in DER.

    Returns:
        The CRCs. The set is empty if the signature is not DER or no key exists for it.
    """
    digest = hashlib.sha512()
    for piece in pieces:
        digest.update(piece)
    try:
        return recovered_crcs(digest.digest(), signature)
    except SignatureError:
        return frozenset()


def recovered_crcs(digest: bytes, signature: bytes) -> frozenset[int]:
    """Return the CRCs of the public keys with which ``signature`` verifies for a digest.

    Args:
        digest: The digest of a file. Any hash of ``PublicKey.verify_digest`` can have made it.
        signature: The signature in DER.

    Raises:
        SignatureError: The signature is not DER, or no key exists for it.
    """
    return frozenset(key.crc for key in _recover(digest, signature))


def _recover(digest: bytes, signature: bytes) -> list[PublicKey]:
    """Return the public keys that verify a signature for a digest.

    The formula is ``Q = (s R - e G) / r`` (SEC 1, 4.1.6). Q is the public key, r and s are the signature, R is a point
    whose x coordinate is r, e is the digest as a number, and G is the base point.

    Args:
        digest: The digest of the file.
        signature: The signature in DER.

    Raises:
        SignatureError: The signature is not DER, or no key exists for it.
    """
    try:
        r, s = read_der_signature(signature)
    except ValueError as error:
        raise SignatureError("the signature is not in DER") from error
    # A station reads DER that OpenSSL refuses, so the signature is encoded again.
    strict_der = encode_dss_signature(r, s)
    e = int.from_bytes(digest[:32], "big")
    keys = []
    for r_point in _points_with_x(r):
        r_inverse = pow(r, -1, N)
        s_term = _multiply(s * r_inverse % N, r_point)
        e_term = _multiply(-e * r_inverse % N, G)
        key_point = _add(s_term, e_term)
        if key_point is None:
            continue
        key = _verifying_key(key_point, digest, strict_der)
        if key is not None:
            keys.append(key)
    if not keys:
        raise SignatureError("no public key verifies this signature for any file: its r or s is none of P-256")
    return keys


def _verifying_key(point: tuple[int, int], digest: bytes, signature: bytes) -> PublicKey | None:
    """Return the public key at a point if it verifies the signature, or None."""
    x, y = point
    try:
        key = PublicKey(x.to_bytes(32, "big") + y.to_bytes(32, "big"))
        key.verify_digest(digest, signature)
    except (InvalidKey, BadSignature):
        return None
    return key


def _points_with_x(x: int) -> list[Point]:
    """Return the two points of the curve with this x coordinate, or an empty list if there are none."""
    y_squared = (x**3 - 3 * x + B) % P
    # This is the square root if there is one, because P is 3 modulo 4.
    y = pow(y_squared, (P + 1) // 4, P)
    is_on_curve = y * y % P == y_squared
    if not (0 < x < N and is_on_curve):
        return []
    return [(x, y), (x, P - y)]


def _add(left: Point, right: Point) -> Point:
    """Return the sum of two points."""
    if left is None:
        return right
    if right is None:
        return left
    x1, y1 = left
    x2, y2 = right
    if x1 == x2 and (y1 + y2) % P == 0:
        return None
    slope = _slope((x1, y1), (x2, y2))
    x = (slope * slope - x1 - x2) % P
    return x, (slope * (x1 - x) - y1) % P


def _slope(left: tuple[int, int], right: tuple[int, int]) -> int:
    """Return the slope of the line through two points, or of the tangent if they are the same point."""
    x1, y1 = left
    x2, y2 = right
    if left == right:
        return (3 * x1 * x1 - 3) * pow(2 * y1, -1, P)
    return (y2 - y1) * pow(x2 - x1, -1, P)


def _multiply(factor: int, point: Point) -> Point:
    """Return a multiple of a point, by doubling and adding."""
    total: Point = None
    while factor:
        if factor & 1:
            total = _add(total, point)
        point = _add(point, point)
        factor >>= 1
    return total
