"""Planned failures of calls that are answered in this process: replies and errors of botocore."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from lorafw.failures.names import ErrorReply, TransportFailure, has_effect, is_timeout
from lorafw.failures.planned import ApiCall
from lorafw.failures.registry import FailureRegistry
from lorafw.failures.replies import HttpReply, spell
from lorafw.failures.requests import WireRequest, is_own_call, read_call


class InProcessFailures:
    """Stands between botocore and moto. Answers the calls that fail as planned, and passes on all others.

    Args:
        registry: Decides which calls fail.
        pass_time: Called with the seconds that a client waits until it gives up.
    """

    def __init__(self, registry: FailureRegistry, pass_time: Callable[[float], None]) -> None:
        self._registry = registry
        self._pass_time = pass_time

    def __call__(self, request: Any, read_timeout_s: float, proceed: Callable[[], Any]) -> Any:
        """Answer a request.

        Args:
            request: botocore's prepared request, addressed to AWS's usual host of the service.
            read_timeout_s: How long the client waits for a reply.
            proceed: Carries out the call and returns its reply.

        Returns:
            The reply, an AWSResponse.

        Raises:
            ReadTimeoutError: The call was told to time out.
            ConnectionClosedError: The connection was told to break.
        """
        call = self._read_call(request)
        if call is None:
            return proceed()
        failure = self._registry.failure_of(call)
        if failure is None:
            return proceed()
        if isinstance(failure, ErrorReply):
            return _response(request, spell(failure, call.operation, str(uuid.uuid4())))
        if has_effect(failure):
            proceed()
        return self._raise_transport_error(failure, request, read_timeout_s)

    def _read_call(self, request: Any) -> ApiCall | None:
        """Return the call that a request makes. None if the call cannot fail as planned."""
        if self._registry.is_empty:
            return None
        headers = _headers(request)
        if is_own_call(headers):
            return None
        return read_call(WireRequest(request.method, request.url, headers, _body(request)))

    def _raise_transport_error(self, failure: TransportFailure, request: Any, read_timeout_s: float) -> NoReturn:
        """Raise the error that botocore raises if a client gets no reply."""
        from botocore.exceptions import ConnectionClosedError, ReadTimeoutError  # noqa: PLC0415

        if is_timeout(failure):
            self._pass_time(read_timeout_s)
            raise ReadTimeoutError(endpoint_url=request.url, error=f"{failure} (fail_next)")
        reason = f"{failure} (fail_next)"
        raise ConnectionClosedError(endpoint_url=request.url, request=request, error=reason)


def _headers(request: Any) -> Mapping[str, str]:
    """Return the headers of a request as text, by their names in lower case."""
    return {name.lower(): _text(value) for name, value in request.headers.items()}


def _text(value: object) -> str:
    """Return a header value as text."""
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _body(request: Any) -> bytes:
    """Return the body as bytes. The result is empty if the body is a file: only S3's uploads have one."""
    if isinstance(request.body, str):
        return request.body.encode()
    return request.body if isinstance(request.body, bytes) else b""


def _response(request: Any, reply: HttpReply) -> Any:
    """Return a reply as botocore's response."""
    from botocore.awsrequest import AWSResponse  # noqa: PLC0415
    from botocore.compat import HTTPHeaders  # noqa: PLC0415

    headers = HTTPHeaders()
    for name, value in reply.headers:
        headers[name] = value
    return AWSResponse(request.url, reply.status, headers, _RawReply(reply.body))


class _RawReply(io.BytesIO):
    """The body of a reply, with the method that botocore reads it with."""

    def stream(self, **_: Any) -> Any:
        """Yield the whole body."""
        yield self.read()
