"""CUPS update-info on the wire, both directions.

The request is one JSON object, the members in this order, without blanks (source: recorded from Basics Station 2.0.6)::

    {"router":"11:2233:4455:6677","cupsUri":"http://localhost:34783","tcUri":null,"cupsCredCrc":2077607535,
     "tcCredCrc":2077607535,"station":"2.0.6(linux/std) ...","model":"linux","package":"1.0.0","keys":[2373853496]}

The response is six segments, little-endian (source: Basics Station 2.0.6, cups.c)::

    u8  cupsUriLen   cupsUri        u16 tcCredLen  tcCred
    u8  tcUriLen     tcUri          u32 sigLen     keyCRC(u32) sig     sigLen counts the CRC
    u16 cupsCredLen  cupsCred       u32 updLen     updData

An absent field has length 0 and no bytes: a reply with nothing to say is 14 zero bytes.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Any, Final, NoReturn

from lorafw.cups.messages import UpdateInfoRequest, UpdateInfoResponse
from lorafw.errors import InvalidFieldLength, MalformedRequest, MalformedResponse
from lorafw.eui import GatewayEui

MAX_REQUEST: Final = 8192
"""Bytes of a request body. The station's own buffer has as many, for header and body together."""
MAX_URI: Final = 127
"""Bytes of a URI that a station can use, though the length field would hold 255."""
MAX_UPDATE: Final = (1 << 31) - 1
"""Bytes of an update: a station refuses a segment of 2 GB."""
SIGNATURE_SEGMENT_LENGTHS: Final = range(8, 133)
"""Values of sigLen that a station takes: four bytes of CRC and 4 to 128 of signature."""

_U32_MAX: Final = (1 << 32) - 1
_ESCAPE: Final = re.compile(r"\\u([0-9a-f]{4})|\\.")


# --- the request ---


def encode_request(request: UpdateInfoRequest) -> bytes:
    """The JSON body, byte for byte as a Basics Station writes it."""
    body = {
        "router": request.router.id6,
        "cupsUri": request.cups_uri,
        "tcUri": request.tc_uri,
        "cupsCredCrc": request.cups_cred_crc,
        "tcCredCrc": request.tc_cred_crc,
        "station": request.station,
        "model": request.model,
        "package": request.package,
        "keys": list(request.keys),
    }
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    # A station escapes control characters in upper case, and sends the bytes of version.txt as they are, also
    # where they are not UTF-8.
    text = _ESCAPE.sub(lambda escape: f"\\u{escape[1].upper()}" if escape[1] else escape[0], text)
    return text.encode("utf-8", "surrogateescape")


def decode_request(body: bytes) -> UpdateInfoRequest:
    """The value of a request body. Raises MalformedRequest, with the field and its value, on anything else."""
    if len(body) > MAX_REQUEST:
        raise MalformedRequest(f"the body has more than {MAX_REQUEST} bytes")
    try:
        # Decoded here, because json.loads would take UTF-16 as well.
        members = _JSON.decode(body.decode())
    except (ValueError, RecursionError) as error:
        raise MalformedRequest(f"the body is not JSON: {_short(error)}") from error
    if not isinstance(members, dict):
        raise MalformedRequest(f"the body is not a JSON object: {_short(members)}")
    return UpdateInfoRequest(
        router=_router(members),
        cups_uri=_text(members, "cupsUri"),
        tc_uri=_text(members, "tcUri"),
        cups_cred_crc=_crc(members, "cupsCredCrc"),
        tc_cred_crc=_crc(members, "tcCredCrc"),
        station=_text(members, "station"),
        model=_text(members, "model"),
        package=_text(members, "package"),
        keys=_keys(members),
    )


