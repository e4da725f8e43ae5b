"""The CUPS server: answers POST /update-info over HTTP or HTTPS.

It does what a Basics Station needs (source: Basics Station 2.0.6): each response has a Content-Length and is neither
chunked nor compressed; status 200 is used only for CUPS responses, and "nothing to do" is 14 zero bytes; error bodies
are short; an update is read completely before the response that announces its length begins.

Over HTTPS the client's certificate decides for which gateway it may ask. Plain HTTP does not identify the client and is
meant for labs. ``Limits`` bounds what one client may use, and refused requests are counted in a ``RefusalCounter``.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterable, Iterator
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
"""Bytes of an update that are written at a time."""
MAX_CONCURRENT_READS: Final = 16
"""Number of updates that may be read at the same time, one thread each."""

_SHUTDOWN_TIMEOUT_S: Final = 1.0
"""How long running requests may take when the server stops."""

_EMPTY_BODY: Final = encode_response_header(EMPTY_RESPONSE, 0)
_HEADERS: Final = {"Content-Type": CONTENT_TYPE, "Server": "lorafw"}


class RealTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose timers also run while ``time.monotonic`` is frozen, for example by freezegun."""

    def time(self) -> float:
        """Return the seconds of a monotonic clock that cannot be frozen."""
        return real_monotonic_s()


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """Settings for HTTPS with client certificates."""

    context: ssl.SSLContext
    """The server's TLS context. It must require client certificates."""
    gatekeeper: CertificateAuthorizer
    """Decides for which gateway a client certificate may be used."""
    name: str = "localhost"
    """Host name in cups.uri. The server's certificate must contain it."""


