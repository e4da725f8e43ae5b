"""The simulation engine: what happens to many gateways at once, exchange by exchange.

Gateways do not influence each other, so a rollout is a function of the times at which their tasks are created. In
each step every active gateway makes one exchange with the server. Gateways whose task has not ended are carried into
the next step. Statuses change only by the transition table.

One step, in order (times in whole ms, fractions cut off):

1. The poll reaches the server, sooner or later (``polls``). A gateway in SECOND_RETRY that stays silent for the
   timeout is FAILED, at the deadline (``silence``).
2. The gateway presents a version (``version_check``). The new one completes the task. Any other one after a delivered
   update is a failed attempt; the third failed attempt ends the task as FAILED.
3. A gateway with the old version is sent the update, unless the update cannot be read (``downloads``).
4. The download is delivered whole, or it breaks off (``downloads``).
5. What the gateway does with the update decides when it polls again, and with which version (``installs``). The next
   regular poll is one period after the last one, or at the end of the download if that is later.
"""

from __future__ import annotations

import numpy as np

from lorafw.fleet.simulation.active import ActiveGateways, PresentedVersion, concatenate
from lorafw.fleet.simulation.codes import Fault, fault_code, status_code
from lorafw.fleet.simulation.downloads import send_update, skip_unreadable
from lorafw.fleet.simulation.event_log import EventRecorder
from lorafw.fleet.simulation.histories import Histories, allocate_histories
from lorafw.fleet.simulation.history_writer import HistoryWriter
from lorafw.fleet.simulation.inputs import BatchColumns, SimulationParameters
from lorafw.fleet.simulation.installs import install
from lorafw.fleet.simulation.outages import Outages
from lorafw.fleet.simulation.polls import advance_to_exchange, first_poll_ms
from lorafw.fleet.simulation.step import Step
from lorafw.fleet.simulation.version_check import check_version
from lorafw.tasks.lifecycle import INITIAL, Cause


def simulate_batch(
    columns: BatchColumns,
    params: SimulationParameters,
    outages: Outages | None = None,
    recorder: EventRecorder | None = None,
) -> Histories:
    """Simulate one batch of gateways to its end.

    Args:
        columns: The gateways.
        params: The plan and the conditions.
        outages: The outages of the networks. None if there are none.
        recorder: Receives every row of the task log. None if no log is wanted.

    Returns:
        The history of each gateway.
    """
    histories = allocate_histories((columns.size,), params, automatic=columns.task_created_ms is None)
    histories.reset()
    writer = HistoryWriter(histories, params.horizon_ms, recorder)
    active = _create_tasks(columns, params, writer)
    step_number = 0
    while active is not None:
        step = Step(step_number, params, columns, outages)
        active = _simulate_step(active, step, writer)
        step_number += 1
    return histories


def _create_tasks(columns: BatchColumns, params: SimulationParameters, writer: HistoryWriter) -> ActiveGateways | None:
    """Create the tasks that an operator creates, and schedule the first poll of each gateway.

    Args:
        columns: The gateways.
        params: The plan and the conditions.
        writer: Records the tasks.

    Returns:
        The gateways that will ask for the update. None if there are none.
    """
    active = _all_gateways(columns)
    if columns.task_created_ms is not None:
        # A task that would be created after the horizon does not exist.
        has_task = columns.task_created_ms <= params.horizon_ms
        writer.record_creation(np.flatnonzero(has_task), columns.task_created_ms[has_task], Cause.CREATED_MANUALLY)
        active = active.select(has_task)
    if columns.never_requests is not None:
        active = active.select(~columns.never_requests[active.batch_index])
    return concatenate([active])


def _all_gateways(columns: BatchColumns) -> ActiveGateways:
    """Return all gateways of a batch, scheduled for their first poll."""
    size = columns.size
    first_ms = first_poll_ms(columns)
    return ActiveGateways(
        batch_index=np.arange(size),
        rng_key=columns.rng_key,
        next_event_ms=first_ms,
        period_ms=columns.period_ms,
        last_request_ms=first_ms,
        status=np.full(size, status_code(INITIAL), dtype=np.uint8),
        presented=np.full(size, PresentedVersion.OLD, dtype=np.uint8),
        last_fault=np.full(size, fault_code(Fault.NONE), dtype=np.uint8),
        download_broken=np.zeros(size, dtype=np.bool_),
        poll_certain=np.zeros(size, dtype=np.bool_),
    )


def _simulate_step(active: ActiveGateways, step: Step, writer: HistoryWriter) -> ActiveGateways | None:
    """Let each gateway make its next exchange with the server.

    Args:
        active: The gateways, scheduled for their next poll.
        step: The inputs of this step: the plan, the conditions, the gateways and the outages.
        writer: Records what happens.

    Returns:
        The gateways that poll again. None if there are none.
    """
    # 1. The poll reaches the server.
    active = advance_to_exchange(active, step, writer)
    # 2. The gateway presents a version.
    active, other_version = check_version(active, step, writer)
    # 3. A gateway with the old version is sent the update, unless the update cannot be read.
    active, unreadable = skip_unreadable(active, step, writer)
    # 4. The download is delivered whole, or it breaks off.
    delivered, broken_off = send_update(active, step, writer)
    # 5. The gateway installs the update.
    installed = install(delivered, step, writer)
    return concatenate([other_version, unreadable, broken_off, installed])