class RequestDecoder:
    """A request body in pieces of any size: ``feed`` them, then ``finish``."""

    def __init__(self) -> None:
        self._body = bytearray()

    def feed(self, data: bytes) -> None:
        """Take a piece. Raises MalformedRequest as soon as the body is too long."""
        if len(self._body) + len(data) > MAX_REQUEST:
            raise MalformedRequest(f"the body has more than {MAX_REQUEST} bytes")
        self._body += data

    def finish(self) -> UpdateInfoRequest:
        return decode_request(bytes(self._body))


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. One that says a thing twice says it differently to different readers."""
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in members if names.count(name) > 1)
        raise MalformedRequest(f"{_short(twice)} is there twice")
    return members


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


_JSON: Final = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_reject_constant)


_eui: Final = lru_cache(maxsize=4096)(GatewayEui.parse)
"""A gateway asks in the same words each time."""


def _router(members: dict[str, Any]) -> GatewayEui:
    router = _text(members, "router")
    if router is None:
        raise MalformedRequest("'router' is missing: it names the gateway")
    try:
        return _eui(router)
    except ValueError as error:
        raise MalformedRequest(f"'router': {_short(error)}") from error


def _text(members: dict[str, Any], name: str) -> str | None:
    value = members.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise MalformedRequest(f"{name!r} is {_short(value)}, not a string")
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise MalformedRequest(f"{name!r} holds half of a surrogate pair") from error
    return value


def _crc(members: dict[str, Any], name: str) -> int | None:
    value = members.get(name)
    return None if value is None else _u32(value, name)


def _keys(members: dict[str, Any]) -> tuple[int, ...]:
    keys = members.get("keys")
    if keys is None:
        return ()
    if not isinstance(keys, list):
        raise MalformedRequest(f"'keys' is {_short(keys)}, not an array of CRCs")
    return tuple(_u32(key, f"keys[{index}]") for index, key in enumerate(keys))


def _u32(value: object, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _U32_MAX:
        raise MalformedRequest(f"{name!r} is {_short(value)}, not a CRC-32 (0 to {_U32_MAX})")
    return value


def _short(value: object) -> str:
    """Enough of a value to recognise it: what came over the wire is not repeated at any length."""
    text = str(value) if isinstance(value, Exception) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


# --- the response, written ---


def encode_response(response: UpdateInfoResponse) -> bytes:
    """The whole body. Raises FieldTooLong where a station could not take a field."""
    return encode_response_header(response, len(response.update)) + response.update


def encode_response_header(response: UpdateInfoResponse, update_length: int) -> bytes:
    """The body up to the update, for an update of this length that follows from elsewhere."""
    _check_length("update", update_length, MAX_UPDATE)
    signature = b""
    if response.signature:
        signature = struct.pack("<I", response.key_crc) + response.signature
        _check_length(
            "signature", len(signature) - 4, SIGNATURE_SEGMENT_LENGTHS[-1] - 4, SIGNATURE_SEGMENT_LENGTHS[0] - 4
        )
    return b"".join(
        (
            _field("<B", "cupsUri", _uri_bytes(response.cups_uri), MAX_URI),
            _field("<B", "tcUri", _uri_bytes(response.tc_uri), MAX_URI),
            _field("<H", "cupsCred", response.cups_cred, 0xFFFF),
            _field("<H", "tcCred", response.tc_cred, 0xFFFF),
            _field("<I", "signature", signature, SIGNATURE_SEGMENT_LENGTHS[-1]),
            struct.pack("<I", update_length),
        )
    )


def _field(length_format: str, name: str, data: bytes, maximum: int) -> bytes:
    _check_length(name, len(data), maximum)
    return struct.pack(length_format, len(data)) + data


def _check_length(name: str, length: int, maximum: int, minimum: int = 0) -> None:
    if not minimum <= length <= maximum:
        raise InvalidFieldLength(name, length, maximum, minimum)


# --- the response, read ---


class Segment(IntEnum):
    """The six fields in wire order. The numbers are those of the station's log."""

    CUPS_URI = 0
    TC_URI = 1
    CUPS_CRED = 2
    TC_CRED = 3
    SIGNATURE = 4
    UPDATE = 5

    @property
    def length_bytes(self) -> int:
        return (1, 1, 2, 2, 4, 4)[self]


@dataclass(frozen=True, slots=True)
class SegmentBegin:
    """A segment with something in it begins; for a URI all of it follows at once."""

    segment: Segment
    length: int


@dataclass(frozen=True, slots=True)
class SegmentData:
    """Bytes of the segment that began last."""

    segment: Segment
    data: bytes


@dataclass(frozen=True, slots=True)
class SegmentEnd:
    """All bytes of the segment have come."""

    segment: Segment
    length: int


@dataclass(frozen=True, slots=True)
class ProtocolError:
    """The station gives up here. ``log`` is the line that it writes."""

    log: str


@dataclass(frozen=True, slots=True)
class Complete:
    """All six segments have come. What follows inside the body is ignored."""


ResponseEvent = SegmentBegin | SegmentData | SegmentEnd | ProtocolError | Complete


