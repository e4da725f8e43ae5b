"""Create the tasks of a wave at the times of the plan."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from lorafw.rollout.looks import is_just_read, take_batch
from lorafw.rollout.observations import CheckGateway, CreateTask
from lorafw.rollout.state import GatewayProgress, Phase
from lorafw.rollout.step_context import StepContext

_MAX_LAG_MS: Final = 60_000
"""A wave that is later than this is put off as a whole, so that the rate of the plan is kept after an interruption."""


def create_tasks(context: StepContext, index: int) -> None:
    """Ask for the tasks of a wave that are due. Each gateway is checked just before its task is created.

    Args:
        context: The step.
        index: The index of the wave.
    """
    for gateway, progress in take_batch(context, _due_gateways(context, index)):
        if is_just_read(context, progress.session.checked_ms):
            context.request_action(CreateTask(gateway))
        else:
            context.request_action(CheckGateway(gateway))


def _due_gateways(context: StepContext, index: int) -> Iterator[tuple[str, GatewayProgress]]:
    """Yield the gateways of a wave that wait for their task, and whose time has come. Wake at the time of the next."""
    planned = context.draft.plan.waves[index]
    start_ms = _schedule_start_ms(context, index)
    for gateway, offset_ms in zip(planned.gateways, planned.offsets_ms, strict=True):
        progress = context.draft.progress_of(gateway)
        if progress.phase is not Phase.WAITING:
            continue
        due_ms = start_ms + offset_ms
        if due_ms > context.now_ms:
            context.wake_at(due_ms)
            return  # the gateways after this one are due even later
        yield gateway, progress


def _schedule_start_ms(context: StepContext, index: int) -> int:
    """Return the time to which the offsets of a wave's tasks are added.

    This is the start of the wave. If ``apply`` did not run for a while, all tasks that are left are put off by the same
    time, so that they are not created all at once.

    Args:
        context: The step. Its draft remembers by how much the tasks were put off.
        index: The index of the wave.

    Returns:
        The time, in milliseconds since 1970 UTC.
    """
    draft = context.draft
    wave = draft.waves[index]
    assert wave.started_ms is not None
    start_ms: int = wave.started_ms + wave.shift_ms
    next_offset_ms = _next_offset_ms(context, index)
    if next_offset_ms is None or context.now_ms - (start_ms + next_offset_ms) <= _MAX_LAG_MS:
        return start_ms

    # The next task is due now, but not sooner after the last task than planned.
    due_ms = context.now_ms
    if wave.last_created is not None and wave.last_created_ms is not None:
        gap_ms = next_offset_ms - draft.plan.offset_ms_of[wave.last_created]
        due_ms = max(due_ms, wave.last_created_ms + gap_ms)
    start_ms = due_ms - next_offset_ms
    draft.change_wave(index, shift_ms=start_ms - wave.started_ms)
    return start_ms


def _next_offset_ms(context: StepContext, index: int) -> int | None:
    """Return the offset of the first gateway of a wave to which nothing has happened yet. None if there is none."""
    planned = context.draft.plan.waves[index]
    for gateway, offset_ms in zip(planned.gateways, planned.offsets_ms, strict=True):
        if gateway not in context.draft.gateways:
            return offset_ms
    return None
