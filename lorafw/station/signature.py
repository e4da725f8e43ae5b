"""How a Basics Station checks the signature of an update.

Its library (mbed TLS) is laxer than OpenSSL: see ``firmware.der_signature``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from lorafw.errors import InvalidKey, SignatureError
from lorafw.firmware.der_signature import read_der_signature
from lorafw.firmware.signing import PublicKey
from lorafw.station.log import Level, LogLine

_CRC_BYTES: Final = 4
_KEY_BYTES: Final = 64
"""The size of a sig-N.key. The station skips files of another size."""


@dataclass(frozen=True, slots=True)
class UpdateCheck:
    """The result of the check of an update."""

    is_accepted: bool
    """Whether the station runs the update."""
    log: tuple[LogLine, ...]
    """The lines that the station logs about the check."""
    key_results: tuple[tuple[int, str], ...] = ()
    """For each key that was tried, its index and ``VERIFIED`` or ``NOT verified``."""


def check_update(digest: bytes, signature_segment: bytes | None, sig_keys: Sequence[bytes]) -> UpdateCheck:
    """Check an update as a station does. Return whether the station runs it, and what it logs.

    A gateway requires a signature only if it has a key. Without keys it runs unsigned updates.

    Args:
        digest: The SHA-512 of the update.
        signature_segment: The content of the signature segment, or None if the response has none.
        sig_keys: The contents of sig-0.key, sig-1.key, ... up to the first missing file.
    """
    if signature_segment is not None:
        return _check_signature(digest, signature_segment, sig_keys)
    if not sig_keys:
        return UpdateCheck(True, (_line(Level.INFO, "No Key. No Sig. UPDATE."),))
    no_signature = "Keyfile present, but no signature provided. Aborting update."
    return UpdateCheck(False, (_line(Level.ERROR, no_signature),))


def _check_signature(digest: bytes, signature_segment: bytes, sig_keys: Sequence[bytes]) -> UpdateCheck:
    """Try the keys in their order until one verifies the signature.

    The segment consists of the CRC of a key (4 bytes, little-endian) and the signature. The station logs the CRC and
    does not use it otherwise.
    """
    key_crc = int.from_bytes(signature_segment[:_CRC_BYTES], "little")
    signature = signature_segment[_CRC_BYTES:]
    key_results = tuple(_try_keys(digest, signature, sig_keys))
    is_verified = any(result == "VERIFIED" for _, result in key_results)
    log = [_line(Level.INFO, f"CUPS provided signature len={len(signature)} keycrc={key_crc:08X}")]
    log += [_line(Level.INFO, f"ECDSA key#{index} -> {result}") for index, result in key_results]
    if not is_verified:
        log.append(_line(Level.WARNING, f"No key could verify signature. Tried {len(sig_keys)} keys"))
    return UpdateCheck(is_verified, tuple(log), key_results)


def _try_keys(digest: bytes, signature: bytes, sig_keys: Sequence[bytes]) -> Iterator[tuple[int, str]]:
    """Yield the index and the result of each key, up to the first one that verifies the signature."""
    for index, sig_key in enumerate(sig_keys):
        if len(sig_key) != _KEY_BYTES:
            continue
        if station_verifies(sig_key, digest, signature):
            yield index, "VERIFIED"
            return
        yield index, "NOT verified"


@lru_cache(maxsize=64)
def station_verifies(sig_key: bytes, digest: bytes, signature: bytes) -> bool:
    """Return True if a station accepts the signature. Cached, because all gateways of a fleet check the same one.

    Args:
        sig_key: The content of a sig-N.key.
        digest: The SHA-512 of the update.
        signature: The signature in DER. A malformed one is not accepted.
    """
    try:
        key = PublicKey(sig_key)
        r, s = read_der_signature(signature)
        key.verify_digest(digest, encode_dss_signature(r, s))
    except (InvalidKey, SignatureError, ValueError):
        return False
    return True


def _line(level: Level, text: str) -> LogLine:
    """Return a log line of the station's CUPS client."""
    return LogLine("CUP", level, text)
