"""The timeline of a rollout: how many gateways have each status over time. Several rollouts share their axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure

from lorafw.fleet.result import Result
from lorafw.fleet.simulation.inputs import NEVER
from lorafw.lab.plots.figure import (
    FIGURE_SIZE_IN,
    STATUS_STYLES,
    AccessibleFigure,
    describe_subject,
    new_axes,
    percent,
)

HOUR_MS: Final = 3_600_000
CURVE_POINTS: Final = 400
"""Number of points of a curve."""


def timeline(result: Result) -> AccessibleFigure:
    """Plot how many gateways have each status over time, as stacked areas.

    Args:
        result: The result to plot. The figure shows its first rollout.

    Returns:
        The figure. Its alternative text states the numbers.
    """
    end_h = rollout_end_h(result)
    figure, axes = new_axes("Rollout by status", "hours since the start", "gateways, %")
    counts = _draw_areas(axes, result, end_h)
    _add_final_shares(axes, counts, result.fleet.size)
    _legend_outside(figure, axes, f"at {end_h:.0f} h")
    subject = describe_subject(result, first=True)
    return AccessibleFigure(figure, f"Rollout by status, {subject}: {_describe_course(result, end_h)}.")


def paired_timelines(results: Sequence[Result], titles: Sequence[str]) -> AccessibleFigure:
    """Plot the timelines of several rollouts side by side, with one time axis and one scale.

    Args:
        results: The results of the rollouts.
        titles: A title for each.

    Returns:
        The figure. Its alternative text states how each rollout went.
    """
    end_h = max(rollout_end_h(result) for result in results)
    figure = Figure(figsize=FIGURE_SIZE_IN, layout="constrained")
    all_axes = figure.subplots(1, len(results), sharex=True, sharey=True, squeeze=False)[0]
    sentences = []
    for axes, result, title in zip(all_axes, results, titles, strict=True):
        _draw_areas(axes, result, end_h)
        axes.set_title(title, loc="left", fontsize="medium")
        axes.set_xlabel("hours since the start")
        axes.spines[["top", "right"]].set_visible(False)
        sentences.append(f"{title}, {describe_subject(result, first=True)}: {_describe_course(result, end_h)}")
    all_axes[0].set_ylabel("gateways, %")
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    return AccessibleFigure(figure, f"Rollouts by status over {end_h:.0f} h. {'. '.join(sentences)}.")


def rollout_end_h(result: Result) -> float:
    """Return when the first rollout was over: a whole number of hours, at least 1.

    That is when the last task ended, the last gateway was offered the update, or the rollout was stopped.

    Args:
        result: The result of the rollouts.
    """
    latest_ms = 0
    histories = result.histories
    for times_ms in (histories.ended_ms[0], histories.offered_ms[0], result.stopped_ms[:1]):
        reached = times_ms[times_ms < NEVER]
        if len(reached):
            latest_ms = max(latest_ms, int(reached.max()))
    return max(1.0, float(np.ceil(latest_ms / HOUR_MS)))


def _draw_areas(axes: Any, result: Result, end_h: float) -> Mapping[str, Any]:
    """Draw the share of each status up to a time as stacked areas, and return the counts at each point."""
    hours = np.linspace(0, end_h, CURVE_POINTS)
    counts = result.counts(hours * 3600)
    bottom: Any = np.zeros(CURVE_POINTS)
    for name, style in STATUS_STYLES.items():
        share = counts[name] / result.fleet.size * 100
        top = bottom + share
        axes.fill_between(hours, bottom, top, label=_status_label(name), linewidth=0, **style)
        bottom = top
    axes.set_xlim(0, end_h)
    axes.set_ylim(0, 100)
    return counts


def _add_final_shares(axes: Any, counts: Mapping[str, Any], size: int) -> None:
    """Add to the label of each area its share at the end."""
    for area, name in zip(axes.collections, STATUS_STYLES, strict=True):
        area.set_label(f"{_status_label(name)}  {percent(counts[name][-1] / size)}")


def _status_label(name: str) -> str:
    return "no task" if name == "none" else str(name)


def _describe_course(result: Result, end_h: float) -> str:
    """Return in words the shares after a quarter of the time, after half of it, and at the end."""
    hours = np.linspace(0, end_h, CURVE_POINTS)
    counts = result.counts(hours * 3600)
    indices = [int(np.searchsorted(hours, hour)) for hour in (end_h / 4, end_h / 2, end_h)]
    shares = [f"after {hours[index]:.0f} h {_describe_shares(counts, index, result.fleet.size)}" for index in indices]
    return "; ".join(shares)


def _describe_shares(counts: Mapping[str, Any], index: int, size: int) -> str:
    """Return in words the share of each status at one point of the curve, without those that no gateway has."""
    present = [name for name in STATUS_STYLES if counts[name][index]]
    return ", ".join(f"{percent(counts[name][index] / size)} {_status_label(name)}" for name in present)


def _legend_outside(figure: Any, axes: Any, title: str) -> None:
    """Add a legend beside the axes, in the order in which the areas are stacked."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], title=title, loc="outside right upper", frameon=False)
