"""Codes for arrays: the statuses, events and causes of ``tasks.lifecycle`` as small numbers.

NEXT_STATUS is the transition table of ``tasks.lifecycle`` as an array for each event.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from lorafw.faults import FAULTS as FAULTS  # noqa: PLC0414 -- exported here as well
from lorafw.faults import Fault as Fault  # noqa: PLC0414
from lorafw.fleet.arrays import Codes
from lorafw.tasks.lifecycle import ATTEMPT_BY_STATUS, TRANSITIONS, Cause, TaskEvent, TaskStatus

STATUSES: Final = tuple(TaskStatus)
"""The statuses by code."""

CAUSES: Final = tuple(Cause)
"""The causes by code."""

NO_TASK: Final = len(STATUSES)
"""The status code of a gateway that has no task. A row of the service's log has None there."""

ILLEGAL: Final = 255
"""The code in NEXT_STATUS of a transition that does not exist."""


def status_code(status: TaskStatus | None) -> int:
    """Return the code of a status, or NO_TASK for None."""
    if status is None:
        return NO_TASK
    return STATUSES.index(status)


def cause_code(cause: Cause) -> int:
    """Return the code of a cause."""
    return CAUSES.index(cause)


def fault_code(fault: Fault) -> int:
    """Return the code of a fault."""
    return FAULTS.index(fault)


def _next_statuses(event: TaskEvent) -> Codes:
    """Return the code of the status after an event, indexed by the code of the status before it."""
    next_status = np.full(len(STATUSES) + 1, ILLEGAL, dtype=np.uint8)
    for (status_before, transition_event), status_after in TRANSITIONS.items():
        if transition_event is event:
            next_status[status_code(status_before)] = status_code(status_after)
    return next_status


NEXT_STATUS: Final = {event: _next_statuses(event) for event in TaskEvent}
"""The transition table: ``NEXT_STATUS[event][code]`` is the code of the next status."""


def status_after(event: TaskEvent, status: Codes) -> Codes:
    """Return the status of each task after an event.

    Args:
        event: The event.
        status: The code of the status of each task before the event.
    """
    next_status: Codes = NEXT_STATUS[event][status]
    return next_status


def attempt_number(status: TaskStatus | None) -> int:
    """Return the number of the attempt that a status stands for. It is 0 if the status does not tell."""
    if status is None:
        return 0
    if status is TaskStatus.FAILED:
        # A task is FAILED only after its last attempt.
        return max(ATTEMPT_BY_STATUS.values())
    return ATTEMPT_BY_STATUS.get(status, 0)


ATTEMPT_NUMBER: Final = np.array([attempt_number(status) for status in (*STATUSES, None)], dtype=np.uint8)
"""The number of the attempt that a status stands for, by the code of the status."""
