"""Find out on which assumptions about AWS a test or a script depends: run it once for each other answer.

::

    with Testbed() as bed: ...            # the test, as a function

    report = find_dependencies(test)
    print(report)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from lorafw.errors import LabError
from lorafw.tasks.alternatives import Alternative, all_alternatives, untested_decisions
from lorafw.tasks.policy import Policy
from lorafw.testbed.observers import TestbedObserver, observed_by
from lorafw.testbed.policy_trace import TracedPolicy

MIN_POLL_LIMIT: Final = 1000
"""Number of calls of ``advance`` and ``poll`` that every run may make."""

POLL_LIMIT_FACTOR: Final = 20
"""A run with another answer may make this many times the calls of the run with lorafw's answers."""


class EndlessRun(BaseException):
    """A run with another answer does not come to an end: it waits for something that does not happen with it.

    It is not an Exception, so that the script's own error handling does not catch it.
    """


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    verdict: str
    """For example "passed", "failed" or "exit status 1"."""
    output: str = ""
    """What the run printed, if that counts."""
    detail: str = ""
    """What a reader needs to know of a failure. It does not count."""

    def differs_from(self, other: Outcome, *, with_output: bool) -> bool:
        """Return True if this outcome is another one than ``other``.

        Args:
            other: The outcome to compare with.
            with_output: Whether to compare what the runs printed too, and not only the verdicts.
        """
        if self.verdict != other.verdict:
            return True
        return with_output and self.output != other.output


@dataclass(frozen=True, slots=True)
class Dependency:
    """A decision that changes the outcome."""

    alternative: Alternative
    outcome: Outcome
    """The outcome with the other answer."""


@dataclass(frozen=True, slots=True)
class DependencyReport:
    """What the runs of one test or script have shown. ``str()`` returns it as text."""

    default: Outcome
    """The outcome with lorafw's answers."""
    dependencies: tuple[Dependency, ...] = ()
    tried: tuple[Alternative, ...] = ()
    """The other answers that were tried. An answer to a decision that no testbed asked for cannot matter."""
    is_unstable: bool = False
    """Whether two runs with lorafw's answers ended differently, so that nothing can be said."""

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        """Return one line for each dependency, or a line that says that there is none."""
        if self.is_unstable:
            return ["not judged: two runs with lorafw's own answers ended differently"]
        if not self.dependencies:
            return ["depends on no assumption that was tried"]
        return [describe(dependency, self.default) for dependency in self.dependencies]


class PolicyOverride(TestbedObserver):
    """Opens testbeds with another answer, counts what they do, and ends a run that does not end by itself."""

    def __init__(self, alternative: Alternative | None, poll_limit: int | None = None) -> None:
        """Store what to change.

        Args:
            alternative: The answer to use. None means those that the testbed is made with.
            poll_limit: Number of calls of ``advance`` and ``poll`` after which the run is ended. None means no limit.
        """
        self._alternative = alternative
        self._poll_limit = poll_limit
        self.opened = 0
        """Number of testbeds that were opened."""
        self.polls = 0
        """Number of calls of ``advance`` and ``poll``."""
        self._read_by_policy: list[tuple[Policy, set[str]]] = []
        """The policies of the testbeds that were opened, with the decisions that were read."""

    def choose_policy(self, policy: Policy | None) -> Policy | None:
        """Return the policy with the other answer or, if there is none, one that notes what is read."""
        self.opened += 1
        chosen = policy or Policy()
        if self._alternative is not None:
            return self._alternative.apply_to(chosen)
        read: set[str] = set()
        self._read_by_policy.append((chosen, read))
        return TracedPolicy.of(chosen, read)

    def can_matter(self, alternative: Alternative) -> bool:
        """Return True if a testbed has read the decision and its policy leaves it at lorafw's answer."""
        return any(
            alternative.decision in read and alternative.applies_to(policy) for policy, read in self._read_by_policy
        )

    def on_poll(self) -> None:
        """Count the call. Raises EndlessRun beyond the limit."""
        self.polls += 1
        if self._poll_limit is not None and self.polls > self._poll_limit:
            raise EndlessRun(f"ended after {self._poll_limit} calls of advance and poll; it would not end by itself")


def poll_limit_after(polls: int) -> int:
    """Return how many calls of ``advance`` and ``poll`` a run may make if the run with lorafw's answers made some."""
    return max(MIN_POLL_LIMIT, POLL_LIMIT_FACTOR * polls)


