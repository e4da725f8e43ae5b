"""What a rollout comes to, without simulating it: exact answers that prove the simulator, and answer at once.

* A task is an absorbing Markov chain: N = (I - Q)^-1 counts visits, B = N R says where it ends, t = N 1 how many steps
  it takes (Kemeny and Snell, Finite Markov Chains, 1960). Q and R are filled from TRANSITIONS and nowhere else.
* The last of n independent gateways has ended by t with probability F(t)^n.
* An abort criterion judged at every task that ends is a random walk to a boundary, walked exactly.
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
"""So many times the update is sent at most."""

_NEGLIGIBLE: Final = 1e-18


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """An absorbing Markov chain over the statuses of a task: ``q`` among TRANSIENT, ``r`` from them to ABSORBING."""

    q: F64
    r: F64

    @property
    def visits(self) -> F64:
        """N: how often, on average, each transient status (column) is passed through from each (row)."""
        return np.asarray(np.linalg.inv(np.eye(len(self.q)) - self.q), dtype=np.float64)

    @property
    def absorption_probabilities(self) -> F64:
        """B: with what probability each terminal status (column) is the end, from each transient one (row)."""
        result: F64 = self.visits @ self.r
        return result

    @property
    def steps(self) -> F64:
        """t: how many statuses, on average, are passed through from each transient one until the end."""
        result: F64 = self.visits.sum(axis=1)
        return result

    def absorption_probability(self, status: TaskStatus) -> float:
        """The probability that a new task ends so."""
        return float(self.absorption_probabilities[TRANSIENT.index(INITIAL), ABSORBING.index(status)])

    @property
    def mean_sends(self) -> float:
        """How often the update is sent to a gateway, on average."""
        visits = self.visits[TRANSIENT.index(INITIAL)]
        return float(sum(visits[TRANSIENT.index(status)] for status, attempt in ATTEMPT_BY_STATUS.items() if attempt))

    def end_distribution(self) -> F64:
        """P(the task ends at the 1st, 2nd, ... send), and last P(it FAILED, at the request after the last send)."""
        visits = self.visits[TRANSIENT.index(INITIAL)]
        completes = self.r[:, ABSORBING.index(TaskStatus.COMPLETED)]
        result = np.zeros(SENDS + 1)
        for status, attempt in ATTEMPT_BY_STATUS.items():
            if attempt:
                row = TRANSIENT.index(status)
                result[attempt - 1] += visits[row] * completes[row]
        result[SENDS] = self.absorption_probability(TaskStatus.FAILED)
        return result


def task_chain(succeeds: float | Sequence[float]) -> Chain:
    """The chain of a task whose k-th send succeeds with probability ``succeeds[k]``, or all with the same one.

    A gateway that always comes back: silence ends no task. Raises FleetError.
    """
    given = [succeeds] * SENDS if isinstance(succeeds, int | float) else list(succeeds)
    if len(given) != SENDS:
        raise FleetError("succeeds", given, f"succeeds has {len(given)} probabilities for {SENDS} sends: give one each")
    for send, probability in enumerate(given, 1):
        check_share(f"succeeds, send {send}", probability)
    q, r = np.zeros((len(TRANSIENT),) * 2), np.zeros((len(TRANSIENT), len(ABSORBING)))
    for (source, event), target in TRANSITIONS.items():
        matrix, column = (r, ABSORBING.index(target)) if target in TERMINAL else (q, TRANSIENT.index(target))
        matrix[TRANSIENT.index(source), column] += _probability(event, ATTEMPT_BY_STATUS[source], given)
    return Chain(q, r)


def _probability(event: TaskEvent, attempt: int, succeeds: Sequence[float]) -> float:
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
    """When a task ends, in s: uniform in one of the periods; ``periods[k]`` is P(it ends in the k-th, from 0).

    Holds where the first poll is uniform over the period, success shows at once, and what happens between polls takes
    no time.
    """

    periods: F64
    period_s: float = DAY_S

    def cdf(self, time_s: Any) -> Any:
        """F(t), the probability that the task has ended by then."""
        return np.interp(time_s, *self._line())

    def max_cdf(self, time_s: Any, gateways: int) -> Any:
        """F(t)^n, the probability that the last of so many gateways has."""
        return self.cdf(time_s) ** gateways

    def max_quantile(self, share: float, gateways: int) -> float:
        """The time by which all of so many gateways have ended with probability ``share``; 0.5: the median."""
        check_share("share", share)
        times, reached = self._line()
        return float(np.interp(share ** (1 / check_number("gateways", gateways, positive=True)), reached, times))

    def _line(self) -> tuple[F64, F64]:
        reached = np.zeros(len(self.periods) + 1)
        reached[1:] = self.periods.cumsum()
        return self.period_s * np.arange(len(reached), dtype=np.float64), reached


def end_time(chain: Chain, *, missed_poll: float = 0.0, period_s: float = DAY_S) -> EndTime:
    """When a task ends, if each poll is missed with probability ``missed_poll`` and comes a period later.

    The k-th send is at the k-th poll that is not missed; FAILED is judged at the one after the last.
    Raises FleetError.
    """
    check_share("missed_poll", missed_poll, below_one=True)
    longest = 1 if not missed_poll else int(np.log(_NEGLIGIBLE) / np.log(missed_poll)) + 1
    one_poll = (1 - missed_poll) * missed_poll ** np.arange(longest)
    ends = chain.end_distribution()
    periods, waited = np.zeros(len(ends) * longest), np.ones(1)
    for poll, probability in enumerate(ends):
        waited = np.convolve(waited, one_poll)
        periods[poll : poll + len(waited)] += probability * waited
    return EndTime(periods, check_number("period_s", period_s, positive=True))


def abort_time_pmf(abort: Abort, gateways: int, failure_rate: float, *, strictly: bool = False) -> F64:
    """P(the criterion is first met when the 1st, 2nd, ... of so many gateways ends); the rest to 1: never.

    Every gateway ends FAILED with probability ``failure_rate``, each independently, in any order. ``strictly``: above
    the threshold, and not at it. Exact. Raises FleetError.
    """
    check_share("failure_rate", failure_rate)
    check_number("gateways", gateways, positive=True)
    law = np.zeros(gateways)
    # under[f]: P(f have failed so far and the criterion was never met)
    under = np.ones(1)
    for executed in range(1, gateways + 1):
        under = np.convolve(under, (1 - failure_rate, failure_rate))
        failed = np.arange(len(under))
        met = abort.is_met(failed, executed)
        if strictly:
            met &= failed / executed > abort.threshold
        law[executed - 1] = under[met].sum()
        # The criterion is met from some number of failures on: those below it walk on.
        under = under[~met]
    return law


def abort_probability(abort: Abort, gateways: int, failure_rate: float, *, strictly: bool = False) -> float:
    """How often the criterion stops a rollout to so many gateways: see ``abort_time_pmf``."""
    return float(abort_time_pmf(abort, gateways, failure_rate, strictly=strictly).sum())
