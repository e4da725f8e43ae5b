"""Credentials of a gateway: trust, certificate and key, as files on the gateway and as a segment of a response.

A station identifies its credentials by the CRC-32 (as in zlib) of the three files joined together, with four zero bytes
for each file that is absent or empty. A segment contains trust, certificate and key in DER, again with four zero bytes
for an absent certificate or key. The key may be replaced by the text of a token (source: recorded from Basics Station
2.0.6, sys.c).

The station reads only two forms of a DER length: one byte, and 0x82 followed by two bytes. An elliptic-curve key in
PKCS#8 has a third form (0x81), so such a key must be sent as SEC1.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Final

from lorafw.errors import MalformedResponse

ABSENT: Final = bytes(4)
"""Stands for an absent file."""
_SEQUENCE: Final = 0x30
"""The DER tag of a SEQUENCE, with which each certificate and key begins."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The three files with which a gateway and a server authenticate each other. Absent files are empty bytes."""

    trust: bytes = b""
    """The CA certificate by which the gateway authenticates the server."""
    certificate: bytes = b""
    """The gateway's own certificate."""
    key: bytes = b""
    """The gateway's private key, or the text of a token."""
    file_set: str = field(default="cups", compare=False)
    """The name of the three files without suffix, as a station's log shows it: ``cups``, ``cups-bak``, ..."""

    @property
    def crc(self) -> int:
        """The ``cupsCredCrc`` or ``tcCredCrc`` of a station that has these files."""
        return zlib.crc32(self._concatenate())

    def to_segment(self) -> bytes:
        """Return the segment for a response.

        Raises:
            ValueError: A station could not split the segment. The files must be DER, because it does not accept PEM.
        """
        segment = self._concatenate()
        try:
            is_readable = parse_credentials(segment) == self
        except MalformedResponse:
            is_readable = False
        if not is_readable:
            raise ValueError(
                "a station could not take these credentials apart: trust, certificate and key must be "
                "DER with lengths of one byte or 0x82 and two (an EC key as SEC1, not PKCS#8)"
            )
        return segment

    def _concatenate(self) -> bytes:
        """Return the three files joined together, with ``ABSENT`` for an absent one."""
        return (self.trust or ABSENT) + (self.certificate or ABSENT) + (self.key or ABSENT)


NO_CREDENTIALS: Final = Credentials()
"""The credentials of a gateway without any of the files."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The positions at which a Basics Station finds the three parts of a segment."""

    trust: tuple[int, int]
    """Offset and length in bytes of the trust."""
    certificate: tuple[int, int]
    """Offset and length in bytes of the certificate."""
    key: tuple[int, int]
    """Offset and length in bytes of the key or token."""

    @property
    def parsed(self) -> int:
        """The sum of the three lengths in bytes."""
        return self.trust[1] + self.certificate[1] + self.key[1]


def layout(segment: bytes) -> Layout:
    """Find the three parts of a segment as a Basics Station does.

    The parts may extend beyond the end of the segment: compare ``Layout.parsed`` with its length.

    Returns:
        The offset and the length of each part.

    Raises:
        MalformedResponse: The station cannot find a part. The message is the line that it logs.
    """
    trust_end = _sequence_end(segment, 0, "trust")
    certificate_length, key_start = _find_certificate(segment, trust_end)
    if key_start > len(segment):
        raise MalformedResponse(f"expecting more data (key_offset={key_start}, total_len={len(segment)})")
    key_end = _key_end(segment, key_start)
    return Layout((0, trust_end), (trust_end, certificate_length), (key_start, key_end - key_start))


def _find_certificate(segment: bytes, start: int) -> tuple[int, int]:
    """Return the length of the certificate, 0 if it is absent, and the offset of the key behind it."""
    if _byte_at(segment, start) == 0:
        return 0, start + len(ABSENT)
    end = _sequence_end(segment, start, "cert")
    return end - start, end


def _key_end(segment: bytes, start: int) -> int:
    """Return the offset after the key: a DER sequence, nothing, or a token that fills the rest of the segment."""
    first = _byte_at(segment, start)
    if first == _SEQUENCE:
        return _sequence_end(segment, start, "key")
    if first == 0:
        return start
    return len(segment)


def parse_credentials(segment: bytes) -> Credentials:
    """Split a segment into trust, certificate and key as a Basics Station does.

    The station does not count the four zero bytes of an absent certificate. So it accepts a key that lacks up to four
    bytes at its end, and replaces these by zero bytes.

    Returns:
        The three parts. A part that is absent is empty.

    Raises:
        MalformedResponse: The station rejects the segment. The message is the line that it logs.
    """
    positions = layout(segment)
    if positions.parsed > len(segment):
        raise MalformedResponse(
            f"Lengths do not align segment_len={len(segment)} parsed_len={positions.parsed}. Ignoring."
        )
    padded = segment + ABSENT
    return Credentials(
        trust=_slice(padded, positions.trust),
        certificate=_slice(padded, positions.certificate),
        key=_slice(padded, positions.key),
    )


def _slice(data: bytes, position: tuple[int, int]) -> bytes:
    """Return the bytes at an offset and length."""
    start, length = position
    return data[start : start + length]


def _sequence_end(segment: bytes, start: int, name: str) -> int:
    """Return the offset after the DER sequence at ``start``. ``name`` is for the error message."""
    tag = _byte_at(segment, start)
    if tag != _SEQUENCE:
        # The client prints a signed char, so a byte with the top bit set is extended to 32 bits.
        sign_extension = 0xFFFFFF00 if tag & 0x80 else 0
        raise MalformedResponse(f"ASN.1 SEQ expected for {name} (0x{tag | sign_extension:02x})")
    short_length = _byte_at(segment, start + 1)
    if short_length & 0x80:
        # The client takes any long form for 0x82: two bytes of length follow.
        return start + 4 + (_byte_at(segment, start + 2) << 8 | _byte_at(segment, start + 3))
    return start + 2 + short_length


def _byte_at(segment: bytes, index: int) -> int:
    """Return one byte, or 0 beyond the end, where the client has written a terminating zero byte."""
    return segment[index] if index < len(segment) else 0