class CupsServer:
    """Serves one ``UpdateService`` to gateways. The attribute ``tally`` counts refused requests."""

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
            names: Host names that plain HTTP admits besides those that mean loopback.
            refuse_bound: Refuse gateways that a certificate is bound to, over plain HTTP. They must use HTTPS.
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
        self._names = names or HostNames([host])
        self._refuse_bound = refuse_bound
        self._fallback_to_free_port = fallback_to_free_port
        self._update_readers: ThreadPoolExecutor | None = None
        """Threads that read updates from S3. None if the server is not running."""
        self._listener: Listener | None = None
        self._connections: ConnectionManager | None = None

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
        tls_context = None
        if self.tls is not None:
            tls_context = self.tls.context
        connections = ConnectionManager(self._handle, self.limits, self.tally, tls_context)
        self._listener = Listener(listening_socket, connections)
        self._listener.start()
        self._connections = connections
        self._update_readers = ThreadPoolExecutor(MAX_CONCURRENT_READS, thread_name_prefix="lorafw-update")
        self.port = listening_socket.getsockname()[1]

    def _open_listening_socket(self) -> socket.socket:
        """Return a listening socket, at a free port if that is allowed and the wanted one is taken."""
        try:
            return listen(self.host, self.port)
        except OSError:
            if not self._fallback_to_free_port:
                raise
            return listen(self.host, 0)

    async def stop(self) -> None:
        """Stop listening and close all connections, after up to a second for running requests.

        Does nothing if the server is not running.
        """
        if self._listener is None or self._connections is None or self._update_readers is None:
            return
        self._listener.close()
        await self._connections.shutdown(_SHUTDOWN_TIMEOUT_S)
        self._connections.close_all()
        self._update_readers.shutdown(wait=False)
        self._listener = None
        self._connections = None
        self._update_readers = None

    @contextmanager
    def run_in_thread(self) -> Iterator[CupsServer]:
        """Run the server in a new thread while the context is open. Meant for notebooks and tests.

        Yields:
            This object, when the server accepts connections.

        Raises:
            OSError: The port is taken.
        """
        # The listener uses add_reader, which the default event loop on Windows does not have.
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
        """Stop the server and cancel all other tasks of the event loop, which belongs to this server."""
        await self.stop()
        other_tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in other_tasks:
            task.cancel()
        await asyncio.gather(*other_tasks, return_exceptions=True)

    async def _handle(self, http: web.BaseRequest) -> web.StreamResponse:
        """Answer one HTTP request. aiohttp calls this for each request."""
        assert isinstance(http.protocol, HttpProtocol)
        connection = http.protocol.connection
        try:
            return await self._respond(http, connection)
        except ConnectionError:
            raise
        except Exception as error:
            return self._on_unexpected_error(connection, error)
        finally:
            connection.set_phase(Phase.CLOSING)

    def _on_unexpected_error(self, connection: ClientConnection, error: Exception) -> web.StreamResponse:
        """Count an unexpected error and return a response with status 500.

        Raises ConnectionResetError if a response has begun, because the client would read a second one as its body.
        """
        if self.tally.add(RefusalReason.SERVER_ERROR, connection.peer):
            logger.error("a request failed", exc_info=error)
        if connection.phase is Phase.SENDING:
            connection.abort()
            raise ConnectionResetError("the reply broke off")
        return _text_response(500, b"server error\n")

    def _count_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Count an error outside of a request. The event loop calls this; the log is limited as for refusals."""
        if self.tally.add(RefusalReason.SERVER_ERROR, context.get("message", "")):
            logger.error("the server failed: %s", context.get("message"), exc_info=context.get("exception"))

    async def _respond(self, http: web.BaseRequest, connection: ClientConnection) -> web.StreamResponse:
        """Check a request, let the service decide, and return the response. An update is sent before it returns."""
        refusal = self._refuse_by_header(http, connection.peer)
        if refusal is not None:
            return refusal
        try:
            request = await self._read(http)
            connection.set_phase(Phase.PROCESSING)
            self._check_identity(http, request)
            reply = await self._process(request)
        except LorafwError as error:
            self.tally.add(reason_of(error), f"{connection.peer}: {error}")
            status, text = error_response(error, self.service.policy)
            return _text_response(status, to_error_body(text.decode().rstrip()))
        if reply.image is None:
            return _response(200, _EMPTY_BODY, CONTENT_TYPE)
        return await self._send_update(http, connection, reply, reply.image)

    def _refuse_by_header(self, http: web.BaseRequest, peer: str) -> web.Response | None:
        """Return an error response if the headers or the path are wrong, otherwise None."""
        denial = self._decide_admission(http)
        if denial is not None:
            self.tally.add(RefusalReason.NOT_ADMITTED, f"{peer}: {denial}")
            return _text_response(403, to_error_body(denial))
        if http.path == PATH and http.method == "POST":
            return None
        self.tally.add(RefusalReason.WRONG_PATH, peer)
        status = 405 if http.path == PATH else 404
        return _text_response(status, b"CUPS is at POST /update-info\n")

    async def _read(self, http: web.BaseRequest) -> UpdateInfoRequest:
        """Read and decode the body of a request."""
        decoder = RequestDecoder()
        async for piece in http.content.iter_any():
            decoder.feed(piece)
        return decoder.finish()

    def _check_identity(self, http: web.BaseRequest, request: UpdateInfoRequest) -> None:
        """Raise CertificateNotAllowed if the client may not ask for the gateway that the request names."""
        if self.tls is None:
            self._check_unbound(request)
            return
        certificate = _peer_certificate(http.transport)
        if certificate is None:
            raise CertificateNotAllowed("no client certificate")
        self.tls.gatekeeper.check(certificate, request.router)

    def _check_unbound(self, request: UpdateInfoRequest) -> None:
        """Raise CertificateNotAllowed for a gateway with a certificate, if the server refuses these over plain HTTP.

        A certificate would protect nothing if the gateway could be impersonated over plain HTTP.
        """
        if not self._refuse_bound:
            return
        gateway = self.service.find_gateway(request.router)
        if gateway is not None and gateway.certificate_id is not None:
            raise CertificateNotAllowed(f"gateway {request.router.hex} has a certificate: it must use HTTPS")

    def _decide_admission(self, http: web.BaseRequest) -> Denial | None:
        """Return why the headers of a request are not admitted, or None if they are.

        Over HTTPS every request is admitted here: the client's certificate decides, and a web page has none.
        """
        if self.tls is not None:
            return None
        headers = http.headers
        source = RequestSource(headers.get("Host"), headers.get("Origin"), headers.get("Sec-Fetch-Site"))
        return decide_without_browsers(source, self._names)

    async def _process(self, request: UpdateInfoRequest) -> Reply:
        """Return the service's reply. If it contains an update, a thread reads the update, which may take long."""
        pending = self.service.handle_request(request)
        if pending is None:
            return Reply()
        loop = asyncio.get_running_loop()
        prepared = loop.run_in_executor(self._update_readers, self.service.load_and_start_reply, pending)
        try:
            return await asyncio.shield(prepared)
        except asyncio.CancelledError:
            # The thread cannot be cancelled, and the service must be told when the reply that it prepares has ended.
            prepared.add_done_callback(self._finish_abandoned)
            raise

    def _finish_abandoned(self, prepared: asyncio.Future[Reply]) -> None:
        """Tell the service that a reply was not delivered, because the client left while it was prepared."""
        if not prepared.cancelled() and prepared.exception() is None:
            self.service.finish_reply(prepared.result(), delivered=False)

    async def _send_update(
        self, http: web.BaseRequest, connection: ClientConnection, reply: Reply, image: UpdateImage
    ) -> web.StreamResponse:
        """Send a response with an update, wait until it is delivered, and tell the service whether it was.

        A broken connection is logged, not raised.
        """
        is_delivered = False
        response = web.StreamResponse(headers=_HEADERS)
        response.force_close()
        try:
            header = encode_response_header(reply.response, image.size)
            response.content_length = len(header) + image.size
            transport = http.transport
            if transport is None:
                raise ConnectionResetError("gone before the reply began")
            with duplicate_socket(transport, self.limits) as duplicate:
                monitor = ThroughputMonitor(transport, duplicate, self.limits, asyncio.get_running_loop().time())
                connection.start_sending(monitor)
                await response.prepare(http)
                await _write_body(response, chain((header,), image.chunks(CHUNK)), monitor)
                is_delivered = await wait_until_delivered(duplicate, monitor)
        except ConnectionError as error:
            # Expected on a radio link. There is no client left to which an error could be reported.
            logger.info("reply to %s broke: %s", reply.pending and reply.pending.gateway.eui, type(error).__name__)
        finally:
            self.service.finish_reply(reply, delivered=is_delivered)
        return response


async def _write_body(
    response: web.StreamResponse, chunks: Iterable[bytes | memoryview], monitor: ThroughputMonitor
) -> None:
    """Write all chunks and the end of the body. Waits while the client reads slowly."""
    for chunk in chunks:
        monitor.written += len(chunk)
        await response.write(chunk)
        # Let other connections run: write() does not wait if the client reads as fast as the server writes.
        await asyncio.sleep(0)
    await response.write_eof()


def _peer_certificate(transport: asyncio.Transport | None) -> bytes | None:
    """Return the client's certificate in DER, or None without a connection, TLS or certificate."""
    if transport is None:
        return None
    tls_object = transport.get_extra_info("ssl_object")
    if tls_object is None:
        return None
    certificate: bytes | None = tls_object.getpeercert(binary_form=True)
    return certificate


def _text_response(status: int, body: bytes) -> web.Response:
    """Return a response with a line of text, after which the connection closes."""
    return _response(status, body, "text/plain")


def _response(status: int, body: bytes, content_type: str) -> web.Response:
    """Return a response after which the connection closes."""
    response = web.Response(status=status, body=body, headers={"Content-Type": content_type, "Server": "lorafw"})
    response.force_close()
    return response
