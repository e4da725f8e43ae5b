"""Incremental parsers for both directions of CUPS.

``RequestDecoder`` collects the body of a request. ``ResponseDecoder`` turns the body of a response into events, in the
order in which a Basics Station handles them. Both accept pieces of any size and do no input or output.

``SegmentBegin``, ``SegmentData`` and ``SegmentEnd`` report one field of a response. The last event of a response is
``Complete`` or ``ProtocolError``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, IntEnum, auto
from typing import Final

from lorafw.cups.messages import UpdateInfoRequest
from lorafw.cups.request_json import MAX_REQUEST, check_request_length, decode_request
from lorafw.errors import MalformedResponse

__all__ = [
    "MAX_REQUEST",
    "MAX_UPDATE",
    "NEED_DATA",
    "SIGNATURE_SEGMENT_LENGTHS",
    "Complete",
    "NeedData",
    "ProtocolError",
    "RequestDecoder",
    "ResponseDecoder",
    "ResponseEvent",
    "Segment",
    "SegmentBegin",
    "SegmentData",
    "SegmentEnd",
]

MAX_UPDATE: Final = (1 << 31) - 1
"""Largest update in bytes. A station refuses a segment of 2 GB."""
SIGNATURE_SEGMENT_LENGTHS: Final = range(8, 133)
"""Values of sigLen that a station accepts: four bytes of CRC and 4 to 128 bytes of signature."""


class Segment(IntEnum):
    """One of the six fields of a response, in wire order. The station's log uses the same numbers."""

    CUPS_URI = 0
    TC_URI = 1
    CUPS_CRED = 2
    TC_CRED = 3
    SIGNATURE = 4
    UPDATE = 5

    @property
    def length_bytes(self) -> int:
        """The size in bytes of the length field in front of this segment."""
        return (1, 1, 2, 2, 4, 4)[self]


URI_LENGTHS_END: Final = 1 + 255 + 1
"""The offset after the length of the second URI, if the first URI has the maximum length."""
_SEGMENTS_AFTER_URIS: Final = (Segment.CUPS_CRED, Segment.TC_CRED, Segment.SIGNATURE, Segment.UPDATE)


@dataclass(frozen=True, slots=True)
class SegmentBegin:
    """The length of a segment that is not empty has arrived."""

    segment: Segment
    """The segment that begins."""
    length: int
    """Its total length in bytes."""


@dataclass(frozen=True, slots=True)
class SegmentData:
    """Some or all bytes of the current segment. A URI always arrives in one piece."""

    segment: Segment
    """The segment to which the bytes belong."""
    data: bytes
    """The bytes; never empty."""


@dataclass(frozen=True, slots=True)
class SegmentEnd:
    """All bytes of a segment have arrived."""

    segment: Segment
    """The segment that ends."""
    length: int
    """Its total length in bytes."""


@dataclass(frozen=True, slots=True)
class ProtocolError:
    """The response is malformed, and the station stops reading it."""

    log: str
    """The line that the station logs."""


@dataclass(frozen=True, slots=True)
class Complete:
    """All six segments have arrived. The station ignores further bytes of the body."""


ResponseEvent = SegmentBegin | SegmentData | SegmentEnd | ProtocolError | Complete


class NeedData(Enum):
    """The type of ``NEED_DATA``."""

    NEED_DATA = auto()


NEED_DATA: Final = NeedData.NEED_DATA
"""Returned by a parsing step that needs more bytes than the buffer holds."""


class RequestDecoder:
    """Collects the body of a request from pieces of any size.

    Call ``feed`` for each piece, then ``finish`` once.
    """

    def __init__(self) -> None:
        """Start with an empty body."""
        self._body = bytearray()

    def feed(self, data: bytes) -> None:
        """Append a piece to the body.

        Raises:
            MalformedRequest: The body would be longer than ``MAX_REQUEST`` bytes. The piece is not appended.
        """
        check_request_length(len(self._body) + len(data))
        self._body += data

    def finish(self) -> UpdateInfoRequest:
        """Return the request that the collected body contains.

        Raises:
            MalformedRequest: The body is not an update-info request.
        """
        return decode_request(bytes(self._body))


