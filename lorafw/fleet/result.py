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
from lorafw.fleet.arrays import Integers
from lorafw.fleet.fleet import Fleet
from lorafw.fleet.gateway_history import describe_history
from lorafw.fleet.log_tables import count_statuses, to_dataframe
from lorafw.fleet.plan import Plan
from lorafw.fleet.simulation.batches import RolloutContext
from lorafw.fleet.simulation.event_log import EventLog, concatenate_logs
from lorafw.fleet.simulation.histories import Histories
from lorafw.fleet.simulation.runners import open_local_runner
from lorafw.fleet.statistics.estimates import summarise
from lorafw.fleet.statistics.summary import Summary

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, eq=False)
class WaveRecord:
    """The course of one wave. Each array has one element for each replication. Times are in ms since the start."""

    started_ms: Integers
    """The time at which the wave started."""
    decided_ms: Integers
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
    """The result of a simulated rollout. It can be simulated several times: each time is a replication.

    Times are in ms since the start of the rollout. The time of an event that did not happen is NEVER.
    """

    fleet: Fleet
    """The gateways and their conditions."""
    plan: Plan
    """The update, its waves and gates."""
    seed: int
    """The seed of the random numbers."""
    replications: int
    """The number of independent rollouts."""
    histories: Histories
    """One row for each replication, one column for each gateway."""
    stopped_ms: Integers
    """The time at which each replication was aborted. NEVER if it was not aborted."""
    waves: tuple[WaveRecord, ...]
    """The waves in their order. Empty if the gateways' requests create the tasks."""
    version: str = field(default_factory=lambda: version("lorafw"))
    """The version of lorafw that computed the result."""

    def __repr__(self) -> str:
        times = f", {self.replications} replications" if self.replications > 1 else ""
        return f"<Result of {self.plan.name!r}: {self.fleet.size} gateways, seed {self.seed}{times}>"

    def summary(self, ci: float = 0.95, *, replication: int | None = None) -> Summary:
        """Summarise the rollout with confidence intervals.

        Args:
            ci: The confidence level of the intervals.
            replication: Summarise only this one of the simulated rollouts, counted from 0. None summarises all.

        Returns:
            The estimates, each with its confidence interval.

        Raises:
            FleetError: There is no such replication, or ``ci`` is not between 0 and 1.
        """
        check_level(ci)
        rows = slice(None)  # a row is a replication
        if replication is not None:
            self._check_replication(replication)
            rows = slice(replication, replication + 1)
        return summarise(self.histories.replications(rows), self.stopped_ms[rows], self.plan.update.size_bytes, ci)

    def counts(self, times_s: npt.ArrayLike, replication: int = 0) -> dict[str, Integers]:
        """Return how many gateways have each status at certain times.

        Args:
            times_s: Times since the start of the rollout, in seconds: a list or an array.
            replication: Which of the simulated rollouts, counted from 0.

        Returns:
            For each status an array with one count for each time. The key "none" counts gateways without a task.

        Raises:
            FleetError: There is no such replication.
        """
        times_ms = np.asarray(times_s, dtype=np.float64) * 1000
        return count_statuses(self.log(replication), self.fleet.size, times_ms)

    def explain(self, gateway: int, replication: int = 0) -> str:
        """Return what happened to one gateway as text: a line for each change of its task, with its time and cause.

        Args:
            gateway: The number of the gateway in the fleet.
            replication: Which of the simulated rollouts, counted from 0.

        Returns:
            The text. Only this gateway is simulated again, because gateways do not influence each other.

        Raises:
            FleetError: There is no such gateway or replication.
        """
        matches = np.flatnonzero(self.fleet.number == gateway)
        if not len(matches):
            raise FleetError("gateway", gateway, f"there is no gateway with number {gateway} in this fleet")
        index = int(matches[0])
        log = self._simulate_log(slice(index, index + 1), replication)
        return describe_history(self.fleet, self.plan, index, log)

    @cached_property
    def events(self) -> EventLog:
        """The log of the first replication, in gateway and time order. It is simulated when it is first needed."""
        return self._simulate_log(slice(0, self.fleet.size), 0)

    def log(self, replication: int = 0) -> EventLog:
        """Return the log of one replication, sorted by gateway and then by time.

        The replication is simulated again. The log of the first one is kept afterwards.

        Args:
            replication: Which of the simulated rollouts, counted from 0.

        Raises:
            FleetError: There is no such replication.
        """
        self._check_replication(replication)
        if replication == 0:
            return self.events
        return self._simulate_log(slice(0, self.fleet.size), replication)

    def to_dataframe(self, replication: int = 0) -> pd.DataFrame:
        """Return the log of one replication as a pandas DataFrame, with categories for statuses, causes and faults.

        Args:
            replication: Which of the simulated rollouts, counted from 0.

        Raises:
            FleetError: pandas is not installed, or there is no such replication.
        """
        return to_dataframe(self.log(replication))

    def tobytes(self) -> bytes:
        """Return all histories and gate decisions as bytes. Equal results give equal bytes."""
        arrays: list[npt.NDArray[Any]] = [*self.histories.owned_arrays(), self.stopped_ms]
        for wave in self.waves:
            arrays += [wave.started_ms, wave.decided_ms, wave.decision]
        return b"".join(array.tobytes() for array in arrays)

    def assumptions(self) -> list[tuple[str, str, str]]:
        """Return everything that this result assumes, as tuples of quantity, value and source."""
        from lorafw.fleet.defaults import assumptions  # noqa: PLC0415

        return assumptions(self.fleet, self.plan)

    def _simulate_log(self, gateways: slice, replication: int) -> EventLog:
        """Simulate some gateways of one replication again and return their log.

        Args:
            gateways: Positions in the fleet.
            replication: Which of the simulated rollouts, counted from 0.
        """
        self._check_replication(replication)
        replications = range(replication, replication + 1)
        # 1. Take the inputs of the same gateways, and the times at which their tasks were created.
        context = RolloutContext.from_plan(self.fleet, self.plan, self.seed, replications).select(gateways)
        created_ms = None  # each gateway's first request creates its task
        if not self.plan.is_automatic:
            created_ms = self.histories.created_ms[replication : replication + 1, gateways]
        # 2. Simulate them, up to the time at which the rollout was stopped.
        stopped_ms = int(self.stopped_ms[replication])
        with open_local_runner() as runner:
            parts = runner.log_batches(context, replication, created_ms, stopped_ms)
        return concatenate_logs(parts)

    def _check_replication(self, replication: int) -> None:
        """Raise FleetError if there is no replication with this number."""
        is_integer = isinstance(replication, int | np.integer) and not isinstance(replication, bool)
        if not is_integer or not 0 <= replication < self.replications:
            raise FleetError("replication", replication, f"there are replications 0 to {self.replications - 1}")
