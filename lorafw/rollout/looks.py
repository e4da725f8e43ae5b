"""When tasks are read: when their status can have changed, never all of them one after the other.

A status changes at a request of the gateway, or after a long silence. The list of all gateways tells with one call for
250 of them when each was last heard. A task is read if its gateway was heard since the last look. It is also read once
in a poll period, because AWS may not count a CUPS request as an uplink (assumed). Looks that find nothing new become
rarer, because a gateway with much traffic is heard all the time. A task that is open half a poll period after its offer
is read once more: only then it is known to have stalled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lorafw.rollout.observations import ListGateways, ReadTask
from lorafw.rollout.state import GatewayProgress, Phase
from lorafw.rollout.step_context import StepContext
from lorafw.tasks.lifecycle import INITIAL, TaskStatus

_LOOKS_PER_PERIOD: Final = 8
"""The largest number of looks in a poll period at a gateway that is heard all the time."""

_PERIOD_SHARE: Final = 1.1
"""A task is read after this share of a poll period in any case."""


@dataclass(frozen=True, slots=True)
class LookSchedule:
    """Says which tasks may have changed since they were read. It is asked for every open task in every step."""

    now_ms: int
    uplinks_ms: Mapping[str, int | None]
    """The last uplink of each gateway."""
    list_interval_ms: int
    """Time between two lists of the gateways."""
    period_ms: int
    """Time between two polls of a gateway."""
    stall_ms: int | None
    """Time after which an update that was offered has stalled. None if the prediction does not say how many will."""

    def is_due(self, gateway: str, progress: GatewayProgress) -> bool:
        """Return whether the task of a gateway should be read now."""
        silent_ms = self.now_ms - (progress.looked_ms or progress.changed_ms)
        if silent_ms >= self.period_ms * _PERIOD_SHARE or may_have_stalled(progress, self.stall_ms, self.now_ms):
            return True
        uplink_ms = self.uplinks_ms.get(gateway)
        if uplink_ms is None or uplink_ms == progress.seen_uplink_ms:
            return False
        pause_ms = min(self.list_interval_ms * 2 ** min(progress.quiet_looks, 20), self.period_ms // _LOOKS_PER_PERIOD)
        return progress.looked_ms is None or progress.quiet_looks == 0 or silent_ms >= pause_ms


def may_have_stalled(progress: GatewayProgress, stall_ms: int | None, now_ms: int) -> bool:
    """Return whether an update has stalled if its task is read now, and is as it was.

    Args:
        progress: What is known about the gateway.
        stall_ms: Time after which an update that was offered has stalled. None if nobody counts them.
        now_ms: The current time.
    """
    if stall_ms is None or progress.offered_ms is None:
        return False
    if progress.has_stalled or progress.status is TaskStatus.COMPLETED:
        return False
    return now_ms - progress.offered_ms >= stall_ms


def look_at_tasks(context: StepContext) -> None:
    """Ask for the list of gateways and for tasks that may have changed, if it is time."""
    draft = context.draft
    if not any(wave.open_count for wave in draft.waves):
        return
    due_ms = 0 if draft.listed_ms is None else draft.listed_ms + draft.list_interval_ms
    if context.now_ms >= due_ms:
        context.request_action(ListGateways())
    else:
        context.wake_at(due_ms)
    if not context.has_observations:
        return
    schedule = LookSchedule(
        now_ms=context.now_ms,
        uplinks_ms=draft.uplinks_ms,
        list_interval_ms=draft.list_interval_ms,
        period_ms=draft.plan.poll_period_ms,
        stall_ms=draft.plan.stall_ms,
    )
    room = draft.settings.batch
    for gateway, progress in open_tasks(context):
        if not schedule.is_due(gateway, progress):
            continue
        if progress.retry_ms > context.now_ms:
            context.wake_at(progress.retry_ms)
            continue
        if room == 0:
            return
        context.request_action(ReadTask(gateway))
        room -= 1


def look_at_wave(context: StepContext, wave: int, since_ms: int, *, includes_silent: bool = False) -> bool:
    """Ask for what must be known to judge a wave, and return True if all of it is known.

    Args:
        context: The step.
        wave: The index of the wave.
        since_ms: What was seen before this time is too old.
        includes_silent: True to read PENDING tasks as well whose gateways were not heard since. They have not changed,
            if AWS counts a CUPS request as an uplink (assumed).
    """
    draft = context.draft
    if not draft.waves[wave].open_count:
        return True
    if draft.listed_ms is None or draft.listed_ms < since_ms:
        context.request_action(ListGateways())
        return False
    room = draft.settings.batch
    is_fresh = True
    for gateway, progress in open_tasks(context):
        if progress.wave != wave or (progress.looked_ms or 0) >= since_ms:
            continue
        if not includes_silent and not _may_have_changed(context, gateway, progress):
            continue
        is_fresh = False
        if progress.retry_ms > context.now_ms:
            context.wake_at(progress.retry_ms)
        elif room:
            context.request_action(ReadTask(gateway))
            room -= 1
    return is_fresh


def open_tasks(context: StepContext) -> list[tuple[str, GatewayProgress]]:
    """Return the gateways whose task has not ended, except those with a problem."""
    problems, is_open = context.draft.problems, Phase.OPEN
    tasks = [(gateway, progress) for gateway, progress in context.draft.gateways.items() if progress.phase is is_open]
    if not problems:
        return tasks
    return [(gateway, progress) for gateway, progress in tasks if gateway not in problems]


def _may_have_changed(context: StepContext, gateway: str, progress: GatewayProgress) -> bool:
    """Return whether a task may have changed since it was read."""
    was_heard = context.draft.uplinks_ms.get(gateway) != progress.seen_uplink_ms
    return was_heard or progress.status is not INITIAL
