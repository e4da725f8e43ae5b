"""The plots of a rollout. Each takes a result and returns a figure with an alternative text.

If a result has several rollouts, the completion curve, the retries and the causes are about all of them. The timeline,
the waves and the load follow gateways through time; they are about the first rollout, and say so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import NormalDist
from typing import Any, Final

import numpy as np

from lorafw.fleet.arrays import Floats, Integers, Mask
from lorafw.fleet.result import Result
from lorafw.fleet.simulation.codes import FAULTS, STATUSES, cause_code, status_code
from lorafw.fleet.simulation.inputs import NEVER
from lorafw.fleet.statistics.estimates import t_interval, wilson_interval
from lorafw.lab.plots.figure import (
    ANNOTATION_STYLE,
    BAR_EDGE_STYLE,
    BLUE,
    GREY,
    ORANGE,
    STATUS_STYLES,
    AccessibleFigure,
    Style,
    describe_subject,
    new_axes,
    percent,
)
from lorafw.lab.plots.timeline import CURVE_POINTS, HOUR_MS, rollout_end_h, timeline
from lorafw.lab.plots.wave_bars import waves
from lorafw.tasks.lifecycle import ATTEMPT_BY_STATUS, TERMINAL, Cause, TaskStatus

_COMPLETED: Final = status_code(TaskStatus.COMPLETED)
_FAILED: Final = status_code(TaskStatus.FAILED)


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


def retries(result: Result) -> AccessibleFigure:
    """Plot how often the whole update was sent to a gateway, and the status of its task afterwards.

    There is a bar for each number of sends. Its parts are the statuses, one on top of the other.

    Args:
        result: The result to plot.

    Returns:
        The figure. Its alternative text states the numbers.
    """
    send_counts = range(max(ATTEMPT_BY_STATUS.values()) + 1)
    figure, axes = new_axes("Whole sends to a gateway", "whole sends", "gateways, %")
    # 1. Draw the parts of all bars, status by status.
    bar_tops: Floats = np.zeros(len(send_counts))
    sentences = []
    for name, codes in _ENDS.items():
        shares = _shares_by_sends(result, codes, len(send_counts))
        label = f"{name}  {shares.sum():.2f} %"
        axes.bar(send_counts, shares, bottom=bar_tops, label=label, width=0.7, **_END_STYLES[name])
        bar_tops = bar_tops + shares
        parts = ", ".join(f"{share:.2f} % at {count}" for count, share in enumerate(shares) if share)
        sentences.append(f"{name} {parts or 'none'}")
    # 2. Write the height of each bar above it.
    for count, top in enumerate(bar_tops):
        axes.annotate(f"{top:.2f} %", (count, top), ha="center", va="bottom", xytext=(0, 2), **ANNOTATION_STYLE)
    axes.set_xticks(send_counts)
    axes.set_ylim(0, 108)
    axes.legend(frameon=False)
    # 3. Say the same in words.
    mean = result.histories.delivered_sends.mean()
    subject = describe_subject(result)
    alt = f"Whole sends to a gateway, {subject}: {mean:.4g} on average; {'; '.join(sentences)}."
    return AccessibleFigure(figure, alt)


def _shares_by_sends(result: Result, status_codes: list[int], length: int) -> Floats:
    """Return the share of gateways with one of these statuses after 0, 1, 2, ... sends, in per cent.

    Args:
        result: The result.
        status_codes: The codes of the statuses.
        length: Number of values to return.

    Returns:
        The shares, by the number of sends. Shape (length,).
    """
    histories = result.histories
    has_status = np.isin(histories.status, status_codes)  # (rollouts, gateways)
    sends = histories.delivered_sends[has_status]  # (gateways with the status,)
    counts = np.bincount(sends, minlength=length)[:length]
    percentages: Floats = counts / histories.status.size * 100
    return percentages


def causes(result: Result) -> AccessibleFigure:
    """Plot the last fault of the gateways, and whether they completed in spite of it.

    There is a horizontal bar for each fault. Its parts are the statuses, one beside the other.

    Args:
        result: The result to plot.

    Returns:
        The figure. Its alternative text states the numbers.
    """
    masks = _gateways_by_cause(result)
    names = list(masks)
    figure, axes = new_axes("What went wrong last", "gateways, %", "")
    # 1. Draw the parts of all bars, status by status.
    bar_ends: Floats = np.zeros(len(names))
    sentences = names.copy()
    for status, codes in _ENDS.items():
        has_status = np.isin(result.histories.status, codes)  # (rollouts, gateways)
        shares = np.array([np.mean(masks[name] & has_status) * 100 for name in names])
        axes.barh(range(len(names)), shares, left=bar_ends, height=0.6, label=status, **_END_STYLES[status])
        bar_ends = bar_ends + shares
        for position, share in enumerate(shares):
            if share:
                sentences[position] += f", {share:.3g} % {status}"
    # 2. Write the length of each bar beside it.
    for position, end in enumerate(bar_ends):
        axes.annotate(f"{end:.3g} %", (end, position), va="center", xytext=(4, 0), **ANNOTATION_STYLE)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(max(len(names), 1) - 0.5, -0.5)  # The first bar is at the top.
    axes.set_xlim(0, max(bar_ends, default=1) * 1.15)
    if names:
        axes.legend(frameon=False, loc="lower right")
    # 3. Say the same in words.
    description = "; ".join(sentences) or "nothing went wrong"
    return AccessibleFigure(figure, f"What went wrong last, {describe_subject(result)}: {description}.")


def _gateways_by_cause(result: Result) -> dict[str, Mask]:
    """Return for each cause a mask of the gateways whose last fault it was, the most frequent cause first.

    A mask has the shape (rollouts, gateways). A gateway that never polls has this as its cause.
    """
    histories = result.histories
    masks = {"never polls": np.broadcast_to(result.fleet.gone, histories.status.shape)}
    for code, fault in enumerate(FAULTS):
        if fault.value:
            masks[fault.value] = histories.last_fault == code
    counts = {name: np.count_nonzero(mask) for name, mask in masks.items()}
    present = [name for name in masks if counts[name] > 0]
    present.sort(key=counts.__getitem__, reverse=True)
    return {name: masks[name] for name in present}


def completion(result: Result, level: float = 0.95) -> AccessibleFigure:
    """Plot the share of completed gateways over time, with the band in which the true share probably is.

    Args:
        result: The result to plot.
        level: Confidence level of the band around the curve.

    Returns:
        The figure with its description.
    """
    # 1. Measure.
    end_h = rollout_end_h(result)
    hours = np.linspace(0, end_h, CURVE_POINTS)
    share, low, high = _completed_percentages(result, hours, level)
    final_share = float(share[-1])
    never = f"{100 - round(final_share, 2):.2f} % never"
    # 2. Draw.
    figure, axes = new_axes("Share COMPLETED", "hours since the start", "gateways, %")
    axes.fill_between(hours, low, high, color=BLUE, alpha=0.25, linewidth=0, label=f"{percent(level)} band")
    axes.plot(hours, share, color=BLUE, label="COMPLETED")
    _draw_final_share(axes, f"{never} COMPLETED", end_h, final_share)
    times = _draw_completion_times(axes, result, level, final_share)
    axes.set_xlim(0, end_h)
    axes.set_ylim(0, 104)
    axes.legend(frameon=False, loc="center right")
    # 3. Say the same in words.
    band = f"{percent(level)} band {low[-1]:.2f} to {high[-1]:.2f} %"
    final = f"{final_share:.2f} % after {end_h:.0f} h ({band}), {never}"
    alt = f"Share COMPLETED, {describe_subject(result)}: {final}; {', '.join(times)}."
    return AccessibleFigure(figure, alt)


def _completed_percentages(result: Result, hours: Floats, level: float) -> tuple[Floats, Floats, Floats]:
    """Return the share of completed gateways at each time, and its confidence interval, in per cent.

    Args:
        result: The result.
        hours: The times, in hours since the start. Shape (times,).
        level: Confidence level.

    Returns:
        The share, and the lower and the upper bound of its interval. Each has the shape (times,).
    """
    histories = result.histories
    is_completed = histories.status == _COMPLETED  # (rollouts, gateways)
    completed_ms = np.where(is_completed, histories.ended_ms, NEVER)
    completed_ms.sort(axis=1)  # in each rollout, in the order of time
    times_ms = hours * HOUR_MS
    # Number of gateways that have completed by each time: (rollouts, times).
    counts = np.stack([np.searchsorted(rollout, times_ms, "right") for rollout in completed_ms])
    estimates = [_share_with_interval(counts_at_time, result.fleet.size, level) for counts_at_time in counts.T]
    shares, low, high = np.array(estimates).T
    return shares * 100, low * 100, high * 100


def _share_with_interval(completed: Integers, size: int, level: float) -> tuple[float, float, float]:
    """Return the share of completed gateways at one time, and its confidence interval.

    The interval is about gateways if there is one rollout, and about rollouts if there are several.

    Args:
        completed: Number of completed gateways in each rollout. Shape (rollouts,).
        size: Number of gateways of the fleet.
        level: Confidence level.
    """
    if len(completed) == 1:
        z_score = NormalDist().inv_cdf((1 + level) / 2)  # 1.96 for a level of 0.95
        estimate = wilson_interval(int(completed[0]), size, z_score)
    else:
        estimate = t_interval(completed / size, level)
    # There is at least one rollout, so there is an estimate.
    assert estimate.value is not None
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.value, max(estimate.low, 0.0), min(estimate.high, 1.0)


def _draw_final_share(axes: Any, text: str, end_h: float, final: float) -> None:
    """Draw a dashed line at the final share, with a text on the side of it that has more room."""
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


def load(result: Result) -> AccessibleFigure:
    """Plot how many sends of the update begin in each hour, beside the number of requests that gateways make anyway.

    Args:
        result: The result to plot. The figure shows its first rollout.

    Returns:
        The figure. Its alternative text states the numbers.
    """
    figure, axes = new_axes("Load on the server", "hours since the start", "an hour")
    sends = _draw_sends_per_hour(axes, result)  # (hours,)
    periods_ms = result.fleet.period_ms[~result.fleet.gone]  # of the gateways that poll
    requests = float((HOUR_MS / periods_ms).sum())
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


def _draw_sends_per_hour(axes: Any, result: Result) -> Floats:
    """Draw the sends that begin in each hour as bars, stacked by attempt, and return their number in each hour."""
    events = result.events
    is_send = np.isin(events.cause, _SENDING) & ~np.isin(events.to_status, _TERMINAL)  # (events,)
    edges_h = np.arange(int(rollout_end_h(result)) + 2)
    starts_h = edges_h[:-1]
    totals: Floats = np.zeros(len(starts_h))
    for attempt, attempt_style in _ATTEMPT_STYLES.items():
        is_attempt = is_send & (events.attempt == attempt)
        hours = events.time[is_attempt] / HOUR_MS
        counts, _ = np.histogram(hours, edges_h)  # (hours,)
        label = f"send {attempt}: {counts.sum():,}"
        axes.bar(starts_h, counts, bottom=totals, label=label, **(_HOUR_BAR_STYLE | attempt_style))
        totals = totals + counts
    return totals


_SENDING: Final = [cause_code(cause) for cause in (Cause.OFFERED, Cause.OFFERED_AGAIN, Cause.OLD_VERSION)]
"""The causes of events with which a send begins, unless the task ends with them."""
_TERMINAL: Final = [status_code(status) for status in TERMINAL]
_HOUR_BAR_STYLE: Final[Style] = {"width": 1.0, "align": "edge", "linewidth": 0, "edgecolor": "white"}
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
