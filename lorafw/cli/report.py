"""Format what `lorafw simulate` prints: estimates with their intervals, the waves, the sweep and the assumptions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lorafw.fleet.formatting import format_duration, format_number, format_percent, metric_label
from lorafw.fleet.simulation.gates import GateDecision
from lorafw.fleet.simulation.inputs import NEVER
from lorafw.fleet.statistics.sample_size import min_wave_size
from lorafw.fleet.statistics.summary import summary_rows

if TYPE_CHECKING:
    from lorafw.fleet import Fleet, Plan, Result, Summary
    from lorafw.fleet.plan import Gate
    from lorafw.fleet.result import WaveRecord
    from lorafw.fleet.statistics.comparison import PlanDifference

SWEEP_COLUMNS: Final = ("COMPLETED", "FAILED", "sends", "50 % after", "95 % after", "last after", "aborted")


def table(rows: Sequence[Sequence[str]], indent: str = "  ") -> str:
    """Return the rows as lines of text with aligned columns.

    The first column is aligned to the left, all others to the right.

    Args:
        rows: Cells by row. All rows have the same number of cells.
        indent: Text in front of each line.
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for first, *others in rows:
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append(indent + "  ".join(cells).rstrip())
    return "\n".join(lines)


def format_report(result: Result, summary: Summary, sweep: Sequence[tuple[Plan, Summary]]) -> str:
    """Return the report on a simulated rollout.

    Args:
        result: The simulated rollout.
        summary: Its estimates.
        sweep: The same plan with other failure probabilities, and the estimates for each. May be empty.
    """
    parts = [_format_title(result), _format_estimates(result, summary)]
    if result.plan.waves:
        parts.append(_format_waves(result))
    if sweep:
        parts.append(_format_sweep(sweep))
    parts.append(_format_assumptions(result))
    return "\n\n".join(parts)


def _format_title(result: Result) -> str:
    """Return the first line of the report: what was simulated."""
    plan = result.plan
    rollouts = "one rollout"
    if result.replications > 1:
        rollouts = f"{result.replications:,} rollouts"
    return (
        f"{result.fleet.size:,} gateways, plan '{plan.name}', {rollouts}, seed {result.seed}:"
        f" if {format_percent(plan.update.fails)} of installs fail"
    )


def _format_estimates(result: Result, summary: Summary) -> str:
    """Return the table of estimates with their confidence intervals."""
    has_several = result.replications > 1
    can_stop = _can_stop(result.plan)
    rows = [("", "", f"{summary.level * 100:g} % interval")]
    rows += summary_rows(summary, aborted=can_stop and has_several)
    if can_stop and not has_several:
        rows.append(("aborted", _describe_stop_time(result), ""))
    return table(rows)


def _can_stop(plan: Plan) -> bool:
    """Return whether a gate or the abort criterion of the plan can stop the rollout."""
    return plan.abort is not None or any(wave.gate is not None for wave in plan.waves)


def _describe_stop_time(result: Result) -> str:
    """Return when a single rollout was stopped, or "no"."""
    stopped_ms = result.stopped_ms[0]
    if stopped_ms == NEVER:
        return "no"
    return f"after {format_duration(stopped_ms / 1000)}"


@dataclass(frozen=True, slots=True)
class _SimulatedWave:
    """One wave of a plan, with what happened to it in the simulation."""

    gateway_count: int
    gate: Gate | None
    record: WaveRecord


def _iter_waves(result: Result) -> Iterator[_SimulatedWave]:
    """Yield the waves of a rollout in their order."""
    wave_start = 0
    wave_ends = result.plan.wave_ends(result.fleet.size)
    for wave, wave_end, record in zip(result.plan.waves, wave_ends, result.waves, strict=True):
        yield _SimulatedWave(wave_end - wave_start, wave.gate, record)
        wave_start = wave_end


def _format_waves(result: Result) -> str:
    """Return a line for each wave: its size, when it started, and what its gate decided."""
    waves = list(_iter_waves(result))
    counts = [f"{wave.gateway_count:,} gateways" for wave in waves]
    width = max(map(len, counts))
    lines = []
    for number, (wave, count) in enumerate(zip(waves, counts, strict=True), 1):
        description = _describe_wave(result, wave) + _undersized_canary_note(wave.gate, wave.gateway_count)
        lines.append(f"  wave {number}  {count:>{width}}  {description}")
    return "\n".join(lines)


def _describe_wave(result: Result, wave: _SimulatedWave) -> str:
    """Return when a wave started and what its gate decided."""
    has_started = wave.record.started_ms < NEVER
    if not has_started.any():
        return "did not begin"
    if result.replications == 1:
        return f"after {format_duration(wave.record.started_ms[0] / 1000)}" + _describe_gate_decision(result, wave)
    mean_start_s = wave.record.started_ms[has_started].mean() / 1000
    description = (
        f"began in {format_percent(has_started.mean())} of rollouts, after {format_duration(mean_start_s)} on average"
    )
    if wave.gate is None:
        return description
    proceed_share = (wave.record.decision == GateDecision.GO).mean()
    return f"{description}; its gate let {format_percent(proceed_share)} go on"


