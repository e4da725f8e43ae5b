"""The gateway's side of the connection: one POST, one reply, by HTTP or in process.

A Transport has one method. What goes wrong on the way is a TransportError that carries the lines which a Basics
Station would log (source: recorded from Basics Station 2.0.6).
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from lorafw.cups.codec import decode_request, encode_response_header
from lorafw.cups.credentials import Credentials
from lorafw.errors import LorafwError
from lorafw.gateway.client_tls import UnmatchedKey, auth_header_lines, certificate_matches_host, client_context
from lorafw.server.refusals import error_response
from lorafw.station.http import (
    BUFFER,
    TIMED_OUT,
    ConnectionLost,
    HttpReply,
    ReceiveError,
    TransportError,
    connection_error_line,
    read_reply,
    request_bytes,
    truncate_to_buffer,
)
from lorafw.station.log import Level, LogLine
from lorafw.station.uri import StationAddress, parse_cups_uri

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from lorafw.tasks.service import UpdateService

UNTRUSTED: Final = "X509 - Certificate verification failed, e.g. CRL, CA or signature check failed"
ALERT: Final = "SSL - A fatal alert message was received from our peer"
RESET: Final = "NET - Connection was reset by peer"
SENDING: Final = "NET - Sending information through the socket failed"
RECEIVING: Final = "NET - Reading information from the socket failed"
NOTIFIED: Final = "SSL - The peer notified us that the connection is going to be closed"


def connection_refused_error(uri: str) -> TransportError:
    """Nobody listens at ``uri``."""
    return _connect_failed(uri, "NET - The connection to the given server / port failed")


def host_not_found_error(uri: str) -> TransportError:
    """No name server knows the host of ``uri``, or none can be reached."""
    return _connect_failed(uri, "NET - Failed to get an IP address for the given hostname")


def _connect_failed(uri: str, why: str) -> TransportError:
    return TransportError(
        connection_error_line(f"HTTP connect failed: {why}"),
        LogLine("CUP", Level.ERROR, f"CUPS connect failed - URI: {uri}"),
    )


class Transport(Protocol):
    """Carries one request to the CUPS server at ``uri``."""

    def post(
        self, uri: str, body: bytes, timeout_s: float, credentials: Credentials, on_connected: Callable[[], None]
    ) -> AbstractContextManager[HttpReply]:
        """Send the request, and yield the reply. Call ``on_connected`` once, before the request is sent.

        Raises:
            TransportError: The exchange broke. If ``on_connected`` was not called, no connection was made.
        """
        ...


class HttpTransport:
    """Over HTTP or HTTPS, byte for byte as a Basics Station.

    Args:
        tls_sni: False sends no name, and does not look at the name in the server's certificate (TLS_SNI in
            station.conf).
        buffer_bytes: The size of the station's buffer (CUPS_BUFSZ in station.conf).
    """

    def __init__(self, *, tls_sni: bool = True, buffer_bytes: int = BUFFER) -> None:
        self._tls_sni = tls_sni
        self._buffer_bytes = buffer_bytes

    @contextmanager
    def post(
        self, uri: str, body: bytes, timeout_s: float, credentials: Credentials, on_connected: Callable[[], None]
    ) -> Iterator[HttpReply]:
        address = parse_cups_uri(uri)
        with self._connect(uri, address, timeout_s, credentials, on_connected) as connection:
            wire = _SocketStream(connection, timeout_s)
            token = auth_header_lines(credentials) if address.is_tls else b""
            request = request_bytes(address.host_port, body, token, self._buffer_bytes)
            wire.send(request)
            try:
                yield read_reply(wire, address.host_port, request, self._buffer_bytes)
            except ConnectionLost:
                # Closed without waiting: a reset, however much of the reply lies in buffers of this machine.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                raise

    def _connect(
        self,
        uri: str,
        address: StationAddress,
        timeout_s: float,
        credentials: Credentials,
        on_connected: Callable[[], None],
    ) -> socket.socket:
        if address.is_tls and not credentials.trust:
            raise TransportError(LogLine("AIO", Level.ERROR, "cups URI requires TLS but no trust configured"))
        unmatched_key: UnmatchedKey | None = None
        context: ssl.SSLContext | None = None
        try:
            if address.is_tls:
                context = client_context(credentials)
        except UnmatchedKey as error:
            unmatched_key = error
        plain = _open_socket(uri, address, timeout_s)
        on_connected()
        if unmatched_key is not None:
            plain.close()
            raise TransportError(connection_error_line(f"Send failed: {ALERT}"))
        if context is None:
            return plain
        server_name = address.host.decode("utf-8", "surrogateescape") if self._tls_sni else None
        return _handshake(plain, context, server_name)


def _open_socket(uri: str, address: StationAddress, timeout_s: float) -> socket.socket:
    """Connect to the first address of the host that answers. The port is text, and the C library reads it."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except (socket.gaierror, UnicodeError):
        raise host_not_found_error(uri) from None
    for family, kind, protocol, _, peer in found:
        opened = socket.socket(family, kind, protocol)
        opened.settimeout(timeout_s)
        try:
            opened.connect(peer)
        except OSError:
            opened.close()
            continue
        return opened
    raise connection_refused_error(uri)


