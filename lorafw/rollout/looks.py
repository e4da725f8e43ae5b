"""When tasks are read: when their status can have changed, never all of them one after the other.

A status changes at a request of the gateway, or after a long silence. The list of all gateways tells with one call for
250 of them when each was last heard. A task is read if its gateway was heard since the last look. It is also read once
in a poll period, because AWS may not count a CUPS request as an uplink (assumed). Looks that find nothing new become
rarer, because a gateway with much traffic is heard all the time. A task that is open half a poll period after its offer
is read once more: only then it is known to have stalled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from lorafw.rollout.observations import ListGateways, ReadTask
from lorafw.rollout.state import GatewayProgress, Phase
from lorafw.rollout.step_context import StepContext
from lorafw.tasks.lifecycle import INITIAL, TaskStatus

_LOOKS_PER_PERIOD: Final = 8
"""The largest number of looks in a poll period at a gateway that is heard all the time."""

_JUST_READ_MS: Final = 10_000
"""A gateway that was read at most this long ago may get a task, or lose it."""

_PERIOD_SHARE: Final = 1.1
"""A task is read after this share of a poll period in any case."""


@dataclass(frozen=True, slots=True)
class LookSchedule:
    """Says which tasks should be read again. It is asked for every open task in every step.

    Times are in milliseconds since 1970 UTC, durations in milliseconds.
    """

    now_ms: int
    """The current time."""
    uplinks_ms: Mapping[str, int | None]
    """The time of the last uplink of each gateway, by its id. None if the gateway was never heard."""
    list_interval_ms: int
    """The time between two lists of the gateways."""
    period_ms: int
    """The time between two polls of a gateway."""
    stall_ms: int | None
    """The time after which an update that was offered has stalled. None if stalled updates are not counted."""

    def is_due(self, gateway: str, progress: GatewayProgress) -> bool:
        """Return True if the task of a gateway should be read now.

        Args:
            gateway: The id of the gateway.
            progress: What is known about the gateway. Its task is open.
        """
        session = progress.session
        unread_ms = self.now_ms - (session.looked_ms or progress.changed_ms)
        if unread_ms >= self.period_ms * _PERIOD_SHARE:
            return True
        if may_have_stalled(progress, self.stall_ms, self.now_ms):
            return True
        uplink_ms = self.uplinks_ms.get(gateway)
        if uplink_ms is None or uplink_ms == session.seen_uplink_ms:
            return False  # the gateway was not heard since its task was read, so its status is the same
        if session.looked_ms is None or session.quiet_looks == 0:
            return True
        # The gateway sends uplinks without a change of its status. Each time, wait twice as long.
        pause_ms: int = self.list_interval_ms * 2 ** min(session.quiet_looks, 20)
        return unread_ms >= min(pause_ms, self.period_ms // _LOOKS_PER_PERIOD)


def may_have_stalled(progress: GatewayProgress, stall_ms: int | None, now_ms: int) -> bool:
    """Return True if an update has stalled in case its task is read now and its status has not changed.

    Args:
        progress: What is known about the gateway.
        stall_ms: The time in milliseconds after which an update that was offered has stalled. None if stalled updates
            are not counted.
        now_ms: The current time, in milliseconds since 1970 UTC.
    """
    if stall_ms is None or progress.offered_ms is None:
        return False
    if progress.has_stalled or progress.status is TaskStatus.COMPLETED:
        return False
    return now_ms - progress.offered_ms >= stall_ms


def look_at_tasks(context: StepContext) -> None:
    """Ask for the list of gateways and for the tasks that may have changed, if it is time."""
    if not any(wave.open_count for wave in context.draft.waves):
        return
    _list_gateways_if_due(context)
    if context.has_observations:
        _read_due_tasks(context)


def _list_gateways_if_due(context: StepContext) -> None:
    """Ask for the list of gateways, or for a step at the time when it is due."""
    session = context.draft.session
    due_ms = 0
    if session.listed_ms is not None:
        due_ms = session.listed_ms + session.list_interval_ms
    if context.now_ms >= due_ms:
        context.request_action(ListGateways())
    else:
        context.wake_at(due_ms)


def _read_due_tasks(context: StepContext) -> None:
    """Ask for the tasks that may have changed, up to the largest number that a step reads."""
    draft = context.draft
    schedule = LookSchedule(
        now_ms=context.now_ms,
        uplinks_ms=draft.session.uplinks_ms,
        list_interval_ms=draft.session.list_interval_ms,
        period_ms=draft.plan.poll_period_ms,
        stall_ms=draft.plan.stall_ms,
    )
    due = ((gateway, progress) for gateway, progress in open_tasks(context) if schedule.is_due(gateway, progress))
    for gateway, _ in take_batch(context, due):
        context.request_action(ReadTask(gateway))


def look_at_wave(context: StepContext, wave: int, since_ms: int, *, includes_silent: bool = False) -> bool:
    """Ask for what must be known to judge a wave.

    Args:
        context: The step.
        wave: The index of the wave.
        since_ms: A task that was read before this time must be read again. In milliseconds since 1970 UTC.
        includes_silent: True to read PENDING tasks as well whose gateways were not heard since they were read. Their
            status is the same if AWS counts a CUPS request as an uplink (assumed).

    Returns:
        True if everything is known already. Otherwise the caller tries again in a later step.
    """
    draft = context.draft
    if not draft.waves[wave].open_count:
        return True
    if draft.session.listed_ms is None or draft.session.listed_ms < since_ms:
        context.request_action(ListGateways())
        return False
    remaining = draft.settings.batch
    is_known = True
    for gateway, progress in open_tasks(context):
        session = progress.session
        if progress.wave != wave or (session.looked_ms or 0) >= since_ms:
            continue
        if not includes_silent and not _may_have_changed(context, gateway, progress):
            continue
        is_known = False
        if session.retry_ms > context.now_ms:
            context.wake_at(session.retry_ms)
        elif remaining:
            context.request_action(ReadTask(gateway))
            remaining -= 1
    return is_known


def take_batch(
    context: StepContext, gateways: Iterable[tuple[str, GatewayProgress]]
) -> Iterator[tuple[str, GatewayProgress]]:
    """Yield the gateways about which AWS may be called now, up to the largest number that a step calls about.

    A gateway whose last call failed is left out until its time to retry has come. The rollout wakes at that time.

    Args:
        context: The step.
        gateways: The gateways to choose from, in order, each with its progress.
    """
    remaining = context.draft.settings.batch
    for gateway, progress in gateways:
        if progress.session.retry_ms > context.now_ms:
            context.wake_at(progress.session.retry_ms)
            continue
        if remaining == 0:
            return
        remaining -= 1
        yield gateway, progress


def is_just_read(context: StepContext, read_ms: int | None) -> bool:
    """Return True if a gateway that was read at this time need not be read again before its task is changed.

    Args:
        context: The step.
        read_ms: When the gateway was read, in milliseconds since 1970 UTC. None if it was not read.
    """
    return read_ms is not None and read_ms >= context.now_ms - _JUST_READ_MS


def open_tasks(context: StepContext) -> list[tuple[str, GatewayProgress]]:
    """Return the gateways whose task has not ended, except those with a problem."""
    problems, is_open = context.draft.problems, Phase.OPEN
    tasks = [(gateway, progress) for gateway, progress in context.draft.gateways.items() if progress.phase is is_open]
    if not problems:
        return tasks
    return [(gateway, progress) for gateway, progress in tasks if gateway not in problems]


def _may_have_changed(context: StepContext, gateway: str, progress: GatewayProgress) -> bool:
    """Return whether a task may have changed since it was read."""
    was_heard = context.draft.session.uplinks_ms.get(gateway) != progress.session.seen_uplink_ms
    return was_heard or progress.status is not INITIAL
