"""The pytest plugin: testbeds and `lorafw serve` as fixtures, and explanations in the report of a failed test.

pytest loads this module in every test suite of an environment in which lorafw is installed. Therefore it imports almost
nothing. Whatever a test needs is imported when the test needs it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest

from lorafw.testbed.observers import TestbedObserver, observed_by

if TYPE_CHECKING:
    from lorafw.lab.serve_process import ServeProcess
    from lorafw.tasks.service import UpdateService
    from lorafw.testbed import Testbed

_MARKER = (
    "lorafw(**options): options of the fixtures lorafw_testbed (those of lorafw.Testbed; policy is a dict) and "
    "lorafw_server (policy, region, serve). A test that uses neither of them gets a testbed."
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the command line and of the configuration file."""
    group = parser.getgroup("lorafw")
    group.addoption(
        "--lorafw-assumptions",
        metavar="DECISIONS",
        help="Run each test that uses a testbed again with every other answer to an assumed decision about AWS, and "
        "report which tests depend on which decision. DECISIONS is 'all', or names separated by commas.",
    )
    parser.addini(
        "lorafw_guard", "Keep the requests of botocore on this machine during the whole session.", "bool", False
    )
    parser.addini("lorafw_allow_hosts", "Hosts that botocore may reach beside this machine.", "args", [])
    parser.addini("lorafw_server_scope", "Scope of the fixture lorafw_server.", "string", "function")


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Open the guard for the session, before any conftest.py is imported, if the configuration wants it."""
    if not early_config.getini("lorafw_guard"):
        return
    from lorafw.pytest_plugin.guard import session_guard  # noqa: PLC0415 -- imports botocore

    stack = contextlib.ExitStack()
    stack.enter_context(session_guard(early_config))
    early_config.add_cleanup(stack.close)


def pytest_configure(config: pytest.Config) -> None:
    """Describe the marker, and register what collects explanations and, if wanted, what varies the assumptions."""
    config.addinivalue_line("markers", _MARKER)
    config.pluginmanager.register(_Explanations(), "lorafw-explanations")
    decisions = config.getoption("lorafw_assumptions")
    if decisions is not None:
        from lorafw.pytest_plugin.assumptions import AssumptionRuns  # noqa: PLC0415 -- few sessions need it

        config.pluginmanager.register(AssumptionRuns(decisions), "lorafw-assumptions")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Check the markers of a test, and give it a testbed if it has a marker and names no fixture of lorafw."""
    if item.get_closest_marker("lorafw") is None:
        return
    from lorafw.pytest_plugin.marker import check_server_scope, request_testbed  # noqa: PLC0415

    request_testbed(item)
    check_server_scope(item)


@pytest.fixture
def lorafw_testbed(request: pytest.FixtureRequest) -> Iterator[Testbed]:
    """An open testbed with the options of the test's ``lorafw`` markers."""
    from lorafw.pytest_plugin.marker import testbed_options  # noqa: PLC0415
    from lorafw.testbed import Testbed  # noqa: PLC0415

    with Testbed(**testbed_options(request)) as testbed:
        yield testbed


def _server_scope(fixture_name: str, config: pytest.Config) -> str:
    """Return the scope of ``lorafw_server``, as the configuration says."""
    return str(config.getini(f"{fixture_name}_scope"))


@pytest.fixture(scope=_server_scope)  # type: ignore[arg-type]  # the stubs want a literal
def lorafw_server(request: pytest.FixtureRequest) -> Iterator[ServeProcess]:
    """A running `lorafw serve`. Clients of boto3 and programs that the test starts use it."""
    from lorafw.pytest_plugin.server import running_server  # noqa: PLC0415

    with running_server(request) as server:
        yield server


class _Explanations(TestbedObserver):
    """Adds what testbeds and servers can explain to the reports of failed tests."""

    def __init__(self) -> None:
        self._sections: list[tuple[str, str]] = []
        """Explanations of the testbeds that an exception has closed since the last report."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Generator[None, object, object]:
        """Observe the testbeds that a test opens."""
        with observed_by(self):
            return (yield)

    def on_close(self, service: UpdateService, error: BaseException | None) -> None:
        """Keep the explanations of a testbed whose block ends with an error. Nothing can explain it afterwards."""
        if error is None:
            return
        from lorafw.pytest_plugin.explanations import testbed_sections  # noqa: PLC0415

        self._sections += testbed_sections(service)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Add the explanations to the report of a phase that failed."""
        report = yield
        closed_sections = self._sections
        self._sections = []
        if report.failed:
            from lorafw.pytest_plugin.explanations import open_sections  # noqa: PLC0415

            report.sections += closed_sections
            report.sections += open_sections()
        return report
