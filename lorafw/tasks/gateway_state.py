"""What the update service keeps about one gateway between requests."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from lorafw.clock import Moment
from lorafw.cups.messages import UpdateInfoRequest
from lorafw.errors import LorafwError
from lorafw.tasks.lifecycle import LogRow
from lorafw.tasks.model import ExchangeRecord, Gateway, PendingUpdate, Task

RECENT_ROWS: Final = 16
"""Maximum number of rows of the task log that are kept for each gateway."""

RECENT_EXCHANGES: Final = 3
"""Maximum number of exchanges that are kept for each gateway."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A CUPS request in the name of a gateway that the server refused to answer."""

    time_ms: int
    """When it was refused, in milliseconds since 1970 UTC."""
    reason: str
    """Why it was refused."""


@dataclass(slots=True)
class GatewayState:
    """What the service keeps about one gateway between requests. The service changes it, and holds its lock then."""

    gateway: Gateway
    """The gateway as it is registered."""
    request: UpdateInfoRequest | None = None
    """The last request. None before the first."""
    last_request_at: Moment | None = None
    """When the last request was received. None before the first."""
    last_refusal: Refusal | None = None
    """The last refused request since the last request that was received. None if none was refused. It is not saved."""
    task: Task | None = None
    """The firmware update task of the gateway. None if it has none."""
    status_since: Moment | None = None
    """When the task got its current status. None if there was no task yet."""
    in_flight: PendingUpdate | None = None
    """The update that is being read or sent. None if there is none."""
    last_read_error: LorafwError | None = None
    """Why the update could not be read when it was last needed. None if it could."""
    recent_log: deque[LogRow] = field(default_factory=lambda: deque(maxlen=RECENT_ROWS))
    """The latest rows of the task log about this gateway, oldest first."""
    exchanges: deque[ExchangeRecord] = field(default_factory=lambda: deque(maxlen=RECENT_EXCHANGES))
    """The latest exchanges, oldest first."""

    def record_request(self, request: UpdateInfoRequest, now: Moment) -> None:
        """Record a request that was received just now."""
        self.request = request
        self.last_request_at = now
        self.last_refusal = None
        self.exchanges.append(ExchangeRecord(now.utc_ms, request.version))

    def set_task(self, task: Task, now: Moment) -> None:
        """Set a task that is new, or whose status has changed just now."""
        self.task = task
        self.status_since = now
        if task.is_ended:
            self.last_read_error = None

    def record_send(self, task: Task) -> None:
        """Record that the update could be read, so its send has started or ended. The status of the task stays."""
        self.task = task
        self.last_read_error = None

    def end_flight(self, read_error: LorafwError | None = None) -> None:
        """Record that no update is in flight any more. ``read_error`` tells why the update could not be read."""
        self.in_flight = None
        if read_error is not None:
            self.last_read_error = read_error

    def remove_task(self) -> None:
        """Remove the task. An update that is in flight belongs to the task, so it is forgotten too."""
        self.task = None
        self.in_flight = None
        self.last_read_error = None

    @property
    def last_seen_ms(self) -> int | None:
        """When the last request was received, in milliseconds since 1970 UTC. None before the first."""
        if self.last_request_at is None:
            return None
        return self.last_request_at.utc_ms

    @property
    def key_crcs(self) -> tuple[int, ...]:
        """The CRCs of the signature keys that the gateway reported in its last request."""
        if self.request is None:
            return ()
        return self.request.keys
