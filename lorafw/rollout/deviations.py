"""When a running rollout is compared with its prediction, and what is known about a wave at that time."""

from __future__ import annotations

from lorafw.rollout.envelope import ObservedWave
from lorafw.rollout.looks import look_at_wave
from lorafw.rollout.state import Phase, Subject, WaveProgress
from lorafw.rollout.step_context import StepContext
from lorafw.tasks.lifecycle import TaskStatus


def check_envelope(context: StepContext) -> None:
    """Report a problem if a wave has left its prediction for certain.

    A wave that seems to have too few gateways COMPLETED may only be known too late. Then all of its open tasks are read
    first, and the wave is compared as it was before.
    """
    draft = context.draft
    if Subject.ENVELOPE in draft.problems or not context.has_observations:
        return
    for index, wave in enumerate(draft.waves):
        if wave.started_ms is None or wave.accepts_deviation:
            continue
        reason = _find_deviation(context, index)
        if reason is not None:
            context.report_problem(Subject.ENVELOPE, reason)
            return


def _find_deviation(context: StepContext, index: int) -> str | None:
    """Return why a wave has left its prediction. None if it has not, or if more must be read to know it."""
    draft = context.draft
    suspected_ms = draft.waves[index].suspected_ms
    if suspected_ms is None:
        if _compare(context, index, context.now_ms) is None:
            return None
        suspected_ms = context.now_ms
        draft.change_wave(index, suspected_ms=suspected_ms)
    if not look_at_wave(context, index, suspected_ms, includes_silent=True):
        return None
    draft.change_wave(index, suspected_ms=None)
    return _compare(context, index, suspected_ms)


def _compare(context: StepContext, index: int, known_ms: int) -> str | None:
    """Compare a wave with its prediction.

    Args:
        context: The step.
        index: The index of the wave.
        known_ms: Everything that had happened until this time is known.

    Returns:
        Why the wave has left its prediction. None if it has not.
    """
    draft = context.draft
    wave = draft.waves[index]
    assert wave.started_ms is not None
    seen = ObservedWave(
        wave=index,
        completed=wave.count(TaskStatus.COMPLETED),
        failed=wave.count(TaskStatus.FAILED),
        stalled=wave.stalled,
        elapsed_ms=context.now_ms - wave.started_ms,
        known_ms=known_ms - wave.started_ms,
        delay_ms=_creation_delay_ms(context, index),
        left_out=wave.count(Phase.SKIPPED),
    )
    reason: str | None = draft.settings.envelope(draft.plan, seen)
    return reason


def _creation_delay_ms(context: StepContext, index: int) -> int:
    """Return the longest time that a task of a wave was created, or will be, after its planned time."""
    wave: WaveProgress = context.draft.waves[index]
    if wave.is_created or wave.started_ms is None:
        return wave.delay_ms
    return max(wave.delay_ms, context.now_ms - wave.started_ms - _next_offset_ms(context, index))


def _next_offset_ms(context: StepContext, index: int) -> int:
    """Return the planned time of the first task of a wave that was not created yet, since the wave started."""
    planned = context.draft.plan.waves[index]
    for gateway, offset_ms in zip(planned.gateways, planned.offsets_ms, strict=True):
        if context.draft.progress_of(gateway).phase in (Phase.WAITING, Phase.CREATING):
            return offset_ms
    return planned.offsets_ms[-1]
