"""The picture of a wave that was carried out: the counts that were seen, over the predicted band."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lorafw.fleet.simulation.gates import GateDecision
from lorafw.lab.plots.figure import BLUE, FIGURE_SIZE_IN, GREY, ORANGE, AccessibleFigure, Style
from lorafw.rollout.curves import WaveCourse
from lorafw.tasks.lifecycle import TaskStatus

_STYLES: Final[dict[TaskStatus, Style]] = {
    TaskStatus.COMPLETED: {"color": BLUE, "marker": "o"},
    TaskStatus.FAILED: {"color": ORANGE, "marker": "X"},
}
"""How the curve of each status is drawn. The last point has the marker."""
_BAND_STYLES: Final[dict[TaskStatus, Style]] = {
    TaskStatus.COMPLETED: {"facecolor": BLUE, "edgecolor": BLUE, "alpha": 0.25, "linewidth": 1},
    TaskStatus.FAILED: {"facecolor": "none", "edgecolor": ORANGE, "alpha": 0.6, "hatch": "xxx", "linewidth": 1},
}
"""How the band of each status is drawn. It has an edge, because a band that allows one number only has no area."""
_LEGEND_PLACES: Final = {TaskStatus.COMPLETED: "lower right", TaskStatus.FAILED: "upper left"}
"""Where a rising curve leaves room."""
_HEADROOM: Final = {TaskStatus.COMPLETED: 1.08, TaskStatus.FAILED: 1.3}
"""How much higher than the curves the picture is. The legend of FAILED is above them."""

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Curve:
    """The curve of one status in one wave, and its band."""

    status: TaskStatus
    hours: Floats
    counts: Integers
    band_hours: Floats
    """Empty if there is no band."""
    low: Integers
    high: Integers


def wave_course(course: WaveCourse) -> AccessibleFigure:
    """Plot how many gateways of a wave are COMPLETED and FAILED over time, and the predicted band.

    Args:
        course: How the wave went.

    Returns:
        The figure. Its alternative text states the counts, and the bounds that were predicted for the same hours.
    """
    figure = Figure(figsize=FIGURE_SIZE_IN, layout="constrained")
    figure.suptitle(_title(course), x=0.01, ha="left", fontsize="large")
    end_h = _end_h(course)
    sentences = []
    for axes, curve in zip(figure.subplots(1, 2), _curves(course), strict=True):
        _draw_band(axes, curve, end_h)
        sentences.append(_draw_counts(axes, curve, end_h, course))
        _draw_gate(axes, course, end_h)
        _arrange(axes, curve.status, end_h)
    begun = "" if course.has_begun else " It has not begun."
    alt = f"Wave {course.number}, {course.size:,} gateways.{begun} {'; '.join(sentences)}.{_describe_gate(course)}"
    return AccessibleFigure(figure, alt)


def _curves(course: WaveCourse) -> list[_Curve]:
    """Return the curves of COMPLETED and of FAILED."""
    counts = {TaskStatus.COMPLETED: course.completed, TaskStatus.FAILED: course.failed}
    nothing: Integers = np.zeros(0, dtype=np.int64)
    bounds = dict.fromkeys(counts, (nothing, nothing))
    band_hours: Floats = np.zeros(0)
    if course.band is not None:
        band = course.band
        band_hours = band.hours
        bounds[TaskStatus.COMPLETED] = (band.completed_low, band.completed_high)
        bounds[TaskStatus.FAILED] = (band.failed_low, band.failed_high)
    hours = np.array(course.hours, dtype=float)
    return [_Curve(status, hours, np.array(seen), band_hours, *bounds[status]) for status, seen in counts.items()]


def _end_h(course: WaveCourse) -> float:
    """Return the hour at which the picture ends: when the band ends and the counts do not change any more."""
    candidates = [1.0]
    if course.band is not None:
        candidates.append(float(course.band.hours[-1]))
    if course.has_begun:
        last_change = len(course.hours) - 2  # the last hour is that of the last event, whatever it was
        candidates.append(course.hours[max(0, last_change)])
    if course.band is None and course.has_begun:
        candidates.append(course.hours[-1])
    return max(candidates)


def _draw_band(axes: Any, curve: _Curve, end_h: float) -> None:
    """Draw the predicted band: between two of its hours from the lower bound before to the upper bound after."""
    if not len(curve.band_hours):
        return
    hours = np.append(curve.band_hours, max(end_h, curve.band_hours[-1]))
    low, high = np.append(curve.low, curve.low[-1]), np.append(curve.high, curve.high[-1])
    corners = np.repeat(hours, 2)[1:-1]
    lower, upper = np.repeat(low[:-1], 2), np.repeat(high[1:], 2)
    axes.fill_between(corners, lower, upper, label="predicted", **_BAND_STYLES[curve.status])


def _draw_counts(axes: Any, curve: _Curve, end_h: float, course: WaveCourse) -> str:
    """Draw the counts that were seen, and return them in words beside what was predicted."""
    if not len(curve.hours):
        return _describe_prediction(curve)
    is_shown = curve.hours <= end_h
    hours, counts = np.append(curve.hours[is_shown], min(end_h, curve.hours[-1])), curve.counts[is_shown]
    counts = np.append(counts, counts[-1])
    style = _STYLES[curve.status]
    axes.step(hours, counts, where="post", color=style["color"], linewidth=2, label="seen")
    end = {"markeredgecolor": "black", "markersize": 9, "linestyle": "none", "clip_on": False, "zorder": 3}
    axes.plot(hours[-1:], counts[-1:], **end, **style)
    moments = sorted({hours[-1] / 2, hours[-1]})
    return f"{curve.status}: " + ", ".join(_describe_moment(curve, float(hour), course) for hour in moments)


def _describe_prediction(curve: _Curve) -> str:
    """Return in words what is predicted for the end of a wave."""
    if not len(curve.band_hours):
        return f"{curve.status}: no prediction"
    return f"{curve.status}: {curve.low[-1]} to {curve.high[-1]} predicted after {curve.band_hours[-1]:.1f} h"


def _describe_moment(curve: _Curve, hour: float, course: WaveCourse) -> str:
    """Return in words the count at an hour and the bounds that were predicted for it."""
    count = int(curve.counts[np.searchsorted(curve.hours, hour, side="right") - 1])
    seen = f"{count} of {course.size} after {hour:.1f} h"
    predicted = course.predicted_at(hour)
    if predicted is None:
        return seen
    low, high = predicted.completed if curve.status is TaskStatus.COMPLETED else predicted.failed
    verdict = ""
    if count < low:
        verdict = ", fewer than predicted"
    elif count > high:
        verdict = ", more than predicted"
    return f"{seen} (predicted {low} to {high}{verdict})"


def _draw_gate(axes: Any, course: WaveCourse, end_h: float) -> None:
    """Draw a line at the last check of the gate, if the picture reaches as far."""
    if course.checks and course.checks[-1].hour <= end_h:
        axes.axvline(course.checks[-1].hour, color=GREY, linestyle="--", linewidth=1)


_DECISION_SIGNS: Final = {GateDecision.GO: "▶", GateDecision.HOLD: "◆", GateDecision.ABORT: "✖"}


def _title(course: WaveCourse) -> str:
    """Return the title of the picture: the wave, and what its gate decided last."""
    title = f"Wave {course.number}: {course.size:,} gateways"
    if not course.has_begun:
        return f"{title}, not begun"
    if not course.checks:
        return title
    check = course.checks[-1]
    return f"{title}. Gate after {check.hour:.1f} h: {_DECISION_SIGNS[check.decision]} {check.decision.name.lower()}"


def _describe_gate(course: WaveCourse) -> str:
    """Return in words when the gate was checked last and what it decided. Empty if it was not checked."""
    if not course.checks:
        return ""
    check = course.checks[-1]
    return f" The gate decided after {check.hour:.1f} h: {check.decision.name.lower()}."


def _arrange(axes: Any, status: TaskStatus, end_h: float) -> None:
    """Set the title, the labels and the limits of one half of the picture."""
    axes.set_title(str(status), loc="left", fontsize="medium")
    axes.set_xlabel("hours since the wave began")
    axes.set_ylabel("gateways")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlim(0, end_h)
    top = max(1.0, axes.dataLim.y1) * _HEADROOM[status]
    axes.set_ylim(-0.02 * top, top)  # a count of 0 is drawn above the axis
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, loc=_LEGEND_PLACES[status])
