"""The state of the service as it was saved, and how it continues after a restart.

Durations are measured on a monotonic scale that starts anew when the machine starts. So the saved times are moved to
the new scale: the time between the last save and the restart is taken from the wall clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lorafw.clock import Moment
from lorafw.tasks.gateway_state import GatewayState
from lorafw.tasks.lifecycle import LogRow
from lorafw.tasks.model import Definition, ReplyState


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


def monotonic_shift_ms(saved_at: Moment, now: Moment) -> int:
    """Return what must be added to a saved monotonic time, so that it is on the scale of ``now``.

    If the wall clock is behind the last save, no time has passed.
    """
    passed_ms = max(now.utc_ms - saved_at.utc_ms, 0)
    return now.monotonic_ms - passed_ms - saved_at.monotonic_ms


def continue_after_restart(state: GatewayState, shift_ms: int) -> None:
    """Prepare a saved gateway for a service that starts. Mutates ``state``.

    Times are moved by ``shift_ms``. A reply that was being sent has broken off with its server.
    """
    state.last_request_at = _shift_moment(state.last_request_at, shift_ms)
    state.status_since = _shift_moment(state.status_since, shift_ms)
    if state.task is not None and state.task.sent_ms is not None:
        state.task = replace(state.task, sent_ms=state.task.sent_ms + shift_ms)
    for exchange in state.exchanges:
        if exchange.answer is ReplyState.SENDING:
            exchange.answer = ReplyState.BROKEN


def _shift_moment(moment: Moment | None, shift_ms: int) -> Moment | None:
    """Return a moment with another monotonic time. None stays None."""
    if moment is None:
        return None
    return replace(moment, monotonic_ms=moment.monotonic_ms + shift_ms)
