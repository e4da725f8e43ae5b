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
_WIDTH_RATIOS: Final = (1.6, 1, 1)
"""COMPLETED has the most to show."""

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Curve:
    """The curve of one count in one wave, and its band."""

    style: _CountStyle
    hours: Floats
    counts: Integers
    band_hours: Floats
    """Empty if there is no band."""
    low: Integers
    high: Integers


def wave_course(course: WaveCourse) -> AccessibleFigure:
    """Plot how many gateways of a wave are COMPLETED, FAILED and stalled over time, and the predicted band.

    An update has stalled if it had not succeeded half a poll period after it was first offered. A firmware that fails
    more often than predicted shows there first.

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
    begun = "" if course.has_begun else " It has not begun."
    alt = f"Wave {course.number}, {course.size:,} gateways.{begun} {'; '.join(sentences)}.{_describe_gate(course)}"
    return AccessibleFigure(figure, alt)


def _curves(course: WaveCourse) -> list[_Curve]:
    """Return the curves of COMPLETED, of FAILED and of stalled updates."""
    nothing: Integers = np.zeros(0, dtype=np.int64)
    band_hours: Floats = np.zeros(0)
    bounds = [(nothing, nothing)] * len(_WIDTH_RATIOS)
    if course.band is not None:
        band = course.band
        band_hours = band.hours
        none = np.zeros(len(band_hours), dtype=np.int64)
        stalled = (none, none + band.stalled_high)
        bounds = [(band.completed_low, band.completed_high), (band.failed_low, band.failed_high), stalled]
    hours = np.array(course.hours, dtype=float)
    counts = (course.completed, course.failed, course.stalled)
    styles = (_COMPLETED, _FAILED, _STALLED)
    return [
        _Curve(style, hours, np.array(seen), band_hours, low, high)
        for style, seen, (low, high) in zip(styles, counts, bounds, strict=True)
    ]


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
    axes.fill_between(corners, lower, upper, label="predicted", **curve.style.band)


def _draw_counts(axes: Any, curve: _Curve, end_h: float, course: WaveCourse) -> str:
    """Draw the counts that were seen, and return them in words beside what was predicted."""
    if not len(curve.hours):
        return _describe_prediction(curve)
    is_shown = curve.hours <= end_h
    hours, counts = np.append(curve.hours[is_shown], min(end_h, curve.hours[-1])), curve.counts[is_shown]
    counts = np.append(counts, counts[-1])
    style = curve.style
    axes.step(hours, counts, where="post", color=style.colour, linewidth=2, label="seen")
    end: Style = {"markeredgecolor": "black", "markersize": 9, "linestyle": "none", "clip_on": False, "zorder": 3}
    axes.plot(hours[-1:], counts[-1:], style.marker, color=style.colour, **end)
    moments = sorted({hours[-1] / 2, hours[-1]})
    return f"{style.title}: " + ", ".join(_describe_moment(curve, float(hour), course) for hour in moments)


def _describe_prediction(curve: _Curve) -> str:
    """Return in words what is predicted for the end of a wave."""
    if not len(curve.band_hours):
        return f"{curve.style.title}: no prediction"
    return f"{curve.style.title}: {curve.low[-1]} to {curve.high[-1]} predicted after {curve.band_hours[-1]:.1f} h"


def _describe_moment(curve: _Curve, hour: float, course: WaveCourse) -> str:
    """Return in words the count at an hour and the bounds that were predicted for it."""
    count = int(curve.counts[np.searchsorted(curve.hours, hour, side="right") - 1])
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
