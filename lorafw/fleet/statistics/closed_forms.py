"""Exact results for a rollout, without a simulation. The tests compare the simulator with them.

* A task is an absorbing Markov chain with the transition matrices Q and R (Kemeny and Snell, Finite Markov Chains,
  1960). The fundamental matrix N = (I - Q)^-1 has the mean numbers of visits, B = N R the probabilities of each end,
  and t = N 1 the mean numbers of steps. The matrices are computed from the transition table of the service.
* The probability that the last of n independent gateways has ended by time t is F(t)^n.
* An abort criterion that is checked whenever a task ends is a random walk with a boundary. Its distribution is computed
  step by step, without approximation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from lorafw.errors import FleetError
from lorafw.fleet._validation import check_number, check_share
from lorafw.fleet.arrays import Floats
from lorafw.fleet.plan import Abort
from lorafw.tasks.lifecycle import ATTEMPT_BY_STATUS, INITIAL, TERMINAL, TRANSITIONS, TaskEvent, TaskStatus

DAY_S: Final = 86_400.0
TRANSIENT: Final = tuple(status for status in TaskStatus if status not in TERMINAL)
ABSORBING: Final = tuple(status for status in TaskStatus if status in TERMINAL)
MAX_SENDS: Final = max(ATTEMPT_BY_STATUS.values())
"""The largest number of times that the update is sent to a gateway."""

_NEGLIGIBLE: Final = 1e-18
"""Longer series of missed polls than those with this probability are left out."""


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """An absorbing Markov chain over the statuses of a task."""

    q: Floats
    """Transition probabilities among the TRANSIENT statuses."""
    r: Floats
    """Transition probabilities from the TRANSIENT to the ABSORBING statuses."""

    @property
    def fundamental_matrix(self) -> Floats:
        """The fundamental matrix N: the mean number of visits to each transient status (column) from each (row)."""
        return np.asarray(np.linalg.inv(np.eye(len(self.q)) - self.q), dtype=np.float64)

    @property
    def absorption_probabilities(self) -> Floats:
        """The matrix B: the probability of each terminal status (column) from each transient status (row)."""
        result: Floats = self.fundamental_matrix @ self.r
        return result

    @property
    def expected_steps(self) -> Floats:
        """The vector t: the mean number of steps from each transient status to the end."""
        result: Floats = self.fundamental_matrix.sum(axis=1)
        return result

    def absorption_probability(self, status: TaskStatus) -> float:
        """Return the probability that a new task ends with this status."""
        return float(self.absorption_probabilities[TRANSIENT.index(INITIAL), ABSORBING.index(status)])

    @property
    def mean_sends(self) -> float:
        """The mean number of times that the update is sent to a gateway."""
        visits = self._visits_of_new_task()
        statuses = [status for status, attempt in ATTEMPT_BY_STATUS.items() if attempt]
        return float(sum(visits[TRANSIENT.index(status)] for status in statuses))

    def _visits_of_new_task(self) -> Floats:
        """Return the mean number of visits of a new task to each transient status."""
        row: Floats = self.fundamental_matrix[TRANSIENT.index(INITIAL)]
        return row

    def end_distribution(self) -> Floats:
        """Return the distribution of the end of a task, an array of MAX_SENDS + 1 probabilities.

        Element k - 1 is the probability that the task completes after the k-th send. The last element is the
        probability that the task fails, at the request after the last send.
        """
        visits = self._visits_of_new_task()
        completes = self.r[:, ABSORBING.index(TaskStatus.COMPLETED)]
        probabilities = np.zeros(MAX_SENDS + 1)
        for status, attempt in ATTEMPT_BY_STATUS.items():
            if attempt:
                row = TRANSIENT.index(status)
                probabilities[attempt - 1] += visits[row] * completes[row]
        probabilities[MAX_SENDS] = self.absorption_probability(TaskStatus.FAILED)
        return probabilities


def task_chain(succeeds: float | Sequence[float]) -> Chain:
    """Return the Markov chain of a task whose gateway always polls again.

    Args:
        succeeds: The probability that a send succeeds: one number for all sends, or one for each send.

    Raises:
        FleetError: A probability is out of range, or there is not one for each send.
    """
    success_probabilities = _check_success_probabilities(succeeds)
    q = np.zeros((len(TRANSIENT), len(TRANSIENT)))
    r = np.zeros((len(TRANSIENT), len(ABSORBING)))
    for (source, event), target in TRANSITIONS.items():
        row = TRANSIENT.index(source)
        probability = _event_probability(event, ATTEMPT_BY_STATUS[source], success_probabilities)
        if target in TERMINAL:
            r[row, ABSORBING.index(target)] += probability
        else:
            q[row, TRANSIENT.index(target)] += probability
    return Chain(q, r)


def _check_success_probabilities(succeeds: float | Sequence[float]) -> list[float]:
    """Return the success probability of each send. Raises FleetError if the argument is not valid."""
    probabilities = [succeeds] * MAX_SENDS if isinstance(succeeds, int | float) else list(succeeds)
    if len(probabilities) != MAX_SENDS:
        problem = f"succeeds has {len(probabilities)} probabilities for {MAX_SENDS} sends: give one each"
        raise FleetError("succeeds", probabilities, problem)
    for send, probability in enumerate(probabilities, 1):
        check_share(f"succeeds, send {send}", probability)
    return probabilities


def _event_probability(event: TaskEvent, attempt: int, success_probabilities: Sequence[float]) -> float:
    """Return the probability that an event follows the send with number ``attempt``."""
    match event:
        case TaskEvent.OFFER:
            return 1.0
        case TaskEvent.TAKES_EFFECT:
            return success_probabilities[attempt - 1]
        case TaskEvent.ATTEMPT_FAILED:
            return 1.0 - success_probabilities[attempt - 1]
        case TaskEvent.SILENCE:
            return 0.0


@dataclass(frozen=True, slots=True, eq=False)
class EndTime:
    """The distribution of the time at which a task ends.

    F(t) is the probability that a task has ended by the time t. Within a period between two polls a task ends at any
    time with equal probability, so F is a straight line there. This is exact if the first poll is uniform over the
    period, and if downloads and installs take no time.
    """

    periods: Floats
    """The probability that a task ends in the first period, in the second one, and so on."""
    period_s: float = DAY_S
    """The time between two polls."""

    def cdf(self, time_s: Floats | float) -> Floats | float:
        """Return F(t) for a time t in seconds, or for each time of an array."""
        times_s, probabilities = self._cdf_points()
        return np.interp(time_s, times_s, probabilities)

    def max_cdf(self, time_s: Floats | float, gateways: int) -> Floats | float:
        """Return the probability that the tasks of all gateways have ended.

        Args:
            time_s: A time t in seconds, or an array of times.
            gateways: The number n of gateways. They are independent of each other, so the result is F(t)^n.
        """
        return self.cdf(time_s) ** gateways

    def max_quantile(self, probability: float, gateways: int) -> float:
        """Return the time, in seconds, by which the tasks of all gateways have ended with a given probability.

        Args:
            probability: The probability.
            gateways: The number n of gateways.

        Raises:
            FleetError: An argument is out of range.
        """
        check_share("probability", probability)
        check_number("gateways", gateways, positive=True)
        # The probability is F(t)^n for the time t that is wanted. So F(t) is its n-th root.
        probability_of_one = probability ** (1 / gateways)
        # F is linear between its points. Exchanging the coordinates of the points gives its inverse function.
        times_s, probabilities = self._cdf_points()
        return float(np.interp(probability_of_one, probabilities, times_s))

    def _cdf_points(self) -> tuple[Floats, Floats]:
        """Return the ends of the periods in seconds, and F at each of them. F is linear between these points."""
        probabilities = np.zeros(len(self.periods) + 1)
        probabilities[1:] = self.periods.cumsum()
        times_s = self.period_s * np.arange(len(probabilities), dtype=np.float64)
        return times_s, probabilities


def end_time(chain: Chain, *, missed_poll: float = 0.0, period_s: float = DAY_S) -> EndTime:
    """Return the distribution of the time at which a task ends.

    The k-th send is made at the k-th poll that is not missed. A task fails at the poll after the last send.

    Args:
        chain: The chain of the task.
        missed_poll: The probability that a poll is missed. The next poll is a period later.
        period_s: The time between two polls.

    Raises:
        FleetError: An argument is out of range.
    """
    check_share("missed_poll", missed_poll, below_one=True)
    max_missed = 1
    if missed_poll:
        max_missed = int(np.log(_NEGLIGIBLE) / np.log(missed_poll)) + 1
    wait_distribution = (1 - missed_poll) * missed_poll ** np.arange(max_missed)
    end_distribution = chain.end_distribution()
    periods = np.zeros(len(end_distribution) * max_missed)
    # missed[k] is the probability that k polls were missed until the next send or the end of the task.
    missed = np.ones(1)
    for poll, probability in enumerate(end_distribution):
        missed = np.convolve(missed, wait_distribution)
        periods[poll : poll + len(missed)] += probability * missed
    return EndTime(periods, check_number("period_s", period_s, positive=True))


def abort_time_pmf(abort: Abort, gateways: int, failure_rate: float, *, strictly: bool = False) -> Floats:
    """Return the probabilities that an abort criterion is first met when the 1st, 2nd, ... gateway ends.

    Their sum is less than 1. The remainder is the probability that the criterion is never met.

    Args:
        abort: The criterion.
        gateways: The number of gateways.
        failure_rate: The probability that a gateway ends FAILED, independently of the others.
        strictly: If True, a failure share equal to the threshold does not meet the criterion.

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
        # The criterion is met from a certain number of failures on, so the smaller numbers remain.
        not_met = not_met[~met]
    return pmf


def abort_probability(abort: Abort, gateways: int, failure_rate: float, *, strictly: bool = False) -> float:
    """Return the probability that an abort criterion stops a rollout.

    Args:
        abort: The criterion.
        gateways: The number of gateways.
        failure_rate: The probability that a gateway ends FAILED, independently of the others.
        strictly: If True, a failure share equal to the threshold does not meet the criterion.

    Raises:
        FleetError: An argument is out of range.
    """
    return float(abort_time_pmf(abort, gateways, failure_rate, strictly=strictly).sum())
