"""The decision core: what to do next. It makes no call, reads no clock and writes no file.

``step(state, observation, now_ms)`` returns the next state and the actions to perform. The gates and the abort
criterion are the functions that the simulator uses.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lorafw.rollout.clock_check import forget_if_set_back, is_clock_checked
from lorafw.rollout.deviations import check_envelope
from lorafw.rollout.events import Ending, Event, Finished, HookMoment, Skipped, WaveStarted
from lorafw.rollout.gates import check_abort_criterion, check_gate
from lorafw.rollout.interpretation import handle_observation
from lorafw.rollout.looks import is_just_read, look_at_tasks, open_tasks, take_batch
from lorafw.rollout.observations import (
    Action,
    CheckGateway,
    CompareClock,
    CreateDefinition,
    DeleteTask,
    Observation,
    ReadDefinitions,
    ReadObject,
    ReadTask,
    RunHook,
)
from lorafw.rollout.state import Phase, RolloutState, Subject, WaveProgress, first_undecided
from lorafw.rollout.status import latest_end_ms
from lorafw.rollout.step_context import StepContext
from lorafw.rollout.wave_tasks import create_tasks
from lorafw.tasks.lifecycle import INITIAL, TaskStatus


def step(
    state: RolloutState, observations: Iterable[Observation], now_ms: int
) -> tuple[RolloutState, tuple[Action, ...]]:
    """Return the next state of a rollout, and what to do next.

    The function makes no call and reads no clock, so equal arguments give equal results.

    Args:
        state: The state before. It is not changed.
        observations: What was seen and done since the step before, in order. The events among them come first: the
            journal has them already, before everything that this step adds to it.
        now_ms: The current time, in milliseconds since 1970 UTC.

    Returns:
        The new state, and the actions in the order in which they are carried out: first the events for the journal
        (``WriteEvent``), then all others. The only action is a ``Wait`` if there is nothing to do now. There is no
        action if there will never be anything to do.
    """
    context = StepContext(forget_if_set_back(state, now_ms), now_ms)
    context.draft.change_session(stepped_ms=now_ms)
    for observation in sorted(observations, key=_is_not_in_journal):
        context.has_observations = True
        handle_observation(context, observation)
    if context.draft.finished is None:
        _decide(context)
    return context.draft.freeze(), context.requested_actions()


def _is_not_in_journal(observation: Observation) -> bool:
    """Return False if an observation is an event, which the journal has already."""
    return not isinstance(observation, Event)


def _decide(context: StepContext) -> None:
    """Decide what to do now. The first rule that ends the function wins.

    Args:
        context: The step. ``context.draft`` is the next state of the rollout, which the step may change.
    """
    draft = context.draft
    check_abort_criterion(context)
    has_definition = draft.definition_id is not None

    # 1. An aborted rollout that has sent nothing is over.
    if draft.abort_reason is not None and not has_definition and not draft.is_definition_unclear:
        _finish(context, Ending.ABORTED, "no task was created")
        return

    # 2. No call is made while AWS does not accept any, for example because the credentials have expired.
    if context.now_ms < draft.session.blocked_until_ms:
        context.wake_at(draft.session.blocked_until_ms)
        return

    # 3. An aborted rollout deletes what it can.
    if draft.abort_reason is not None:
        _wind_down(context)
        return

    # 4. While the clock of this machine is wrong, nothing is done at a time that the plan gives.
    if Subject.CLOCK in draft.problems:
        _look_at_problems(context)
        return

    # 5. The tasks that exist are watched, even if the rollout is paused or holds.
    if has_definition:
        _resolve_unclear_calls(context)
        look_at_tasks(context)
        check_envelope(context)
    if draft.pause_reason is not None:
        return
    if draft.problems:
        _look_at_problems(context)
        _let_gate_stop(context)
        return

    # 6. Nothing is in the way: the rollout goes on.
    if has_definition:
        _advance(context)
    else:
        _make_definition(context)


# --- the definition, and calls whose outcome is not known ---


def _make_definition(context: StepContext) -> None:
    """Look for the definition of the plan. Create it if there is none."""
    if context.draft.session.definitions_read_ms is None:
        context.request_action(ReadDefinitions())
    elif _is_object_checked(context, since_ms=context.draft.started_ms or 0):
        context.request_action(CreateDefinition())


def _is_object_checked(context: StepContext, since_ms: int) -> bool:
    """Return True if the update file was found unchanged since a time. Otherwise ask for another look at it."""
    if _was_seen_since(context, context.draft.session.object_checked_ms, since_ms):
        return True
    context.request_action(ReadObject())
    return False


def _was_seen_since(context: StepContext, seen_ms: int | None, since_ms: int) -> bool:
    """Return True if something was seen since a time. ``seen_ms`` is None if it was not seen yet.

    If the clock was set back, a time in the journal can be later than now. Then it must have been seen just now.
    """
    return seen_ms is not None and seen_ms >= min(since_ms, context.now_ms)


def _resolve_unclear_calls(context: StepContext) -> None:
    """Check the gateways for which a call was begun, and it is not known whether the call succeeded.

    Nothing is changed for such a gateway before it was read.

    Args:
        context: The step. ``context.draft`` is the next state of the rollout, which the step may change.
    """
    if not any(wave.count(Phase.CREATING, Phase.DELETING) for wave in context.draft.waves):
        return
    remaining = context.draft.settings.batch
    for gateway, progress in context.draft.gateways.items():
        if remaining == 0:
            return
        if progress.phase not in (Phase.CREATING, Phase.DELETING) or gateway in context.draft.problems:
            continue
        if progress.session.retry_ms > context.now_ms:
            context.wake_at(progress.session.retry_ms)
            continue
        context.request_action(CheckGateway(gateway))
        remaining -= 1


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
    if any(wave.count(Phase.CREATING, Phase.DELETING) or wave.count(INITIAL) for wave in waves):
        _leave_out_problems(context)
        return
    open_count = sum(wave.open_count for wave in waves)
    figures = _count_ends(waves)
    if not open_count:
        _finish(context, Ending.ABORTED, figures)
        return
    _leave_out_problems(context)
    if _has_waited_enough(context):
        _finish(context, Ending.ABORTED, f"{figures}, {open_count} not ended")


def _make_definition_known(context: StepContext) -> None:
    """Find out whether the definition exists, after a creation whose outcome is not known."""
    if context.draft.session.definitions_read_ms is None:
        context.request_action(ReadDefinitions())
        return
    _finish(context, Ending.ABORTED, "no task was created")


def _delete_pending(context: StepContext) -> None:
    """Delete PENDING tasks. Each task is read just before it is deleted, because it may have been offered meanwhile."""
    pending = ((gateway, progress) for gateway, progress in open_tasks(context) if progress.status is INITIAL)
    for gateway, progress in take_batch(context, pending):
        if is_just_read(context, progress.session.looked_ms):
            context.request_action(DeleteTask(gateway))
        else:
            context.request_action(ReadTask(gateway))


def _leave_out_problems(context: StepContext) -> None:
    """Leave out the gateways that have a problem. An aborted rollout does not wait until their problems are solved."""
    for subject, reason in list(context.draft.problems.items()):
        if subject in context.draft.plan.wave_of:
            context.record(Skipped(at_ms=context.now_ms, gateway=subject, reason=reason))


# --- problems ---


def _look_at_problems(context: StepContext) -> None:
    """Check at regular intervals whether the problems that hold the rollout have gone away."""
    draft = context.draft
    remaining = draft.settings.batch
    for subject in draft.problems:
        due_ms = draft.session.rechecked_ms.get(subject, 0) + draft.settings.recheck_ms
        if context.now_ms < due_ms:
            context.wake_at(due_ms)
        elif remaining:
            remaining -= 1
            draft.note_look_at_problem(subject, context.now_ms)
            _look_at_problem(context, subject)


def _look_at_problem(context: StepContext, subject: str) -> None:
    """Ask for the observation that shows whether a problem has gone away."""
    if subject in context.draft.plan.wave_of:
        context.request_action(CheckGateway(subject))
    elif subject == Subject.OBJECT:
        context.request_action(ReadObject())
    elif subject == Subject.CLOCK:
        context.request_action(CompareClock())
    elif subject in (Subject.DEFINITION, Subject.JOURNAL, Subject.RACE):
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
    """Do the next thing for the current wave: start it, create its tasks, or check its gate. Then end the rollout.

    A wave is a part of the fleet that gets its tasks together. A gate checks its results before the next wave begins.
    A hook is a command of the operator, which can hold the rollout.

    Args:
        context: The step. ``context.draft`` is the next state of the rollout, which the step may change.
    """
    draft = context.draft
    index = first_undecided(draft.waves)
    # 1. The hook must agree to the gates that were passed.
    if not _has_passed_hook_after_gate(context, index):
        return
    # 2. All gates are passed: only the tasks that have not ended are left.
    wave = draft.waves[index]
    if wave.decided_ms is not None:
        _finish_tail(context)
        return
    # 3. Start the wave.
    if wave.started_ms is None and not _start_wave(context, index):
        return
    # 4. Create its tasks. When the last one exists, check the gate.
    if draft.waves[index].is_created:
        check_gate(context, index)
    else:
        create_tasks(context, index)


def _has_passed_hook_after_gate(context: StepContext, index: int) -> bool:
    """Return True if the hook has let the rollout go on after each gate so far. Otherwise ask for the next run."""
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
    """Start a wave if the update file and the definitions are as planned, and the operator's hook agrees.

    Args:
        context: The step. ``context.draft`` is the next state of the rollout, which the step may change.
        index: The index of the wave.

    Returns:
        True if the wave was started. Otherwise the missing observations are asked for.
    """
    draft = context.draft
    # Both must have been looked at since the gate before this wave.
    since_ms = draft.started_ms if index == 0 else draft.waves[index - 1].decided_ms
    since_ms = since_ms or 0
    is_object_checked = _is_object_checked(context, since_ms)
    are_definitions_read = _was_seen_since(context, draft.session.definitions_read_ms, since_ms)
    if not are_definitions_read:
        context.request_action(ReadDefinitions())
    if not (is_object_checked and are_definitions_read):
        return False
    if draft.settings.has_hook and HookMoment.BEFORE_WAVE not in draft.waves[index].hooks_passed:
        context.request_action(RunHook(index, HookMoment.BEFORE_WAVE))
        return False
    context.record(WaveStarted(at_ms=context.now_ms, wave=index))
    return True


def _finish_tail(context: StepContext) -> None:
    """End the rollout if all tasks have ended, or if it has waited long enough for the last ones.

    The tail of a rollout is the time after its last gate, when only some tasks have not ended. A gate is the check of
    a wave's results that lets the rollout go on.

    Args:
        context: The step. ``context.draft`` is the next state of the rollout, which the step may change.
    """
    draft = context.draft
    open_count = sum(wave.open_count for wave in draft.waves)
    figures = _count_ends(draft.waves)
    # 1. All tasks have ended.
    if not open_count:
        _finish(context, Ending.COMPLETED, figures)
        return
    # 2. The others are not waited for any longer.
    if _has_waited_enough(context):
        _finish(context, Ending.COMPLETED, f"{figures}, {open_count} not ended")


def _has_waited_enough(context: StepContext) -> bool:
    """Return True if tasks that have not ended are not waited for any longer, after the last gate or an abort.

    Args:
        context: The step. It is given the time of the next step, if there is one.
    """
    # 1. A person has decided so.
    draft = context.draft
    if draft.is_tail_over:
        return True
    # 2. The time for them is over. The clock may be wrong, so it is first compared with that of AWS.
    limit_ms = latest_end_ms(draft) or 0
    if context.now_ms < limit_ms:
        context.wake_at(limit_ms)
        return False
    return is_clock_checked(context, limit_ms)


def _count_ends(waves: Sequence[WaveProgress]) -> str:
    """Return in words how the tasks of some waves have ended."""
    completed = sum(wave.count(TaskStatus.COMPLETED) for wave in waves)
    failed = sum(wave.count(TaskStatus.FAILED) for wave in waves)
    return f"{completed} COMPLETED, {failed} FAILED"


def _finish(context: StepContext, ending: Ending, reason: str) -> None:
    """Record how the rollout ended, and why."""
    context.record(Finished(at_ms=context.now_ms, ending=ending, reason=reason))
