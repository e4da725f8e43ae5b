"""Stage 2 of a step: the server evaluates the version that each gateway presents."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from lorafw.fleet.simulation.active import ActiveGateways, PresentedVersion
from lorafw.fleet.simulation.codes import Fault, fault_code, status_code
from lorafw.fleet.simulation.history_writer import HistoryWriter
from lorafw.fleet.simulation.inputs import SimulationParameters
from lorafw.fleet.simulation.step import Step
from lorafw.tasks.lifecycle import Cause, TaskEvent, TaskStatus

_SECOND_RETRY: Final = status_code(TaskStatus.SECOND_RETRY)
_NO_FAULT: Final = fault_code(Fault.NONE)


def check_version(
    active: ActiveGateways, step: Step, writer: HistoryWriter
) -> tuple[ActiveGateways, ActiveGateways | None]:
    """Evaluate the version that each gateway presents.

    The new version completes the task. Any other one after a delivered update is a failed attempt, and the third failed
    attempt ends the task.

    Args:
        active: The gateways that make an exchange.
        step: The inputs of this step: the plan, the conditions, the gateways and the outages.
        writer: Records what happens to the tasks.

    Returns:
        The gateways that are to be sent the update, and those that poll again later without one.
    """
    active = replace(active, last_request_ms=active.next_event_ms)
    if step.number == 0:
        if step.columns.task_created_ms is None:
            writer.record_creation(active.batch_index, active.next_event_ms, Cause.CREATED_AUTOMATICALLY)
        return active, None
    active = _complete_updated(active, step.params, writer)
    retrying = None
    if step.params.any_version_differs:
        active, retrying = _fail_other_version(active, writer)
    return _fail_last_attempt(active, writer), retrying


def _complete_updated(active: ActiveGateways, params: SimulationParameters, writer: HistoryWriter) -> ActiveGateways:
    """Complete the tasks of gateways that present the new version, and return the other gateways.

    If the definition has no UpdateVersion, any version other than the old one completes the task.
    """
    updated = active.presented != PresentedVersion.OLD
    if params.has_update_version:
        updated = active.presented == PresentedVersion.NEW
    if not updated.any():
        return active
    completed = active.select(updated)
    # An earlier fault does not explain a completed task, but a different version is a fault of this one.
    is_other = completed.presented == PresentedVersion.OTHER
    fault = np.where(is_other, completed.last_fault, _NO_FAULT)
    writer.record_ends(completed, completed.next_event_ms, TaskEvent.TAKES_EFFECT, Cause.NEW_VERSION, fault)
    return active.select(~updated)


def _fail_other_version(active: ActiveGateways, writer: HistoryWriter) -> tuple[ActiveGateways, ActiveGateways | None]:
    """Count a failed attempt for gateways that present neither the old nor the new version. They are sent nothing.

    Returns:
        The other gateways, and those that present this version again at their next poll.
    """
    other = active.presented == PresentedVersion.OTHER
    if not other.any():
        return active, None
    is_last = active.status == _SECOND_RETRY
    _end_failed(active.select(other & is_last), Cause.OTHER_VERSION, writer)
    retrying = writer.record_failed_attempts(active.select(other & ~is_last), Cause.OTHER_VERSION)
    next_poll_ms = retrying.next_event_ms + retrying.period_ms
    retrying = retrying.scheduled(
        next_poll_ms, presented=PresentedVersion.OTHER, poll_certain=False, download_broken=False
    )
    return active.select(~other), retrying


def _fail_last_attempt(active: ActiveGateways, writer: HistoryWriter) -> ActiveGateways:
    """End the tasks whose third attempt failed, and return the other gateways.

    A download that broke off is not a failed attempt.
    """
    failed = (active.status == _SECOND_RETRY) & ~active.download_broken
    if not failed.any():
        return active
    _end_failed(active.select(failed), Cause.OLD_VERSION, writer)
    return active.select(~failed)


def _end_failed(active: ActiveGateways, cause: Cause, writer: HistoryWriter) -> None:
    """Record that the tasks are FAILED because their last attempt failed."""
    writer.record_ends(active, active.next_event_ms, TaskEvent.ATTEMPT_FAILED, cause, active.last_fault)
