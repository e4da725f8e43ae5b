"""Simulate a rollout plan on a fleet: ``simulate`` and ``replay``.

The history of a gateway depends on other gateways only through the time at which its task is created
(``fleet.simulation.engine``). Gates and the abort criterion change only later events. Therefore the waves are simulated
one after the other: first the histories of a wave, then the decision of its gate, which starts the next wave. When the
time of an abort is known, all later events are discarded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lorafw.errors import FleetError
from lorafw.fleet.fleet import Fleet
from lorafw.fleet.plan import Gate, Plan, Wave
from lorafw.fleet.result import Result, WaveRecord
from lorafw.fleet.simulation.codes import NO_TASK
from lorafw.fleet.simulation.gates import GateDecision, first_abort_ms, first_decision
from lorafw.fleet.simulation.histories import Histories
from lorafw.fleet.simulation.inputs import I64, NEVER, SimulationParameters, to_ms
from lorafw.fleet.simulation.numpy_memory import huge_pages_disabled
from lorafw.fleet.simulation.random_streams import rng_keys
from lorafw.fleet.simulation.runners import BatchRunner, Indices, RolloutContext, open_runner
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
    stopped_ms: I64
    """The time at which each rollout was stopped, or NEVER if it was not stopped."""
    waves: tuple[WaveRecord, ...]
    """The waves in their order. Empty if the gateways' requests create the tasks."""


def _stack(parts: list[ReplicationResults]) -> ReplicationResults:
    """Return the results of several groups of replications as one."""
    if len(parts) == 1:
        return parts[0]
    records_by_wave = zip(*[part.waves for part in parts], strict=True)
    return ReplicationResults(
        histories=Histories.stack([part.histories for part in parts]),
        stopped_ms=np.concatenate([part.stopped_ms for part in parts]),
        waves=tuple(WaveRecord.stack(records) for records in records_by_wave),
    )


def _run_replications(
    runner: BatchRunner, fleet: Fleet, plan: Plan, wave_ends: list[int], seed: int, replications: range
) -> ReplicationResults:
    """Simulate some replications of a plan."""
    context = RolloutContext.from_plan(fleet, plan, seed, replications)
    if plan.is_automatic:
        return _run_automatic(runner, context, plan, replications)
    return _WaveRunner(runner, context, plan, replications).run(wave_ends)


def _run_automatic(runner: BatchRunner, context: RolloutContext, plan: Plan, replications: range) -> ReplicationResults:
    """Simulate replications in which each gateway's first request creates its task."""
    histories = runner.run_batches(context, replications, None, None)
    stopped_ms = _never_array(len(replications))
    if plan.abort is not None:
        stopped_ms = first_abort_ms(plan.abort, histories.status, histories.ended_ms)
    histories.discard_after_stop(stopped_ms)
    return ReplicationResults(histories, stopped_ms, ())


