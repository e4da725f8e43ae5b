"""The gateway's side of the connection: one POST, one reply, by HTTP or in process.

A Transport has one method. What goes wrong on the way is a TransportError that carries the lines which a Basics
Station would log (source: recorded from Basics Station 2.0.6).
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

from lorafw.cups.client_tls import client_context, token_headers
from lorafw.cups.codec import decode_request, encode_head
from lorafw.cups.credentials import Credentials
from lorafw.cups.refusal import refusal
from lorafw.errors import LorafwError
from lorafw.gateway.log import Level, LogLine

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from lorafw.tasks.service import UpdateService

PATH: Final = "/update-info"
BUFFER: Final = 8192
"""The station reads in pieces of this size, and each must come within its time limit."""

UNTRUSTED: Final = "X509 - Certificate verification failed, e.g. CRL, CA or signature check failed"
ALERT: Final = "SSL - A fatal alert message was received from our peer"
RESET: Final = "NET - Connection was reset by peer"


class TransportError(LorafwError):
    """The exchange broke. ``lines`` are what a station logs of it."""

    def __init__(self, *lines: LogLine) -> None:
        super().__init__("; ".join(line.text for line in lines))
        self.lines = lines


def aio(text: str) -> LogLine:
    """An error of the connection. A station puts its descriptor in front; in every recorded log that was 3."""
    return LogLine("AIO", Level.ERROR, f"[3] {text}")


TIMED_OUT: Final = LogLine("CUP", Level.ERROR, "CUPS timed out")
CLOSED: Final = (LogLine("AIO", Level.DEBUG, "[3] Connection closed unexpectedly"), aio("Error reading HTTP Body"))


def not_connected(uri: str) -> TransportError:
    """Nobody listens at ``uri``."""
    return _connect_failed(uri, "NET - The connection to the given server / port failed")


def no_such_host(uri: str) -> TransportError:
    """No name server knows the host of ``uri``, or none can be reached."""
    return _connect_failed(uri, "NET - Failed to get an IP address for the given hostname")


def _connect_failed(uri: str, why: str) -> TransportError:
    return TransportError(
        aio(f"HTTP connect failed: {why}"), LogLine("CUP", Level.ERROR, f"CUPS connect failed - URI: {uri}")
    )


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A reply whose body is still to come. ``body`` may raise TransportError."""

    status: int
    reason: str
    content_length: int
    body: Iterator[bytes]


class Transport(Protocol):
    """Carries one request to the CUPS server at ``uri``."""

    def post(
        self, uri: str, body: bytes, timeout_s: float, credentials: Credentials
    ) -> AbstractContextManager[HttpReply]: ...


class HttpTransport:
    """Over HTTP or HTTPS, with the header of a Basics Station: nothing more, in its order, blanks included."""

    @contextmanager
    def post(self, uri: str, body: bytes, timeout_s: float, credentials: Credentials) -> Iterator[HttpReply]:
        host_port = urlsplit(uri).netloc
        connection = self._connect(uri, timeout_s, credentials)
        try:
            connection.putrequest("POST", PATH, skip_host=True, skip_accept_encoding=True)
            connection.putheader("Host", host_port)
            connection.putheader("Content-Type", "application/json")
            connection.putheader("Content-Length", f"{len(body):5d}")
            for name, value in token_headers(credentials) if uri.startswith("https:") else ():
                connection.putheader(name, value)
            with _station_words("Error reading HTTP Header"):
                connection.endheaders(body)
                response = connection.getresponse()
            with response:
                yield _strict(response, connection.sock, timeout_s)
        finally:
            connection.close()

    def _connect(self, uri: str, timeout_s: float, credentials: Credentials) -> http.client.HTTPConnection:
        parts = urlsplit(uri)
        host = parts.hostname or ""
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            if not credentials.trust:
                raise TransportError(LogLine("AIO", Level.ERROR, "cups URI requires TLS but no trust configured"))
            connection = http.client.HTTPSConnection(
                host, parts.port, timeout=timeout_s, context=client_context(credentials)
            )
        else:
            connection = http.client.HTTPConnection(host, parts.port, timeout=timeout_s)
        try:
            connection.connect()
        except ssl.SSLCertVerificationError:
            raise TransportError(aio(f"Send failed: {UNTRUSTED}")) from None
        except ssl.SSLError:
            raise TransportError(aio(f"Send failed: {ALERT}")) from None
        except ConnectionResetError:
            raise TransportError(aio(f"Send failed: {RESET}")) from None
        except socket.gaierror:
            raise no_such_host(uri) from None
        except OSError:
            raise not_connected(uri) from None
        return connection


class InProcessTransport:
    """Straight into an UpdateService: the bytes of the wire without a socket."""

    def __init__(self, service: UpdateService) -> None:
        self._service = service

    @contextmanager
    def post(self, uri: str, body: bytes, timeout_s: float, credentials: Credentials) -> Iterator[HttpReply]:
        try:
            reply = self._service.answer(decode_request(body))
        except LorafwError as error:
            status, text = refusal(error, self._service.policy)
            yield HttpReply(status, http.client.responses[status], len(text), iter((text,)))
            return
        size = reply.image.size if reply.image else 0
        head = encode_head(reply.response, size)
        taken = 0

        def pieces() -> Iterator[bytes]:
            nonlocal taken
            for piece in (head, *(reply.image.chunks(BUFFER) if reply.image else ())):
                taken += len(piece)
                yield bytes(piece)

        try:
            yield HttpReply(200, "OK", len(head) + size, pieces())
        finally:
            self._service.finish(reply, whole=taken == len(head) + size)


def _strict(response: http.client.HTTPResponse, sock: socket.socket | None, timeout_s: float) -> HttpReply:
    """What a station takes for a reply: a plain body of a length that was said before."""
    length = response.headers.get("Content-Length", "").strip()
    if response.status == 200 and (response.headers.get("Transfer-Encoding") or not length.isdigit()):
        # A station that got a chunked body, or one without a length, takes all of it for too much.
        raise TransportError(aio("Received more data than expected HTTP content size"))
    size = int(length) if length.isdigit() else 0
    return HttpReply(response.status, response.reason, size, _body(response, sock, size, timeout_s))


def _body(
    response: http.client.HTTPResponse, sock: socket.socket | None, size: int, timeout_s: float
) -> Iterator[bytes]:
    """Piece by piece; a full buffer, or the rest, must come within the time limit."""
    while size > 0:
        due = time.monotonic() + timeout_s
        piece = bytearray()
        while len(piece) < min(BUFFER, size):
            if sock is not None:
                sock.settimeout(max(due - time.monotonic(), 0.001))
            with _station_words("Error reading HTTP Body"):
                data = response.read1(min(BUFFER, size) - len(piece))
            if not data:
                raise TransportError(*CLOSED)
            piece += data
        size -= len(piece)
        yield bytes(piece)


@contextmanager
def _station_words(text: str) -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise TransportError(TIMED_OUT) from None
    except (OSError, http.client.HTTPException):
        raise TransportError(aio(text)) from None
