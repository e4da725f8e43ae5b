"""HTTP as a Basics Station speaks it: one request, and what it takes for a reply.

One buffer serves request and reply, and its first bytes hold the port. So a request that does not fit is cut; a reply
must bring its header, and both URIs of its body, within the first buffer; and a client that has filled the buffer with
an error reply that is larger crashes. A reply has a Content-Length, or it is empty: chunked bodies, and bodies that end
with the connection, are bytes too many. Source: recorded from Basics Station 2.0.6.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from lorafw.errors import LorafwError, MalformedRequest
from lorafw.station.http_header import HEADER_END, content_length, status_code, status_text
from lorafw.station.log import Level, LogLine

PATH: Final = "/update-info"
BUFFER: Final = 8192
"""CUPS_BUFSZ: the station reads in pieces of this size, and each must come within its time limit."""

_CLOSING: Final = b"]}"
_NO_KEYS: Final = b"[]}"
_REQUEST_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})", re.IGNORECASE)


class TransportError(LorafwError):
    """The exchange broke. ``lines`` are what a station logs of it."""

    def __init__(self, *lines: LogLine) -> None:
        super().__init__("; ".join(line.text for line in lines))
        self.lines = lines


class ConnectionLost(TransportError):
    """The link is gone: the connection has no end in order, as the other side will find out."""


class StationCrash(TransportError):
    """A Basics Station 2.0.6 ends here with a segmentation fault, and logs nothing of it."""

    def __init__(self, why: str) -> None:
        super().__init__()
        self.why = why


class ReceiveError(TransportError):
    """Receiving failed with this line. The station logs a second line, which says what it was reading."""


def connection_error_line(text: str) -> LogLine:
    """An error of the connection. A station puts its descriptor in front; in every recorded log that was 3."""
    return LogLine("AIO", Level.ERROR, f"[3] {text}")


TIMED_OUT: Final = LogLine("CUP", Level.ERROR, "CUPS timed out")
RESET: Final = LogLine("AIO", Level.ERROR, "Recv failed: NET - Connection was reset by peer")
NO_HEADER: Final = connection_error_line("Error reading HTTP Header")
NO_BODY: Final = connection_error_line("Error reading HTTP Body")
PEER_CLOSED: Final = LogLine("AIO", Level.DEBUG, "[3] Connection closed unexpectedly")
CLOSED: Final = (PEER_CLOSED, NO_BODY)


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A reply whose body is still to come, except that of an error. ``body`` may raise TransportError.

    ``first_buffer_bytes`` is the number of bytes of the body that fit behind the header; both URIs must.
    """

    status: int
    reason: str
    content_length: int
    body: Iterator[bytes]
    first_buffer_bytes: int = BUFFER


class ByteStream(Protocol):
    """The connection, as far as a reply needs it."""

    def read(self, size: int) -> bytes:
        """Receive at least one byte and at most this number, or none if the other side has closed.

        Raises:
            ReceiveError: The connection is broken.
            TransportError: The time limit has passed.
        """
        ...

    def rearm(self) -> None:
        """A full buffer has come: the time limit begins anew."""


def request_bytes(host_port: str, body: bytes, token: bytes = b"", buffer_bytes: int = BUFFER) -> bytes:
    """Return the whole request: header lines in the station's order, blanks included, and no other.

    Args:
        host_port: The server's address, as in cups.uri.
        body: The body as it would be sent if the buffer had room for it.
        token: The text of a key file that holds header lines.
        buffer_bytes: CUPS_BUFSZ, the size of the station's buffer.
    """
    body = truncate_to_buffer(host_port, body, token, buffer_bytes)
    return _head(host_port, len(body), token) + body


def truncate_to_buffer(host_port: str, body: bytes, token: bytes = b"", buffer_bytes: int = BUFFER) -> bytes:
    """Return a body as it is sent: without what the buffer has no room for.

    The station ends the buffer with a zero byte when it prints the CRC of a key there and finds no room.
    """
    room = max(_room(host_port, buffer_bytes) - len(_head(host_port, 0, token)), 0)
    if len(body) <= room:
        return body
    has_keys = not body.endswith(_NO_KEYS)
    keys_end = len(body) - len(_CLOSING)
    if has_keys and keys_end >= room:
        return body[: room - 1] + b"\0"
    return body[:room]


