"""Exact results for a rollout, without simulating it. They prove the simulator, and they are available at once.

* A task is an absorbing Markov chain. N = (I - Q)^-1 counts visits, B = N R gives the probability of each end, and
  t = N 1 the number of steps (Kemeny and Snell, Finite Markov Chains, 1960). Q and R are filled from TRANSITIONS only.
* The last of n independent gateways has ended by time t with probability F(t)^n.
* An abort criterion that is checked at every task that ends is a random walk to a boundary. It is walked exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lorafw.errors import FleetError
from lorafw.fleet._validation import check_number, check_share
from lorafw.fleet.plan import Abort
from lorafw.tasks.lifecycle import ATTEMPT_BY_STATUS, INITIAL, TERMINAL, TRANSITIONS, TaskEvent, TaskStatus

F64 = npt.NDArray[np.float64]

DAY_S: Final = 86_400.0
TRANSIENT: Final = tuple(status for status in TaskStatus if status not in TERMINAL)
ABSORBING: Final = tuple(status for status in TaskStatus if status in TERMINAL)
SENDS: Final = max(ATTEMPT_BY_STATUS.values())
"""The largest number of times that the update is sent to a gateway."""

_NEGLIGIBLE: Final = 1e-18


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """An absorbing Markov chain over the statuses of a task."""

    q: F64
    """Transition probabilities among the TRANSIENT statuses."""
    r: F64
    """Transition probabilities from the TRANSIENT to the ABSORBING statuses."""

    @property
    def visits(self) -> F64:
        """The fundamental matrix N: the mean number of visits to each transient status (column) from each (row)."""
        return np.asarray(np.linalg.inv(np.eye(len(self.q)) - self.q), dtype=np.float64)

    @property
    def absorption_probabilities(self) -> F64:
        """The matrix B: the probability of each terminal status (column) from each transient status (row)."""
        result: F64 = self.visits @ self.r
        return result

    @property
    def steps(self) -> F64:
        """The vector t: the mean number of steps from each transient status to the end."""
        result: F64 = self.visits.sum(axis=1)
        return result

    def absorption_probability(self, status: TaskStatus) -> float:
        """Return the probability that a new task ends with this status."""
        return float(self.absorption_probabilities[TRANSIENT.index(INITIAL), ABSORBING.index(status)])

    @property
    def mean_sends(self) -> float:
        """The mean number of times that the update is sent to a gateway."""
        visits = self.visits[TRANSIENT.index(INITIAL)]
        return float(sum(visits[TRANSIENT.index(status)] for status, attempt in ATTEMPT_BY_STATUS.items() if attempt))

    def end_distribution(self) -> F64:
        """Return the distribution of the end of a task, an array of SENDS + 1 probabilities.

        Element k - 1 is the probability that the task completes after the k-th send. The last element is the
        probability that it fails, which the request after the last send shows.
        """
        visits = self.visits[TRANSIENT.index(INITIAL)]
        completes = self.r[:, ABSORBING.index(TaskStatus.COMPLETED)]
        probabilities = np.zeros(SENDS + 1)
        for status, attempt in ATTEMPT_BY_STATUS.items():
            if attempt:
                row = TRANSIENT.index(status)
                probabilities[attempt - 1] += visits[row] * completes[row]
        probabilities[SENDS] = self.absorption_probability(TaskStatus.FAILED)
        return probabilities


def task_chain(succeeds: float | Sequence[float]) -> Chain:
    """Return the Markov chain of a task.

    The gateway always polls again, so silence ends no task.

    Args:
        succeeds: The probability that a send succeeds: one for each send, or one for all.

    Raises:
        FleetError: A probability is out of range, or their number is not that of the sends.
    """
    given = [succeeds] * SENDS if isinstance(succeeds, int | float) else list(succeeds)
    if len(given) != SENDS:
        raise FleetError("succeeds", given, f"succeeds has {len(given)} probabilities for {SENDS} sends: give one each")
    for send, probability in enumerate(given, 1):
        check_share(f"succeeds, send {send}", probability)
    q, r = np.zeros((len(TRANSIENT),) * 2), np.zeros((len(TRANSIENT), len(ABSORBING)))
    for (source, event), target in TRANSITIONS.items():
        row, probability = TRANSIENT.index(source), _probability(event, ATTEMPT_BY_STATUS[source], given)
        if target in TERMINAL:
            r[row, ABSORBING.index(target)] += probability
        else:
            q[row, TRANSIENT.index(target)] += probability
    return Chain(q, r)


def _probability(event: TaskEvent, attempt: int, succeeds: Sequence[float]) -> float:
    """Return the probability of an event after a send, given the probabilities that the sends succeed."""
    match event:
        case TaskEvent.OFFER:
            return 1.0
        case TaskEvent.TAKES_EFFECT:
            return succeeds[attempt - 1]
        case TaskEvent.ATTEMPT_FAILED:
            return 1.0 - succeeds[attempt - 1]
        case TaskEvent.SILENCE:
            return 0.0


@dataclass(frozen=True, slots=True, eq=False)
class EndTime:
    """The distribution of the time at which a task ends. The time is uniform within a period.

    It is exact if the first poll is uniform over the period, success shows at once, and nothing between two polls takes
    time.
    """

    periods: F64
    """Element k is the probability that the task ends in period k, counted from 0."""
    period_s: float = DAY_S

    def cdf(self, time_s: Any) -> Any:
        """Return F(t), the probability that the task has ended by a time."""
        return np.interp(time_s, *self._line())

    def max_cdf(self, time_s: Any, gateways: int) -> Any:
        """Return F(t)^n, the probability that the last of n tasks has ended by a time."""
        return self.cdf(time_s) ** gateways

    def max_quantile(self, share: float, gateways: int) -> float:
        """Return the time by which all of n tasks have ended with probability ``share``, in s."""
        check_share("share", share)
        times_s, reached = self._line()
        share_of_one = share ** (1 / check_number("gateways", gateways, positive=True))
        return float(np.interp(share_of_one, reached, times_s))

    def _line(self) -> tuple[F64, F64]:
        """Return the corners of the piecewise linear F: times in s, and probabilities."""
        reached = np.zeros(len(self.periods) + 1)
        reached[1:] = self.periods.cumsum()
        return self.period_s * np.arange(len(reached), dtype=np.float64), reached


def end_time(chain: Chain, *, missed_poll: float = 0.0, period_s: float = DAY_S) -> EndTime:
    """Return the distribution of the time at which a task ends.

    The k-th send is made at the k-th poll that is not missed. FAILED shows at the poll after the last send.

    Args:
        chain: The chain of the task.
        missed_poll: The probability that a poll is missed. The next one comes a period later.
        period_s: The time between two polls.

    Raises:
        FleetError: An argument is out of range.
    """
    check_share("missed_poll", missed_poll, below_one=True)
    max_missed = 1
    if missed_poll:
        max_missed = int(np.log(_NEGLIGIBLE) / np.log(missed_poll)) + 1
    wait_distribution = (1 - missed_poll) * missed_poll ** np.arange(max_missed)
    ends = chain.end_distribution()
    periods, waited = np.zeros(len(ends) * max_missed), np.ones(1)
    for poll, probability in enumerate(ends):
        waited = np.convolve(waited, wait_distribution)
        periods[poll : poll + len(waited)] += probability * waited
    return EndTime(periods, check_number("period_s", period_s, positive=True))


def abort_time_pmf(abort: Abort, gateways: int, failure_rate: float, *, strictly: bool = False) -> F64:
    """Return the probabilities that an abort criterion is first met when the 1st, 2nd, ... gateway ends.

    They add up to less than 1: the rest is the probability that the criterion is never met.

    Args:
        abort: The criterion.
        gateways: Number of gateways.
        failure_rate: The probability that a gateway ends FAILED, independently of the others.
        strictly: If True, the criterion is met above the threshold only, not at it.

    Raises:
        FleetError: An argument is out of range.
    """
    check_share("failure_rate", failure_rate)
    check_number("gateways", gateways, positive=True)
    pmf = np.zeros(gateways)
    # not_met[f] is the probability that f gateways have failed so far and the criterion was never met.
    not_met = np.ones(1)
    for executed in range(1, gateways + 1):
        not_met = np.convolve(not_met, (1 - failure_rate, failure_rate))
        failed = np.arange(len(not_met))
        met = abort.is_met(failed, executed)
        if strictly:
            met &= failed / executed > abort.threshold
        pmf[executed - 1] = not_met[met].sum()
        # The criterion is met from some number of failures on. The walk goes on below it.
        not_met = not_met[~met]
    return pmf


def abort_probability(abort: Abort, gateways: int, failure_rate: float, *, strictly: bool = False) -> float:
    """Return the probability that the criterion stops a rollout. The arguments are those of ``abort_time_pmf``."""
    return float(abort_time_pmf(abort, gateways, failure_rate, strictly=strictly).sum())
