"""The figures of a rollout, each with its interval, from the gateways' histories.

With one replication the gateways are the sample: shares have Wilson's interval, quantiles that of their order
statistics, means the normal one. The time until the last gateway ends is then a single observation and has none. With
several, the rollout is the unit: every figure is a mean over replications with Student's interval.

Time to COMPLETED is right-censored, and FAILED competes with it: its quantiles are of the gateways that completed, and
stand beside the share that never does.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from lorafw.errors import FleetError
from lorafw.fleet.simulation.codes import status_code
from lorafw.fleet.simulation.histories import Histories
from lorafw.fleet.simulation.inputs import I64, NEVER
from lorafw.fleet.simulation.numpy_memory import huge_pages_disabled
from lorafw.fleet.statistics.summary import Estimate, Summary
from lorafw.tasks.lifecycle import TaskStatus

F64 = npt.NDArray[np.float64]

QUANTILES: Final = (0.5, 0.9, 0.95, 0.99)
_COMPLETED: Final = status_code(TaskStatus.COMPLETED)
_FAILED: Final = status_code(TaskStatus.FAILED)
_MINUTE_MS: Final = 60_000
_PIECE: Final = 1 << 18


@huge_pages_disabled()
def summarise(h: Histories, stopped: I64, update_bytes: int, level: float) -> Summary:
    """The figures at a level of confidence between 0 and 1. Raises FleetError.

    ``stopped``: when each replication was aborted, in ms (NEVER: not); ``update_bytes``: what one whole send costs.
    """
    if not 0 < level < 1:
        raise FleetError("ci", level, f"ci {level!r} is not a level between 0 and 1, e.g. 0.95")
    count, size = h.status.shape
    completed = h.status == _COMPLETED
    done = completed.sum(axis=1)
    failed = (h.status == _FAILED).sum(axis=1)
    total = size * count
    single = count == 1
    z = NormalDist().inv_cdf((1 + level) / 2)
    sends = h.delivered_sends.sum(axis=1, dtype=np.int64)

    def over_replications(values: F64) -> Estimate:
        return t_interval(values, level)

    def share(hits: Any) -> Estimate:
        return wilson_interval(int(hits[0]), size, z) if single else over_replications(hits / size)

    bytes_sent = sends * float(update_bytes) + h.broken_bytes.sum(axis=1)
    last = _last_end_ms(h.ended_ms)
    return Summary(
        gateways=size,
        replications=count,
        level=level,
        completed_share=share(done),
        failed_share=share(failed),
        never_completed_share=share(size - done),
        mean_sends=_mean_sends(h.delivered_sends[0], z) if single else over_replications(sends / size),
        time_to_completed_s=_quantiles(h.ended_ms, completed, done, level),
        time_to_last_s=over_replications(last[last < NEVER] / 1000),
        bytes_sent=over_replications(bytes_sent),
        peak_offers_per_min=over_replications(_peak_per_minute(h.offered_ms)),
        aborted_share=wilson_interval(int((stopped < NEVER).sum()), count, z) if total else Estimate(None),
    )


def wilson_interval(hits: int, trials: int, z: float) -> Estimate:
    """A share with Wilson's score interval."""
    share, square = hits / trials, z * z / trials
    centre = (share + square / 2) / (1 + square)
    half = z / (1 + square) * (share * (1 - share) / trials + square / trials / 4) ** 0.5
    return Estimate(share, max(0.0, centre - half) if hits else 0.0, min(1.0, centre + half) if hits < trials else 1.0)


def t_interval(values: F64, level: float) -> Estimate:
    """A mean with Student's interval; without one for a single value."""
    if not len(values):
        return Estimate(None)
    mean = float(values.mean())
    if len(values) == 1:
        return Estimate(mean)
    half = float(stdtrit(len(values) - 1, (1 + level) / 2) * values.std(ddof=1) / len(values) ** 0.5)
    return Estimate(mean, mean - half, mean + half)


def _mean_sends(sends: Any, z: float) -> Estimate:
    values = np.arange(int(sends.max()) + 1)
    counts = np.array([np.count_nonzero(sends == value) for value in values])
    mean = float((counts * values).sum() / len(sends))
    half = z * float((counts * (values - mean) ** 2).sum() / len(sends)) ** 0.5 / len(sends) ** 0.5
    return Estimate(mean, mean - half, mean + half)


def _quantiles(ended: Any, completed: Any, done: Any, level: float) -> dict[str, Estimate]:
    names = {q: f"p{q * 100:g}" for q in QUANTILES}
    if len(ended) > 1:
        times = np.sort(np.where(completed, ended, NEVER), axis=1)
        rows = np.flatnonzero(done)
        return {names[q]: t_interval(times[rows, quantile_index(q, done[rows])] / 1000, level) for q in QUANTILES}
    times, count = ended[0][completed[0]], int(done[0])
    if not count:
        return {name: Estimate(None) for name in names.values()}
    ranks = {q: (int(quantile_index(q, count)), *quantile_index_interval(q, count, level)) for q in QUANTILES}
    times.partition(sorted({place for places in ranks.values() for place in places}))
    return {names[q]: Estimate(*(float(times[place]) / 1000 for place in places)) for q, places in ranks.items()}


def quantile_index(q: float, count: Any) -> Any:
    """The place of a quantile among ``count`` sorted values: the first at which the share reached is at least ``q``."""
    return np.maximum(np.ceil(q * np.asarray(count) - 1e-9).astype(np.int64) - 1, 0)


def quantile_index_interval(q: float, count: int, level: float) -> tuple[int, int]:
    """Places between which the quantile lies with this confidence, whatever the distribution.

    So many lie below it as of ``count`` trials succeed with probability q; binomial, as normal with continuity.
    """
    half = NormalDist().inv_cdf((1 + level) / 2) * (count * q * (1 - q)) ** 0.5
    low, high = round(count * q - half - 0.5), round(count * q + half - 0.5)
    return max(low, 0), min(high, count - 1)


def _last_end_ms(ended: Any) -> Any:
    """When the last of those that end ends, in each replication; NEVER where none does."""
    latest = ended.max(axis=1, where=ended < NEVER, initial=-1)
    return np.where(latest >= 0, latest, NEVER)


def _peak_per_minute(offered: Any) -> F64:
    """Most first offers within a minute of the clock, in each replication."""
    return np.array([_max_per_minute(row) for row in offered], dtype=np.float64)


def _max_per_minute(times: Any) -> int:
    """Counted piece by piece: a copy of all times would cost more than counting them."""
    counts = np.zeros(1, dtype=np.int64)
    for left in range(0, len(times), _PIECE):
        part = times[left : left + _PIECE]
        found = np.bincount(part[part < NEVER] // _MINUTE_MS, minlength=len(counts))
        found[: len(counts)] += counts
        counts = found
    return int(counts.max())
