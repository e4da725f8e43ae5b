"""Descriptions in words: a plan, and what stopped a rollout, each in one line."""

from __future__ import annotations

from collections.abc import Sequence

from lorafw.fleet.formatting import format_duration, format_percent
from lorafw.fleet.plan import Abort, Gate, Manual, Plan, Rate, Threshold, Wave
from lorafw.fleet.result import Result
from lorafw.fleet.simulation.gates import GateDecision
from lorafw.fleet.simulation.inputs import NEVER


def describe_plan(plan: Plan) -> str:
    """Return a line about the plan: its waves with bake times and gates, its rate, and its abort criterion."""
    parts = ["every gateway at once"]
    if plan.waves:
        parts = [_describe_waves(plan.waves)]
    if plan.rate is not None:
        parts.append(_describe_rate(plan.rate))
    if plan.random_delay_s:
        parts.append(f"each task up to {format_duration(plan.random_delay_s)} later, by chance")
    if plan.abort is not None:
        parts.append(_describe_abort(plan.abort))
    return "; ".join(parts)


def describe_stop(result: Result, replication: int = 0) -> str:
    """Return a line about what stopped a rollout, and when.

    Args:
        result: The result of the simulation.
        replication: The number of the rollout.

    Returns:
        The line, which is empty if the rollout was not stopped.
    """
    stopped_ms = int(result.stopped_ms[replication])
    if stopped_ms >= NEVER:
        return ""
    time = format_duration(stopped_ms / 1000)
    for number, record in enumerate(result.waves, 1):
        # No gate decides after a stop, so a gate that aborted is what stopped the rollout.
        if record.decision[replication] == GateDecision.ABORT:
            return f"stopped by the gate of wave {number} after {time}"
    return f"stopped by the abort criterion after {time}"


def _describe_waves(waves: Sequence[Wave]) -> str:
    """Return the sizes of the waves, and the gates after them. Gates that are all alike are described once."""
    sizes = " + ".join(describe_size(wave) for wave in waves)
    # Nothing follows the last wave, so it matters only if it has a gate.
    has_last_gate = waves[-1].gate is not None
    gated_waves = waves if has_last_gate else waves[:-1]
    gates = [describe_gate(wave) for wave in gated_waves]
    if len(set(gates)) == 1:
        return f"{sizes} of the fleet; after each wave {gates[0]}"
    gates_by_wave = [f"after wave {number} {gate}" for number, gate in enumerate(gates, 1)]
    return "; ".join([f"{sizes} of the fleet", *gates_by_wave])


def describe_size(wave: Wave) -> str:
    """Return the size of a wave, as a share or as a number of gateways."""
    if wave.share is None:
        return f"{wave.size:,} gateways"
    return format_percent(wave.share)


def describe_gate(wave: Wave) -> str:
    """Return what happens between this wave and the next one."""
    if wave.gate is not None:
        return f"a gate, from {format_duration(wave.bake_s)} on: {_describe_criterion(wave.gate)}"
    if wave.bake_s:
        return f"{format_duration(wave.bake_s)} pass"
    return "the next begins"


def _describe_criterion(gate: Gate) -> str:
    """Return when a gate goes on and when it aborts."""
    if isinstance(gate, Manual):
        return "go when somebody promotes the rollout"
    if isinstance(gate, Threshold):
        return f"go at {format_percent(gate.success)} COMPLETED, stop at {format_percent(gate.error)} FAILED"
    return (
        f"go when {format_percent(gate.go)} sure that at most {format_percent(gate.acceptable)} fail, "
        f"stop when {format_percent(gate.abort)} sure that more do"
    )


def _describe_rate(rate: Rate) -> str:
    """Return how fast tasks are created."""
    if rate.base_per_minute is None:
        return f"{rate.maximum_per_minute:,} tasks a minute"
    return f"{rate.base_per_minute:,} tasks a minute at first, {rate.maximum_per_minute:,} at most"


def _describe_abort(abort: Abort) -> str:
    """Return when the abort criterion stops the rollout, with the comparison written out."""
    threshold = format_percent(abort.threshold)
    return f"stops when failed / ended >= {threshold} and ended >= {abort.minimum_executed:,}"
