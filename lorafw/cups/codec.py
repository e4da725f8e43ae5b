"""Encode and decode whole CUPS update-info messages, in both directions.

The request is one JSON object with these members, in this order and without blanks (source: recorded from Basics
Station 2.0.6)::

    {"router":"11:2233:4455:6677","cupsUri":"http://localhost:34783","tcUri":null,"cupsCredCrc":2077607535,
     "tcCredCrc":2077607535,"station":"2.0.6(linux/std) ...","model":"linux","package":"1.0.0","keys":[2373853496]}

The response has six segments with little-endian integers (source: Basics Station 2.0.6, cups.c)::

    u8  cupsUriLen   cupsUri        u16 tcCredLen  tcCred
    u8  tcUriLen     tcUri          u32 sigLen     keyCRC(u32) sig     sigLen counts the CRC
    u16 cupsCredLen  cupsCred       u32 updLen     updData

An absent field has length 0 and no bytes, so an empty response is 14 zero bytes.

``lorafw.cups.parser`` parses messages that arrive in pieces.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

from lorafw.cups.messages import UpdateInfoResponse
from lorafw.cups.parser import (
    MAX_UPDATE,
    SIGNATURE_SEGMENT_LENGTHS,
    ProtocolError,
    ResponseDecoder,
    ResponseEvent,
    Segment,
    SegmentData,
)
from lorafw.cups.request_json import decode_request, encode_request
from lorafw.errors import InvalidFieldLength, MalformedResponse
from lorafw.text import decode_lossless, encode_lossless

__all__ = [
    "MAX_URI_BYTES",
    "decode_request",
    "decode_response",
    "encode_request",
    "encode_response",
    "encode_response_header",
    "response_from_events",
]

MAX_URI_BYTES: Final = 127
"""Longest URI in bytes that a station can use. The length field could hold 255."""
_MAX_CREDENTIALS: Final = 0xFFFF
_CRC_BYTES: Final = 4
_MIN_SIGNATURE: Final = SIGNATURE_SEGMENT_LENGTHS[0] - _CRC_BYTES
_MAX_SIGNATURE: Final = SIGNATURE_SEGMENT_LENGTHS[-1] - _CRC_BYTES


def encode_response(response: UpdateInfoResponse) -> bytes:
    """Return the whole body of a response.

    Raises:
        InvalidFieldLength: A station could not accept the length of a field.
    """
    return encode_response_header(response, len(response.update)) + response.update


def encode_response_header(response: UpdateInfoResponse, update_length: int) -> bytes:
    """Return the body of a response up to, but without, the bytes of the update.

    Each field follows its length. The lengths are little-endian numbers of 1 byte (URIs), 2 bytes (credentials) or
    4 bytes (signature and update).

    Args:
        response: The fields of the response. Its ``update`` is ignored.
        update_length: Length in bytes of the update that the caller sends after the header.

    Raises:
        InvalidFieldLength: A station could not accept the length of a field.
    """
    _check_length("update", update_length, MAX_UPDATE)
    signature_segment = _signature_segment(response)
    return b"".join(
        (
            _encode_field("<B", "cupsUri", encode_lossless(response.cups_uri), MAX_URI_BYTES),
            _encode_field("<B", "tcUri", encode_lossless(response.tc_uri), MAX_URI_BYTES),
            _encode_field("<H", "cupsCred", response.cups_cred, _MAX_CREDENTIALS),
            _encode_field("<H", "tcCred", response.tc_cred, _MAX_CREDENTIALS),
            struct.pack("<I", len(signature_segment)),
            signature_segment,
            struct.pack("<I", update_length),
        )
    )


def _signature_segment(response: UpdateInfoResponse) -> bytes:
    """Return the CRC of the key followed by the signature, empty if the response has no signature."""
    if not response.signature:
        return b""
    _check_length("signature", len(response.signature), _MAX_SIGNATURE, _MIN_SIGNATURE)
    return struct.pack("<I", response.key_crc) + response.signature


def _encode_field(length_format: str, name: str, data: bytes, maximum: int) -> bytes:
    """Return ``data`` with its length in front of it."""
    _check_length(name, len(data), maximum)
    return struct.pack(length_format, len(data)) + data


def _check_length(name: str, length: int, maximum: int, minimum: int = 0) -> None:
    """Raise InvalidFieldLength if a field is too short or too long."""
    if not minimum <= length <= maximum:
        raise InvalidFieldLength(name, length, maximum, minimum)


def decode_response(body: bytes) -> UpdateInfoResponse:
    """Return the response that a whole body contains.

    Raises:
        MalformedResponse: A station would reject the body. The message is the line that it would log.
    """
    decoder = ResponseDecoder(len(body))
    return response_from_events([*decoder.feed(body), *decoder.finish()])


def response_from_events(events: Iterable[ResponseEvent]) -> UpdateInfoResponse:
    """Return the response that the events of a ``ResponseDecoder`` describe.

    Raises:
        MalformedResponse: One of the events is a ``ProtocolError``.
    """
    fields = {segment: bytearray() for segment in Segment}
    for event in events:
        if isinstance(event, ProtocolError):
            raise MalformedResponse(event.log)
        if isinstance(event, SegmentData):
            fields[event.segment] += event.data
    signature_segment = bytes(fields[Segment.SIGNATURE])
    return UpdateInfoResponse(
        cups_uri=decode_lossless(fields[Segment.CUPS_URI]),
        tc_uri=decode_lossless(fields[Segment.TC_URI]),
        cups_cred=bytes(fields[Segment.CUPS_CRED]),
        tc_cred=bytes(fields[Segment.TC_CRED]),
        key_crc=int.from_bytes(signature_segment[:_CRC_BYTES], "little"),
        signature=signature_segment[_CRC_BYTES:],
        update=bytes(fields[Segment.UPDATE]),
    )
