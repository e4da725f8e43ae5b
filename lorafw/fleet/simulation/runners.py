"""Who runs the machine: this thread, two, or any executor. What comes out does not depend on it.

Work is cut into batches whose columns stay in the processor's cache; an executor gets tasks of about a second.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from lorafw.errors import FleetError
from lorafw.fleet.fleet import Fleet, constant_column
from lorafw.fleet.plan import Plan
from lorafw.fleet.simulation.engine import BatchSimulator
from lorafw.fleet.simulation.event_log import EventLog, EventRecorder
from lorafw.fleet.simulation.histories import Histories
from lorafw.fleet.simulation.inputs import I64, NEVER, BatchColumns, SimulationParameters
from lorafw.fleet.simulation.installs import key_faults
from lorafw.fleet.simulation.outages import Outages, draw_outages, outage_groups
from lorafw.fleet.simulation.random_streams import rng_keys

BATCH_SIZE: Final = 1 << 18
"""Gateways in one run of the machine: enough that two threads seldom wait for each other (measured, 2^15 to 2^20)."""

GATEWAYS_PER_TASK: Final = 4_000_000
"""Gateways in one task of an executor: about a second of work on one core."""

MIN_TASKS: Final = 8
"""An executor gets at least so many tasks, whatever the size: nobody says how many workers it has."""

T = TypeVar("T")
Places = npt.NDArray[np.intp]


class SupportsSubmit(Protocol):
    """All that is asked of an executor."""

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Any: ...


@dataclass(frozen=True, slots=True, eq=False)
class RolloutContext:
    """What all batches of a rollout have in common. ``idle`` and ``refusal``: columns, as in Gateways."""

    fleet: Fleet
    rules: SimulationParameters
    seed: int
    outages: Outages | None
    idle: Any
    refusal: Any

    @classmethod
    def of(cls, fleet: Fleet, plan: Plan, seed: int, replications: range) -> RolloutContext:
        """Raises FleetError where the update is for a version that the fleet does not know."""
        rules = SimulationParameters.of(fleet, plan)
        refusal = key_faults(fleet, plan.update) if rules.any_key_fault else constant_column(0, fleet.size, np.uint8)
        outages = draw_outages(fleet, rules.horizon_ms, seed, replications)
        return cls(fleet, rules, seed, outages, _idle(fleet, plan.update.current_version), refusal)

    def part(self, where: Any) -> RolloutContext:
        """Some of the gateways."""
        idle = None if self.idle is None else self.idle[where]
        return replace(self, fleet=self.fleet.part(where), idle=idle, refusal=self.refusal[where])


def _idle(fleet: Fleet, version: str | None) -> Any:
    """Who never asks for the update: those that are gone, and those at another version. None: nobody."""
    if version is None:
        return fleet.gone if fleet.gone.any() else None
    return fleet.gone | (fleet.version != fleet.index("version", version))


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Gateways at ``where`` (places in the fleet; equal for all replications, or one row for each)."""

    replications: range
    first: int
    where: slice | Places
    opens: I64 | None
    rows: slice
    columns: slice


