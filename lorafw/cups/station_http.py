"""HTTP as a Basics Station speaks it: one request, and what it takes for a reply.

One buffer serves request and reply, and its first bytes hold the port. So a request that does not fit is cut; a
reply must bring its header, and both URIs of its body, within the first buffer; and a client that finds an error reply
larger than the buffer crashes. A reply has a Content-Length, or it is empty: chunked bodies, and bodies that end
with the connection, are bytes too many. Source: recorded from Basics Station 2.0.6.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NoReturn, Protocol

from lorafw.errors import LorafwError, MalformedRequest
from lorafw.station_log import Level, LogLine

PATH: Final = "/update-info"
BUFFER: Final = 8192
"""CUPS_BUFSZ: the station reads in pieces of this size, and each must come within its time limit."""

NO_HTTP: Final = 65535
"""The status of a reply that does not begin as HTTP/1.x."""

CUPS_URI: Final = re.compile(r"(https?)://(\[[0-9A-Fa-f:.]+\]|[^/:\s\[\]]+):([0-9]{1,5})")
"""Scheme, host and port: all that a station takes for the address of a server."""

_HEADER_END: Final = b"\r\n\r\n"
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[0-9] +([0-9]{3})[ \t]*([^\r\n]*)")
_CONTENT_LENGTH: Final = re.compile(rb"\r\ncontent-length:(?:[ \t]|\r\n[ \t])*([0-9]{1,18})", re.IGNORECASE)


class TransportError(LorafwError):
    """The exchange broke. ``lines`` are what a station logs of it."""

    def __init__(self, *lines: LogLine) -> None:
        super().__init__("; ".join(line.text for line in lines))
        self.lines = lines


class LinkLost(TransportError):
    """The link is gone: the connection has no end in order, as the other side will find out."""


class StationCrash(TransportError):
    """A Basics Station 2.0.6 ends here with a segmentation fault, and logs nothing of it."""

    def __init__(self, why: str) -> None:
        super().__init__()
        self.why = why


def aio(text: str) -> LogLine:
    """An error of the connection. A station puts its descriptor in front; in every recorded log that was 3."""
    return LogLine("AIO", Level.ERROR, f"[3] {text}")


TIMED_OUT: Final = LogLine("CUP", Level.ERROR, "CUPS timed out")
NO_HEADER: Final = aio("Error reading HTTP Header")
NO_BODY: Final = aio("Error reading HTTP Body")
PEER_CLOSED: Final = LogLine("AIO", Level.DEBUG, "[3] Connection closed unexpectedly")
CLOSED: Final = (PEER_CLOSED, NO_BODY)


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A reply whose body is still to come. ``body`` may raise TransportError.

    ``in_first_buffer``: so much of the body fits behind the header; both URIs must.
    """

    status: int
    reason: str
    content_length: int
    body: Iterator[bytes]
    in_first_buffer: int = BUFFER


class Wire(Protocol):
    """The connection, as far as a reply needs it."""

    def read(self, size: int) -> bytes:
        """At most so many bytes, at least one; none where the other side has closed. Raises TransportError."""
        ...

    def rearm(self) -> None:
        """A full buffer has come: the time limit begins anew."""


def request_bytes(host_port: str, body: bytes, token: bytes = b"") -> bytes:
    """The whole request: header lines in the station's order, blanks included, and no other.

    ``token`` is the text of a key file that holds header lines.
    """
    body = cut_to_buffer(host_port, body, token)
    return _head(host_port, len(body), token) + body


def cut_to_buffer(host_port: str, body: bytes, token: bytes = b"") -> bytes:
    """A body as it is sent: one that the buffer cannot hold ends with a zero byte where the buffer does."""
    room = _room(host_port) - len(_head(host_port, 0, token))
    return body if len(body) < room else body[: room - 1] + b"\0"


