"""When the next exchange is: what may come between a gateway's poll and the server.

In this order: the poll may be missed, and the next comes a period later; it may not reach the server, or reach one
that answers with an error, or fall into an outage: then it is made again after ``resync_s``, as a Basics Station does.
A poll after a restart or a broken download is not missed: the station that has just spoken goes on.
"""

from __future__ import annotations

import numpy as np

from lorafw.fleet.simulation.active import ActiveGateways
from lorafw.fleet.simulation.inputs import I64, BatchColumns, Mask, SimulationParameters
from lorafw.fleet.simulation.outages import Outages
from lorafw.fleet.simulation.random_streams import U64, Stream, draw


def first_poll_ms(gateways: BatchColumns) -> I64:
    """The first poll at or after the opening of each task."""
    if gateways.opens is None:
        return gateways.phase_ms
    periods: I64 = -(-np.maximum(gateways.opens - gateways.phase_ms, 0) // gateways.period_ms)
    return gateways.phase_ms + periods * gateways.period_ms


def next_exchange_ms(
    way: ActiveGateways, turn: int, rules: SimulationParameters, outages: Outages | None, group: I64 | None
) -> I64:
    """When each gateway's next exchange is."""
    conditions, time = rules.conditions, way.time
    if conditions.missed_poll:
        missed = runs(way.position, Stream.MISSED, turn, conditions.missed_poll, ~way.poll_certain if turn else None)
        if missed is not None:
            time = time + missed * way.period
    for stream, share in ((Stream.UNREACHED, conditions.unreached), (Stream.SERVER_ERROR, conditions.server_error)):
        failed = runs(way.position, stream, turn, share, None) if share else None
        if failed is not None:
            time = time + failed * rules.resync_ms
    if outages is not None and group is not None:
        time = outages.first_retry_after(group[way.who], time, rules.resync_ms)
    return time


def runs(position: U64, stream: Stream, turn: int, share: float, among: Mask | None) -> I64 | None:
    """How many times in a row it goes wrong, geometric; None where for nobody."""
    luck = draw(position, stream, turn)
    hit = luck < share
    if among is not None:
        hit &= among
    where = np.flatnonzero(hit)
    if not len(where):
        return None
    result = np.zeros(len(luck), dtype=np.int64)
    result[where] = (np.log(luck[where]) / np.log(share)).astype(np.int64)
    return result
