"""The CUPS server: POST /update-info, over HTTP.

Its law is what a Basics Station needs (source: Basics Station 2.0.6): Content-Length always, never chunked, never
compressed; 200 only for a real answer, and "nothing to do" is 14 zero bytes; error bodies tiny; an update is read
whole before the reply that promises it begins.

Over HTTPS the client's certificate decides which gateway may speak; the plain port knows no identity and is for labs.
A connection has a minute from its first byte to the end of its request.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from lorafw.cups.codec import RequestDecoder, encode_head
from lorafw.cups.connections import REQUEST_LIMIT_S, Connections
from lorafw.cups.delivery import is_taken, watch
from lorafw.cups.identity import Gatekeeper
from lorafw.cups.messages import UpdateInfoRequest
from lorafw.cups.refusal import refusal, tiny
from lorafw.cups.station_http import PATH
from lorafw.errors import LorafwError, MalformedRequest, NotAllowed
from lorafw.tasks.reply import Reply
from lorafw.tasks.service import UpdateService

CONTENT_TYPE: Final = "application/octet-stream"
CHUNK: Final = 64 * 1024
BACKLOG: Final = 1024

_LOG: Final = logging.getLogger("lorafw.cups")


@dataclass(frozen=True, slots=True)
class Tls:
    """HTTPS with client certificates. ``name`` is the host in cups.uri, one of the server certificate's."""

    context: ssl.SSLContext
    gatekeeper: Gatekeeper
    name: str = "localhost"


class CupsServer:
    """Serves one UpdateService to gateways. ``refused`` counts what was refused, by HTTP status."""

    def __init__(
        self,
        service: UpdateService,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        or_another: bool = False,
        tls: Tls | None = None,
    ) -> None:
        """Loopback unless told otherwise; port 0 picks a free one, and ``or_another`` does so where it is taken.

        Without ``tls``: plain HTTP, and no identity.
        """
        self.service = service
        self.host = host
        self.port = port
        self.refused: Counter[int] = Counter()
        self.tls = tls
        self._or_another = or_another
        self._runner: web.ServerRunner | None = None
        self._listener: asyncio.Server | None = None
        self._connections: Connections | None = None

    @property
    def uri(self) -> str:
        """What belongs into cups.uri."""
        if self.tls is not None:
            return f"https://{self.tls.name}:{self.port}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    async def start(self) -> None:
        """Listen. Raises OSError where the port is taken."""
        connections = Connections(self._handle, self._too_late)
        self._runner = web.ServerRunner(connections, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        self._connections = connections
        try:
            self._listener = await self._listen(connections, self.port)
        except OSError:
            if not self._or_another:
                raise
            self._listener = await self._listen(connections, 0)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _listen(self, connections: Connections, port: int) -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(
            connections,
            self.host,
            port,
            ssl=self.tls.context if self.tls else None,
            ssl_handshake_timeout=REQUEST_LIMIT_S if self.tls else None,
            backlog=BACKLOG,
        )

    async def stop(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _too_late(self) -> None:
        self.refused[408] += 1
        _LOG.info("closed: no request within %d s", REQUEST_LIMIT_S)

    @contextmanager
    def in_thread(self) -> Iterator[CupsServer]:
        """Serve from a thread of its own, for notebooks and tests."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="lorafw-cups", daemon=True)
        thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self.start(), loop).result()
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self.stop(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    async def _handle(self, http: web.BaseRequest) -> web.StreamResponse:
        if http.path != PATH:
            return self._refuse(404, b"CUPS is at POST /update-info\n", http)
        if http.method != "POST":
            return self._refuse(405, b"CUPS is at POST /update-info\n", http)
        try:
            request = await self._read(http)
            if self._connections is not None:
                self._connections.in_time(http.protocol)
            self._check_identity(http, request)
            reply = await self._answer(request)
        except LorafwError as error:
            status, text = refusal(error, self.service.policy)
            _LOG.info("refused: %s", error)
            return self._refuse(status, text, http)
        if reply.image is None:
            nothing = web.Response(body=encode_head(reply.response, 0), content_type=CONTENT_TYPE)
            nothing.force_close()
            return nothing
        return await self._send(http, reply)

    async def _read(self, http: web.BaseRequest) -> UpdateInfoRequest:
        decoder = RequestDecoder()
        try:
            async for piece in http.content.iter_any():
                decoder.feed(piece)
        except ConnectionError as error:
            raise MalformedRequest("the request broke off") from error
        return decoder.finish()

    def _check_identity(self, http: web.BaseRequest, request: UpdateInfoRequest) -> None:
        if self.tls is None:
            return
        tls_object = http.transport.get_extra_info("ssl_object") if http.transport is not None else None
        certificate = tls_object.getpeercert(binary_form=True) if tls_object is not None else None
        if certificate is None:
            raise NotAllowed("no client certificate")
        self.tls.gatekeeper.check(certificate, request.router)

    async def _answer(self, request: UpdateInfoRequest) -> Reply:
        """Most requests end at once; reading an update may take long, so that is done in a thread."""
        due = self.service.receive(request)
        if due is None:
            return Reply()
        preparing = asyncio.ensure_future(asyncio.to_thread(self.service.prepare, due))
        try:
            return await asyncio.shield(preparing)
        except asyncio.CancelledError:
            # The thread goes on, and what it begins must be finished.
            preparing.add_done_callback(self._give_up)
            raise

    def _give_up(self, preparing: asyncio.Future[Reply]) -> None:
        if not preparing.cancelled() and preparing.exception() is None:
            self.service.finish(preparing.result(), whole=False)

    async def _send(self, http: web.BaseRequest, reply: Reply) -> web.StreamResponse:
        image = reply.image
        assert image is not None
        whole = False
        response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE})
        try:
            head = encode_head(reply.response, image.size)
            response.content_length = len(head) + image.size
            response.force_close()
            transport = http.transport
            with watch(transport) as connection:
                await response.prepare(http)
                await response.write(head)
                for chunk in image.chunks(CHUNK):
                    await response.write(chunk)
                await response.write_eof()
                whole = await is_taken(connection)
        except ConnectionError as error:
            # It happens every day on a radio link; there is nobody left to be told.
            _LOG.info("reply to %s broke: %s", reply.due and reply.due.gateway.eui, type(error).__name__)
        finally:
            self.service.finish(reply, whole=whole)
        return response

    def _refuse(self, status: int, text: bytes, http: web.BaseRequest) -> web.Response:
        self.refused[status] += 1
        response = web.Response(status=status, body=tiny(text.decode().rstrip()), content_type="text/plain")
        response.force_close()
        return response