def _head(host_port: str, length: int, token: bytes) -> bytes:
    lines = (
        f"POST {PATH} HTTP/1.1\r\nHost: {host_port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {length:5d}\r\n"
    )
    return b"".join((lines.encode("utf-8", "surrogateescape"), token, b"\r\n"))


def read_reply(wire: Wire, host_port: str) -> HttpReply:
    """Header and beginning of a reply. Raises TransportError with what a station logs of it."""
    room = _room(host_port)
    head, begun = _read_header(wire, room)
    status, reason, length = _parse(head)
    reply = HttpReply(status, reason, length, _body(wire, begun, length, len(head), room), room - len(head))
    if status != 200:
        _read_error(reply, len(head), room)
    return reply


def _room(host_port: str) -> int:
    """What is left of the buffer for header and body behind ``:port`` and a zero byte (from a request that was cut)."""
    return BUFFER - len(host_port.rpartition(":")[2]) - 2


def _read_header(wire: Wire, room: int) -> tuple[bytes, bytes]:
    """The header with its blank line, and what came behind it in the same reads."""
    buffer = bytearray()
    while (end := buffer.find(_HEADER_END)) < 0:
        if len(buffer) == room:
            raise TransportError(NO_HEADER)
        data = wire.read(room - len(buffer))
        if not data:
            raise TransportError(PEER_CLOSED, NO_HEADER)
        buffer += data
    end += len(_HEADER_END)
    return bytes(buffer[:end]), bytes(buffer[end:])


def _parse(head: bytes) -> tuple[int, str, int]:
    """Status, reason and Content-Length; the first of two wins, and none at all is 0."""
    line, length = _STATUS_LINE.match(head), _CONTENT_LENGTH.search(head)
    status, reason = (int(line[1]), line[2].decode("latin-1")) if line else (NO_HTTP, "")
    return status, reason, int(length[1]) if length else 0


def _body(wire: Wire, begun: bytes, length: int, head: int, room: int) -> Iterator[bytes]:
    """The body, a full buffer at a time, or the rest; ``begun`` lies in the first buffer behind the header."""
    missing, space = length, room - head
    while True:
        piece = _fill(wire, begun, min(space, missing), space)
        missing -= len(piece)
        if missing < 0:
            too_much = f"Received more data than expected HTTP content size: {-missing} extra bytes"
            raise TransportError(aio(too_much), NO_BODY)
        wire.rearm()
        yield piece
        if missing == 0:
            return
        begun, space = b"", room


def _fill(wire: Wire, begun: bytes, size: int, space: int) -> bytes:
    """So many bytes; more, where more has come with them and there is space."""
    piece = bytearray(begun)
    while len(piece) < size:
        data = wire.read(space - len(piece))
        if not data:
            raise TransportError(*CLOSED)
        piece += data
    return bytes(piece)


def _read_error(reply: HttpReply, head: int, room: int) -> None:
    """A station takes an error reply whole before it looks at it, in the buffer that it has."""
    if head + reply.content_length > room:
        _crash(head + reply.content_length, room)
    for _ in reply.body:
        pass


def _crash(size: int, room: int) -> NoReturn:
    raise StationCrash(
        f"a Basics Station 2.0.6 crashes here (net.c, line 58): the error reply has {size} bytes with its header, and "
        f"the buffer of the station {room}; keep the bodies of errors tiny"
    )


def request_body(data: bytes) -> bytes:
    """The body of a whole HTTP request, or of bytes that are a body already. Raises MalformedRequest."""
    if not data.startswith(b"POST "):
        return data
    head, blank_line, body = data.partition(_HEADER_END)
    length = _CONTENT_LENGTH.search(head)
    if not blank_line or length is None:
        raise MalformedRequest("the HTTP header has no end, or no Content-Length")
    if len(body) < int(length[1]):
        raise MalformedRequest(f"Content-Length is {int(length[1])}, and {len(body)} bytes follow")
    return body[: int(length[1])]
