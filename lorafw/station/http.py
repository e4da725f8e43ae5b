"""The HTTP client of a Basics Station: how it writes a request and reads the response.

The station uses one buffer for the request and the response, and stores the port in its first bytes. This has several
consequences:

* A request that does not fit is cut off.
* The header of a response, and both URIs in its body, must fit into the first buffer.
* The station crashes if an error response does not fit into the buffer.
* A response without Content-Length is empty. Chunked bodies, and bodies that end with the connection, are errors.

Source: recorded from Basics Station 2.0.6.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from lorafw.cups.parser import URI_LENGTHS_END
from lorafw.errors import LorafwError, MalformedRequest
from lorafw.station.http_header import HEADER_END, content_length, status_code, status_text
from lorafw.station.log import Level, LogLine
from lorafw.text import decode_lossless, encode_lossless

PATH: Final = "/update-info"
BUFFER_BYTES: Final = 8192
"""CUPS_BUFSZ: the size of the station's buffer. Each full buffer must arrive within CUPS_CONN_TIMEOUT."""

_CLOSING: Final = b"]}"
_NO_KEYS: Final = b"[]}"
_DIGITS: Final = b"0123456789"
_REQUEST_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})", re.IGNORECASE)


class TransportError(LorafwError):
    """The connection failed. ``lines`` are the lines that a station logs."""

    def __init__(self, *lines: LogLine) -> None:
        super().__init__("; ".join(line.text for line in lines))
        self.lines = lines


class ConnectionLost(TransportError):
    """The link was lost. The connection is reset instead of closed."""


class StationCrash(TransportError):
    """A Basics Station 2.0.6 ends with a segmentation fault here and logs nothing. ``why`` explains the reason."""

    def __init__(self, why: str) -> None:
        super().__init__()
        self.why = why


class ReceiveError(TransportError):
    """Receiving failed. The station logs a second line, which says what it was reading."""


def connection_error_line(text: str) -> LogLine:
    """Return the log line of a connection error. It starts with a file descriptor, which is 3 in all recordings."""
    return LogLine("AIO", Level.ERROR, f"[3] {text}")


def request_line(body: bytes) -> LogLine:
    """Return the log line that shows the body of a request."""
    return LogLine("CUP", Level.DEBUG, f"CUPS Request: {decode_lossless(body)}")


TIMED_OUT: Final = LogLine("CUP", Level.ERROR, "CUPS timed out")
RESET: Final = LogLine("AIO", Level.ERROR, "Recv failed: NET - Connection was reset by peer")
NO_HEADER: Final = connection_error_line("Error reading HTTP Header")
NO_BODY: Final = connection_error_line("Error reading HTTP Body")
PEER_CLOSED: Final = LogLine("AIO", Level.DEBUG, "[3] Connection closed unexpectedly")
SHUTDOWN: Final = LogLine("AIO", Level.DEBUG, "[3] HTTP connection shutdown...")
"""What a station logs when it closes a connection."""
CLOSED: Final = (PEER_CLOSED, NO_BODY, SHUTDOWN)


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A response whose header was read. The body of an error response was read and dropped."""

    status: int
    """The status code, such as 200."""
    reason: str
    """The text behind the status code. Only an error has one here, because a station reads no other."""
    content_length: int
    """The size of the body in bytes."""
    body: Iterator[bytes]
    """Yields the rest of the response, one full buffer at a time. Can raise TransportError."""
    first_buffer_bytes: int = BUFFER_BYTES
    """The number of bytes of the body that fit into the buffer behind the header. Both URIs must fit."""
    leftover: bytes = b""
    """What the buffer holds behind the first part of the body: bytes of the station's own request."""


class ByteStream(Protocol):
    """The connection from which a response is read."""

    def read(self, size: int) -> bytes:
        """Receive 1 to ``size`` bytes. Returns b"" if the server has closed the connection.

        Raises:
            ReceiveError: The connection is broken.
            TransportError: The time limit has passed.
        """
        ...

    def reset_timeout(self) -> None:
        """Restart the time limit, because a full buffer has arrived."""


