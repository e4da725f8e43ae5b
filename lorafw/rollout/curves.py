"""How each wave went: the counts that were seen, by hours since the wave began, beside the predicted band."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from lorafw.fleet.simulation.gates import GateDecision
from lorafw.rollout.envelope import Band
from lorafw.rollout.events import Commanded, Event, GateChecked, StatusChanged, WaveStarted
from lorafw.rollout.saved_plan import SavedPlan
from lorafw.tasks.lifecycle import TERMINAL, TaskStatus

HOUR_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class CheckPoint:
    """A check of the gate of a wave."""

    hour: float
    """Hours since the wave began."""
    decision: GateDecision


@dataclass(frozen=True, slots=True)
class PredictedCounts:
    """The numbers of gateways that were predicted for one hour of a wave."""

    hour: float
    """Hours since the wave began."""
    completed: tuple[int, int]
    """The smallest and the largest number of COMPLETED gateways."""
    failed: tuple[int, int]
    """The smallest and the largest number of FAILED gateways."""


@dataclass(frozen=True, slots=True, eq=False)
class WaveCourse:
    """How one wave went, and what was predicted."""

    number: int
    """The number of the wave, from 1."""
    size: int
    """Number of gateways that were planned."""
    hours: tuple[float, ...]
    """Hours since the wave began: 0, each time at which a count changed, and the last event that ``apply`` recorded.

    Empty if the wave has not begun.
    """
    completed: tuple[int, ...]
    """How many gateways were COMPLETED from each of these hours on."""
    failed: tuple[int, ...]
    """How many were FAILED."""
    checks: tuple[CheckPoint, ...]
    """The checks of its gate, in the order of time."""
    band: Band | None
    """The predicted band. None if the prediction has none, because the wave began in too few of its rollouts."""

    @property
    def has_begun(self) -> bool:
        """Whether the wave has begun."""
        return bool(self.hours)

    def predicted_at(self, hour: float) -> PredictedCounts | None:
        """Return which numbers of gateways were predicted for an hour. None if there is no band.

        Counts never fall. Between two hours of the band, the smallest number is that of the hour before, and the
        largest is that of the hour after.
        """
        if self.band is None:
            return None
        hours = self.band.hours
        before = max(0, int(np.searchsorted(hours, hour, side="right")) - 1)
        after = min(len(hours) - 1, int(np.searchsorted(hours, hour, side="left")))
        completed = (int(self.band.completed_low[before]), int(self.band.completed_high[after]))
        failed = (int(self.band.failed_low[before]), int(self.band.failed_high[after]))
        return PredictedCounts(hour, completed, failed)


def wave_courses(plan: SavedPlan, events: Iterable[Event]) -> tuple[WaveCourse, ...]:
    """Return how each wave of a plan went.

    Args:
        plan: The saved plan.
        events: All events of the journal.
    """
    listed = list(events)
    started_ms = {event.wave: event.at_ms for event in listed if isinstance(event, WaveStarted)}
    # A command has the time of the machine on which it was given, which may be another one.
    latest_ms = max((event.at_ms for event in listed if not isinstance(event, Commanded)), default=0)
    ends = _ends_by_wave(plan, listed)
    return tuple(
        _course(plan, index, started_ms.get(index), latest_ms, ends[index], _checks_of(listed, index))
        for index in range(len(plan.waves))
    )


def _ends_by_wave(plan: SavedPlan, events: Iterable[Event]) -> list[list[StatusChanged]]:
    """Return for each wave the rows of the log in which a task ended, in the order of time."""
    ends: list[list[StatusChanged]] = [[] for _ in plan.waves]
    for event in events:
        if isinstance(event, StatusChanged) and event.to_status in TERMINAL:
            ends[plan.wave_of[event.gateway]].append(event)
    for rows in ends:
        rows.sort(key=lambda row: row.time_ms)
    return ends


def _checks_of(events: Iterable[Event], wave: int) -> list[GateChecked]:
    """Return the checks of the gate of a wave."""
    return [event for event in events if isinstance(event, GateChecked) and event.wave == wave]


def _course(
    plan: SavedPlan,
    index: int,
    started_ms: int | None,
    latest_ms: int,
    ends: Sequence[StatusChanged],
    checks: Sequence[GateChecked],
) -> WaveCourse:
    """Return how one wave went. ``started_ms`` is None if it has not begun."""
    number, size = index + 1, len(plan.waves[index].gateways)
    band = plan.bands[index]
    if started_ms is None:
        return WaveCourse(number, size, (), (), (), (), band)
    hours, completed, failed = [0.0], [0], [0]
    for row in ends:
        hours.append(max(0.0, (row.time_ms - started_ms) / HOUR_MS))
        completed.append(completed[-1] + (row.to_status is TaskStatus.COMPLETED))
        failed.append(failed[-1] + (row.to_status is TaskStatus.FAILED))
    hours.append(max(hours[-1], (latest_ms - started_ms) / HOUR_MS))
    points = tuple(CheckPoint((check.at_ms - started_ms) / HOUR_MS, check.decision) for check in checks)
    last_counts = (completed[-1], failed[-1])
    return WaveCourse(number, size, tuple(hours), (*completed, last_counts[0]), (*failed, last_counts[1]), points, band)
