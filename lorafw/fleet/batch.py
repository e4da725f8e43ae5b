"""What goes into the machine and what comes out: rules as numbers, gateways and their histories as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lorafw.fleet.codes import U8
from lorafw.fleet.fleet import Conditions, Fleet
from lorafw.fleet.plan import Plan
from lorafw.fleet.streams import U64

I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

NEVER: Final = 2**62
"""The time, in ms, of what does not happen."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Plan and conditions as the machine wants them: numbers, times in ms."""

    conditions: Conditions
    size_bytes: int
    fails: float
    version_given: bool
    apply_ms: int
    resync_ms: int
    conn_timeout_ms: int
    silence_ms: int
    horizon_ms: int
    some_refuse: bool
    some_differ: bool
    all_restart: bool
    straight_back: bool
    """Nothing can delay the request of a station that has just restarted."""

    @classmethod
    def of(cls, fleet: Fleet, plan: Plan) -> Rules:
        update, conditions = plan.update, fleet.conditions
        silence_ms = plan.silence_timeout_ms
        return cls(
            conditions,
            update.size_bytes,
            update.fails,
            update.version_given,
            round(update.apply_s * 1000),
            round(conditions.resync_s * 1000),
            round(conditions.conn_timeout_s * 1000),
            NEVER if silence_ms is None else silence_ms,
            round(plan.horizon_s * 1000),
            not update.signed or bool(fleet.refuses.any() or fleet.keyless.any()),
            bool(fleet.version_differs.any()),
            bool(fleet.restarts.all()),
            not (conditions.outages_per_day or conditions.unreached or conditions.server_error),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Gateways:
    """A batch: the columns that the machine reads.

    ``idle``: never asks for this update (None: nobody); ``refusal``: the fault for which the station refuses it;
    ``group``: of the outages; ``opens``: when each task is created (None: at the first request).
    """

    position: U64
    phase_ms: I64
    period_ms: I64
    goodput_Bps: npt.NDArray[np.float64]  # noqa: N815 -- a unit
    idle: Mask | None
    refusal: U8
    restarts: Mask
    version_differs: Mask
    group: I64 | None
    opens: I64 | None

    @property
    def size(self) -> int:
        return len(self.position)


@dataclass(frozen=True, slots=True, eq=False)
class Histories:
    """What became of each gateway of a batch: times in ms, NEVER where it did not come to that.

    ``status`` at the horizon (NO_TASK: no task was made); ``sends``: whole ones; ``offered``: first offer; ``ended``:
    COMPLETED or FAILED; ``fault``: what went wrong last; ``broken_bytes``: bytes of broken downloads.
    """

    status: U8
    sends: U8
    created: I64
    offered: I64
    ended: I64
    fault: U8
    broken_bytes: I64

    @classmethod
    def room(cls, shape: tuple[int, ...], rules: Rules, *, automatic: bool) -> Histories:
        """Arrays to be written. What is the same in all of a rollout's histories takes no memory of its own."""
        offered, ended = np.empty(shape, dtype=np.int64), np.empty(shape, dtype=np.int64)
        status, sends, fault = (np.empty(shape, dtype=np.uint8) for _ in range(3))
        # A task made at the first request is offered in the same moment, unless the update cannot be read.
        at_once = automatic and not rules.conditions.storage_error
        created = offered if at_once else np.empty(shape, dtype=np.int64)
        broken = np.zeros(shape, dtype=np.int64) if rules.conditions.breaks else np.broadcast_to(np.int64(0), shape)
        return cls(status, sends, created, offered, ended, fault, broken)

    def blank(self, status: int) -> Histories:
        """Nothing has happened yet."""
        for column, value in (
            (self.status, status),
            (self.sends, 0),
            (self.fault, 0),
            (self.created, NEVER),
            (self.offered, NEVER),
            (self.ended, NEVER),
        ):
            column.fill(value)
        return self

    @classmethod
    def stack(cls, parts: Sequence[Histories]) -> Histories:
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))

    def put(self, part: Histories, rows: slice, columns: slice) -> None:
        """Write a batch, flat or in rows, into its place."""
        for column, values in zip(self.columns(), part.columns(), strict=True):
            place = column[rows, columns]
            place[...] = values.reshape(place.shape)

    def rows(self, rows: slice) -> Histories:
        """Some replications."""
        return Histories(*(getattr(self, f.name)[rows] for f in fields(self)))

    def columns(self) -> list[npt.NDArray[Any]]:
        """The arrays that have a memory of their own."""
        every = (self.status, self.sends, self.fault, self.offered, self.ended)
        extra = [self.created] if self.created is not self.offered else []
        return [*every, *extra, *([self.broken_bytes] if self.broken_bytes.flags.writeable else [])]