def request_bytes(host_port: str, body: bytes, token: bytes = b"", buffer_bytes: int = BUFFER_BYTES) -> bytes:
    """Return the whole request: the header lines of a station, with its spaces, and the body.

    Args:
        host_port: The server's address, as in cups.uri.
        body: The complete body. It is cut off if it does not fit into the buffer.
        token: The text of a key file that holds header lines.
        buffer_bytes: CUPS_BUFSZ, the size of the station's buffer.
    """
    body = truncate_to_buffer(host_port, body, token, buffer_bytes)
    return _header(host_port, len(body), token) + body


def truncate_to_buffer(host_port: str, body: bytes, token: bytes = b"", buffer_bytes: int = BUFFER_BYTES) -> bytes:
    """Return the part of a body that fits into the buffer.

    If the end of the buffer is reached while the station prints the CRC of a key, the last byte is zero. The station
    also counts the digits of that CRC that did not fit, and sends as many bytes of the memory behind its buffer. That
    memory is unknown, so lorafw sends zeros.
    """
    capacity = _buffer_capacity(host_port, buffer_bytes) - len(_header(host_port, 0, token))
    if capacity <= 0:
        return b""
    if len(body) <= capacity:
        return body
    has_keys = not body.endswith(_NO_KEYS)
    keys_end = len(body) - len(_CLOSING)
    if has_keys and keys_end >= capacity:
        return body[: capacity - 1] + bytes(1 + _digits_cut_off(body, capacity))
    return body[:capacity]


def _digits_cut_off(body: bytes, capacity: int) -> int:
    """Return how many digits of the CRC of a key are cut off, or 0 if the cut is not inside of one."""
    keys_start = body.rfind(b"[") + 1
    is_in_crc = capacity > keys_start and body[capacity - 1 : capacity].isdigit()
    if not is_in_crc:
        return 0
    rest = body[capacity:]
    return len(rest) - len(rest.lstrip(_DIGITS))


def _header(host_port: str, length: int, token: bytes) -> bytes:
    """Return the header of a request for a body of ``length`` bytes."""
    lines = (
        f"POST {PATH} HTTP/1.1\r\nHost: {host_port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {length:5d}\r\n"
    )
    return b"".join((encode_lossless(lines), token, b"\r\n"))


class _Buffer:
    """The memory in which a station receives a response.

    The station has built its request in the same memory. The response overwrites the request from its first byte on,
    so the rest of the request still follows a short response. ``:port`` of the address and a zero byte take up memory
    in front of both.
    """

    def __init__(self, stream: ByteStream, size: int, request: bytes) -> None:
        self.memory = bytearray(request[:size].ljust(size, b"\0"))
        self.received = 0
        """Number of bytes of the response at the beginning of the memory."""
        self._stream = stream

    def receive(self, failure_line: LogLine) -> None:
        """Receive more of the response into the buffer.

        Args:
            failure_line: What the station logs if the connection ends.

        Raises:
            TransportError: Nothing was received. Its last line is ``failure_line``, unless the time limit has passed.
        """
        free_bytes = len(self.memory) - self.received
        try:
            # A station asks for 0 bytes if its buffer is full, and mistakes the result for the end of the connection.
            data = self._stream.read(free_bytes) if free_bytes else b""
        except ReceiveError as error:
            raise TransportError(*error.lines, failure_line, SHUTDOWN) from None
        if not data:
            raise TransportError(PEER_CLOSED, failure_line, SHUTDOWN)
        self.memory[self.received : self.received + len(data)] = data
        self.received += len(data)

    def receive_header(self) -> int:
        """Receive until the header is complete. Return its length with its blank line.

        Raises:
            TransportError: The connection ends before that.
        """
        header_end = self._find_header_end()
        while header_end < 0:
            self.receive(NO_HEADER)
            header_end = self._find_header_end()
        return header_end + len(HEADER_END)

    def _find_header_end(self) -> int:
        """Return the position of the blank line that ends the header, or -1 if it was not received yet."""
        return self.memory.find(HEADER_END, 0, self.received)

    def receive_body(self, start: int, remaining_bytes: int) -> bytes:
        """Receive the body until the buffer is full or the body is complete, and return what is in the buffer.

        Args:
            start: The position at which this part of the body begins in the buffer.
            remaining_bytes: The size of this part and all that follow it.

        Raises:
            TransportError: The connection ends before that, or more than the body arrives.
        """
        end = min(start + remaining_bytes, len(self.memory))
        while self.received < end:
            self.receive(NO_BODY)
        extra = self.received - end
        if extra:
            too_much = f"Received more data than expected HTTP content size: {extra} extra bytes"
            raise TransportError(connection_error_line(too_much), NO_BODY, SHUTDOWN)
        self._stream.reset_timeout()
        self.received = 0
        return bytes(self.memory[start:end])


