"""The CUPS server: POST /update-info, over HTTP.

Its law is what a Basics Station needs (source: Basics Station 2.0.6): Content-Length always, never chunked, never
compressed; 200 only for a real answer, and "nothing to do" is 14 zero bytes; error bodies tiny; an update is read
whole before the reply that promises it begins.

Over HTTPS the client's certificate decides which gateway may speak; the plain port knows no identity and is for labs.
What one gateway may take of the server is in Limits; whatever is refused is counted in a Tally.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from aiohttp import web

from lorafw.clock import real_monotonic_s
from lorafw.cups.codec import encode_response_header
from lorafw.cups.messages import EMPTY_RESPONSE, UpdateInfoRequest
from lorafw.cups.parser import RequestDecoder
from lorafw.errors import CertificateNotAllowed, LorafwError
from lorafw.server.admission import Denial, HostNames, RequestSource, decide_without_browsers
from lorafw.server.authorization import CertificateAuthorizer
from lorafw.server.config import DEFAULT_LIMITS, Limits
from lorafw.server.connections import ClientConnection, ConnectionManager, HttpProtocol, Phase
from lorafw.server.flow_control import ThroughputMonitor, duplicate_socket, wait_until_delivered
from lorafw.server.listener import Listener, listen
from lorafw.server.loopback import as_url_host
from lorafw.server.refusals import RefusalCounter, RefusalReason, error_response, logger, reason_of, to_error_body
from lorafw.station.http import PATH
from lorafw.tasks.model import Reply, UpdateImage
from lorafw.tasks.service import UpdateService

CONTENT_TYPE: Final = "application/octet-stream"
CHUNK: Final = 64 * 1024
MAX_CONCURRENT_READS: Final = 16
"""Updates that are read at once."""

_NOTHING: Final = encode_response_header(EMPTY_RESPONSE, 0)
_HEADERS: Final = {"Content-Type": CONTENT_TYPE, "Server": "lorafw"}


class RealTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose timers go on while a test holds ``time.monotonic`` still, as freezegun does."""

    def time(self) -> float:
        return real_monotonic_s()


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """HTTPS with client certificates. ``name`` is the host in cups.uri, one of the server certificate's."""

    context: ssl.SSLContext
    gatekeeper: CertificateAuthorizer
    name: str = "localhost"


