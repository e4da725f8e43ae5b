"""Send a request of a virtual gateway to a CUPS server and receive the response, over HTTP or in the same process.

If the connection fails, a transport raises a ``TransportError`` with the lines that a Basics Station logs.

Source: recorded from Basics Station 2.0.6.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import socket
import ssl
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from lorafw.clock import real_monotonic_s
from lorafw.cups.codec import decode_request, encode_response_header
from lorafw.cups.credentials import Credentials
from lorafw.errors import LorafwError
from lorafw.gateway.client_tls import UnmatchedKey, auth_header_lines, certificate_matches_host, client_context
from lorafw.server.refusals import error_response
from lorafw.station.http import (
    BUFFER_BYTES,
    SHUTDOWN,
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
from lorafw.text import decode_lossless

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from lorafw.tasks.model import Reply
    from lorafw.tasks.service import UpdateService

_MIN_CONNECT_S: Final = 1.0
"""The minimum time in which a server must accept a connection. A station does not limit this time at all."""

_UNTRUSTED: Final = "X509 - Certificate verification failed, e.g. CRL, CA or signature check failed"
_ALERT: Final = "SSL - A fatal alert message was received from our peer"
_RESET: Final = "NET - Connection was reset by peer"
_SEND_FAILED: Final = "NET - Sending information through the socket failed"
_RECEIVE_FAILED: Final = "NET - Reading information from the socket failed"
_CLOSE_NOTIFIED: Final = "SSL - The peer notified us that the connection is going to be closed"


def connection_refused_error(uri: str) -> TransportError:
    """Return the error of a connection to a port at which no server listens."""
    return _connect_error(uri, "NET - The connection to the given server / port failed")


def host_not_found_error(uri: str) -> TransportError:
    """Return the error of a host name that cannot be resolved."""
    return _connect_error(uri, "NET - Failed to get an IP address for the given hostname")


def _connect_error(uri: str, why: str) -> TransportError:
    """Return an error with the two lines that a station logs if it cannot connect."""
    return TransportError(
        connection_error_line(f"HTTP connect failed: {why}"),
        SHUTDOWN,
        LogLine("CUP", Level.ERROR, f"CUPS connect failed - URI: {uri}"),
    )


class Transport(Protocol):
    """Sends requests to a CUPS server."""

    def post(
        self, uri: str, body: bytes, timeout_s: float, credentials: Credentials, on_connected: Callable[[], None]
    ) -> AbstractContextManager[HttpReply]:
        """Send a request and return a context manager that receives the response.

        The connection stays open until the context ends, because the body of the response is read from it.

        Args:
            uri: The address of the CUPS server, as in cups.uri.
            body: The body of the request.
            timeout_s: The time within which the connection is made, and each full buffer arrives.
            credentials: The files for TLS.
            on_connected: Called once, after the connection is made and before the request is sent. If it raises
                TransportError, nothing is sent.

        Returns:
            A context manager that yields the response.

        Raises:
            TransportError: The exchange failed. If ``on_connected`` was not called, no connection was made.
        """
        ...


class HttpTransport:
    """A transport over HTTP or HTTPS that sends the same bytes as a Basics Station.

    Args:
        tls_sni: Whether the host name is sent in the TLS handshake and compared with the server's certificate (TLS_SNI
            in station.conf).
        buffer_bytes: The size of the station's buffer (CUPS_BUFSZ in station.conf).
    """

    def __init__(self, *, tls_sni: bool = True, buffer_bytes: int = BUFFER_BYTES) -> None:
        self._tls_sni = tls_sni
        self._buffer_bytes = buffer_bytes

    @contextmanager
    def post(
        self, uri: str, body: bytes, timeout_s: float, credentials: Credentials, on_connected: Callable[[], None]
    ) -> Iterator[HttpReply]:
        """Send a request over a new connection, and yield the response. See ``Transport.post``."""
        address = parse_cups_uri(uri)
        connection = self._connect(uri, address, timeout_s, credentials, on_connected)
        with contextlib.closing(connection) as stream:
            token = auth_header_lines(credentials) if address.is_tls else b""
            request = request_bytes(address.host_port, body, token, self._buffer_bytes)
            stream.send(request)
            try:
                yield read_reply(stream, address.host_port, request, self._buffer_bytes)
            except ConnectionLost:
                stream.reset_on_close()
                raise

    def _connect(
        self,
        uri: str,
        address: StationAddress,
        timeout_s: float,
        credentials: Credentials,
        on_connected: Callable[[], None],
    ) -> SocketStream:
        """Return a connection to the server, with TLS if the address is https."""
        # A station reads its TLS files before it connects.
        tls = _TlsClient(credentials) if address.is_tls else None
        connection = _open_socket(uri, address, timeout_s)
        deadline_s = real_monotonic_s() + timeout_s
        try:
            on_connected()
        except TransportError:
            connection.close()
            raise
        if tls is not None:
            connection.settimeout(timeout_s)
            server_name = decode_lossless(address.host) if self._tls_sni else None
            connection = tls.handshake(connection, server_name)
        return SocketStream(connection, timeout_s, deadline_s)


class _TlsClient:
    """The client's side of TLS.

    Args:
        credentials: The files for TLS. They are parsed when this object is created.

    Raises:
        TransportError: The station cannot use one of the files.
    """

    def __init__(self, credentials: Credentials) -> None:
        if not credentials.trust:
            raise TransportError(LogLine("AIO", Level.ERROR, "cups URI requires TLS but no trust configured"))
        self._context: ssl.SSLContext | None = None
        """None if the key does not belong to the certificate."""
        with contextlib.suppress(UnmatchedKey):
            self._context = client_context(credentials)

    def handshake(self, connection: socket.socket, server_name: str | None) -> ssl.SSLSocket:
        """Make a TLS handshake over a connection and return the encrypted one. Closes both if the handshake fails.

        Args:
            connection: The connection to the server.
            server_name: The name that the server's certificate must have. None means that it is not checked.

        Raises:
            TransportError: The handshake failed.
        """
        if self._context is None:
            # A station does not compare its key and its certificate. The server notices it and refuses the signature.
            connection.close()
            raise _handshake_error(_ALERT)
        return _handshake(connection, self._context, server_name)


def _open_socket(uri: str, address: StationAddress, timeout_s: float) -> socket.socket:
    """Connect to the first address of the host that accepts. The C library parses the port, which is text."""
    try:
        addresses = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except (socket.gaierror, UnicodeError):
        raise host_not_found_error(uri) from None
    error = connection_refused_error(uri)
    for family, socket_type, protocol, _, peer in addresses:
        try:
            connection = socket.socket(family, socket_type, protocol)
        except OSError:
            error = _connect_error(uri, "NET - Failed to open a socket")
            continue
        connection.settimeout(max(timeout_s, _MIN_CONNECT_S))
        try:
            connection.connect(peer)
        except OSError:
            error = connection_refused_error(uri)
            connection.close()
            continue
        return connection
    raise error


def _handshake(plain: socket.socket, context: ssl.SSLContext, host: str | None) -> ssl.SSLSocket:
    """Make a TLS handshake, as described for ``_TlsClient.handshake``."""
    with contextlib.ExitStack() as stack:
        # The stack closes the connection, unless pop_all() below is reached.
        stack.enter_context(plain)
        try:
            secure = context.wrap_socket(plain, server_hostname=host, suppress_ragged_eofs=False)
        except ssl.SSLCertVerificationError:
            raise _handshake_error(_UNTRUSTED) from None
        except TimeoutError:
            raise TransportError(TIMED_OUT) from None
        except (ConnectionResetError, ssl.SSLEOFError):
            raise _handshake_error(_RESET) from None
        except (ssl.SSLError, OSError):
            raise _handshake_error(_ALERT) from None
        if host is not None and not certificate_matches_host(secure.getpeercert() or {}, host):
            secure.close()
            raise _handshake_error(_UNTRUSTED)
        stack.pop_all()
    return secure


def _handshake_error(reason: str) -> TransportError:
    """Return the error of a failed handshake, with the line that a station logs."""
    return TransportError(connection_error_line(f"Send failed: {reason}"), SHUTDOWN)


def _tls_error_text(error: OSError, otherwise: str) -> str:
    """Return the text of the station's TLS library for an error of a connection, or ``otherwise`` for other errors."""
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return _RESET
    if isinstance(error, ssl.SSLError):
        return _ALERT
    return otherwise


