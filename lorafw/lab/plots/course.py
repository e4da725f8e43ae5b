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


@dataclass(frozen=True, slots=True)
class _CountStyle:
    """How a count is drawn."""

    title: str
    colour: str
    marker: str
    """The sign at the last point of the curve."""
    hatch: str | None = None
    """Lines in the band. None for a plain area."""
    legend: str = "upper left"
    """Where a rising curve leaves room."""
    headroom: float = 1.35
    """How much higher than the curves the picture is. The legend is above them, if it is not below."""

    @property
    def band(self) -> Style:
        """How the band is drawn. It has an edge, because a band that allows one number only has no area."""
        if self.hatch is None:
            return {"facecolor": self.colour, "edgecolor": self.colour, "alpha": 0.25, "linewidth": 1}
        return {"facecolor": "none", "edgecolor": self.colour, "alpha": 0.6, "hatch": self.hatch, "linewidth": 1}


_COMPLETED: Final = _CountStyle("COMPLETED", BLUE, "o", legend="lower right", headroom=1.08)
_FAILED: Final = _CountStyle("FAILED", ORANGE, "X", hatch="xxx")
_STALLED: Final = _CountStyle("stalled", GREY, "s", hatch="///")
_END_MARKER_STYLE: Final[Style] = {
    "markeredgecolor": "black",
    "markersize": 9,
    "linestyle": "none",
    "clip_on": False,
    "zorder": 3,
}
_WIDTH_RATIOS: Final = (1.6, 1, 1)
"""COMPLETED has the most to show."""

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Curve:
    """The curve of one count in one wave, and the predicted band."""

    style: _CountStyle
    hours: Floats
    """When the count changed, in hours since the wave began."""
    counts: Integers
    """The number of gateways from each of the hours on."""
    band_hours: Floats
    """The hours of the prediction. Empty if there is none."""
    low: Integers
    """The lower bound at each hour of the prediction."""
    high: Integers
    """The upper bound at each hour of the prediction."""


def wave_course(course: WaveCourse) -> AccessibleFigure:
    """Plot how many gateways of a wave are COMPLETED, FAILED and stalled over time, and the predicted band.

    The band is between the lowest and the highest count that the simulator predicts. An update has stalled if it had
    not succeeded half a poll period after it was first offered. A firmware that fails more often than predicted shows
    there first.

    Args:
        course: How the wave went.

    Returns:
        The figure. Its alternative text states the counts, and the bounds that were predicted for the same hours.
    """
    figure = Figure(figsize=FIGURE_SIZE_IN, layout="constrained")
    figure.suptitle(_title(course), x=0.01, ha="left", fontsize="large")
    end_h = _end_h(course)
    sentences = []
    all_axes = figure.subplots(1, len(_WIDTH_RATIOS), width_ratios=_WIDTH_RATIOS)
    for axes, curve in zip(all_axes, _curves(course), strict=True):
        _draw_band(axes, curve, end_h)
        sentences.append(_draw_counts(axes, curve, end_h, course))
        _draw_gate(axes, course, end_h)
        _arrange(axes, curve.style, end_h)
    all_axes[0].set_ylabel("gateways")
    figure.supxlabel("hours since the wave began", fontsize="medium")
    subject = f"Wave {course.number}, {course.size:,} gateways."
    if not course.has_begun:
        subject += " It has not begun."
    return AccessibleFigure(figure, f"{subject} {'; '.join(sentences)}.{_describe_gate(course)}")