class _WaveRunner:
    """Simulates the waves of a plan one after the other, for several replications at the same time."""

    def __init__(self, runner: BatchRunner, context: RolloutContext, plan: Plan, replications: range) -> None:
        self._runner = runner
        self._context = context
        self._plan = plan
        self._replications = replications
        fleet_numbers = context.fleet.number[None, :]
        self._rng_key = rng_keys(context.seed, np.asarray(replications)[:, None], fleet_numbers)
        self._order = task_order(plan, self._rng_key)
        shape = (len(replications), context.fleet.size)
        self._histories = Histories.empty(shape, context.params, automatic=False)
        self._histories.reset(NO_TASK)
        self._gate_abort_ms = _never_array(len(replications))
        """The time at which a gate aborted each rollout."""
        self._criterion_abort_ms = _never_array(len(replications))
        """The time at which the abort criterion of the plan was met in each rollout."""
        self._stop_ms = _never_array(len(replications))
        """The time at which each rollout stopped: the earlier of the two."""

    @property
    def _params(self) -> SimulationParameters:
        """The parameters of the rollout."""
        return self._context.params

    def run(self, wave_ends: list[int]) -> ReplicationResults:
        """Simulate all waves and return their results.

        Args:
            wave_ends: For each wave the number of gateways in it and in the waves before it.
        """
        waves = self._plan.waves or (Wave(share=1.0),)
        start_ms: I64 = np.zeros(len(self._replications), dtype=np.int64)
        wave_start = 0
        records = []
        for wave, wave_end in zip(waves, wave_ends, strict=True):
            record = self._run_wave(wave, wave_start, wave_end, start_ms)
            records.append(record)
            start_ms = record.decided_ms
            wave_start = wave_end
        self._histories.discard_after_stop(self._stop_ms)
        return ReplicationResults(self._histories, self._stop_ms, tuple(records))

    def _run_wave(self, wave: Wave, wave_start: int, wave_end: int, start_ms: I64) -> WaveRecord:
        """Simulate one wave of all replications. Mutates the histories and the times of the stops."""
        gateway_index = self._order[:, wave_start:wave_end]
        created_ms = self._task_times_ms(gateway_index, start_ms)
        histories = self._runner.run_batches(self._context, self._replications, gateway_index, created_ms)
        for target, values in zip(self._histories.owned_arrays(), histories.owned_arrays(), strict=True):
            np.put_along_axis(target, gateway_index, values, axis=1)
        self._update_criterion_abort()
        first_check_ms = created_ms.max(axis=1) + to_ms(wave.bake_s)
        first_check_ms = np.where(start_ms < self._stop_ms, first_check_ms, NEVER)
        if wave.gate is None:
            return self._record_without_gate(start_ms, first_check_ms)
        return self._evaluate_gate(wave, wave.gate, start_ms, first_check_ms, histories)

    def _task_times_ms(self, gateway_index: Indices, start_ms: I64) -> I64:
        """Return when each task of a wave is created. Rollouts that have stopped create none (NEVER).

        Args:
            gateway_index: The gateways of the wave, one row for each rollout.
            start_ms: When the wave starts in each rollout.
        """
        wave_size = gateway_index.shape[1]
        created_ms = start_ms[:, None] + creation_offsets_ms(self._plan.rate, wave_size)[None, :]
        if self._plan.random_delay_s:
            rng_key = np.take_along_axis(self._rng_key, gateway_index, axis=1)
            created_ms = created_ms + random_delays_ms(self._plan, rng_key)
        has_started = (start_ms < self._stop_ms)[:, None]
        return np.where(has_started, created_ms, NEVER)

    def _update_criterion_abort(self) -> None:
        """Compute when the abort criterion is met, from the histories of all waves so far. Sets ``_stop_ms``.

        The time changes with each wave, because successful gateways of a later wave can prevent the criterion from
        being met. The earlier result was still good enough to decide whether this wave starts: a wave changes nothing
        before its own start.
        """
        if self._plan.abort is not None:
            self._criterion_abort_ms = first_abort_ms(
                self._plan.abort, self._histories.status, self._histories.ended_ms
            )
        self._stop_ms = np.minimum(self._gate_abort_ms, self._criterion_abort_ms)

    def _record_without_gate(self, start_ms: I64, first_check_ms: I64) -> WaveRecord:
        """Return the record of a wave without a gate. The next wave starts after the bake time."""
        before_stop = first_check_ms < self._stop_ms
        before_horizon = first_check_ms <= self._params.horizon_ms
        proceeds = before_stop & before_horizon
        decision = np.where(proceeds, GateDecision.GO, GateDecision.HOLD).astype(np.int8)
        next_wave_ms = np.where(proceeds, first_check_ms, NEVER)
        return WaveRecord(start_ms, next_wave_ms, decision)

    def _evaluate_gate(
        self, wave: Wave, gate: Gate, start_ms: I64, first_check_ms: I64, histories: Histories
    ) -> WaveRecord:
        """Return the record of a wave with the decisions of its gate. Updates the times at which rollouts stop."""
        max_checks = int(wave.give_up_s // wave.again_s) + 1
        decision, decided_ms = first_decision(
            gate, first_check_ms, to_ms(wave.again_s), max_checks, histories.status, histories.ended_ms
        )
        # A gate that would decide after the rollout has stopped, or after the horizon, does not decide.
        # All of these arrays have one element for each rollout.
        too_late = (decided_ms >= self._stop_ms) | (decided_ms > self._params.horizon_ms)
        never_started = start_ms >= self._stop_ms
        decision[too_late | never_started] = GateDecision.HOLD
        aborted = decision == GateDecision.ABORT
        self._gate_abort_ms = np.where(aborted, decided_ms, self._gate_abort_ms)
        self._stop_ms = np.minimum(self._gate_abort_ms, self._criterion_abort_ms)
        next_wave_ms = np.where(decision == GateDecision.GO, decided_ms, NEVER)
        return WaveRecord(start_ms, next_wave_ms, decision)


def _never_array(count: int) -> I64:
    """Return an array of times, all NEVER."""
    return np.full(count, NEVER, dtype=np.int64)
