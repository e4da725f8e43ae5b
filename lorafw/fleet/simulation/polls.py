"""When the next exchange takes place: what can come between a gateway's poll and the server.

In this order: the poll may be missed, and the next one comes a period later. It may not reach the server, reach a
server that answers with an error, or fall into an outage. Then the gateway polls again after ``resync_s``, as a Basics
Station does. A poll after a restart or a broken download is not missed, because the station is already running.
"""

from __future__ import annotations

import numpy as np

from lorafw.fleet.simulation.active import ActiveGateways
from lorafw.fleet.simulation.inputs import I64, BatchColumns, Mask, SimulationParameters
from lorafw.fleet.simulation.outages import Outages
from lorafw.fleet.simulation.random_streams import F64, Stream, uniform


def first_poll_ms(columns: BatchColumns) -> I64:
    """Return the time of each gateway's first poll at or after the creation of its task."""
    if columns.task_created_ms is None:
        return columns.phase_ms
    waiting_ms = np.maximum(columns.task_created_ms - columns.phase_ms, 0)
    periods: I64 = -(-waiting_ms // columns.period_ms)
    return columns.phase_ms + periods * columns.period_ms


def next_exchange_ms(
    active: ActiveGateways,
    step: int,
    params: SimulationParameters,
    outages: Outages | None,
    outage_group: I64 | None,
) -> I64:
    """Return the time of each gateway's next exchange.

    Args:
        active: The gateways, scheduled for their next poll.
        step: The step of the engine, which selects the random numbers.
        params: Plan and conditions.
        outages: The outages of the networks, or None.
        outage_group: The group of each gateway of the batch, or None if there are no outages.
    """
    conditions, exchange_ms = params.conditions, active.next_event_ms
    if conditions.missed_poll:
        missed = _missed_polls(active, step, conditions.missed_poll)
        if missed is not None:
            exchange_ms = exchange_ms + missed * active.period_ms
    for stream, probability in (
        (Stream.UNREACHED, conditions.unreached),
        (Stream.SERVER_ERROR, conditions.server_error),
    ):
        failures = _failures_in_a_row(active, stream, step, probability)
        if failures is not None:
            exchange_ms = exchange_ms + failures * params.resync_ms
    if outages is not None and outage_group is not None:
        exchange_ms = outages.first_retry_after(outage_group[active.batch_index], exchange_ms, params.resync_ms)
    return exchange_ms


def _missed_polls(active: ActiveGateways, step: int, probability: float) -> I64 | None:
    """Draw the number of polls that each gateway misses in a row. Returns None if no gateway misses one."""
    numbers = uniform(active.rng_key, Stream.MISSED, step)
    missed: Mask = numbers < probability
    if step > 0:
        missed &= ~active.poll_certain
    return _geometric(numbers, missed, probability)


def _failures_in_a_row(active: ActiveGateways, stream: Stream, step: int, probability: float) -> I64 | None:
    """Draw the number of consecutive failures of each gateway. Returns None if no gateway fails."""
    if not probability:
        return None
    numbers = uniform(active.rng_key, stream, step)
    return _geometric(numbers, numbers < probability, probability)


def _geometric(numbers: F64, failed: Mask, probability: float) -> I64 | None:
    """Turn uniform numbers into geometric ones: how often in a row an event of this probability happens.

    Args:
        numbers: One uniform number for each gateway.
        failed: The gateways for which the event happens at least once.
        probability: The probability of the event.

    Returns:
        The counts, 0 outside of ``failed``. None if ``failed`` is False everywhere.
    """
    index = np.flatnonzero(failed)
    if not len(index):
        return None
    counts = np.zeros(len(numbers), dtype=np.int64)
    counts[index] = (np.log(numbers[index]) / np.log(probability)).astype(np.int64)
    return counts
