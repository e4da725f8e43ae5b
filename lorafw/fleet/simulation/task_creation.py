"""When tasks are created: order, waves, rates. Offsets from the start of a wave, in ms."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lorafw.fleet.plan import Plan, Rate
from lorafw.fleet.simulation.inputs import I64
from lorafw.fleet.simulation.random_streams import U64, Stream, draw

MINUTE_MS = 60_000.0


def task_order(plan: Plan, position: U64) -> npt.NDArray[np.intp]:
    """In which order gateways get their tasks: one row for each rollout, of the gateways' places in the fleet."""
    if plan.order == "number":
        return np.broadcast_to(np.arange(position.shape[1]), position.shape)
    return np.argsort(draw(position, Stream.ORDER), axis=1, kind="stable")


def creation_offsets_ms(rate: Rate | None, size: int) -> I64:
    """When the first, second, ... task of a wave is created, after its start."""
    if rate is None:
        return np.zeros(size, dtype=np.int64)
    if rate.base_per_minute is None or rate.notified is None:
        return (np.arange(size) * (MINUTE_MS / rate.maximum_per_minute)).astype(np.int64)
    step = np.arange(size) // rate.notified
    # A rate doubled sixty times is the maximum long since: the power stays finite.
    rates = rate.base_per_minute * rate.increment_factor ** np.minimum(step, 60.0)
    gaps = MINUTE_MS / np.minimum(rates, rate.maximum_per_minute)
    after: I64 = (np.cumsum(gaps) - gaps[0]).astype(np.int64)
    return after


def random_delays_ms(plan: Plan, position: U64) -> I64:
    """How much later each task is created, by chance."""
    result: I64 = (draw(position, Stream.DELAY) * (plan.random_delay_s * 1000)).astype(np.int64)
    return result
