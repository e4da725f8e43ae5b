"""A public key for any file and any signature.

From an ECDSA signature and the bytes it is claimed to sign, one can calculate public keys that verify it
(SEC 1 version 2.0, section 4.1.6). So a signature alone proves nothing: what counts is that the key on the gateway
came there by a safe way. The lab uses it to let the documented signature run with a file of its own.

Textbook arithmetic, on public values only: it is slow and not hardened against timing, and needs to be neither.
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
    """The public keys (usually two) with which ``signature`` verifies for ``data``.

    Raises SignatureError where the signature is not DER or no key exists for it.
    """
    try:
        decode_dss_signature(signature)
    except ValueError as error:
        raise SignatureError("the signature is not in DER") from error
    return _recover(hashlib.sha512(data).digest(), signature)


def recover_key_crcs(pieces: Iterable[bytes | memoryview], signature: bytes) -> frozenset[int]:
    """The CRCs of the public keys with which ``signature`` verifies for a file; none where there is no such key."""
    digest = hashlib.sha512()
    for piece in pieces:
        digest.update(piece)
    try:
        return recovered_crcs(digest.digest(), signature)
    except SignatureError:
        return frozenset()


def recovered_crcs(digest: bytes, signature: bytes) -> frozenset[int]:
    """Return the CRCs of the public keys with which ``signature`` verifies for a digest, of whatever hash.

    Raises:
        SignatureError: The signature is not DER, or no key exists for it.
    """
    return frozenset(key.crc for key in _recover(digest, signature))


def _recover(digest: bytes, signature: bytes) -> list[PublicKey]:
    """``digest`` is of SHA-512, or of the hash that a signer is thought to have used."""
    try:
        r, s = read_der_signature(signature)
    except ValueError as error:
        raise SignatureError("the signature is not in DER") from error
    strict = encode_dss_signature(r, s)  # a station takes DER that OpenSSL refuses
    number = int.from_bytes(digest[:32], "big")
    found = []
    for nonce_point in _points_with_x(r):
        inverse = pow(r, -1, N)
        point = _add(_multiply(s * inverse % N, nonce_point), _multiply(-number * inverse % N, G))
        if point is not None and (key := _verifying_key(point, digest, strict)):
            found.append(key)
    if not found:
        raise SignatureError("no public key verifies this signature for any file: its r or s is none of P-256")
    return found


def _verifying_key(point: tuple[int, int], digest: bytes, signature: bytes) -> PublicKey | None:
    try:
        key = PublicKey(point[0].to_bytes(32, "big") + point[1].to_bytes(32, "big"))
        key.verify_digest(digest, signature)
    except (InvalidKey, BadSignature):
        return None
    return key


def _points_with_x(x: int) -> list[Point]:
    square = (x**3 - 3 * x + B) % P
    y = pow(square, (P + 1) // 4, P)
    return [(x, y), (x, P - y)] if 0 < x < N and y * y % P == square else []


def _add(left: Point, right: Point) -> Point:
    if left is None or right is None:
        return left or right
    (x1, y1), (x2, y2) = left, right
    if x1 == x2 and (y1 + y2) % P == 0:
        return None
    slope = (3 * x1 * x1 - 3) * pow(2 * y1, -1, P) if left == right else (y2 - y1) * pow(x2 - x1, -1, P)
    x = (slope * slope - x1 - x2) % P
    return x, (slope * (x1 - x) - y1) % P


def _multiply(factor: int, point: Point) -> Point:
    total: Point = None
    while factor:
        if factor & 1:
            total = _add(total, point)
        point = _add(point, point)
        factor >>= 1
    return total
