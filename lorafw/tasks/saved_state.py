"""The state of the service as it was saved, and how it continues after a restart.

Durations are measured on a monotonic scale that starts anew when the machine starts. So the saved times are moved to
the new scale: the time between the last save and the restart is taken from the wall clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lorafw.clock import Moment
from lorafw.tasks.gateway_state import GatewayState
from lorafw.tasks.lifecycle import Cause, LogRow
from lorafw.tasks.model import Definition, Delivery, ReplyState
from lorafw.tasks.task_keeper import TaskKeeper


@dataclass(frozen=True, slots=True)
class SavedState:
    """All that a store has kept of a service."""

    saved_at: Moment
    """When the last change was saved, by the clock of the service that saved it."""
    gateways: Sequence[GatewayState] = ()
    """The gateways, in the order of their registration."""
    definitions: Sequence[Definition] = ()
    """The definitions, oldest first."""
    log: Sequence[LogRow] = ()
    """The task log, oldest first."""

    @property
    def last_sequence(self) -> int:
        """The greatest sequence number of a gateway or definition. 0 if there is none."""
        numbers = [state.gateway.sequence for state in self.gateways]
        numbers += [definition.sequence for definition in self.definitions]
        return max(numbers, default=0)


def monotonic_shift_ms(saved_at: Moment, now: Moment) -> int:
    """Return what must be added to a saved monotonic time, so that it is on the scale of ``now``.

    If the wall clock is behind the last save, no time has passed.
    """
    passed_ms = max(now.utc_ms - saved_at.utc_ms, 0)
    return now.monotonic_ms - passed_ms - saved_at.monotonic_ms


def was_sending(state: GatewayState) -> bool:
    """Return True if the server was sending a gateway the update of its task when the state was saved."""
    if state.task is None or state.task.delivery is not Delivery.STARTED:
        return False
    return any(exchange.answer is ReplyState.SENDING for exchange in state.exchanges)


def mark_broken_replies(state: GatewayState) -> None:
    """Record that a reply which was being sent has broken off with its server. Mutates ``state``."""
    for exchange in state.exchanges:
        if exchange.answer is ReplyState.SENDING:
            exchange.answer = ReplyState.BROKEN


def shift_times(state: GatewayState, shift_ms: int) -> None:
    """Move the monotonic times of a saved gateway to the scale of a service that starts. Mutates ``state``.

    Args:
        state: The saved gateway.
        shift_ms: What to add to each time: the result of ``monotonic_shift_ms``.
    """
    state.last_request_at = _shift_moment(state.last_request_at, shift_ms)
    state.status_since = _shift_moment(state.status_since, shift_ms)
    if state.task is not None and state.task.sent_ms is not None:
        state.task = replace(state.task, sent_ms=state.task.sent_ms + shift_ms)


def restore_gateway(state: GatewayState, shift_ms: int, now: Moment, tasks: TaskKeeper) -> None:
    """Prepare a saved gateway for a service that starts. Mutates ``state``.

    If the server ended while it sent a reply, the task log gets a row about this.

    Args:
        state: The saved gateway.
        shift_ms: What to add to the saved monotonic times.
        now: The current time.
        tasks: Writes the row.
    """
    # Check this first, because the next statement changes the record that shows it.
    if state.task is not None and was_sending(state):
        tasks.record_cause(state, state.task, Cause.REPLY_BROKEN, now)
    mark_broken_replies(state)
    shift_times(state, shift_ms)


def _shift_moment(moment: Moment | None, shift_ms: int) -> Moment | None:
    """Return a moment with another monotonic time. None stays None."""
    if moment is None:
        return None
    return replace(moment, monotonic_ms=moment.monotonic_ms + shift_ms)
