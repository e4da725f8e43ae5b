"""The batches of a rollout: groups of gateways and replications that are simulated at once.

The columns of a batch are small enough to stay in the processor's cache. Each batch is independent of the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lorafw.fleet.arrays import Indices, Integers, Mask, RngKeys
from lorafw.fleet.fleet import Fleet, constant_column
from lorafw.fleet.plan import Plan
from lorafw.fleet.simulation.codes import Fault, fault_code
from lorafw.fleet.simulation.engine import simulate_batch
from lorafw.fleet.simulation.event_log import EventLog, EventRecorder
from lorafw.fleet.simulation.histories import Histories
from lorafw.fleet.simulation.inputs import NEVER, BatchColumns, SimulationParameters
from lorafw.fleet.simulation.installs import key_faults
from lorafw.fleet.simulation.outages import Outages, draw_outages, outage_group_count, outage_groups
from lorafw.fleet.simulation.random_streams import rng_keys

BATCH_SIZE: Final = 1 << 18
"""Gateways in one batch: enough that two threads rarely wait for each other (measured from 2^15 to 2^20)."""


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

    @property
    def gateway_count(self) -> int:
        """The number of gateways in all replications of the batch together."""
        width = int(self.columns.stop - self.columns.start)
        return len(self.replications) * width


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
    for rows in cut_slices(len(replications), row_count):
        for columns in cut_slices(column_count, BATCH_SIZE):
            batch_index: slice | Indices = columns
            if gateway_index is not None:
                batch_index = gateway_index[rows, columns]
            batch_created_ms = None
            if task_created_ms is not None:
                batch_created_ms = task_created_ms[rows, columns]
            yield Batch(
                replications=replications[rows],
                first_replication=rows.start,
                gateway_index=batch_index,
                task_created_ms=batch_created_ms,
                rows=rows,
                columns=columns,
            )


def batch_columns(context: RolloutContext, batch: Batch) -> BatchColumns:
    """Return the columns of a batch, with one element for each gateway in each replication.

    The gateways of the first replication come first, then those of the second one, and so on.

    Args:
        context: The columns of the whole fleet.
        batch: The gateways and the replications.
    """
    fleet = context.fleet

    def flatten(column: Any) -> Any:
        """Return a column of the fleet for the gateways of the batch, one replication after the other."""
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
    """Return the values of all gateways of a batch, one replication after the other, as a flat array.

    Args:
        block: The values. Shape (replications, gateways), or (gateways,) if they are equal in all replications.
        replications: The number of replications.

    Returns:
        The values. Shape (replications * gateways,). If they are all equal, the array takes no memory.
    """
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


def cut_range(count: int, step: int) -> list[range]:
    """Cut ``range(count)`` into ranges of ``step`` numbers. The last one may be shorter."""
    return [range(start, min(start + step, count)) for start in range(0, count, step)]


def cut_slices(length: int, step: int) -> list[slice]:
    """Cut a sequence of this length into slices of ``step`` elements. The last one may be shorter."""
    return [slice(part.start, part.stop) for part in cut_range(length, step)]
