"""The inputs of the engine: the parameters of a rollout as numbers, and the gateways of a batch as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lorafw.fleet.arrays import Codes, Floats, Integers, Mask, RngKeys
from lorafw.fleet.conditions import Conditions
from lorafw.fleet.fleet import Fleet
from lorafw.fleet.plan import Plan

NEVER: Final = 2**62
"""The time, in ms, of an event that does not happen."""


def to_ms(seconds: float) -> int:
    """Return a duration in whole milliseconds, rounded."""
    return round(seconds * 1000)


@dataclass(frozen=True, slots=True)
class SimulationParameters:
    """The plan and the conditions of a rollout as plain numbers. Durations are in ms."""

    conditions: Conditions
    size_bytes: int
    """The size of the update file."""
    install_failure_probability: float
    """The probability that an install fails, for each send."""
    has_update_version: bool
    """Whether the task definition gives an UpdateVersion."""
    apply_ms: int
    """The time that an install takes."""
    resync_ms: int
    """The time until a station polls again after a failed exchange."""
    conn_timeout_ms: int
    """The time within which each full buffer must arrive."""
    silence_timeout_ms: int
    """The time after which a task fails if its gateway does not poll. NEVER if there is no such limit."""
    horizon_ms: int
    """The time at which the simulation ends."""
    any_key_fault: bool
    """True if the station of at least one gateway refuses the update because of its keys."""
    any_version_differs: bool
    """True if at least one gateway presents another version than the expected one after the update."""
    can_complete_immediately: bool
    """True if nothing can delay the first request of a station that has just restarted."""

    @classmethod
    def from_plan(cls, fleet: Fleet, plan: Plan) -> SimulationParameters:
        """Return the parameters of one plan on one fleet."""
        update = plan.update
        conditions = fleet.conditions
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
    """The gateways of a batch as arrays with one element for each gateway."""

    rng_key: RngKeys
    """The key of the gateway's random numbers."""
    phase_ms: Integers
    """The time of the first poll."""
    period_ms: Integers
    """The time between two polls."""
    goodput_Bps: Floats  # noqa: N815 -- a unit
    """The bytes of the update that arrive per second."""
    never_requests: Mask | None
    """True for gateways that never request this update. None if every gateway requests it."""
    key_fault: Codes
    """The fault because of which the station refuses the update, or ``Fault.NONE``."""
    restarts: Mask
    """Whether the update restarts the station."""
    version_differs: Mask
    """Whether the gateway presents another version than the expected one after the update."""
    outage_group: Integers | None
    """The number of the group that shares outages. None if there are no outages."""
    task_created_ms: Integers | None
    """The time at which each task is created. None if the gateway's first request creates its task."""

    @property
    def size(self) -> int:
        """The number of gateways."""
        return len(self.rng_key)