def _handshake(plain: socket.socket, context: ssl.SSLContext, host: str | None) -> socket.socket:
    with contextlib.ExitStack() as opened:
        opened.enter_context(plain)
        try:
            secure = context.wrap_socket(plain, server_hostname=host, suppress_ragged_eofs=False)
        except ssl.SSLCertVerificationError:
            raise TransportError(connection_error_line(f"Send failed: {UNTRUSTED}")) from None
        except TimeoutError:
            raise TransportError(TIMED_OUT) from None
        except (ConnectionResetError, ssl.SSLEOFError):
            raise TransportError(connection_error_line(f"Send failed: {RESET}")) from None
        except (ssl.SSLError, OSError):
            raise TransportError(connection_error_line(f"Send failed: {ALERT}")) from None
        if host is not None and not certificate_matches_host(secure.getpeercert() or {}, host):
            secure.close()
            raise TransportError(connection_error_line(f"Send failed: {UNTRUSTED}"))
        opened.pop_all()
    return secure


def _cause(error: OSError, otherwise: str) -> str:
    """Return the words of the station's TLS library for an error of a connection."""
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return RESET
    if isinstance(error, ssl.SSLError):
        return ALERT
    return otherwise


class _SocketStream:
    """A socket with a time limit that only a full buffer sets back."""

    def __init__(self, connection: socket.socket, timeout_s: float) -> None:
        self._socket = connection
        self._timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s

    def send(self, data: bytes) -> None:
        try:
            self._socket.settimeout(self._remaining_s())
            self._socket.sendall(data)
        except TimeoutError:
            raise TransportError(TIMED_OUT) from None
        except OSError as error:
            raise TransportError(connection_error_line(f"Send failed: {_cause(error, SENDING)}")) from None

    def read(self, size: int) -> bytes:
        try:
            self._socket.settimeout(self._remaining_s())
            data = self._socket.recv(size)
        except TimeoutError:
            raise TransportError(TIMED_OUT) from None
        except ssl.SSLEOFError:
            return b""
        except OSError as error:
            raise ReceiveError(LogLine("AIO", Level.ERROR, f"Recv failed: {_cause(error, RECEIVING)}")) from None
        if not data and isinstance(self._socket, ssl.SSLSocket):
            raise ReceiveError(LogLine("AIO", Level.ERROR, f"Recv failed: {NOTIFIED}"))
        return data

    def rearm(self) -> None:
        self._deadline = time.monotonic() + self._timeout_s

    def _remaining_s(self) -> float:
        return max(self._deadline - time.monotonic(), 0.001)


class InProcessTransport:
    """Straight into an UpdateService: the bytes of the wire without a socket."""

    def __init__(self, service: UpdateService) -> None:
        self._service = service

    @contextmanager
    def post(
        self, uri: str, body: bytes, timeout_s: float, credentials: Credentials, on_connected: Callable[[], None]
    ) -> Iterator[HttpReply]:
        host_port = parse_cups_uri(uri).host_port
        on_connected()
        try:
            reply = self._service.handle(decode_request(truncate_to_buffer(host_port, body)))
        except LorafwError as error:
            status, text = error_response(error, self._service.policy)
            yield HttpReply(status, http.client.responses[status], len(text), iter((text,)))
            return
        size = reply.image.size if reply.image else 0
        head = encode_response_header(reply.response, size)
        taken = 0

        def pieces() -> Iterator[bytes]:
            nonlocal taken
            for piece in (head, *(reply.image.chunks(BUFFER) if reply.image else ())):
                taken += len(piece)
                yield bytes(piece)

        try:
            yield HttpReply(200, "OK", len(head) + size, pieces())
        finally:
            self._service.finish_reply(reply, delivered=taken == len(head) + size)