def read_reply(stream: ByteStream, host_port: str, request: bytes, buffer_bytes: int = BUFFER_BYTES) -> HttpReply:
    """Read the header of a response, and the body as well if it is an error.

    Args:
        stream: The connection, on which the request was sent.
        host_port: The server's address, as in cups.uri.
        request: The request as it was sent. The station's buffer still has it, until the response overwrites it.
        buffer_bytes: CUPS_BUFSZ, the size of the station's buffer.

    Returns:
        The response. Its body is read while the caller iterates over it.

    Raises:
        TransportError: The exchange broke. The error has the lines that a station logs.
    """
    capacity = _buffer_capacity(host_port, buffer_bytes)
    buffer = _Buffer(stream, capacity, request)
    header_length = buffer.receive_header()
    memory = bytes(buffer.memory)
    status = status_code(memory)
    body_length = content_length(memory) or 0
    first_buffer_bytes = capacity - header_length
    if status == 200:
        body = _iter_body(buffer, header_length, body_length)
        leftover = memory[header_length + body_length :][:URI_LENGTHS_END]
        return HttpReply(status, "", body_length, body, first_buffer_bytes, leftover)
    # The station receives the body of an error, up to the end of its buffer, and ignores it.
    buffer.receive_body(header_length, body_length)
    if body_length > first_buffer_bytes:
        raise _crash_for_large_error(header_length + body_length, capacity)
    reason = decode_lossless(status_text(bytes(buffer.memory)))
    return HttpReply(status, reason, body_length, iter(()), first_buffer_bytes)


def _buffer_capacity(host_port: str, buffer_bytes: int) -> int:
    """Return the size of the buffer without ``:port`` and a zero byte (derived from a recorded, cut request)."""
    return buffer_bytes - len(host_port.rpartition(":")[2]) - 2


def _iter_body(buffer: _Buffer, header_length: int, body_length: int) -> Iterator[bytes]:
    """Yield the body, one full buffer at a time. The first buffer also holds the header. An empty body is one b""."""
    part = buffer.receive_body(header_length, body_length)
    yield part
    remaining_bytes = body_length - len(part)
    while remaining_bytes:
        part = buffer.receive_body(0, remaining_bytes)
        yield part
        remaining_bytes -= len(part)


def _crash_for_large_error(size: int, capacity: int) -> StationCrash:
    """Return the crash of a station whose buffer is too small for an error response."""
    return StationCrash(
        f"a Basics Station 2.0.6 crashes here (net.c, line 58): the error reply has {size} bytes with its header, and "
        f"the buffer of the station {capacity}; keep the bodies of errors tiny"
    )


def request_body(data: bytes) -> bytes:
    """Return the body of an HTTP request. Data that does not start with ``POST`` is returned unchanged.

    Raises:
        MalformedRequest: The header is incomplete, or the body is shorter than its Content-Length.
    """
    if not data.startswith(b"POST "):
        return data
    head, blank_line, body = data.partition(HEADER_END)
    length = _REQUEST_LENGTH.search(head)
    if not blank_line or length is None:
        raise MalformedRequest("the HTTP header has no end, or no Content-Length")
    if len(body) < int(length[1]):
        raise MalformedRequest(f"Content-Length is {int(length[1])}, and {len(body)} bytes follow")
    return body[: int(length[1])]
