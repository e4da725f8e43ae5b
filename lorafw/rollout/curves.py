"""How each wave went: the counts that were seen, by hours since the wave began, beside the predicted band."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import numpy as np

from lorafw.fleet.simulation.gates import GateDecision
from lorafw.rollout.envelope import Band
from lorafw.rollout.events import Commanded, Event, GateChecked, StatusChanged, UpdateStalled, WaveStarted
from lorafw.rollout.saved_plan import SavedPlan
from lorafw.tasks.lifecycle import TaskStatus

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
    stalled: tuple[int, int]
    """The smallest and the largest number of gateways whose update has stalled. The smallest is 0."""


@dataclass(frozen=True, slots=True, eq=False)
class WaveCourse:
    """How one wave went, and what was predicted for it.

    ``completed``, ``failed`` and ``stalled`` have one element for each of the ``hours``. All of them are empty if the
    wave has not begun.
    """

    number: int
    """The number of the wave, from 1."""
    size: int
    """Number of gateways that were planned."""
    hours: tuple[float, ...]
    """Hours since the wave began: 0, each time at which a count changed, and the last event that ``apply`` recorded."""
    completed: tuple[int, ...]
    """Number of COMPLETED gateways from each hour on."""
    failed: tuple[int, ...]
    """Number of FAILED gateways from each hour on."""
    stalled: tuple[int, ...]
    """Number of gateways, from each hour on, that had not succeeded half a poll period after the first offer."""
    checks: tuple[CheckPoint, ...]
    """The checks of the gate, in the order of time."""
    band: Band | None
    """The predicted band. None if the wave began in too few of the predicted rollouts."""

    @property
    def has_begun(self) -> bool:
        """True if the wave has begun."""
        return bool(self.hours)

    def predicted_at(self, hour: float) -> PredictedCounts | None:
        """Return the numbers of gateways that were predicted for an hour. None if there is no band.

        Counts never fall. So between two hours of the band, the smallest number is that of the hour before, and the
        largest number is that of the hour after.

        Args:
            hour: Hours since the wave began.
        """
        band = self.band
        if band is None:
            return None
        hour_before = int(np.searchsorted(band.hours, hour, side="right")) - 1
        hour_after = int(np.searchsorted(band.hours, hour, side="left"))
        first, last = max(hour_before, 0), min(hour_after, len(band.hours) - 1)
        return PredictedCounts(
            hour,
            completed=(int(band.completed_low[first]), int(band.completed_high[last])),
            failed=(int(band.failed_low[first]), int(band.failed_high[last])),
            stalled=(0, band.stalled_high),
        )


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
    changes = _changes_by_wave(plan, listed)
    return tuple(
        _course(plan, index, started_ms.get(index), latest_ms, changes[index], _checks_of(listed, index))
        for index in range(len(plan.waves))
    )


@dataclass(frozen=True, slots=True, order=True)
class _Change:
    """A count of a wave grew by one."""

    time_ms: int
    count: str
    """The name of a field of WaveCourse."""


def _changes_by_wave(plan: SavedPlan, events: Iterable[Event]) -> list[list[_Change]]:
    """Return for each wave the changes of its counts, in the order of time."""
    changes: list[list[_Change]] = [[] for _ in plan.waves]
    for event in events:
        if isinstance(event, StatusChanged) and event.to_status in _COUNT_OF_STATUS:
            changes[plan.wave_of[event.gateway]].append(_Change(event.time_ms, _COUNT_OF_STATUS[event.to_status]))
        elif isinstance(event, UpdateStalled):
            changes[plan.wave_of[event.gateway]].append(_Change(event.at_ms, "stalled"))
    return [sorted(of_wave) for of_wave in changes]


_COUNT_OF_STATUS: Final[Mapping[TaskStatus | None, str]] = {
    TaskStatus.COMPLETED: "completed",
    TaskStatus.FAILED: "failed",
}


def _checks_of(events: Iterable[Event], wave: int) -> list[GateChecked]:
    """Return the checks of the gate of a wave."""
    return [event for event in events if isinstance(event, GateChecked) and event.wave == wave]


def _course(
    plan: SavedPlan,
    index: int,
    started_ms: int | None,
    latest_ms: int,
    changes: Sequence[_Change],
    checks: Sequence[GateChecked],
) -> WaveCourse:
    """Return how one wave went. Times are in milliseconds since 1970 UTC.

    Args:
        plan: The saved plan.
        index: The index of the wave.
        started_ms: When the wave began. None if it has not begun.
        latest_ms: When ``apply`` recorded its last event.
        changes: The changes of the counts, in the order of time.
        checks: The checks of the gate.
    """
    number, size = index + 1, len(plan.waves[index].gateways)
    band = plan.bands[index]
    if started_ms is None:
        return WaveCourse(number, size, hours=(), completed=(), failed=(), stalled=(), checks=(), band=band)
    hours = [0.0]
    for change in changes:
        hours.append(max(0.0, (change.time_ms - started_ms) / HOUR_MS))
    latest_hour = (latest_ms - started_ms) / HOUR_MS
    hours.append(max(hours[-1], latest_hour))
    return WaveCourse(
        number,
        size,
        hours=tuple(hours),
        completed=_running_count(changes, "completed"),
        failed=_running_count(changes, "failed"),
        stalled=_running_count(changes, "stalled"),
        checks=tuple(CheckPoint((check.at_ms - started_ms) / HOUR_MS, check.decision) for check in checks),
        band=band,
    )


def _running_count(changes: Iterable[_Change], name: str) -> tuple[int, ...]:
    """Return a count: 0 at first, its value after each change, and the last value once more."""
    grown = accumulate((int(change.count == name) for change in changes), initial=0)
    values = tuple(grown)
    return (*values, values[-1])
