"""The gateways that are under way in one turn of the machine, as arrays."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from lorafw.fleet.simulation.codes import U8
from lorafw.fleet.simulation.inputs import I64, Mask
from lorafw.fleet.simulation.random_streams import U64


class PresentedVersion(IntEnum):
    """Which version a gateway presents."""

    OLD = 0
    NEW = 1
    OTHER = 2


@dataclass(slots=True, eq=False)
class ActiveGateways:
    """``who`` is their place in the batch; ``time`` that of the next poll, then of the exchange.

    ``seen``: the last request; ``shows``: see Shows; ``faults``: what went wrong last; ``broken``: the last reply broke
    off; ``poll_certain``: the next poll is not missed.
    """

    who: npt.NDArray[np.int64]
    position: U64
    time: I64
    period: I64
    seen: I64
    status: U8
    shows: U8
    fault: U8
    broken: Mask
    poll_certain: Mask

    def __len__(self) -> int:
        return len(self.who)

    def part(self, where: Any) -> ActiveGateways:
        return ActiveGateways(*(getattr(self, f.name)[where] for f in fields(self)))

    def schedule_next(
        self,
        time: I64,
        *,
        shows: Any = PresentedVersion.OLD,
        fault: Any = None,
        poll_certain: Any = False,
        broken: bool = False,
    ) -> ActiveGateways:
        """The same gateways on their way to the next exchange, at ``time``. Values are arrays, or one for all."""
        size = len(self)
        self.time = time
        self.shows = broadcast_scalar(shows, size, np.uint8)
        self.poll_certain = broadcast_scalar(poll_certain, size, np.bool_)
        self.broken = broadcast_scalar(broken, size, np.bool_)
        if fault is not None:
            self.fault = broadcast_scalar(fault, size, np.uint8)
        return self


def broadcast_scalar(value: Any, size: int, dtype: Any) -> npt.NDArray[Any]:
    """An array as it is; one value as an array that takes no memory."""
    return value if np.ndim(value) else np.broadcast_to(np.asarray(value, dtype=dtype), (size,))


def join(ways: list[ActiveGateways]) -> ActiveGateways | None:
    """All of them together; None where nobody is under way."""
    ways = [way for way in ways if len(way)]
    if len(ways) <= 1:
        return ways[0] if ways else None
    return ActiveGateways(*(np.concatenate([getattr(way, f.name) for way in ways]) for f in fields(ActiveGateways)))