class ResponseDecoder:
    """Parses the body of a response, in pieces of any size, as a Basics Station does.

    Call ``feed`` for each piece, then ``finish`` once. No event follows ``ProtocolError`` or ``Complete``.
    """

    def __init__(self, content_length: int, leftover: bytes = b"") -> None:
        """Start at the first byte of the body.

        Args:
            content_length: Length of the body in bytes, from the HTTP header. The station requires that both URI
                segments and at least one more byte fit into it.
            leftover: What the station's buffer holds behind the body. If the body is too short for the lengths of the
                URIs, the station reads them there. Zeros lie behind ``leftover``.
        """
        self._content_length = content_length
        self._leftover = leftover
        self._buffer = _Buffer()
        self._steps = self._parse()
        self.has_uris = False
        """True once both URI segments have arrived and were accepted."""
        self.is_finished = False
        """True once ``ProtocolError`` or ``Complete`` was returned."""

    def feed(self, data: bytes) -> list[ResponseEvent]:
        """Append a piece of the body and return the events that it completes.

        Bytes that do not complete an event stay buffered. Data is ignored once the decoder is finished.
        """
        if self.is_finished:
            return []
        self._buffer.data += data
        events: list[ResponseEvent] = []
        try:
            for step in self._steps:
                if step is NEED_DATA:
                    return events
                events.append(step)
        except MalformedResponse as error:
            events.append(ProtocolError(str(error)))
        self._stop()
        return events

    def finish(self) -> list[ResponseEvent]:
        """Mark the end of the body.

        Returns:
            One ProtocolError if the body ended too early, otherwise an empty list.
        """
        if self.is_finished:
            return []
        if self.has_uris:
            error = "Unexpected end of data"
        else:
            error = _uri_lengths_error(self._buffer.data, self._content_length, self._leftover)
        self._stop()
        return [ProtocolError(error)]

    def _stop(self) -> None:
        """Ignore further data and free the buffer."""
        self.is_finished = True
        self._buffer.data.clear()

    def _parse(self) -> Iterator[ResponseEvent | NeedData]:
        """Yield the events of the whole response, and NEED_DATA each time that the buffer holds too few bytes.

        Raises MalformedResponse, with the line that the station logs, if the response is malformed.
        """
        yield from _parse_uris(self._buffer, self._content_length, self._leftover)
        self.has_uris = True
        for segment in _SEGMENTS_AFTER_URIS:
            yield from _parse_segment(self._buffer, segment)
        yield Complete()


class _Buffer:
    """The bytes of a response that have arrived and were not parsed yet."""

    def __init__(self) -> None:
        self.data = bytearray()

    def wait_for(self, count: int) -> Iterator[NeedData]:
        """Yield NEED_DATA until the buffer holds ``count`` bytes."""
        while len(self.data) < count:
            yield NEED_DATA

    def take(self, max_count: int) -> bytes:
        """Remove up to ``max_count`` bytes from the beginning of the buffer and return them."""
        taken = bytes(self.data[:max_count])
        del self.data[:max_count]
        return taken


def _parse_uris(buffer: _Buffer, content_length: int, leftover: bytes) -> Iterator[ResponseEvent | NeedData]:
    """Parse both URI segments. The station checks the sum of their lengths before it uses one of them.

    C and T are the lengths of the URIs, one byte each::

        offset  0   1              1 + C   2 + C         2 + C + T
                +---+--------------+-------+-------------+
                | C | CUPS URI     | T     | TC URI      |
                +---+--------------+-------+-------------+

    Args:
        buffer: The bytes from the beginning of the response on.
        content_length: Length of the response in bytes.
        leftover: What the station's buffer holds behind the response.

    Yields:
        The events of the two segments, and NEED_DATA each time that the buffer holds too few bytes.

    Raises:
        MalformedResponse: The two segments do not fit into the response.
    """
    # The station does not wait for a length that the response does not have.
    yield from buffer.wait_for(min(1, content_length))
    cups_length, _ = _uri_lengths(buffer.data, leftover)
    yield from buffer.wait_for(min(2 + cups_length, content_length))
    total_length = 2 + sum(_uri_lengths(buffer.data, leftover))
    if total_length >= content_length:
        raise MalformedResponse(_uri_lengths_error(buffer.data, content_length, leftover))
    yield from buffer.wait_for(total_length)
    for segment in (Segment.CUPS_URI, Segment.TC_URI):
        length = buffer.take(1)[0]
        if length:
            yield SegmentBegin(segment, length)
            yield SegmentData(segment, buffer.take(length))
            yield SegmentEnd(segment, length)


def _uri_lengths(data: bytearray, leftover: bytes) -> tuple[int, int]:
    """Return the lengths of both URIs. If the response ends before one, the station reads it from its old buffer."""
    memory = bytes(data[:URI_LENGTHS_END]) + leftover + bytes(URI_LENGTHS_END)
    cups_length = memory[0]
    return cups_length, memory[1 + cups_length]


def _uri_lengths_error(data: bytearray, content_length: int, leftover: bytes) -> str:
    """Return the line that the station logs if the URI segments do not fit into the response."""
    total_length = 2 + sum(_uri_lengths(data, leftover))
    return f"Malformed CUPS response: URI segments lengths ({total_length}) exceed available data ({content_length})"


def _parse_segment(buffer: _Buffer, segment: Segment) -> Iterator[ResponseEvent | NeedData]:
    """Parse one of the segments after the URIs: a little-endian length, and content of this length.

    Args:
        buffer: The bytes from the beginning of the segment on.
        segment: The segment.

    Yields:
        The events of the segment, none if it is empty, and NEED_DATA each time that the buffer holds too few bytes.

    Raises:
        MalformedResponse: The station does not accept the length.
    """
    yield from buffer.wait_for(segment.length_bytes)
    length = int.from_bytes(buffer.take(segment.length_bytes), "little")
    if length == 0:
        return
    if length > MAX_UPDATE:
        raise MalformedResponse(f"Segment {segment:d} length not allowed (must be <2GB): {length:#010x} bytes")
    yield SegmentBegin(segment, length)
    # The station logs the beginning of the segment before it checks the length of a signature (cups.c).
    if segment is Segment.SIGNATURE and length not in SIGNATURE_SEGMENT_LENGTHS:
        raise MalformedResponse(f"Illegal signature segment length (must be 8-132 bytes): {length}")
    remaining = length
    while remaining:
        yield from buffer.wait_for(1)
        data = buffer.take(remaining)
        remaining -= len(data)
        yield SegmentData(segment, data)
    yield SegmentEnd(segment, length)
