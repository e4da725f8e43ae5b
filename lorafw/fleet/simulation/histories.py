"""The histories of gateways: what a simulation tells of each gateway, one array for each property."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lorafw.fleet.arrays import Codes, Integers
from lorafw.fleet.simulation.codes import NO_TASK, Fault, fault_code
from lorafw.fleet.simulation.inputs import NEVER, SimulationParameters

_NO_FAULT: Final = fault_code(Fault.NONE)


@dataclass(frozen=True, slots=True, eq=False)
class Histories:
    """The history of each gateway: arrays of equal shape. Times are in ms, NEVER for what did not happen."""

    status: Codes
    """The status at the horizon, as a code; NO_TASK if the gateway has no task."""
    delivered_sends: npt.NDArray[np.uint8]
    """Number of updates that were delivered whole."""
    created_ms: Integers
    """When the task was created. The same array as ``offered_ms`` if a task is always offered when it is created."""
    offered_ms: Integers
    """When the update was first offered."""
    ended_ms: Integers
    """When the task became COMPLETED or FAILED."""
    last_fault: Codes
    """The code of the last fault."""
    broken_bytes: Integers
    """Bytes of downloads that broke off. Read-only zeros if no download can break."""

    def reset(self) -> None:
        """Fill the arrays with the state before the rollout, in which no gateway has a task."""
        self.status.fill(NO_TASK)
        self.delivered_sends.fill(0)
        self.last_fault.fill(_NO_FAULT)
        for times_ms in (self.created_ms, self.offered_ms, self.ended_ms):
            times_ms.fill(NEVER)

    def write_block(self, part: Histories, rows: slice, columns: slice) -> None:
        """Copy the histories of some gateways into these arrays.

        Args:
            part: The histories to copy, flat or in rows.
            rows: The replications that they belong to.
            columns: The gateways that they belong to.
        """
        for target, values in zip(self.owned_arrays(), part.owned_arrays(), strict=True):
            block = target[rows, columns]
            block[...] = values.reshape(block.shape)

    def replications(self, rows: slice) -> Histories:
        """Return views of some replications."""
        return Histories(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def owned_arrays(self) -> list[npt.NDArray[Any]]:
        """Return the arrays that have memory of their own, in a fixed order."""
        arrays: list[npt.NDArray[Any]] = [self.status, self.delivered_sends, self.last_fault]
        arrays += [self.offered_ms, self.ended_ms]
        if self.created_ms is not self.offered_ms:
            arrays.append(self.created_ms)
        if self.broken_bytes.flags.writeable:
            arrays.append(self.broken_bytes)
        return arrays


def allocate_histories(shape: tuple[int, ...], params: SimulationParameters, *, automatic: bool) -> Histories:
    """Allocate the arrays of histories without initialising them. Columns without information share memory.

    Args:
        shape: The shape of each array, for example (replications, gateways).
        params: Decides which columns need memory of their own.
        automatic: True if tasks are created at a gateway's first request.

    Returns:
        Histories whose values are not set.
    """
    offered_ms = np.empty(shape, dtype=np.int64)
    # An automatic task is offered in the moment in which it is created, unless the update cannot be read.
    created_ms = offered_ms
    if not automatic or params.conditions.storage_error:
        created_ms = np.empty(shape, dtype=np.int64)
    broken_bytes = np.broadcast_to(np.int64(0), shape)
    if params.conditions.can_break_downloads:
        broken_bytes = np.zeros(shape, dtype=np.int64)
    return Histories(
        status=np.empty(shape, dtype=np.uint8),
        delivered_sends=np.empty(shape, dtype=np.uint8),
        created_ms=created_ms,
        offered_ms=offered_ms,
        ended_ms=np.empty(shape, dtype=np.int64),
        last_fault=np.empty(shape, dtype=np.uint8),
        broken_bytes=broken_bytes,
    )


def stack_histories(parts: Sequence[Histories]) -> Histories:
    """Return the histories of several groups of replications as one."""
    columns = {}
    for field in fields(Histories):
        columns[field.name] = np.concatenate([getattr(part, field.name) for part in parts])
    return Histories(**columns)


def discard_after_stop(histories: Histories, stopped_ms: Integers) -> None:
    """Remove the tasks that were not yet offered when a rollout stopped. Tasks in progress run to their end.

    Args:
        histories: The histories, one row for each rollout. They are changed in place.
        stopped_ms: When each rollout stopped. NEVER for a rollout that did not stop.
    """
    if (stopped_ms == NEVER).all():
        return
    # One row for each rollout, to be compared with all gateways of this rollout.
    stopped_column = stopped_ms[:, None]
    discarded = (histories.offered_ms > stopped_column) & (stopped_column < NEVER)
    created_later = histories.created_ms > stopped_column
    histories.created_ms[discarded & created_later] = NEVER
    histories.offered_ms[discarded] = NEVER
    histories.ended_ms[discarded] = NEVER
    histories.status[discarded] = NO_TASK
    histories.delivered_sends[discarded] = 0
    histories.last_fault[discarded] = _NO_FAULT
    if histories.broken_bytes.flags.writeable:
        histories.broken_bytes[discarded] = 0
