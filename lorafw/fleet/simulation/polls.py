"""Stage 1 of a step: a poll reaches the server, sooner or later.

In this order: the poll may be missed, and the next one comes a period later. It may not reach the server, reach a
server that answers with an error, or fall into an outage. Then the gateway polls again after ``resync_s``, as a Basics
Station does. A poll after a restart or a broken download is not missed, because the station is already running.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lorafw.fleet.arrays import Floats, Integers, Mask, divide_rounding_up
from lorafw.fleet.simulation.active import ActiveGateways
from lorafw.fleet.simulation.codes import Fault, fault_code
from lorafw.fleet.simulation.history_writer import HistoryWriter
from lorafw.fleet.simulation.inputs import BatchColumns, SimulationParameters
from lorafw.fleet.simulation.random_streams import Stream
from lorafw.fleet.simulation.silence import exceeds_timeout, fail_silent
from lorafw.fleet.simulation.step import Step


def first_poll_ms(columns: BatchColumns) -> Integers:
    """Return the time of each gateway's first poll at or after the creation of its task."""
    if columns.task_created_ms is None:
        return columns.phase_ms
    waiting_ms: Integers = np.maximum(columns.task_created_ms - columns.phase_ms, 0)
    skipped_polls = divide_rounding_up(waiting_ms, columns.period_ms)
    return columns.phase_ms + skipped_polls * columns.period_ms


def advance_to_exchange(active: ActiveGateways, step: Step, writer: HistoryWriter) -> ActiveGateways:
    """Advance each gateway to its next exchange with the server.

    Args:
        active: The gateways, scheduled for their next poll.
        step: The inputs of this step: the plan, the conditions, the gateways and the outages.
        writer: Records the tasks that the silence timeout ends.

    Returns:
        The gateways that make an exchange before the horizon. Their ``next_event_ms`` is its time.
    """
    scheduled_ms = active.next_event_ms
    active = replace(active, next_event_ms=next_exchange_ms(active, step))
    active = _fail_timed_out(active, scheduled_ms, step.params, writer)
    return active.select(active.next_event_ms <= step.params.horizon_ms)


def _fail_timed_out(
    active: ActiveGateways, scheduled_ms: Integers, params: SimulationParameters, writer: HistoryWriter
) -> ActiveGateways:
    """End the tasks of gateways whose exchange comes after the silence timeout, and return the other gateways.

    Args:
        active: The gateways. ``next_event_ms`` is the time of their next exchange.
        scheduled_ms: The time at which each gateway would have polled if nothing had delayed it.
        params: The plan, which sets the timeout.
        writer: Records the ends.
    """
    silence_ms = active.next_event_ms - active.last_request_ms
    timed_out = exceeds_timeout(active, silence_ms, params)
    if not timed_out.any():
        return active
    # The fault is OFFLINE if the poll was scheduled before the deadline. Otherwise it is the previous fault.
    scheduled_silence_ms = scheduled_ms - active.last_request_ms
    scheduled_in_time = scheduled_silence_ms < params.silence_timeout_ms
    fault = np.where(scheduled_in_time, fault_code(Fault.OFFLINE), active.last_fault)
    fail_silent(active.select(timed_out), fault[timed_out], params, writer)
    return active.select(~timed_out)


def next_exchange_ms(active: ActiveGateways, step: Step) -> Integers:
    """Return the time of each gateway's next exchange with the server.

    Args:
        active: The gateways, scheduled for their next poll.
        step: The inputs of this step: the plan, the conditions, the gateways and the outages.
    """
    params, outage_group = step.params, step.columns.outage_group
    exchange_ms = active.next_event_ms
    # 1. A gateway that misses its poll polls again one period later.
    missed = _missed_polls(active, step)
    if missed is not None:
        exchange_ms = exchange_ms + missed * active.period_ms
    # 2. A gateway whose exchange fails polls again after the resync time.
    unreached = _failures_in_a_row(active, step, Stream.UNREACHED, params.conditions.unreached)
    if unreached is not None:
        exchange_ms = exchange_ms + unreached * params.resync_ms
    errors = _failures_in_a_row(active, step, Stream.SERVER_ERROR, params.conditions.server_error)
    if errors is not None:
        exchange_ms = exchange_ms + errors * params.resync_ms
    # 3. During an outage every exchange fails.
    if step.outages is not None and outage_group is not None:
        group = outage_group[active.batch_index]
        exchange_ms = step.outages.first_retry_after(group, exchange_ms, params.resync_ms)
    return exchange_ms


def _missed_polls(active: ActiveGateways, step: Step) -> Integers | None:
    """Draw the number of polls that each gateway misses in a row. Return None if no gateway misses one."""
    probability = step.params.conditions.missed_poll
    if not probability:
        return None
    numbers = step.random_numbers(active, Stream.MISSED)
    missed: Mask = numbers < probability
    if step.number > 0:
        missed &= ~active.poll_certain
    return _geometric(numbers, missed, probability)


def _failures_in_a_row(active: ActiveGateways, step: Step, stream: Stream, probability: float) -> Integers | None:
    """Draw the number of consecutive failures of each gateway. Return None if no gateway fails."""
    if not probability:
        return None
    numbers = step.random_numbers(active, stream)
    return _geometric(numbers, numbers < probability, probability)


def _geometric(numbers: Floats, failed: Mask, probability: float) -> Integers | None:
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
