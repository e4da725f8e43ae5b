"""lorafw finds what depends on an assumption about AWS: in functions, in scripts, and in the tests of a suite."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import assumptions as bench
import pytest
from click.testing import CliRunner

import lorafw
from lorafw import Policy, Testbed
from lorafw.cli import main
from lorafw.errors import InvalidValue, LabError
from lorafw.tasks.alternatives import all_alternatives, select_alternatives, untested_decisions
from lorafw.tasks.decision import Evidence
from lorafw.tasks.fixed_decisions import FIXED
from lorafw.testbed.assumptions import EndlessRun, assuming, find_dependencies
from lorafw.testbed.policy_trace import TracedPolicy

pytest_plugins = ["pytester"]
lorafw.register()  # Import moto once here, and not in the suite that runs in this process.

SAMPLE = ("settle_s: two polls", "an update that declares its version")
SOME = select_alternatives("settle_s")


def function_of(name: str) -> Callable[[], str]:
    """Return a script of the bench as a function that returns what the script prints."""
    code = compile(bench.HEADER + bench.SCRIPTS[name], name, "exec")

    def run() -> str:
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(code, {"__name__": "__main__"})
        return output.getvalue()

    return run


@pytest.mark.parametrize("name", SAMPLE)
def test_a_planted_dependency_is_found_and_no_other_is_reported(name: str) -> None:
    """``tests/bench/assumptions.py`` runs all forty scripts."""
    report = find_dependencies(function_of(name), SOME)
    assert {dependency.alternative.decision for dependency in report.dependencies} == bench.planted_in(name)
    assert report.default.verdict == "returns"


def test_the_scripts_of_the_bench_are_twenty_with_a_dependency_and_twenty_without() -> None:
    assert (len(bench.DEPENDENT), len(bench.INDEPENDENT)) == (20, 20)
    planted = {decision for name in bench.DEPENDENT for decision in bench.planted_in(name)}
    assert planted == {alternative.decision for alternative in all_alternatives()}


def test_every_assumed_decision_has_other_answers_or_is_listed_as_untested() -> None:
    assumed = {decision.name for decision in Policy().decisions() if decision.tag is Evidence.ASSUMED}
    alternatives = all_alternatives()
    assert {alternative.decision for alternative in alternatives} == assumed
    for alternative in alternatives:
        assert alternative.apply_to(Policy()) != Policy(), alternative
    assert set(untested_decisions()) == {decision.name for decision in FIXED if decision.tag is Evidence.ASSUMED}


def test_a_decision_that_the_author_of_a_test_has_made_is_not_varied() -> None:
    trimmed, half_a_minute, _ = select_alternatives("comparison,settle_s")
    own = Policy(settle_s=5)
    assert half_a_minute.apply_to(own) == own
    assert trimmed.apply_to(own) == Policy(settle_s=5, comparison="trimmed")


def test_an_unknown_decision_is_an_error_that_names_the_nearest_one() -> None:
    with pytest.raises(
        InvalidValue, match=r"'setle_s' is not an assumed decision with other answers; did you mean settle_s"
    ):
        select_alternatives("comparison, setle_s")
    with pytest.raises(InvalidValue, match=r"'existing_task' is not an assumed .* known: all, comparison, "):
        select_alternatives("existing_task")


def test_a_traced_policy_notes_what_is_read_and_equals_its_original() -> None:
    read: set[str] = set()
    traced = TracedPolicy.of(Policy(settle_s=3), read)
    assert read == set()
    assert traced.settle_s == 3
    assert read == {"settle_s"}
    assert traced == Policy(settle_s=3) == traced
    assert traced != Policy()


def test_a_function_that_opens_no_testbed_is_an_error() -> None:
    with pytest.raises(LabError, match="function: it opens no Testbed"):
        find_dependencies(int, SOME)


def test_a_difference_between_two_equal_runs_is_not_a_dependency() -> None:
    numbers = iter(range(100))

    def printing_another_number() -> int:
        with Testbed(gateways=0):
            return next(numbers)

    runs = iter(range(100))

    def failing_at_first() -> None:
        with Testbed() as bed:
            bed.define_update("1.0.1")
            bed.poll()
            bed.poll()  # The service asks for settle_s when an update has been delivered.
            assert next(runs) > 0

    assert find_dependencies(printing_another_number, SOME).dependencies == ()
    report = find_dependencies(failing_at_first, SOME[:1])
    assert report.is_unstable
    assert str(report) == "not judged: two runs with lorafw's own answers ended differently"


def test_a_run_that_waits_for_what_never_happens_is_ended() -> None:
    with assuming(None, poll_limit=3), Testbed(gateways=0) as bed:
        for _ in range(3):
            bed.advance(1)
        with pytest.raises(EndlessRun, match="after 3 calls"):
            bed.advance(1)


SUITE = """
    import pytest
    from lorafw import Testbed

    @pytest.fixture(scope="module")
    def shared():
        with Testbed() as bed:
            yield bed

    def update(bed, wait_s):
        bed.define_update("1.0.1")
        bed.advance(wait_s)
        assert bed.status() == "COMPLETED"

    def test_of_the_shared_testbed(shared):
        update(shared, 20)

    def test_after_it(shared):
        assert shared.status() == "COMPLETED"

    @pytest.fixture(scope="module")
    def nothing_is_open(shared):
        shared.stop()

    @pytest.mark.usefixtures("nothing_is_open")
    class TestsOfTheirOwn:
        def test_impatient(self, lorafw_testbed):
            update(lorafw_testbed, 20)

        @pytest.mark.xfail(strict=True)
        def test_that_fails_as_expected(self, lorafw_testbed):
            update(lorafw_testbed, 5)

        @pytest.mark.lorafw(policy={"settle_s": 5})
        def test_that_has_decided(self, lorafw_testbed):
            update(lorafw_testbed, 20)

        def test_without_a_testbed(self):
            pass
