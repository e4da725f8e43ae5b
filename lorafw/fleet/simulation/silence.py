"""The silence timeout: a task in SECOND_RETRY is FAILED if its gateway sends no request for this long."""

from __future__ import annotations

from typing import Final

import numpy as np

from lorafw.fleet.arrays import Codes, Integers, Mask
from lorafw.fleet.simulation.active import ActiveGateways
from lorafw.fleet.simulation.codes import status_code
from lorafw.fleet.simulation.history_writer import HistoryWriter
from lorafw.fleet.simulation.inputs import NEVER, SimulationParameters
from lorafw.tasks.lifecycle import Cause, TaskEvent, TaskStatus

_SECOND_RETRY: Final = status_code(TaskStatus.SECOND_RETRY)


def exceeds_timeout(active: ActiveGateways, silence_ms: Integers, params: SimulationParameters) -> Mask:
    """Return which tasks the silence timeout ends.

    Args:
        active: The gateways.
        silence_ms: For each gateway, the time since its last request.
        params: The plan, which sets the timeout.

    Returns:
        True for each gateway that is in SECOND_RETRY and has been silent for the timeout.
    """
    if params.silence_timeout_ms == NEVER:
        return np.zeros(len(active), dtype=np.bool_)
    mask: Mask = (active.status == _SECOND_RETRY) & (silence_ms >= params.silence_timeout_ms)
    return mask


def fail_silent(active: ActiveGateways, fault: Codes, params: SimulationParameters, writer: HistoryWriter) -> None:
    """Record the tasks of silent gateways as FAILED, at the time at which the timeout passes.

    Args:
        active: The silent gateways.
        fault: The code of the fault behind the silence of each gateway.
        params: The plan, which sets the timeout.
        writer: Records the ends.
    """
    deadline_ms = active.last_request_ms + params.silence_timeout_ms
    writer.record_ends(active, deadline_ms, TaskEvent.SILENCE, Cause.SILENCE, fault)
