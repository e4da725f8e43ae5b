"""aiohttp's HTTP parser for the connections of a CUPS server."""

from __future__ import annotations

import asyncio

from aiohttp import web

from lorafw.server.config import Limits
from lorafw.server.connections import ClientConnection
from lorafw.server.phase import Phase
from lorafw.server.refusals import RefusalCounter, RefusalReason


class HttpProtocol(web.RequestHandler):
    """aiohttp's HTTP parser for one connection, with short error responses that are counted as refusals."""

    def __init__(
        self, web_server: web.Server, limits: Limits, tally: RefusalCounter, connection: ClientConnection
    ) -> None:
        """Create a parser for a new connection.

        Args:
            web_server: Has the coroutine that answers requests.
            limits: The maximum size of a request, and the time in which a connection is closed.
            tally: Counts the refusals of the server.
            connection: The connection to which this parser belongs.
        """
        # RequestReceiver enforces the limit for a whole request, so aiohttp's limits for its parts are never reached.
        max_bytes = limits.request_bytes
        super().__init__(
            web_server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]
            auto_decompress=False,
            lingering_time=min(2.0, limits.close_timeout_s),
            max_line_size=max_bytes,
            max_field_size=max_bytes,
            max_headers=max_bytes,
        )
        self.connection = connection
        self._tally = tally

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the response for a request that aiohttp cannot parse or whose handler failed.

        Args:
            request: The request, possibly incomplete.
            status: HTTP status. A value below 500 means that the client's data is not HTTP.
            exc: The exception, or None.
            message: aiohttp's message. It is ignored, because it may quote the client's data.

        Raises:
            ConnectionError: ``exc`` is one.
            ConnectionResetError: The connection has already had its response.
        """
        if isinstance(exc, ConnectionError):
            raise exc
        if self.connection.phase is Phase.CLOSING:
            raise ConnectionResetError("this connection has its answer")
        self.connection.set_phase(Phase.CLOSING)
        if status >= 500:
            self._tally.add_error("a request failed", exc, self.connection.peer)
            body = b"server error\n"
        else:
            self._tally.add(RefusalReason.NOT_HTTP, self.connection.peer)
            body = b"not HTTP\n"
        response = web.Response(status=status, body=body, content_type="text/plain")
        response.force_close()
        return response
