"""The option `--lorafw-assumptions`: find out which tests pass only because of an assumption about AWS.

AWS's documentation leaves some questions open, such as when a task fails. Each such question is called a decision.
lorafw assumes one answer to it, and knows other possible answers, the alternatives. With this option, each test that
uses a testbed is repeated once for each alternative, and the terminal summary names the tests that end differently.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from _pytest.runner import runtestprotocol  # as pytest-rerunfailures does; pytest has no public name for it

from lorafw.errors import InvalidValue
from lorafw.pytest_plugin.explanations import open_testbed
from lorafw.tasks.alternatives import Alternative, select_alternatives
from lorafw.testbed.assumptions import (
    Outcome,
    assuming,
    compare_outcomes,
    first_line,
    format_untested,
    poll_limit_after,
)


class AssumptionRuns:
    """A pytest plugin that finds out which tests pass only because of an assumption about AWS.

    AWS's documentation leaves some questions open, and lorafw assumes an answer to each. The plugin repeats each test
    with the other possible answers. Only the first run, with lorafw's own answers, can fail the session.
    """

    def __init__(self, names: str) -> None:
        """Choose what to vary.

        Args:
            names: The value of the option: "all", or names of decisions separated by commas.

        Raises:
            pytest.UsageError: A name is not that of a decision with other answers.
        """
        try:
            self._alternatives = select_alternatives(names)
        except InvalidValue as error:
            raise pytest.UsageError(f"--lorafw-{error}") from error
        self._lines_by_test: dict[str, list[str]] = {}
        """For each test that used a testbed, a line about each answer that changes its outcome."""
        self._postponed: list[_RepeatableTest] = []
        """Tests that share a testbed with others. To open it anew would disturb these, so they are repeated last."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        """Run a test, and repeat it if it has used a testbed. Return True, so that pytest does not run it too."""
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        # 1. Run the test as pytest does.
        test = _RepeatableTest(item, nextitem, self._alternatives)
        reports = test.run_first()
        # 2. Repeat it with each of the other answers.
        to_repeat = []
        if test.uses_shared_testbed:
            self._postponed.append(test)
        elif test.uses_testbed:
            to_repeat.append(test)
        is_last_test = nextitem is None
        if is_last_test:
            to_repeat += self._postponed
        lines_by_test = {repeated.nodeid: repeated.repeat_and_compare() for repeated in to_repeat}
        # 3. Report the first run. pytest-xdist sends all attributes of a report to the main process.
        reports[-1].assumption_lines = lines_by_test  # type: ignore[attr-defined]
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the lines that come with a report. With pytest-xdist, this runs in the main process too."""
        self._lines_by_test.update(getattr(report, "assumption_lines", {}))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print which tests depend on which decision."""
        dependent_tests = [name for name, lines in self._lines_by_test.items() if lines]
        terminalreporter.section("lorafw assumptions")
        for name in sorted(dependent_tests):
            terminalreporter.line(name)
            for line in "\n".join(self._lines_by_test[name]).splitlines():
                terminalreporter.line(f"  {line}")
        terminalreporter.line(
            f"{len(dependent_tests)} of {len(self._lines_by_test)} tests that use a testbed depend on an assumption. "
            f"{len(self._alternatives)} other answers were tried."
        )
        terminalreporter.line(format_untested())


class _RepeatableTest:
    """A test that is run with lorafw's own answers first, and then with each of the other answers."""

    def __init__(self, item: pytest.Item, nextitem: pytest.Item | None, alternatives: Sequence[Alternative]) -> None:
        """Prepare the test. It is not run yet.

        Args:
            item: The test.
            nextitem: The test after it. pytest keeps the fixtures that both use.
            alternatives: The other answers.
        """
        self._item = item
        self._nextitem = nextitem
        self._alternatives = alternatives
        self._poll_limit: int | None = None
        """Number of polls after which a repetition is ended, because it would not end by itself."""
        self.nodeid = item.nodeid
        self.uses_shared_testbed = open_testbed() is not None
        """Whether the testbed belongs to a fixture that several tests share: it is open before or after the test."""
        self.uses_testbed = self.uses_shared_testbed
        """Whether a testbed was open in the first run."""

    def run_first(self) -> list[pytest.TestReport]:
        """Run the test with lorafw's own answers and return its reports."""
        with assuming(None) as counted:
            reports = runtestprotocol(self._item, nextitem=self._nextitem, log=False)
        self._first_outcome = self._to_outcome(reports)
        self._poll_limit = poll_limit_after(counted.polls)
        self.uses_testbed = self.uses_shared_testbed or counted.opened > 0
        self.uses_shared_testbed = self.uses_shared_testbed or open_testbed() is not None
        if not self.uses_shared_testbed:
            # The test opens each of its testbeds itself, so it is known which questions they have asked.
            self._alternatives = [answer for answer in self._alternatives if counted.can_matter(answer)]
        return reports

    def repeat_and_compare(self) -> list[str]:
        """Run the test with each of the other answers. Return lines about the answers that change its outcome."""
        if self.uses_shared_testbed:
            outcome_alone = self._run_with(None)
            if outcome_alone.verdict != self._first_outcome.verdict:
                return ["not judged: it fails alone, so it depends on the tests before it"]
        report = compare_outcomes(self._run_with, self._alternatives, self._first_outcome)
        if report.dependencies or report.is_unstable:
            return report.lines()
        return []

    def _run_with(self, alternative: Alternative | None) -> Outcome:
        """Run the test with another answer, and return the outcome. A shared testbed is opened anew for it."""
        nextitem = self._nextitem
        if self.uses_shared_testbed:
            nextitem = None
            self._item.session._setupstate.teardown_exact(None)
        with assuming(alternative, self._poll_limit):
            reports = runtestprotocol(self._item, nextitem=nextitem, log=False)
        return self._to_outcome(reports)

    def _to_outcome(self, reports: Sequence[pytest.TestReport]) -> Outcome:
        """Return the outcome of a run: "passed", "failed", "skipped", "xfailed", "xpassed" or "error"."""
        categories = []
        for report in reports:
            category, _, _ = self._item.ihook.pytest_report_teststatus(report=report, config=self._item.config)
            if category:  # setup and teardown have none if they succeed
                categories.append(category)
        return Outcome(", ".join(categories), detail=_first_line_of_failure(reports))


def _first_line_of_failure(reports: Sequence[pytest.TestReport]) -> str:
    """Return the first line of the message of the phase that failed, or "" if none failed."""
    for report in reports:
        crash = getattr(report.longrepr, "reprcrash", None)
        if report.failed and crash is not None:
            return first_line(crash.message)
    return ""
