"""The asyncio protocols of a CUPS server: they pass the data of a TCP connection to aiohttp's HTTP parser.

``PlainProtocol`` is for HTTP. ``TlsProtocol`` does the same for HTTPS, and decrypts the data first. Both exist from the
accept on, so that clients which never send a complete request are limited as well.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Final, cast

from lorafw.server.connections import ClientConnection, ConnectionManager
from lorafw.server.http_protocol import HttpProtocol
from lorafw.server.phase import Phase
from lorafw.server.refusals import RefusalReason
from lorafw.server.tls import TlsTransport, describe_tls_error

CreateHttp = Callable[[ClientConnection], HttpProtocol]
"""Creates the HTTP parser for a connection."""

_MAX_OVERSIZE_FACTOR: Final = 16
"""A client whose request is too long may send this many times the limit before the connection is aborted."""
_EOF_GRACE_S: Final = 0.1
"""Time for the HTTP parser to finish a request after the client has closed its side."""
_TOO_LONG: Final = (
    b"HTTP/1.1 413 Request Entity Too Large\r\nContent-Type: text/plain\r\nContent-Length: 17\r\n"
    b"Connection: close\r\n\r\nrequest too long\n"
)


class RequestReceiver:
    """Passes the bytes of one request to the HTTP parser, up to a limit.

    Args:
        connection: The connection of the request.
        http: The HTTP parser.
        transport: The transport to which a response is written.
        manager: Gives the limit, and counts refusals.
    """

    def __init__(
        self,
        connection: ClientConnection,
        http: HttpProtocol,
        transport: asyncio.Transport,
        manager: ConnectionManager,
    ) -> None:
        self._connection = connection
        self._http = http
        self._transport = transport
        self._tally = manager.tally
        self._max_bytes = manager.limits.request_bytes
        self._received_bytes = 0

    def receive(self, data: bytes) -> None:
        """Pass data to the HTTP parser. Data beyond the limit is discarded."""
        self._received_bytes += len(data)
        if self._received_bytes > self._max_bytes:
            self._reject_oversized()
        else:
            self._http.data_received(data)

    def receive_eof(self) -> bool:
        """Handle the end of the client's data. Return True if the client may still get a response."""
        phase = self._connection.phase
        if phase is Phase.READING and self._received_bytes:
            # The request may be complete, although the HTTP handler has not started yet.
            asyncio.get_running_loop().call_later(_EOF_GRACE_S, self._abort_if_incomplete)
            return True
        return phase in (Phase.PROCESSING, Phase.SENDING)

    def _reject_oversized(self) -> None:
        """Answer a request that is too long with status 413.

        The client may go on writing for a while, because a client that is reset while it writes may never read the
        response.
        """
        phase = self._connection.phase
        if phase is Phase.READING:
            self._tally.add(RefusalReason.TOO_LONG, self._connection.peer)
            self._connection.set_phase(Phase.CLOSING)
            self._transport.write(_TOO_LONG)
        elif phase is not Phase.CLOSING:
            self._transport.pause_reading()
        elif self._received_bytes > _MAX_OVERSIZE_FACTOR * self._max_bytes:
            self._connection.abort()

    def _abort_if_incomplete(self) -> None:
        """Abort the connection if its request is still incomplete."""
        if self._connection.phase is Phase.READING and self._connection.is_open:
            self._connection.abort_with_reason(RefusalReason.REQUEST_TIMEOUT, "went away")


