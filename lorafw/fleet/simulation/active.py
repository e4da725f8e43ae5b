"""The gateways that are still active in one step of the simulation, as parallel arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from lorafw.fleet.simulation.codes import U8
from lorafw.fleet.simulation.inputs import I64, Mask
from lorafw.fleet.simulation.random_streams import U64


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

    def select(self, which: npt.NDArray[Any]) -> ActiveGateways:
        """Return some of the gateways.

        Args:
            which: A mask, or an array of indices. If a mask is True everywhere, the result is this very object.
        """
        if which.dtype == np.bool_ and which.all():
            return self
        return ActiveGateways(*(getattr(self, field.name)[which] for field in fields(self)))

    def schedule_next(
        self,
        next_event_ms: I64,
        *,
        presented: Any = PresentedVersion.OLD,
        last_fault: Any = None,
        poll_certain: Any = False,
        download_broken: bool = False,
    ) -> ActiveGateways:
        """Set when and with which version the gateways poll next. Mutates and returns this object.

        Args:
            next_event_ms: The time of the next poll of each gateway.
            presented: The version that the gateways present then: an array, or one value for all.
            last_fault: The last fault: an array, or one value for all. None leaves it as it is.
            poll_certain: Whether that poll cannot be missed: an array, or one value for all.
            download_broken: Whether the reply broke off.
        """
        size = len(self)
        self.next_event_ms = next_event_ms
        self.presented = broadcast_scalar(presented, size, np.uint8)
        self.poll_certain = broadcast_scalar(poll_certain, size, np.bool_)
        self.download_broken = broadcast_scalar(download_broken, size, np.bool_)
        if last_fault is not None:
            self.last_fault = broadcast_scalar(last_fault, size, np.uint8)
        return self


def broadcast_scalar(value: Any, size: int, dtype: Any) -> npt.NDArray[Any]:
    """Return an array unchanged, and a scalar as a read-only array of ``size`` elements that takes no memory."""
    if np.ndim(value):
        array: npt.NDArray[Any] = value
        return array
    return np.broadcast_to(np.asarray(value, dtype=dtype), (size,))


def concatenate(groups: Sequence[ActiveGateways]) -> ActiveGateways | None:
    """Return all gateways of several groups as one group, or None if all groups are empty."""
    filled = [group for group in groups if len(group)]
    if not filled:
        return None
    if len(filled) == 1:
        return filled[0]
    columns = (np.concatenate([getattr(group, field.name) for group in filled]) for field in fields(ActiveGateways))
    return ActiveGateways(*columns)