class ResponseDecoder:
    """A response body in pieces of any size, read as a Basics Station reads it.

    ``content_length`` is the length of the body that the HTTP header promised: the station wants both URIs, and one
    byte more, within what it has read. Nothing is emitted after ProtocolError or Complete.
    """

    def __init__(self, content_length: int) -> None:
        self._content_length = content_length
        self._buffer = bytearray()
        self._segment: Segment | None = None
        self._remaining = 0
        self._length = 0
        self._in_data = False
        self.ended = False

    @property
    def has_uris(self) -> bool:
        """Whether both URI segments have come and were accepted."""
        return self._segment is not None

    def feed(self, data: bytes) -> list[ResponseEvent]:
        events: list[ResponseEvent] = []
        if self.ended:
            return events
        self._buffer += data
        while not self.ended and self._step(events):
            pass
        return events

    def finish(self) -> list[ResponseEvent]:
        """The body is over. One ProtocolError where it ended too early."""
        if self.ended:
            return []
        if self._segment is None:
            return [self._uris_malformed()]
        return [self._fail("Unexpected end of data")]

    def _step(self, events: list[ResponseEvent]) -> bool:
        """Take what can be taken from the buffer; False where more must come."""
        if self._segment is None:
            return self._read_uris(events)
        if not self._in_data:
            return self._read_length(self._segment, events)
        return self._read_data(self._segment, events)

    def _read_uris(self, events: list[ResponseEvent]) -> bool:
        if not self._buffer:
            return False
        cups_length = self._buffer[0]
        if len(self._buffer) < 2 + cups_length:
            return False
        tc_length = self._buffer[1 + cups_length]
        if 2 + cups_length + tc_length >= self._content_length:
            events.append(self._uris_malformed())
            return False
        if len(self._buffer) < 2 + cups_length + tc_length:
            return False
        for segment in (Segment.CUPS_URI, Segment.TC_URI):
            length = self._buffer[0]
            if length:
                uri = bytes(self._buffer[1 : 1 + length])
                events += [
                    SegmentBegin(segment, length),
                    SegmentData(segment, uri),
                    SegmentEnd(segment, length),
                ]
            del self._buffer[: 1 + length]
        self._segment = Segment.CUPS_CRED
        return True

    def _uris_malformed(self) -> ProtocolError:
        # Where a length byte was never sent, the real client reads one from its stale buffer; here it counts as 0.
        cups_length = self._buffer[0] if self._buffer else 0
        tc_length = self._buffer[1 + cups_length] if len(self._buffer) > 1 + cups_length else 0
        return self._fail(
            f"Malformed CUPS response: URI segments lengths ({2 + cups_length + tc_length}) "
            f"exceed available data ({self._content_length})"
        )

    def _read_length(self, segment: Segment, events: list[ResponseEvent]) -> bool:
        width = segment.length_bytes
        if len(self._buffer) < width:
            return False
        length = int.from_bytes(self._buffer[:width], "little")
        del self._buffer[:width]
        if length == 0:
            return self._next(segment, events)
        if length > MAX_UPDATE:
            events.append(self._fail(f"Segment {segment:d} length not allowed (must be <2GB): {length:#010x} bytes"))
            return False
        events.append(SegmentBegin(segment, length))
        if segment is Segment.SIGNATURE and length not in SIGNATURE_SEGMENT_LENGTHS:
            events.append(self._fail(f"Illegal signature segment length (must be 8-132 bytes): {length}"))
            return False
        self._length = self._remaining = length
        self._in_data = True
        return True

    def _read_data(self, segment: Segment, events: list[ResponseEvent]) -> bool:
        if not self._buffer:
            return False
        data = bytes(self._buffer[: self._remaining])
        del self._buffer[: self._remaining]
        self._remaining -= len(data)
        events.append(SegmentData(segment, data))
        if self._remaining:
            return False
        events.append(SegmentEnd(segment, self._length))
        return self._next(segment, events)

    def _next(self, segment: Segment, events: list[ResponseEvent]) -> bool:
        self._in_data = False
        if segment is Segment.UPDATE:
            events.append(Complete())
            self.ended = True
            self._buffer.clear()
            return False
        self._segment = Segment(segment + 1)
        return True

    def _fail(self, log: str) -> ProtocolError:
        self.ended = True
        self._buffer.clear()
        return ProtocolError(log)


def decode_response(body: bytes) -> UpdateInfoResponse:
    """The value of a whole body. Raises MalformedResponse with the line that a station would log."""
    decoder = ResponseDecoder(len(body))
    return assemble([*decoder.feed(body), *decoder.finish()])


def assemble(events: Iterable[ResponseEvent]) -> UpdateInfoResponse:
    """The events of one response as a value."""
    fields = {segment: bytearray() for segment in Segment}
    for event in events:
        if isinstance(event, ProtocolError):
            raise MalformedResponse(event.log)
        if isinstance(event, SegmentData):
            fields[event.segment] += event.data
    signature = bytes(fields[Segment.SIGNATURE])
    return UpdateInfoResponse(
        cups_uri=_uri_text(fields[Segment.CUPS_URI]),
        tc_uri=_uri_text(fields[Segment.TC_URI]),
        cups_cred=bytes(fields[Segment.CUPS_CRED]),
        tc_cred=bytes(fields[Segment.TC_CRED]),
        key_crc=int.from_bytes(signature[:4], "little"),
        signature=signature[4:],
        update=bytes(fields[Segment.UPDATE]),
    )


# The client takes a URI as a C string and without validation, so any byte may stand there.


def _uri_text(data: bytearray) -> str:
    return data.decode("utf-8", "surrogateescape")


def _uri_bytes(uri: str) -> bytes:
    return uri.encode("utf-8", "surrogateescape")