class CupsServer:
    """Serves one UpdateService to gateways. ``tally`` counts what was refused."""

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
        """Prepare a server; it does not listen yet.

        Args:
            service: Answers the requests.
            host: Address to listen at, loopback by default.
            port: Port to listen at. 0 picks a free one.
            or_another: Pick a free port if ``port`` is taken.
            tls: HTTPS with client certificates. None: plain HTTP, without identity.
            names: Host names that plain HTTP admits besides those that mean loopback.
            refuse_bound: Refuse gateways that a certificate is bound to, over plain HTTP. They must use HTTPS.
            limits: What one gateway may take of the server.
        """
        self.service = service
        self.host = host
        self.port = port
        self.tally = RefusalCounter()
        self.tls = tls
        self.limits = limits
        self._names = names or HostNames([host])
        self._refuse_bound = refuse_bound
        self._fallback_to_free_port = fallback_to_free_port
        self._readers: ThreadPoolExecutor | None = None
        self._listener: Listener | None = None
        self._connections: ConnectionManager | None = None

    @property
    def uri(self) -> str:
        """What belongs into cups.uri."""
        if self.tls is not None:
            return f"https://{self.tls.name}:{self.port}"
        return f"http://{as_url_host(self.host)}:{self.port}"

    async def start(self) -> None:
        """Listen. Raises OSError if the port is taken."""
        listening = self._listen()
        connections = ConnectionManager(self._handle, self.limits, self.tally, self.tls.context if self.tls else None)
        self._listener = Listener(listening, connections)
        self._listener.start()
        self._connections = connections
        self._readers = ThreadPoolExecutor(MAX_CONCURRENT_READS, thread_name_prefix="lorafw-update")
        self.port = listening.getsockname()[1]

    def _listen(self) -> socket.socket:
        try:
            return listen(self.host, self.port)
        except OSError:
            if not self._fallback_to_free_port:
                raise
            return listen(self.host, 0)

    async def stop(self) -> None:
        if self._listener is None or self._connections is None or self._readers is None:
            return
        self._listener.close()
        await self._connections.shutdown(1.0)
        self._connections.close_all()
        self._readers.shutdown(wait=False)
        self._listener = self._connections = self._readers = None

    @contextmanager
    def run_in_thread(self) -> Iterator[CupsServer]:
        """Serve from a thread of its own, for notebooks and tests."""
        # The listener needs an event loop with readers, which is not the default one on Windows.
        loop = RealTimeLoop()
        loop.set_exception_handler(self._count_error)
        thread = threading.Thread(target=loop.run_forever, name="lorafw-cups", daemon=True)
        thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self.start(), loop).result()
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self._stop_all(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    async def _stop_all(self) -> None:
        """Stop, and with it whatever still runs in this loop, which is ours alone."""
        await self.stop()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _handle(self, http: web.BaseRequest) -> web.StreamResponse:
        assert isinstance(http.protocol, HttpProtocol)
        visit = http.protocol.visit
        try:
            return await self._respond(http, visit)
        except ConnectionError:
            raise
        except Exception as error:
            return self._fail(visit, error)
        finally:
            visit.enter(Phase.CLOSING)

    def _fail(self, visit: ClientConnection, error: Exception) -> web.StreamResponse:
        """Count an error that nobody expected, and answer 500. Raises ConnectionResetError if a reply has begun."""
        if self.tally.add(RefusalReason.SERVER_ERROR, visit.peer):
            logger.error("a request failed", exc_info=error)
        if visit.phase is Phase.SENDING:
            # Whatever is written now would count as a part of the reply.
            visit.abort()
            raise ConnectionResetError("the reply broke off")
        return _answer(500, b"server error\n")

    def _count_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Count what went wrong outside of a request. The log is limited as that of refusals is."""
        if self.tally.add(RefusalReason.SERVER_ERROR, context.get("message", "")):
            logger.error("the server failed: %s", context.get("message"), exc_info=context.get("exception"))

    async def _respond(self, http: web.BaseRequest, visit: ClientConnection) -> web.StreamResponse:
        denial = self._decide_admission(http)
        if denial is not None:
            self.tally.add(RefusalReason.NOT_ADMITTED, f"{visit.peer}: {denial}")
            return _answer(403, to_error_body(denial))
        if http.path != PATH or http.method != "POST":
            self.tally.add(RefusalReason.WRONG_PATH, visit.peer)
            return _answer(404 if http.path != PATH else 405, b"CUPS is at POST /update-info\n")
        try:
            request = await self._read(http)
            visit.enter(Phase.PROCESSING)
            self._check_identity(http, request)
            reply = await self._answer(request)
        except LorafwError as error:
            self.tally.add(reason_of(error), f"{visit.peer}: {error}")
            status, text = error_response(error, self.service.policy)
            return _answer(status, to_error_body(text.decode().rstrip()))
        if reply.image is None:
            return _answer(200, _NOTHING, CONTENT_TYPE)
        return await self._send(http, visit, reply, reply.image)

    async def _read(self, http: web.BaseRequest) -> UpdateInfoRequest:
        decoder = RequestDecoder()
        while piece := await http.content.readany():
            decoder.feed(piece)
        return decoder.finish()

    def _check_identity(self, http: web.BaseRequest, request: UpdateInfoRequest) -> None:
        if self.tls is None:
            self._check_unbound(request)
            return
        tls_object = http.transport.get_extra_info("ssl_object") if http.transport is not None else None
        certificate = tls_object.getpeercert(binary_form=True) if tls_object is not None else None
        if certificate is None:
            raise CertificateNotAllowed("no client certificate")
        self.tls.gatekeeper.check(certificate, request.router)

    def _check_unbound(self, request: UpdateInfoRequest) -> None:
        """Raise NotAllowed for a gateway whose certificate would be worth nothing if it could do without."""
        if not self._refuse_bound:
            return
        gateway = self.service.find_gateway(request.router)
        if gateway is not None and gateway.certificate_id is not None:
            raise CertificateNotAllowed(f"gateway {request.router.hex} has a certificate: it must use HTTPS")

    def _decide_admission(self, http: web.BaseRequest) -> Denial | None:
        """Decide on the headers of a plain request. Over HTTPS the client's certificate decides, which no page has."""
        if self.tls is not None:
            return None
        headers = http.headers
        host, origin, site = headers.get("Host"), headers.get("Origin"), headers.get("Sec-Fetch-Site")
        return decide_without_browsers(RequestSource(host, origin, site), self._names)

    async def _answer(self, request: UpdateInfoRequest) -> Reply:
        """Most requests end at once; reading an update may take long, so that is done in a thread."""
        due = self.service.handle_request(request)
        if due is None:
            return Reply()
        preparing = asyncio.get_running_loop().run_in_executor(self._readers, self.service.load_and_start_reply, due)
        try:
            return await asyncio.shield(preparing)
        except asyncio.CancelledError:
            # The thread goes on, and what it begins must be finished.
            preparing.add_done_callback(self._finish_abandoned)
            raise

    def _finish_abandoned(self, preparing: asyncio.Future[Reply]) -> None:
        if not preparing.cancelled() and preparing.exception() is None:
            self.service.finish_reply(preparing.result(), delivered=False)

    async def _send(
        self, http: web.BaseRequest, visit: ClientConnection, reply: Reply, image: UpdateImage
    ) -> web.StreamResponse:
        whole = False
        response = web.StreamResponse(headers=_HEADERS)
        try:
            head = encode_response_header(reply.response, image.size)
            response.content_length = len(head) + image.size
            response.force_close()
            transport = http.transport
            if transport is None:
                raise ConnectionResetError("gone before the reply began")
            with duplicate_socket(transport, self.limits) as connection:
                pace = visit.send(
                    ThroughputMonitor(transport, connection, self.limits, asyncio.get_running_loop().time())
                )
                await response.prepare(http)
                for chunk in chain((head,), image.chunks(CHUNK)):
                    pace.written += len(chunk)
                    await response.write(chunk)
                    # A gateway that reads as fast as we write would have the server for itself.
                    await asyncio.sleep(0)
                await response.write_eof()
                whole = await wait_until_delivered(connection, pace)
        except ConnectionError as error:
            # It happens every day on a radio link; there is nobody left to be told.
            logger.info("reply to %s broke: %s", reply.pending and reply.pending.gateway.eui, type(error).__name__)
        finally:
            self.service.finish_reply(reply, delivered=whole)
        return response


def _answer(status: int, body: bytes, content_type: str = "text/plain") -> web.Response:
    response = web.Response(status=status, body=body, headers={"Content-Type": content_type, "Server": "lorafw"})
    response.force_close()
    return response
