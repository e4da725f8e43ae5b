"""What came of a rollout: histories, log, summary, and the answer for a single gateway.

A result carries what it came from, fleet, plan, seed, version and assumptions, and ``rollout.replay()`` makes it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lorafw.errors import FleetError
from lorafw.fleet._validation import check_level
from lorafw.fleet.fleet import Fleet
from lorafw.fleet.plan import Plan
from lorafw.fleet.simulation.codes import CAUSES, FAULTS, NO_TASK, STATUSES
from lorafw.fleet.simulation.event_log import EventLog, join
from lorafw.fleet.simulation.histories import Histories
from lorafw.fleet.simulation.inputs import I64
from lorafw.fleet.simulation.runners import RolloutContext, open_runner
from lorafw.fleet.statistics.estimates import summarise
from lorafw.fleet.statistics.summary import Summary

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, eq=False)
class WaveRecord:
    """One wave in all replications: when it started and when the next one could (NEVER: not), and the verdict."""

    started: I64
    decided: I64
    verdict: npt.NDArray[np.int8]

    @classmethod
    def stack(cls, records: Sequence[WaveRecord]) -> WaveRecord:
        return cls(*(np.concatenate([getattr(record, f.name) for record in records]) for f in fields(cls)))


@dataclass(frozen=True, eq=False, repr=False)
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

    def __repr__(self) -> str:
        times = f", {self.replications} replications" if self.replications > 1 else ""
        return f"<Result of {self.plan.name!r}: {self.fleet.size} gateways, seed {self.seed}{times}>"

    @cached_property
    def events(self) -> EventLog:
        """The log of the first replication, in gateway and time order."""
        return self.log(0)

    def log(self, replication: int = 0) -> EventLog:
        """The log of one replication: made on request, from the same luck."""
        return self._log_of(slice(0, self.fleet.size), replication)

    def _log_of(self, gateways: slice, replication: int) -> EventLog:
        self._check(replication)
        run = RolloutContext.of(self.fleet, self.plan, self.seed, range(replication, replication + 1)).part(gateways)
        opens = None if self.plan.is_automatic else self.gateways.created[replication : replication + 1, gateways]
        with open_runner() as workers:
            return join(workers.events(run, replication, opens, int(self.stopped[replication])))

    def tobytes(self) -> bytes:
        """All histories and verdicts: equal results give equal bytes."""
        waves = [getattr(wave, f.name) for wave in self.waves for f in fields(wave)]
        return b"".join(column.tobytes() for column in (*self.gateways.columns(), self.stopped, *waves))

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

    def summary(self, ci: float = 0.95, *, replication: int | None = None) -> Summary:
        """The figures of the rollout with their intervals at level ``ci``; of one replication, as if it were alone."""
        check_level(ci)
        rows = slice(None) if replication is None else slice(self._check(replication), replication + 1)
        return summarise(self.gateways.rows(rows), self.stopped[rows], self.plan.update.size_bytes, ci)

    def _check(self, replication: int) -> int:
        is_whole = isinstance(replication, int | np.integer) and not isinstance(replication, bool)
        if not is_whole or not 0 <= replication < self.replications:
            raise FleetError("replication", replication, f"there are replications 0 to {self.replications - 1}")
        return replication

    def explain(self, gateway: int, replication: int = 0) -> str:
        """The history of one gateway in words: what happened when, and what was behind it."""
        place = np.flatnonzero(self.fleet.number == gateway)
        if not len(place):
            raise FleetError("gateway", gateway, f"there is no gateway with number {gateway} in this fleet")
        here = int(place[0])
        log = self._log_of(slice(here, here + 1), replication)
        lines = [f"Gateway {gateway}, {self._describe(here)}"]
        for time, _, attempt, source, target, cause, fault in log.rows():
            step = "PENDING" if source is None else f"{source} -> {target or 'no task'}" if source != target else source
            send = f", send {attempt}" if attempt else ""
            behind = f" (behind it: {fault})" if fault else ""
            lines.append(f"{format_elapsed(time)}  {step}{send}: {cause}{behind}")
        if not len(log):
            lines.append("It never had a task: " + self._without_task(here))
        return "\n".join(lines)

    def _without_task(self, place: int) -> str:
        fleet, wanted = self.fleet, self.plan.update.current_version
        if fleet.gone[place]:
            return "it is gone, and never polls."
        if wanted is not None and self.plan.is_automatic and fleet.version[place] != fleet.index("version", wanted):
            return f"the update is for {wanted!r}."
        return "the rollout stopped, or the horizon came, before its turn."

    def _describe(self, place: int) -> str:
        fleet = self.fleet
        said = {name: fleet.names[name][int(getattr(fleet, name)[place])] for name in ("backhaul", "region", "isp")}
        return ", ".join(f"{name} {value}" for name, value in said.items()) + (
            f", polls every {fleet.period_ms[place] / 3.6e6:g} h, first at {format_elapsed(int(fleet.phase_ms[place]))}"
        )

    def to_dataframe(self, replication: int = 0) -> pd.DataFrame:
        """The log as a pandas DataFrame, words as categories. Raises FleetError where pandas is not installed."""
        try:
            import pandas as pd  # noqa: PLC0415
        except ImportError as error:
            raise FleetError("pandas", None, "to_frame needs pandas: pip install 'lorafw[lab]'") from error

        log = self.events if replication == 0 else self.log(replication)

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


def format_elapsed(time_ms: int) -> str:
    """A time since the start as "2 d 03:04:05"."""
    days, rest = divmod(time_ms // 1000, 86400)
    return f"{days} d {rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
