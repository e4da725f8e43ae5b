"""The plot of waves: one bar for each wave, with the decision of its gate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lorafw.fleet.result import Result
from lorafw.fleet.simulation.gates import GateDecision
from lorafw.fleet.simulation.inputs import NEVER
from lorafw.lab.plots.figure import (
    ANNOTATION_STYLE,
    BAR_EDGE_STYLE,
    BLUE,
    GREY,
    ORANGE,
    SKY,
    AccessibleFigure,
    describe_subject,
    new_axes,
)
from lorafw.lab.plots.timeline import HOUR_MS, rollout_end_h

_DECISION_MARKERS: Final[Mapping[GateDecision, tuple[str, str]]] = {
    GateDecision.GO: (">", BLUE),
    GateDecision.ABORT: ("X", ORANGE),
    GateDecision.HOLD: ("d", GREY),
}
"""The shape and the colour of each decision."""
_DECISION_LABELS: Final[Mapping[GateDecision, str]] = {
    GateDecision.GO: "go, the next wave begins",
    GateDecision.ABORT: "abort, no wave begins any more",
    GateDecision.HOLD: "hold, it has not decided",
}
"""The text of each decision in the legend."""


@dataclass(frozen=True, slots=True)
class _WaveRow:
    """A wave of the first rollout. Times are in hours since the rollout began."""

    gateways: int
    """Number of gateways in the wave."""
    start_h: float | None
    """When it began. None means that it did not begin."""
    end_h: float
    """When it ended: when its gate decided, or with the rollout."""
    decision: GateDecision | None
    """The decision of its gate. None means that it has no gate."""


def waves(result: Result) -> AccessibleFigure:
    """Plot when each wave ran, and the decision of its gate.

    A wave is a part of the fleet that is updated together. Its gate decides whether the next wave begins.

    Args:
        result: The result to plot. The figure shows its first rollout.

    Returns:
        The figure. Its alternative text states the numbers.
    """
    figure, axes = new_axes("Waves, each until its gate decides", "hours since the start", "")
    rows = _wave_rows(result)
    sentences = []
    labels = []
    for position, row in enumerate(rows):
        description = _draw_wave(axes, position, row)
        sentences.append(f"wave {position + 1}, {row.gateways:,} gateways: {description}")
        labels.append(f"wave {position + 1}\n{row.gateways:,} gateways")
    axes.set_yticks(range(len(rows)), labels)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0, rollout_end_h(result) * 1.08)
    _draw_legend_below(figure, axes)
    return AccessibleFigure(figure, f"Waves, {describe_subject(result, first=True)}: {'; '.join(sentences)}.")


def _draw_legend_below(figure: Any, axes: Any) -> None:
    """Draw a legend in one row below the axes. Shapes with the same label have one entry."""
    handles, labels = axes.get_legend_handles_labels()
    handle_by_label = dict(zip(labels, handles, strict=True))
    figure.legend(
        handle_by_label.values(),
        handle_by_label.keys(),
        loc="outside lower center",
        ncols=len(handle_by_label),
        frameon=False,
    )


def _draw_wave(axes: Any, position: int, row: _WaveRow) -> str:
    """Draw the bar of a wave and the decision of its gate, and return them in words."""
    if row.start_h is None:
        axes.annotate("did not begin", (0, position), va="center", xytext=(6, 0), color=GREY, **ANNOTATION_STYLE)
        return "did not begin"
    width_h = row.end_h - row.start_h
    axes.barh(position, width_h, left=row.start_h, height=0.5, facecolor=SKY, label="runs", **BAR_EDGE_STYLE)
    description = f"{row.start_h:.1f} to {row.end_h:.1f} h"
    if row.decision is None:
        return description
    _draw_decision(axes, position, row.end_h, row.decision)
    return f"{description}; gate: {row.decision.name.lower()}"


def _draw_decision(axes: Any, position: int, hour: float, decision: GateDecision) -> None:
    """Draw the marker of a gate's decision and its name, at a time and in the row of a wave."""
    marker, colour = _DECISION_MARKERS[decision]
    label = f"gate: {_DECISION_LABELS[decision]}"
    axes.plot([hour], [position], marker, color=colour, markeredgecolor="black", markersize=11, label=label)
    axes.annotate(decision.name.lower(), (hour, position), va="center", xytext=(10, 0), **ANNOTATION_STYLE)


def _wave_rows(result: Result) -> list[_WaveRow]:
    """Return the waves of the first rollout. A plan without waves counts as one wave without a gate."""
    if not result.waves:
        return [_WaveRow(result.fleet.size, 0.0, rollout_end_h(result), None)]
    rows = []
    previous_end = 0
    for index, end in enumerate(result.plan.wave_ends(result.fleet.size)):
        rows.append(_wave_row(result, index, gateways=end - previous_end))
        previous_end = end
    return rows


def _wave_row(result: Result, index: int, gateways: int) -> _WaveRow:
    """Return one wave of the first rollout.

    A wave ends when its gate decides, or when the rollout is stopped. Otherwise the last wave ends with the rollout if
    it has no gate, and a gate that has not decided waits until the horizon.
    """
    record = result.waves[index]
    has_gate = bool(result.plan.waves) and result.plan.waves[index].gate is not None
    started_ms = int(record.started_ms[0])
    start_h = None
    if started_ms < NEVER:
        start_h = started_ms / HOUR_MS
    decision = None
    if has_gate:
        decision = GateDecision(int(record.decision[0]))
    return _WaveRow(gateways, start_h, _wave_end_h(result, index, has_gate=has_gate), decision)


def _wave_end_h(result: Result, index: int, *, has_gate: bool) -> float:
    """Return when a wave of the first rollout ends, in hours. See ``_wave_row``."""
    end_ms = int(result.waves[index].decided_ms[0])
    if end_ms >= NEVER:
        end_ms = int(result.stopped_ms[0])
    is_last = index + 1 == len(result.waves) or end_ms >= NEVER
    if is_last and not has_gate:
        return rollout_end_h(result)
    if end_ms < NEVER:
        return end_ms / HOUR_MS
    return result.plan.horizon_s / 3600
