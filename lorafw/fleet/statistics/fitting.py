"""Estimate the parameters of the next prediction from the task log of a rollout: ``fit``.

A task log identifies two of the parameters:

- ``fails``, the probability that a try fails. A try is one delivery of the update to a gateway, from the offer to the
  request that shows whether the new version runs. A task has up to three tries.
- ``gone``, the share of gateways that are never seen. Such a gateway has a task and never asks for the update.

It does not identify the others, and ``fit`` refuses them. A late poll and a missed poll look the same, and so do a slow
download and a slow installation: a log only has the times of the requests at which a status changed.

A log is censored: it ends while tries are under way. A success shows soon, but a failure shows only at the next poll.
Counting what has ended so far would therefore find too few failures. So only those tries and tasks are counted that
began long enough before the end of the log, and the results of the others are not used. The counts are then binomial.
Their interval is that of Clopper and Pearson, whose coverage is at least the level.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, pairwise
from typing import Any, Final

from scipy.special import betainc, betaincinv

from lorafw.errors import FleetError
from lorafw.fleet._validation import check_level, check_number, require_known_name
from lorafw.fleet.formatting import format_duration, format_percent
from lorafw.fleet.simulation.event_log import EventLog
from lorafw.fleet.statistics.summary import Estimate
from lorafw.tasks.lifecycle import ATTEMPT_BY_STATUS, Cause, TaskStatus

COLUMNS: Final = ("time", "gateway", "attempt", "from_status", "to_status", "cause")
"""The columns of a task log that are needed."""

IDENTIFIED: Final = ("fails", "gone")
"""The parameters that a task log identifies, by their names in TOML files."""

_NOT_IDENTIFIED: Final[Mapping[str, str]] = {
    "period_s": "a long poll period and a missed poll look the same: both are a request that comes late",
    "missed_poll": "a missed poll and a long poll period look the same: both are a request that comes late",
    "apply_s": "the log has the time of the request that showed the new version, not the time of the installation",
    "goodput": "the log does not have the time at which a download ended",
    "wrong_key": "a gateway that has not the key of the update presents the old version, as after any failed try",
}
"""Parameters that a task log does not identify, and the reasons."""

_GONE_AFTER_LONGEST_WAITS: Final = 1.5
"""A gateway counts as gone if it was not seen for this many times the longest time in which another one was seen."""

_LONGEST_SUCCESS_SHARE: Final = 0.5
"""A success shows within this share of a poll period, or else an earlier try of the gateway had failed."""

_NEGLIGIBLE_CHANCE: Final = 1e-3
"""If chance alone makes as many gateways fail all tries with less than this probability, they have another fault."""

_TRIES_PER_TASK: Final = 3
"""Number of tries of a task."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Parameters that were estimated from a task log, with their intervals."""

    level: float
    """The confidence level of the intervals."""
    fails: Estimate | None = None
    """The probability that a try fails (``fails`` of an Update). None if it was not asked for."""
    gone: Estimate | None = None
    """The share of gateways that are never seen (``gone`` of ``mixed_fleet``). None if it was not asked for."""
    tries: int = 0
    """Number of tries that were watched until they ended."""
    tasks: int = 0
    """Number of tasks that were watched for long enough to know whether their gateways are gone."""

    def __str__(self) -> str:
        lines = []
        if self.fails is not None:
            lines.append(f"fails: {self._describe(self.fails, f'{self.tries} tries')}")
        if self.gone is not None:
            lines.append(f"gone: {self._describe(self.gone, f'{self.tasks} tasks')}")
        return "\n".join(lines)

    def _describe(self, estimate: Estimate, basis: str) -> str:
        """Return an estimate as text, with what it was counted from and its interval."""
        level, interval = format_percent(self.level), estimate.format_interval(format_percent)
        return f"{estimate.format(format_percent)} of {basis}, {level} interval {interval}"


