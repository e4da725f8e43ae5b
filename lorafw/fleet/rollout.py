"""Simulate a rollout plan on a fleet: ``simulate`` and ``replay``.

The history of a gateway depends on other gateways only through the time at which its task is created
(``fleet.simulation.engine``). Gates and the abort criterion change only later events. Therefore the waves are simulated
one after the other: first the histories of a wave, then the decision of its gate, which starts the next wave. When the
time of an abort is known, all later events are discarded.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from lorafw.errors import FleetError
from lorafw.fleet.arrays import Indices, Integers, RngKeys
from lorafw.fleet.fleet import Fleet
from lorafw.fleet.plan import Plan, Wave
from lorafw.fleet.result import Result, WaveRecord
from lorafw.fleet.simulation.batches import RolloutContext
from lorafw.fleet.simulation.gates import GateDecision, first_abort_ms, first_decision
from lorafw.fleet.simulation.histories import Histories, allocate_histories, discard_after_stop, stack_histories
from lorafw.fleet.simulation.inputs import NEVER, to_ms
from lorafw.fleet.simulation.numpy_memory import huge_pages_disabled
from lorafw.fleet.simulation.random_streams import rng_keys
from lorafw.fleet.simulation.runners import Runner, open_runner
from lorafw.fleet.simulation.task_creation import creation_offsets_ms, random_delays_ms, task_order


@huge_pages_disabled()
def simulate(
    fleet: Fleet,
    plan: Plan,
    *,
    seed: int = 0,
    replications: int = 1,
    executor: Any = None,
    progress: Any = None,
) -> Result:
    """Simulate a rollout plan on a fleet.

    Equal arguments give equal bytes, on any number of workers.

    Args:
        fleet: The gateways and their conditions.
        plan: The update, its waves and gates.
        seed: The seed of the random numbers.
        replications: Number of independent rollouts.
        executor: A ``concurrent.futures.Executor``, an object with ``get_executor()`` such as a Dask client, or None
            for a thread pool. You rarely need one: a million gateways take a fraction of a second on two cores.
        progress: Called as ``progress(done, total)`` with numbers of gateways. It may raise an error to cancel.

    Returns:
        The history of each gateway in each rollout, with the decisions of the gates.

    Raises:
        FleetError: The plan does not fit the fleet, or an argument is out of range.
    """
    _check_whole_number("seed", seed, minimum=0)
    _check_whole_number("replications", replications, minimum=1)
    wave_ends = plan.wave_ends(fleet.size)
    with open_runner(executor, replications * fleet.size, progress) as runner:
        groups = runner.split_replications(fleet.size, replications)
        parts = runner.map_groups(_run_replications, [(fleet, plan, wave_ends, seed, group) for group in groups])
    results = _stack(parts)
    return Result(fleet, plan, seed, replications, results.histories, results.stopped_ms, results.waves)


def replay(result: Result, *, executor: Any = None) -> Result:
    """Simulate the rollout of a result again, with the fleet, plan and seed of the result."""
    return simulate(result.fleet, result.plan, seed=result.seed, replications=result.replications, executor=executor)


def _check_whole_number(name: str, value: object, *, minimum: int) -> None:
    """Raise FleetError unless a value is an int of at least ``minimum`` that fits into 63 bits."""
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value < 2**63:
        raise FleetError(name, value, f"{name} {value!r} is not a whole number from {minimum}")


@dataclass(frozen=True, slots=True, eq=False)
class ReplicationResults:
    """The results of some replications."""

    histories: Histories
    """One row for each replication."""
    stopped_ms: Integers
    """The time at which each rollout was stopped, or NEVER if it was not stopped."""
    waves: tuple[WaveRecord, ...]
    """The waves in their order. Empty if the gateways' requests create the tasks."""


def _stack(parts: list[ReplicationResults]) -> ReplicationResults:
    """Return the results of several groups of replications as one."""
    if len(parts) == 1:
        return parts[0]
    records_by_wave = zip(*[part.waves for part in parts], strict=True)
    return ReplicationResults(
        histories=stack_histories([part.histories for part in parts]),
        stopped_ms=np.concatenate([part.stopped_ms for part in parts]),
        waves=tuple(WaveRecord.stack(records) for records in records_by_wave),
    )


def _run_replications(
    runner: Runner, fleet: Fleet, plan: Plan, wave_ends: list[int], seed: int, replications: range
) -> ReplicationResults:
    """Simulate some replications of a plan."""
    context = RolloutContext.from_plan(fleet, plan, seed, replications)
    if plan.is_automatic:
        return _run_automatic(runner, context, plan, replications)
    return _WaveRunner(runner, context, plan, replications).run(wave_ends)


def _run_automatic(runner: Runner, context: RolloutContext, plan: Plan, replications: range) -> ReplicationResults:
    """Simulate replications in which each gateway's first request creates its task."""
    histories = runner.run_batches(context, replications, None, None)
    stopped_ms = _criterion_met_ms(plan, histories)
    discard_after_stop(histories, stopped_ms)
    return ReplicationResults(histories, stopped_ms, ())


