"""Statuses, events and causes as small numbers, for arrays: the words of ``tasks.lifecycle``, none of our own.

AFTER is the transition table itself, read as an array: AFTER[event][status] is the status after it.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from lorafw.faults import FAULTS as FAULTS  # noqa: PLC0414 -- exported here as well
from lorafw.faults import Fault as Fault  # noqa: PLC0414
from lorafw.tasks.lifecycle import ATTEMPT_BY_STATUS, TRANSITIONS, Cause, TaskEvent, TaskStatus

U8: TypeAlias = npt.NDArray[np.uint8]

STATUSES: Final = tuple(TaskStatus)
CAUSES: Final = tuple(Cause)
NO_TASK: Final = len(STATUSES)
"""The code for "there is no task": LogRow's None."""

ILLEGAL: Final = 255


def status_code(status: TaskStatus | None) -> int:
    return NO_TASK if status is None else STATUSES.index(status)


def cause_code(cause: Cause) -> int:
    return CAUSES.index(cause)


def fault_code(fault: Fault) -> int:
    return FAULTS.index(fault)


def _after(event: TaskEvent) -> U8:
    table = np.full(len(STATUSES) + 1, ILLEGAL, dtype=np.uint8)
    for (source, happening), target in TRANSITIONS.items():
        if happening is event:
            table[status_code(source)] = status_code(target)
    return table


NEXT_STATUS: Final = {event: _after(event) for event in TaskEvent}
ATTEMPT_NUMBER: Final = np.array([ATTEMPT_BY_STATUS.get(status, 0) for status in STATUSES] + [0], dtype=np.uint8)
"""The number of the send that a status stands for; 0 where there is none, and for statuses that ended."""