def batches(size: int, replications: range, places: Places | None, opens: I64 | None) -> Iterator[Batch]:
    """All gateways of all replications, in pieces of about BATCH."""
    width = size if places is None else places.shape[1]
    tall = max(1, BATCH_SIZE // max(width, 1))
    for top in range(0, len(replications), tall):
        rows = slice(top, min(top + tall, len(replications)))
        for left in range(0, width, BATCH_SIZE):
            columns = slice(left, min(left + BATCH_SIZE, width))
            yield Batch(
                replications[rows],
                top,
                columns if places is None else places[rows, columns],
                None if opens is None else opens[rows, columns],
                rows,
                columns,
            )


def gateways_of(run: RolloutContext, batch: Batch) -> BatchColumns:
    """The columns of a batch, flat: replication by replication."""
    fleet, count = run.fleet, len(batch.replications)

    def flat(column: Any) -> Any:
        part = column[batch.where]
        if part.ndim == 2 or count == 1:
            return part.reshape(-1) if part.ndim == 2 else part
        if not part.strides[0]:
            return np.broadcast_to(part[:1], (count * len(part),))
        return np.tile(part, count)

    numbers = fleet.number[batch.where]
    replications = np.asarray(batch.replications)[:, None]
    position = rng_keys(run.seed, replications, numbers if numbers.ndim == 2 else numbers[None, :]).reshape(-1)
    group = None
    if run.outages is not None:
        groups = len(fleet.names["isp"]) * len(fleet.names["region"])
        base = np.repeat(np.arange(batch.first, batch.first + count) * groups, len(position) // count)
        group = flat(outage_groups(fleet)) + base
    return BatchColumns(
        position,
        flat(fleet.phase_ms),
        flat(fleet.period_ms),
        flat(fleet.goodput_Bps),
        flat(run.idle) if run.idle is not None else None,
        flat(run.refusal),
        flat(fleet.restarts),
        flat(fleet.version_differs),
        group,
        None if batch.opens is None else batch.opens.reshape(-1),
    )


def run_batch(run: RolloutContext, batch: Batch) -> Histories:
    return BatchSimulator(gateways_of(run, batch), run.rules, run.outages).run()


def log_batch(run: RolloutContext, batch: Batch, stopped_ms: int) -> EventLog:
    """The rows of a batch of one replication, cut where the rollout was stopped."""
    gateways = gateways_of(run, batch)
    recorder = EventRecorder(gateways.size)
    histories = BatchSimulator(gateways, run.rules, run.outages, recorder).run()
    if stopped_ms != NEVER:
        recorder.cut(histories.offered > stopped_ms, histories.created <= stopped_ms, stopped_ms)
    return recorder.events(run.fleet.number[batch.where].reshape(-1))


class BatchRunner:
    """Runs batches in this thread; the base of the others."""

    def __init__(self, progress: Callable[[int, int], None] | None = None, total: int = 0) -> None:
        self._progress, self._total, self._count = progress, total, 0

    def each(self, work: Callable[[Any], T], items: Sequence[Any]) -> Iterator[T]:
        """The results in order."""
        return map(work, items)

    def histories(
        self, run: RolloutContext, replications: range, places: Places | None, opens: I64 | None
    ) -> Histories:
        """The histories of all these gateways: one row for each replication."""
        width = run.fleet.size if places is None else places.shape[1]
        result = Histories.room((len(replications), width), run.rules, automatic=opens is None)
        parts = list(batches(run.fleet.size, replications, places, opens))

        def work(batch: Batch) -> int:
            result.put(run_batch(run, batch), batch.rows, batch.columns)
            width = int(batch.columns.stop - batch.columns.start)
            return len(batch.replications) * width

        for done in self.each(work, parts):
            self.advance(done)
        return result

    def events(self, run: RolloutContext, replication: int, opens: I64 | None, stopped_ms: int) -> list[EventLog]:
        parts = list(batches(run.fleet.size, range(replication, replication + 1), None, opens))
        return list(self.each(lambda batch: log_batch(run, batch, stopped_ms), parts))

    def advance(self, gateways: int) -> None:
        self._count += gateways
        if self._progress is not None:
            self._progress(min(self._count, self._total), self._total)

    def groups(self, size: int, replications: int) -> list[range]:
        """Replications that are carried out at once: as many as fit into a task."""
        step = max(1, GATEWAYS_PER_TASK // size)
        return [range(first, min(first + step, replications)) for first in range(0, replications, step)]

    def map(self, work: Callable[..., T], arguments: Sequence[tuple[Any, ...]]) -> list[T]:
        """``work(workers, *arguments)`` for each, in order."""
        return [work(self, *given) for given in arguments]


class ThreadWorkers(BatchRunner):
    """Batches side by side in threads of this process: NumPy lets them run at once."""

    def __init__(self, pool: ThreadPoolExecutor, progress: Callable[[int, int], None] | None, total: int) -> None:
        super().__init__(progress, total)
        self._pool = pool

    def each(self, work: Callable[[Any], T], items: Sequence[Any]) -> Iterator[T]:
        return self._pool.map(work, items) if len(items) > 1 else map(work, items)


class ExecutorWorkers(BatchRunner):
    """Tasks of about a second for an executor: whole replications, or pieces of a fleet where there is only one."""

    def __init__(self, executor: SupportsSubmit, progress: Callable[[int, int], None] | None, total: int) -> None:
        super().__init__(progress, total)
        self._executor = executor

    def groups(self, size: int, replications: int) -> list[range]:
        step = max(1, min(GATEWAYS_PER_TASK // size, -(-replications // MIN_TASKS)))
        return [range(first, min(first + step, replications)) for first in range(0, replications, step)]

    def map(self, work: Callable[..., T], arguments: Sequence[tuple[Any, ...]]) -> list[T]:
        if len(arguments) == 1:
            return super().map(work, arguments)
        futures = [self._executor.submit(work, BatchRunner(), *given) for given in arguments]
        results: list[T] = []
        for done, future in enumerate(futures, 1):
            results.append(future.result())
            self.advance(self._total * done // len(futures) - self._count)
        return results

    def histories(
        self, run: RolloutContext, replications: range, places: Places | None, opens: I64 | None
    ) -> Histories:
        if len(replications) > 1:
            return super().histories(run, replications, places, opens)
        width = run.fleet.size if places is None else places.shape[1]
        step = min(GATEWAYS_PER_TASK, -(-width // MIN_TASKS))
        pieces = [slice(left, min(left + step, width)) for left in range(0, width, step)]
        futures = []
        for piece in pieces:
            part = run.part(piece if places is None else places[0, piece])
            times = None if opens is None else opens[:, piece]
            futures.append(self._executor.submit(run_piece, part, replications, times))
        result = Histories.room((1, width), run.rules, automatic=opens is None)
        for piece, future in zip(pieces, futures, strict=True):
            result.put(future.result(), slice(0, 1), piece)
            self.advance(piece.stop - piece.start)
        return result


def run_piece(run: RolloutContext, replications: range, opens: I64 | None) -> Histories:
    """A piece of a fleet, in one thread."""
    return BatchRunner().histories(run, replications, None, opens)


@contextmanager
def open_runner(
    executor: Any = None, total: int = 0, progress: Callable[[int, int], None] | None = None
) -> Iterator[BatchRunner]:
    """The workers for an executor, for an object with ``get_executor()``, or for None: threads. Raises FleetError."""
    if executor is None:
        pool = ThreadPoolExecutor(os.cpu_count() or 1)
        try:
            yield ThreadWorkers(pool, progress, total)
        finally:
            pool.shutdown(cancel_futures=True)
        return
    if hasattr(executor, "get_executor"):
        executor = executor.get_executor()
    if not hasattr(executor, "submit"):
        raise FleetError(
            "executor", executor, f"{executor!r} has neither submit() nor get_executor(); see concurrent.futures"
        )
    yield ExecutorWorkers(executor, progress, total)
