"""The report on a rollout: what was planned, predicted and seen, who decided what, and what became of each gateway."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from lorafw.clock import format_iso
from lorafw.rollout.events import (
    Aborted,
    Commanded,
    EndedTaskDeleted,
    Event,
    Finished,
    GateChecked,
    HookRan,
    ProblemFound,
    ProblemSolved,
    Skipped,
    Started,
    StatusChanged,
    TaskCleaned,
    WaveStarted,
)
from lorafw.rollout.gates import describe_gate
from lorafw.rollout.state import Phase, RolloutState
from lorafw.rollout.status import status_document
from lorafw.tasks.lifecycle import TaskStatus

ROLLOUT: Final = "lorafw"
"""The actor of decisions that the plan makes."""


def report_document(state: RolloutState, events: Iterable[Event]) -> dict[str, Any]:
    """Return the report as a JSON document.

    Args:
        state: The state of the rollout.
        events: All events of its journal.
    """
    listed = list(events)
    waves = status_document(state)["waves"]
    return {
        **status_document(state),
        "planned": _planned(state),
        "waves": [{**wave, **_predicted(state, index)} for index, wave in enumerate(waves)],
        "decisions": list(_decisions(listed)),
        "gateways": list(_gateways_to_explain(state, listed)),
    }


def _planned(state: RolloutState) -> dict[str, Any]:
    """Return what was planned."""
    plan = state.plan
    return {
        "created_at": plan.created_at,
        "created_by": plan.created_by,
        "update_file": plan.update_object.url,
        "sha512": plan.update_object.sha512,
        "gates": [describe_gate(rule.gate) if rule.gate else "no gate" for rule in plan.wave_rules],
    }


def _predicted(state: RolloutState, wave: int) -> dict[str, Any]:
    """Return the mean numbers of gateways that were predicted for the end of a wave."""
    waves = state.plan.prediction.get("waves", [])
    if wave >= len(waves) or not waves[wave]["rollouts"]:
        return {}
    predicted = waves[wave]
    return {
        "predicted_completed": predicted["completed"]["mean"][-1],
        "predicted_failed": predicted["failed"]["mean"][-1],
    }


def _decisions(events: Iterable[Event]) -> Iterator[dict[str, str]]:
    """Yield who decided what, when and why."""
    actor = ROLLOUT
    for event in events:
        if isinstance(event, Started):
            actor = event.actor
        described = _describe(event)
        if described is None:
            continue
        decision, reason = described
        by = event.actor if isinstance(event, Commanded) else actor
        yield {"time": format_iso(event.at_ms), "actor": by, "decision": decision, "reason": reason}


def _describe(event: Event) -> tuple[str, str] | None:  # noqa: PLR0911 -- one return for each kind of event
    """Return a decision and its reason in words. None if the event is no decision."""
    if isinstance(event, Started):
        return "apply started", f"lorafw {event.version}"
    if isinstance(event, WaveStarted):
        return f"wave {event.wave + 1} started", ""
    if isinstance(event, GateChecked):
        return f"gate of wave {event.wave + 1}: {event.decision.name.lower()}", event.reason
    if isinstance(event, HookRan):
        return f"hook {event.moment} of wave {event.wave + 1}: status {event.exit_status}", event.output
    if isinstance(event, Commanded):
        return str(event.command), event.reason
    if isinstance(event, ProblemFound):
        return "hold", event.reason
    if isinstance(event, ProblemSolved):
        return "problem solved", event.subject
    if isinstance(event, Skipped):
        return f"gateway {event.gateway} left out", event.reason
    if isinstance(event, EndedTaskDeleted):
        return f"earlier task of gateway {event.gateway} deleted", f"{event.status}, definition {event.definition_id}"
    if isinstance(event, Aborted):
        return "abort", event.reason
    if isinstance(event, Finished):
        return str(event.ending), event.reason
    if isinstance(event, TaskCleaned):
        return f"task of gateway {event.gateway} deleted", str(event.status)
    return None


def _gateways_to_explain(state: RolloutState, events: Iterable[Event]) -> Iterator[dict[str, Any]]:
    """Yield every gateway that is not COMPLETED, with the reason that the log can give."""
    last_rows: dict[str, StatusChanged] = {event.gateway: event for event in events if isinstance(event, StatusChanged)}
    for gateway in state.plan.gateway_ids:
        progress = state.progress_of(gateway)
        if progress.status is TaskStatus.COMPLETED and progress.phase is Phase.ENDED:
            continue
        reason = state.problems.get(gateway) or progress.note or _reason(last_rows.get(gateway))
        yield {
            "gateway": gateway,
            "wave": progress.wave + 1,
            "status": progress.category,
            "attempt": progress.attempt,
            "reason": reason,
        }


def _reason(row: StatusChanged | None) -> str:
    """Return what the last row of a gateway's log says."""
    if row is None:
        return "it was not given a task"
    status = row.to_status or "no task"
    return f"{status} since {format_iso(row.time_ms)}: {row.cause}"


def format_report(document: Mapping[str, Any]) -> str:
    """Return the report as text.

    Args:
        document: The result of ``report_document``.
    """
    planned = document["planned"]
    lines = [
        f"{document['name']}: {document['state']}",
        f"  {document['reason']}",
        f"  {document['target']}; planned {planned['created_at']} by {planned['created_by']}",
        f"  {planned['update_file']}, SHA-512 {planned['sha512'][:16]}...",
        "",
        "Waves: what was planned, predicted and seen",
    ]
    for number, (wave, gate) in enumerate(zip(document["waves"], planned["gates"], strict=True), 1):
        lines += _format_wave(number, wave, gate)
    lines += ["", "Decisions: when, who, what and why"]
    lines += [_format_decision(decision) for decision in document["decisions"]]
    gateways = document["gateways"]
    lines += ["", f"Gateways that are not COMPLETED: {len(gateways)}"]
    lines += [f"  {each['gateway']}  wave {each['wave']}  {each['status']}  {each['reason']}" for each in gateways]
    return "\n".join(lines)


def _format_wave(number: int, wave: Mapping[str, Any], gate: str) -> list[str]:
    """Return the lines about one wave."""
    seen = f"seen {wave['completed']} COMPLETED, {wave['failed']} FAILED, {wave['open']} not ended"
    predicted = "no prediction"
    if "predicted_completed" in wave:
        predicted = f"predicted {wave['predicted_completed']:g} COMPLETED, {wave['predicted_failed']:g} FAILED"
    return [f"  wave {number}  {wave['size']} gateways, {wave['state']}: {seen}; {predicted}", f"          {gate}"]


def _format_decision(decision: Mapping[str, str]) -> str:
    """Return the line about one decision."""
    reason = f": {decision['reason']}" if decision["reason"] else ""
    return f"  {decision['time']}  {decision['actor']}  {decision['decision']}{reason}"