def fit(
    log: Any,
    *,
    parameters: Iterable[str] = IDENTIFIED,
    until_ms: float | None = None,
    poll_period_s: float | None = None,
    level: float = 0.95,
) -> Fit:
    """Estimate parameters of the next prediction from the task log of a rollout.

    A try is one delivery of the update to a gateway. A task has up to three tries. A gateway is gone if it has a task
    and never asks for the update.

    Args:
        log: The log: a data frame or a mapping with the columns in COLUMNS, the ``events`` of a simulated rollout, or
            rows such as those of a journal. Times are in milliseconds.
        parameters: What to estimate: "fails", the probability that a try fails, and "gone", the share of gateways that
            are gone.
        until_ms: When the log ends. None for the time of its last row.
        poll_period_s: The time between two polls, in seconds, for a log that can leave out rows, such as a journal. A
            task that is COMPLETED long after a try began then counts as a failed try and a successful one. None for a
            complete log, such as the ones of the simulator and of the update service.
        level: The confidence level of the intervals.

    Returns:
        The estimates.

    Raises:
        FleetError: The log is not a task log, a parameter cannot be estimated from it, or an argument is out of range.
            The message names the parameter and the reason.
    """
    check_level(level)
    names = tuple(parameters)
    for name in names:
        _check_is_identified(name)
    rows = _iter_rows(log)
    tasks = list(_read_tasks(rows, until_ms, _longest_success_ms(poll_period_s)))
    if not tasks:
        raise FleetError("log", 0, "the log has no row in which a task is created; give the log of a whole rollout")
    result = Fit(level)
    if "fails" in names:
        failure_probability, try_count = _estimate_failure_probability(tasks, level)
        result = replace(result, fails=failure_probability, tries=try_count)
    if "gone" in names:
        gone_share, task_count = _estimate_gone_share(tasks, level)
        result = replace(result, gone=gone_share, tasks=task_count)
    return result


def binomial_interval(hits: int, trials: int, level: float) -> Estimate:
    """Return a share with its confidence interval by Clopper and Pearson, which is exact: it is never too narrow.

    Args:
        hits: Number of successes.
        trials: Number of trials, at least 1.
        level: The confidence level.
    """
    return Estimate(hits / trials, _lower_bound(hits, trials, level), _upper_bound(hits, trials, level))


def _lower_bound(hits: int, trials: int, level: float) -> float:
    """Return the lower end of the interval of Clopper and Pearson."""
    if hits == 0:
        return 0.0
    return float(betaincinv(hits, trials - hits + 1, (1 - level) / 2))


def _upper_bound(hits: int, trials: int, level: float) -> float:
    """Return the upper end of the interval of Clopper and Pearson."""
    if hits == trials:
        return 1.0
    return float(betaincinv(hits + 1, trials - hits, (1 + level) / 2))


def _check_is_identified(name: str) -> None:
    """Refuse a parameter that a task log does not identify."""
    require_known_name("parameters", name, (*IDENTIFIED, *_NOT_IDENTIFIED))
    if name in _NOT_IDENTIFIED:
        known = " and ".join(IDENTIFIED)
        reason = f"a task log does not identify {name}: {_NOT_IDENTIFIED[name]}; it identifies {known}"
        raise FleetError(name, None, reason)


def _longest_success_ms(poll_period_s: float | None) -> float | None:
    """Return how long after its offer a success can show. None if each step is in the log."""
    if poll_period_s is None:
        return None
    return check_number("poll_period_s", poll_period_s, positive=True) * 1000 * _LONGEST_SUCCESS_SHARE