class _WaveRunner:
    """Simulates the waves of a plan one after the other, for several rollouts at the same time.

    A wave is a part of the fleet that gets its tasks together. The gate after it decides whether the next one starts.

    Args:
        runner: Simulates gateways.
        context: What all gateways have in common.
        plan: The plan.
        replications: The numbers of the rollouts.
    """

    def __init__(self, runner: Runner, context: RolloutContext, plan: Plan, replications: range) -> None:
        self._runner = runner
        self._context = context
        self._plan = plan
        self._replications = replications
        rollout_numbers = np.asarray(replications)[:, None]
        self._rng_key = rng_keys(context.seed, rollout_numbers, context.fleet.number[None, :])
        shape = (len(replications), context.fleet.size)
        self._histories = allocate_histories(shape, context.params, automatic=False)
        self._histories.reset()

    def run(self, wave_ends: list[int]) -> ReplicationResults:
        """Simulate all waves and return their results.

        Args:
            wave_ends: For each wave the number of gateways in it and in the waves before it.
        """
        waves = self._plan.waves or (Wave(share=1.0),)
        order = task_order(self._plan, self._rng_key)
        records = []
        # Each array of times has one element for each rollout.
        start_ms: Integers = np.zeros(len(self._replications), dtype=np.int64)
        stop_ms = gate_abort_ms = _never_array(len(self._replications))
        for wave, (first, end) in zip(waves, pairwise([0, *wave_ends]), strict=True):
            # 1. Simulate the gateways of the wave. A rollout that has stopped creates no tasks.
            gateway_index = order[:, first:end]
            created_ms = _task_times_ms(self._plan, self._rng_key, gateway_index, start_ms)
            created_ms[start_ms >= stop_ms] = NEVER
            histories = self._simulate_gateways(gateway_index, created_ms)
            # 2. Apply the abort criterion to all waves so far.
            stop_ms = np.minimum(gate_abort_ms, _criterion_met_ms(self._plan, self._histories))
            # 3. Decide whether the next wave starts, and when.
            first_check_ms = created_ms.max(axis=1) + to_ms(wave.bake_s)
            first_check_ms[start_ms >= stop_ms] = NEVER
            decision, decided_ms = _decide(wave, histories, first_check_ms, stop_ms, self._context.params.horizon_ms)
            gate_abort_ms = np.where(decision == GateDecision.ABORT, decided_ms, gate_abort_ms)
            stop_ms = np.minimum(stop_ms, gate_abort_ms)
            next_start_ms = np.where(decision == GateDecision.GO, decided_ms, NEVER)
            records.append(WaveRecord(start_ms, next_start_ms, decision))
            start_ms = next_start_ms
        discard_after_stop(self._histories, stop_ms)
        return ReplicationResults(self._histories, stop_ms, tuple(records))

    def _simulate_gateways(self, gateway_index: Indices, created_ms: Integers) -> Histories:
        """Simulate the gateways of a wave, and return their histories. Writes them to those of the fleet as well."""
        histories = self._runner.run_batches(self._context, self._replications, gateway_index, created_ms)
        for target, values in zip(self._histories.owned_arrays(), histories.owned_arrays(), strict=True):
            np.put_along_axis(target, gateway_index, values, axis=1)
        return histories


def _task_times_ms(plan: Plan, rng_key: RngKeys, gateway_index: Indices, start_ms: Integers) -> Integers:
    """Return when each task of a wave is created. Shape (rollouts, gateways of the wave).

    Args:
        plan: The plan, with the rate at which tasks are created.
        rng_key: The keys of the random numbers. Shape (rollouts, gateways of the fleet).
        gateway_index: The positions of the gateways of the wave. Shape (rollouts, gateways of the wave).
        start_ms: When the wave starts. Shape (rollouts,).
    """
    wave_size = gateway_index.shape[1]
    start_as_column = start_ms[:, np.newaxis]
    created_ms = start_as_column + creation_offsets_ms(plan.rate, wave_size)
    if not plan.random_delay_s:
        return created_ms
    wave_rng_key = np.take_along_axis(rng_key, gateway_index, axis=1)
    return created_ms + random_delays_ms(plan, wave_rng_key)


def _criterion_met_ms(plan: Plan, histories: Histories) -> Integers:
    """Return when the abort criterion is met in each rollout, from the histories of all waves so far.

    The time is computed again after each wave. Successful gateways of a later wave can prevent the criterion from
    being met. The time that was computed before a wave is still right up to the start of the wave.
    """
    if plan.abort is None:
        return _never_array(len(histories.status))
    return first_abort_ms(plan.abort, histories.status, histories.ended_ms)


def _decide(
    wave: Wave, histories: Histories, first_check_ms: Integers, stop_ms: Integers, horizon_ms: int
) -> tuple[npt.NDArray[np.int8], Integers]:
    """Decide whether the next wave starts. Each array of times has one element for each rollout.

    Args:
        wave: The wave that was simulated. Without a gate the next wave starts at the first check.
        histories: The histories of the gateways of this wave.
        first_check_ms: When the gate is first checked.
        stop_ms: When the rollout has stopped already. NEVER if it has not stopped.
        horizon_ms: The end of the simulation.

    Returns:
        The decision for each rollout, and when it is made. The decision is HOLD if the rollout or the simulation ends
        before that.
    """
    if wave.gate is None:
        decision = np.full(len(first_check_ms), GateDecision.GO, dtype=np.int8)
        decided_ms = first_check_ms
    else:
        max_checks = int(wave.give_up_s // wave.again_s) + 1
        decision, decided_ms = first_decision(
            wave.gate, first_check_ms, to_ms(wave.again_s), max_checks, histories.status, histories.ended_ms
        )
    too_late = (decided_ms >= stop_ms) | (decided_ms > horizon_ms)
    decision[too_late] = GateDecision.HOLD
    return decision, decided_ms


def _never_array(count: int) -> Integers:
    """Return an array of times, all NEVER."""
    return np.full(count, NEVER, dtype=np.int64)