class PlainProtocol(asyncio.Protocol):
    """The protocol of one TCP connection over which a client sends HTTP. asyncio calls its public methods."""

    def __init__(self, manager: ConnectionManager, create_http: CreateHttp) -> None:
        """Create a protocol for a connection that was accepted.

        Args:
            manager: The open connections of the server.
            create_http: Creates the HTTP parser.
        """
        self._manager = manager
        self._create_http = create_http
        self._connection = ClientConnection(manager.now, manager.tally)
        self._http: HttpProtocol | None = None
        self._request: RequestReceiver | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start to receive, if there is room for one more connection. Otherwise the connection is aborted."""
        tcp_transport = cast("asyncio.Transport", transport)
        self._connection.attach(tcp_transport)
        if self._manager.register(self._connection):
            self._start(tcp_transport)

    def data_received(self, data: bytes) -> None:
        """Pass received data to the HTTP parser."""
        if self._request is not None:
            self._request.receive(data)

    def eof_received(self) -> bool:
        """Handle the end of the client's data. Return False if asyncio shall close the connection."""
        return self._request is not None and self._request.receive_eof()

    def pause_writing(self) -> None:
        """Pause the writing of the response, because the send buffer is full."""
        if self._http is not None:
            self._http.pause_writing()

    def resume_writing(self) -> None:
        """Resume the writing of the response, because the client has read more."""
        if self._http is not None:
            self._http.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the connection from the manager and cancel its request."""
        self._manager.remove(self._connection)
        if self._http is not None:
            self._http.connection_lost(exc)
        # Break the reference cycles, so that the memory is freed at once.
        self._http = None
        self._request = None
        self._connection.detach()

    def _start(self, transport: asyncio.Transport) -> None:
        """Start to receive a request over a new connection."""
        self._start_http(transport)

    def _start_http(self, transport: asyncio.Transport) -> None:
        """Create the HTTP parser on top of a TCP or TLS transport."""
        self._http = self._create_http(self._connection)
        self._http.connection_made(transport)
        self._request = RequestReceiver(self._connection, self._http, transport, self._manager)


class TlsProtocol(PlainProtocol):
    """The protocol of one TCP connection over which a client sends HTTPS."""

    def __init__(self, manager: ConnectionManager, create_http: CreateHttp, context: ssl.SSLContext) -> None:
        """Create a protocol for a connection that was accepted.

        Args:
            manager: The open connections of the server.
            create_http: Creates the HTTP parser.
            context: The server's TLS context.
        """
        super().__init__(manager, create_http)
        self._context = context
        self._tls: TlsTransport | None = None

    def _start(self, transport: asyncio.Transport) -> None:
        """Wait for the client's handshake."""
        self._tls = TlsTransport(self._context, transport)

    def data_received(self, data: bytes) -> None:
        """Decrypt received data, and pass it to the HTTP parser."""
        if self._tls is None:
            return
        try:
            self._feed(self._tls, data)
        except ssl.SSLError as error:
            self._on_tls_error(error)
        except Exception as error:
            self._manager.tally.add_error("a connection failed", error, self._connection.peer)
            self._connection.abort()

    def eof_received(self) -> bool:
        """Handle the end of the client's data. Return False if asyncio shall close the connection."""
        if self._tls is not None and not self._tls.is_open:
            self._manager.tally.add(RefusalReason.HANDSHAKE, f"{self._connection.peer} went away")
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the connection from the manager and cancel its request."""
        super().connection_lost(exc)
        self._tls = None

    def _feed(self, tls: TlsTransport, data: bytes) -> None:
        """Continue the handshake, or decrypt the data. Closes the connection after the client's close_notify."""
        if not tls.is_open:
            is_handshake_done = tls.feed_handshake(data)
            if not is_handshake_done:
                return
            self._start_http(tls)
            # The client may have sent its request right behind the handshake. The TLS object holds it already, so
            # there is nothing more to feed.
            data = b""
        is_client_open = tls.decrypt(data, super().data_received)
        if not is_client_open and not super().eof_received():
            tls.close()

    def _on_tls_error(self, error: ssl.SSLError) -> None:
        """Close the connection. Errors before the end of the handshake count as a refusal."""
        if self._http is None:
            description = describe_tls_error(error)
            self._manager.tally.add(RefusalReason.HANDSHAKE, f"{self._connection.peer}: {description}")
        # close() and not abort(): the TLS alert must still reach the client.
        self._connection.close()
