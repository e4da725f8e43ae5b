"""When tasks are created: the order of the gateways, and the rate within a wave. Times are in ms."""

from __future__ import annotations

from typing import Final

import numpy as np

from lorafw.fleet.arrays import Indices, Integers, RngKeys
from lorafw.fleet.plan import Plan, Rate
from lorafw.fleet.simulation.random_streams import Stream, uniform

MINUTE_MS: Final = 60_000.0

_MAX_INCREMENTS: Final = 60.0
"""After 60 increments by a factor of 2 or more every rate has reached its maximum. The bound keeps the power finite."""


def task_order(plan: Plan, rng_key: RngKeys) -> Indices:
    """Return the order in which gateways get their tasks: indices into the fleet, one row for each rollout."""
    if plan.order == "number":
        return np.broadcast_to(np.arange(rng_key.shape[1]), rng_key.shape)
    return np.argsort(uniform(rng_key, Stream.ORDER), axis=1, kind="stable")


def creation_offsets_ms(rate: Rate | None, size: int) -> Integers:
    """Return how long after the start of a wave its first, second, ... task is created.

    Args:
        rate: The rate of the plan. None creates all tasks at once.
        size: Number of tasks in the wave.
    """
    if rate is None:
        return np.zeros(size, dtype=np.int64)
    if rate.base_per_minute is None or rate.notified is None:
        return (np.arange(size) * (MINUTE_MS / rate.maximum_per_minute)).astype(np.int64)
    increments = np.minimum(np.arange(size) // rate.notified, _MAX_INCREMENTS)
    rates_per_minute = rate.base_per_minute * rate.increment_factor**increments
    gaps_ms = MINUTE_MS / np.minimum(rates_per_minute, rate.maximum_per_minute)
    offsets_ms: Integers = (np.cumsum(gaps_ms) - gaps_ms[0]).astype(np.int64)
    return offsets_ms


def random_delays_ms(plan: Plan, rng_key: RngKeys) -> Integers:
    """Draw the additional random delay of each task, up to the plan's ``random_delay_s``."""
    delays_ms: Integers = (uniform(rng_key, Stream.DELAY) * (plan.random_delay_s * 1000)).astype(np.int64)
    return delays_ms
