"""Find out why a signature does not verify: a wrong hash or a wrong encoding.

For each hash that a signer may have used, the public keys of the signature are calculated (see ``recovery``). Such
keys exist for every hash, so they prove nothing by themselves. If one of them has a known CRC, its hash is the one
that the signer used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from lorafw.errors import SignatureError
from lorafw.firmware.der_signature import RAW_SIGNATURE_BYTES, is_raw_signature
from lorafw.firmware.recovery import recovered_crcs

Pieces = Iterable[bytes | memoryview]

_RIGHT_HASH: Final = {"SHA-512": "sha512"}
"""The hash that a station uses, and its name in ``hashlib``."""
_WRONG_HASHES: Final = {"SHA-256": "sha256", "SHA-384": "sha384", "SHA-1": "sha1"}
"""Other hashes that a signer may have used."""


def find_signature_fault(read: Callable[[], Pieces], signature: bytes, known_crcs: Collection[int]) -> str | None:
    """Find out why a station would refuse a signature: a wrong hash, a wrong encoding, or both.

    Args:
        read: Returns the file in pieces, from its start. It is called once for each hash that is tried.
        signature: The signature, which no known key verifies as it is.
        known_crcs: CRCs of keys, of which one belongs to the signer.

    Returns:
        What the signer did wrong, as a sentence with a remedy. None if that cannot be found out.
    """
    if is_raw_signature(signature):
        der = _encode_as_der(signature)
        has_right_hash = _find_hash(_RIGHT_HASH, read, der, known_crcs) is not None
        wrong_hash = None
        if not has_right_hash:
            wrong_hash = _find_hash(_WRONG_HASHES, read, der, known_crcs)
        return _describe_fault(wrong_hash, is_raw=True)
    wrong_hash = _find_hash(_WRONG_HASHES, read, signature, known_crcs)
    if wrong_hash is None:
        return None
    return _describe_fault(wrong_hash, is_raw=False)


def _find_hash(
    hashes: Mapping[str, str], read: Callable[[], Pieces], signature: bytes, known_crcs: Collection[int]
) -> str | None:
    """Return the name of the first hash with which a known key verifies a signature in DER. None if there is none."""
    for name, algorithm in hashes.items():
        candidates = _candidate_crcs(read(), signature, algorithm)
        if not candidates.isdisjoint(known_crcs):
            return name
    return None


def _candidate_crcs(pieces: Pieces, signature: bytes, algorithm: str) -> frozenset[int]:
    """Return the CRCs of the keys that verify the signature if the signer used this hash."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    for piece in pieces:
        digest.update(piece)
    try:
        return recovered_crcs(digest.digest(), signature)
    except SignatureError:
        return frozenset()


def _describe_fault(hash_name: str | None, *, is_raw: bool) -> str:
    """Return the sentence for a fault. ``hash_name`` is the wrong hash; None if the hash is right or not known."""
    if not is_raw:
        return f"It was made with {hash_name}; a station verifies with SHA-512. Sign the file with SHA-512."
    if hash_name is None:
        return "It is raw (r and s, 64 bytes); a station reads DER. Encode r and s in DER, or use 'openssl dgst -sign'."
    return (
        f"It was made with {hash_name} and is raw (r and s, 64 bytes); a station verifies with SHA-512 and reads DER. "
        "Sign the file with SHA-512, and encode r and s in DER."
    )


def _encode_as_der(raw: bytes) -> bytes:
    """Return a raw signature (r and s) in DER."""
    middle = RAW_SIGNATURE_BYTES // 2
    r = int.from_bytes(raw[:middle], "big")
    s = int.from_bytes(raw[middle:], "big")
    return encode_dss_signature(r, s)
