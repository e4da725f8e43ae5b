"""When silence ends a task: deadlines, and a queue of them.

After the last retry, the gateway must send a request within a timeout. Otherwise the task fails. The end of this
timeout is the silence deadline of the task. Each request of the gateway moves it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from lorafw.eui import GatewayEui
from lorafw.tasks.evaluation import silence_deadline
from lorafw.tasks.gateway_state import GatewayState
from lorafw.tasks.policy import Policy


def silence_deadline_ms(state: GatewayState, policy: Policy) -> int | None:
    """Return the silence deadline of a gateway's task, on the monotonic scale. None if it has none."""
    if state.task is None or state.last_request_at is None or state.status_since is None:
        return None
    # Reading the update may take longer than the timeout, so silence counts from the start of the status at least.
    silent_since_ms = max(state.last_request_at.monotonic_ms, state.status_since.monotonic_ms)
    return silence_deadline(state.task, silent_since_ms, policy)


class SilenceDeadlines:
    """A queue of silence deadlines, earliest first. Not thread-safe: callers must hold a lock.

    A deadline stays in the queue when a later one replaces it, because removing it would cost more than ignoring it.
    ``is_current`` tells such a deadline from one that counts.

    Args:
        policy: Contains the timeout.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._heap: list[tuple[int, GatewayEui]] = []
        """Deadlines in milliseconds on the monotonic scale, with their gateways. ``heapq`` keeps the order."""

    def schedule(self, state: GatewayState) -> None:
        """Add the deadline of a gateway's task, if it has one now."""
        deadline_ms = silence_deadline_ms(state, self._policy)
        if deadline_ms is not None:
            heapq.heappush(self._heap, (deadline_ms, state.gateway.eui))

    def is_current(self, deadline_ms: int, state: GatewayState) -> bool:
        """Return True if this is the deadline of the gateway's task now. Each request of the gateway moves it."""
        return silence_deadline_ms(state, self._policy) == deadline_ms

    def take_due(self, now_ms: int) -> Iterator[tuple[int, GatewayEui]]:
        """Remove the deadlines up to a time, and iterate over them, earliest first."""
        while self._heap and self._heap[0][0] <= now_ms:
            yield heapq.heappop(self._heap)

    def clear(self) -> None:
        """Remove all deadlines."""
        self._heap.clear()
