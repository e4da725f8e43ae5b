"""Pictures of a rollout: each is a function of its result, and each says its numbers in words, too.

Where a result has several replications, the completion curve, the retries and the causes are of all of them; what
follows single gateways through time (timeline, waves, load) is of the first, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from lorafw.tasks.lifecycle import ATTEMPT_BY_STATUS, TERMINAL, Cause, TaskStatus

_COMPLETED: Final = status_code(TaskStatus.COMPLETED)
_FAILED: Final = status_code(TaskStatus.FAILED)


def retries(result: Result) -> AccessibleFigure:
    """How often the update was sent whole to a gateway, and how its task stands."""
    histories = result.histories
    sends = np.arange(max(ATTEMPT_BY_STATUS.values()) + 1)
    figure, axes = new_axes("Whole sends to a gateway", "whole sends", "gateways, %")
    total = histories.status.size
    below: Any = np.zeros(len(sends))
    told = []
    for name, codes in _ENDS.items():
        here = np.isin(histories.status, codes)
        share = np.bincount(histories.delivered_sends[here], minlength=len(sends))[: len(sends)] / total * 100
        axes.bar(sends, share, bottom=below, label=f"{name}  {share.sum():.2f} %", width=0.7, **_END_STYLES[name])
        below = below + share
        parts = ", ".join(f"{part:.2f} % at {send}" for send, part in enumerate(share) if part)
        told.append(f"{name} {parts or 'none'}")
    for send, share in zip(sends, below, strict=True):
        axes.annotate(f"{share:.2f} %", (send, share), ha="center", va="bottom", xytext=(0, 2), **ANNOTATION_STYLE)
    axes.set_xticks(sends)
    axes.set_ylim(0, 108)
    axes.legend(frameon=False)
    mean = histories.delivered_sends.mean()
    words = f"Whole sends to a gateway, {describe_subject(result)}: {mean:.4g} on average; {'; '.join(told)}."
    return AccessibleFigure(figure, words)


_ENDS: Final[Mapping[str, list[int]]] = {
    "COMPLETED": [_COMPLETED],
    "FAILED": [_FAILED],
    "neither": [code for code in range(len(STATUSES) + 1) if code not in (_COMPLETED, _FAILED)],
}
_END_STYLES: Final[Mapping[str, Style]] = {
    "COMPLETED": STATUS_STYLES[TaskStatus.COMPLETED] | BAR_EDGE_STYLE,
    "FAILED": STATUS_STYLES[TaskStatus.FAILED] | BAR_EDGE_STYLE,
    "neither": STATUS_STYLES["none"] | {"edgecolor": GREY, "linewidth": 0.5},
}


def causes(result: Result) -> AccessibleFigure:
    """What went wrong last at gateways, and whether they completed all the same."""
    histories = result.histories
    gone = np.broadcast_to(result.fleet.gone, histories.status.shape)
    total = histories.status.size
    groups = {"never polls": gone} | {
        fault.value: histories.last_fault == code for code, fault in enumerate(FAULTS) if fault.value
    }
    found = {name: hit for name, hit in groups.items() if hit.any()}
    found = dict(sorted(found.items(), key=lambda item: -np.count_nonzero(item[1])))
    figure, axes = new_axes("What went wrong last", "gateways, %", "")
    lefts: Any = np.zeros(len(found))
    told = dict.fromkeys(found, "")
    for end, codes in _ENDS.items():
        stands = np.isin(histories.status, codes)
        share = np.array([np.count_nonzero(hit & stands) / total * 100 for hit in found.values()])
        axes.barh(range(len(found)), share, left=lefts, height=0.6, label=end, **_END_STYLES[end])
        lefts = lefts + share
        for name, part in zip(found, share, strict=True):
            told[name] += f", {part:.3g} % {end}" if part else ""
    for place, share in enumerate(lefts):
        axes.annotate(f"{share:.3g} %", (share, place), va="center", xytext=(4, 0), **ANNOTATION_STYLE)
    axes.set_yticks(range(len(found)), list(found))
    axes.set_ylim(max(len(found), 1) - 0.5, -0.5)
    axes.set_xlim(0, max(lefts, default=1) * 1.15)
    if found:
        axes.legend(frameon=False, loc="lower right")
    words = "; ".join(f"{name}{parts}" for name, parts in told.items()) or "nothing went wrong"
    return AccessibleFigure(figure, f"What went wrong last, {describe_subject(result)}: {words}.")


HOUR_MS: Final = 3_600_000
CURVE_POINTS: Final = 400


def timeline(result: Result) -> AccessibleFigure:
    """How many gateways have each status, stacked, over time."""
    until = _end_h(result)
    hours = np.linspace(0, until, CURVE_POINTS)
    counts, size = result.counts(hours * 3600), result.fleet.size
    figure, axes = new_axes("Rollout by status", "hours since the start", "gateways, %")
    below: Any = np.zeros(CURVE_POINTS)
    for name, style in STATUS_STYLES.items():
        above = below + counts[name] / size * 100
        label = f"{_called(name)}  {percent(counts[name][-1] / size)}"
        axes.fill_between(hours, below, above, label=label, linewidth=0, edgecolor="white", **style)
        below = np.asarray(above)
    axes.set_xlim(0, until)
    axes.set_ylim(0, 100)
    _legend_outside(figure, axes, f"at {until:.0f} h")
    moments = [until / 4, until / 2, until]
    places = [int(np.searchsorted(hours, moment)) for moment in moments]
    told = "; ".join(f"after {hours[place]:.0f} h {_shares(counts, place, size)}" for place in places)
    return AccessibleFigure(figure, f"Rollout by status, {describe_subject(result, first=True)}: {told}.")


def _called(name: str) -> str:
    return "no task" if name == "none" else str(name)


def _shares(counts: Mapping[str, Any], place: int, size: int) -> str:
    present = [name for name in STATUS_STYLES if counts[name][place]]
    return ", ".join(f"{percent(counts[name][place] / size)} {_called(name)}" for name in present)


def completion(result: Result, level: float = 0.95) -> AccessibleFigure:
    """The share COMPLETED over time with its band, and the share that never is."""
    until = _end_h(result)
    hours = np.linspace(0, until, CURVE_POINTS)
    times = np.sort(np.where(result.histories.status == _COMPLETED, result.histories.ended_ms, NEVER), axis=1)
    done = np.stack([np.searchsorted(row, hours * HOUR_MS, "right") for row in times])
    band = [_band(done[:, place], result.fleet.size, level) for place in range(CURVE_POINTS)]
    share, low, high = (np.array(column) * 100 for column in zip(*band, strict=True))
    figure, axes = new_axes("Share COMPLETED", "hours since the start", "gateways, %")
    axes.fill_between(hours, low, high, color=BLUE, alpha=0.25, linewidth=0, label=f"{percent(level)} band")
    axes.plot(hours, share, color=BLUE, label="COMPLETED")
    end = float(share[-1])
    never = f"{100 - round(end, 2):.2f} % never"
    axes.axhline(end, color=GREY, linestyle="--", linewidth=1)
    below = end > 50
    place: Style = {"ha": "right", "va": "top" if below else "bottom", "xytext": (0, -4 if below else 4)}
    axes.annotate(f"{never} COMPLETED", (until, end), **place, **ANNOTATION_STYLE)
    told = []
    for quantile, marker in ((0.5, "o"), (0.95, "s")):
        figure_of = result.summary(level).time_to_completed_s[f"p{quantile * 100:g}"]
        if figure_of.value is None:
            continue
        hour = figure_of.value / 3600
        name = f"{percent(quantile)} of these after {hour:.1f} h"
        axes.plot(hour, end * quantile, marker, color=ORANGE, markeredgecolor="black", label=name)
        told.append(name)
    axes.set_xlim(0, until)
    axes.set_ylim(0, 104)
    axes.legend(frameon=False, loc="center right")
    interval = f"{percent(level)} band {low[-1]:.2f} to {high[-1]:.2f} %"
    words = f"Share COMPLETED, {describe_subject(result)}: {end:.2f} % after {until:.0f} h ({interval}), {never}; "
    return AccessibleFigure(figure, words + ", ".join(told) + ".")


def _band(done: Any, size: int, level: float) -> tuple[float, float, float]:
    """Share and interval at one moment: of gateways where there is one rollout, else of rollouts."""
    if len(done) == 1:
        figure = wilson_interval(int(done[0]), size, NormalDist().inv_cdf((1 + level) / 2))
    else:
        figure = t_interval(done / size, level)
    assert figure.value is not None
    assert figure.low is not None
    assert figure.high is not None
    return figure.value, max(figure.low, 0.0), min(figure.high, 1.0)


def waves(result: Result) -> AccessibleFigure:
    """When each wave ran, and what its gate said."""
    figure, axes = new_axes("Waves, each until its gate decides", "hours since the start", "")
    rows, told, begin = _wave_rows(result), [], 0
    for place, (size, start, stop, verdict) in enumerate(rows):
        begin += size
        name = f"wave {place + 1}, {size:,} gateways"
        if start is None:
            told.append(f"{name}: did not begin")
            axes.annotate("did not begin", (0, place), va="center", xytext=(6, 0), color=GREY, **ANNOTATION_STYLE)
            continue
        axes.barh(place, stop - start, left=start, height=0.5, facecolor=SKY, label="runs", **BAR_EDGE_STYLE)
        said = "" if verdict is None else f"; gate: {verdict.name.lower()}"
        told.append(f"{name}: {start:.1f} to {stop:.1f} h{said}")
        if verdict is not None:
            marker, colour = _VERDICT_MARKS[verdict]
            axes.plot(
                *([stop], [place], marker),
                color=colour,
                markeredgecolor="black",
                markersize=11,
                label=f"gate: {_VERDICT_WORDS[verdict]}",
            )
            axes.annotate(verdict.name.lower(), (stop, place), va="center", xytext=(10, 0), **ANNOTATION_STYLE)
    axes.set_yticks(range(len(rows)), [f"wave {place + 1}\n{row[0]:,} gateways" for place, row in enumerate(rows)])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0, _end_h(result) * 1.08)
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    figure.legend(once.values(), once.keys(), loc="outside lower center", ncols=len(once), frameon=False)
    return AccessibleFigure(figure, f"Waves, {describe_subject(result, first=True)}: {'; '.join(told)}.")


_VERDICT_MARKS: Final[Mapping[GateDecision, tuple[str, str]]] = {
    GateDecision.GO: (">", BLUE),
    GateDecision.ABORT: ("X", ORANGE),
    GateDecision.HOLD: ("d", GREY),
}


_VERDICT_WORDS: Final[Mapping[GateDecision, str]] = {
    GateDecision.GO: "go, the next wave begins",
    GateDecision.ABORT: "abort, no wave begins any more",
    GateDecision.HOLD: "hold, it has not decided",
}


def _wave_rows(result: Result) -> list[tuple[int, float | None, float, GateDecision | None]]:
    """(gateways, start, end, what the gate said) of each wave of the first replication; times in h."""
    end_h, horizon_h = _end_h(result), result.plan.horizon_s / 3600
    if not result.waves:
        return [(result.fleet.size, 0.0, end_h, None)]
    rows: list[tuple[int, float | None, float, GateDecision | None]] = []
    begin = 0
    for index, end in enumerate(result.plan.wave_ends(result.fleet.size)):
        record = result.waves[index]
        start, decided = int(record.started_ms[0]), int(record.decided_ms[0])
        gate = result.plan.waves[index].gate if result.plan.waves else None
        verdict = None if gate is None else GateDecision(int(record.decision[0]))
        stop = decided if decided < NEVER else int(result.stopped_ms[0])
        last = index + 1 == len(result.waves) or stop >= NEVER
        start_h = start / HOUR_MS if start < NEVER else None
        if last and gate is None:
            stop_h = end_h
        elif stop < NEVER:
            stop_h = stop / HOUR_MS
        else:  # the gate had not decided when the horizon came
            stop_h = horizon_h
        rows.append((end - begin, start_h, stop_h, verdict))
        begin = end
    return rows


def load(result: Result) -> AccessibleFigure:
    """Sends of the update that begin in each hour, against the requests that gateways make anyway."""
    log = result.events
    begins = np.isin(log.cause, _SENDING) & ~np.isin(log.to_status, _TERMINAL)
    until = _end_h(result)
    edges = np.arange(int(until) + 2)
    figure, axes = new_axes("Load on the server", "hours since the start", "an hour")
    below = np.zeros(len(edges) - 1)
    for attempt, style in _ATTEMPT_STYLES.items():
        hours = log.time[begins & (log.attempt == attempt)] / HOUR_MS
        counts = np.histogram(hours, edges)[0]
        label = f"send {attempt}: {counts.sum():,}"
        axes.bar(
            edges[:-1],
            counts,
            bottom=below,
            width=1.0,
            align="edge",
            label=label,
            linewidth=0,
            edgecolor="white",
            **style,
        )
        below += counts
    usual = float((HOUR_MS / result.fleet.period_ms[~result.fleet.gone]).sum())
    axes.axhline(usual, color="black", linestyle="--", linewidth=1, label=f"requests anyway: {usual:,.0f}")
    axes.set_xlim(0, until)
    axes.set_ylim(0, max(usual, below.max(), 1) * 1.25)
    axes.legend(frameon=False, ncols=2)
    peak = int(below.argmax())
    rate = below[peak] * result.plan.update.size_bytes / 3600 / 1e6
    words = (
        f"Sends of the update that begin in each hour, {describe_subject(result, first=True)}: {int(below.sum()):,} in all,"
        f" at most {int(below[peak]):,} in the hour from {peak} h ({rate:.3g} MB/s);"
        f" gateways make {usual:,.0f} requests an hour anyway."
    )
    return AccessibleFigure(figure, words)


_SENDING: Final = [cause_code(cause) for cause in (Cause.OFFERED, Cause.OFFERED_AGAIN, Cause.OLD_VERSION)]
_TERMINAL: Final = [status_code(status) for status in TERMINAL]
_ATTEMPT_STYLES: Final[Mapping[int, Style]] = {
    1: STATUS_STYLES[TaskStatus.IN_PROGRESS],
    2: STATUS_STYLES[TaskStatus.FIRST_RETRY],
    3: STATUS_STYLES[TaskStatus.SECOND_RETRY],
}


def _end_h(result: Result) -> float:
    """Until the last gateway of the first rollout ended or was offered the update, or that was stopped; 1 at least."""
    times = [column[0][column[0] < NEVER] for column in (result.histories.ended_ms, result.histories.offered_ms)]
    latest = max((int(column.max()) for column in times if len(column)), default=0)
    stopped = int(result.stopped_ms[0])
    return max(1.0, float(np.ceil(max(latest, stopped if stopped < NEVER else 0) / HOUR_MS)))


def _legend_outside(figure: Any, axes: Any, title: str) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], title=title, loc="outside right upper", frameon=False)


PICTURES: Final[Mapping[str, Callable[[Result], AccessibleFigure]]] = {
    "timeline": timeline,
    "completion": completion,
    "retries": retries,
    "waves": waves,
    "causes": causes,
    "load": load,
}
