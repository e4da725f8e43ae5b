"""A journal of the requests that changed moto's state. moto answers them again after a restart.

The journal keeps public AWS requests and not moto's objects, whose pickles a later release of moto could not read. A
request is kept with the seed and the time with which it was answered, so moto makes the same ids and dates again. The
hash of each answer is kept too, and compared after a restart.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from io import BytesIO
from typing import Any, Final

from lorafw.errors import StateError
from lorafw.persistence.compaction import forget_requests, is_compaction_due, postpone_compaction, replay_without
from lorafw.persistence.database import StateDatabase
from lorafw.persistence.reproducible import SEED_BYTES, fixed_request
from lorafw.persistence.requests import (
    KEPT_SERVICES,
    Answer,
    Environ,
    certificate_registration,
    changes_something,
    describe,
    read_body,
    to_kept_environ,
)
from lorafw.persistence.service_store import read_property, write_property
from lorafw.persistence.superseded import SupersededRequests, effect_of

logger: Final = logging.getLogger("lorafw.persistence")

NOT_COMPARED: Final = b""
"""Stands for the hash of an answer that differs each time."""
MAX_BODY: Final = 900_000_000
"""Largest body of a request in bytes that SQLite can keep."""
_MOTO_VERSION: Final = "moto"
"""Name of the property with the release of moto that answered the requests."""
_ALL_REQUESTS: Final = "SELECT number, time_us, seed, environ, body, answer FROM request ORDER BY number"
_COMPARED_HEADERS: Final = ("etag", "x-amz-version-id")

StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Replay:
    """What was found when moto answered the kept requests again."""

    requests: int
    """Number of requests that were answered."""
    differing: tuple[str, ...]
    """A description of each request that was answered in another way than before."""
    superseded: frozenset[int]
    """Numbers of the requests that seem to have no effect any more."""
    forgotten: int = 0
    """Number of requests that were removed from the journal afterwards."""
    seconds: float = 0.0
    """How long it took."""


class RequestJournal:
    """WSGI middleware around moto's server that keeps the requests which change something.

    Requests to the kept services are answered one at a time, so their order in the journal is that of their effects,
    and no answer shows an effect that is not saved yet.
    """

    def __init__(self, database: StateDatabase, dispatcher: Any) -> None:
        """Keep requests in a database.

        Args:
            database: Where the requests are kept.
            dispatcher: moto's DomainDispatcherApplication.
        """
        self._database = database
        self._dispatcher = dispatcher
        self.lock = threading.Lock()
        """Held while a request to a kept service is answered."""

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request. If it has changed something, it is saved first."""
        body = read_body(environ)
        application = self._find_application(environ, body)
        if application.service not in KEPT_SERVICES:
            answered: Iterable[bytes] = application(environ, start_response)
            return answered
        with self.lock:
            answer = self._answer(application, environ, body)
        start_response(answer.status, answer.headers)
        return [answer.body]

    def replay(self) -> Replay:
        """Let moto, which must be empty, answer all kept requests again.

        Afterwards this forgets the requests that have no effect any more, if there are many of them.

        Returns:
            How many requests were answered and forgotten, and which of them were answered in another way than before.

        Raises:
            StateError: The journal cannot be read, or this release of moto answers in another way than the one before.
        """
        started = time.monotonic()
        replayed = self._replay_requests()
        with self._database.reading() as connection:
            written_by = read_property(connection, _MOTO_VERSION)
        self._check_release(written_by, replayed.differing)
        if not replayed.differing and is_compaction_due(self._database, len(replayed.superseded), replayed.requests):
            replayed = self._compact(replayed)
        return replace(replayed, seconds=time.monotonic() - started)

    def _compact(self, whole: Replay) -> Replay:
        """Forget the requests that have no effect any more, if moto has the same state without them.

        The requests are removed in one transaction, so after ``kill -9`` all of them are in the journal, or none.

        Args:
            whole: The replay of all requests. moto has its state now, and has it afterwards too.

        Returns:
            The replay of the requests that are kept now.
        """
        remaining = replay_without(whole.superseded, self._replay_requests)
        if remaining is None:
            postpone_compaction(self._database, whole.requests)
            return whole
        forget_requests(self._database, whole.superseded)
        return replace(remaining, forgotten=len(whole.superseded))

    def _replay_requests(self, skipped: Collection[int] = ()) -> Replay:
        """Let moto answer the kept requests again.

        Args:
            skipped: Numbers of requests that are left out.

        Returns:
            What was found.
        """
        tracker = SupersededRequests()
        differing, requests = [], 0
        with self._database.reading() as connection:
            rows = connection.execute(_ALL_REQUESTS)
            for number, time_us, seed, environ_text, body, expected_hash in rows:
                if number in skipped:
                    continue
                requests += 1
                replayed = self._replay_request(time_us, seed, json.loads(environ_text), body, expected_hash)
                # moto has changed the environment that it was given.
                environ = json.loads(environ_text)
                if replayed is None:
                    differing.append(describe(environ))
                else:
                    service, answer = replayed
                    tracker.add(number, effect_of(service, environ, body, answer.body))
        return Replay(requests, tuple(differing), frozenset(tracker.numbers))

    def _find_application(self, environ: Environ, body: bytes) -> Any:
        """Return the part of moto that answers a request. Sets the body of the request anew in ``environ``."""
        environ["wsgi.input"] = BytesIO(body)
        application = self._dispatcher.get_application(environ)
        # moto may have read the body to find the service, so the service gets a fresh stream.
        environ["wsgi.input"] = BytesIO(body)
        return application

    def _replay_request(
        self, time_us: int, seed: bytes, environ: Environ, body: bytes, expected_hash: bytes
    ) -> tuple[str, Answer] | None:
        """Let moto answer a kept request again.

        Args:
            time_us: The time at which moto answered it first, in microseconds since 1970 UTC.
            seed: The seed of the random numbers in the first answer.
            environ: The WSGI environment of the request.
            body: The body of the request.
            expected_hash: The hash of the first answer, or NOT_COMPARED.

        Returns:
            The name of the service and its answer. None if the answer is not the same as the first one.
        """
        application = self._find_application(environ, body)
        try:
            with fixed_request(seed, time_us):
                answer = call(application, environ)
        except Exception as error:  # moto raises errors of any kind for a request that it does not expect
            logger.warning("%s failed: %r", describe(environ), error)
            return None
        if answer.code >= HTTPStatus.BAD_REQUEST:
            return None  # only requests that succeeded are kept
        if expected_hash not in (NOT_COMPARED, answer_hash(answer)):
            return None
        return application.service, answer

    def _check_release(self, written_by: str | None, differing: Sequence[str]) -> None:
        """Compare the installed release of moto with the release that answered the kept requests.

        Saves the installed release if nothing differs.

        Raises:
            StateError: The releases differ, and so do answers. The state would not be the one that was kept.
        """
        from moto import __version__ as installed  # noqa: PLC0415 -- moto takes a while to import

        if written_by not in (None, installed) and differing:
            raise StateError(
                f"{self._database.path} was written with moto {written_by}, and moto {installed} answers "
                f"{len(differing)} of its requests in another way ({differing[0]}); "
                f"run 'pip install moto=={written_by}', or give another --state-dir"
            )
        if written_by != installed:
            with self._database.transaction() as connection:
                write_property(connection, _MOTO_VERSION, installed)

    def _answer(self, application: Any, environ: Environ, body: bytes) -> Answer:
        """Answer a request to a kept service. It is an error if this or an earlier request cannot be saved."""
        try:
            self._database.check()
            if changes_something(application.service, environ, body):
                return self._answer_and_save(application, environ, body)
        except StateError as error:
            return failure(application.service, str(error))
        return call(application, environ)

    def _answer_and_save(self, application: Any, environ: Environ, body: bytes) -> Answer:
        """Answer a request that may change something, and save it if it succeeded.

        Raises StateError if it cannot be saved.
        """
        service = application.service
        if len(body) > MAX_BODY:
            return failure(service, f"a request of {len(body)} bytes cannot be kept; upload the object in parts")
        kept = to_kept_environ(environ)
        seed, time_us = secrets.token_bytes(SEED_BYTES), time.time_ns() // 1000
        with fixed_request(seed, time_us):
            answer = call(application, environ)
        if answer.code >= HTTPStatus.BAD_REQUEST:
            return answer
        digest = answer_hash(answer)
        registration = certificate_registration(service, kept, answer)
        if registration is not None:
            kept, body = registration
            digest = NOT_COMPARED
        self._save(time_us, seed, kept, body, digest)
        return answer

    def _save(self, time_us: int, seed: bytes, environ: Environ, body: bytes, digest: bytes) -> None:
        """Add a request to the journal. Raises StateError if that is not possible."""
        values = (time_us, seed, json.dumps(environ), body, digest)
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO request (time_us, seed, environ, body, answer) VALUES (?, ?, ?, ?, ?)", values
            )


def call(application: Any, environ: Environ) -> Answer:
    """Return the whole answer of a WSGI application."""
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        started.append((status, headers))

    pieces = application(environ, start_response)
    try:
        body = b"".join(pieces)
    finally:
        if hasattr(pieces, "close"):
            pieces.close()
    status, headers = started[-1]
    return Answer(status, headers, body)


def answer_hash(answer: Answer) -> bytes:
    """Return a hash of what a client can see of an answer, other than its date."""
    headers = sorted((name.lower(), value) for name, value in answer.headers)
    shown = [(name, value) for name, value in headers if name in _COMPARED_HEADERS]
    return hashlib.sha256(repr((answer.code, shown)).encode() + answer.body).digest()


def failure(service: str, message: str) -> Answer:
    """Return the answer to a request whose effect cannot be kept, in the format of the service."""
    if service in ("iot", "kms"):
        kind, body = "application/json", json.dumps({"__type": "InternalFailure", "message": message})
    else:
        kind, body = "text/xml", f"<Error><Code>InternalFailure</Code><Message>{message}</Message></Error>"
    # Clients repeat a request that is answered with 500 or 503. To repeat it would not help.
    return Answer("507 Insufficient Storage", [("Content-Type", kind)], body.encode())