"""


def test_the_plugin_repeats_each_test_that_uses_a_testbed_and_reports_the_dependent_ones(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(test_it=SUITE)
    options = ("-p", "no:nbval", "-p", "no:cacheprovider")
    result = pytester.runpytest_inprocess(*options, "--lorafw-assumptions=settle_s")
    result.assert_outcomes(passed=5, xfailed=1)
    lines = list(_lines_of_the_section(result.outlines))
    change = "failed instead of passed; lorafw assumes 0"
    message = "  AssertionError: assert <TaskStatus.I...'IN_PROGRESS'> == 'COMPLETED'"
    answers = [f"  settle_s = {text}: {change}" for text in ("30 (half a minute)", "3600 (an hour)")]
    assert lines[:-2] == [
        "test_it.py::TestsOfTheirOwn::test_impatient",
        *(line for answer in answers for line in (answer, f"  {message}")),
        "test_it.py::test_after_it",
        "  not judged: it fails alone, so it depends on the tests before it",
        "test_it.py::test_of_the_shared_testbed",
        *(line for answer in answers for line in (answer, f"  {message}")),
    ]
    assert lines[-2] == "3 of 5 tests that use a testbed depend on an assumption. 2 other answers were tried."
    assert lines[-1].startswith("Not tested, because lorafw has no other answer: request_burst, first_offer, ")


def test_an_unknown_decision_ends_the_session_before_it_begins(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess("-p", "no:nbval", "--lorafw-assumptions=setle_s")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--lorafw-assumptions: 'setle_s' is not an assumed decision*did you mean settle_s?"])


def test_the_command_runs_a_script_with_its_arguments(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import sys\nassert sys.argv[1:] == ['--wait', '20']\n" + bench.HEADER + _BODY)
    command = ["assumptions", "--json", "--decisions", "settle_s", str(script), "--wait", "20"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    report = json.loads(done.output)
    assert report["default"] == {"verdict": "exit status 0", "output": "COMPLETED\n", "detail": ""}
    assert [one["alternative"]["label"] for one in report["dependencies"]] == ["half a minute", "an hour"]
    assert report["dependencies"][0]["outcome"]["verdict"] == "no end"


_BODY = """
with Testbed() as bed:
    bed.define_update("1.0.1")
    while not has_task(bed) or bed.status() != "COMPLETED":
        bed.advance(0)
        bed.poll()
    print(bed.status())
"""


def _lines_of_the_section(lines: list[str]) -> Iterator[str]:
    """Yield the lines below the heading of the section."""
    is_inside = False
    for line in lines:
        if line.startswith("=") and is_inside:
            return
        if is_inside and line:
            yield line
        is_inside = is_inside or " lorafw assumptions " in line
