"""What goes into the engine: the parameters of a rollout as numbers, and the gateways of a batch as arrays."""

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
"""The time, in ms, of an event that does not happen."""


def to_ms(seconds: float) -> int:
    """Return a duration in whole milliseconds, rounded."""
    return round(seconds * 1000)


@dataclass(frozen=True, slots=True)
class SimulationParameters:
    """Plan and conditions as the engine reads them: plain numbers, durations in ms."""

    conditions: Conditions
    size_bytes: int
    install_failure_probability: float
    has_update_version: bool
    apply_ms: int
    resync_ms: int
    conn_timeout_ms: int
    silence_timeout_ms: int
    """NEVER if a silent gateway is waited for without limit."""
    horizon_ms: int
    any_key_fault: bool
    """True if the station of at least one gateway refuses the update because of its keys."""
    any_version_differs: bool
    """True if at least one gateway presents another version than the expected one after the update."""
    can_complete_immediately: bool
    """True if nothing can delay the first request of a station that has just restarted."""

    @classmethod
    def from_plan(cls, fleet: Fleet, plan: Plan) -> SimulationParameters:
        """Return the parameters of one plan on one fleet."""
        update, conditions = plan.update, fleet.conditions
        silence_timeout_ms = NEVER if plan.silence_timeout_ms is None else plan.silence_timeout_ms
        any_key_fault = not update.signed or bool(fleet.refuses.any() or fleet.keyless.any())
        can_delay_request = conditions.outages_per_day or conditions.unreached or conditions.server_error
        return cls(
            conditions=conditions,
            size_bytes=update.size_bytes,
            install_failure_probability=update.fails,
            has_update_version=update.version_given,
            apply_ms=to_ms(update.apply_s),
            resync_ms=to_ms(conditions.resync_s),
            conn_timeout_ms=to_ms(conditions.conn_timeout_s),
            silence_timeout_ms=silence_timeout_ms,
            horizon_ms=to_ms(plan.horizon_s),
            any_key_fault=any_key_fault,
            any_version_differs=bool(fleet.version_differs.any()),
            can_complete_immediately=not can_delay_request,
        )


@dataclass(frozen=True, slots=True, eq=False)
class BatchColumns:
    """The gateways of a batch: the columns that the engine reads, one array element for each gateway."""

    rng_key: U64
    phase_ms: I64
    period_ms: I64
    goodput_Bps: npt.NDArray[np.float64]  # noqa: N815 -- a unit
    never_requests: Mask | None
    """True for gateways that never ask for this update. None if every gateway asks."""
    key_fault: U8
    """The fault because of which the station refuses the update, or ``Fault.NONE``."""
    restarts: Mask
    version_differs: Mask
    outage_group: I64 | None
    """The number of the group that shares outages. None if there are no outages."""
    task_created_ms: I64 | None
    """When each task is created. None if a task is created at the gateway's first request."""

    @property
    def size(self) -> int:
        """Number of gateways."""
        return len(self.rng_key)
