"""simulate(): a plan carried out on a fleet.

The gateways' histories depend on nothing but when their tasks open (``kernel``). What couples them, gates, rates and
the abort criterion, only changes what comes later: a wave is simulated, its gate decides when the next one starts,
and an abort is computed without it, its moment found, and the rest cut there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lorafw.errors import FleetError
from lorafw.fleet.fleet import Fleet
from lorafw.fleet.plan import Plan, Wave
from lorafw.fleet.result import Result, WaveRecord
from lorafw.fleet.simulation.codes import NO_TASK
from lorafw.fleet.simulation.gates import GateDecision, first_abort_ms, first_decision
from lorafw.fleet.simulation.histories import Histories
from lorafw.fleet.simulation.inputs import I64, NEVER
from lorafw.fleet.simulation.numpy_memory import huge_pages_disabled
from lorafw.fleet.simulation.random_streams import rng_keys
from lorafw.fleet.simulation.runners import BatchRunner, RolloutContext, open_runner
from lorafw.fleet.simulation.task_creation import creation_offsets_ms, random_delays_ms, task_order


@huge_pages_disabled()
def simulate(
    fleet: Fleet, plan: Plan, *, seed: int = 0, replications: int = 1, executor: Any = None, progress: Any = None
) -> Result:
    """Carry out ``plan`` on ``fleet``, ``replications`` times with independent luck: equal arguments, equal bytes.

    ``executor``: any ``concurrent.futures.Executor``, or an object with ``get_executor()`` such as a Dask client; the
    result does not depend on it. Few need one: a million gateways take a fraction of a second on two cores.
    ``progress(done, total)`` is called with numbers of gateways; it may raise, to cancel. Raises FleetError.
    """
    for name, value, least in (("seed", seed, 0), ("replications", replications, 1)):
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**63:
            raise FleetError(name, value, f"{name} {value!r} is not a whole number from {least}")
    ends = plan.wave_ends(fleet.size)
    with open_runner(executor, replications * fleet.size, progress) as workers:
        groups = workers.groups(fleet.size, replications)
        parts = workers.map(_run_replications, [(fleet, plan, ends, seed, group) for group in groups])
    return Result(fleet, plan, seed, replications, *_stack(parts))


def replay(result: Result, *, executor: Any = None) -> Result:
    """The same rollout again, from the fleet, plan and seed that its result carries."""
    return simulate(result.fleet, result.plan, seed=result.seed, replications=result.replications, executor=executor)


@dataclass(frozen=True, slots=True, eq=False)
class ReplicationResults:
    """Some replications: histories (a row each), when they were stopped (NEVER: not), and their waves."""

    histories: Histories
    stopped: I64
    waves: tuple[WaveRecord, ...]


def _stack(parts: list[ReplicationResults]) -> tuple[Histories, I64, tuple[WaveRecord, ...]]:
    if len(parts) == 1:
        return parts[0].histories, parts[0].stopped, parts[0].waves
    waves = tuple(WaveRecord.stack(records) for records in zip(*(part.waves for part in parts), strict=True))
    histories = Histories.stack([part.histories for part in parts])
    return histories, np.concatenate([part.stopped for part in parts]), waves


def _run_replications(
    workers: BatchRunner, fleet: Fleet, plan: Plan, ends: list[int], seed: int, replications: range
) -> ReplicationResults:
    """Some replications, wave by wave."""
    run = RolloutContext.of(fleet, plan, seed, replications)
    if plan.is_automatic:
        histories = workers.histories(run, replications, None, None)
        stopped = (
            first_abort_ms(plan.abort, histories.status, histories.ended) if plan.abort else _never(len(replications))
        )
        return ReplicationResults(_cut(histories, stopped), stopped, ())
    return _Waves(workers, run, plan, replications).roll(ends)


class _Waves:
    """Waves one after the other, for some replications at once."""

    def __init__(self, workers: BatchRunner, run: RolloutContext, plan: Plan, replications: range) -> None:
        self._workers, self._run, self._plan, self._replications = workers, run, plan, replications
        self._position = rng_keys(run.seed, np.asarray(replications)[:, None], run.fleet.number[None, :])
        self._order = task_order(plan, self._position)
        room = Histories.room((len(replications), run.fleet.size), run.rules, automatic=False)
        self._done = room.blank(NO_TASK)
        # When a gate has said ABORT, when the criterion was met, and the earlier of the two.
        self._gate_abort_ms = self._criterion_abort_ms = self._stopped = _never(len(replications))

    def roll(self, ends: list[int]) -> ReplicationResults:
        start = np.zeros(len(self._replications), dtype=np.int64)
        records, begin = [], 0
        for wave, end in zip(self._plan.waves or (Wave(share=1.0),), ends, strict=True):
            record = self._wave(wave, begin, end, start)
            records.append(record)
            start, begin = record.decided, end
        return ReplicationResults(_cut(self._done, self._stopped), self._stopped, tuple(records))

    def _wave(self, wave: Wave, begin: int, end: int, start: I64) -> WaveRecord:
        """One wave of all replications; those that were stopped before it open no task."""
        places = self._order[:, begin:end]
        opens = start[:, None] + creation_offsets_ms(self._plan.rate, end - begin)[None, :]
        if self._plan.random_delay_s:
            opens = opens + random_delays_ms(self._plan, np.take_along_axis(self._position, places, axis=1))
        opens = np.where((start < self._stopped)[:, None], opens, NEVER)
        histories = self._workers.histories(self._run, self._replications, places, opens)
        for column, values in zip(self._done.columns(), histories.columns(), strict=True):
            np.put_along_axis(column, places, values, axis=1)
        # Found anew after each wave: gateways of a later one that succeed can keep the criterion from being met. That
        # wave began before the moment that was found without it, and changes nothing before its beginning.
        if self._plan.abort is not None:
            self._criterion_abort_ms = first_abort_ms(self._plan.abort, self._done.status, self._done.ended)
        self._stopped = np.minimum(self._gate_abort_ms, self._criterion_abort_ms)
        return self._judge(wave, start, opens, histories)

    def _judge(self, wave: Wave, start: I64, opens: I64, histories: Histories) -> WaveRecord:
        """When the next wave may start; NEVER where it may not."""
        began = start < self._stopped
        looks = np.where(began, opens.max(axis=1) + round(wave.bake_s * 1000), NEVER)
        if wave.gate is None:
            goes = (looks < self._stopped) & (looks <= self._run.rules.horizon_ms)
            verdict = np.where(goes, GateDecision.GO, GateDecision.HOLD).astype(np.int8)
            return WaveRecord(start, np.where(goes, looks, NEVER), verdict)
        again = round(wave.again_s * 1000)
        count = int(wave.give_up_s // wave.again_s) + 1
        verdict, decided = first_decision(wave.gate, looks, again, count, histories.status, histories.ended)
        # A gate that would look after the rollout has stopped, or after the horizon, does not look.
        verdict[~began | (decided >= self._stopped) | (decided > self._run.rules.horizon_ms)] = GateDecision.HOLD
        self._gate_abort_ms = np.where(verdict == GateDecision.ABORT, decided, self._gate_abort_ms)
        self._stopped = np.minimum(self._gate_abort_ms, self._criterion_abort_ms)
        return WaveRecord(start, np.where(verdict == GateDecision.GO, decided, NEVER), verdict)


def _never(count: int) -> I64:
    return np.full(count, NEVER, dtype=np.int64)


def _cut(histories: Histories, stopped: I64) -> Histories:
    """Whoever was not offered the update before the rollout was stopped never is; what was sent runs to its end."""
    if (stopped == NEVER).all():
        return histories
    late = (histories.offered > stopped[:, None]) & (stopped < NEVER)[:, None]
    histories.created[late & (histories.created > stopped[:, None])] = NEVER
    histories.status[late] = NO_TASK
    histories.offered[late] = histories.ended[late] = NEVER
    histories.sends[late] = histories.fault[late] = 0
    if histories.broken_bytes.flags.writeable:
        histories.broken_bytes[late] = 0
    return histories
