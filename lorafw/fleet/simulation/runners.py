"""Runs the engine: in this thread, in several threads, or on any executor. The results do not depend on it.

Work is cut into batches whose columns stay in the processor's cache. An executor gets tasks of about one second.
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
from lorafw.fleet.arrays import Indices, Integers, Mask, RngKeys, divide_rounding_up
from lorafw.fleet.fleet import Fleet, constant_column
from lorafw.fleet.plan import Plan
from lorafw.fleet.simulation.codes import Fault, fault_code
from lorafw.fleet.simulation.engine import simulate_batch
from lorafw.fleet.simulation.event_log import EventLog, EventRecorder
from lorafw.fleet.simulation.histories import Histories, allocate_histories
from lorafw.fleet.simulation.inputs import NEVER, BatchColumns, SimulationParameters
from lorafw.fleet.simulation.installs import key_faults
from lorafw.fleet.simulation.outages import Outages, draw_outages, outage_group_count, outage_groups
from lorafw.fleet.simulation.random_streams import rng_keys

BATCH_SIZE: Final = 1 << 18
"""Gateways in one batch: enough that two threads rarely wait for each other (measured from 2^15 to 2^20)."""

GATEWAYS_PER_TASK: Final = 4_000_000
"""Gateways in one task of an executor: about one second of work on one core."""

MIN_TASKS: Final = 8
"""The least number of tasks for an executor, since an executor does not say how many workers it has."""

T = TypeVar("T")
Progress = Callable[[int, int], None]


class SupportsSubmit(Protocol):
    """An executor, reduced to the one method that is used."""

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Any:
        """Start ``fn(*args)`` and return a future."""


@dataclass(frozen=True, slots=True, eq=False)
class RolloutContext:
    """What all batches of a rollout have in common: the inputs of the simulation for the whole fleet."""

    fleet: Fleet
    """The gateways and their conditions."""
    params: SimulationParameters
    """The plan and the conditions as plain numbers."""
    seed: int
    """The seed of the random numbers."""
    outages: Outages | None
    """The outages of the networks. None if there are none."""
    never_requests: Mask | None
    """True for each gateway that never requests this update. None if every gateway requests it."""
    key_fault: npt.NDArray[np.uint8]
    """The code of the fault because of which each station refuses the update, or that of ``Fault.NONE``."""

    @classmethod
    def from_plan(cls, fleet: Fleet, plan: Plan, seed: int, replications: range) -> RolloutContext:
        """Return the context of some replications of a plan. Draws their outages.

        Args:
            fleet: The gateways and their conditions.
            plan: The plan.
            seed: The seed of the random numbers.
            replications: The numbers of the replications.

        Raises:
            FleetError: The update is for a version that no gateway of the fleet has.
        """
        params = SimulationParameters.from_plan(fleet, plan)
        no_fault = fault_code(Fault.NONE)
        key_fault = constant_column(no_fault, fleet.size, np.uint8)
        if params.any_key_fault:
            key_fault = key_faults(fleet, plan.update)
        return cls(
            fleet=fleet,
            params=params,
            seed=seed,
            outages=draw_outages(fleet, params.horizon_ms, seed, replications),
            never_requests=_never_requests(fleet, plan.update.current_version),
            key_fault=key_fault,
        )

    def select(self, gateways: slice | Indices) -> RolloutContext:
        """Return the context of some of the gateways.

        Args:
            gateways: Positions in the fleet.
        """
        never_requests = None
        if self.never_requests is not None:
            never_requests = self.never_requests[gateways]
        fleet, key_fault = self.fleet.select(gateways), self.key_fault[gateways]
        return replace(self, fleet=fleet, never_requests=never_requests, key_fault=key_fault)


def _never_requests(fleet: Fleet, version: str | None) -> Mask | None:
    """Return the gateways that are offline for good or have another version, or None if there are none."""
    if version is not None:
        has_other_version = fleet.version != fleet.code_of("version", version)
        never: Mask = fleet.gone | has_other_version
        return never
    if fleet.gone.any():
        return fleet.gone
    return None


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """A part of a rollout that is simulated at once: some gateways in some replications."""

    replications: range
    """The numbers of the replications."""
    first_replication: int
    """The position of the first of these replications in the run."""
    gateway_index: slice | Indices
    """Positions in the fleet: equal for all replications, or an array with one row for each replication."""
    task_created_ms: Integers | None
    """When each task is created, one row for each replication. None if the first request creates it."""
    rows: slice
    """The rows of the results that this batch fills. A row is a replication."""
    columns: slice
    """The columns of the results that this batch fills. A column is a gateway."""


def make_batches(
    size: int, replications: range, gateway_index: Indices | None, task_created_ms: Integers | None
) -> Iterator[Batch]:
    """Cut gateways and replications into batches of about BATCH_SIZE.

    Args:
        size: Number of gateways in the fleet.
        replications: The replications.
        gateway_index: The gateways, one row for each replication. None for the whole fleet.
        task_created_ms: When each task is created, of the same shape, or None.

    Yields:
        The batches, in the order of the replications and of their gateways.
    """
    # Rows are replications, columns are gateways. A batch has whole rows if a row is short enough.
    column_count = size if gateway_index is None else gateway_index.shape[1]
    row_count = max(1, BATCH_SIZE // max(column_count, 1))
    for rows in _slices(len(replications), row_count):
        for columns in _slices(column_count, BATCH_SIZE):
            batch_index: slice | Indices = columns
            if gateway_index is not None:
                batch_index = gateway_index[rows, columns]
            batch_created_ms = None
            if task_created_ms is not None:
                batch_created_ms = task_created_ms[rows, columns]
            yield Batch(replications[rows], rows.start, batch_index, batch_created_ms, rows, columns)


def batch_columns(context: RolloutContext, batch: Batch) -> BatchColumns:
    """Return the columns of a batch, with one element for each gateway in each replication.

    The gateways of the first replication come first, then those of the second one, and so on.

    Args:
        context: The columns of the whole fleet.
        batch: The gateways and the replications.
    """
    fleet = context.fleet

    def flatten(column: Any) -> Any:
        """Return a column of the fleet for the gateways of the batch."""
        return _flatten(column[batch.gateway_index], len(batch.replications))

    rng_key = _batch_rng_keys(context, batch)
    outage_group = None
    if context.outages is not None:
        outage_group = flatten(outage_groups(fleet)) + _first_outage_groups(fleet, batch, len(rng_key))
    never_requests = None if context.never_requests is None else flatten(context.never_requests)
    task_created_ms = None if batch.task_created_ms is None else batch.task_created_ms.reshape(-1)
    return BatchColumns(
        rng_key=rng_key,
        phase_ms=flatten(fleet.phase_ms),
        period_ms=flatten(fleet.period_ms),
        goodput_Bps=flatten(fleet.goodput_Bps),
        never_requests=never_requests,
        key_fault=flatten(context.key_fault),
        restarts=flatten(fleet.restarts),
        version_differs=flatten(fleet.version_differs),
        outage_group=outage_group,
        task_created_ms=task_created_ms,
    )


def _batch_rng_keys(context: RolloutContext, batch: Batch) -> RngKeys:
    """Return the keys of the random numbers for the gateways of a batch, flat."""
    numbers = context.fleet.number[batch.gateway_index]
    if numbers.ndim == 1:
        numbers = numbers[None, :]  # the same gateways in each replication
    replications = np.asarray(batch.replications)[:, None]
    return rng_keys(context.seed, replications, numbers).reshape(-1)


def _flatten(block: npt.NDArray[Any], replications: int) -> npt.NDArray[Any]:
    """Return a block of a column as one row per replication, flat. A constant column takes no memory."""
    if block.ndim == 2:
        return block.reshape(-1)
    if replications == 1:
        return block
    is_constant = block.strides[0] == 0
    if is_constant:
        return np.broadcast_to(block[:1], (replications * len(block),))
    return np.tile(block, replications)


def _first_outage_groups(fleet: Fleet, batch: Batch, size: int) -> Integers:
    """Return for each gateway of a flat batch the number of the first outage group of its replication."""
    replications = len(batch.replications)
    positions = np.arange(batch.first_replication, batch.first_replication + replications)
    return np.repeat(positions * outage_group_count(fleet), size // replications)


def run_batch(context: RolloutContext, batch: Batch) -> Histories:
    """Simulate a batch and return its histories."""
    return simulate_batch(batch_columns(context, batch), context.params, context.outages)


def log_batch(context: RolloutContext, batch: Batch, stopped_ms: int) -> EventLog:
    """Simulate a batch of one replication and return its task log, truncated where the rollout stopped."""
    columns = batch_columns(context, batch)
    recorder = EventRecorder(columns.size)
    histories = simulate_batch(columns, context.params, context.outages, recorder)
    if stopped_ms != NEVER:
        after_stop = histories.offered_ms > stopped_ms
        recorder.truncate(after_stop, histories.created_ms <= stopped_ms, stopped_ms)
    return recorder.to_log(context.fleet.number[batch.gateway_index].reshape(-1))


class BatchRunner:
    """Runs batches one after the other in this thread. The base class of the other runners.

    Args:
        progress: Called as ``progress(done, total)`` with numbers of gateways. May raise to cancel.
        total: The number of gateways in all replications.
    """

    def __init__(self, progress: Progress | None = None, total: int = 0) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def map_batches(self, work: Callable[[Any], T], batches: Sequence[Any]) -> Iterator[T]:
        """Return the result of ``work`` for each batch, in order."""
        return map(work, batches)

    def run_batches(
        self,
        context: RolloutContext,
        replications: range,
        gateway_index: Indices | None,
        task_created_ms: Integers | None,
    ) -> Histories:
        """Simulate gateways and return their histories, one row for each replication.

        Args:
            context: The rollout.
            replications: The replications to simulate.
            gateway_index: The gateways, one row for each replication. None for the whole fleet.
            task_created_ms: When each task is created, of the same shape. None if the first request creates it.
        """
        width = context.fleet.size if gateway_index is None else gateway_index.shape[1]
        result = allocate_histories((len(replications), width), context.params, automatic=task_created_ms is None)
        batches = list(make_batches(context.fleet.size, replications, gateway_index, task_created_ms))

        def simulate_batch(batch: Batch) -> int:
            """Simulate a batch, write its histories to the result, and return its number of gateways."""
            result.write_block(run_batch(context, batch), batch.rows, batch.columns)
            batch_width = int(batch.columns.stop - batch.columns.start)
            return len(batch.replications) * batch_width

        for gateway_count in self.map_batches(simulate_batch, batches):
            self.advance(gateway_count)
        return result

    def log_batches(
        self, context: RolloutContext, replication: int, task_created_ms: Integers | None, stopped_ms: int
    ) -> list[EventLog]:
        """Simulate one replication and return its task log in parts, in gateway order."""
        replications = range(replication, replication + 1)
        batches = list(make_batches(context.fleet.size, replications, None, task_created_ms))

        def log_one_batch(batch: Batch) -> EventLog:
            """Simulate a batch and return its log."""
            return log_batch(context, batch, stopped_ms)

        return list(self.map_batches(log_one_batch, batches))

    def advance(self, gateway_count: int) -> None:
        """Report that more gateways are simulated."""
        self._done += gateway_count
        if self._progress is not None:
            self._progress(min(self._done, self._total), self._total)

    def split_replications(self, size: int, replications: int) -> list[range]:
        """Return groups of replications that are simulated at once, as many as fit into a task."""
        return _split(replications, max(1, GATEWAYS_PER_TASK // size))

    def map_groups(self, work: Callable[..., T], arguments: Sequence[tuple[Any, ...]]) -> list[T]:
        """Return ``work(runner, *arguments)`` for each group, in order."""
        return [work(self, *group) for group in arguments]


class ThreadRunner(BatchRunner):
    """Runs batches in several threads of this process. NumPy releases the lock while it computes."""

    def __init__(self, pool: ThreadPoolExecutor, progress: Progress | None, total: int) -> None:
        super().__init__(progress, total)
        self._pool = pool

    def map_batches(self, work: Callable[[Any], T], batches: Sequence[Any]) -> Iterator[T]:
        """Return the result of ``work`` for each batch, in order. Several batches run in the threads of the pool."""
        if len(batches) == 1:
            return super().map_batches(work, batches)
        return self._pool.map(work, batches)


class ExecutorRunner(BatchRunner):
    """Runs tasks of about one second on an executor: whole replications, or parts of a fleet if there is only one."""

    def __init__(self, executor: SupportsSubmit, progress: Progress | None, total: int) -> None:
        super().__init__(progress, total)
        self._executor = executor

    def split_replications(self, size: int, replications: int) -> list[range]:
        """Return groups of replications, one for each task: small enough that there are MIN_TASKS of them."""
        step = min(GATEWAYS_PER_TASK // size, divide_rounding_up(replications, MIN_TASKS))
        return _split(replications, max(1, step))

    def map_groups(self, work: Callable[..., T], arguments: Sequence[tuple[Any, ...]]) -> list[T]:
        """Return ``work(runner, *arguments)`` for each group, in order. Waits for the tasks of the executor."""
        if len(arguments) == 1:
            return super().map_groups(work, arguments)
        futures = [self._executor.submit(work, BatchRunner(), *group) for group in arguments]
        results: list[T] = []
        for count, future in enumerate(futures, 1):
            results.append(future.result())
            # The groups have almost equal sizes, so this is the number of gateways in the first `count` groups.
            done_so_far = self._total * count // len(futures)
            self.advance(done_so_far - self._done)
        return results

    def run_batches(
        self,
        context: RolloutContext,
        replications: range,
        gateway_index: Indices | None,
        task_created_ms: Integers | None,
    ) -> Histories:
        """Simulate gateways as in the base class. A single replication is cut into tasks for the executor.

        Args:
            context: The rollout.
            replications: The replications to simulate.
            gateway_index: The gateways, one row for each replication. None for the whole fleet.
            task_created_ms: When each task is created, of the same shape. None if the first request creates it.

        Returns:
            The histories, one row for each replication.
        """
        if len(replications) > 1:
            return super().run_batches(context, replications, gateway_index, task_created_ms)
        # 1. Cut the gateways into pieces, and submit each piece as a task.
        gateway_count = context.fleet.size if gateway_index is None else gateway_index.shape[1]
        piece_size = min(GATEWAYS_PER_TASK, divide_rounding_up(gateway_count, MIN_TASKS))
        pieces = _slices(gateway_count, piece_size)
        futures = []
        for piece in pieces:
            piece_index = piece if gateway_index is None else gateway_index[0, piece]
            piece_created_ms = None if task_created_ms is None else task_created_ms[:, piece]
            piece_context = context.select(piece_index)
            futures.append(self._executor.submit(run_piece, piece_context, replications, piece_created_ms))
        # 2. Put the histories together, in the order of the pieces.
        result = allocate_histories((1, gateway_count), context.params, automatic=task_created_ms is None)
        only_row = slice(0, 1)
        for piece, future in zip(pieces, futures, strict=True):
            result.write_block(future.result(), only_row, piece)
            self.advance(piece.stop - piece.start)
        return result


def _split(count: int, step: int) -> list[range]:
    """Cut ``range(count)`` into ranges of ``step`` numbers."""
    return [range(start, min(start + step, count)) for start in range(0, count, step)]


def _slices(length: int, step: int) -> list[slice]:
    """Cut a length into slices of ``step`` elements."""
    return [slice(part.start, part.stop) for part in _split(length, step)]


def run_piece(context: RolloutContext, replications: range, task_created_ms: Integers | None) -> Histories:
    """Simulate a part of a fleet in one thread of a worker."""
    return BatchRunner().run_batches(context, replications, None, task_created_ms)


@contextmanager
def open_runner(executor: Any = None, total: int = 0, progress: Progress | None = None) -> Iterator[BatchRunner]:
    """Yield the runner for an executor.

    Args:
        executor: An object with ``submit``, one with ``get_executor()`` such as a Dask client, or None for threads.
        total: The number of gateways in all replications, for ``progress``.
        progress: Called as ``progress(done, total)`` with numbers of gateways. May raise to cancel.

    Raises:
        FleetError: The object is no executor.
    """
    if executor is None:
        pool = ThreadPoolExecutor(os.cpu_count() or 1)
        try:
            yield ThreadRunner(pool, progress, total)
        finally:
            pool.shutdown(cancel_futures=True)
        return
    if hasattr(executor, "get_executor"):
        executor = executor.get_executor()
    if not hasattr(executor, "submit"):
        raise FleetError(
            "executor", executor, f"{executor!r} has neither submit() nor get_executor(); see concurrent.futures"
        )
    yield ExecutorRunner(executor, progress, total)
