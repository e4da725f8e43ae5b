"""Decide which kept requests the journal can forget, so that it does not grow without bound.

Which requests have no effect any more is first guessed (``lorafw.persistence.superseded``) and then proved: moto
answers the other requests again, and must hold the same state as with all of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from typing import Final, Protocol

from lorafw.persistence.moto_state import UnknownValue, create_backends, reset_moto, state_digest, used_backends

logger: Final = logging.getLogger("lorafw.persistence")

MIN_SUPERSEDED: Final = 200
"""Fewer requests are not worth the time. moto answers about 300 requests in a second."""
MIN_SHARE: Final = 0.2
"""Smallest share of the requests that must be superseded. So compaction costs a bounded part of all starts."""


class Replayed(Protocol):
    """The result of a replay."""

    @property
    def differing(self) -> Sequence[str]:
        """The requests that were answered in another way than before."""
        ...


def is_compaction_due(superseded: int, requests: int) -> bool:
    """Return True if enough requests are superseded to make compaction worth its time.

    Args:
        superseded: Number of requests that seem to have no effect any more.
        requests: Number of all requests in the journal.
    """
    return superseded >= MIN_SUPERSEDED and superseded >= MIN_SHARE * requests


def reaches_same_state(replay: Callable[[Collection[int]], Replayed], superseded: Collection[int]) -> bool:
    """Find out whether moto reaches its present state without some of the requests.

    moto has this state afterwards too, whatever the result is.

    Args:
        replay: Lets moto answer all kept requests but those with the given numbers.
        superseded: Numbers of the requests to leave out.

    Returns:
        True if the state is the same without these requests. False if it is not, or if that cannot be found out.
    """
    try:
        expected = state_digest()
    except (UnknownValue, RecursionError) as error:
        logger.warning("the state of moto cannot be compared: %r", error)
        return False
    backends = used_backends()
    reset_moto()
    result = replay(superseded)
    create_backends(backends)
    if not result.differing and state_digest() == expected:
        return True
    reset_moto()
    replay(())
    return False
