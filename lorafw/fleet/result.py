"""What came of a rollout: histories, log, summary, and the answer for a single gateway.

A result carries what it came from, fleet, plan, seed, version and assumptions, and ``replay()`` makes it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from lorafw.errors import FleetError
from lorafw.fleet.batch import I64, Histories
from lorafw.fleet.codes import FAULTS, NO_TASK, STATUSES, status_code
from lorafw.fleet.fleet import Fleet
from lorafw.fleet.plan import Plan
from lorafw.fleet.rows import Events, join
from lorafw.fleet.summary import Summary, summarise
from lorafw.fleet.workers import Run, workers_of
from lorafw.tasks.lifecycle import TaskStatus

if TYPE_CHECKING:
    import pandas as pd

_COMPLETED: Final = status_code(TaskStatus.COMPLETED)


@dataclass(frozen=True, slots=True, eq=False)
class WaveRecord:
    """One wave in all replications: when it started and when the next one could (NEVER: not), and the verdict."""

    started: I64
    decided: I64
    verdict: npt.NDArray[np.int8]

    @classmethod
    def stack(cls, records: Sequence[WaveRecord]) -> WaveRecord:
        return cls(*(np.concatenate([getattr(record, f.name) for record in records]) for f in fields(cls)))


@dataclass(frozen=True, eq=False)
class Result:
    """A rollout, or several replications of it. Times are ms since its start, NEVER for what did not happen."""

    fleet: Fleet
    plan: Plan
    seed: int
    replications: int
    gateways: Histories
    """One row for each replication, one column for each gateway."""
    stopped: I64
    """When each replication was aborted."""
    waves: tuple[WaveRecord, ...]
    version: str = field(default_factory=lambda: version("lorafw"))

    @cached_property
    def events(self) -> Events:
        """The log of the first replication, in gateway and time order."""
        return self.log(0)

    def log(self, replication: int = 0) -> Events:
        """The log of one replication: made on request, from the same luck."""
        if not 0 <= replication < self.replications:
            raise FleetError("replication", replication, f"there are replications 0 to {self.replications - 1}")
        return self._log_of(slice(0, self.fleet.size), replication)

    def _log_of(self, gateways: slice, replication: int) -> Events:
        run = Run.of(self.fleet, self.plan, self.seed, range(replication, replication + 1)).part(gateways)
        opens = None if self.plan.is_automatic else self.gateways.created[replication : replication + 1, gateways]
        with workers_of() as workers:
            return join(workers.events(run, replication, opens, int(self.stopped[replication])))

    def replay(self, *, executor: Any = None) -> Result:
        """The same again, from fleet, plan and seed."""
        from lorafw.fleet.rollout import simulate  # noqa: PLC0415

        return simulate(self.fleet, self.plan, seed=self.seed, replications=self.replications, executor=executor)

    def tobytes(self) -> bytes:
        """All histories: equal results give equal bytes."""
        return b"".join(column.tobytes() for column in (*self.gateways.columns(), self.stopped))

    def counts(self, times_s: Any, replication: int = 0) -> dict[str, npt.NDArray[np.int64]]:
        """How many gateways have each status at each of these times, in s; "none": there is no task."""
        log = self.events if replication == 0 else self.log(replication)
        at = np.asarray(times_s, dtype=np.float64) * 1000
        moved = log.from_status != log.to_status
        result = {}
        for code, name in enumerate([*map(str, STATUSES), "none"]):
            came = np.sort(log.time[moved & (log.to_status == code)])
            went = np.sort(log.time[moved & (log.from_status == code)])
            first = self.fleet.size if code == NO_TASK else 0
            result[name] = first + np.searchsorted(came, at, "right") - np.searchsorted(went, at, "right")
        return result

    def summary(self, ci: float = 0.95) -> Summary:
        """The figures of the rollout with their intervals at level ``ci``."""
        return summarise(self, ci)

    def explain(self, gateway: int, replication: int = 0) -> str:
        """The history of one gateway in words: what happened when, and what was behind it."""
        place = np.flatnonzero(self.fleet.number == gateway)
        if not len(place):
            raise FleetError("gateway", gateway, f"there is no gateway with number {gateway} in this fleet")
        log = self.events if replication == 0 else self.log(replication)
        rows = log.where(log.gateway == gateway)
        lines = [f"Gateway {gateway}, {self._describe(int(place[0]))}"]
        for time, _, attempt, source, target, cause, fault in rows.rows():
            step = f"{source} -> {target}" if source != target else f"{target}"
            behind = f" (behind it: {fault})" if fault else ""
            lines.append(f"{clock(time)}  send {attempt}  {step}: {cause}{behind}")
        if not len(rows):
            lines.append(
                "It never had a task: " + ("it is gone" if self.fleet.gone[place[0]] else "the rollout stopped")
            )
        return "\n".join(lines)

    def _describe(self, place: int) -> str:
        fleet = self.fleet
        said = {name: fleet.names[name][int(getattr(fleet, name)[place])] for name in ("backhaul", "region", "isp")}
        return ", ".join(f"{name} {value}" for name, value in said.items()) + (
            f", polls every {fleet.period_ms[place] / 3.6e6:g} h, first at {clock(int(fleet.phase_ms[place]))}"
        )

    def to_frame(self, replication: int = 0) -> pd.DataFrame:
        """The log as a pandas DataFrame, words as categories."""
        import pandas as pd  # noqa: PLC0415

        log = self.events if replication == 0 else self.log(replication)
        from lorafw.fleet.codes import CAUSES  # noqa: PLC0415

        def words(codes: Any, names: list[str]) -> Any:
            none = len(names)
            values = np.where(codes < none, codes.astype(np.int16), -1)
            return pd.Categorical.from_codes(values, categories=names)

        statuses = [str(status) for status in STATUSES]
        return pd.DataFrame(
            {
                "time": log.time,
                "gateway": log.gateway,
                "attempt": log.attempt,
                "from_status": words(log.from_status, statuses),
                "to_status": words(log.to_status, statuses),
                "cause": words(log.cause, [str(cause) for cause in CAUSES]),
                "fault": words(log.fault, [fault.value for fault in FAULTS]),
            }
        )

    def assumptions(self) -> list[tuple[str, str, str]]:
        """(quantity, value, source) of everything that this result rests on."""
        from lorafw.fleet.defaults import assumptions  # noqa: PLC0415

        return assumptions(self.fleet, self.plan)


def clock(time_ms: int) -> str:
    """A time since the start as "2 d 03:04:05"."""
    days, rest = divmod(time_ms // 1000, 86400)
    return f"{days} d {rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
