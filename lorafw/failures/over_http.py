"""Planned failures of calls that arrive over HTTP, as WSGI middleware."""

from __future__ import annotations

import io
import select
import socket
import struct
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

from lorafw.clock import real_monotonic_s
from lorafw.failures.names import ErrorReply, TransportFailure, has_effect, is_timeout
from lorafw.failures.planned import ApiCall
from lorafw.failures.registry import FailureRegistry
from lorafw.failures.replies import spell
from lorafw.failures.requests import WireRequest, is_own_call, read_call, signed_service

LONGEST_HOLD_S: Final = 300
"""How long a request without a reply is held if the client does not give up earlier."""
_MAX_BODY_BYTES: Final = 1 << 20
"""Longer bodies are not read for members. AWS accepts no longer ones in these services."""
_CHUNK_BYTES: Final = 1 << 16
_ABORT_ON_CLOSE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER with a time of 0: closing the socket sends a reset."""

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


class FailureMiddleware:
    """WSGI middleware that answers the calls that fail as planned, and passes on all others.

    Args:
        application: The application that answers the other calls.
        registry: Decides which calls fail.
    """

    def __init__(self, application: Application, registry: FailureRegistry) -> None:
        self._application = application
        self._registry = registry

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request.

        Returns:
            The pieces of the response's body.

        Raises:
            ConnectionResetError: The call was told to get no reply. werkzeug then closes the connection.
        """
        call = self._read_call(environ)
        if call is None:
            return self._application(environ, start_response)
        failure = self._registry.failure_of(call)
        if failure is None:
            return self._application(environ, start_response)
        if isinstance(failure, ErrorReply):
            return _send_error(failure, call, environ, start_response)
        return self._lose_reply(failure, environ)

    def _read_call(self, environ: Environ) -> ApiCall | None:
        """Return the call that a request makes. None if the call cannot fail as planned.

        A body that is read is put back into ``environ``, so that the application can read it too.
        """
        if self._registry.is_empty:
            return None
        request = WireRequest(environ["REQUEST_METHOD"], _url(environ), _headers(environ))
        if is_own_call(request.headers):
            return None
        service = signed_service(request)
        if service is None or service == "s3":
            return read_call(request)
        body = _read_small_body(environ)
        return read_call(WireRequest(request.method, request.url, request.headers, body))

    def _lose_reply(self, failure: TransportFailure, environ: Environ) -> Iterable[bytes]:
        """End the connection without a reply. If the call is to have its effect, carry it out before."""
        if has_effect(failure):
            _discard(self._application(environ, _ignore_start))
        else:
            _drain(environ)
        connection = environ.get("werkzeug.socket")
        if is_timeout(failure):
            _wait_until_client_leaves(connection)
        elif connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT_ON_CLOSE)
        raise ConnectionResetError(f"{failure} (fail_next)")


def _send_error(failure: ErrorReply, call: ApiCall, environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Send the error of a call."""
    _drain(environ)
    reply = spell(failure, call.operation, str(uuid.uuid4()))
    start_response(f"{reply.status} {_phrase(reply.status)}", list(reply.headers))
    return [reply.body]


def _phrase(status: int) -> str:
    """Return the name of an HTTP status."""
    return HTTPStatus(status).phrase


def _url(environ: Environ) -> str:
    """Return the URL of a request. Its path is percent-encoded, as it was sent."""
    target = environ.get("RAW_URI") or environ.get("PATH_INFO", "/")
    host = environ.get("HTTP_HOST", "")
    if target.startswith("/"):
        return f"http://{host}{target}"
    return str(target)


def _headers(environ: Environ) -> Mapping[str, str]:
    """Return the headers of a request, by their names in lower case."""
    names = [name for name in environ if name.startswith("HTTP_")]
    return {name.removeprefix("HTTP_").lower().replace("_", "-"): environ[name] for name in names}


def _content_length(environ: Environ) -> int:
    """Return the length of the body. It is 0 if the request names none."""
    with suppress(ValueError):
        return int(environ.get("CONTENT_LENGTH") or 0)
    return 0


def _read_small_body(environ: Environ) -> bytes:
    """Return the body, and put it back for the application. The result is b"" if it is long or has no length."""
    length = _content_length(environ)
    if not 0 < length <= _MAX_BODY_BYTES:
        return b""
    body: bytes = environ["wsgi.input"].read(length)
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _drain(environ: Environ) -> None:
    """Read the rest of the body. A client that is still sending would else see a reset in place of the reply."""
    left = _content_length(environ)
    while left > 0:
        chunk = environ["wsgi.input"].read(min(left, _CHUNK_BYTES))
        if not chunk:
            return
        left -= len(chunk)
    if environ.get("wsgi.input_terminated"):
        while environ["wsgi.input"].read(_CHUNK_BYTES):
            pass


def _ignore_start(*_: Any) -> Callable[[bytes], None]:
    """Take the head of a reply that nobody will get."""
    return _ignore_write


def _ignore_write(_: bytes) -> None:
    """Take a piece of a reply that nobody will get."""


def _discard(reply: Iterable[bytes]) -> None:
    """Produce a reply to its end, and send nothing of it."""
    for _ in reply:
        pass
    close = getattr(reply, "close", None)
    if close is not None:
        close()


def _wait_until_client_leaves(connection: Any) -> None:
    """Wait until the client has closed the connection, at most LONGEST_HOLD_S."""
    if connection is None:
        return
    deadline_s = real_monotonic_s() + LONGEST_HOLD_S
    while (left_s := deadline_s - real_monotonic_s()) > 0:
        readable, _, _ = select.select([connection], [], [], left_s)
        if not readable or not connection.recv(_CHUNK_BYTES):
            return