def _head(host_port: str, length: int, token: bytes) -> bytes:
    lines = (
        f"POST {PATH} HTTP/1.1\r\nHost: {host_port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {length:5d}\r\n"
    )
    return b"".join((lines.encode("utf-8", "surrogateescape"), token, b"\r\n"))


class _Buffer:
    """The station's buffer behind ``:port`` and a zero byte. The reply overwrites the request from its beginning."""

    def __init__(self, wire: ByteStream, size: int, request: bytes) -> None:
        self.memory = bytearray(request[:size].ljust(size, b"\0"))
        self.received = 0
        self._wire = wire

    def receive(self, failure: LogLine) -> None:
        """Receive more. Raises TransportError, which ends with the line ``failure`` unless the time limit passed."""
        space = len(self.memory) - self.received
        try:
            # The station receives 0 bytes into a full buffer, and takes that for the end of the connection.
            data = self._wire.read(space) if space else b""
        except ReceiveError as error:
            raise TransportError(*error.lines, failure) from None
        if not data:
            raise TransportError(PEER_CLOSED, failure)
        self.memory[self.received : self.received + len(data)] = data
        self.received += len(data)

    def header_length(self) -> int:
        """Return the length of the header with its blank line, or 0 if that has not come yet."""
        end = self.memory.find(HEADER_END, 0, self.received)
        return end + len(HEADER_END) if end >= 0 else 0


def read_reply(wire: ByteStream, host_port: str, request: bytes, buffer_bytes: int = BUFFER) -> HttpReply:
    """Read the header of a reply, and the whole of an error reply.

    Args:
        wire: The connection, on which the request was sent.
        host_port: The server's address, as in cups.uri.
        request: The request as it was sent. The reply overwrites it in the buffer.
        buffer_bytes: CUPS_BUFSZ, the size of the station's buffer.

    Raises:
        TransportError: The exchange broke. The error has the lines that a station logs.
    """
    buffer = _Buffer(wire, _room(host_port, buffer_bytes), request)
    while not (header_length := buffer.header_length()):
        buffer.receive(NO_HEADER)
    memory = bytes(buffer.memory)
    status, length = status_code(memory), content_length(memory) or 0
    body = _body(wire, buffer, length, header_length)
    first_buffer_bytes = len(buffer.memory) - header_length
    if status == 200:
        return HttpReply(status, "", length, body, first_buffer_bytes)
    next(body)
    if length > first_buffer_bytes:
        raise _station_crash(header_length + length, len(buffer.memory))
    reason = status_text(bytes(buffer.memory)).decode("utf-8", "surrogateescape")
    return HttpReply(status, reason, length, iter(()), first_buffer_bytes)


def _room(host_port: str, buffer_bytes: int) -> int:
    """What is left of the buffer for header and body behind ``:port`` and a zero byte (from a request that was cut)."""
    return buffer_bytes - len(host_port.rpartition(":")[2]) - 2


def _body(wire: ByteStream, buffer: _Buffer, length: int, start: int) -> Iterator[bytes]:
    """Yield the body, a full buffer at a time, or the rest. In the first buffer it begins at ``start``."""
    missing = length
    while True:
        end = start + min(missing, len(buffer.memory) - start)
        while buffer.received < end:
            buffer.receive(NO_BODY)
        extra = buffer.received - end
        if extra:
            too_much = f"Received more data than expected HTTP content size: {extra} extra bytes"
            raise TransportError(connection_error_line(too_much), NO_BODY)
        wire.rearm()
        missing -= end - start
        yield bytes(buffer.memory[start:end])
        if not missing:
            return
        start = buffer.received = 0


def _station_crash(size: int, room: int) -> StationCrash:
    return StationCrash(
        f"a Basics Station 2.0.6 crashes here (net.c, line 58): the error reply has {size} bytes with its header, and "
        f"the buffer of the station {room}; keep the bodies of errors tiny"
    )


def request_body(data: bytes) -> bytes:
    """The body of a whole HTTP request, or of bytes that are a body already. Raises MalformedRequest."""
    if not data.startswith(b"POST "):
        return data
    head, blank_line, body = data.partition(HEADER_END)
    length = _REQUEST_LENGTH.search(head)
    if not blank_line or length is None:
        raise MalformedRequest("the HTTP header has no end, or no Content-Length")
    if len(body) < int(length[1]):
        raise MalformedRequest(f"Content-Length is {int(length[1])}, and {len(body)} bytes follow")
    return body[: int(length[1])]
