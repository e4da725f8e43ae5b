"""The CUPS server: POST /update-info, over HTTP.

Its law is what a Basics Station needs (source: Basics Station 2.0.6): Content-Length always, never chunked, never
compressed; 200 only for a real answer, and "nothing to do" is 14 zero bytes; error bodies tiny; an update is read
whole before the reply that promises it begins.

A reply counts as whole when the gateway's side has taken all of it, not when it was handed to the kernel: a gateway
that closes in the middle leaves megabytes in buffers.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import web

from lorafw.cups.client import PATH
from lorafw.cups.codec import RequestDecoder, encode_head
from lorafw.cups.messages import UpdateInfoRequest
from lorafw.cups.refusal import refusal, tiny
from lorafw.errors import LorafwError, MalformedRequest
from lorafw.tasks.service import Reply, UpdateService

CONTENT_TYPE: Final = "application/octet-stream"
CHUNK: Final = 64 * 1024
REQUEST_LIMIT_S: Final = 60.0
"""A request that has not come whole after this time is given up."""
TAKEN_LIMIT_S: Final = 60.0
"""A gateway that takes nothing for so long has not got the update."""
LINGER_S: Final = 1.0
"""A gateway that has acknowledged everything and keeps the connection is given so long to close it."""

_LOG: Final = logging.getLogger("lorafw.cups")
_TCP_ESTABLISHED: Final = 1
_TCP_CLOSED: Final = 7


class CupsServer:
    """Serves one UpdateService to gateways. ``refused`` counts what was refused, by HTTP status."""

    def __init__(self, service: UpdateService, *, host: str = "127.0.0.1", port: int = 0) -> None:
        """Loopback unless told otherwise; port 0 picks a free one."""
        self.service = service
        self.host = host
        self.port = port
        self.refused: Counter[int] = Counter()
        self._runner: web.AppRunner | None = None

    @property
    def uri(self) -> str:
        """What belongs into cups.uri."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    async def start(self) -> None:
        """Listen. Raises OSError where the port is taken."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

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

    async def _handle(self, http: web.Request) -> web.StreamResponse:
        if http.path != PATH:
            return self._refuse(404, b"CUPS is at POST /update-info\n", http)
        if http.method != "POST":
            return self._refuse(405, b"CUPS is at POST /update-info\n", http)
        try:
            request = await self._read(http)
            reply = await self._answer(request)
        except LorafwError as error:
            status, text = refusal(error, self.service.policy)
            _LOG.info("refused: %s", error)
            return self._refuse(status, text, http)
        if reply.image is None:
            return web.Response(body=encode_head(reply.response, 0), content_type=CONTENT_TYPE)
        return await self._send(http, reply)

    async def _read(self, http: web.Request) -> UpdateInfoRequest:
        decoder = RequestDecoder()
        try:
            async with asyncio.timeout(REQUEST_LIMIT_S):
                async for piece in http.content.iter_any():
                    decoder.feed(piece)
        except TimeoutError:
            raise MalformedRequest("the request did not come in time") from None
        return decoder.finish()

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

    async def _send(self, http: web.Request, reply: Reply) -> web.StreamResponse:
        image = reply.image
        assert image is not None
        whole = False
        try:
            head = encode_head(reply.response, image.size)
            response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE})
            response.content_length = len(head) + image.size
            response.force_close()
            transport = http.transport
            with _watch(transport) as connection:
                await response.prepare(http)
                await response.write(head)
                for chunk in image.chunks(CHUNK):
                    await response.write(chunk)
                await response.write_eof()
                whole = await _is_taken(connection)
        except (ConnectionError, TimeoutError) as error:
            _LOG.info("reply to %s broke: %s", reply.due and reply.due.gateway.eui, type(error).__name__)
            raise
        finally:
            self.service.finish(reply, whole=whole)
        return response

    def _refuse(self, status: int, text: bytes, http: web.Request) -> web.Response:
        self.refused[status] += 1
        response = web.Response(status=status, body=tiny(text.decode().rstrip()), content_type="text/plain")
        response.force_close()
        return response


@contextmanager
def _watch(transport: asyncio.Transport | None) -> Iterator[socket.socket | None]:
    """A second handle on the connection, which tells its state even after the first was closed."""
    own: socket.socket | None = None
    if transport is not None:
        # With no bytes kept back, a write returns when the kernel has them: the flow control of a slow gateway.
        transport.set_write_buffer_limits(high=0)
        raw = transport.get_extra_info("socket")
        if raw is not None and raw.fileno() >= 0:
            own = socket.socket(fileno=os.dup(raw.fileno()))
    try:
        yield own
    finally:
        if own is not None:
            own.close()


async def _is_taken(connection: socket.socket | None) -> bool:
    """Has the other side taken all that was written?

    It has when it closed its side in order, or when nothing is left unacknowledged and it just keeps the
    connection. It has not when it broke the connection off, or stopped reading.
    """
    if connection is None or not hasattr(socket, "TCP_INFO"):
        return connection is not None
    started = moved = asyncio.get_running_loop().time()
    left = None
    while True:
        now = asyncio.get_running_loop().time()
        state, waiting = _tcp_state(connection)
        if state == _TCP_CLOSED:
            return False
        if waiting == 0 and (state != _TCP_ESTABLISHED or now - started > LINGER_S):
            return True
        if waiting != left:
            left, moved = waiting, now
        if now - moved > TAKEN_LIMIT_S:
            return False
        await asyncio.sleep(0.002 if now - started < 0.1 else 0.02)


def _tcp_state(connection: socket.socket) -> tuple[int, int]:
    """The state of the connection, and how many bytes the other side has not acknowledged (Linux)."""
    import fcntl  # noqa: PLC0415 -- not there on Windows, where TCP_INFO is not there either
    import struct  # noqa: PLC0415
    import termios  # noqa: PLC0415

    state = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    (waiting,) = struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)))
    return state, waiting
