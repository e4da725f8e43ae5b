"""Incremental parsers for both directions of CUPS.

``RequestDecoder`` collects the body of a request. ``ResponseDecoder`` turns the body of a response into events, in the
order in which a Basics Station handles them. Both accept pieces of any size and do no input or output.

``SegmentBegin``, ``SegmentData`` and ``SegmentEnd`` report one field of a response. The last event of a response is
``Complete`` or ``ProtocolError``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum, auto
from typing import Final

from lorafw.cups.messages import UpdateInfoRequest
from lorafw.cups.request_json import MAX_REQUEST, check_request_length, decode_request

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

    def __init__(self, content_length: int) -> None:
        """Start at the first byte of the body.

        Args:
            content_length: Length of the body in bytes, from the HTTP header. The station requires that both URI
                segments and at least one more byte fit into it.
        """
        self._content_length = content_length
        self._buffer = bytearray()
        self._segment: Segment | None = None  # None until both URIs are parsed.
        self._segment_length = 0
        self._remaining = 0
        self._in_data = False
        self.is_finished = False
        """True once ``ProtocolError`` or ``Complete`` was returned."""

    @property
    def has_uris(self) -> bool:
        """True once both URI segments have arrived and were accepted."""
        return self._segment is not None

    def feed(self, data: bytes) -> list[ResponseEvent]:
        """Append a piece of the body and return the events that it completes.

        Bytes that do not complete an event stay buffered. Data is ignored once the decoder is finished.
        """
        events: list[ResponseEvent] = []
        if self.is_finished:
            return events
        self._buffer += data
        while not self.is_finished:
            new_events = self._read_next()
            if new_events is NEED_DATA:
                break
            events += new_events
        return events

    def finish(self) -> list[ResponseEvent]:
        """Mark the end of the body.

        Returns:
            One ProtocolError if the body ended too early, otherwise an empty list.
        """
        if self.is_finished:
            return []
        if self._segment is None:
            return [self._uri_lengths_error()]
        return [self._fail("Unexpected end of data")]

    def _read_next(self) -> list[ResponseEvent] | NeedData:
        """Parse the next element from the buffer. Return its events, or NEED_DATA if more bytes are needed."""
        if self._segment is None:
            return self._read_uris()
        if self._in_data:
            return self._read_data(self._segment)
        return self._read_length(self._segment)

    def _read_uris(self) -> list[ResponseEvent] | NeedData:
        """Parse both URI segments together, because the station checks the sum of their lengths."""
        uri_lengths = self._peek_uri_lengths()
        if uri_lengths is None:
            return NEED_DATA
        total_length = 2 + sum(uri_lengths)
        if total_length >= self._content_length:
            return [self._uri_lengths_error()]
        if len(self._buffer) < total_length:
            return NEED_DATA
        events = [*self._take_uri(Segment.CUPS_URI), *self._take_uri(Segment.TC_URI)]
        self._segment = Segment.CUPS_CRED
        return events

    def _peek_uri_lengths(self) -> tuple[int, int] | None:
        """Return the lengths of the CUPS and TC URIs, or None if a length byte has not arrived."""
        if not self._buffer:
            return None
        cups_length = self._buffer[0]
        if len(self._buffer) < 2 + cups_length:
            return None
        return cups_length, self._buffer[1 + cups_length]

    def _take_uri(self, segment: Segment) -> list[ResponseEvent]:
        """Remove a whole URI segment from the buffer and return its events, none if it is empty."""
        length = self._buffer[0]
        uri = bytes(self._buffer[1 : 1 + length])
        del self._buffer[: 1 + length]
        if not uri:
            return []
        return [SegmentBegin(segment, length), SegmentData(segment, uri), SegmentEnd(segment, length)]

    def _uri_lengths_error(self) -> ProtocolError:
        """Fail as the station does if the URI segments do not fit into the body."""
        # If a length byte was never sent, the real client reads one from its stale buffer. Here it counts as 0.
        cups_length = self._buffer[0] if self._buffer else 0
        tc_length = self._buffer[1 + cups_length] if len(self._buffer) > 1 + cups_length else 0
        return self._fail(
            f"Malformed CUPS response: URI segments lengths ({2 + cups_length + tc_length}) "
            f"exceed available data ({self._content_length})"
        )

    def _read_length(self, segment: Segment) -> list[ResponseEvent] | NeedData:
        """Parse the length field of a segment. An empty segment gives no events of its own."""
        width = segment.length_bytes
        if len(self._buffer) < width:
            return NEED_DATA
        length = int.from_bytes(self._buffer[:width], "little")
        del self._buffer[:width]
        if length == 0:
            return self._finish_segment(segment)
        if length > MAX_UPDATE:
            log = f"Segment {segment:d} length not allowed (must be <2GB): {length:#010x} bytes"
            return [self._fail(log)]
        begin = SegmentBegin(segment, length)
        if segment is Segment.SIGNATURE and length not in SIGNATURE_SEGMENT_LENGTHS:
            # The station logs the segment before it checks the length of the signature (cups.c).
            return [begin, self._fail(f"Illegal signature segment length (must be 8-132 bytes): {length}")]
        self._segment_length = length
        self._remaining = length
        self._in_data = True
        return [begin]

    def _read_data(self, segment: Segment) -> list[ResponseEvent] | NeedData:
        """Take the bytes of the current segment that are in the buffer."""
        if not self._buffer:
            return NEED_DATA
        data = bytes(self._buffer[: self._remaining])
        del self._buffer[: self._remaining]
        self._remaining -= len(data)
        events: list[ResponseEvent] = [SegmentData(segment, data)]
        if self._remaining:
            return events
        events.append(SegmentEnd(segment, self._segment_length))
        return events + self._finish_segment(segment)

    def _finish_segment(self, segment: Segment) -> list[ResponseEvent]:
        """Go on to the next segment. Return a Complete event if this one was the last."""
        self._in_data = False
        if segment is not Segment.UPDATE:
            self._segment = Segment(segment + 1)
            return []
        self._stop()
        return [Complete()]

    def _fail(self, log: str) -> ProtocolError:
        """Stop parsing and return the error event."""
        self._stop()
        return ProtocolError(log)

    def _stop(self) -> None:
        """Ignore further data and free the buffer."""
        self.is_finished = True
        self._buffer.clear()
