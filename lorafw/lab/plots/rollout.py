"""The plots of a rollout. Each takes a result and returns a figure with an alternative text.

If a result has several rollouts, the completion curve, the retries and the causes are about all of them. The timeline,
the waves and the load follow gateways through time; they are about the first rollout, and say so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Final

import numpy as np

from lorafw.fleet.result import Result
from lorafw.fleet.simulation.codes import FAULTS, STATUSES, cause_code, status_code
from lorafw.fleet.simulation.gates import GateDecision
from lorafw.fleet.simulation.inputs import NEVER
from lorafw.fleet.statistics.estimates import t_interval, wilson_interval
from lorafw.lab.plots.figure import (
    ANNOTATION_STYLE,
    BAR_EDGE_STYLE,
    BLUE,
    GREY,
    ORANGE,
    SKY,
    STATUS_STYLES,
    AccessibleFigure,
    Style,
    describe_subject,
    new_axes,
    percent,
)
from lorafw.lab.plots.timeline import CURVE_POINTS, HOUR_MS, rollout_end_h, timeline
from lorafw.tasks.lifecycle import ATTEMPT_BY_STATUS, TERMINAL, Cause, TaskStatus

_COMPLETED: Final = status_code(TaskStatus.COMPLETED)
_FAILED: Final = status_code(TaskStatus.FAILED)


def retries(result: Result) -> AccessibleFigure:
    """Plot how often the whole update was sent to a gateway, and the status of its task afterwards."""
    histories = result.histories
    sends = np.arange(max(ATTEMPT_BY_STATUS.values()) + 1)
    figure, axes = new_axes("Whole sends to a gateway", "whole sends", "gateways, %")
    baseline: Any = np.zeros(len(sends))
    sentences = []
    for name, codes in _ENDS.items():
        counts = np.bincount(histories.delivered_sends[np.isin(histories.status, codes)], minlength=len(sends))
        shares = counts[: len(sends)] / histories.status.size * 100
        label = f"{name}  {shares.sum():.2f} %"
        axes.bar(sends, shares, bottom=baseline, label=label, width=0.7, **_END_STYLES[name])
        baseline = baseline + shares
        parts = ", ".join(f"{share:.2f} % at {send}" for send, share in enumerate(shares) if share)
        sentences.append(f"{name} {parts or 'none'}")
    for send, share in zip(sends, baseline, strict=True):
        axes.annotate(f"{share:.2f} %", (send, share), ha="center", va="bottom", xytext=(0, 2), **ANNOTATION_STYLE)
    axes.set_xticks(sends)
    axes.set_ylim(0, 108)
    axes.legend(frameon=False)
    mean = histories.delivered_sends.mean()
    subject = describe_subject(result)
    alt = f"Whole sends to a gateway, {subject}: {mean:.4g} on average; {'; '.join(sentences)}."
    return AccessibleFigure(figure, alt)


_ENDS: Final[Mapping[str, list[int]]] = {
    "COMPLETED": [_COMPLETED],
    "FAILED": [_FAILED],
    "neither": [code for code in range(len(STATUSES) + 1) if code not in (_COMPLETED, _FAILED)],
}
"""The codes of the statuses that are counted together, by name."""
_END_STYLES: Final[Mapping[str, Style]] = {
    "COMPLETED": STATUS_STYLES[TaskStatus.COMPLETED] | BAR_EDGE_STYLE,
    "FAILED": STATUS_STYLES[TaskStatus.FAILED] | BAR_EDGE_STYLE,
    "neither": STATUS_STYLES["none"] | {"edgecolor": GREY, "linewidth": 0.5},
}


def causes(result: Result) -> AccessibleFigure:
    """Plot the last fault of the gateways, and whether they completed in spite of it."""
    histories = result.histories
    affected_by_cause = _affected_by_cause(result)
    figure, axes = new_axes("What went wrong last", "gateways, %", "")
    baseline: Any = np.zeros(len(affected_by_cause))
    sentences = dict.fromkeys(affected_by_cause, "")
    for end, codes in _ENDS.items():
        has_end = np.isin(histories.status, codes)
        counts = [np.count_nonzero(affected & has_end) for affected in affected_by_cause.values()]
        shares = np.array([count / histories.status.size * 100 for count in counts])
        axes.barh(range(len(shares)), shares, left=baseline, height=0.6, label=end, **_END_STYLES[end])
        baseline = baseline + shares
        for name, share in zip(affected_by_cause, shares, strict=True):
            if share:
                sentences[name] += f", {share:.3g} % {end}"
    for position, share in enumerate(baseline):
        axes.annotate(f"{share:.3g} %", (share, position), va="center", xytext=(4, 0), **ANNOTATION_STYLE)
    axes.set_yticks(range(len(affected_by_cause)), list(affected_by_cause))
    axes.set_ylim(max(len(affected_by_cause), 1) - 0.5, -0.5)
    axes.set_xlim(0, max(baseline, default=1) * 1.15)
    if affected_by_cause:
        axes.legend(frameon=False, loc="lower right")
    parts = [f"{name}{shares}" for name, shares in sentences.items()]
    description = "; ".join(parts) or "nothing went wrong"
    return AccessibleFigure(figure, f"What went wrong last, {describe_subject(result)}: {description}.")


def _affected_by_cause(result: Result) -> dict[str, Any]:
    """Return for each cause a mask of the gateways that it was the last fault of, the most frequent cause first."""
    histories = result.histories
    masks = {"never polls": np.broadcast_to(result.fleet.gone, histories.status.shape)}
    for code, fault in enumerate(FAULTS):
        if fault.value:
            masks[fault.value] = histories.last_fault == code
    present = [(name, mask) for name, mask in masks.items() if mask.any()]
    return dict(sorted(present, key=lambda item: -np.count_nonzero(item[1])))


def completion(result: Result, level: float = 0.95) -> AccessibleFigure:
    """Plot the share of completed gateways over time.

    Args:
        result: The result to plot.
        level: Confidence level of the band around the curve.

    Returns:
        The figure with its description.
    """
    end_h = rollout_end_h(result)
    hours = np.linspace(0, end_h, CURVE_POINTS)
    share, low, high = _completed_percentages(result, hours, level)
    final = float(share[-1])
    never = f"{100 - round(final, 2):.2f} % never"
    figure, axes = new_axes("Share COMPLETED", "hours since the start", "gateways, %")
    axes.fill_between(hours, low, high, color=BLUE, alpha=0.25, linewidth=0, label=f"{percent(level)} band")
    axes.plot(hours, share, color=BLUE, label="COMPLETED")
    _draw_final_share(axes, f"{never} COMPLETED", end_h, final)
    sentences = _draw_completion_times(axes, result, level, final)
    axes.set_xlim(0, end_h)
    axes.set_ylim(0, 104)
    axes.legend(frameon=False, loc="center right")
    band = f"{percent(level)} band {low[-1]:.2f} to {high[-1]:.2f} %"
    alt = f"Share COMPLETED, {describe_subject(result)}: {final:.2f} % after {end_h:.0f} h ({band}), {never}; "
    return AccessibleFigure(figure, alt + ", ".join(sentences) + ".")


def _completed_percentages(result: Result, hours: Any, level: float) -> Any:
    """Return the share of completed gateways at each time, and its confidence interval, as three rows in per cent."""
    histories = result.histories
    completed_ms = np.sort(np.where(histories.status == _COMPLETED, histories.ended_ms, NEVER), axis=1)
    completed = np.stack([np.searchsorted(row, hours * HOUR_MS, "right") for row in completed_ms])
    estimates = [_share_with_interval(column, result.fleet.size, level) for column in completed.T]
    return np.array(estimates).T * 100


def _share_with_interval(completed: Any, size: int, level: float) -> tuple[float, float, float]:
    """Return the share of completed gateways at one time, and its confidence interval.

    The interval is about gateways if there is one rollout, and about rollouts if there are several.

    Args:
        completed: Number of completed gateways in each rollout.
        size: Number of gateways of the fleet.
        level: Confidence level.
    """
    if len(completed) == 1:
        estimate = wilson_interval(int(completed[0]), size, NormalDist().inv_cdf((1 + level) / 2))
    else:
        estimate = t_interval(completed / size, level)
    assert estimate.value is not None
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.value, max(estimate.low, 0.0), min(estimate.high, 1.0)


def _draw_final_share(axes: Any, text: str, end_h: float, final: float) -> None:
    """Draw a line at the final share, with a text on the side of it that has more room."""
    axes.axhline(final, color=GREY, linestyle="--", linewidth=1)
    position: Style = {"va": "bottom", "xytext": (0, 4)}
    if final > 50:
        position = {"va": "top", "xytext": (0, -4)}
    axes.annotate(text, (end_h, final), ha="right", **position, **ANNOTATION_STYLE)


def _draw_completion_times(axes: Any, result: Result, level: float, final: float) -> list[str]:
    """Mark the times after which 50 % and 95 % of the completed gateways are complete, and return them in words."""
    times_s = result.summary(level).time_to_completed_s
    sentences = []
    for quantile, marker in ((0.5, "o"), (0.95, "s")):
        time_s = times_s[f"p{quantile * 100:g}"].value
        if time_s is None:
            continue
        hour = time_s / 3600
        label = f"{percent(quantile)} of these after {hour:.1f} h"
        axes.plot(hour, final * quantile, marker, color=ORANGE, markeredgecolor="black", label=label)
        sentences.append(label)
    return sentences


@dataclass(frozen=True, slots=True)
class _WaveRow:
    """A wave of the first rollout."""

    gateways: int
    start_h: float | None
    """When it began. None means that it did not begin."""
    end_h: float
    decision: GateDecision | None
    """The decision of its gate. None means that it has no gate."""


def waves(result: Result) -> AccessibleFigure:
    """Plot when each wave ran, and the decision of its gate."""
    figure, axes = new_axes("Waves, each until its gate decides", "hours since the start", "")
    rows = _wave_rows(result)
    sentences = []
    for position, row in enumerate(rows):
        description = _draw_wave(axes, position, row)
        sentences.append(f"wave {position + 1}, {row.gateways:,} gateways: {description}")
    labels = [f"wave {position + 1}\n{row.gateways:,} gateways" for position, row in enumerate(rows)]
    axes.set_yticks(range(len(rows)), labels)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0, rollout_end_h(result) * 1.08)
    handles, legend_labels = axes.get_legend_handles_labels()
    handle_by_label = dict(zip(legend_labels, handles, strict=True))
    figure.legend(
        handle_by_label.values(),
        handle_by_label.keys(),
        loc="outside lower center",
        ncols=len(handle_by_label),
        frameon=False,
    )
    return AccessibleFigure(figure, f"Waves, {describe_subject(result, first=True)}: {'; '.join(sentences)}.")


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


_DECISION_MARKERS: Final[Mapping[GateDecision, tuple[str, str]]] = {
    GateDecision.GO: (">", BLUE),
    GateDecision.ABORT: ("X", ORANGE),
    GateDecision.HOLD: ("d", GREY),
}


_DECISION_LABELS: Final[Mapping[GateDecision, str]] = {
    GateDecision.GO: "go, the next wave begins",
    GateDecision.ABORT: "abort, no wave begins any more",
    GateDecision.HOLD: "hold, it has not decided",
}


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


def load(result: Result) -> AccessibleFigure:
    """Plot how many sends of the update begin in each hour, beside the number of requests that gateways make anyway."""
    figure, axes = new_axes("Load on the server", "hours since the start", "an hour")
    sends = _draw_sends_per_hour(axes, result)
    requests = float((HOUR_MS / result.fleet.period_ms[~result.fleet.gone]).sum())
    axes.axhline(requests, color="black", linestyle="--", linewidth=1, label=f"requests anyway: {requests:,.0f}")
    axes.set_xlim(0, rollout_end_h(result))
    axes.set_ylim(0, max(requests, sends.max(), 1) * 1.25)
    axes.legend(frameon=False, ncols=2)
    peak_hour = int(sends.argmax())
    peak = int(sends[peak_hour])
    rate_mb_s = sends[peak_hour] * result.plan.update.size_bytes / 3600 / 1e6
    subject = describe_subject(result, first=True)
    alt = (
        f"Sends of the update that begin in each hour, {subject}: {int(sends.sum()):,} in all,"
        f" at most {peak:,} in the hour from {peak_hour} h ({rate_mb_s:.3g} MB/s);"
        f" gateways make {requests:,.0f} requests an hour anyway."
    )
    return AccessibleFigure(figure, alt)


def _draw_sends_per_hour(axes: Any, result: Result) -> Any:
    """Draw the sends that begin in each hour as bars, stacked by attempt, and return the number in each hour."""
    events = result.events
    is_send = np.isin(events.cause, _SENDING) & ~np.isin(events.to_status, _TERMINAL)
    edges_h = np.arange(int(rollout_end_h(result)) + 2)
    total = np.zeros(len(edges_h) - 1)
    for attempt, style in _ATTEMPT_STYLES.items():
        hours = events.time[is_send & (events.attempt == attempt)] / HOUR_MS
        counts = np.histogram(hours, edges_h)[0]
        bar_style: Style = {"width": 1.0, "align": "edge", "linewidth": 0, "edgecolor": "white", **style}
        axes.bar(edges_h[:-1], counts, bottom=total.copy(), label=f"send {attempt}: {counts.sum():,}", **bar_style)
        total += counts
    return total


_SENDING: Final = [cause_code(cause) for cause in (Cause.OFFERED, Cause.OFFERED_AGAIN, Cause.OLD_VERSION)]
"""The causes of events with which a send begins, unless the task ends with them."""
_TERMINAL: Final = [status_code(status) for status in TERMINAL]
_ATTEMPT_STYLES: Final[Mapping[int, Style]] = {
    1: STATUS_STYLES[TaskStatus.IN_PROGRESS],
    2: STATUS_STYLES[TaskStatus.FIRST_RETRY],
    3: STATUS_STYLES[TaskStatus.SECOND_RETRY],
}


PICTURES: Final[Mapping[str, Callable[[Result], AccessibleFigure]]] = {
    "timeline": timeline,
    "completion": completion,
    "retries": retries,
    "waves": waves,
    "causes": causes,
    "load": load,
}
"""The plots, by the name that the command line uses."""
