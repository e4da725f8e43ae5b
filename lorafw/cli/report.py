"""What `lorafw simulate` shows to a person: figures with their intervals, the sweep, and what it all rests on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from lorafw.fleet.formatting import format_duration, format_number, format_percent, metric_label
from lorafw.fleet.simulation.gates import GateDecision
from lorafw.fleet.simulation.inputs import NEVER
from lorafw.fleet.statistics.sample_size import min_wave_size
from lorafw.fleet.statistics.summary import summary_rows

if TYPE_CHECKING:
    from lorafw.fleet import Fleet, Plan, Result, Summary
    from lorafw.fleet.plan import Gate
    from lorafw.fleet.statistics.comparison import PlanDifference


def table(rows: Sequence[Sequence[str]], indent: str = "  ") -> str:
    """Columns as wide as they need be; the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        lines.append(indent + "  ".join(cells).rstrip())
    return "\n".join(lines)


def format_report(result: Result, summary: Summary, sweep: Sequence[tuple[Plan, Summary]]) -> str:
    """The whole answer."""
    parts = [_title(result), _figures(result, summary)]
    if result.plan.waves:
        parts.append(_waves(result))
    if sweep:
        parts.append(_sweep(sweep))
    parts.append(_assumptions(result))
    return "\n\n".join(parts)


def _title(result: Result) -> str:
    count, plan = result.replications, result.plan
    rollouts = "one rollout" if count == 1 else f"{count:,} rollouts"
    return (
        f"{result.fleet.size:,} gateways, plan '{plan.name}', {rollouts}, seed {result.seed}:"
        f" if {format_percent(plan.update.fails)} of installs fail"
    )


def _figures(result: Result, summary: Summary) -> str:
    rows = [("", "", f"{summary.level * 100:g} % interval")]
    rows += summary_rows(summary, aborted=_can_stop(result.plan) and result.replications > 1)
    if _can_stop(result.plan) and result.replications == 1:
        stopped = result.stopped_ms[0]
        rows.append(("aborted", "no" if stopped == NEVER else f"after {format_duration(stopped / 1000)}", ""))
    return table(rows)


def _can_stop(plan: Plan) -> bool:
    return plan.abort is not None or any(wave.gate is not None for wave in plan.waves)


def _waves(result: Result) -> str:
    """When each wave began, and what its gate said."""
    begin, lines = 0, []
    for index, (record, end) in enumerate(zip(result.waves, result.plan.wave_ends(result.fleet.size), strict=True), 1):
        began = record.started_ms < NEVER
        if not began.any():
            told = "did not begin"
        elif result.replications == 1:
            told = f"after {format_duration(record.started_ms[0] / 1000)}" + _decision(result, index - 1)
        else:
            goes = (record.decision == GateDecision.GO).mean()
            told = f"began in {format_percent(began.mean())} of rollouts, after {format_duration(record.started_ms[began].mean() / 1000)}"
            told += (
                f" on average; its gate let {format_percent(goes)} go on" if result.plan.waves[index - 1].gate else ""
            )
        told += _undersized_canary_note(result.plan.waves[index - 1].gate, end - begin)
        lines.append((f"wave {index}", f"{end - begin:,} gateways", told))
        begin = end
    width = max(len(gateways) for _, gateways, _ in lines)
    return "\n".join(f"  {wave}  {gateways:>{width}}  {told}" for wave, gateways, told in lines)


def _undersized_canary_note(gate: Gate | None, gateways: int) -> str:
    """A canary can be so small that no outcome lets the rollout go on."""
    needed = None if gate is None else min_wave_size(gate)
    if gate is None or (needed is not None and gateways >= needed):
        return ""
    return f" (too few for its gate ever to say go: that takes {needed or 'more than a million'}, all COMPLETED)"


def _decision(result: Result, index: int) -> str:
    if result.plan.waves[index].gate is None:
        return ""
    verdict = GateDecision(int(result.waves[index].decision[0]))
    if verdict is GateDecision.HOLD:
        if result.stopped_ms[0] < NEVER:
            return "; stopped before its gate"
        return (
            f"; its gate had not decided when the plan's horizon came, after {format_duration(result.plan.horizon_s)}"
        )
    when = result.waves[index].decided_ms[0] if verdict is GateDecision.GO else result.stopped_ms[0]
    return f"; its gate said {verdict.name.lower()}" + (
        f" after {format_duration(when / 1000)}" if when < NEVER else ""
    )


SWEEP_COLUMNS: Final = ("COMPLETED", "FAILED", "sends", "50 % after", "95 % after", "last after", "aborted")


def _sweep(sweep: Sequence[tuple[Plan, Summary]]) -> str:
    rows: list[Sequence[str]] = [("installs that fail", *SWEEP_COLUMNS)]
    for plan, one in sweep:
        times = [one.time_to_completed_s["p50"], one.time_to_completed_s["p95"], one.time_to_last_s]
        cells = [figure.said(format_percent) for figure in (one.completed_share, one.failed_share)]
        cells += [one.mean_sends.said(format_number), *(figure.said(format_duration) for figure in times)]
        rows.append((format_percent(plan.update.fails), *cells, one.aborted_share.said(format_percent)))
    if not _can_stop(sweep[0][0]):
        rows = [row[:-1] for row in rows]
    return (
        "No figure for failing updates in the field can be trusted, so for each of these, with equal luck:\n\n"
        + table(rows)
    )


def _assumptions(result: Result) -> str:
    rows = result.assumptions()
    width, middle = (max(len(row[column]) for row in rows) for column in (0, 1))
    lines = [f"  {name:<{width}}  {value:<{middle}}  {source}" for name, value, source in rows]
    return "It rests on:\n\n" + "\n".join(lines)


def format_comparison(
    fleet: Fleet, plans: Sequence[Plan], rows: Sequence[PlanDifference], seed: int, replications: int, level: float
) -> str:
    """Two plans side by side, and the difference that is due to them."""
    first, second = (plan.name for plan in plans)
    if first == second:
        first, second = f"{first} (A)", f"{second} (B)"
    title = (
        f"{fleet.size:,} gateways, {replications:,} rollouts of each plan with equal luck, seed {seed};"
        f" {' and '.join(format_percent(plan.update.fails) for plan in plans)} of installs fail"
    )
    lines: list[Any] = [("", first, second, "difference", f"{level * 100:g} % interval", "fewer")]
    for row in rows:
        label, say = metric_label(row.name)
        fewer = "" if row.fewer is None else f"x {row.fewer:.1f}"
        both = (row.first, row.second, row.difference)
        lines.append((label, *(figure.said(say) for figure in both), row.difference.format_interval(say), fewer))
    return (
        f"{title}\n\n{table(lines)}\n\n"
        "The difference is second - first, rollout by rollout. Fewer: with luck of its own for each plan, so many\n"
        "times the rollouts would be needed for the same interval."
    )
