"""Credentials of a gateway: trust, certificate and key, as files on the gateway and as a segment of a response.

The CRC by which a station names its credentials is the CRC-32 (zlib's) of the three files one behind the other, each
absent or empty file replaced by four zero bytes. The segment is trust, certificate and key in DER, an absent
certificate or key again four zero bytes; in place of the key, the text of a token may stand (source: recorded from
Basics Station 2.0.6, sys.c).

The station reads only two forms of a DER length: one byte, and 0x82 with two bytes. An elliptic-curve key in PKCS#8
has another (0x81), so such a key must come as SEC1.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final

from lorafw.errors import MalformedResponse

ABSENT: Final = bytes(4)
_SEQUENCE: Final = 0x30


@dataclass(frozen=True, slots=True)
class Credentials:
    """Bytes of trust, certificate and key (or token) as they lie in files; empty where there is none."""

    trust: bytes = b""
    certificate: bytes = b""
    key: bytes = b""

    @property
    def crc(self) -> int:
        """``cupsCredCrc`` or ``tcCredCrc`` of a station that has these files."""
        return zlib.crc32(self._concatenate())

    def to_segment(self) -> bytes:
        """The bytes for a response. The parts must be DER; PEM is not accepted by a station. Else a ValueError."""
        segment = self._concatenate()
        try:
            same = parse_credentials(segment) == self
        except MalformedResponse:
            same = False
        if not same:
            raise ValueError(
                "a station could not take these credentials apart: trust, certificate and key must be "
                "DER with lengths of one byte or 0x82 and two (an EC key as SEC1, not PKCS#8)"
            )
        return segment

    def _concatenate(self) -> bytes:
        return b"".join(part or ABSENT for part in (self.trust, self.certificate, self.key))


NO_CREDENTIALS: Final = Credentials()


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a Basics Station sees the three parts of a segment: offset and length of each."""

    trust: tuple[int, int]
    certificate: tuple[int, int]
    key: tuple[int, int]

    @property
    def parsed(self) -> int:
        return self.trust[1] + self.certificate[1] + self.key[1]


def layout(segment: bytes) -> Layout:
    """Find the parts as a Basics Station does. Raises MalformedResponse with the words of its log."""
    trust_end = _sequence_end(segment, 0, "trust")
    if _byte(segment, trust_end) == 0:
        certificate_end, key_start = trust_end, trust_end + len(ABSENT)
    else:
        certificate_end = key_start = _sequence_end(segment, trust_end, "cert")
    if key_start > len(segment):
        raise MalformedResponse(f"expecting more data (key_offset={key_start}, total_len={len(segment)})")
    first = _byte(segment, key_start)
    if first == _SEQUENCE:
        key_end = _sequence_end(segment, key_start, "key")
    else:
        key_end = key_start if first == 0 else len(segment)
    return Layout((0, trust_end), (trust_end, certificate_end - trust_end), (key_start, key_end - key_start))


def parse_credentials(segment: bytes) -> Credentials:
    """Take a segment apart as a Basics Station does. Raises MalformedResponse with the words of its log.

    The station does not count the 4 zero bytes of an absent certificate. So a key that lacks up to 4 bytes at its end
    is accepted, and gets zero bytes in their place.
    """
    found = layout(segment)
    if found.parsed > len(segment):
        raise MalformedResponse(f"Lengths do not align segment_len={len(segment)} parsed_len={found.parsed}. Ignoring.")
    padded = segment + ABSENT
    return Credentials(
        *(padded[start : start + length] for start, length in (found.trust, found.certificate, found.key))
    )


def _sequence_end(segment: bytes, start: int, name: str) -> int:
    first = _byte(segment, start)
    if first != _SEQUENCE:
        # The client prints a signed char: what has its top bit comes out with 24 bits more.
        raise MalformedResponse(f"ASN.1 SEQ expected for {name} (0x{first | (0xFFFFFF00 if first & 0x80 else 0):02x})")
    if _byte(segment, start + 1) & 0x80:
        return start + 4 + (_byte(segment, start + 2) << 8 | _byte(segment, start + 3))
    return start + 2 + _byte(segment, start + 1)


def _byte(segment: bytes, index: int) -> int:
    """The client ends the segment with a zero byte; what lies behind that is read as zero too."""
    return segment[index] if index < len(segment) else 0