def _curves(course: WaveCourse) -> tuple[_Curve, _Curve, _Curve]:
    """Return the curves of COMPLETED, of FAILED and of stalled updates."""
    hours = np.array(course.hours, dtype=float)
    completed, failed, stalled = np.array(course.completed), np.array(course.failed), np.array(course.stalled)
    band = course.band
    if band is None:
        no_hours: Floats = np.zeros(0)
        no_bounds: Integers = np.zeros(0, dtype=np.int64)
        return (
            _Curve(_COMPLETED, hours, completed, no_hours, no_bounds, no_bounds),
            _Curve(_FAILED, hours, failed, no_hours, no_bounds, no_bounds),
            _Curve(_STALLED, hours, stalled, no_hours, no_bounds, no_bounds),
        )
    # The prediction has no lower bound for stalled updates, and one upper bound for all hours.
    stalled_low: Integers = np.zeros(len(band.hours), dtype=np.int64)
    stalled_high = stalled_low + band.stalled_high
    return (
        _Curve(_COMPLETED, hours, completed, band.hours, band.completed_low, band.completed_high),
        _Curve(_FAILED, hours, failed, band.hours, band.failed_low, band.failed_high),
        _Curve(_STALLED, hours, stalled, band.hours, stalled_low, stalled_high),
    )


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
    """Draw the predicted band as steps.

    Between two hours of the prediction a count can have any value from the lower bound at the first of them to the
    upper bound at the second, because it only grows.
    """
    if not len(curve.band_hours):
        return
    # The last bounds hold until the end of the picture.
    hours = np.append(curve.band_hours, max(end_h, curve.band_hours[-1]))
    high = np.append(curve.high, curve.high[-1])
    # Each interval is drawn from its first to its last hour, so each inner hour occurs twice.
    edges = np.repeat(hours, 2)[1:-1]
    lower = np.repeat(curve.low, 2)
    upper = np.repeat(high[1:], 2)
    axes.fill_between(edges, lower, upper, label="predicted", **curve.style.band)


def _draw_counts(axes: Any, curve: _Curve, end_h: float, course: WaveCourse) -> str:
    """Draw the counts that were seen, and return them in words beside what was predicted."""
    if not len(curve.hours):
        return _describe_prediction(curve)
    is_shown = curve.hours <= end_h
    last_hour = min(end_h, curve.hours[-1])
    last_count = curve.counts[is_shown][-1]
    # The last count holds until the end of the curve.
    hours = np.append(curve.hours[is_shown], last_hour)
    counts = np.append(curve.counts[is_shown], last_count)
    colour = curve.style.colour
    axes.step(hours, counts, where="post", color=colour, linewidth=2, label="seen")
    axes.plot([last_hour], [last_count], curve.style.marker, color=colour, **_END_MARKER_STYLE)
    moments = sorted({last_hour / 2, last_hour})
    descriptions = [_describe_moment(curve, float(hour), course) for hour in moments]
    return f"{curve.style.title}: {', '.join(descriptions)}"


def _describe_prediction(curve: _Curve) -> str:
    """Return in words what is predicted for the end of a wave."""
    if not len(curve.band_hours):
        return f"{curve.style.title}: no prediction"
    return f"{curve.style.title}: {curve.low[-1]} to {curve.high[-1]} predicted after {curve.band_hours[-1]:.1f} h"


def _describe_moment(curve: _Curve, hour: float, course: WaveCourse) -> str:
    """Return in words the count at an hour and the bounds that were predicted for it."""
    index = np.searchsorted(curve.hours, hour, side="right") - 1  # of the last change up to the hour
    count = int(curve.counts[index])
    seen = f"{count} of {course.size} after {hour:.1f} h"
    predicted = course.predicted_at(hour)
    if predicted is None:
        return seen
    bounds = {_COMPLETED: predicted.completed, _FAILED: predicted.failed, _STALLED: predicted.stalled}
    low, high = bounds[curve.style]
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


def _arrange(axes: Any, style: _CountStyle, end_h: float) -> None:
    """Set the title, the labels and the limits of one part of the picture."""
    axes.set_title(style.title, loc="left", fontsize="medium")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlim(0, end_h)
    top = max(1.0, axes.dataLim.y1) * style.headroom
    axes.set_ylim(-0.02 * top, top)  # a count of 0 is drawn above the axis
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, loc=style.legend)
