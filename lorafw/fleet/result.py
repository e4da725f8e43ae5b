"""The result of a simulated rollout: histories, log, summary, and the history of a single gateway.

A result carries everything that it was computed from: fleet, plan, seed, version and assumptions.
``lorafw.fleet.replay(result)`` computes it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
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
from lorafw.fleet.simulation.event_log import EventLog, concatenate_logs
from lorafw.fleet.simulation.histories import Histories
from lorafw.fleet.simulation.inputs import I64
from lorafw.fleet.simulation.runners import RolloutContext, open_runner
from lorafw.fleet.statistics.estimates import summarise
from lorafw.fleet.statistics.summary import Summary
from lorafw.tasks.lifecycle import TaskStatus

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, eq=False)
class WaveRecord:
    """The course of one wave. Each array has one element for each replication. Times are in ms since the start."""

    started_ms: I64
    """The time at which the wave started."""
    decided_ms: I64
    """The time from which the next wave may start, or NEVER if it may not start."""
    decision: npt.NDArray[np.int8]
    """The decision of the gate, as the number of a GateDecision."""

    @classmethod
    def stack(cls, records: Sequence[WaveRecord]) -> WaveRecord:
        """Return one record for all replications, from the records of the same wave in groups of replications."""
        return cls(
            started_ms=np.concatenate([record.started_ms for record in records]),
            decided_ms=np.concatenate([record.decided_ms for record in records]),
            decision=np.concatenate([record.decision for record in records]),
        )


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """The result of one or more replications of a simulated rollout.

    Times are in ms since the start of the rollout. The time of an event that did not happen is NEVER.
    """

    fleet: Fleet
    plan: Plan
    seed: int
    replications: int
    histories: Histories
    """One row for each replication, one column for each gateway."""
    stopped_ms: I64
    """The time at which each replication was aborted."""
    waves: tuple[WaveRecord, ...]
    """The waves in their order. Empty if the gateways' requests create the tasks."""
    version: str = field(default_factory=lambda: version("lorafw"))

    def __repr__(self) -> str:
        times = f", {self.replications} replications" if self.replications > 1 else ""
        return f"<Result of {self.plan.name!r}: {self.fleet.size} gateways, seed {self.seed}{times}>"

    @cached_property
    def events(self) -> EventLog:
        """The log of the first replication, in gateway and time order."""
        return self.log(0)

    def log(self, replication: int = 0) -> EventLog:
        """Simulate one replication again and return its log.

        Args:
            replication: The number of the replication.

        Returns:
            The log, sorted by gateway and then by time.

        Raises:
            FleetError: There is no such replication.
        """
        return self._simulate_log(slice(0, self.fleet.size), replication)

    def _simulate_log(self, gateways: slice, replication: int) -> EventLog:
        """Simulate some gateways of one replication again and return their log."""
        self._require_replication(replication)
        replications = range(replication, replication + 1)
        context = RolloutContext.from_plan(self.fleet, self.plan, self.seed, replications).select(gateways)
        created_ms = None
        if not self.plan.is_automatic:
            created_ms = self.histories.created_ms[replication : replication + 1, gateways]
        stopped_ms = int(self.stopped_ms[replication])
        with open_runner() as runner:
            return concatenate_logs(runner.log_batches(context, replication, created_ms, stopped_ms))

    def _log_of_replication(self, replication: int) -> EventLog:
        """Return the log of a replication. The log of the first one is simulated only once."""
        if replication == 0:
            return self.events
        return self.log(replication)

    def tobytes(self) -> bytes:
        """Return all histories and gate decisions as bytes. Equal results give equal bytes."""
        arrays: list[npt.NDArray[Any]] = [*self.histories.owned_arrays(), self.stopped_ms]
        for wave in self.waves:
            arrays += (wave.started_ms, wave.decided_ms, wave.decision)
        return b"".join(array.tobytes() for array in arrays)

    def counts(self, times_s: Any, replication: int = 0) -> dict[str, npt.NDArray[np.int64]]:
        """Return how many gateways have each status at certain times.

        Args:
            times_s: Times since the start of the rollout, in seconds.
            replication: The number of the replication.

        Returns:
            For each status an array with one count for each time. The key "none" counts gateways without a task.
        """
        log = self._log_of_replication(replication)
        times_ms = np.asarray(times_s, dtype=np.float64) * 1000
        is_transition = log.from_status != log.to_status
        counts = {}
        for code, name in enumerate([*map(str, STATUSES), "none"]):
            entered_ms = np.sort(log.time[is_transition & (log.to_status == code)])
            left_ms = np.sort(log.time[is_transition & (log.from_status == code)])
            initial = self.fleet.size if code == NO_TASK else 0
            entered = np.searchsorted(entered_ms, times_ms, "right")
            left = np.searchsorted(left_ms, times_ms, "right")
            counts[name] = initial + entered - left
        return counts

    def summary(self, ci: float = 0.95, *, replication: int | None = None) -> Summary:
        """Summarise the rollout with confidence intervals.

        Args:
            ci: The confidence level of the intervals.
            replication: Summarise this replication as if it were the only one. None summarises all.

        Returns:
            The estimates, each with its confidence interval.

        Raises:
            FleetError: There is no such replication, or ``ci`` is not between 0 and 1.
        """
        check_level(ci)
        rows = slice(None)
        if replication is not None:
            self._require_replication(replication)
            rows = slice(replication, replication + 1)
        return summarise(self.histories.replications(rows), self.stopped_ms[rows], self.plan.update.size_bytes, ci)

    def _require_replication(self, replication: int) -> None:
        """Raise FleetError if there is no replication with this number."""
        is_integer = isinstance(replication, int | np.integer) and not isinstance(replication, bool)
        if not is_integer or not 0 <= replication < self.replications:
            raise FleetError("replication", replication, f"there are replications 0 to {self.replications - 1}")

    def explain(self, gateway: int, replication: int = 0) -> str:
        """Return the history of one gateway as text. Each line has a time, a transition, its cause and its fault.

        Args:
            gateway: The number of the gateway.
            replication: The number of the replication.

        Raises:
            FleetError: There is no such gateway or replication.
        """
        matches = np.flatnonzero(self.fleet.number == gateway)
        if not len(matches):
            raise FleetError("gateway", gateway, f"there is no gateway with number {gateway} in this fleet")
        index = int(matches[0])
        log = self._simulate_log(slice(index, index + 1), replication)
        lines = [f"Gateway {gateway}, {self._describe_gateway(index)}"]
        for time_ms, _, attempt, from_status, to_status, cause, fault in log.iter_rows():
            transition = _describe_transition(from_status, to_status)
            send = f", send {attempt}" if attempt else ""
            fault_note = f" (cause: {fault})" if fault else ""
            lines.append(f"{format_elapsed(time_ms)}  {transition}{send}: {cause}{fault_note}")
        if len(log) == 0:
            lines.append(f"It never had a task: {self._reason_without_task(index)}")
        return "\n".join(lines)

    def _reason_without_task(self, index: int) -> str:
        """Return why a gateway never had a task, as a clause."""
        fleet = self.fleet
        if fleet.gone[index]:
            return "it is gone, and never polls."
        update_version = self.plan.update.current_version
        if update_version is not None and self.plan.is_automatic:
            update_version_code = fleet.code_of("version", update_version)
            if fleet.version[index] != update_version_code:
                return f"the update is for {update_version!r}."
        return "the rollout stopped, or the horizon came, before its turn."

    def _describe_gateway(self, index: int) -> str:
        """Return the backhaul, region, ISP and polls of a gateway as text."""
        fleet = self.fleet
        backhaul = fleet.names["backhaul"][int(fleet.backhaul[index])]
        region = fleet.names["region"][int(fleet.region[index])]
        isp = fleet.names["isp"][int(fleet.isp[index])]
        period_h = fleet.period_ms[index] / 3.6e6
        first_poll = format_elapsed(int(fleet.phase_ms[index]))
        groups = f"backhaul {backhaul}, region {region}, isp {isp}"
        return f"{groups}, polls every {period_h:g} h, first at {first_poll}"

    def to_dataframe(self, replication: int = 0) -> pd.DataFrame:
        """Return the log of one replication as a pandas DataFrame, with categories for statuses, causes and faults.

        Args:
            replication: The number of the replication.

        Raises:
            FleetError: pandas is not installed, or there is no such replication.
        """
        try:
            import pandas as pd  # noqa: PLC0415
        except ImportError as error:
            raise FleetError("pandas", None, "to_dataframe needs pandas: pip install 'lorafw[lab]'") from error

        log = self._log_of_replication(replication)

        def categorical(codes: Any, names: list[str]) -> Any:
            """Return codes as a pandas Categorical. A code without a name becomes a missing value."""
            has_name = codes < len(names)
            values = np.where(has_name, codes.astype(np.int16), -1)
            return pd.Categorical.from_codes(values, categories=names)

        statuses = [str(status) for status in STATUSES]
        return pd.DataFrame(
            {
                "time": log.time,
                "gateway": log.gateway,
                "attempt": log.attempt,
                "from_status": categorical(log.from_status, statuses),
                "to_status": categorical(log.to_status, statuses),
                "cause": categorical(log.cause, [str(cause) for cause in CAUSES]),
                "fault": categorical(log.fault, [fault.value for fault in FAULTS]),
            }
        )

    def assumptions(self) -> list[tuple[str, str, str]]:
        """Return everything that this result assumes, as tuples of quantity, value and source."""
        from lorafw.fleet.defaults import assumptions  # noqa: PLC0415

        return assumptions(self.fleet, self.plan)


def _describe_transition(from_status: TaskStatus | None, to_status: TaskStatus | None) -> str:
    """Return the statuses before and after a row of the log as text: one of them if the status stayed the same."""
    if from_status is None:
        return "PENDING"
    if from_status == to_status:
        return from_status
    return f"{from_status} -> {to_status or 'no task'}"


def format_elapsed(time_ms: int) -> str:
    """Return a time since the start as text, for example "2 d 03:04:05"."""
    days, rest = divmod(time_ms // 1000, 86400)
    return f"{days} d {rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