@contextmanager
def assuming(alternative: Alternative | None, poll_limit: int | None = None) -> Iterator[PolicyOverride]:
    """Open each testbed of this process with another answer, until the end of the block.

    Args:
        alternative: The answer to use. None means those that the testbed is made with.
        poll_limit: Number of calls of ``advance`` and ``poll`` after which EndlessRun is raised. None means no limit.

    Yields:
        What was counted in the block.
    """
    override = PolicyOverride(alternative, poll_limit)
    with observed_by(override):
        yield override


def compare_outcomes(
    run: Callable[[Alternative | None], Outcome], alternatives: Sequence[Alternative], default: Outcome
) -> DependencyReport:
    """Run something with each of the other answers, and compare the outcomes with the default one.

    If an outcome differs, one more run with lorafw's answers shows whether the difference means anything. If only the
    output of the two runs differs, such as a time of day, then the output does not count.

    Args:
        run: Runs it with another answer, or with lorafw's (None), and returns the outcome.
        alternatives: The answers to try.
        default: The outcome with lorafw's answers.

    Returns:
        The answers that change the outcome, and those that were tried.
    """
    # 1. Run it with each of the other answers.
    outcomes = {alternative: run(alternative) for alternative in alternatives}
    tried = tuple(alternatives)
    if not any(outcome.differs_from(default, with_output=True) for outcome in outcomes.values()):
        return DependencyReport(default, tried=tried)
    # 2. Run it with lorafw's answers once more, to see what differs by chance.
    default_again = run(None)
    if default_again.differs_from(default, with_output=False):
        return DependencyReport(default, tried=tried, is_unstable=True)
    is_output_stable = default_again.output == default.output
    # 3. Keep the answers with which something else differs.
    dependencies = tuple(
        Dependency(alternative, outcome)
        for alternative, outcome in outcomes.items()
        if outcome.differs_from(default, with_output=is_output_stable)
    )
    return DependencyReport(default, dependencies, tried)


def find_dependencies(
    function: Callable[[], object], alternatives: Sequence[Alternative] | None = None
) -> DependencyReport:
    """Call a function once for each other answer to an assumed decision, and report which answers change the outcome.

    The outcome is whether the function raises an error, and of which type, or what it returns (its ``repr``).

    Args:
        function: Opens a testbed, directly or in what it calls, and uses it.
        alternatives: The answers to try. None means all of them.

    Returns:
        The answers that change the outcome, and those that were tried.

    Raises:
        LabError: The function opens no testbed, so there is nothing to vary.
    """
    if alternatives is None:
        alternatives = all_alternatives()
    with assuming(None) as counted:
        default = _outcome_of(function)
    if not counted.opened:
        raise LabError("function: it opens no Testbed, so no assumption can change what it does; open one in it")
    limit = poll_limit_after(counted.polls)
    candidates = [alternative for alternative in alternatives if counted.can_matter(alternative)]

    def run(alternative: Alternative | None) -> Outcome:
        with assuming(alternative, limit):
            return _outcome_of(function)

    return compare_outcomes(run, candidates, default)


def describe(dependency: Dependency, default: Outcome) -> str:
    """Return a line about a dependency: the answer, what happens with it, and what happens with lorafw's answer."""
    alternative, outcome = dependency.alternative, dependency.outcome
    change = f"{outcome.verdict} instead of {default.verdict}"
    if outcome.verdict == default.verdict:
        change = f"{outcome.verdict}, but prints something else"
    line = f"{alternative}: {change}; lorafw assumes {alternative.default_text}"
    if outcome.detail:
        return f"{line}\n  {outcome.detail}"
    return line


def format_untested() -> str:
    """Return a line about the assumed decisions that cannot be varied."""
    return f"Not tested, because lorafw has no other answer: {', '.join(untested_decisions())}."


def _outcome_of(function: Callable[[], object]) -> Outcome:
    """Call the function and return how it ended."""
    try:
        returned = function()
    except (Exception, EndlessRun) as error:
        return Outcome(f"raises {type(error).__name__}", detail=first_line(str(error)))
    return Outcome("returns", output=repr(returned))


def first_line(text: str) -> str:
    """Return the first line of a text that is not blank, shortened to fit on a screen. "" if there is none."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return ""
    return lines[0][:200]