class SocketStream:
    """A ``ByteStream`` over a socket. Its time limit restarts only when a full buffer has arrived.

    Args:
        connection: The connection.
        timeout_s: The time within which each full buffer must arrive.
        deadline_s: The end of the first time limit, as in ``real_monotonic_s``. It runs from the TCP connection on, so
            a TLS handshake uses up a part of it.
    """

    def __init__(self, connection: socket.socket, timeout_s: float, deadline_s: float) -> None:
        self._socket = connection
        self._timeout_s = timeout_s
        self._deadline_s = deadline_s

    def send(self, data: bytes) -> None:
        """Send all data. Raises TransportError if the connection fails or the time limit passes."""
        try:
            self._socket.settimeout(self._remaining_s())
            self._socket.sendall(data)
        except TimeoutError:
            raise TransportError(TIMED_OUT) from None
        except OSError as error:
            reason = _tls_error_text(error, _SEND_FAILED)
            raise TransportError(connection_error_line(f"Send failed: {reason}"), SHUTDOWN) from None

    def read(self, size: int) -> bytes:
        """Receive data. See ``ByteStream.read``.

        Args:
            size: The maximum number of bytes.

        Returns:
            1 to ``size`` bytes. b"" if the server closed TCP, with or without TLS.

        Raises:
            TransportError: The time limit has passed.
            ReceiveError: The connection failed, or the server closed TLS with a close_notify. A station logs that as an
                error, too.
        """
        try:
            self._socket.settimeout(self._remaining_s())
            data = self._socket.recv(size)
        except TimeoutError:
            raise TransportError(TIMED_OUT) from None
        except ssl.SSLEOFError:  # TCP was closed without a close_notify
            return b""
        except OSError as error:
            reason = _tls_error_text(error, _RECEIVE_FAILED)
            raise ReceiveError(LogLine("AIO", Level.ERROR, f"Recv failed: {reason}")) from None
        is_close_notify = not data and isinstance(self._socket, ssl.SSLSocket)
        if is_close_notify:
            raise ReceiveError(LogLine("AIO", Level.ERROR, f"Recv failed: {_CLOSE_NOTIFIED}"))
        return data

    def reset_timeout(self) -> None:
        """Restart the time limit."""
        self._deadline_s = real_monotonic_s() + self._timeout_s

    def reset_on_close(self) -> None:
        """Make ``close`` send a reset, and drop what the buffers of this machine still hold."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _remaining_s(self) -> float:
        """Return the time until the limit. Raises TimeoutError if the limit has passed, even if data has arrived."""
        remaining_s = self._deadline_s - real_monotonic_s()
        if remaining_s <= 0:
            raise TimeoutError
        return remaining_s


class InProcessTransport:
    """A transport that calls an ``UpdateService`` in the same process. The bytes are those of a connection."""

    def __init__(self, service: UpdateService) -> None:
        self._service = service

    @contextmanager
    def post(
        self, uri: str, body: bytes, timeout_s: float, credentials: Credentials, on_connected: Callable[[], None]
    ) -> Iterator[HttpReply]:
        """Let the service handle a request, and yield the response. See ``Transport.post``.

        When the context ends, the service is told whether the gateway read the whole response.
        """
        host_port = parse_cups_uri(uri).host_port
        on_connected()
        try:
            request = decode_request(truncate_to_buffer(host_port, body))
            reply = self._service.answer(request)
        except LorafwError as error:
            status, text = error_response(error, self._service.policy)
            yield HttpReply(status, http.client.responses[status], len(text), iter([text]))
            return
        response_body = _ResponseBody(reply)
        try:
            yield HttpReply(200, "OK", response_body.length, response_body)
        finally:
            self._service.finish_reply(reply, delivered=response_body.is_complete)


class _ResponseBody:
    """The body of a response: an iterator over its chunks, which counts the bytes that it has yielded.

    Args:
        reply: The service's reply.
    """

    def __init__(self, reply: Reply) -> None:
        image_bytes = 0
        image_chunks: Iterable[bytes | memoryview] = ()
        if reply.image is not None:
            image_bytes = reply.image.size
            image_chunks = reply.image.chunks(BUFFER_BYTES)
        header = encode_response_header(reply.response, image_bytes)
        self.length = len(header) + image_bytes
        """The size of the body in bytes."""
        self._chunks = itertools.chain([header], image_chunks)
        self._yielded_bytes = 0

    @property
    def is_complete(self) -> bool:
        """Whether the whole body was yielded."""
        return self._yielded_bytes == self.length

    def __iter__(self) -> Iterator[bytes]:
        """Return the iterator itself."""
        return self

    def __next__(self) -> bytes:
        """Return the next chunk."""
        chunk = bytes(next(self._chunks))
        self._yielded_bytes += len(chunk)
        return chunk
