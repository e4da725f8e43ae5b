"""A saved plan and the state of a rollout as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from lorafw.clock import format_iso
from lorafw.fleet.describe import describe_plan as describe_waves
from lorafw.fleet.formatting import format_duration
from lorafw.rollout.advice import advise
from lorafw.rollout.gates import describe_gate
from lorafw.rollout.one_task import describe_tasks
from lorafw.rollout.rates import CALLS_PER_S
from lorafw.rollout.saved_plan import SavedPlan, to_document
from lorafw.rollout.state import RolloutState, Subject, first_undecided
from lorafw.rollout.status import counts_of, describe_state, next_look_ms, status_document

_CALLS_PER_GATEWAY: Final = {
    "GetWirelessGatewayTask": "1 before its task is created, then when its status can have changed",
    "GetWirelessGatewayFirmwareInformation": "1",
    "CreateWirelessGatewayTask": "1",
}
"""The calls for each gateway, and how many there are."""


def plan_document(plan: SavedPlan) -> dict[str, Any]:
    """Return a plan as JSON without its gateways and curves, which take most of the file."""
    document = to_document(plan)
    document["sha256"] = plan.sha256
    document["waves"] = [{"size": len(wave.gateways)} for wave in plan.waves]
    waves = document["prediction"].get("waves", [])
    document["prediction"] = {**document["prediction"], "waves": [_wave_summary(wave) for wave in waves]}
    return document


def _wave_summary(wave: Any) -> dict[str, Any]:
    """Return the end of the predicted curves of a wave."""
    summary: dict[str, Any] = {"rollouts": wave["rollouts"]}
    if wave["rollouts"]:
        summary["hours"] = wave["hours"][-1]
        summary["completed"] = wave["completed"]["mean"][-1]
        summary["failed"] = wave["failed"]["mean"][-1]
    return summary


def describe_plan(plan: SavedPlan) -> str:
    """Return a saved plan as text: where it leads, what it does, and what it predicts."""
    file = plan.update_object
    lines = [
        f"Plan {plan.sha256[:12]} '{plan.plan.name}' for {plan.target}",
        f"  made {plan.created_at} by {plan.created_by} with lorafw {plan.version}",
        f"  update file   {file.url}, version {file.version_id}, {file.size_bytes:,} bytes",
        f"                SHA-512 {file.sha512}",
        f"  role          {plan.role.arn}",
        f"  from          {plan.current_version}",
        f"  to            {plan.update_version or 'any other version (the definition has no UpdateVersion)'}",
        f"  waves         {describe_waves(plan.plan)}",
    ]
    lines += _describe_each_wave(plan)
    lines += _describe_calls(plan)
    looked = f"{plan.sample.size} of {len(plan.gateway_ids):,} gateways were looked at"
    lines.append(f"  sample        {looked}: {_counts(plan.sample.versions)}; tasks: {_counts(plan.sample.tasks)}")
    lines += [f"  finding       {finding}" for finding in plan.findings]
    if plan.allowed:
        lines.append(f"  allowed       {', '.join(plan.allowed)}")
    return "\n".join(lines)


def _describe_each_wave(plan: SavedPlan) -> list[str]:
    """Return a line for each wave: its size, its gate and its prediction."""
    predicted = plan.prediction.get("waves", [])
    lines = []
    for index, (wave, rule) in enumerate(zip(plan.waves, plan.wave_rules, strict=True)):
        gate = "no gate"
        if rule.gate is not None:
            gate = f"after {format_duration(rule.bake_s)} {describe_gate(rule.gate)}"
        lines.append(f"    wave {index + 1}      {len(wave.gateways):,} gateways; {gate}")
        if index < len(predicted) and predicted[index]["rollouts"]:
            end = _wave_summary(predicted[index])
            share = f"began in {end['rollouts']:,} of {plan.prediction['replications']:,} simulated rollouts"
            lines.append(
                f"                {share}; after {end['hours']:.1f} h on average {end['completed']:g} COMPLETED, "
                f"{end['failed']:g} FAILED"
            )
    return lines


def _describe_calls(plan: SavedPlan) -> list[str]:
    """Return which calls are made, and how long they take."""
    gateways = len(plan.gateway_ids)
    lines = ["  calls         for each gateway:"]
    lines += [f"    {operation}: {count}" for operation, count in _CALLS_PER_GATEWAY.items()]
    at_least = format_duration(gateways / CALLS_PER_S)
    lines.append(f"    at {CALLS_PER_S:g} calls of an operation a second, creating all tasks takes {at_least} at least")
    return lines


def _counts(counts: Any) -> str:
    """Return counts as text."""
    return ", ".join(f"{count} x {name}" for name, count in counts.items()) or "none"


def progress_line(state: RolloutState) -> str:
    """Return one line about a rollout."""
    description = describe_state(state)
    counts = ", ".join(f"{count} {name}" for name, count in counts_of(state).items() if count)
    return f"{description.name}: {description.reason} [{counts}]"


def describe_status(state: RolloutState) -> str:
    """Return the status of a rollout as text."""
    document = status_document(state)
    lines = [f"{document['name']}: {document['state']}", f"  {document['reason']}"]
    for number, wave in enumerate(document["waves"], 1):
        seen = f"{wave['completed']} COMPLETED, {wave['failed']} FAILED, {wave['open']} not ended"
        skipped = f", {wave['skipped']} left out" if wave["skipped"] else ""
        deleted = f", {wave['deleted']} deleted" if wave["deleted"] else ""
        lines.append(f"  wave {number}  {wave['size']} gateways, {wave['state']}: {seen}{skipped}{deleted}")
    lines += _describe_tasks(document)
    lines += _label("failed", document["failures"])
    if len(state.problems) > 1:
        lines += _label("hold", state.problems.values())
    look_ms = next_look_ms(state)
    if look_ms is not None:
        lines.append(f"  next    {_next_step(state)} at {format_iso(look_ms)}")
    lines += _label("advice", advise(state))
    return "\n".join(lines)


def _label(label: str, sentences: Iterable[str]) -> list[str]:
    """Return a line for each sentence. The first line has the label, the others are indented."""
    lines = []
    for sentence in sentences:
        lines.append(f"  {label:8}{sentence}")
        label = ""
    return lines


def _describe_tasks(document: Mapping[str, Any]) -> list[str]:
    """Return how many tasks were created, and what keeps a gateway from being given two. Empty before the first."""
    if not document["tasks"]["announced"]:
        return []
    safeguard = "after a crash 'apply' asks AWS whether a task exists before it creates one; 'report' says more"
    return _label("tasks", [describe_tasks(document), safeguard])


def _next_step(state: RolloutState) -> str:
    """Return what is due next, other than what the gateways do."""
    if not state.waves[first_undecided(state.waves)].is_created:
        return "a task is created"
    if Subject.ENVELOPE in state.problems:
        return "the gate is checked, which may stop the rollout but does not end the hold,"
    return "the gate is checked"
