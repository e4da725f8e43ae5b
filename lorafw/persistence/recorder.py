"""WSGI middleware around moto's server that saves the requests which change something, before they are answered."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final

from lorafw.errors import StateError
from lorafw.persistence.moto_application import NOT_COMPARED, StartResponse, answer_hash, call, find_application
from lorafw.persistence.reproducible import SEED_BYTES, fixed_request
from lorafw.persistence.request_journal import KeptRequest, RequestJournal
from lorafw.persistence.requests import (
    KEPT_SERVICES,
    Answer,
    Environ,
    certificate_registration,
    changes_something,
    read_body,
    to_kept_environ,
)

MAX_BODY: Final = 900_000_000
"""Largest body of a request in bytes that SQLite can keep."""


class RequestRecorder:
    """Answers requests with moto, and saves those that change something in the journal.

    moto is the library that emulates AWS. It keeps its state in memory only. The journal is a table in the database: at
    the next start, moto answers the requests in it again, and has the same state.

    Requests to the kept services are answered one at a time, so their order in the journal is that of their effects,
    and no answer shows an effect that is not saved yet.
    """

    def __init__(self, journal: RequestJournal, dispatcher: Any) -> None:
        """Prepare to answer requests.

        Args:
            journal: Where the requests are kept.
            dispatcher: moto's server, a DomainDispatcherApplication.
        """
        self._journal = journal
        self._dispatcher = dispatcher
        self.lock = threading.Lock()
        """Held while a request to a kept service is answered."""

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request, as WSGI defines it."""
        body = read_body(environ)
        application = find_application(self._dispatcher, environ, body)
        if application.service not in KEPT_SERVICES:
            answered: Iterable[bytes] = application(environ, start_response)
            return answered
        with self.lock:
            answer = self._answer(application, environ, body)
        start_response(answer.status, answer.headers)
        return [answer.body]

    def _answer(self, application: Any, environ: Environ, body: bytes) -> Answer:
        """Answer a request to a kept service. The answer is an error if this or an earlier request cannot be saved.

        Args:
            application: The part of moto that answers the request.
            environ: The WSGI environment of the request.
            body: The body of the request.

        Returns:
            The answer.
        """
        try:
            self._journal.database.check()
            if not changes_something(application.service, environ, body):
                return call(application, environ)
            if len(body) > MAX_BODY:
                too_large = f"a request of {len(body)} bytes cannot be kept; upload the object in parts"
                return failure(application.service, too_large)
            request, answer = answer_reproducibly(application, environ, body)
            if answer.code < HTTPStatus.BAD_REQUEST:
                self._journal.append(request)
        except StateError as error:
            return failure(application.service, str(error))
        return answer


def answer_reproducibly(application: Any, environ: Environ, body: bytes) -> tuple[KeptRequest, Answer]:
    """Let moto answer a request with a seed and a time of its own.

    Args:
        application: The part of moto that answers the request.
        environ: The WSGI environment of the request. moto changes it.
        body: The body of the request.

    Returns:
        What to keep, so that moto can answer the request again in the same way, and the answer.
    """
    kept_environ = to_kept_environ(environ)
    seed = secrets.token_bytes(SEED_BYTES)
    time_us = time.time_ns() // 1000
    with fixed_request(seed, time_us):
        answer = call(application, environ)
    request = KeptRequest(time_us, seed, kept_environ, body, answer_hash(answer))
    if answer.code >= HTTPStatus.BAD_REQUEST:
        return request, answer
    registration = certificate_registration(application.service, kept_environ, answer)
    if registration is not None:
        # moto would make another private key. So keep a request that registers the certificate of this one.
        other_environ, other_body = registration
        request = replace(request, environ=other_environ, body=other_body, answer_hash=NOT_COMPARED)
    return request, answer


def failure(service: str, message: str) -> Answer:
    """Return the answer to a request whose effect cannot be kept, in the format of the service.

    Args:
        service: Name of the service, such as "s3".
        message: What is wrong, and the remedy.
    """
    if service in ("iot", "kms"):
        content_type, body = "application/json", json.dumps({"__type": "InternalFailure", "message": message})
    else:
        content_type, body = "text/xml", f"<Error><Code>InternalFailure</Code><Message>{message}</Message></Error>"
    # Clients repeat a request that is answered with 500 or 503. To repeat it would not help.
    return Answer("507 Insufficient Storage", [("Content-Type", content_type)], body.encode())
