"""What changes in the update service during one public call, so that it can be saved before the call is answered.

The service notes each gateway and definition that a call may have changed. When the call releases the service's lock,
the changes are passed to a ``ServiceStore`` in one piece. Without a store they are dropped.
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
    key: str
    """What the value belongs to, such as the ARN of the resource."""


@dataclass(frozen=True, slots=True)
class SavedChanges:
    """All changes of one call."""

    now: Moment
    """The time of the service's clock."""
    gateways: Mapping[str, GatewayState | None] = field(default_factory=dict)
    """Gateways that may have changed, by id. None if the gateway was deleted."""
    definitions: Mapping[str, Definition | None] = field(default_factory=dict)
    """Definitions that were created, by id. None if the definition was deleted."""
    log: Sequence[LogRow] = ()
    """New rows of the task log."""
    api_records: Mapping[ApiRecord, Any] = field(default_factory=dict)
    """New values of the API, which JSON can represent. None if the value was deleted."""


class ServiceStore(Protocol):
    """Keeps the state of the service."""

    def save(self, changes: SavedChanges) -> None:
        """Save all changes or none.

        Raises:
            StateError: The changes cannot be saved. The call must not be answered.
        """
        ...

    def check(self) -> None:
        """Raise StateError if earlier changes could not be saved. Then no call must be answered any more."""
        ...


@dataclass(slots=True)
class PendingChanges:
    """The changes of the current call so far. The service adds to them, and starts with a new value in the next call.

    An id stands for the whole gateway or definition: its state is read when the changes are saved. The thing may also
    be unchanged or deleted by then.
    """

    gateway_ids: set[str] = field(default_factory=set)
    """The gateways that the call has changed, deleted, or may have changed."""
    definition_ids: set[str] = field(default_factory=set)
    """The task definitions that the call has created or deleted."""
    log: list[LogRow] = field(default_factory=list)
    """The rows that the call has appended to the task log."""
    api_records: dict[ApiRecord, Any] = field(default_factory=dict)
    """The values of the API that the call has set. None stands for a value that it has deleted."""

    @property
    def is_empty(self) -> bool:
        """Whether the call has changed nothing so far."""
        return self == PendingChanges()


class SavingLock:
    """A reentrant lock that calls a function before the thread that holds it lets it go.

    The function is called once for nested blocks, when the outermost one ends. If it raises, the lock is released and
    the exception is passed on.
    """

    def __init__(self, save: Callable[[], None]) -> None:
        self._save: Final = save
        self._lock = threading.RLock()
        self._depth = 0
        """Number of blocks that the holder of the lock is in."""

    def __enter__(self) -> None:
        self._lock.acquire()
        self._depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if self._depth == 1:
                self._save()
        finally:
            self._depth -= 1
            self._lock.release()
