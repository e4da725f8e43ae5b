"""A reply with the update: how long it takes, and what breaks it off.

There is no resume: a broken download begins again from its first byte (Basics Station). So of two causes the earlier
one counts: the link drops, which it does at a rate, or an outage begins; or the link stalls, at any point of the
download, until the station has waited too long for the next 8 KB.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lorafw.fleet.simulation.active import ActiveGateways
from lorafw.fleet.simulation.codes import U8, Fault, fault_code
from lorafw.fleet.simulation.inputs import I64, NEVER, BatchColumns, SimulationParameters
from lorafw.fleet.simulation.outages import Outages
from lorafw.fleet.simulation.random_streams import Stream, draw

_HOUR_MS: Final = 3_600_000.0


@dataclass(frozen=True, slots=True, eq=False)
class BrokenDownloads:
    """Downloads that break off: whose (places in the way), after how many ms, why, and the share that had arrived."""

    where: npt.NDArray[np.intp]
    after: I64
    fault: U8
    share: npt.NDArray[np.float64]


def download_ms(way: ActiveGateways, turn: int, rules: SimulationParameters, gateways: BatchColumns) -> I64:
    """How long each whole download takes."""
    mean = rules.size_bytes * 1000.0 / gateways.goodput_Bps[way.who]
    if rules.conditions.download == "exponential":
        mean *= -np.log(draw(way.position, Stream.DOWNLOAD, turn))
    return mean.astype(np.int64)


def breaks(
    way: ActiveGateways, turn: int, rules: SimulationParameters, takes: I64, outages: Outages | None, group: Any
) -> BrokenDownloads | None:
    """Which downloads break off; None where nothing can break them."""
    conditions = rules.conditions
    if not (conditions.link_drops_per_h or conditions.slow_link or outages is not None):
        return None
    drops = np.full(len(way), NEVER, dtype=np.int64)
    if conditions.link_drops_per_h:
        luck = draw(way.position, Stream.DROP, turn)
        drops = (np.log(luck) * (-_HOUR_MS / conditions.link_drops_per_h)).astype(np.int64)
    if outages is not None:
        drops = np.minimum(drops, outages.next_start(group[way.who], way.time) - way.time)
    ends, stalls, point = takes, np.zeros(len(way), dtype=np.bool_), np.ones(len(way))
    if conditions.slow_link:
        luck = draw(way.position, Stream.STALL, turn) / conditions.slow_link
        stalls, point = luck < 1, np.minimum(luck, 1)
        ends = (takes * point).astype(np.int64) + stalls * rules.conn_timeout_ms
    dropped = drops < ends
    where = np.flatnonzero(dropped | stalls)
    after = np.minimum(drops, ends)[where]
    fault = np.where(dropped[where], fault_code(Fault.LINK_DROP), fault_code(Fault.SLOW_LINK)).astype(np.uint8)
    return BrokenDownloads(where, after, fault, np.minimum(after / np.maximum(takes[where], 1), point[where]))
