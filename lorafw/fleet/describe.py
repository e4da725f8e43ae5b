"""A plan, and what stopped a rollout, each in one line of words."""

from __future__ import annotations

from collections.abc import Sequence

from lorafw.fleet.formatting import format_duration, format_percent
from lorafw.fleet.plan import Abort, Gate, Plan, Rate, Threshold, Wave
from lorafw.fleet.result import Result
from lorafw.fleet.simulation.gates import GateDecision
from lorafw.fleet.simulation.inputs import NEVER


def describe_plan(plan: Plan) -> str:
    """Waves with their bake times and gates, rate and abort criterion, as the plan has them."""
    told = [_waves(plan.waves) if plan.waves else "every gateway at once"]
    if plan.rate is not None:
        told.append(_rate(plan.rate))
    if plan.random_delay_s:
        told.append(f"each task up to {format_duration(plan.random_delay_s)} later, by chance")
    if plan.abort is not None:
        told.append(_abort(plan.abort))
    return "; ".join(told)


def describe_stop(result: Result, replication: int = 0) -> str:
    """What stopped this replication, and when; empty where nothing did."""
    stopped = int(result.stopped_ms[replication])
    if stopped >= NEVER:
        return ""
    after = format_duration(stopped / 1000)
    for number, record in enumerate(result.waves, 1):
        if (
            record.decision[replication] == GateDecision.ABORT
        ):  # a gate looks only while nothing has stopped the rollout
            return f"stopped by the gate of wave {number} after {after}"
    return f"stopped by the abort criterion after {after}"


def _waves(waves: Sequence[Wave]) -> str:
    """The parts of the fleet, and what is asked between them: once, where it is the same after each."""
    parts = " + ".join(
        f"{wave.size:,} gateways" if wave.share is None else format_percent(wave.share) for wave in waves
    )
    asked = [_describe_gate(wave) for wave in waves[:-1]]
    if waves[-1].gate is not None:
        asked.append(_describe_gate(waves[-1]))
    if len(set(asked)) == 1:
        return f"{parts} of the fleet; after each wave {asked[0]}"
    return "; ".join((f"{parts} of the fleet", *(f"after wave {at} {one}" for at, one in enumerate(asked, 1))))


def _describe_gate(wave: Wave) -> str:
    if wave.gate is None:
        return f"{format_duration(wave.bake_s)} pass" if wave.bake_s else "the next begins"
    return f"a gate, from {format_duration(wave.bake_s)} on: {_gate(wave.gate)}"


def _gate(gate: Gate) -> str:
    if isinstance(gate, Threshold):
        return f"go at {format_percent(gate.success)} COMPLETED, stop at {format_percent(gate.error)} FAILED"
    return (
        f"go when {format_percent(gate.go)} sure that at most {format_percent(gate.acceptable)} fail, "
        f"stop when {format_percent(gate.abort)} sure that more do"
    )


def _rate(rate: Rate) -> str:
    if rate.base_per_minute is None:
        return f"{rate.maximum_per_minute:,} tasks a minute"
    return f"{rate.base_per_minute:,} tasks a minute at first, {rate.maximum_per_minute:,} at most"


def _abort(abort: Abort) -> str:
    return f"stops when {format_percent(abort.threshold)} of at least {abort.minimum_executed:,} that ended are FAILED"
