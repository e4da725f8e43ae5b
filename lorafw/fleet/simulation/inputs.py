"""What goes into the machine and what comes out: rules as numbers, gateways and their histories as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from lorafw.fleet.conditions import Conditions
from lorafw.fleet.fleet import Fleet
from lorafw.fleet.plan import Plan
from lorafw.fleet.simulation.codes import U8
from lorafw.fleet.simulation.random_streams import U64

I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

NEVER: Final = 2**62
"""The time, in ms, of what does not happen."""


@dataclass(frozen=True, slots=True)
class SimulationParameters:
    """Plan and conditions as the machine wants them: numbers, times in ms."""

    conditions: Conditions
    size_bytes: int
    fails: float
    version_given: bool
    apply_ms: int
    resync_ms: int
    conn_timeout_ms: int
    silence_ms: int
    horizon_ms: int
    any_key_fault: bool
    any_version_differs: bool
    all_restart: bool
    can_complete_immediately: bool
    """Nothing can delay the request of a station that has just restarted."""

    @classmethod
    def of(cls, fleet: Fleet, plan: Plan) -> SimulationParameters:
        update, conditions = plan.update, fleet.conditions
        silence_ms = plan.silence_timeout_ms
        return cls(
            conditions,
            update.size_bytes,
            update.fails,
            update.version_given,
            round(update.apply_s * 1000),
            round(conditions.resync_s * 1000),
            round(conditions.conn_timeout_s * 1000),
            NEVER if silence_ms is None else silence_ms,
            round(plan.horizon_s * 1000),
            not update.signed or bool(fleet.refuses.any() or fleet.keyless.any()),
            bool(fleet.version_differs.any()),
            bool(fleet.restarts.all()),
            not (conditions.outages_per_day or conditions.unreached or conditions.server_error),
        )


@dataclass(frozen=True, slots=True, eq=False)
class BatchColumns:
    """A batch: the columns that the machine reads.

    ``idle``: never asks for this update (None: nobody); ``refusal``: the fault for which the station refuses it;
    ``group``: of the outages; ``opens``: when each task is created (None: at the first request).
    """

    position: U64
    phase_ms: I64
    period_ms: I64
    goodput_Bps: npt.NDArray[np.float64]  # noqa: N815 -- a unit
    idle: Mask | None
    refusal: U8
    restarts: Mask
    version_differs: Mask
    group: I64 | None
    opens: I64 | None

    @property
    def size(self) -> int:
        return len(self.position)
