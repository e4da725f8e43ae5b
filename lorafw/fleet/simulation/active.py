"""The gateways that are still active in one step of the simulation, as parallel arrays.

Element ``i`` of each array is about the same gateway. ``select`` takes the same elements from all arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from lorafw.fleet.arrays import Codes, Indices, Integers, Mask, RngKeys

Selection: TypeAlias = Mask | Indices
"""A mask with one element for each gateway, or the positions of some gateways."""


class PresentedVersion(IntEnum):
    """The version that a gateway presents in its next request."""

    OLD = 0
    NEW = 1
    OTHER = 2


@dataclass(frozen=True, slots=True, eq=False)
class ActiveGateways:
    """Gateways whose tasks have not ended. Each field is an array with one element for each gateway."""

    batch_index: Integers
    """The position of the gateway in its batch."""
    rng_key: RngKeys
    """The key of the gateway's random numbers."""
    next_event_ms: Integers
    """The time of the next poll. During a step, the time of the exchange with the server."""
    period_ms: Integers
    """The regular time between two polls."""
    last_request_ms: Integers
    """The time of the last request that reached the server."""
    status: Codes
    """The status of the task, as a code of ``fleet.simulation.codes``."""
    presented: Codes
    """The version that the gateway presents in its next request, a PresentedVersion."""
    last_fault: Codes
    """The code of the last fault, or that of ``Fault.NONE``."""
    download_broken: Mask
    """True if the last download broke off."""
    poll_certain: Mask
    """True if the next poll cannot be missed."""

    def __len__(self) -> int:
        return len(self.batch_index)

    def select(self, selection: Selection) -> ActiveGateways:
        """Return some of the gateways.

        Args:
            selection: A mask, or positions. A mask that selects all gateways returns this object, to save the copies.
        """
        selects_all = selection.dtype == np.bool_ and selection.all()
        if selects_all:
            return self
        columns = (getattr(self, field.name)[selection] for field in fields(self))
        return ActiveGateways(*columns)

    def scheduled(
        self,
        next_poll_ms: Integers,
        *,
        presented: Codes | PresentedVersion,
        poll_certain: Mask | bool,
        download_broken: bool,
    ) -> ActiveGateways:
        """Return these gateways, scheduled for their next poll.

        Args:
            next_poll_ms: The time of the next poll of each gateway.
            presented: The version that the gateways present then: an array, or one version for all.
            poll_certain: Whether that poll cannot be missed: an array, or one answer for all.
            download_broken: Whether the last download of these gateways broke off.
        """
        size = len(self)
        return replace(
            self,
            next_event_ms=next_poll_ms,
            presented=as_column(presented, size, np.uint8),
            poll_certain=as_column(poll_certain, size, np.bool_),
            download_broken=as_column(download_broken, size, np.bool_),
        )


def as_column(value: npt.NDArray[Any] | int, size: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return an array unchanged. Return a number as a read-only array of equal values, which takes no memory."""
    if isinstance(value, np.ndarray):
        return value
    number = np.asarray(value, dtype=dtype)
    return np.broadcast_to(number, (size,))


def concatenate(groups: Sequence[ActiveGateways | None]) -> ActiveGateways | None:
    """Return the gateways of several groups as one group.

    Args:
        groups: The groups. None stands for a group without gateways.

    Returns:
        The gateways, in the order of the groups. None if there are none.
    """
    filled = [group for group in groups if group is not None and len(group)]
    if not filled:
        return None
    if len(filled) == 1:
        return filled[0]
    columns = []
    for field in fields(ActiveGateways):
        parts = [getattr(group, field.name) for group in filled]
        columns.append(np.concatenate(parts))
    return ActiveGateways(*columns)
