"""Forget the kept requests that have no effect any more, so that a journal does not grow without bound.

Which requests these are is first guessed (``lorafw.persistence.superseded``) and then proved: moto answers the other
requests again, and must hold the same state as with all of them. Only then are they removed, in one transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from typing import Final, Protocol, TypeVar

from lorafw.errors import StateError
from lorafw.persistence.database import StateDatabase
from lorafw.persistence.moto_state import UnknownValue, create_backends, reset_moto, state_digest, used_backends
from lorafw.persistence.service_store import read_property, write_property

logger: Final = logging.getLogger("lorafw.persistence")

MIN_SUPERSEDED: Final = 200
"""Fewer requests are not worth the time. moto answers about 300 requests in a second."""
MIN_SHARE: Final = 0.2
"""Smallest share of the requests that must be superseded. So compaction costs a bounded part of all starts."""
_RETRY_AT: Final = "compact_again_at"
"""Name of the property with the number of requests at which compaction is tried again after it has failed."""


class Replayed(Protocol):
    """The result of a replay."""

    @property
    def differing(self) -> Sequence[str]:
        """The requests that were answered in another way than before."""
        ...


Result = TypeVar("Result", bound=Replayed)


def is_compaction_due(database: StateDatabase, superseded: int, requests: int) -> bool:
    """Return True if enough requests are superseded to make compaction worth its time.

    Args:
        database: The database with the journal.
        superseded: Number of requests that seem to have no effect any more.
        requests: Number of all requests in the journal.
    """
    if superseded < MIN_SUPERSEDED or superseded < MIN_SHARE * requests:
        return False
    with database.reading() as connection:
        retry_at = read_property(connection, _RETRY_AT)
    return retry_at is None or requests >= int(retry_at)


def replay_without(superseded: Collection[int], replay: Callable[[Collection[int]], Result]) -> Result | None:
    """Let moto answer the requests again without some of them, and compare the state with the one of all requests.

    Args:
        superseded: Numbers of the requests to leave out.
        replay: Lets moto answer all requests but those that it is given.

    Returns:
        The result of the replay if moto has the same state. None if it does not: then moto has answered all requests.
    """
    try:
        expected = state_digest()
        backends = used_backends()
        reset_moto()
        remaining = replay(superseded)
        create_backends(backends)
        if not remaining.differing and state_digest() == expected:
            return remaining
    except (UnknownValue, RecursionError) as error:
        logger.warning("the state of moto cannot be compared: %r", error)
    reset_moto()
    replay(())
    return None


def forget_requests(database: StateDatabase, numbers: Collection[int]) -> None:
    """Remove requests from the journal, and give the room back to the disk if there is enough to copy the database.

    Raises:
        StateError: The requests cannot be removed.
    """
    with database.transaction() as connection:
        connection.executemany("DELETE FROM request WHERE number = ?", [(number,) for number in numbers])
    try:
        with database.reading() as connection:
            connection.execute("VACUUM")
    except StateError as error:
        # The database is as it was before VACUUM, and SQLite uses its free room for the next requests.
        logger.warning("the database was not made smaller: %s", error)


def postpone_compaction(database: StateDatabase, requests: int) -> None:
    """Try compaction again when the journal has twice as many requests. Raises StateError if that cannot be saved."""
    with database.transaction() as connection:
        write_property(connection, _RETRY_AT, str(2 * requests))
