"""The decision core: what to do next. It makes no call, reads no clock and writes no file.

``step(state, observation, now_ms)`` returns the next state and the actions to perform. The gates and the abort
criterion are the functions that the simulator uses.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from lorafw.rollout.deviations import check_envelope
from lorafw.rollout.events import Ending, Finished, HookMoment, Skipped, WaveStarted
from lorafw.rollout.gates import check_abort_criterion, check_gate
from lorafw.rollout.interpretation import take_in
from lorafw.rollout.looks import look_at_tasks, open_tasks
from lorafw.rollout.observations import (
    Action,
    CheckGateway,
    CreateDefinition,
    CreateTask,
    DeleteTask,
    Observation,
    ReadDefinitions,
    ReadObject,
    ReadTask,
    RunHook,
)
from lorafw.rollout.state import Phase, RolloutState, Subject, first_undecided
from lorafw.rollout.step_context import StepContext
from lorafw.tasks.lifecycle import INITIAL, TaskStatus

_FRESH_MS: Final = 10_000
"""A gateway that was checked at most this long ago may get a task, or lose it."""

_MAX_LAG_MS: Final = 60_000
"""A wave that is later than this is put off as a whole, so that the rate of the plan is kept after an interruption."""


def step(
    state: RolloutState, observations: Iterable[Observation], now_ms: int
) -> tuple[RolloutState, tuple[Action, ...]]:
    """Return the next state of a rollout, and what to do.

    Args:
        state: The state before.
        observations: What was seen and done since then, in order.
        now_ms: The current time, in milliseconds since 1970 UTC.

    Returns:
        The state, and the actions in order: first the records, then the others. The actions are a ``Wait`` if there is
        nothing to do now, and empty if there never will be.
    """
    context = StepContext(state, now_ms)
    for observation in observations:
        context.has_observations = True
        take_in(context, observation)
    if context.draft.finished is None:
        _decide(context)
    return context.draft.freeze(), context.requested_actions()


def _decide(context: StepContext) -> None:
    """Decide what to do now."""
    draft = context.draft
    check_abort_criterion(context)
    if draft.abort_reason is not None and draft.definition_id is None and not draft.is_definition_unclear:
        _finish(context, Ending.ABORTED, "no task was created")
        return
    if context.now_ms < draft.blocked_until_ms:
        context.wake_at(draft.blocked_until_ms)
        return
    if draft.abort_reason is not None:
        _wind_down(context)
        return
    if draft.definition_id is not None:
        _resolve_unclear_calls(context)
        look_at_tasks(context)
        check_envelope(context)
    if draft.pause_reason is not None:
        return
    if draft.problems:
        _look_at_problems(context)
        _let_gate_stop(context)
        return
    if draft.definition_id is None:
        _make_definition(context)
        return
    _advance(context)


# --- the definition, and calls whose outcome is not known ---


def _make_definition(context: StepContext) -> None:
    """Look for the definition of the plan. Create it if there is none."""
    if context.draft.definitions_read_ms is None:
        context.request_action(ReadDefinitions())
    elif _is_object_checked(context, since_ms=context.draft.started_ms or 0):
        context.request_action(CreateDefinition())


def _is_object_checked(context: StepContext, since_ms: int) -> bool:
    """Return whether the update file was found unchanged since a time. Otherwise ask for it."""
    checked_ms = context.draft.object_checked_ms
    if checked_ms is not None and checked_ms >= since_ms:
        return True
    context.request_action(ReadObject())
    return False


def _resolve_unclear_calls(context: StepContext) -> None:
    """Read the gateways for which a call was begun and its outcome is not known. Read before you write."""
    if not any(wave.count(Phase.CREATING, Phase.DELETING) for wave in context.draft.waves):
        return
    room = context.draft.settings.batch
    for gateway, progress in context.draft.gateways.items():
        if room == 0:
            return
        if progress.phase not in (Phase.CREATING, Phase.DELETING) or gateway in context.draft.problems:
            continue
        if progress.retry_ms > context.now_ms:
            context.wake_at(progress.retry_ms)
            continue
        context.request_action(CheckGateway(gateway))
        room -= 1


# --- the end after an abort ---


def _wind_down(context: StepContext) -> None:
    """Delete the tasks that were not offered yet, and watch the others until they have ended."""
    draft = context.draft
    if draft.definition_id is None:
        _make_definition_known(context)
        return
    _resolve_unclear_calls(context)
    _delete_pending(context)
    look_at_tasks(context)
    waves = draft.waves
    if any(wave.open_count or wave.count(Phase.CREATING, Phase.DELETING) for wave in waves):
        _leave_out_problems(context)
        return
    counts = {status: sum(wave.count(status) for wave in waves) for status in TaskStatus}
    ended = f"{counts[TaskStatus.COMPLETED]} COMPLETED, {counts[TaskStatus.FAILED]} FAILED"
    _finish(context, Ending.ABORTED, f"{draft.abort_reason} ({ended})")


def _make_definition_known(context: StepContext) -> None:
    """Find out whether the definition exists, after a creation whose outcome is not known."""
    if context.draft.definitions_read_ms is None:
        context.request_action(ReadDefinitions())
        return
    _finish(context, Ending.ABORTED, "no task was created")


def _delete_pending(context: StepContext) -> None:
    """Delete PENDING tasks. Each is read just before."""
    room = context.draft.settings.batch
    for gateway, progress in open_tasks(context):
        if progress.status is not INITIAL:
            continue
        if progress.retry_ms > context.now_ms:
            context.wake_at(progress.retry_ms)
            continue
        if room == 0:
            return
        room -= 1
        is_fresh = progress.looked_ms is not None and progress.looked_ms >= context.now_ms - _FRESH_MS
        call = DeleteTask(gateway) if is_fresh else ReadTask(gateway)
        context.request_action(call)


def _leave_out_problems(context: StepContext) -> None:
    """Stop to watch gateways whose task is not that of the rollout any more. An aborted rollout has no use for them."""
    for subject, reason in list(context.draft.problems.items()):
        if subject in context.draft.plan.wave_of:
            context.record(Skipped(at_ms=context.now_ms, gateway=subject, reason=reason))


# --- problems ---


def _look_at_problems(context: StepContext) -> None:
    """Look again at what the rollout holds for, at regular intervals."""
    draft = context.draft
    room = draft.settings.batch
    for subject in draft.problems:
        due_ms = draft.rechecked_ms.get(subject, 0) + draft.settings.recheck_ms
        if context.now_ms < due_ms:
            context.wake_at(due_ms)
        elif room:
            room -= 1
            draft.rechecked_ms[subject] = context.now_ms
            _look_at_problem(context, subject)


def _look_at_problem(context: StepContext, subject: str) -> None:
    """Ask for what shows whether a problem is still there."""
    if subject in context.draft.plan.wave_of:
        context.request_action(CheckGateway(subject))
    elif subject == Subject.OBJECT:
        context.request_action(ReadObject())
    elif subject in (Subject.DEFINITION, Subject.RACE):
        context.request_action(ReadDefinitions())
    elif subject == Subject.HOOK and context.draft.settings.has_hook:
        failed = context.draft.failed_hook
        context.request_action(RunHook(failed.wave, failed.moment))


def _let_gate_stop(context: StepContext) -> None:
    """Let the gate of the current wave stop a rollout that holds only because it has left its prediction.

    A hold leaves tasks PENDING, which a bad update must not reach.
    """
    draft = context.draft
    if set(draft.problems) != {Subject.ENVELOPE}:
        return
    index = first_undecided(draft.waves)
    if draft.waves[index].is_created:
        check_gate(context, index, may_go_on=False)


# --- waves ---


def _advance(context: StepContext) -> None:
    """Carry the current wave on: start it, create its tasks, check its gate, or finish the rollout."""
    draft = context.draft
    index = first_undecided(draft.waves)
    if not _has_passed_hook_after_gate(context, index):
        return
    wave = draft.waves[index]
    if wave.decided_ms is not None:
        _finish_tail(context)
        return
    if wave.started_ms is None and not _start_wave(context, index):
        return
    if draft.waves[index].is_created:
        check_gate(context, index)
    else:
        _create_tasks(context, index)


def _has_passed_hook_after_gate(context: StepContext, index: int) -> bool:
    """Return whether the hook has run after each gate that let the rollout go on. Otherwise ask for it."""
    draft = context.draft
    if not draft.settings.has_hook:
        return True
    for number in range(index + 1):
        wave = draft.waves[number]
        if wave.decided_ms is not None and HookMoment.AFTER_GATE not in wave.hooks_passed:
            context.request_action(RunHook(number, HookMoment.AFTER_GATE))
            return False
    return True


def _start_wave(context: StepContext, index: int) -> bool:
    """Start a wave if nothing has changed since the plan was made. Returns False if that is not known yet."""
    draft = context.draft
    since_ms = draft.waves[index - 1].decided_ms if index else draft.started_ms
    is_checked = _is_object_checked(context, since_ms or 0)
    if draft.definitions_read_ms is None or draft.definitions_read_ms < (since_ms or 0):
        context.request_action(ReadDefinitions())
        is_checked = False
    if not is_checked:
        return False
    if draft.settings.has_hook and HookMoment.BEFORE_WAVE not in draft.waves[index].hooks_passed:
        context.request_action(RunHook(index, HookMoment.BEFORE_WAVE))
        return False
    context.record(WaveStarted(at_ms=context.now_ms, wave=index))
    return True


def _create_tasks(context: StepContext, index: int) -> None:
    """Ask for the tasks that are due. Each gateway is checked just before."""
    draft = context.draft
    planned = draft.plan.waves[index]
    start_ms = _schedule_start(context, index)
    room = draft.settings.batch
    for gateway, offset_ms in zip(planned.gateways, planned.offsets_ms, strict=True):
        progress = draft.gateways.get(gateway)
        if progress is not None and progress.phase is not Phase.WAITING:
            continue
        if start_ms + offset_ms > context.now_ms:
            context.wake_at(start_ms + offset_ms)
            return
        if progress is not None and progress.retry_ms > context.now_ms:
            context.wake_at(progress.retry_ms)
            continue
        if room == 0:
            return
        room -= 1
        checked_ms = None if progress is None else progress.checked_ms
        is_fresh = checked_ms is not None and checked_ms >= context.now_ms - _FRESH_MS
        call = CreateTask(gateway) if is_fresh else CheckGateway(gateway)
        context.request_action(call)


def _schedule_start(context: StepContext, index: int) -> int:
    """Return the start of a wave's schedule, put off if the wave is far behind it."""
    draft = context.draft
    wave, planned = draft.waves[index], draft.plan.waves[index]
    assert wave.started_ms is not None
    start_ms: int = wave.started_ms + wave.shift_ms
    waiting = (
        offset_ms
        for gateway, offset_ms in zip(planned.gateways, planned.offsets_ms, strict=True)
        if gateway not in draft.gateways
    )
    next_offset_ms = next(waiting, None)
    if next_offset_ms is None or context.now_ms - (start_ms + next_offset_ms) <= _MAX_LAG_MS:
        return start_ms
    due_ms = context.now_ms
    if wave.last_created is not None and wave.last_created_ms is not None:
        gap_ms = next_offset_ms - draft.plan.offset_ms_of[wave.last_created]
        due_ms = max(due_ms, wave.last_created_ms + gap_ms)
    draft.change_wave(index, shift_ms=due_ms - next_offset_ms - wave.started_ms)
    return due_ms - next_offset_ms


def _finish_tail(context: StepContext) -> None:
    """Finish the rollout if all tasks have ended, or if it has waited long enough for the last ones."""
    draft = context.draft
    waves = draft.waves
    remaining = sum(wave.open_count for wave in waves)
    completed = sum(wave.count(TaskStatus.COMPLETED) for wave in waves)
    failed = sum(wave.count(TaskStatus.FAILED) for wave in waves)
    figures = f"{completed} COMPLETED, {failed} FAILED"
    if not remaining:
        _finish(context, Ending.COMPLETED, figures)
        return
    assert waves[-1].decided_ms is not None
    limit_ms = waves[-1].decided_ms + round(draft.plan.wave_rules[-1].give_up_s * 1000)
    if draft.is_tail_over or context.now_ms >= limit_ms:
        _finish(context, Ending.COMPLETED, f"{figures}, {remaining} not ended")
        return
    context.wake_at(limit_ms)


def _finish(context: StepContext, ending: Ending, reason: str) -> None:
    """Record that nothing is left to do."""
    context.record(Finished(at_ms=context.now_ms, ending=ending, reason=reason))
