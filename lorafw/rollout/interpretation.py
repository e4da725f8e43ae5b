"""What an observation means: which events follow from it, and what is remembered of it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from lorafw.rollout.clock_check import handle_comparison
from lorafw.rollout.events import CallHadNoEffect, Commanded, DefinitionReady, Event, HookRan, Skipped, UpdateStalled
from lorafw.rollout.evolution import apply_event
from lorafw.rollout.looks import may_have_stalled
from lorafw.rollout.observations import (
    CallFailed,
    ClockCompared,
    DefinitionsRead,
    DeleteEndedTask,
    FailureKind,
    GatewayRead,
    GatewaysListed,
    ObjectRead,
    Observation,
    TaskSeen,
)
from lorafw.rollout.saved_plan import DEFINITION_TAG
from lorafw.rollout.state import GatewayProgress, GatewaySession, Phase, Subject
from lorafw.rollout.step_context import StepContext
from lorafw.rollout.task_log import changed_row, created_row, deleted_row
from lorafw.tasks.lifecycle import INITIAL, TERMINAL

_FIRST_RETRY_MS: Final = 1_000
_LAST_RETRY_MS: Final = 60_000
_CREDENTIALS_RETRY_MS: Final = 30_000
_DENIED_RETRY_MS: Final = 60_000
_UNCLEAR_RETRY_MS: Final = 5_000

GATEWAYS_PER_PAGE: Final = 250
"""The largest number of gateways that one call of ListWirelessGateways returns (documented)."""

_LIST_INTERVAL_MS_PER_PAGE: Final = 1_250
"""Listing may take a tenth of the calls that are allowed: a page takes an eighth of a second."""

_LONGEST_LIST_INTERVAL_MS: Final = 60 * 60_000
"""The gateways are listed at least once an hour."""
_LISTS_PER_PERIOD: Final = 24
"""The gateways are listed at least this often in a poll period, if the limit of calls allows it."""
_MANY: Final = 0.25
"""If at least this share of the gateways with open tasks was heard since the last list, the next one comes sooner."""
_FEW: Final = 0.05
"""If less than this share was heard, the next list comes later."""


def handle_observation(context: StepContext, observation: Observation) -> None:
    """Change the state in the way that an observation says, and record the events that follow from it.

    Args:
        context: The step. Its draft is changed.
        observation: What was seen or done at AWS, or what a person has commanded.
    """
    if isinstance(observation, CallFailed):
        _handle_failure(context, observation)
        return
    if not isinstance(observation, Commanded):
        _allow_calls(context)  # AWS has answered
    if isinstance(observation, Event):
        _handle_event(context, observation)
    elif isinstance(observation, ClockCompared):
        handle_comparison(context, observation)
    elif _is_clock_wrong(context):
        return  # it would be recorded with a wrong time, and is read again later
    elif isinstance(observation, GatewayRead):
        _handle_gateway_read(context, observation)
    elif isinstance(observation, GatewaysListed):
        _handle_list(context, observation)
    elif isinstance(observation, DefinitionsRead):
        _handle_definitions(context, observation)
    else:
        _handle_object(context, observation)


def _handle_event(context: StepContext, event: Event) -> None:
    """Apply an event that the journal has already."""
    apply_event(context.draft, event)
    if isinstance(event, HookRan):
        context.draft.note_look_at_problem(Subject.HOOK, context.now_ms)


def _is_clock_wrong(context: StepContext) -> bool:
    """Return True if nothing is recorded because the clock is wrong. An aborted rollout goes on to delete tasks."""
    return Subject.CLOCK in context.draft.problems and context.draft.abort_reason is None


# --- gateways and tasks ---


def _handle_gateway_read(context: StepContext, read: GatewayRead) -> None:
    """Handle what was read about a gateway and its task, and remember when it was read.

    Args:
        context: The step.
        read: The gateway and its task.
    """
    # 1. Handle what has changed, according to how far the rollout has come with the gateway.
    before = context.draft.progress_of(read.gateway)
    if before.phase in (Phase.WAITING, Phase.CREATING):
        _handle_gateway_before_task(context, read)
    elif before.phase is Phase.OPEN:
        _handle_open_task(context, before, read)
    elif before.phase is Phase.DELETING:
        _handle_unclear_deletion(context, before, read)
    else:
        return
    # 2. An update has stalled if its task has not ended some time after the first offer.
    after = context.draft.progress_of(read.gateway)
    if may_have_stalled(after, context.draft.plan.stall_ms, context.now_ms):
        context.record(UpdateStalled(at_ms=context.now_ms, gateway=read.gateway))
    # 3. Remember when the task was read, and how often it has not changed in a row.
    quiet_looks = 0
    if after.status == before.status:
        quiet_looks = before.session.quiet_looks + 1
    failures = 0
    if before.phase in (Phase.CREATING, Phase.DELETING):
        failures = after.session.failures  # only the next call shows whether it fails again
    session = GatewaySession(
        looked_ms=context.now_ms,
        seen_uplink_ms=_latest_uplink_ms(context, read),
        quiet_looks=quiet_looks,
        checked_ms=after.session.checked_ms,
        failures=failures,
    )
    context.draft.change_gateway(read.gateway, session=session)


def _latest_uplink_ms(context: StepContext, read: GatewayRead) -> int | None:
    """Return the time of the last uplink of a gateway that is known. None if none is known."""
    listed_ms = context.draft.session.uplinks_ms.get(read.gateway)
    task_ms = None
    if read.task is not None:
        task_ms = read.task.uplink_ms
    known = [uplink_ms for uplink_ms in (listed_ms, task_ms) if uplink_ms is not None]
    return max(known, default=None)


def _handle_gateway_before_task(context: StepContext, read: GatewayRead) -> None:
    """Handle a gateway for which the rollout may not have created a task yet."""
    task = read.task
    if not read.is_registered:
        context.report_problem(read.gateway, f"gateway {read.gateway} is not registered any more")
    elif task is None:
        _handle_gateway_without_task(context, read)
    elif task.definition_id == context.draft.definition_id:
        _adopt(context, read.gateway, task)
    elif task.status in TERMINAL and context.draft.settings.replaces_ended:
        context.request_action(DeleteEndedTask(read.gateway, task))
    else:
        context.report_problem(read.gateway, _task_in_the_way(read.gateway, task))


def _task_in_the_way(gateway: str, task: TaskSeen) -> str:
    """Return the reason to hold for a gateway that has a task of somebody else."""
    remedy = "wait until it has ended"
    if task.status in TERMINAL:
        remedy = "delete it, or start apply with --replace-ended"
    return f"gateway {gateway} has a task of another definition, {task.definition_id}, {task.status}; {remedy}"


def _handle_gateway_without_task(context: StepContext, read: GatewayRead) -> None:
    """Decide whether a gateway that has no task may get one."""
    plan, version = context.draft.plan, read.version
    if context.draft.progress_of(read.gateway).phase is Phase.CREATING:
        context.record(CallHadNoEffect(at_ms=context.now_ms, gateway=read.gateway))
    if version is None or plan.current_version.accepts(version):
        context.solve_problem(read.gateway)
        session = replace(context.draft.progress_of(read.gateway).session, checked_ms=context.now_ms)
        context.draft.change_gateway(read.gateway, session=session)
    elif plan.update_version is not None and plan.update_version.accepts(version):
        reason = "it presents the new version already"
        context.record(Skipped(at_ms=context.now_ms, gateway=read.gateway, reason=reason))
    else:
        reason = f"gateway {read.gateway} presents {version}, which is not the CurrentVersion of the plan"
        context.report_problem(read.gateway, reason)


def _adopt(context: StepContext, gateway: str, task: TaskSeen) -> None:
    """Take over a task of the plan's definition, which this or an earlier ``apply`` has created."""
    context.solve_problem(gateway)
    created_ms = context.now_ms
    if task.created_ms is not None:
        created_ms = min(task.created_ms, context.now_ms)  # the clock of a testbed can be ahead by days
    context.record(created_row(gateway, created_ms, context.now_ms))
    if task.status is not INITIAL:
        _record_change(context, gateway, context.draft.progress_of(gateway), task)


