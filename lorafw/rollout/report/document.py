"""The facts of a report: a JSON document from the plan, the state and the events of the journal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from lorafw.clock import format_iso
from lorafw.rollout.curves import WaveCourse, wave_courses
from lorafw.rollout.events import Event, StatusChanged
from lorafw.rollout.gates import describe_gate
from lorafw.rollout.report.decisions import list_decisions
from lorafw.rollout.state import Phase, RolloutState
from lorafw.rollout.status import status_document
from lorafw.tasks.lifecycle import TaskStatus

NO_TASK_REASON: Final = "it was not given a task"
"""The reason of a gateway that the rollout did not come to."""

Explain = Callable[[str], Sequence[str]]
"""Returns the lines that ``lorafw explain`` prints about a gateway, whose id it is given."""


def report_document(state: RolloutState, events: Iterable[Event], explain: Explain | None = None) -> dict[str, Any]:
    """Return the report as a JSON document: the one of ``lorafw rollout status``, with what was planned and decided.

    Args:
        state: The state of the rollout.
        events: All events of its journal.
        explain: Explains a gateway that has or had a task and is not COMPLETED. None if nobody is asked.
    """
    listed = list(events)
    document = status_document(state)
    document["last_event"] = format_iso(listed[-1].at_ms) if listed else None
    document["planned"] = _planned(state)
    for index, course in enumerate(wave_courses(state.plan, listed)):
        wave = document["waves"][index]
        wave["stalled"] = state.waves[index].stalled
        wave.update(_predicted_end(state, index))
        wave.update(_predicted_now(course))
    document["decisions"] = list_decisions(listed)
    document["not_completed"] = list(_not_completed(state, listed, explain))
    return document


def _planned(state: RolloutState) -> dict[str, Any]:
    """Return what was planned, and what the prediction assumes."""
    plan = state.plan
    return {
        "created_at": plan.created_at,
        "created_by": plan.created_by,
        "version": plan.version,
        "update_file": plan.update_object.url,
        "sha512": plan.update_object.sha512,
        "size_bytes": plan.update_object.size_bytes,
        "role": plan.role.arn,
        "from_version": str(plan.current_version),
        "to_version": str(plan.update_version or "any other version"),
        "gates": [describe_gate(rule.gate) if rule.gate else "no gate" for rule in plan.wave_rules],
        "replications": plan.prediction.get("replications", 0),
        "assumptions": [list(row) for row in plan.assumptions],
        "findings": list(plan.findings),
        "allowed": list(plan.allowed),
    }


def _predicted_now(course: WaveCourse) -> dict[str, Any]:
    """Return the numbers that were predicted for the last hour of a wave that is known. Empty if there is no band."""
    if not course.has_begun:
        return {}
    predicted = course.predicted_at(course.hours[-1])
    if predicted is None:
        return {}
    return {
        "predicted_now": {
            "hour": round(predicted.hour, 3),
            "completed": list(predicted.completed),
            "failed": list(predicted.failed),
            "stalled": list(predicted.stalled),
        }
    }


def _predicted_end(state: RolloutState, wave: int) -> dict[str, Any]:
    """Return the mean numbers of gateways that were predicted for the end of a wave."""
    waves = state.plan.prediction.get("waves", [])
    if wave >= len(waves) or not waves[wave]["rollouts"]:
        return {}
    predicted = waves[wave]
    return {
        "predicted_completed": predicted["completed"]["mean"][-1],
        "predicted_failed": predicted["failed"]["mean"][-1],
    }


def _not_completed(state: RolloutState, events: Iterable[Event], explain: Explain | None) -> Iterator[dict[str, Any]]:
    """Yield every gateway that is not COMPLETED, with the reason that the journal gives.

    Args:
        state: The state of the rollout.
        events: All events of its journal.
        explain: Explains a gateway that has or had a task. None if nobody is asked.
    """
    last_rows: dict[str, StatusChanged] = {event.gateway: event for event in events if isinstance(event, StatusChanged)}
    for gateway in state.plan.gateway_ids:
        progress = state.progress_of(gateway)
        if progress.status is TaskStatus.COMPLETED and progress.phase is Phase.ENDED:
            continue
        has_stalled = progress.has_stalled and progress.phase is Phase.OPEN
        reason = (
            state.problems.get(gateway)
            or progress.skip_reason
            or _reason(last_rows.get(gateway), has_stalled=has_stalled)
        )
        explanation: list[str] = []
        if explain is not None and reason != NO_TASK_REASON:
            explanation = list(explain(gateway))
        yield {
            "gateway": gateway,
            "wave": progress.wave + 1,
            "status": progress.category,
            "attempt": progress.attempt,
            "has_stalled": has_stalled,
            "reason": reason,
            "explanation": explanation,
        }


def _reason(row: StatusChanged | None, *, has_stalled: bool) -> str:
    """Return what the last row of a gateway's log says, and whether its update has stalled since."""
    if row is None:
        return NO_TASK_REASON
    status = row.to_status or "no task"
    stalled = ", and the update has stalled" if has_stalled else ""
    return f"{status} since {format_iso(row.time_ms)}: {row.cause}{stalled}"
