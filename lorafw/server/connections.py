"""Connections: how long each may take, how much it may send, and who goes when there are too many.

A Visit stands between the TCP connection and aiohttp's HTTP, from the accept on, so it sees what never becomes a
request. Its phases, and what ends each (see Limits)::

    ARRIVING     handshake, header and body     request_s from the accept; request_bytes in all
    ANSWERING    the service is asked
    SENDING      an update goes out             pace_bytes in each pace_s
    LEAVING      the answer is written          closing_s

Where there are too many, the oldest that is ARRIVING or LEAVING goes, of the address that has most of them: who fills
the server with idle connections pushes out their own.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import Enum, auto
from itertools import islice
from typing import Final

from aiohttp import web

from lorafw.server.config import Limits
from lorafw.server.file_budget import PROCESS
from lorafw.server.flow_control import ThroughputMonitor
from lorafw.server.refusals import RefusalCounter, RefusalReason, logger
from lorafw.server.tls import TlsTransport

HttpHandler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
_MAX_OVERSIZE_FACTOR: Final = 16
"""So many times the length of a request are read from a client that was told that it was too long."""
_FILES_EACH: Final = 2
_EOF_GRACE_S: Final = 0.1
_TOO_LONG: Final = (
    b"HTTP/1.1 413 Request Entity Too Large\r\nContent-Type: text/plain\r\nContent-Length: 17\r\n"
    b"Connection: close\r\n\r\nrequest too long\n"
)


class Phase(Enum):
    """How far a connection has come."""

    READING = auto()
    PROCESSING = auto()
    SENDING = auto()
    CLOSING = auto()


_IDLE = (Phase.READING, Phase.CLOSING)


class ClientConnection(asyncio.Protocol):
    """One connection."""

    def __init__(self, visits: ConnectionManager) -> None:
        self._manager = visits
        self._transport: asyncio.Transport | None = None
        self._tls: TlsTransport | None = None
        self._http: HttpProtocol | None = None
        self._received = 0
        self.phase = Phase.READING
        self.since = 0.0
        self.peer = ""
        self.pace: ThroughputMonitor | None = None

    # --- from the network ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.peer = (transport.get_extra_info("peername") or ("?",))[0]
        if not self._manager.arrived(self):
            return
        if self._manager.context is not None:
            self._tls = TlsTransport(self._manager.context, transport)
        else:
            self._start_http(transport)

    def data_received(self, data: bytes) -> None:
        tls = self._tls
        if tls is None:
            self._feed(data)
            return
        try:
            if not tls.is_open:
                if not tls.feed_handshake(data):
                    return
                self._start_http(tls)
                data = b""
            if not tls.decrypt(data, self._feed) and not self._keep_open_after_eof():
                tls.close()
        except ssl.SSLError as error:
            self._on_tls_error(error)
        except Exception as error:
            if self._manager.tally.add(RefusalReason.SERVER_ERROR, self.peer):
                logger.error("a connection failed", exc_info=error)
            self.abort()

    def eof_received(self) -> bool:
        if self._tls is not None and not self._tls.is_open:
            self._manager.tally.add(RefusalReason.HANDSHAKE, f"{self.peer} went away")
        return self._keep_open_after_eof()

    def pause_writing(self) -> None:
        if self._http is not None:
            self._http.pause_writing()

    def resume_writing(self) -> None:
        if self._http is not None:
            self._http.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._manager.gone(self)
        if self._http is not None:
            self._http.connection_lost(exc)
        # Break the circle, so that the memory is free at once.
        self._http = self._tls = self._transport = None

    # --- from the server ---

    def enter(self, phase: Phase) -> None:
        """The next phase begins."""
        self.phase, self.since = phase, self._manager.now()

    def send(self, pace: ThroughputMonitor) -> ThroughputMonitor:
        """An update goes out, watched by ``pace``."""
        self.pace = pace
        self.enter(Phase.SENDING)
        return pace

    def end(self, reason: RefusalReason, detail: str = "") -> None:
        """Break the connection off, and count why."""
        self._manager.tally.add(reason, f"{self.peer}{': ' if detail else ''}{detail}")
        self.abort()

    def abort(self) -> None:
        """Break the connection off; what is unsent goes."""
        if self._transport is None:
            return
        with suppress(OSError):
            raw = self._transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    # --- inside ---

    def _start_http(self, transport: asyncio.Transport) -> None:
        self._http = self._manager.conversation(self)
        self._http.connection_made(transport)

    def _feed(self, data: bytes) -> None:
        if self._http is None:
            return
        room = self._manager.limits.request_bytes - self._received
        self._received += len(data)
        if len(data) > room:
            self._reject_oversized()
        else:
            self._http.data_received(data)

    def _reject_oversized(self) -> None:
        """More came than a request may have. The answer can only be read by a client that may go on writing a while."""
        transport = self._tls or self._transport
        assert transport is not None
        if self.phase is Phase.READING:
            self._manager.tally.add(RefusalReason.TOO_LONG, self.peer)
            self.enter(Phase.CLOSING)
            transport.write(_TOO_LONG)
        elif self.phase is not Phase.CLOSING:
            transport.pause_reading()
        elif self._received > _MAX_OVERSIZE_FACTOR * self._manager.limits.request_bytes:
            self.abort()

    def _keep_open_after_eof(self) -> bool:
        """The client will say no more. True: who has asked gets the answer all the same."""
        if self.phase is Phase.READING and self._received:
            # The request may be whole, and not be looked at yet.
            asyncio.get_running_loop().call_later(_EOF_GRACE_S, self._left)
            return True
        return self.phase in (Phase.PROCESSING, Phase.SENDING)

    def _left(self) -> None:
        if self.phase is Phase.READING and self._transport is not None:
            self.end(RefusalReason.REQUEST_TIMEOUT, "went away")

    def _on_tls_error(self, error: ssl.SSLError) -> None:
        if self._http is None:
            reason = getattr(error, "verify_message", None) or error.reason or "no TLS"
            self._manager.tally.add(RefusalReason.HANDSHAKE, f"{self.peer}: {reason}")
        if self._transport is not None:
            self._transport.close()


class HttpProtocol(web.RequestHandler):
    """aiohttp's side of a connection. What is no HTTP is answered in a few words, and counted."""

    visit: ClientConnection
    tally: RefusalCounter

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if isinstance(exc, ConnectionError):
            raise exc
        if self.visit.phase is Phase.CLOSING:
            raise ConnectionResetError("this connection has its answer")
        self.visit.enter(Phase.CLOSING)
        if status < 500:
            self.tally.add(RefusalReason.NO_HTTP, self.visit.peer)
            response = web.Response(status=status, body=b"not HTTP\n", content_type="text/plain")
        else:
            if self.tally.add(RefusalReason.SERVER_ERROR, self.visit.peer):
                logger.error("a request failed", exc_info=exc)
            response = web.Response(status=status, body=b"server error\n", content_type="text/plain")
        response.force_close()
        return response


