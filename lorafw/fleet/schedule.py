"""Which gateways belong to which wave, and when each task of a wave is created."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lorafw.fleet.arrays import Indices, Integers
from lorafw.fleet.fleet import Fleet
from lorafw.fleet.plan import Plan
from lorafw.fleet.simulation.random_streams import rng_keys
from lorafw.fleet.simulation.task_creation import creation_offsets_ms, random_delays_ms, task_order


@dataclass(frozen=True, slots=True, eq=False)
class WaveSchedule:
    """The tasks of one wave, in the order of the plan."""

    gateway_index: Indices
    """The gateways, as indices into the fleet."""
    offsets_ms: Integers
    """How long after the start of the wave each task is created."""


def schedule_waves(fleet: Fleet, plan: Plan, *, seed: int = 0, replication: int = 0) -> tuple[WaveSchedule, ...]:
    """Return the waves of a plan as ``simulate`` carries them out with the same seed.

    Args:
        fleet: The gateways.
        plan: The plan. A plan without waves has one.
        seed: The seed of the random order and of the random delays.
        replication: The number of the simulated rollout.

    Raises:
        FleetError: The waves do not fit the fleet.
    """
    rng_key = rng_keys(seed, replication, fleet.number)
    order = task_order(plan, rng_key[None, :])[0]
    wave_ends = plan.wave_ends(fleet.size)
    wave_starts = [0, *wave_ends[:-1]]
    return tuple(
        _schedule_wave(plan, order[start:end], rng_key) for start, end in zip(wave_starts, wave_ends, strict=True)
    )


def _schedule_wave(plan: Plan, gateway_index: Any, rng_key: Any) -> WaveSchedule:
    """Return the schedule of the wave with these gateways."""
    offsets_ms = creation_offsets_ms(plan.rate, len(gateway_index))
    if plan.random_delay_s:
        offsets_ms = offsets_ms + random_delays_ms(plan, rng_key[gateway_index])
    return WaveSchedule(gateway_index, offsets_ms)