def _describe_gate_decision(result: Result, wave: _SimulatedWave) -> str:
    """Return what the gate of a wave decided in a single rollout, and when. Empty if the wave has no gate."""
    if wave.gate is None:
        return ""
    decision = GateDecision(int(wave.record.decision[0]))
    if decision is GateDecision.HOLD:
        return _describe_undecided_gate(result)
    decided_ms = result.stopped_ms[0]
    if decision is GateDecision.GO:
        decided_ms = wave.record.decided_ms[0]
    description = f"; its gate said {decision.name.lower()}"
    if decided_ms == NEVER:
        return description
    return f"{description} after {format_duration(decided_ms / 1000)}"


def _describe_undecided_gate(result: Result) -> str:
    """Return why a gate did not decide in a single rollout."""
    if result.stopped_ms[0] < NEVER:
        return "; stopped before its gate"
    horizon = format_duration(result.plan.horizon_s)
    return f"; its gate had not decided when the plan's horizon came, after {horizon}"


def _undersized_canary_note(gate: Gate | None, gateway_count: int) -> str:
    """Return a note if the wave is so small that its gate can never let the rollout go on. Otherwise it is empty."""
    if gate is None:
        return ""
    needed = min_wave_size(gate)
    if needed is not None and gateway_count >= needed:
        return ""
    return f" (too few for its gate ever to say go: that takes {needed or 'more than a million'}, all COMPLETED)"


def _format_sweep(sweep: Sequence[tuple[Plan, Summary]]) -> str:
    """Return the table with one line of estimates for each failure probability."""
    rows: list[Sequence[str]] = [("installs that fail", *SWEEP_COLUMNS)]
    rows += [_sweep_row(plan, summary) for plan, summary in sweep]
    first_plan, _ = sweep[0]
    if not _can_stop(first_plan):
        rows = [row[:-1] for row in rows]  # without the column "aborted"
    introduction = (
        "There is no published figure for how many updates fail in the field. With these, and the same random numbers:"
    )
    return f"{introduction}\n\n{table(rows)}"


def _sweep_row(plan: Plan, summary: Summary) -> list[str]:
    """Return the cells of one line of the sweep, in the order of ``SWEEP_COLUMNS``."""
    return [
        format_percent(plan.update.fails),
        summary.completed_share.format(format_percent),
        summary.failed_share.format(format_percent),
        summary.mean_sends.format(format_number),
        summary.time_to_completed_s["p50"].format(format_duration),
        summary.time_to_completed_s["p95"].format(format_duration),
        summary.time_to_last_s.format(format_duration),
        summary.aborted_share.format(format_percent),
    ]


def _format_assumptions(result: Result) -> str:
    """Return the list of all assumptions with their values and sources."""
    rows = result.assumptions()
    name_width = max(len(name) for name, _, _ in rows)
    value_width = max(len(value) for _, value, _ in rows)
    lines = [f"  {name:<{name_width}}  {value:<{value_width}}  {source}" for name, value, source in rows]
    return "Assumptions and their sources:\n\n" + "\n".join(lines)


def format_comparison(
    fleet: Fleet, plans: Sequence[Plan], rows: Sequence[PlanDifference], seed: int, replications: int, level: float
) -> str:
    """Return the table that compares two plans on one fleet.

    Args:
        fleet: The fleet that both plans were simulated on.
        plans: The two plans.
        rows: The differences between them, one for each metric.
        seed: Seed of the random numbers.
        replications: Number of rollouts of each plan.
        level: Confidence level of the intervals.
    """
    failures = " and ".join(format_percent(plan.update.fails) for plan in plans)
    title = (
        f"{fleet.size:,} gateways, {replications:,} rollouts of each plan with common random numbers, seed {seed};"
        f" {failures} of installs fail"
    )
    lines = [("", *_plan_names(plans), "difference", f"{level * 100:g} % interval", "fewer")]
    lines += [_comparison_row(row) for row in rows]
    return (
        f"{title}\n\n{table(lines)}\n\n"
        "The difference is second - first, rollout by rollout. Fewer: with independent random numbers for each plan,\n"
        "this many times the rollouts would be needed for the same interval."
    )


def _plan_names(plans: Sequence[Plan]) -> tuple[str, str]:
    """Return the names of two plans, with a letter added if the names are equal."""
    first, second = (plan.name for plan in plans)
    if first == second:
        return f"{first} (A)", f"{second} (B)"
    return first, second


def _comparison_row(row: PlanDifference) -> tuple[str, str, str, str, str, str]:
    """Return the cells of one metric: its value under both plans, the difference with its interval, and the saving."""
    label, formatter = metric_label(row.name)
    fewer = ""
    if row.variance_ratio is not None:
        fewer = f"x {row.variance_ratio:.1f}"
    return (
        label,
        row.first.format(formatter),
        row.second.format(formatter),
        row.difference.format(formatter),
        row.difference.format_interval(formatter),
        fewer,
    )
