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
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from lorafw.server.access import AccessRules
from lorafw.server.admission import HostNames
from lorafw.server.config import DEFAULT_LIMITS, Limits, TlsConfig
from lorafw.server.connections import ConnectionManager
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
    update_readers: ThreadPoolExecutor
    """Threads that read updates from S3."""

    async def stop(self) -> None:
        """Stop listening and close all connections, after up to ``_SHUTDOWN_TIMEOUT_S`` for running requests."""
        self.listener.close()
        await self.connections.shutdown(_SHUTDOWN_TIMEOUT_S)
        self.connections.close_all()
        self.update_readers.shutdown(wait=False)


class CupsServer:
    """A CUPS server: it answers the requests of gateways with the decisions of one ``UpdateService``."""

    def __init__(
        self,
        service: UpdateService,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        fallback_to_free_port: bool = False,
        tls: TlsConfig | None = None,
        names: HostNames | None = None,
        refuse_bound: bool = False,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        """Create a server that does not listen yet.

        Args:
            service: Decides what a request is answered with.
            host: Address to listen at, loopback by default.
            port: Port to listen at. 0 picks a free one.
            fallback_to_free_port: Pick a free port if ``port`` is taken.
            tls: Settings for HTTPS. None for plain HTTP, which does not identify clients.
            names: Names of this machine for the check of the Host header over plain HTTP. None means ``host``.
            refuse_bound: Whether plain HTTP refuses a gateway that has a certificate, so that it must use HTTPS.
            limits: Limits on time, bytes and connections.
        """
        self.service = service
        self.host = host
        self.port = port
        """The port to listen at. After ``start`` it is the real port, so it is never 0 then."""
        self.tally = RefusalCounter()
        """Counts the refused requests by reason."""
        self.tls = tls
        self.limits = limits
        self._access = AccessRules(tls, names or HostNames([host]), refuse_bound, service.find_gateway)
        self._fallback_to_free_port = fallback_to_free_port
        self._running: _RunningParts | None = None
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
        listening_socket = self._open_listening_socket()
        self._running = self._start_parts(listening_socket)
        self.port = listening_socket.getsockname()[1]

    def _open_listening_socket(self) -> socket.socket:
        """Return a listening socket, at a free port if that is allowed and the wanted one is taken."""
        try:
            return listen(self.host, self.port)
        except OSError:
            if not self._fallback_to_free_port:
                raise
            return listen(self.host, 0)

    def _start_parts(self, listening_socket: socket.socket) -> _RunningParts:
        """Create the parts of a running server, and start to accept connections."""
        update_readers = ThreadPoolExecutor(MAX_CONCURRENT_READS, thread_name_prefix="lorafw-update")
        handler = RequestHandler(self.service, self._access, self.limits, self.tally, update_readers)
        connections = ConnectionManager(handler.handle, self.limits, self.tally)
        create_protocol: ProtocolFactory
        if self.tls is None:
            create_protocol = partial(PlainProtocol, connections)
        else:
            create_protocol = partial(TlsProtocol, connections, self.tls.context)
        listener = Listener(listening_socket, connections, create_protocol)
        listener.start()
        return _RunningParts(listener, connections, update_readers)

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
        """Run the server in a new thread while the context is open. Meant for notebooks and tests.

        Yields:
            This object, when the server accepts connections.

        Raises:
            OSError: The port is taken.
        """
        with loop_in_thread("lorafw-cups", self._count_error) as loop:
            asyncio.run_coroutine_threadsafe(self.start(), loop).result()
            try:
                yield self
            finally:
                asyncio.run_coroutine_threadsafe(self.stop(), loop).result()

    def _count_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Count and log an error outside of a request. The event loop calls this."""
        message = context.get("message", "")
        self.tally.add_error(f"the server failed: {message}", context.get("exception"), message)
