"""Answer the HTTP requests of a CUPS server.

It does what a Basics Station needs (source: Basics Station 2.0.6): each response has a Content-Length and is neither
chunked nor compressed; status 200 is used only for CUPS responses, and "nothing to do" is 14 zero bytes; error bodies
are short; an update is read completely before the response that announces its length begins.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from itertools import chain
from typing import Final, cast

from aiohttp import web

from lorafw.cups.codec import encode_response_header
from lorafw.cups.messages import EMPTY_RESPONSE, UpdateInfoRequest
from lorafw.cups.parser import RequestDecoder
from lorafw.errors import CertificateNotAllowed, LorafwError
from lorafw.eui import GatewayEui
from lorafw.server.access import AccessRules
from lorafw.server.config import Limits
from lorafw.server.connections import ClientConnection
from lorafw.server.delivery import deliver
from lorafw.server.http_protocol import HttpProtocol
from lorafw.server.phase import Phase
from lorafw.server.refusals import RefusalCounter, RefusalReason, error_response, logger, reason_of, to_error_body
from lorafw.station.http import PATH
from lorafw.tasks.model import Reply, UpdateImage
from lorafw.tasks.service import UpdateService

CONTENT_TYPE: Final = "application/octet-stream"
CHUNK: Final = 64 * 1024
"""Bytes of an update that are written at a time."""

_EMPTY_BODY: Final = encode_response_header(EMPTY_RESPONSE, 0)


class RequestHandler:
    """Answers requests with the replies of an ``UpdateService``.

    Args:
        service: Decides what a request is answered with.
        access: Decides which requests are answered.
        limits: Limits on the sending of an update.
        tally: Counts the requests that are refused.
        update_readers: Threads that read updates, which may take long.
    """

    def __init__(
        self,
        service: UpdateService,
        access: AccessRules,
        limits: Limits,
        tally: RefusalCounter,
        update_readers: Executor,
    ) -> None:
        self._service = service
        self._access = access
        self._limits = limits
        self._tally = tally
        self._replies = ReplyLoader(service, update_readers)

    async def handle(self, http: web.BaseRequest) -> web.StreamResponse:
        """Answer one HTTP request. aiohttp calls this for each request.

        Returns:
            The response. An update is sent before this returns.

        Raises:
            ConnectionError: The connection broke, so there is nobody left to answer.
        """
        connection = cast("HttpProtocol", http.protocol).connection
        try:
            return await self._respond(http, connection)
        except ConnectionError:
            raise
        except Exception as error:
            return self._to_error_500(error, connection)
        finally:
            connection.set_phase(Phase.CLOSING)

    async def _respond(self, http: web.BaseRequest, connection: ClientConnection) -> web.StreamResponse:
        """Check a request, let the service decide, and return the response. An update is sent before it returns."""
        refusal = self._refuse_by_header(http, connection.peer)
        if refusal is not None:
            return refusal
        try:
            request = await read_request(http)
            connection.set_phase(Phase.PROCESSING)
            self._check_identity(http, request.router)
            reply = await self._replies.load(request)
        except LorafwError as error:
            return self._refuse(error, connection.peer)
        if reply.image is None:
            return to_response(200, _EMPTY_BODY, CONTENT_TYPE)
        return await self._send_update(http, connection, reply, reply.image)

    def _refuse_by_header(self, http: web.BaseRequest, peer: str) -> web.Response | None:
        """Return an error response if the headers or the path are wrong, otherwise None. Counts the refusal."""
        denial = self._access.find_denial(http)
        if denial is not None:
            self._tally.add(RefusalReason.NOT_ADMITTED, f"{peer}: {denial}")
            return to_text_response(403, to_error_body(denial))
        if http.path == PATH and http.method == "POST":
            return None
        self._tally.add(RefusalReason.WRONG_PATH, peer)
        status = 405 if http.path == PATH else 404
        return to_text_response(status, b"CUPS is at POST /update-info\n")

    def _check_identity(self, http: web.BaseRequest, eui: GatewayEui) -> None:
        """Raise CertificateNotAllowed if the client may not ask for a gateway. ``explain`` shows it then."""
        try:
            self._access.check_identity(http, eui)
        except CertificateNotAllowed as error:
            self._service.record_refusal(eui, error)
            raise

    def _refuse(self, error: LorafwError, peer: str) -> web.Response:
        """Return the response to a request that failed with an expected error. Counts the refusal."""
        self._tally.add(reason_of(error), f"{peer}: {error}")
        status, body = error_response(error, self._service.policy)
        return to_text_response(status, body)

    def _to_error_500(self, error: Exception, connection: ClientConnection) -> web.Response:
        """Count and log an unexpected error, and return a response with status 500.

        Raises ConnectionResetError if a response has begun, because the client would read a second one as its body.
        """
        self._tally.add_error("a request failed", error, connection.peer)
        if connection.phase is Phase.SENDING:
            connection.abort()
            raise ConnectionResetError("the reply broke off")
        return to_text_response(500, b"server error\n")

    async def _send_update(
        self, http: web.BaseRequest, connection: ClientConnection, reply: Reply, image: UpdateImage
    ) -> web.StreamResponse:
        """Send a response with an update, and tell the service whether it was delivered.

        A broken connection is logged, not raised.
        """
        is_delivered = False
        response = web.StreamResponse(headers=_headers(CONTENT_TYPE))
        response.force_close()
        try:
            header = encode_response_header(reply.response, image.size)
            response.content_length = len(header) + image.size
            content = chain([header], image.chunks(CHUNK))
            is_delivered = await deliver(response, http, connection, content, self._limits)
        except ConnectionError as error:
            # Expected on a radio link. There is no client left to which an error could be reported.
            logger.info("reply to %s broke: %s", reply.pending and reply.pending.gateway.eui, type(error).__name__)
        finally:
            self._service.finish_reply(reply, delivered=is_delivered)
        return response


class ReplyLoader:
    """Gets the replies of an ``UpdateService``.

    Args:
        service: Decides what a request is answered with.
        update_readers: Threads that read updates, which may take long.
    """

    def __init__(self, service: UpdateService, update_readers: Executor) -> None:
        self._service = service
        self._update_readers = update_readers

    async def load(self, request: UpdateInfoRequest) -> Reply:
        """Return the reply to a request. If it contains an update, a thread reads the update first."""
        pending = self._service.receive_request(request)
        if pending is None:
            return Reply()
        loop = asyncio.get_running_loop()
        reply = loop.run_in_executor(self._update_readers, self._service.read_and_start_reply, pending)
        try:
            return await asyncio.shield(reply)
        except asyncio.CancelledError:
            # The thread cannot be cancelled, and the service must be told when the reply that it prepares has ended.
            reply.add_done_callback(self._finish_abandoned)
            raise

    def _finish_abandoned(self, reply: asyncio.Future[Reply]) -> None:
        """Tell the service that a reply was not delivered, because the client left while it was prepared."""
        if not reply.cancelled() and reply.exception() is None:
            self._service.finish_reply(reply.result(), delivered=False)


async def read_request(http: web.BaseRequest) -> UpdateInfoRequest:
    """Read the body of a request, and return what the gateway asks.

    Raises:
        MalformedRequest: The body is too long, or it is not an update-info request.
    """
    decoder = RequestDecoder()
    async for piece in http.content.iter_any():
        decoder.feed(piece)
    return decoder.finish()


def to_text_response(status: int, body: bytes) -> web.Response:
    """Return a response with a line of text, after which the connection closes."""
    return to_response(status, body, "text/plain")


def to_response(status: int, body: bytes, content_type: str) -> web.Response:
    """Return a response after which the connection closes."""
    response = web.Response(status=status, body=body, headers=_headers(content_type))
    response.force_close()
    return response


def _headers(content_type: str) -> dict[str, str]:
    """Return the headers that all responses have."""
    return {"Content-Type": content_type, "Server": "lorafw"}
