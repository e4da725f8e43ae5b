"""Connections and their time: a minute from the first byte to the end of the request, handshake included.

So who stalls in the handshake, in the header or in the body is gone after a minute, and there is a limit to how many
are there at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

REQUEST_LIMIT_S: Final = 60.0
"""Handshake and request together must be over after this time, or the connection is closed."""
MAX_CONNECTIONS: Final = 4096
"""More connections at once are closed as they come."""


class Connections(web.Server):
    """aiohttp's connections, counted and timed. ``too_late`` is called for each that is closed for its slowness."""

    def __init__(
        self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], too_late: Callable[[], None]
    ) -> None:
        # No station compresses, and what is small on the wire may be large in memory.
        super().__init__(handler, access_log=None, auto_decompress=False)
        self._too_late = too_late
        self._deadlines: dict[web.RequestHandler, asyncio.TimerHandle] = {}
        self._open = 0

    def __call__(self) -> Any:
        """The protocol of a new connection; asyncio asks for it before any handshake."""
        if self._open >= MAX_CONNECTIONS:
            return _Closed()
        handler = super().__call__()
        self._deadlines[handler] = asyncio.get_running_loop().call_later(REQUEST_LIMIT_S, self._expire, handler)
        return handler

    def in_time(self, handler: web.RequestHandler) -> None:
        """The request has come; how long the reply takes is another matter."""
        if deadline := self._deadlines.pop(handler, None):
            deadline.cancel()

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        self._open += 1
        super().connection_made(handler, transport)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        self._open -= 1
        self.in_time(handler)
        super().connection_lost(handler, exc)

    def _expire(self, handler: web.RequestHandler) -> None:
        del self._deadlines[handler]
        # Without a transport it never got through the handshake, which asyncio ends at the same limit.
        if handler.transport is not None:
            self._too_late()
            handler.transport.abort()


class _Closed(asyncio.Protocol):
    """A connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()
