"""Why a signature does not verify: another hash, or another encoding. Pure.

A public key can be calculated for any signature and any digest, so a hash alone proves nothing. Only a key that is
known, by its CRC, tells which hash the signer used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable
from typing import Final

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from lorafw.errors import SignatureError
from lorafw.firmware.der_signature import RAW_SIGNATURE_BYTES, is_raw_signature
from lorafw.firmware.recovery import recovered_crcs

Pieces = Iterable[bytes | memoryview]

_HASHES: Final = {"SHA-512": "sha512", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-1": "sha1"}


def find_signature_fault(read: Callable[[], Pieces], signature: bytes, known_crcs: Collection[int]) -> str | None:
    """Return what the signer did wrong, as a sentence with a remedy. Return None if that cannot be known.

    Args:
        read: Returns the file in pieces, from its start. It is called once for each hash that is tried.
        signature: The signature, which no known key verifies as it is.
        known_crcs: The key CRCs of which the signer's is one.
    """
    is_raw = is_raw_signature(signature)
    if is_raw:
        signature = _encode_as_der(signature)
    for name, algorithm in _HASHES.items():
        if name == "SHA-512" and not is_raw:
            continue
        if not _signers(read(), signature, algorithm).isdisjoint(known_crcs):
            return _describe_fault(None if name == "SHA-512" else name, is_raw)
    return _describe_fault(None, is_raw) if is_raw else None


def _signers(pieces: Pieces, signature: bytes, algorithm: str) -> frozenset[int]:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    for piece in pieces:
        digest.update(piece)
    try:
        return recovered_crcs(digest.digest(), signature)
    except SignatureError:
        return frozenset()


def _describe_fault(hash_name: str | None, is_raw: bool) -> str:
    if not is_raw:
        return f"It was made with {hash_name}; a station verifies with SHA-512. Sign the file with SHA-512."
    if hash_name is None:
        return "It is raw (r and s, 64 bytes); a station reads DER. Encode r and s in DER, or use 'openssl dgst -sign'."
    return (
        f"It was made with {hash_name} and is raw (r and s, 64 bytes); a station verifies with SHA-512 and reads DER. "
        "Sign the file with SHA-512, and encode r and s in DER."
    )


def _encode_as_der(raw: bytes) -> bytes:
    middle = RAW_SIGNATURE_BYTES // 2
    return encode_dss_signature(int.from_bytes(raw[:middle], "big"), int.from_bytes(raw[middle:], "big"))
