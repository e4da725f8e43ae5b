"""Outages that all gateways of one ISP in one region share: windows of time, drawn once for each group.

Whole cities of LoRa gateways hang on one provider (Helium study, IMC 2021); how often it goes down is an assumption.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from lorafw.fleet.conditions import Conditions
from lorafw.fleet.fleet import DAY_MS, Fleet
from lorafw.fleet.simulation.inputs import I64, NEVER
from lorafw.fleet.simulation.random_streams import U64, Stream, draw, rng_keys

GROUP_STRIDE_MS: Final = 2**43
"""Times of one group fit in here (about 279 years), so groups can lie side by side on one line."""


@dataclass(frozen=True, slots=True, eq=False)
class Outages:
    """Windows [start, end) of all groups, each group shifted by its number of spans; sorted, without overlap.

    The first is one that nobody is in, so that there is a window before every time.
    """

    starts: I64
    ends: I64

    def during(self, group: I64, time: I64) -> npt.NDArray[np.bool_]:
        """Is the group down at this time?"""
        at = group * GROUP_STRIDE_MS + time
        before = np.searchsorted(self.starts, at, side="right") - 1
        found: npt.NDArray[np.bool_] = self.ends[before] > at
        return found

    def first_retry_after(self, group: I64, time: I64, step_ms: int) -> I64:
        """The first of the times ``time``, ``time + step_ms``, ... at which the group is not down."""
        down = np.flatnonzero(self.during(group, time))
        if not len(down):
            return time
        time = time.copy()
        while len(down):
            at = group[down] * GROUP_STRIDE_MS + time[down]
            left = self.ends[np.searchsorted(self.starts, at, side="right") - 1] - at
            time[down] += -(-left // step_ms) * step_ms
            down = down[self.during(group[down], time[down])]
        return time

    def next_start(self, group: I64, time: I64) -> I64:
        """When the next outage of the group begins, at ``time`` or later; NEVER where none does."""
        after = np.searchsorted(self.starts, group * GROUP_STRIDE_MS + time, side="left")
        begins = np.append(self.starts, NEVER)[after] - group * GROUP_STRIDE_MS
        result: I64 = np.where(begins < GROUP_STRIDE_MS, begins, NEVER)
        return result


def outage_groups(fleet: Fleet) -> I64:
    """The number of each gateway's (ISP, region)."""
    result: I64 = fleet.isp.astype(np.int64) * len(fleet.names["region"]) + fleet.region
    return result


def draw_outages(fleet: Fleet, horizon_ms: int, seed: int, replications: Any) -> Outages | None:
    """The outages of one or more replications; group numbers go on from one replication to the next.

    A Poisson process for each group: the distances are exponential, the lengths lognormal.
    """
    conditions = fleet.conditions
    if conditions.outages_per_day == 0:
        return None
    groups = len(fleet.names["isp"]) * len(fleet.names["region"])
    expected = horizon_ms / DAY_MS * conditions.outages_per_day
    count = int(expected + 10 * expected**0.5 + 10)
    # Windows are drawn as gateways are: number k of a group stands at position group * 2^32 + k.
    numbers = (np.arange(groups, dtype=np.uint64)[:, None] << np.uint64(32)) + np.arange(count, dtype=np.uint64)
    position = rng_keys(seed, np.asarray(replications)[:, None, None], numbers[None]).reshape(-1, count)
    return _merged(*_windows(conditions, position), horizon_ms)


def _windows(conditions: Conditions, position: U64) -> tuple[I64, I64]:
    """Starts and ends, a row for each group."""
    gaps = -np.log(draw(position, Stream.OUTAGE)) * (DAY_MS / conditions.outages_per_day)
    spread = np.exp(ndtri(draw(position, Stream.OUTAGE_LENGTH)) * conditions.outage_sigma)
    starts = np.minimum(np.cumsum(gaps, axis=1), GROUP_STRIDE_MS // 4).astype(np.int64)
    lengths = np.clip(spread * (conditions.outage_median_s * 1000), 1, GROUP_STRIDE_MS // 4).astype(np.int64)
    return starts, starts + lengths


def _merged(starts: I64, ends: I64, horizon_ms: int) -> Outages:
    """Windows before the horizon on one line, those that overlap as one."""
    ends = np.maximum.accumulate(ends, axis=1)
    fresh = np.ones(starts.shape, dtype=bool)
    fresh[:, 1:] = starts[:, 1:] > ends[:, :-1]
    shown = starts < horizon_ms
    shift = np.arange(len(starts))[:, None] * GROUP_STRIDE_MS
    begins = (starts + shift)[shown & fresh]
    # A window ends where the last that overlaps it does: just before the next one that is fresh.
    following = np.ones(starts.shape, dtype=bool)
    following[:, :-1] = fresh[:, 1:] | ~shown[:, 1:]
    nobody = np.array([-1])
    return Outages(np.append(nobody, begins), np.append(nobody, (ends + shift)[shown & following]))
