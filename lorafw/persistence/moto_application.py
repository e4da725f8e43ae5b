"""Pass a request to moto's server in this process, and get the whole answer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any, Final

from lorafw.persistence.requests import Answer, Environ

NOT_COMPARED: Final = b""
"""Stands for the hash of an answer that differs each time."""
_COMPARED_HEADERS: Final = ("etag", "x-amz-version-id")

StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


def find_application(dispatcher: Any, environ: Environ, body: bytes) -> Any:
    """Return the part of moto that answers a request. Its attribute ``service`` names the service.

    Sets ``wsgi.input`` in the environment, so that this part of moto can read the body.

    Args:
        dispatcher: moto's DomainDispatcherApplication.
        environ: The WSGI environment of the request.
        body: The body of the request.
    """
    environ["wsgi.input"] = BytesIO(body)
    application = dispatcher.get_application(environ)
    # moto may have read the body to find the service, so the service gets a fresh stream.
    environ["wsgi.input"] = BytesIO(body)
    return application


def call(application: Application, environ: Environ) -> Answer:
    """Return the whole answer of a WSGI application."""
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        started.append((status, headers))

    pieces: Any = application(environ, start_response)
    try:
        body = b"".join(pieces)
    finally:
        if hasattr(pieces, "close"):
            pieces.close()
    # WSGI lets an application start its answer again after an error. The last start counts.
    status, headers = started[-1]
    return Answer(status, headers, body)


def answer_hash(answer: Answer) -> bytes:
    """Return a hash of what a client can see of an answer, other than its date."""
    headers = sorted((name.lower(), value) for name, value in answer.headers)
    compared_headers = [(name, value) for name, value in headers if name in _COMPARED_HEADERS]
    return hashlib.sha256(repr((answer.code, compared_headers)).encode() + answer.body).digest()
