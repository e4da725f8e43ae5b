"""The CUPS server: answers POST /update-info over HTTP or HTTPS.

``CupsServer`` starts and stops the server. ``request_handler.py`` answers the requests, and ``access.py`` decides which
ones are answered.

Over HTTPS the client's certificate decides for which gateway it may ask. Plain HTTP does not identify the client and is
meant for labs. ``Limits`` bounds what one client may use, and refused requests are counted in a ``RefusalCounter``.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from typing import Any, Final

from aiohttp import web

from lorafw.server.access import AccessRules
from lorafw.server.admission import HostNames
from lorafw.server.config import DEFAULT_LIMITS, Limits, TlsConfig
from lorafw.server.connections import ConnectionManager
from lorafw.server.http_protocol import HttpProtocol
from lorafw.server.listener import Listener, ProtocolFactory, listen
from lorafw.server.loop_thread import loop_in_thread
from lorafw.server.loopback import as_url_host
from lorafw.server.protocols import PlainProtocol, TlsProtocol
from lorafw.server.refusals import RefusalCounter
from lorafw.server.request_handler import RequestHandler
from lorafw.tasks.service import UpdateService

MAX_CONCURRENT_READS: Final = 16
"""Number of updates that may be read at the same time, one thread each."""

_SHUTDOWN_TIMEOUT_S: Final = 1.0
"""How long running requests may take when the server stops."""


@dataclass(frozen=True, slots=True)
class _RunningParts:
    """The parts of a server that exist only while it is running."""

    listener: Listener
    """Accepts connections."""
    connections: ConnectionManager
    """The open connections."""
    web_server: web.Server
    """Gives the requests of all connections to the handler."""
    update_readers: ThreadPoolExecutor
    """Threads that read updates from S3."""

    async def stop(self) -> None:
        """Stop listening and close all connections, after up to ``_SHUTDOWN_TIMEOUT_S`` for running requests."""
        self.listener.close()
        await self.web_server.shutdown(_SHUTDOWN_TIMEOUT_S)
        self.connections.close_all()
        self.update_readers.shutdown(wait=False)


@dataclass(eq=False, repr=False)
class CupsServer:
    """A CUPS server: it answers the requests of gateways with the decisions of one ``UpdateService``."""

    service: UpdateService
    """Decides what a request is answered with."""
    _: KW_ONLY
    host: str = "127.0.0.1"
    """Address to listen at, loopback by default."""
    port: int = 0
    """Port to listen at. 0 picks a free one. After ``start`` it is the real port, so it is never 0 then."""
    fallback_to_free_port: bool = False
    """Whether a free port is picked if ``port`` is taken."""
    tls: TlsConfig | None = None
    """Settings for HTTPS. None means plain HTTP, which does not identify clients."""
    names: HostNames | None = None
    """Names of this machine for the check of the Host header over plain HTTP. None means ``host``."""
    refuse_bound: bool = False
    """Whether plain HTTP refuses a gateway that has a certificate, so that it must use HTTPS."""
    limits: Limits = DEFAULT_LIMITS
    """Limits on time, bytes and connections."""
    tally: RefusalCounter = field(default_factory=RefusalCounter, init=False)
    """Counts the refused requests by reason."""
    _running: _RunningParts | None = field(default=None, init=False)
    """None if the server is not running."""

    @property
    def uri(self) -> str:
        """The URI of this server, for a gateway's cups.uri."""
        if self.tls is not None:
            return f"https://{as_url_host(self.tls.name)}:{self.port}"
        return f"http://{as_url_host(self.host)}:{self.port}"

    async def start(self) -> None:
        """Start to listen, in the running event loop. Sets ``port`` to the real port.

        Raises:
            OSError: The port is taken.
        """
        listening_socket = _open_listening_socket(
            self.host, self.port, fallback_to_free_port=self.fallback_to_free_port
        )
        self._running = _start_parts(self, listening_socket)
        self.port = listening_socket.getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and close all connections, after up to a second for running requests.

        Does nothing if the server is not running.
        """
        running = self._running
        if running is not None:
            await running.stop()
            self._running = None

    @contextmanager
    def run_in_thread(self) -> Iterator[CupsServer]:
        """Run the server in a new thread while the context is open. Yields this object. Meant for notebooks and tests.

        Raises:
            OSError: The port is taken.
        """
        with loop_in_thread("lorafw-cups", partial(_count_error, self.tally)) as loop:
            asyncio.run_coroutine_threadsafe(self.start(), loop).result()
            try:
                yield self
            finally:
                asyncio.run_coroutine_threadsafe(self.stop(), loop).result()


def _open_listening_socket(host: str, port: int, *, fallback_to_free_port: bool) -> socket.socket:
    """Return a listening socket.

    Args:
        host: The address to listen at.
        port: The port to listen at.
        fallback_to_free_port: Whether a free port is picked if ``port`` is taken.

    Raises:
        OSError: The port is taken.
    """
    try:
        return listen(host, port)
    except OSError:
        if not fallback_to_free_port:
            raise
        return listen(host, 0)


def _start_parts(server: CupsServer, listening_socket: socket.socket) -> _RunningParts:
    """Create the parts of a running server, and start to accept connections.

    Args:
        server: The server, with its settings.
        listening_socket: The socket at which clients connect.

    Returns:
        The parts, which work now.
    """
    # 1. What answers a request.
    names = server.names or HostNames([server.host])
    access = AccessRules(server.tls, names, server.refuse_bound, server.service.find_gateway)
    update_readers = ThreadPoolExecutor(MAX_CONCURRENT_READS, thread_name_prefix="lorafw-update")
    handler = RequestHandler(server.service, access, server.limits, server.tally, update_readers)
    web_server = web.Server(handler.handle)
    # 2. What receives the requests of one connection: HTTP, over TLS or over plain TCP.
    connections = ConnectionManager(server.limits, server.tally)
    create_http = partial(HttpProtocol, web_server, server.limits, server.tally)
    create_protocol: ProtocolFactory = partial(PlainProtocol, connections, create_http)
    if server.tls is not None:
        create_protocol = partial(TlsProtocol, connections, create_http, server.tls.context)
    # 3. What accepts connections.
    listener = Listener(listening_socket, connections, create_protocol)
    listener.start()
    return _RunningParts(listener, connections, web_server, update_readers)


def _count_error(tally: RefusalCounter, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Count and log an error outside of a request. The event loop calls this.

    Args:
        tally: Counts the error.
        loop: The event loop. Not used.
        context: The error, as asyncio describes it: its message and its exception.
    """
    message = context.get("message", "")
    tally.add_error(f"the server failed: {message}", context.get("exception"), message)
