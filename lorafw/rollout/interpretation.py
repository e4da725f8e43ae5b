"""What an observation means: which events follow from it, and what is remembered of it."""

from __future__ import annotations

from typing import Final

from lorafw.rollout.events import Commanded, DefinitionReady, Event, HookRan, Skipped, UpdateStalled
from lorafw.rollout.looks import may_have_stalled
from lorafw.rollout.observations import (
    CallFailed,
    DefinitionsRead,
    DeleteEndedTask,
    FailureKind,
    GatewayRead,
    GatewaysListed,
    ObjectRead,
    Observation,
    TaskSeen,
)
from lorafw.rollout.state import GatewayProgress, Phase, Subject
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

_LONGEST_SWEEP_MS: Final = 60 * 60_000
_MANY: Final = 0.25
"""If at least this share of the gateways with open tasks was heard since the last list, the next one comes sooner."""
_FEW: Final = 0.05
"""If less than this share was heard, the next list comes later."""
_SWEEPS_PER_PERIOD: Final = 24


def take_in(context: StepContext, observation: Observation) -> None:
    """Take one observation into account. Records what follows from it."""
    if isinstance(observation, CallFailed):
        _take_failure(context, observation)
        return
    if not isinstance(observation, Commanded):
        context.draft.set(blocked_reason="", blocked_until_ms=0)
    if isinstance(observation, Event):
        context.draft.apply(observation)
        if isinstance(observation, HookRan):
            context.draft.rechecked_ms[Subject.HOOK] = context.now_ms
    elif isinstance(observation, GatewayRead):
        _take_gateway(context, observation)
    elif isinstance(observation, GatewaysListed):
        _take_list(context, observation)
    elif isinstance(observation, DefinitionsRead):
        _take_definitions(context, observation)
    else:
        _take_object(context, observation)


# --- gateways and tasks ---


def _take_gateway(context: StepContext, read: GatewayRead) -> None:
    """Take in what was read about a gateway and its task."""
    before = context.draft.progress_of(read.gateway)
    if before.phase in (Phase.WAITING, Phase.CREATING):
        _take_before_task(context, read)
    elif before.phase is Phase.OPEN:
        _take_open(context, before, read)
    elif before.phase is Phase.DELETING:
        _take_deleting(context, before, read)
    else:
        return
    after = context.draft.progress_of(read.gateway)
    is_quiet = after.status == before.status
    quiet_looks = before.quiet_looks + 1 if is_quiet else 0
    if may_have_stalled(after, context.draft.plan.stall_ms, context.now_ms):
        context.record(UpdateStalled(at_ms=context.now_ms, gateway=read.gateway))
    context.draft.change_gateway(
        read.gateway,
        looked_ms=context.now_ms,
        seen_uplink_ms=_latest_uplink(context, read),
        quiet_looks=quiet_looks,
        failures=0,
        retry_ms=0,
    )


def _latest_uplink(context: StepContext, read: GatewayRead) -> int | None:
    """Return the latest uplink of a gateway that is known."""
    listed_ms = context.draft.uplinks_ms.get(read.gateway)
    task_ms = read.task.uplink_ms if read.task is not None else None
    known = [uplink_ms for uplink_ms in (listed_ms, task_ms) if uplink_ms is not None]
    return max(known, default=None)


def _take_before_task(context: StepContext, read: GatewayRead) -> None:
    """Take in what was read about a gateway for which the rollout may not have created a task."""
    task = read.task
    if not read.is_registered:
        context.report_problem(read.gateway, f"gateway {read.gateway} is not registered any more")
    elif task is None:
        _take_without_task(context, read)
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


def _take_without_task(context: StepContext, read: GatewayRead) -> None:
    """Decide whether a gateway that has no task may get one."""
    plan, version = context.draft.plan, read.version
    if version is None or plan.current_version.accepts(version):
        context.solve_problem(read.gateway)
        context.draft.change_gateway(read.gateway, phase=Phase.WAITING, checked_ms=context.now_ms)
    elif plan.update_version is not None and plan.update_version.accepts(version):
        reason = "it presents the new version already"
        context.record(Skipped(at_ms=context.now_ms, gateway=read.gateway, reason=reason))
    else:
        reason = f"gateway {read.gateway} presents {version}, which is not the CurrentVersion of the plan"
        context.report_problem(read.gateway, reason)