class ConnectionManager(web.Server):
    """All that are there. With ``context`` they speak TLS."""

    def __init__(
        self, handler: HttpHandler, limits: Limits, tally: RefusalCounter, context: ssl.SSLContext | None
    ) -> None:
        # The limit of a request is counted here, whole; aiohttp's own of its parts are never reached.
        most = limits.request_bytes
        super().__init__(
            handler,
            access_log=None,
            auto_decompress=False,
            lingering_time=min(2.0, limits.close_timeout_s),
            max_line_size=most,
            max_field_size=most,
            max_headers=most,
        )
        self.limits = limits
        self.tally = tally
        self.context = context
        self.now = asyncio.get_running_loop().time
        self._files = PROCESS.join()
        self._manager: dict[ClientConnection, None] = {}
        self._is_over = False
        self._timeout_timer: asyncio.TimerHandle | None = None

    def conversation(self, visit: ClientConnection) -> HttpProtocol:
        """HTTP for this connection."""
        conversation = HttpProtocol(self, loop=self._loop, **self._kwargs)
        conversation.visit, conversation.tally = visit, self.tally
        return conversation

    def arrived(self, visit: ClientConnection) -> bool:
        """A connection was accepted; False where there is no place for it."""
        if self._is_over:
            visit.abort()
            return False
        if not self.has_room() and not self.make_room():
            visit.end(RefusalReason.TOO_MANY_CONNECTIONS)
            return False
        visit.enter(Phase.READING)
        self._manager[visit] = None
        if self._timeout_timer is None:
            self._enforce_timeouts()
        return True

    def gone(self, visit: ClientConnection) -> None:
        self._manager.pop(visit, None)

    def close_all(self) -> None:
        """The server stops: who is there goes, and who was accepted meanwhile does not stay."""
        self._is_over = True
        if self._timeout_timer is not None:
            self._timeout_timer.cancel()
        for visit in list(self._manager):
            visit.abort()
        self._files.leave()
        self.tally.tell(all_of_it=True)

    @property
    def _max_connections(self) -> int:
        """Connections at once. A connection on which a reply is sent holds two files."""
        return max(min(self.limits.connections, self._files.files // _FILES_EACH), 1)

    def has_room(self, opening: int = 0) -> bool:
        """Return True if one more connection may be accepted beside those that are there and ``opening`` others."""
        return len(self._manager) + opening < self._max_connections

    def make_room(self) -> bool:
        """Close the oldest idle connections, of the address that has most of them. Return False if none is idle."""
        idle = [visit for visit in self._manager if visit.phase in _IDLE]
        if not idle:
            return False
        peer, _ = Counter(visit.peer for visit in idle).most_common(1)[0]
        for visit in islice((one for one in idle if one.peer == peer), 1 + self._max_connections // 64):
            visit.end(RefusalReason.TOO_MANY_CONNECTIONS)
            self.gone(visit)
        return True

    def _enforce_timeouts(self) -> None:
        """Once in a while: who has had their time?"""
        now, limits = self.now(), self.limits
        for visit in list(self._manager):
            if visit.phase is Phase.READING and now - visit.since >= limits.request_timeout_s:
                visit.end(RefusalReason.REQUEST_TIMEOUT, f"not within {limits.request_timeout_s:g} s")
            elif visit.phase is Phase.SENDING and visit.pace is not None and visit.pace.update(now):
                visit.end(
                    RefusalReason.RESPONSE_TIMEOUT,
                    f"less than {limits.min_rate_bytes} bytes in {limits.min_rate_window_s:g} s",
                )
            elif visit.phase is Phase.CLOSING and now - visit.since >= limits.close_timeout_s:
                visit.abort()
        self.tally.tell()
        self._timeout_timer = self._loop.call_later(
            min(limits.request_timeout_s, limits.min_rate_window_s) / 60, self._enforce_timeouts
        )