def _handle_open_task(context: StepContext, before: GatewayProgress, read: GatewayRead) -> None:
    """Handle a gateway whose task had not ended when it was read last."""
    task = read.task
    if not read.is_registered:
        context.report_problem(read.gateway, f"gateway {read.gateway} was deleted while it had a task")
    elif task is None:
        context.report_problem(read.gateway, f"the task of gateway {read.gateway} was deleted by somebody else")
    elif task.definition_id != context.draft.definition_id:
        reason = f"the task of gateway {read.gateway} was replaced by one of definition {task.definition_id}"
        context.report_problem(read.gateway, reason)
    else:
        context.solve_problem(read.gateway)
        if task.status is not before.status:
            _record_change(context, read.gateway, before, task)


def _record_change(context: StepContext, gateway: str, before: GatewayProgress, task: TaskSeen) -> None:
    """Record that the status of a task has changed."""
    silence_timeout_ms = context.draft.plan.plan.silence_timeout_ms
    context.record(changed_row(gateway, before, task, context.now_ms, silence_timeout_ms))
    if task.status in TERMINAL:
        context.has_ended_tasks = True


def _handle_unclear_deletion(context: StepContext, before: GatewayProgress, read: GatewayRead) -> None:
    """Handle a gateway for which it was not known whether its task was deleted."""
    task = read.task
    if task is None or task.definition_id != context.draft.definition_id:
        context.record(deleted_row(read.gateway, before, context.now_ms))
        return
    context.record(CallHadNoEffect(at_ms=context.now_ms, gateway=read.gateway))
    _handle_open_task(context, before, read)


