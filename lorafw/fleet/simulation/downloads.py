"""The download of an update: how long it takes, and what breaks it off.

A Basics Station does not resume a download: it begins again from the first byte. A download can break off because the
link drops (at a constant rate), because an outage begins, or because the link stalls until the station has waited too
long for the next 8 KB. The earliest of these causes counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lorafw.fleet.simulation.active import ActiveGateways
from lorafw.fleet.simulation.codes import U8, Fault, fault_code
from lorafw.fleet.simulation.inputs import I64, NEVER, BatchColumns, Mask, SimulationParameters
from lorafw.fleet.simulation.outages import Outages
from lorafw.fleet.simulation.random_streams import F64, Stream, uniform

_HOUR_MS: Final = 3_600_000.0
_LINK_DROP: Final = fault_code(Fault.LINK_DROP)
_SLOW_LINK: Final = fault_code(Fault.SLOW_LINK)


@dataclass(frozen=True, slots=True, eq=False)
class BrokenDownloads:
    """Downloads that break off."""

    index: npt.NDArray[np.intp]
    """Positions of the gateways among the active ones."""
    after_ms: I64
    """How long after its beginning each download breaks off."""
    fault: U8
    """The code of the fault."""
    received_share: F64
    """The share of the update that had arrived."""


def download_ms(active: ActiveGateways, step: int, params: SimulationParameters, columns: BatchColumns) -> I64:
    """Return how long each whole download takes, in ms."""
    duration_ms = params.size_bytes * 1000.0 / columns.goodput_Bps[active.batch_index]
    if params.conditions.download == "exponential":
        duration_ms *= -np.log(uniform(active.rng_key, Stream.DOWNLOAD, step))
    return duration_ms.astype(np.int64)


def find_broken_downloads(
    active: ActiveGateways,
    step: int,
    params: SimulationParameters,
    duration_ms: I64,
    outages: Outages | None,
    outage_group: Any,
) -> BrokenDownloads | None:
    """Return the downloads that break off, or None if nothing can break a download.

    Args:
        active: The gateways that download the update.
        step: The step of the engine, which selects the random numbers.
        params: Plan and conditions.
        duration_ms: How long each whole download takes.
        outages: The outages of the networks, or None.
        outage_group: The group of each gateway of the batch, or None if there are no outages.
    """
    conditions = params.conditions
    if not (conditions.link_drops_per_h or conditions.slow_link or outages is not None):
        return None
    link_drop_ms = _link_drop_ms(active, step, conditions.link_drops_per_h)
    interrupted_ms = np.minimum(link_drop_ms, _outage_start_ms(active, outages, outage_group))
    stalled, stall_point = _stalls(active, step, conditions.slow_link)
    end_ms = (duration_ms * stall_point).astype(np.int64) + stalled * params.conn_timeout_ms
    dropped = interrupted_ms < end_ms
    index = np.flatnonzero(dropped | stalled)
    after_ms = np.minimum(interrupted_ms, end_ms)[index]
    fault = np.where(dropped[index], _LINK_DROP, _SLOW_LINK).astype(np.uint8)
    received_share = np.minimum(after_ms / np.maximum(duration_ms[index], 1), stall_point[index])
    return BrokenDownloads(index, after_ms, fault, received_share)


def _link_drop_ms(active: ActiveGateways, step: int, drops_per_h: float) -> I64:
    """Return how long after the beginning each link drops, NEVER if links do not drop."""
    if not drops_per_h:
        return np.full(len(active), NEVER, dtype=np.int64)
    numbers = uniform(active.rng_key, Stream.DROP, step)
    return (np.log(numbers) * (-_HOUR_MS / drops_per_h)).astype(np.int64)


def _outage_start_ms(active: ActiveGateways, outages: Outages | None, outage_group: Any) -> I64:
    """Return how long after the beginning the next outage starts, NEVER if there are no outages."""
    if outages is None:
        return np.full(len(active), NEVER, dtype=np.int64)
    return outages.next_start(outage_group[active.batch_index], active.next_event_ms) - active.next_event_ms


def _stalls(active: ActiveGateways, step: int, probability: float) -> tuple[Mask, F64]:
    """Return which links stall, and the share of the update that arrives before that (1 if a link does not stall)."""
    if not probability:
        return np.zeros(len(active), dtype=np.bool_), np.ones(len(active))
    # Given that a link stalls, its number divided by the probability is uniform in (0, 1): the point of the stall.
    scaled = uniform(active.rng_key, Stream.STALL, step) / probability
    return scaled < 1, np.minimum(scaled, 1)
