"""The report as text, and the sentences that all of its forms share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from lorafw.rollout.one_task import SAFEGUARDS, describe_calls, describe_tasks
from lorafw.rollout.report.document import NO_TASK_REASON

NO_PREDICTION: Final = "no prediction"
STALLED: Final = "stalled: not ended half a polling period after the offer"


def format_report(document: Mapping[str, Any]) -> str:
    """Return the report as text.

    Args:
        document: The result of ``report_document``.
    """
    sections = [
        _summary_lines(document),
        _waves_lines(document),
        _tasks_lines(document),
        _failures_lines(document),
        _decisions_lines(document),
        _not_completed_lines(document),
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines)


def list_facts(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what was planned, as pairs of a name and a value.

    Args:
        document: The result of ``report_document``.
    """
    planned = document["planned"]
    facts = [
        ("target", document["target"]),
        ("planned", f"{planned['created_at']} by {planned['created_by']} with lorafw {planned['version']}"),
        ("started", document["started"] or "not yet"),
        ("last event", document["last_event"] or "none"),
        ("update file", f"{planned['update_file']}, {planned['size_bytes']:,} bytes"),
        ("SHA-512", planned["sha512"]),
        ("role", planned["role"]),
        ("from", planned["from_version"]),
        ("to", planned["to_version"]),
        ("definition", document["definition"] or "not created yet"),
        ("gateways", f"{document['gateways']:,}"),
        ("plan", document["plan"]),
    ]
    facts += [("finding", finding) for finding in planned["findings"]]
    if planned["allowed"]:
        facts.append(("overridden rules", ", ".join(planned["allowed"])))
    return facts


def describe_seen(wave: Mapping[str, Any]) -> str:
    """Return in words what was seen of a wave.

    Args:
        wave: Its part of the document.
    """
    seen = f"{wave['completed']} COMPLETED, {wave['failed']} FAILED, {wave['open']} not ended"
    notes = [f"{wave[name]} {words}" for name, words in _NOTES.items() if wave[name]]
    return ", ".join([seen, *notes])


_NOTES: Final = {"stalled": "had stalled", "skipped": "left out"}
"""What is told about a wave only if it happened."""


def describe_predicted(wave: Mapping[str, Any]) -> str:
    """Return in words what was predicted for a wave: for the hour that it has reached, and for its end.

    Args:
        wave: Its part of the document.
    """
    if "predicted_completed" not in wave:
        return NO_PREDICTION
    end = f"{wave['predicted_completed']:g} COMPLETED and {wave['predicted_failed']:g} FAILED on average in the end"
    if "predicted_now" not in wave:
        return end
    now = wave["predicted_now"]
    completed, failed = (f"{low} to {high}" for low, high in (now["completed"], now["failed"]))
    counts = f"{completed} COMPLETED, {failed} FAILED and at most {now['stalled'][1]} stalled"
    return f"{counts} after {now['hour']:.1f} h; {end}"


def describe_reason(decision: Mapping[str, Any]) -> str:
    """Return the reason of a decision, and how often it was made if that was more than once.

    Args:
        decision: One of the decisions of the document.
    """
    if decision["times"] == 1:
        return str(decision["reason"])
    return f"{decision['reason']} ({decision['times']} times, last {decision['until']})"


def describe_deciders(document: Mapping[str, Any]) -> str:
    """Return in words who has made the decisions, and so who can be asked about them.

    Args:
        document: The result of ``report_document``.
    """
    planner = document["planned"]["created_by"]
    return (
        "Each name is that of the user or the AWS identity that ran the command. Waves, gates and the abort criterion "
        f"follow the plan. Ask {planner}, who made the plan, about their limits."
    )


def gateways_with_reason(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the gateways that are not COMPLETED and that have a reason of their own."""
    return [gateway for gateway in document["not_completed"] if gateway["reason"] != NO_TASK_REASON]


def without_task(document: Mapping[str, Any]) -> dict[int, list[str]]:
    """Return the ids of the gateways that were not given a task, by the number of their wave."""
    ids: dict[int, list[str]] = {}
    for gateway in document["not_completed"]:
        if gateway["reason"] == NO_TASK_REASON:
            ids.setdefault(gateway["wave"], []).append(gateway["gateway"])
    return ids


def _summary_lines(document: Mapping[str, Any]) -> list[str]:
    """Return the lines about the rollout as a whole."""
    planned = document["planned"]
    return [
        f"{document['name']}: {document['state']}",
        f"  {document['reason']}",
        f"  {document['target']}; planned {planned['created_at']} by {planned['created_by']}",
        f"  {planned['update_file']}, SHA-512 {planned['sha512'][:16]}...",
        f"  from {planned['from_version']} to {planned['to_version']}",
    ]


def _waves_lines(document: Mapping[str, Any]) -> list[str]:
    """Return the lines about the waves."""
    lines = [f"Waves: what was planned, predicted and seen ({STALLED})"]
    waves_and_gates = zip(document["waves"], document["planned"]["gates"], strict=True)
    for number, (wave, gate) in enumerate(waves_and_gates, 1):
        lines += _wave_lines(number, wave, gate)
    return lines


def _wave_lines(number: int, wave: Mapping[str, Any], gate: str) -> list[str]:
    """Return the lines about one wave."""
    prediction = describe_predicted(wave)
    if prediction != NO_PREDICTION:
        prediction = f"predicted {prediction}"
    return [
        f"  wave {number}  {wave['size']} gateways, {wave['state']}: seen {describe_seen(wave)}",
        f"          {prediction}",
        f"          {gate}",
    ]


def _tasks_lines(document: Mapping[str, Any]) -> list[str]:
    """Return the lines about the number of tasks, and about what keeps a gateway from getting two."""
    sentences = [describe_calls(document), *SAFEGUARDS]
    return [f"Tasks: {describe_tasks(document)}", *_indent(sentences)]


def _failures_lines(document: Mapping[str, Any]) -> list[str]:
    """Return the lines about what the FAILED tasks mean. Empty if there are none."""
    if not document["failures"]:
        return []
    return ["FAILED tasks: what they mean", *_indent(document["failures"])]


def _indent(sentences: Iterable[str]) -> list[str]:
    """Return a line for each sentence, which belongs to the line above."""
    return [f"  {sentence}" for sentence in sentences]


def _decisions_lines(document: Mapping[str, Any]) -> list[str]:
    """Return the lines about the decisions."""
    lines = ["Decisions: when, who, what and why", f"  {describe_deciders(document)}"]
    lines += [_decision_line(decision) for decision in document["decisions"]]
    return lines


def _decision_line(decision: Mapping[str, Any]) -> str:
    """Return the line about one decision."""
    reason = describe_reason(decision)
    line = f"  {decision['time']}  {decision['actor']}  {decision['decision']}"
    return f"{line}: {reason}" if reason else line


def _not_completed_lines(document: Mapping[str, Any]) -> list[str]:
    """Return the lines about the gateways that are not COMPLETED."""
    lines = [f"Gateways that are not COMPLETED: {len(document['not_completed'])}"]
    for gateway in gateways_with_reason(document):
        lines.append(f"  {gateway['gateway']}  wave {gateway['wave']}  {gateway['status']}  {gateway['reason']}")
        lines += [f"      {line}" for line in gateway["explanation"]]
    for wave, ids in without_task(document).items():
        lines.append(f"  wave {wave}: {len(ids)} gateways were not given a task")
    return lines