def _adopt(context: StepContext, gateway: str, task: TaskSeen) -> None:
    """Take over a task of the plan's definition, which this or an earlier ``apply`` has created."""
    context.solve_problem(gateway)
    created_ms = task.created_ms if task.created_ms is not None else context.now_ms
    context.record(created_row(gateway, created_ms, context.now_ms))
    if task.status is not INITIAL:
        _record_change(context, gateway, context.draft.progress_of(gateway), task)


def _take_open(context: StepContext, before: GatewayProgress, read: GatewayRead) -> None:
    """Take in what was read about a task that had not ended."""
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


def _take_deleting(context: StepContext, before: GatewayProgress, read: GatewayRead) -> None:
    """Take in what was read about a task for which it was not known whether it was deleted."""
    task = read.task
    if task is None or task.definition_id != context.draft.definition_id:
        context.record(deleted_row(read.gateway, before, context.now_ms))
        return
    context.draft.change_gateway(read.gateway, phase=Phase.OPEN)
    _take_open(context, before, read)


def _take_list(context: StepContext, listed: GatewaysListed) -> None:
    """Take in the last uplinks, and decide when to list the gateways again."""
    draft = context.draft
    known_ms = draft.uplinks_ms
    opened = [gateway for gateway, progress in draft.gateways.items() if progress.phase is Phase.OPEN]
    heard = sum(listed.uplinks_ms.get(gateway) != known_ms.get(gateway) for gateway in opened)
    pages = -(-len(listed.uplinks_ms) // GATEWAYS_PER_PAGE)
    shortest_ms = max(draft.settings.min_list_interval_ms, pages * _LIST_INTERVAL_MS_PER_PAGE)
    longest_ms = max(shortest_ms, min(_LONGEST_SWEEP_MS, draft.plan.poll_period_ms // _SWEEPS_PER_PERIOD))
    list_interval_ms = draft.list_interval_ms
    if heard >= len(opened) * _MANY:
        list_interval_ms //= 2
    elif heard < len(opened) * _FEW:
        list_interval_ms *= 2
    list_interval_ms = min(max(list_interval_ms, shortest_ms), longest_ms)
    draft.set(uplinks_ms=listed.uplinks_ms, listed_ms=context.now_ms, list_interval_ms=list_interval_ms)


# --- the definition and the update file ---


def _take_definitions(context: StepContext, read: DefinitionsRead) -> None:
    """Take in whether the definition of the plan exists, and whether others race it."""
    draft = context.draft
    draft.set(definitions_read_ms=context.now_ms)
    if draft.definition_id is None and read.own_id is not None:
        context.record(DefinitionReady(at_ms=context.now_ms, definition_id=read.own_id))
    if draft.definition_id is not None and read.own_id is None:
        reason = f"the task definition {draft.definition_id} was deleted, or its tag was removed"
        context.report_problem(Subject.DEFINITION, reason)
    else:
        context.solve_problem(Subject.DEFINITION)
    if not read.racing:
        context.solve_problem(Subject.RACE)
        return
    names = ", ".join(read.racing)
    reason = f"AutoCreateTasks of {names} gives gateways of this plan a task at their next request; delete it first"
    context.report_problem(Subject.RACE, reason)


def _take_object(context: StepContext, read: ObjectRead) -> None:
    """Take in whether the update file is still that of the plan."""
    if read.difference is not None:
        reason = f"{read.difference}. Put it back, or abort and make a new plan"
        context.report_problem(Subject.OBJECT, reason)
        return
    context.solve_problem(Subject.OBJECT)
    context.draft.set(object_checked_ms=context.now_ms)


# --- failures ---


def _take_failure(context: StepContext, failure: CallFailed) -> None:
    """Take in that a call failed: decide when it may be made again, and whether the rollout holds."""
    if failure.operation == "CreateWirelessGatewayTaskDefinition":
        context.draft.set(definitions_read_ms=None)  # look for it before it is created again
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


def _stop_calls(context: StepContext, blocked_reason: str, delay_ms: int) -> None:
    """Make no call for a while, and say why."""
    context.draft.set(blocked_reason=blocked_reason, blocked_until_ms=context.now_ms + delay_ms)


def _delay_gateway(context: StepContext, gateway: str) -> None:
    """Make no call for a gateway for a while: longer after each failure in a row."""
    failures = context.draft.progress_of(gateway).failures
    delay_ms = min(_FIRST_RETRY_MS * 2 ** min(failures, 10), _LAST_RETRY_MS)
    context.draft.change_gateway(gateway, failures=failures + 1, retry_ms=context.now_ms + delay_ms, checked_ms=None)
