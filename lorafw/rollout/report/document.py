"""The facts of a report: a JSON document from the plan, the state and the events of the journal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from lorafw.clock import format_iso
from lorafw.fleet.formatting import format_duration
from lorafw.fleet.plan import Manual, Wave
from lorafw.rollout.curves import WaveCourse, wave_courses
from lorafw.rollout.events import Event, StatusChanged
from lorafw.rollout.gates import describe_gate
from lorafw.rollout.report.decisions import list_decisions
from lorafw.rollout.state import GatewayProgress, Phase, RolloutState
from lorafw.rollout.status import status_document
from lorafw.tasks.lifecycle import TaskStatus

NO_TASK_REASON: Final = "it was not given a task"
"""The reason of a gateway that the rollout did not come to."""

Explain = Callable[[str], Sequence[str]]
"""Returns the lines that ``lorafw explain`` prints about a gateway, whose id it is given."""


def report_document(state: RolloutState, events: Iterable[Event], explain: Explain | None = None) -> dict[str, Any]:
    """Return the report of a rollout as a JSON document.

    It has everything that ``lorafw rollout status`` shows. It adds what was planned and predicted, what was decided,
    and why some gateways are not COMPLETED.

    Args:
        state: The state of the rollout.
        events: All events of its journal.
        explain: Explains a gateway that has or had a task and is not COMPLETED. None if nobody is asked.
    """
    listed = list(events)
    document = status_document(state)
    # 1. What was planned, and how far each wave is from its prediction.
    document["last_event"] = format_iso(listed[-1].at_ms) if listed else None
    document["planned"] = _planned(state)
    for index, course in enumerate(wave_courses(state.plan, listed)):
        wave = document["waves"][index]
        wave["stalled"] = state.waves[index].stalled
        wave.update(_predicted_end(state, index))
        wave.update(_predicted_now(course))
    # 2. What gates and people decided.
    document["decisions"] = list_decisions(listed)
    # 3. The gateways that somebody must still look at.
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
        "gates": [_describe_rule(rule) for rule in plan.wave_rules],
        "replications": plan.prediction.get("replications", 0),
        "assumptions": [list(row) for row in plan.assumptions],
        "findings": list(plan.findings),
        "allowed": list(plan.allowed),
    }


def _describe_rule(rule: Wave) -> str:
    """Return the comparison of the gate of a wave, and how long the gate may be undecided."""
    if rule.gate is None:
        return "no gate"
    comparison = describe_gate(rule.gate)
    if isinstance(rule.gate, Manual):
        return comparison
    return f"{comparison}, stops when undecided for {format_duration(rule.give_up_s)}"


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
        reason = _reason(state, gateway, last_rows.get(gateway))
        explanation: list[str] = []
        if explain is not None and reason != NO_TASK_REASON:
            explanation = list(explain(gateway))
        yield {
            "gateway": gateway,
            "wave": progress.wave + 1,
            "status": progress.category,
            "attempt": progress.attempt,
            "has_stalled": _has_stalled(progress),
            "reason": reason,
            "explanation": explanation,
        }


def _reason(state: RolloutState, gateway: str, last_row: StatusChanged | None) -> str:
    """Return why a gateway is not COMPLETED.

    Args:
        state: The state of the rollout.
        gateway: The id of the gateway.
        last_row: The last change of the status of its task. None if it was not given a task.
    """
    # 1. Something prevents its task.
    if gateway in state.problems:
        return state.problems[gateway]
    # 2. It was left out of the rollout.
    progress = state.progress_of(gateway)
    if progress.skip_reason:
        return progress.skip_reason
    # 3. The rollout did not come to it.
    if last_row is None:
        return NO_TASK_REASON
    # 4. Its task has not succeeded.
    status = last_row.to_status or "no task"
    reason = f"{status} since {format_iso(last_row.time_ms)}: {last_row.cause}"
    if _has_stalled(progress):
        reason += ", and the update has stalled"
    return reason


def _has_stalled(progress: GatewayProgress) -> bool:
    """Return True if the task has not ended, although half a poll period has passed since the first offer."""
    return progress.has_stalled and progress.phase is Phase.OPEN