def _handle_list(context: StepContext, listed: GatewaysListed) -> None:
    """Remember the last uplinks, and decide when to list the gateways again."""
    context.draft.change_session(
        uplinks_ms=listed.uplinks_ms,
        listed_ms=context.now_ms,
        list_interval_ms=_next_list_interval_ms(context, listed),
    )


def _next_list_interval_ms(context: StepContext, listed: GatewaysListed) -> int:
    """Return how long to wait before the gateways are listed again.

    The interval is halved if many gateways with open tasks were heard since the last list, and doubled if few were.
    """
    draft, seen_ms = context.draft, context.draft.session.uplinks_ms
    with_open_task = [gateway for gateway, progress in draft.gateways.items() if progress.phase is Phase.OPEN]
    heard = sum(listed.uplinks_ms.get(gateway) != seen_ms.get(gateway) for gateway in with_open_task)
    interval_ms = draft.session.list_interval_ms
    if heard >= len(with_open_task) * _MANY:
        interval_ms //= 2
    elif heard < len(with_open_task) * _FEW:
        interval_ms *= 2

    pages = math.ceil(len(listed.uplinks_ms) / GATEWAYS_PER_PAGE)
    shortest_ms = max(draft.settings.min_list_interval_ms, pages * _LIST_INTERVAL_MS_PER_PAGE)
    longest_ms = min(_LONGEST_LIST_INTERVAL_MS, draft.plan.poll_period_ms // _LISTS_PER_PERIOD)
    longest_ms = max(shortest_ms, longest_ms)
    return min(max(interval_ms, shortest_ms), longest_ms)


# --- the definition and the update file ---


def _handle_definitions(context: StepContext, read: DefinitionsRead) -> None:
    """Handle whether the definition of the plan exists, and whether other definitions race it."""
    draft = context.draft
    draft.change_session(definitions_read_ms=context.now_ms)
    _handle_tagged_definitions(context, read.tagged_ids)
    if not read.racing_ids:
        context.solve_problem(Subject.RACE)
        return
    names = ", ".join(read.racing_ids)
    reason = f"AutoCreateTasks of {names} gives gateways of this plan a task at their next request; delete it first"
    context.report_problem(Subject.RACE, reason)


def _handle_tagged_definitions(context: StepContext, tagged_ids: tuple[str, ...]) -> None:
    """Handle which definitions have the tag of the plan. The rollout uses the one that it has created."""
    definition_id = context.draft.definition_id
    if definition_id is None and tagged_ids:
        _adopt_definition(context, tagged_ids[0])
        return
    context.solve_problem(Subject.JOURNAL)
    if definition_id is None or definition_id in tagged_ids:
        context.solve_problem(Subject.DEFINITION)
        return
    reason = (
        f"the task definition {definition_id} was deleted, or its tag {DEFINITION_TAG} was removed. "
        "Put the tag back, or abort and make a new plan"
    )
    context.report_problem(Subject.DEFINITION, reason)


def _adopt_definition(context: StepContext, definition_id: str) -> None:
    """Use a definition that exists already, if this journal has announced its creation or a person agrees."""
    draft = context.draft
    reason = (
        f"another apply has carried out a part of this plan, with another journal: it has created {definition_id}. "
        "Use that journal. If it is lost, promote"
    )
    if not draft.is_definition_unclear and reason not in draft.accepted_reasons:
        draft.change_session(definitions_read_ms=None)  # read again after a promotion
        context.report_problem(Subject.JOURNAL, reason)
        return
    context.record(DefinitionReady(at_ms=context.now_ms, definition_id=definition_id))


def _handle_object(context: StepContext, read: ObjectRead) -> None:
    """Handle whether the update file is still that of the plan."""
    if read.difference is not None:
        reason = f"{read.difference}. Put it back, or abort and make a new plan"
        context.report_problem(Subject.OBJECT, reason)
        return
    context.solve_problem(Subject.OBJECT)
    context.draft.change_session(object_checked_ms=context.now_ms)


# --- failures ---


def _handle_failure(context: StepContext, failure: CallFailed) -> None:
    """Decide when a call that failed may be made again, and whether the rollout holds.

    Args:
        context: The step.
        failure: The call, and why it failed.
    """
    if failure.operation == "CreateWirelessGatewayTaskDefinition":
        context.draft.change_session(definitions_read_ms=None)  # look for it before it is created again
    if failure.kind is FailureKind.CREDENTIALS:
        _stop_calls(context, f"the credentials do not work: {failure.message}", _CREDENTIALS_RETRY_MS)
    elif failure.kind is FailureKind.DENIED:
        _stop_calls(context, f"{failure.operation} is not allowed: {failure.message}", _DENIED_RETRY_MS)
    elif failure.kind is FailureKind.INVALID and failure.gateway is not None:
        reason = f"AWS refuses {failure.operation} for gateway {failure.gateway}: {failure.message}"
        context.report_problem(failure.gateway, reason)
    elif failure.gateway is None:
        _stop_calls(context, f"{failure.operation} failed: {failure.message}", _UNCLEAR_RETRY_MS)
    if failure.gateway is not None:
        _delay_gateway(context, failure.gateway)


def _stop_calls(context: StepContext, reason: str, delay_ms: int) -> None:
    """Make no call of AWS for ``delay_ms`` milliseconds, and say why."""
    context.draft.change_session(blocked_reason=reason, blocked_until_ms=context.now_ms + delay_ms)


def _allow_calls(context: StepContext) -> None:
    """Make calls of AWS again."""
    if context.draft.session.blocked_reason:
        context.draft.change_session(blocked_reason="", blocked_until_ms=0)


def _delay_gateway(context: StepContext, gateway: str) -> None:
    """Make no call for a gateway for a while. The delay doubles with each failure in a row."""
    session = context.draft.progress_of(gateway).session
    delay_ms = min(_FIRST_RETRY_MS * 2 ** min(session.failures, 10), _LAST_RETRY_MS)
    session = replace(session, failures=session.failures + 1, retry_ms=context.now_ms + delay_ms, checked_ms=None)
    context.draft.change_gateway(gateway, session=session)
