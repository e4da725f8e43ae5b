"""Make moto's state again after a restart: moto answers the kept requests once more."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from lorafw.errors import StateError
from lorafw.persistence.compaction import is_compaction_due, reaches_same_state
from lorafw.persistence.moto_application import NOT_COMPARED, answer_hash, call, find_application
from lorafw.persistence.reproducible import fixed_request
from lorafw.persistence.request_journal import KeptRequest, RequestJournal
from lorafw.persistence.requests import Answer, Environ, describe
from lorafw.persistence.superseded import SupersededRequests, effect_of

logger: Final = logging.getLogger("lorafw.persistence")

_MOTO_VERSION: Final = "moto"
"""Name of the property with the release of moto that answered the requests."""
_COMPACT_AGAIN_AT: Final = "compact_again_at"
"""Name of the property with the number of requests from which compaction is tried again after it has failed."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What was found when moto answered the kept requests again."""

    requests: int = 0
    """Number of requests that were answered."""
    differing: tuple[str, ...] = ()
    """A description of each request that was answered in another way than before."""
    superseded: frozenset[int] = frozenset()
    """Numbers of the requests that seem to have no effect any more."""
    forgotten: int = 0
    """Number of requests that were removed from the journal afterwards."""
    seconds: float = 0.0
    """How long it took."""


def replay_and_compact(journal: RequestJournal, dispatcher: Any) -> Replay:
    """Let moto, which must be empty, answer all kept requests again.

    Afterwards the journal forgets the requests that have no effect any more, if there are many of them.

    Args:
        journal: The kept requests.
        dispatcher: moto's DomainDispatcherApplication.

    Returns:
        How many requests were answered and forgotten, and which of them were answered in another way than before.

    Raises:
        StateError: The journal cannot be read, or this release of moto answers in another way than the one before.
    """
    from moto import __version__ as installed  # noqa: PLC0415 -- moto takes a while to import

    started = time.monotonic()
    result = replay(journal, dispatcher)
    check_release(journal, installed, result.differing)
    if not result.differing and is_compaction_due(len(result.superseded), result.requests):
        result = compact(journal, dispatcher, result)
    return replace(result, seconds=time.monotonic() - started)


def check_release(journal: RequestJournal, installed: str, differing: Sequence[str]) -> None:
    """Compare the installed release of moto with the one that answered the kept requests.

    Saves the installed release if all is well.

    Args:
        journal: The kept requests.
        installed: The installed release, such as "5.2.5".
        differing: A description of each request that the installed release answers in another way.

    Raises:
        StateError: The releases differ, and so do answers. The state would not be the one that was kept.
    """
    written_by = journal.read_property(_MOTO_VERSION)
    if written_by == installed:
        return
    if written_by is not None and differing:
        raise StateError(
            f"{journal.database.path} was written with moto {written_by}, and moto {installed} answers "
            f"{len(differing)} of its requests in another way ({differing[0]}); "
            f"run 'pip install moto=={written_by}', or give another --state-dir"
        )
    journal.write_property(_MOTO_VERSION, installed)


def compact(journal: RequestJournal, dispatcher: Any, whole: Replay) -> Replay:
    """Remove the requests that have no effect any more, if moto has the same state without them.

    Args:
        journal: The kept requests.
        dispatcher: moto's DomainDispatcherApplication.
        whole: The replay of all requests. moto has its state now, and has the same state afterwards.

    Returns:
        The replay of the requests that are in the journal now.

    Raises:
        StateError: The journal cannot be read or changed.
    """
    next_attempt_at = journal.read_property(_COMPACT_AGAIN_AT)
    if next_attempt_at is not None and whole.requests < int(next_attempt_at):
        return whole
    if not reaches_same_state(partial(replay, journal, dispatcher), whole.superseded):
        journal.write_property(_COMPACT_AGAIN_AT, str(2 * whole.requests))
        return whole
    journal.remove(whole.superseded)
    forgotten = len(whole.superseded)
    return Replay(whole.requests - forgotten, forgotten=forgotten)


def replay(journal: RequestJournal, dispatcher: Any, skipped: Collection[int] = ()) -> Replay:
    """Let moto answer the kept requests again.

    Args:
        journal: The kept requests.
        dispatcher: moto's DomainDispatcherApplication.
        skipped: Numbers of requests that are left out.

    Returns:
        What was found.
    """
    superseded = SupersededRequests()
    differing, requests = [], 0
    for number, request in journal.read():
        if number in skipped:
            continue
        requests += 1
        environ = dict(request.environ)  # moto changes the environment that it is given
        application = find_application(dispatcher, environ, request.body)
        answer = answer_again(application, environ, request)
        if answer is None:
            differing.append(describe(request.environ))
            continue
        effect = effect_of(application.service, request.environ, request.body, answer.body)
        superseded.add(number, effect)
    return Replay(requests, tuple(differing), frozenset(superseded.numbers))


def answer_again(application: Any, environ: Environ, request: KeptRequest) -> Answer | None:
    """Let moto answer a kept request again.

    Args:
        application: The part of moto that answers the request.
        environ: The WSGI environment of the request, from which its body can be read.
        request: The request as it was kept.

    Returns:
        The answer, or None if it is not the same as the first one.
    """
    try:
        with fixed_request(request.seed, request.time_us):
            answer = call(application, environ)
    except Exception as error:  # moto raises errors of any kind for a request that it does not expect
        logger.warning("%s failed: %r", describe(request.environ), error)
        return None
    if answer.code >= HTTPStatus.BAD_REQUEST:
        return None  # only requests that succeeded are kept
    if request.answer_hash not in (NOT_COMPARED, answer_hash(answer)):
        return None
    return answer
