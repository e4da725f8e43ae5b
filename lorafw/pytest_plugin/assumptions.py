"""The option `--lorafw-assumptions`: find out which tests pass only because of an assumption about AWS.

AWS's documentation leaves some questions open, such as when a task fails. Each such question is called a decision.
lorafw assumes one answer to it, and knows other possible answers, the alternatives. With this option, each test that
uses a testbed is repeated once for each alternative, and the terminal summary names the tests that end differently.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

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

_ATTRIBUTE: Final = "lorafw_assumptions"
"""Attribute of a report that holds the lines about tests. pytest-xdist sends it to the main process."""


class AssumptionRuns:
    """A plugin that repeats tests with other answers, and reports which tests depend on which decision.

    The repetitions are not part of the result of the session: only the run with lorafw's own answers can fail it.
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
        self._lines: dict[str, list[str]] = {}
        """Lines about each test that used a testbed. They are empty if it depends on nothing."""
        self._postponed: list[_TestRuns] = []
        """Tests of testbeds that other tests use too. To open such a testbed anew would disturb the other tests."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        """Run a test, and repeat it if it has used a testbed. Only the first run is reported to pytest."""
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        runs = _TestRuns(item, nextitem, self._alternatives)
        reports = runs.run_first()
        runs_to_repeat = self._choose_runs_to_repeat(runs, is_last=nextitem is None)
        findings = {chosen.nodeid: chosen.repeat_and_compare() for chosen in runs_to_repeat}
        # A new attribute, because a report has no field for other data. pytest-xdist sends all attributes.
        setattr(reports[-1], _ATTRIBUTE, findings)
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Store the findings of a report. With pytest-xdist, this runs in the main process too."""
        findings: dict[str, list[str]] = getattr(report, _ATTRIBUTE, {})
        self._lines.update(findings)

    def _choose_runs_to_repeat(self, runs: _TestRuns, *, is_last: bool) -> list[_TestRuns]:
        """Return the tests to repeat after a test has run for the first time.

        A test of a shared testbed is added to ``_postponed``, and is repeated after the last test.

        Args:
            runs: The test that has run.
            is_last: Whether it is the last test of the session.

        Returns:
            The tests to repeat now. Empty if there are none.
        """
        runs_to_repeat = []
        if runs.uses_shared_testbed:
            self._postponed.append(runs)
        elif runs.uses_testbed:
            runs_to_repeat.append(runs)
        if is_last:
            runs_to_repeat += self._postponed
        return runs_to_repeat

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print which tests depend on which decision."""
        dependent = {name: lines for name, lines in self._lines.items() if lines}
        terminalreporter.section("lorafw assumptions")
        for name, lines in sorted(dependent.items()):
            terminalreporter.line(name)
            for line in "\n".join(lines).splitlines():
                terminalreporter.line(f"  {line}")
        terminalreporter.line(
            f"{len(dependent)} of {len(self._lines)} tests that use a testbed depend on an assumption. "
            f"{len(self._alternatives)} other answers were tried."
        )
        terminalreporter.line(format_untested())


class _TestRuns:
    """The runs of one test."""

    def __init__(self, item: pytest.Item, nextitem: pytest.Item | None, alternatives: Sequence[Alternative]) -> None:
        self._item = item
        self._nextitem = nextitem
        self._alternatives = alternatives
        self._poll_limit: int | None = None
        self.nodeid = item.nodeid
        self.uses_shared_testbed = open_testbed() is not None
        """Whether the testbed belongs to a fixture that several tests share."""
        self.uses_testbed = self.uses_shared_testbed
        """Whether a testbed was open in the first run."""

    def run_first(self) -> list[pytest.TestReport]:
        """Run the test with lorafw's own answers and return its reports."""
        with assuming(None) as counted:
            reports = runtestprotocol(self._item, nextitem=self._nextitem, log=False)
        self._default = self._to_outcome(reports)
        self._poll_limit = poll_limit_after(counted.polls)
        self.uses_testbed = self.uses_shared_testbed or counted.opened > 0
        self.uses_shared_testbed = self.uses_shared_testbed or open_testbed() is not None
        if not self.uses_shared_testbed:
            self._alternatives = [answer for answer in self._alternatives if counted.can_matter(answer)]
        return reports

    def repeat_and_compare(self) -> list[str]:
        """Repeat the test with each other answer. Return lines about the answers that change its outcome."""
        if self.uses_shared_testbed and self._run_with(None).verdict != self._default.verdict:
            return ["not judged: it fails alone, so it depends on the tests before it"]
        report = compare_outcomes(self._run_with, self._alternatives, self._default)
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
