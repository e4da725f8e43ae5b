"""Outages that all gateways of one ISP in one region share: time windows, drawn once for each group.

Whole cities of LoRa gateways depend on one provider (Helium study, IMC 2021). How often a provider goes down is an
assumption.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.special import ndtri

from lorafw.fleet.arrays import Integers, Mask, RngKeys, divide_rounding_up
from lorafw.fleet.conditions import Conditions
from lorafw.fleet.fleet import DAY_MS, Fleet
from lorafw.fleet.simulation.inputs import NEVER
from lorafw.fleet.simulation.random_streams import Stream, rng_keys, uniform

GROUP_STRIDE_MS: Final = 2**43
"""The distance between the time axes of two groups, about 279 years. The times of all groups lie on one line."""


@dataclass(frozen=True, slots=True, eq=False)
class Outages:
    """The outages of all groups of gateways. An outage is a window of time in which a group has no network.

    The windows of all groups are on one time line, sorted and without overlap. The times of group ``g`` are shifted by
    ``g * GROUP_STRIDE_MS``. The first window is a sentinel before all times, so that every time has a window before it.
    """

    starts: Integers
    """The start of each window, in ms on the time line."""
    ends: Integers
    """The end of each window, in ms on the time line. At this time the network works again."""

    def is_down(self, group: Integers, time_ms: Integers) -> Mask:
        """Return whether each group is down at a time."""
        shifted_ms = group * GROUP_STRIDE_MS + time_ms
        mask: Mask = self._end_of_previous(shifted_ms) > shifted_ms
        return mask

    def first_retry_after(self, group: Integers, time_ms: Integers, step_ms: int) -> Integers:
        """Return when each group gets through if it tries again and again.

        Args:
            group: The number of each group.
            time_ms: The time of its first try.
            step_ms: The time between two tries.
        """
        # The positions of the groups that are down at their time. It becomes shorter in each pass.
        down = np.flatnonzero(self.is_down(group, time_ms))
        if not len(down):
            return time_ms
        time_ms = time_ms.copy()
        while len(down):
            shifted_ms = group[down] * GROUP_STRIDE_MS + time_ms[down]
            remaining_ms = self._end_of_previous(shifted_ms) - shifted_ms
            # Another outage may have begun when the tries reach the end of this one.
            time_ms[down] += divide_rounding_up(remaining_ms, step_ms) * step_ms
            down = down[self.is_down(group[down], time_ms[down])]
        return time_ms

    def next_start(self, group: Integers, time_ms: Integers) -> Integers:
        """Return when the next outage of each group starts, at ``time_ms`` or later. NEVER if there is none."""
        offset_ms = group * GROUP_STRIDE_MS
        index = np.searchsorted(self.starts, offset_ms + time_ms, side="left")
        start_ms = np.append(self.starts, NEVER)[index] - offset_ms
        result: Integers = np.where(start_ms < GROUP_STRIDE_MS, start_ms, NEVER)
        return result

    def _end_of_previous(self, shifted_ms: Integers) -> Integers:
        """Return the end of the last window that starts at or before each time."""
        previous = np.searchsorted(self.starts, shifted_ms, side="right") - 1
        return self.ends[previous]


def outage_groups(fleet: Fleet) -> Integers:
    """Return the number of each gateway's group, which is a pair of ISP and region."""
    region_count = len(fleet.names["region"])
    groups: Integers = fleet.isp.astype(np.int64) * region_count + fleet.region
    return groups


def outage_group_count(fleet: Fleet) -> int:
    """Return the number of groups of a fleet."""
    return len(fleet.names["isp"]) * len(fleet.names["region"])


def draw_outages(fleet: Fleet, horizon_ms: int, seed: int, replications: Any) -> Outages | None:
    """Draw the outages of one or more replications.

    The outages of a group are a Poisson process with lognormal durations. Group numbers continue from one replication
    to the next.

    Args:
        fleet: The gateways, whose providers and regions make up the groups.
        horizon_ms: The end of the simulation.
        seed: The seed of the random numbers.
        replications: The numbers of the replications.

    Returns:
        The outages of all groups. None if there are none.
    """
    conditions = fleet.conditions
    if conditions.outages_per_day == 0:
        return None
    group_count = outage_group_count(fleet)
    # Enough windows to reach the horizon: the mean of the Poisson process and ten standard deviations.
    mean_count = horizon_ms / DAY_MS * conditions.outages_per_day
    window_count = int(mean_count + 10 * mean_count**0.5 + 10)
    # Window k of a group has random numbers like those of a gateway with the number group * 2^32 + k.
    first_numbers = np.arange(group_count, dtype=np.uint64)[:, None] << np.uint64(32)
    numbers = first_numbers + np.arange(window_count, dtype=np.uint64)
    # The axes are: replication, group, window. The groups of all replications then become the rows of a table.
    rng_key = rng_keys(seed, np.asarray(replications)[:, None, None], numbers[None]).reshape(-1, window_count)
    starts, ends = _draw_windows(conditions, rng_key)
    return _merge_windows(starts, ends, horizon_ms)


def _draw_windows(conditions: Conditions, rng_key: RngKeys) -> tuple[Integers, Integers]:
    """Draw the outages of each group, one after the other.

    Returns:
        The starts and the ends in ms: one row for each group, one column for each outage. They may overlap.
    """
    gaps_ms = -np.log(uniform(rng_key, Stream.OUTAGE)) * (DAY_MS / conditions.outages_per_day)
    spread = np.exp(ndtri(uniform(rng_key, Stream.OUTAGE_LENGTH)) * conditions.outage_sigma)
    latest_ms = GROUP_STRIDE_MS // 4
    starts = np.minimum(np.cumsum(gaps_ms, axis=1), latest_ms).astype(np.int64)
    durations = np.clip(spread * (conditions.outage_median_s * 1000), 1, latest_ms).astype(np.int64)
    return starts, starts + durations


def _merge_windows(starts: Integers, ends: Integers, horizon_ms: int) -> Outages:
    """Merge overlapping windows, drop those after the horizon, and put all groups on one time line.

    A merged window starts where a gap precedes it, and ends where the next merged window starts another one::

        windows        [----)  [---------)           [---)
                                   [--)
        opens_window   True    True  False           True
        closes_window  True    False True            True
    """
    # Each array has one row for each group and one column for each window, in the order of their starts.
    latest_end_so_far = np.maximum.accumulate(ends, axis=1)
    always = np.ones((len(starts), 1), dtype=np.bool_)
    # 1. A window opens a merged one if all windows before it have ended. The first one always does.
    starts_after_gap = starts[:, 1:] > latest_end_so_far[:, :-1]
    opens_window = np.column_stack([always, starts_after_gap])
    # 2. A window closes a merged one if the next one opens another, or comes after the horizon.
    within_horizon = starts < horizon_ms
    next_is_separate = opens_window[:, 1:] | ~within_horizon[:, 1:]
    closes_window = np.column_stack([next_is_separate, always])
    # 3. Shift each group to its own part of the time line.
    offset_ms = np.arange(len(starts))[:, None] * GROUP_STRIDE_MS
    window_starts = (starts + offset_ms)[within_horizon & opens_window]
    window_ends = (latest_end_so_far + offset_ms)[within_horizon & closes_window]
    return Outages(_with_sentinel(window_starts), _with_sentinel(window_ends))


def _with_sentinel(times_ms: Integers) -> Integers:
    """Return the times with -1 in front: the window that ends before all times."""
    return np.append(np.array([-1]), times_ms)
