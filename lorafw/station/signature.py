"""How a Basics Station reads a DER signature.

Its library (mbed TLS) is laxer than OpenSSL: see ``firmware.der_signature``.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from lorafw.errors import InvalidKey, SignatureError
from lorafw.firmware.der_signature import read_der_signature
from lorafw.firmware.signing import PublicKey


def station_verifies(sig_key: bytes, digest: hashlib._Hash, signature: bytes) -> bool:
    """Return True if a station accepts the signature.

    Args:
        sig_key: The content of a sig-N.key.
        digest: The SHA-512 of the update.
        signature: The signature in DER. A malformed one is not accepted.
    """
    return _verifies(sig_key, digest.digest(), signature)


@lru_cache(maxsize=64)
def _verifies(sig_key: bytes, digest: bytes, signature: bytes) -> bool:
    """Return True if a station accepts the signature. A fleet asks the same question for each of its gateways."""
    try:
        key = PublicKey(sig_key)
        r, s = read_der_signature(signature)
        key.verify_digest(digest, encode_dss_signature(r, s))
    except (InvalidKey, SignatureError, ValueError):
        return False
    return True
