"""What one public call of the update service has changed, so that it can be saved before the call is answered.

When a call releases the service's lock, its changes are passed to a ``ServiceStore`` in one piece.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Protocol

from lorafw.clock import Moment
from lorafw.tasks.gateway_state import GatewayState
from lorafw.tasks.lifecycle import LogRow
from lorafw.tasks.model import AccountRegion, Definition


@dataclass(frozen=True, slots=True)
class ApiRecord:
    """The key of a value that the API keeps beside the service: the tags of a resource, or a remembered answer."""

    kind: str
    """What the value is, such as ``tags``."""
    owner: AccountRegion
    """The account and Region that the value belongs to."""
    key: str
    """What the value belongs to, such as the ARN of the resource."""


@dataclass(frozen=True, slots=True)
class SavedChanges:
    """All changes of one call."""

    now: Moment
    """The time of the service's clock."""
    gateways: Mapping[str, GatewayState | None] = field(default_factory=dict)
    """Gateways that were created or may have changed, by id. None if the gateway was deleted."""
    definitions: Mapping[str, Definition | None] = field(default_factory=dict)
    """Definitions that were created or changed, by id. None if the definition was deleted."""
    log: Sequence[LogRow] = ()
    """New rows of the task log."""
    api_records: Mapping[ApiRecord, Any] = field(default_factory=dict)
    """New values of the API, which JSON can represent. None if the value was deleted."""

    @property
    def is_empty(self) -> bool:
        """True if the call has changed nothing."""
        return not (self.gateways or self.definitions or self.log or self.api_records)


class ServiceStore(Protocol):
    """Keeps the state of the service."""

    def save(self, changes: SavedChanges) -> None:
        """Save all changes of a call, or none of them.

        Raises:
            StateError: The changes cannot be saved. The call must not be answered.
        """
        ...

    def check(self) -> None:
        """Raise StateError if earlier changes could not be saved. Then no call must be answered any more."""
        ...


class SavingLock:
    """A lock that saves before it is released. Use it in a ``with`` statement.

    A thread that holds the lock can enter further blocks with it. The lock is released when the outermost block ends,
    so the changes of all nested blocks are saved at once.

    Args:
        save: Called just before the lock is released. If it raises an exception, the lock is released all the same, and
            the exception is passed on.
    """

    def __init__(self, save: Callable[[], None]) -> None:
        self._save: Final = save
        self._lock = threading.RLock()
        self._depth = 0
        """Number of nested blocks in which the thread is that holds the lock."""

    def __enter__(self) -> None:
        self._lock.acquire()
        self._depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        is_outermost_block = self._depth == 1
        try:
            if is_outermost_block:
                self._save()
        finally:
            self._depth -= 1
            self._lock.release()