# --- reading a log ---


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of a task log."""

    time_ms: float
    gateway: str
    from_status: TaskStatus | None
    to_status: TaskStatus | None
    cause: str


def _iter_rows(log: Any) -> Iterator[_Row]:
    """Yield the rows of a log in any of its forms."""
    if isinstance(log, EventLog):
        rows: Iterable[Any] = log.iter_rows()
    elif hasattr(log, "columns") or isinstance(log, Mapping):
        missing = [name for name in COLUMNS if name not in log]
        if missing:
            raise FleetError("log", missing[0], f"the log has no column {missing[0]!r}; it needs {', '.join(COLUMNS)}")
        rows = zip(*(list(log[name]) for name in COLUMNS), strict=True)
    else:
        rows = log
    for time_ms, gateway, _, from_status, to_status, cause, *_rest in rows:
        yield _Row(float(time_ms), str(gateway), _to_status(from_status), _to_status(to_status), str(cause))


def _to_status(value: Any) -> TaskStatus | None:
    """Return a status. None stands for no task, and so does the missing value of a data frame."""
    if isinstance(value, TaskStatus):
        return value
    if value is None or value != value:  # noqa: PLR0124 -- NaN differs from itself
        return None
    return TaskStatus(require_known_name("status", str(value), tuple(TaskStatus)))


@dataclass(slots=True)
class _Task:
    """What the log tells about one task. Times are in milliseconds."""

    observed_ms: float
    """The time from its creation to its deletion, or to the end of the log."""
    is_automatic: bool
    """True if the request of the gateway created it."""
    waited_ms: float | None = None
    """The time until the gateway first asked for the update. None if it never did."""
    tries: list[_Try] = field(default_factory=list)
    """The tries that the log shows, in their order."""

    @property
    def has_failed_all_tries(self) -> bool:
        """Whether the gateway has used up its tries, and all of them failed."""
        return len(self.tries) == _TRIES_PER_TASK and all(one_try.has_failed for one_try in self.tries)


@dataclass(frozen=True, slots=True)
class _Try:
    """One try of a task."""

    observed_ms: float
    """The time from its beginning to the end of the log."""
    result_after_ms: float | None = None
    """The time from its beginning to the row that shows its result. None if the log ends before that."""
    has_failed: bool = False
    """Whether its result is a failure."""


def _read_tasks(rows: Iterable[_Row], until_ms: float | None, longest_success_ms: float | None) -> Iterator[_Task]:
    """Yield what a log tells about each task."""
    by_gateway: dict[str, list[_Row]] = {}
    last_ms = 0.0
    for row in rows:
        last_ms = max(last_ms, row.time_ms)
        by_gateway.setdefault(row.gateway, []).append(row)
    end_ms = last_ms if until_ms is None else until_ms
    for history in by_gateway.values():
        history.sort(key=lambda row: row.time_ms)
        if history[0].from_status is None:
            yield _read_task(history, end_ms, longest_success_ms)


def _read_task(history: list[_Row], end_ms: float, longest_success_ms: float | None) -> _Task:
    """Return what the rows of one gateway tell, from the creation of its task."""
    created = history[0]
    task = _Task(end_ms - created.time_ms, created.cause == Cause.CREATED_AUTOMATICALLY)
    changes = [created, *(row for row in history[1:] if row.from_status is not row.to_status)]
    for before, after in pairwise(changes):
        if after.to_status is None:
            task.observed_ms = after.time_ms - created.time_ms
            return task
        if before.to_status is TaskStatus.PENDING:
            task.waited_ms = after.time_ms - created.time_ms
        task.tries += _tries_between(before, after, end_ms, longest_success_ms)
    last = changes[-1]
    if last.to_status not in (TaskStatus.PENDING, TaskStatus.COMPLETED, TaskStatus.FAILED):
        task.tries.append(_Try(end_ms - last.time_ms))
    return task


def _tries_between(before: _Row, after: _Row, end_ms: float, longest_success_ms: float | None) -> Iterator[_Try]:
    """Yield the tries whose outcome shows between two rows of a gateway. Several are joined in the row of a journal."""
    assert before.to_status is not None
    assert after.to_status is not None
    observed_ms = end_ms - before.time_ms
    result_after_ms = after.time_ms - before.time_ms
    begun = max(ATTEMPT_BY_STATUS[before.to_status], 1)
    failures = _count_certain_failures(begun, after)
    is_completed = after.to_status is TaskStatus.COMPLETED
    was_under_way = before.to_status is not TaskStatus.PENDING
    if is_completed and was_under_way and longest_success_ms is not None and result_after_ms > longest_success_ms:
        failures = 1
    for _ in range(failures):
        yield _Try(observed_ms, result_after_ms, has_failed=True)
    if is_completed:
        yield _Try(observed_ms, result_after_ms)


def _count_certain_failures(begun: int, after: _Row) -> int:
    """Return how many tries must have failed before a row.

    Args:
        begun: Number of tries that had begun before the row.
        after: The row.
    """
    if after.to_status is TaskStatus.COMPLETED:
        return 0
    if after.to_status is TaskStatus.FAILED:
        unknown = 1 if after.cause == Cause.SILENCE else 0
        return _TRIES_PER_TASK + 1 - begun - unknown
    assert after.to_status is not None
    return ATTEMPT_BY_STATUS[after.to_status] - begun


# --- the parameters ---


def _estimate_failure_probability(tasks: list[_Task], level: float) -> tuple[Estimate, int]:
    """Estimate the probability that a try fails.

    Args:
        tasks: What the log tells about each task.
        level: The confidence level.

    Returns:
        The probability, and the number of tries whose results were counted. Its interval allows for tries without a
        result, each of which may have failed or not.

    Raises:
        FleetError: The log does not identify the probability.
    """
    _check_tries_are_alike(tasks)
    all_tries = list(chain.from_iterable(task.tries for task in tasks))
    result_times_ms = [one_try.result_after_ms for one_try in all_tries if one_try.result_after_ms is not None]
    longest_ms = max(result_times_ms, default=None)
    if longest_ms is None:
        raise FleetError("fails", None, "the log does not identify fails: no try has an outcome; take a longer log")
    # Each of these tries began so long before the end of the log that it should have a result by now.
    counted_tries = [one_try for one_try in all_tries if one_try.observed_ms >= longest_ms]
    open_count = sum(one_try.result_after_ms is None for one_try in counted_tries)
    failed_count = sum(one_try.has_failed for one_try in counted_tries)
    ended_count = len(counted_tries) - open_count
    successful_count = ended_count - failed_count
    if open_count > successful_count:
        problem = (
            f"{open_count} of {len(counted_tries)} tries have no outcome after {format_duration(longest_ms / 1000)}"
        )
        raise FleetError("fails", open_count, f"the log does not identify fails: {problem}; take a longer log")
    low = _lower_bound(failed_count, len(counted_tries), level)
    high = _upper_bound(failed_count + open_count, len(counted_tries), level)
    return Estimate(failed_count / ended_count, low, high), ended_count


def _check_tries_are_alike(tasks: list[_Task]) -> None:
    """Refuse a log in which some gateways fail at each try, for a reason of their own."""
    tried = [task for task in tasks if task.tries and task.tries[0].result_after_ms is not None]
    hopeless_count = sum(task.has_failed_all_tries for task in tried)
    if not hopeless_count:
        return
    first_try_fails = sum(task.tries[0].has_failed for task in tried) / len(tried)
    # If all gateways are alike, this is the probability that one of them fails all of its tries.
    all_tries_fail = first_try_fails**_TRIES_PER_TASK
    # The probability that at least as many of them do.
    chance = betainc(hopeless_count, len(tried) - hopeless_count + 1, all_tries_fail)
    if first_try_fails < 1 and chance < _NEGLIGIBLE_CHANCE:
        problem = f"{hopeless_count} of {len(tried)} gateways failed all tries, which is more than chance explains"
        remedy = "they have a fault of their own, such as a wrong key; leave their rows out"
        raise FleetError("fails", hopeless_count, f"the log does not identify fails: {problem}; {remedy}")


def _estimate_gone_share(tasks: list[_Task], level: float) -> tuple[Estimate, int]:
    """Return the share of gateways that are never seen, and the number of tasks that it comes from."""
    if all(task.is_automatic for task in tasks):
        reason = "each task was created by a request of its gateway, so a gateway that is gone has no task"
        raise FleetError("gone", None, f"the log does not identify gone: {reason}; ask for fails only")
    longest_ms = max((task.waited_ms for task in tasks if task.waited_ms is not None), default=None)
    if longest_ms is None:
        raise FleetError("gone", None, "the log does not identify gone: no gateway was seen; take a longer log")
    needed_ms = longest_ms * _GONE_AFTER_LONGEST_WAITS
    # Each of these tasks existed for so long that its gateway should have been seen, if it is not gone.
    counted_tasks = [task for task in tasks if task.observed_ms >= needed_ms]
    if not counted_tasks:
        needed, longest = format_duration(needed_ms / 1000), format_duration(longest_ms / 1000)
        problem = f"a gateway was first seen after {longest}, so tasks must be watched for {needed}"
        raise FleetError("gone", None, f"the log does not identify gone: {problem}; take a longer log")
    gone_count = sum(task.waited_ms is None for task in counted_tasks)
    return binomial_interval(gone_count, len(counted_tasks), level), len(counted_tasks)
