"""The gateways that are still active in one step of the simulation, as parallel arrays.

Element ``i`` of each array is about the same gateway. ``select`` takes the same elements from all arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from lorafw.fleet.simulation.codes import U8
from lorafw.fleet.simulation.inputs import I64, Mask
from lorafw.fleet.simulation.random_streams import U64

Selection: TypeAlias = npt.NDArray[np.bool_] | npt.NDArray[np.intp]
"""A mask with one element for each gateway, or the positions of some gateways."""


class PresentedVersion(IntEnum):
    """The version that a gateway presents in its next request."""

    OLD = 0
    NEW = 1
    OTHER = 2


@dataclass(slots=True, eq=False)
class ActiveGateways:
    """Gateways whose task has not ended, one array element for each gateway."""

    batch_index: npt.NDArray[np.int64]
    """Positions of the gateways in the batch."""
    rng_key: U64
    """Keys of the gateways' random numbers."""
    next_event_ms: I64
    """The time of the next poll. After the engine has advanced, the time of the exchange itself."""
    period_ms: I64
    """The regular poll interval."""
    last_request_ms: I64
    """The time of the last request that reached the server."""
    status: U8
    """The status of the task, as a code of ``fleet.simulation.codes``."""
    presented: U8
    """The version that the gateway presents next, a PresentedVersion."""
    last_fault: U8
    """The code of the last fault, or that of ``Fault.NONE``."""
    download_broken: Mask
    """True if the last reply broke off."""
    poll_certain: Mask
    """True if the next poll cannot be missed."""

    def __len__(self) -> int:
        return len(self.batch_index)

    def select(self, selection: Selection) -> ActiveGateways:
        """Return some of the gateways. Do not use this object any more afterwards if the result is mutated.

        Args:
            selection: A mask, or positions. A mask that selects all gateways returns this object, to save the copies.
        """
        selects_all = selection.dtype == np.bool_ and selection.all()
        if selects_all:
            return self
        columns = (getattr(self, field.name)[selection] for field in fields(self))
        return ActiveGateways(*columns)

    def schedule_next(
        self,
        next_event_ms: I64,
        *,
        presented: U8 | PresentedVersion,
        poll_certain: Mask | bool,
        download_broken: bool,
    ) -> None:
        """Set when and with which version the gateways poll next. Mutates this object.

        Args:
            next_event_ms: The time of the next poll of each gateway.
            presented: The version that the gateways present then: an array, or one version for all.
            poll_certain: Whether that poll cannot be missed: an array, or one answer for all.
            download_broken: Whether the last reply to these gateways broke off.
        """
        self.next_event_ms = next_event_ms
        self.presented = self._as_column(presented, np.uint8)
        self.poll_certain = self._as_column(poll_certain, np.bool_)
        self.download_broken = self._as_column(download_broken, np.bool_)

    def _as_column(self, value: npt.NDArray[Any] | int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return an array unchanged. Return a number as a read-only column of equal values, which takes no memory."""
        if isinstance(value, np.ndarray):
            return value
        number = np.asarray(value, dtype=dtype)
        return np.broadcast_to(number, (len(self),))


def concatenate(groups: Sequence[ActiveGateways]) -> ActiveGateways | None:
    """Return all gateways of several groups as one group, or None if all groups are empty."""
    filled = [group for group in groups if len(group)]
    if not filled:
        return None
    if len(filled) == 1:
        return filled[0]

    def concatenate_column(name: str) -> npt.NDArray[Any]:
        """Return one column of all groups."""
        return np.concatenate([getattr(group, name) for group in filled])

    return ActiveGateways(*(concatenate_column(field.name) for field in fields(ActiveGateways)))
