"""Faults of the server and of the network between the gateway and the server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, NoReturn

from lorafw.cups.codec import decode_response, encode_response
from lorafw.cups.credentials import Credentials
from lorafw.errors import SourceUnavailable
from lorafw.faults import Fault
from lorafw.gateway.faults.injector import FaultInjector
from lorafw.gateway.transport import Transport, connection_refused_error, host_not_found_error
from lorafw.station.http import BUFFER_BYTES, CLOSED, TIMED_OUT, ConnectionLost, HttpReply, TransportError
from lorafw.tasks.lifecycle import TaskStatus
from lorafw.tasks.model import UpdateImage
from lorafw.tasks.service import UpdateService

EMPTY_RESPONSE_BYTES: Final = 14
"""The size of a response without any update. Faults of the link leave it unchanged."""


@dataclass(frozen=True, slots=True)
class _FailingTransport:
    """A transport that fails before it connects."""

    error: Callable[[str], TransportError]
    """Returns the error of a connection to an address."""

    def post(
        self, uri: str, body: bytes, timeout_s: float, credentials: Credentials, on_connected: Callable[[], None]
    ) -> NoReturn:
        """Raise the error. See ``Transport.post``."""
        raise self.error(uri)


@dataclass(frozen=True, slots=True)
class _TransformedReplies:
    """A transport that changes each response that contains something."""

    inner: Transport
    """Carries the request to the server."""
    change: Callable[[HttpReply, float], HttpReply]
    """Returns the changed response. Its arguments are the response and the time limit in seconds."""

    @contextmanager
    def post(
        self, uri: str, body: bytes, timeout_s: float, credentials: Credentials, on_connected: Callable[[], None]
    ) -> Iterator[HttpReply]:
        """Send the request, and yield the response, changed if it has content. See ``Transport.post``."""
        with self.inner.post(uri, body, timeout_s, credentials, on_connected) as reply:
            has_content = reply.status == 200 and reply.content_length > EMPTY_RESPONSE_BYTES
            if has_content:
                yield self.change(reply, timeout_s)
            else:
                yield reply


@dataclass(frozen=True, slots=True)
class StorageError(FaultInjector):
    """S3 does not return the update. This fault is at the server: use it on a Testbed, not with 'gateway run'."""

    fault = Fault.STORAGE_ERROR
    expected_status = TaskStatus.PENDING
    service: UpdateService
    """The service that answers the gateway."""

    def wrap_transport(self, inner: Transport) -> Transport:
        """Return a transport to the service, which cannot read update files meanwhile."""
        return _WithoutStorage(inner, self.service)


@dataclass(frozen=True, slots=True)
class _WithoutStorage:
    """A transport to a service that cannot read update files while it answers."""

    inner: Transport
    """Carries the request to the service."""
    service: UpdateService
    """The service. Its source of update files is replaced during the request."""

    @contextmanager
    def post(
        self, uri: str, body: bytes, timeout_s: float, credentials: Credentials, on_connected: Callable[[], None]
    ) -> Iterator[HttpReply]:
        """Send the request while the service cannot read update files. See ``Transport.post``."""
        real_source = self.service.source
        self.service.source = _UnavailableSource()
        try:
            with self.inner.post(uri, body, timeout_s, credentials, on_connected) as reply:
                yield reply
        finally:
            self.service.source = real_source


class _UnavailableSource:
    """A source of update files that always fails."""

    def open(self, data_source: str, role: str | None, *, account: str, region: str) -> UpdateImage:
        """Raise the error of S3 when it is overloaded."""
        raise SourceUnavailable(f"{data_source}: 503 Slow Down (the fault storage-error of this gateway)")


@dataclass(frozen=True, slots=True)
class ServerError(FaultInjector):
    """The server answers with an error page: status 500, or another status that is not 200."""

    fault = Fault.SERVER_ERROR
    expected_status = None
    status: int = 500
    """The status code of the error page."""
    reason: str = "Internal Server Error"
    """The text behind the status code."""

    def wrap_transport(self, inner: Transport) -> Transport:
        """Return a transport that answers with the error page."""
        return _ErrorPage(HttpReply(self.status, self.reason, 0, iter(())))


@dataclass(frozen=True, slots=True)
class _ErrorPage:
    """A transport whose server always answers with the same error."""

    reply: HttpReply
    """The error page."""

    @contextmanager
    def post(
        self, uri: str, body: bytes, timeout_s: float, credentials: Credentials, on_connected: Callable[[], None]
    ) -> Iterator[HttpReply]:
        """Yield the error page. See ``Transport.post``."""
        on_connected()
        yield self.reply


class Offline(FaultInjector):
    """The gateway has no network during the poll. It cannot resolve the name of the server."""

    fault = Fault.OFFLINE
    expected_status = None

    def wrap_transport(self, inner: Transport) -> Transport:
        """Return a transport that cannot resolve the host."""
        return _FailingTransport(host_not_found_error)


class ConnectionRefused(FaultInjector):
    """No server listens at the address in cups.uri."""

    fault = Fault.CONNECTION_REFUSED
    expected_status = None

    def wrap_transport(self, inner: Transport) -> Transport:
        """Return a transport whose connections are refused."""
        return _FailingTransport(connection_refused_error)


@dataclass(frozen=True, slots=True)
class SlowLink(FaultInjector):
    """A buffer of 8 KB, or the rest of the response, takes longer than CUPS_CONN_TIMEOUT."""

    fault = Fault.SLOW_LINK
    expected_status = TaskStatus.IN_PROGRESS
    bytes_per_s: float = 20.0
    """The speed of the link."""

    def wrap_transport(self, inner: Transport) -> Transport:
        """Return a transport that breaks off a response that takes too long."""
        return _TransformedReplies(inner, self._slow)

    def _slow(self, reply: HttpReply, timeout_s: float) -> HttpReply:
        """Return the response, broken off if its first buffer takes longer than the time limit."""
        if min(BUFFER_BYTES, reply.content_length) / self.bytes_per_s <= timeout_s:
            return reply
        return replace(reply, body=_broken_after_first_chunk(reply, ConnectionLost(TIMED_OUT)))


class LinkDrop(FaultInjector):
    """The connection breaks after the first bytes of the update."""

    fault = Fault.LINK_DROP
    expected_status = TaskStatus.IN_PROGRESS

    def wrap_transport(self, inner: Transport) -> Transport:
        """Return a transport that breaks off each response with an update."""
        return _TransformedReplies(inner, self._drop)

    def _drop(self, reply: HttpReply, timeout_s: float) -> HttpReply:
        """Return the response, broken off after its first chunk."""
        return replace(reply, body=_broken_after_first_chunk(reply, ConnectionLost(*CLOSED)))


def _broken_after_first_chunk(reply: HttpReply, error: ConnectionLost) -> Iterator[bytes]:
    """Yield the first chunk of a body, then raise the error.

    If the whole body fits into the station's buffer, the station has not processed anything yet, so nothing is yielded.
    """
    if reply.content_length > BUFFER_BYTES:
        yield next(reply.body)
    raise error


class TruncatedBody(FaultInjector):
    """The server sends the whole response, but something in between closes the connection after half of it."""

    fault = Fault.TRUNCATED_BODY
    expected_status = TaskStatus.FAILED

    def wrap_transport(self, inner: Transport) -> Transport:
        """Return a transport that truncates each response with an update."""
        return _TransformedReplies(inner, self._cut)

    def _cut(self, reply: HttpReply, timeout_s: float) -> HttpReply:
        """Return the response, truncated to half of its body."""
        return replace(reply, body=_truncated_to_half(reply.body))


def _truncated_to_half(body: Iterator[bytes]) -> Iterator[bytes]:
    """Read the whole body, yield its first half, and raise the error of a closed connection."""
    data = b"".join(body)
    yield data[: len(data) // 2]
    raise TransportError(*CLOSED)


class UnsignedWithKey(FaultInjector):
    """The response arrives without its signature."""

    fault = Fault.UNSIGNED_WITH_KEY
    expected_status = TaskStatus.FAILED

    def wrap_transport(self, inner: Transport) -> Transport:
        """Return a transport that removes the signature from each response."""
        return _TransformedReplies(inner, self._strip)

    def _strip(self, reply: HttpReply, timeout_s: float) -> HttpReply:
        """Return the response without its signature."""
        response = decode_response(b"".join(reply.body))
        body = encode_response(replace(response, signature=b"", key_crc=0))
        return replace(reply, content_length=len(body), body=iter((body,)))
