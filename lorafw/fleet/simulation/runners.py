"""Runs the engine: in this process, or on any executor. The results do not depend on it.

A rollout is cut into batches (``batches``). An executor gets tasks of about one second.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final, Protocol, TypeVar

from lorafw.errors import FleetError
from lorafw.fleet.arrays import Indices, Integers, divide_rounding_up
from lorafw.fleet.simulation.batches import (
    Batch,
    RolloutContext,
    cut_range,
    cut_slices,
    log_batch,
    make_batches,
    run_batch,
)
from lorafw.fleet.simulation.event_log import EventLog
from lorafw.fleet.simulation.histories import Histories, allocate_histories

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


class Runner(Protocol):
    """Simulates the gateways of a rollout, in this process or elsewhere."""

    def split_replications(self, size: int, replications: int) -> list[range]:
        """Return groups of replications that are simulated at once.

        Args:
            size: The number of gateways in a replication.
            replications: The number of replications.
        """
        ...

    def map_groups(self, work: Callable[..., T], arguments: Sequence[tuple[Any, ...]]) -> list[T]:
        """Return the result of ``work`` for each group of replications, in order.

        Args:
            work: Called as ``work(runner, *group)``.
            arguments: The arguments of each group.
        """
        ...

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
        ...


class ProgressCounter:
    """Counts the gateways that are simulated, and reports their number.

    Args:
        total: The number of gateways in all replications.
        report: Called as ``report(done, total)``. It may raise an error to cancel. None if nobody wants to know.
    """

    def __init__(self, total: int = 0, report: Progress | None = None) -> None:
        self.total: Final = total
        self._report = report
        self._done = 0

    def advance(self, gateway_count: int) -> None:
        """Report that more gateways are simulated.

        Args:
            gateway_count: How many more.
        """
        self.advance_to(self._done + gateway_count)

    def advance_to(self, done: int) -> None:
        """Report how many gateways are simulated so far.

        Args:
            done: How many in all.
        """
        self._done = done
        if self._report is not None:
            self._report(min(done, self.total), self.total)


class LocalRunner:
    """Runs batches in this process. NumPy releases the interpreter lock while it computes, so threads help.

    Args:
        progress: Counts the gateways that are simulated. None if nobody wants to know.
        pool: The threads that run the batches. None runs one batch after the other in this thread.
    """

    def __init__(self, progress: ProgressCounter | None = None, pool: ThreadPoolExecutor | None = None) -> None:
        self._progress = progress or ProgressCounter()
        self._pool = pool

    def split_replications(self, size: int, replications: int) -> list[range]:
        """Return groups of replications, each with as many as fit into a task."""
        return cut_range(replications, max(1, GATEWAYS_PER_TASK // size))

    def map_groups(self, work: Callable[..., T], arguments: Sequence[tuple[Any, ...]]) -> list[T]:
        """Return ``work(runner, *group)`` for each group, in order."""
        return [work(self, *group) for group in arguments]

    def run_batches(
        self,
        context: RolloutContext,
        replications: range,
        gateway_index: Indices | None,
        task_created_ms: Integers | None,
    ) -> Histories:
        """Simulate gateways and return their histories. See ``Runner``."""
        width = context.fleet.size if gateway_index is None else gateway_index.shape[1]
        result = allocate_histories((len(replications), width), context.params, automatic=task_created_ms is None)
        batches = list(make_batches(context.fleet.size, replications, gateway_index, task_created_ms))

        def simulate(batch: Batch) -> int:
            """Simulate a batch, write its histories to the result, and return its number of gateways."""
            result.write_block(run_batch(context, batch), batch.rows, batch.columns)
            return batch.gateway_count

        for gateway_count in self._map_batches(simulate, batches):
            self._progress.advance(gateway_count)
        return result

    def log_batches(
        self, context: RolloutContext, replication: int, task_created_ms: Integers | None, stopped_ms: int
    ) -> list[EventLog]:
        """Simulate one replication and return its task log in parts, in gateway order.

        Args:
            context: The rollout.
            replication: The number of the replication.
            task_created_ms: When each task is created, in one row. None if the first request creates it.
            stopped_ms: When the rollout was stopped. NEVER if it was not.
        """
        replications = range(replication, replication + 1)
        batches = list(make_batches(context.fleet.size, replications, None, task_created_ms))

        def log(batch: Batch) -> EventLog:
            """Simulate a batch and return its log."""
            return log_batch(context, batch, stopped_ms)

        return list(self._map_batches(log, batches))

    def _map_batches(self, work: Callable[[Batch], T], batches: Sequence[Batch]) -> Iterator[T]:
        """Return the result of ``work`` for each batch, in order."""
        if self._pool is None or len(batches) == 1:
            return map(work, batches)
        return self._pool.map(work, batches)


class ExecutorRunner:
    """Runs tasks of about one second on an executor: whole replications, or parts of a fleet if there is only one.

    Args:
        executor: The executor.
        progress: Counts the gateways that are simulated.
    """

    def __init__(self, executor: SupportsSubmit, progress: ProgressCounter) -> None:
        self._executor = executor
        self._progress = progress
        self._local = LocalRunner(progress)

    def split_replications(self, size: int, replications: int) -> list[range]:
        """Return groups of replications, one for each task: small enough that there are MIN_TASKS of them."""
        step = min(GATEWAYS_PER_TASK // size, divide_rounding_up(replications, MIN_TASKS))
        return cut_range(replications, max(1, step))

    def map_groups(self, work: Callable[..., T], arguments: Sequence[tuple[Any, ...]]) -> list[T]:
        """Return ``work(runner, *group)`` for each group, in order. Several groups become tasks of the executor."""
        if len(arguments) == 1:
            return [work(self, *arguments[0])]
        futures = [self._executor.submit(work, LocalRunner(), *group) for group in arguments]
        results: list[T] = []
        for count, future in enumerate(futures, 1):
            results.append(future.result())
            # The groups have almost equal sizes, so this is the number of gateways in the first `count` groups.
            self._progress.advance_to(self._progress.total * count // len(futures))
        return results

    def run_batches(
        self,
        context: RolloutContext,
        replications: range,
        gateway_index: Indices | None,
        task_created_ms: Integers | None,
    ) -> Histories:
        """Simulate gateways and return their histories. See ``Runner``. Only a single replication is cut into tasks."""
        if len(replications) > 1:
            return self._local.run_batches(context, replications, gateway_index, task_created_ms)
        # 1. Cut the gateways into pieces, and submit each piece as a task.
        gateway_count = context.fleet.size if gateway_index is None else gateway_index.shape[1]
        piece_size = min(GATEWAYS_PER_TASK, divide_rounding_up(gateway_count, MIN_TASKS))
        pieces = cut_slices(gateway_count, piece_size)
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
            self._progress.advance(piece.stop - piece.start)
        return result


def run_piece(context: RolloutContext, replications: range, task_created_ms: Integers | None) -> Histories:
    """Simulate a part of a fleet in one thread of a worker."""
    return LocalRunner().run_batches(context, replications, None, task_created_ms)


@contextmanager
def open_runner(executor: Any = None, total: int = 0, report: Progress | None = None) -> Iterator[Runner]:
    """Yield the runner for an executor.

    Args:
        executor: An object with ``submit``, one with ``get_executor()`` such as a Dask client, or None for threads.
        total: The number of gateways in all replications.
        report: Called as ``report(done, total)`` with numbers of gateways. It may raise an error to cancel.

    Raises:
        FleetError: The object is no executor.
    """
    if executor is None:
        with open_local_runner(total, report) as runner:
            yield runner
        return
    if hasattr(executor, "get_executor"):
        executor = executor.get_executor()
    if not hasattr(executor, "submit"):
        raise FleetError(
            "executor", executor, f"{executor!r} has neither submit() nor get_executor(); see concurrent.futures"
        )
    yield ExecutorRunner(executor, ProgressCounter(total, report))


@contextmanager
def open_local_runner(total: int = 0, report: Progress | None = None) -> Iterator[LocalRunner]:
    """Yield a runner with one thread for each processor core. Unfinished batches are cancelled at the end.

    Args:
        total: The number of gateways in all replications.
        report: Called as ``report(done, total)`` with numbers of gateways. It may raise an error to cancel.
    """
    pool = ThreadPoolExecutor(os.cpu_count() or 1)
    try:
        yield LocalRunner(ProgressCounter(total, report), pool)
    finally:
        pool.shutdown(cancel_futures=True)
