"""The panels of the lab without a browser: the tests use a control and look at what has changed."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets
import pytest
from conftest import RecordedRequest, RecordedResponse
from rollout_example import carry_out

import lorafw.lab
from lorafw import Testbed, example
from lorafw.cups.annotate import annotate_request, annotate_response, field_at
from lorafw.cups.codec import decode_response, encode_response
from lorafw.cups.messages import UpdateInfoResponse
from lorafw.errors import MalformedRequest, MalformedResponse
from lorafw.fleet.formatting import format_duration
from lorafw.lab import (
    FleetDashboard,
    MatchExplorer,
    RolloutPlanner,
    Scenario,
    SignatureWorkbench,
    TaskBoard,
    WireInspector,
)
from lorafw.lab.panels.background import Job
from lorafw.lab.panels.base import Panel
from lorafw.lab.panels.browser_widgets import Frame, Slider
from lorafw.lab.panels.fleet_dashboard import DashboardResult
from lorafw.lab.panels.html import is_panel_html
from lorafw.lab.panels.match_explorer import caret_diff, definition
from lorafw.lab.panels.signature_workbench import TRUSTED_KEY, WorkbenchState
from lorafw.lab.panels.style import STYLE_SHEET
from lorafw.lab.panels.task_board import FAULT_NAMES, STATUS_MOODS, STATUS_SYMBOLS
from lorafw.rollout import Until
from lorafw.tasks.lifecycle import TaskStatus
from lorafw.tasks.policy import Policy
from lorafw.version import GatewayVersion


@pytest.fixture
def bed() -> Iterator[Testbed]:
    with Testbed(gateways=2) as bed:
        yield bed


@pytest.fixture(scope="module")
def rollout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a plan, and with the journal of its rollout, which holds."""
    folder = tmp_path_factory.mktemp("rollout")
    carry_out(folder, Until.HOLD)
    return folder


PANELS = [
    "FleetDashboard",
    "MatchExplorer",
    "RolloutMonitor",
    "RolloutPlanner",
    "SignatureWorkbench",
    "TaskBoard",
    "WireInspector",
]


@pytest.fixture(params=PANELS)
def make_panel(request: pytest.FixtureRequest) -> Callable[[], Panel]:
    """Makes the same panel, as often as it is called."""
    kind = getattr(lorafw.lab, request.param)
    if request.param == "TaskBoard":
        return partial(kind, request.getfixturevalue("bed"))
    if request.param == "RolloutMonitor":
        return partial(kind, request.getfixturevalue("rollout") / "rollout.plan")
    return kind


@pytest.fixture
def panel(make_panel: Callable[[], Panel]) -> Panel:
    return make_panel()


def shown(panel: Panel) -> str:
    """What the live view holds."""
    return f"{panel.layout.view.value}{panel.layout.details.value}"


# --- what holds for every panel ---


def test_every_control_has_a_description_and_acts_while_it_is_used(panel: Panel) -> None:
    controls = list(panel.layout.controls())
    assert controls
    for control in controls:
        assert control.description.strip()
        assert getattr(control, "continuous_update", True) is True
        if isinstance(control, ipywidgets.Button):
            assert control.tooltip


def test_a_panel_shows_itself_as_a_page_and_as_text_before_anything_runs(panel: Panel) -> None:
    bundle = panel._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html", "application/vnd.jupyter.widget-view+json"}
    assert len(bundle["text/plain"].splitlines()) > 3
    assert is_panel_html(bundle["text/html"])


def test_the_same_panel_made_twice_says_the_same(panel: Panel, make_panel: Callable[[], Panel]) -> None:
    again = make_panel()
    assert (again.text(), again.html()) == (panel.text(), panel.html())


def test_a_panel_can_be_drawn_at_both_ends_of_every_slider_and_with_every_choice(panel: Panel) -> None:
    for control in list(panel.layout.controls()):
        ends: list[tuple[str, Any]] = []
        if isinstance(control, Slider):
            ends = [("value", control.min), ("value", control.max)]
        elif isinstance(control, ipywidgets.Dropdown):
            ends = [("index", index) for index in range(len(control.options))]
        for name, value in ends:
            setattr(control, name, value)
            assert panel.html()
            assert panel.text()
            assert not panel.error


def test_no_output_widget_is_used(panel: Panel) -> None:
    assert not [one for one in panel.layout.controls() if isinstance(one, ipywidgets.Output)]


def test_callbacks_from_several_threads_leave_one_view_of_one_state(bed: Testbed) -> None:
    board = TaskBoard(bed)
    board.define.click()
    with ThreadPoolExecutor(4) as pool:
        for _ in range(8):
            pool.submit(board.poll.click)
    assert str(board.html()) in shown(board)
    assert not board.error


def test_a_running_panel_has_a_frame_that_keeps_keys_inside(panel: Panel) -> None:
    frame = panel.layout.root.children[0]
    assert isinstance(frame, Frame)
    assert "lorafw-panel" in panel.layout.root._dom_classes


def test_a_slider_takes_the_nearest_value_of_its_range() -> None:
    slider = Slider(description="Gateways", value=5, min=1, max=10)
    slider.value = 11
    assert slider.value == 10
    slider.max = 7
    assert slider.value == 7
    slider.min = 8
    slider.max = 9
    assert slider.value == 8


def test_every_class_of_a_view_is_in_the_style_sheet(panel: Panel) -> None:
    names = set(re.findall(r'class="([^"]+)"', shown(panel)))
    for name in " ".join(names).split():
        assert f".{name}" in STYLE_SHEET


# --- match explorer ---


def verdicts(explorer: MatchExplorer) -> dict[str | None, str]:
    return {match.definition.name: match.verdict for match in explorer.state.evaluate()}


def test_the_explorer_says_which_definition_matches_and_where_the_others_differ() -> None:
    explorer = MatchExplorer()
    assert verdicts(explorer)["FirmwareUpdate"] == "✔ matches: a task is created"
    assert verdicts(explorer)["capital letters"] == "✖ no match: Model"
    assert "AutoCreateTasks is off" in verdicts(explorer)["by hand"]
    explorer.model.value = "RPi"
    assert verdicts(explorer)["capital letters"] == "✔ matches: a task is created"
    assert verdicts(explorer)["FirmwareUpdate"] == "✖ no match: Model"
    assert "upper and lower case differ" in shown(explorer)


def test_of_two_definitions_that_match_the_explorer_names_the_one_that_wins() -> None:
    version = example.CURRENT_VERSION
    definitions = [definition("old", version, sequence=0), definition("new", version, sequence=1)]
    for rule, winner, other in (("oldest", "old", "new"), ("newest", "new", "old")):
        explorer = MatchExplorer(definitions, policy=Policy(several_matches=rule))
        assert verdicts(explorer)[winner] == "✔ matches: a task is created"
        assert verdicts(explorer)[other] == f"✔ matches as well, but the {rule} wins (assumed)"


def test_the_explorer_begins_with_the_definition_that_creates_a_task() -> None:
    explorer = MatchExplorer()
    assert "FirmwareUpdate matches: a task is created" in explorer.headline_html()
    explorer.package.value = "9"
    assert "No definition matches" in explorer.headline_html()


def test_an_empty_field_is_one_that_is_not_presented() -> None:
    explorer = MatchExplorer()
    explorer.package.value = ""
    assert explorer.state.presented == GatewayVersion(
        example.CURRENT_VERSION.station, None, example.CURRENT_VERSION.model
    )
    assert "the gateway presents none" in shown(explorer)


def test_carets_stand_under_what_differs_and_blanks_can_be_seen() -> None:
    assert caret_diff("1.0.0 ", "1.0.1") == "wanted    1.0.0·\npresented 1.0.1\n              ^^"
    assert caret_diff(None, "rpi").splitlines()[0] == "wanted    (none)"


def test_what_a_gateway_presents_is_shown_as_text_and_never_as_markup() -> None:
    explorer = MatchExplorer()
    explorer.model.value = "<script>alert(1)</script>"
    assert "<script>" not in shown(explorer)
    assert "&lt;script&gt;" in shown(explorer)


# --- wire inspector ---


def test_the_parts_of_recorded_replies_are_the_reply_without_a_gap(recorded_response: RecordedResponse) -> None:
    body = recorded_response.body
    parts = annotate_response(body)
    assert b"".join(body[part.start : part.stop] for part in parts) == body
    assert all(len(part) for part in parts)
    try:
        response = decode_response(body)
    except MalformedResponse:
        return
    content = {part.name: body[part.start : part.stop] for part in parts}
    assert content.get("updData", b"") == response.update
    assert content.get("sig", b"") == response.signature
    assert content.get("cupsCred", b"") == response.cups_cred
    assert content.get("tcUri", b"").decode() == response.tc_uri


def test_the_parts_of_recorded_requests_are_the_request_without_a_gap(recorded_request: RecordedRequest) -> None:
    body = recorded_request.body
    if recorded_request.json is None:
        with pytest.raises(MalformedRequest):
            annotate_request(body)
        return
    parts = annotate_request(body)
    assert b"".join(body[part.start : part.stop] for part in parts) == body
    assert [part.name for part in parts] == list(recorded_request.json)


def test_a_reply_that_ends_too_early_ends_in_a_part_that_says_so() -> None:
    body = encode_response(UpdateInfoResponse(update=b"update"))[:-1]
    assert annotate_response(body)[-1].name == "rest"
    assert field_at(annotate_response(body), 0).name == "cupsUriLen"
    with pytest.raises(LookupError):
        field_at(annotate_response(body), len(body))


def test_choosing_a_part_moves_to_its_bytes_and_moving_to_a_byte_chooses_its_part() -> None:
    inspector = WireInspector()
    inspector.message.value = "response"
    names = [part.name for part in inspector.shown_message.parts]
    inspector.segment.index = names.index("sig")
    assert inspector.offset.value == inspector.shown_message.part.start
    first = f"{inspector.shown_message.body[inspector.offset.value]:02x}"
    assert re.search(rf"<b [^>]*>{first}</b> *<mark", shown(inspector))
    inspector.offset.value = 10
    assert names[inspector.segment.index] == "keyCRC"
    assert "keyCRC" in inspector.text().splitlines()[-1]
    inspector.offset.value = inspector.offset.max
    assert names[inspector.segment.index] == "updData"
    inspector.next.click()
    assert names[inspector.segment.index] == "cupsUriLen"
    inspector.previous.click()
    assert names[inspector.segment.index] == "updData"
    assert "▶ updData" in shown(inspector)


def test_the_inspector_remembers_where_it_was_in_the_other_message() -> None:
    inspector = WireInspector()
    inspector.offset.value = 40
    inspector.message.value = "response"
    assert inspector.shown_message.offset == 0
    inspector.message.value = "request"
    assert inspector.offset.value == 40
    assert inspector.shown_message.part.name == "cupsUri"


# --- signature workbench ---


def operate(bench: SignatureWorkbench, *buttons: str) -> str:
    for name in buttons:
        getattr(bench, name).click()
    return shown(bench)


def with_another_key(bench: SignatureWorkbench) -> None:
    bench.key.value = "another key"
    bench.sign.click()


def without_key(bench: SignatureWorkbench) -> None:
    bench.on_gateway.value = "no key at all"


@pytest.mark.parametrize(
    ("spoil", "outcome", "line"),
    [
        (lambda bench: None, "✔ RUN", "ECDSA key#0 -&gt; VERIFIED"),
        (lambda bench: bench.tamper.click(), "✖ REFUSED", "ECDSA key#0 -&gt; NOT verified"),
        (with_another_key, "✖ REFUSED", "No key could verify signature. Tried 1 keys"),
        (lambda bench: bench.strip.click(), "✖ REFUSED", "Keyfile present, but no signature provided"),
        (without_key, "✖ REFUSED", "No key could verify signature. Tried 0 keys"),
        (lambda bench: (bench.strip.click(), without_key(bench)), "✔ RUN", "No Key. No Sig. UPDATE."),
    ],
    ids=["signed", "tampered", "wrong key", "stripped", "no key", "neither key nor signature"],
)
def test_the_station_says_what_it_thinks_of_a_spoilt_update(
    spoil: Callable[[SignatureWorkbench], object], outcome: str, line: str
) -> None:
    bench = SignatureWorkbench()
    spoil(bench)
    assert outcome in shown(bench)
    assert line in shown(bench)
    bench.on_gateway.value = "sig-0.key"
    bench.start_over.click()
    assert "✔ RUN" in shown(bench)


def test_a_byte_that_is_tampered_twice_is_what_it_was() -> None:
    bench = SignatureWorkbench()
    before = bench.bench.update
    bench.offset.value = 7
    operate(bench, "tamper")
    assert f"byte 7 changed from 0x{before[7]:02X} to 0x{before[7] ^ 1:02X}" in shown(bench)
    assert [a != b for a, b in zip(bench.bench.update, before, strict=True)].index(True) == 7
    assert "✔ RUN" in operate(bench, "tamper")
    assert bench.bench.update == before


def test_a_version_that_cannot_be_built_is_refused_with_its_reason_and_nothing_changes() -> None:
    bench = SignatureWorkbench()
    before = bench.bench
    bench.package.value = " "
    assert "package_version" in bench.error
    assert bench.bench is before
    bench.package.value = "1.0.2"
    assert not bench.error


def test_a_refused_update_leaves_no_file_and_one_that_ran_does() -> None:
    bench = WorkbenchState(b"update", sig_keys=(TRUSTED_KEY.public_key.sig_key,)).sign(TRUSTED_KEY, "a key")
    assert bench.evaluate()[1].executed == [b"update"]
    assert bench.strip().evaluate()[1].update is None


# --- task board ---


def test_the_board_walks_an_update_from_definition_to_completed(bed: Testbed) -> None:
    board = TaskBoard(bed)
    assert [row.status for row in board.rows()] == [None, None]
    board.define.click()
    board.poll.click()
    assert [row.status for row in board.rows()] == [TaskStatus.IN_PROGRESS, None]
    assert "IN_PROGRESS" in shown(board)
    board.span.value = 60.0
    board.advance.click()
    assert {row.status for row in board.rows()} == {TaskStatus.COMPLETED}
    assert "presents the new version" in shown(board)
    assert "Connecting to CUPS ... http://127.0.0.1 (try #1)" in shown(board)
    board.delete.click()
    assert board.rows()[0].status is None


@pytest.mark.parametrize("fault", FAULT_NAMES)
def test_every_fault_can_be_injected_and_healed(bed: Testbed, fault: str) -> None:
    board = TaskBoard(bed)
    board.fault.value = fault
    board.inject.click()
    assert not board.error
    assert [row.fault for row in board.rows()] == [fault, "none"]
    board.heal.click()
    assert [row.fault for row in board.rows()] == ["none", "none"]


def test_a_gateway_with_the_wrong_key_fails_and_the_board_shows_each_retry(bed: Testbed) -> None:
    board = TaskBoard(bed)
    board.define.click()
    board.fault.value = "wrong-key"
    board.inject.click()
    seen = []
    for _ in range(4):
        board.poll.click()
        seen.append(str(board.rows()[0].status))
        bed.clock.advance(10)
    assert seen == ["IN_PROGRESS", "FIRST_RETRY", "SECOND_RETRY", "FAILED"]
    assert "✖ FAILED" in shown(board)


def test_the_board_gives_its_statuses_as_texts_and_no_task_where_there_is_none(bed: Testbed) -> None:
    board = TaskBoard(bed)
    assert board.statuses == ["no task", "no task"]
    bed.define_update("1.0.1")
    bed.poll(bed.gateways[1])
    assert board.statuses == ["no task", "IN_PROGRESS"]
    assert {type(status) for status in board.statuses} == {str}


def test_each_press_of_define_update_is_answered_until_something_else_is_done(bed: Testbed) -> None:
    board = TaskBoard(bed)
    for number in (1, 2):
        board.define.click()
        assert f"Update {number} of this board is defined, to 1.0.1" in shown(board)
        assert "of this board is defined" not in board.html() + board.text()
    board.poll.click()
    assert "of this board is defined" not in shown(board)


def test_a_board_whose_testbed_was_stopped_says_so_at_every_button() -> None:
    bed = Testbed().start()
    board = TaskBoard(bed)
    bed.stop()
    for button in (board.poll, board.define, board.advance, board.inject, board.heal, board.delete):
        button.click()
        assert board.error.startswith("the testbed of this board was stopped")
        assert board.error in shown(board)


def test_the_board_shows_the_error_of_deleting_a_missing_task(bed: Testbed) -> None:
    board = TaskBoard(bed)
    board.delete.click()
    assert board.error
    assert 'role="alert"' in shown(board)
    board.poll.click()
    assert 'role="alert"' not in shown(board)


def test_every_status_has_a_sign_of_its_own() -> None:
    assert set(STATUS_SYMBOLS) == {None, *TaskStatus}
    assert len(set(STATUS_SYMBOLS.values())) == len(STATUS_SYMBOLS)
    assert set(STATUS_MOODS) == set(STATUS_SYMBOLS)


# --- fleet dashboard ---

SMALL = Scenario(gateways=200)


def alts(panel: Panel) -> list[str]:
    return re.findall(r'<img alt="([^"]+)"', shown(panel))


def test_a_small_fleet_is_simulated_as_soon_as_a_slider_is_let_go() -> None:
    dash = FleetDashboard(SMALL)
    before = alts(dash)
    assert len(before) == 2
    dash.inputs.gateways.value = 55
    assert dash.result.result.fleet.size == 55
    assert all("55 gateways" in alt for alt in alts(dash))
    assert alts(dash) != before
    assert not dash.is_stale


def test_a_large_one_waits_for_run_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lorafw.lab.panels.fleet_dashboard.AUTO_RUN_LIMIT", 300)
    dash = FleetDashboard(SMALL)
    dash.inputs.gateways.value = 400
    assert dash.is_stale
    assert "press Run" in shown(dash)
    assert dash.result.result.fleet.size == 200
    dash.run.click()
    assert dash.result.result.fleet.size == 400
    assert "press Run" not in shown(dash)
    assert dash.job.bar.value == 1
    assert dash.job.cancel.disabled


def test_more_failing_installs_give_more_sends_on_the_dashboard() -> None:
    dash = FleetDashboard(SMALL)
    sends = []
    for percent in (dash.inputs.fails.min, 10, dash.inputs.fails.max):
        dash.inputs.fails.value = percent
        sends.append(dash.result.summary.mean_sends.value)
    assert sends == sorted(sends)
    assert sends[0] < sends[2]


def test_a_dashboard_says_what_its_plan_does_and_what_stopped_it() -> None:
    dashboard = FleetDashboard(Scenario(gateways=200, fails=0.7, plan="waves"))
    stopped = format_duration(int(dashboard.result.result.stopped_ms[0]) / 1000)
    assert f"✖ The first rollout was stopped by the gate of wave 1 after {stopped}." in shown(dashboard)
    assert f"The first rollout was stopped by the gate of wave 1 after {stopped}." in dashboard.text()
    assert "Plan waves: 25 % + 25 % + 25 % + 25 % of the fleet; after each wave a gate" in shown(dashboard)
    dashboard.inputs.plan.value = "at-once"
    assert "Plan at-once: every gateway at once." in shown(dashboard)
    assert "was stopped" not in shown(dashboard) + dashboard.text()


def test_the_planner_says_what_its_plans_do_and_what_stopped_them() -> None:
    planner = RolloutPlanner(Scenario(gateways=200, fails=0.7, replications=2), ("waves", "at-once"))
    assert "First plan: waves, stopped by the gate of wave 1 after " in shown(planner)
    assert ">Plan at-once: every gateway at once.</div>" in shown(planner)
    assert "Second plan: at-once, stopped" not in shown(planner)
    planner.inputs.second.value = "canary"
    assert "Plan canary: 1 % + 10 % + 89 % of the fleet" in planner.header_html()


def test_the_dashboard_says_the_same_figures_as_the_simulator() -> None:
    dash = FleetDashboard(SMALL)
    result = SMALL.run()
    assert dash.result.result.tobytes() == result.tobytes()
    completed = result.summary().completed_share.value
    assert dash.result.rows()[0][:2] == ("COMPLETED", f"{completed * 100:.4g} %")


def test_the_history_of_the_chosen_gateway_is_the_simulators() -> None:
    dash = FleetDashboard(SMALL)
    dash.gateway.value = 7
    assert dash.text().endswith(dash.result.result.explain(7))
    assert "Gateway 7," in shown(dash)
    dash.inputs.gateways.value = 10
    dash.gateway.value = 199
    assert dash.gateway.value == 9


def test_a_plan_that_does_not_fit_the_fleet_is_refused_and_what_was_shown_stays() -> None:
    planner = RolloutPlanner(Scenario(gateways=200, replications=2), plans=("at-once", "waves"))
    before = planner.result
    planner.scenario = planner.scenario.replace(gateways=0)
    planner.run.click()
    assert "a fleet needs a whole number of gateways" in planner.error
    assert 'role="alert"' in shown(planner)
    assert planner.result is before


# --- rollout planner ---


def test_two_equal_plans_do_not_differ_and_a_failing_one_does() -> None:
    planner = RolloutPlanner(Scenario(gateways=200, replications=3, fails=0.3), plans=("at-once", "at-once"))
    assert {row[-1] for row in planner.result.rows()} == {"= no difference"}
    planner.inputs.second.value = "waves"
    assert planner.is_stale
    planner.run.click()
    assert "▲ second is higher" in {row[-1] for row in planner.result.rows()}
    [alt] = alts(planner)
    assert "First plan: at-once" in alt
    assert "Second plan: waves" in alt


def test_the_planner_shows_the_figures_that_matter_of_both_plans_first() -> None:
    planner = RolloutPlanner(Scenario(gateways=200, replications=2), plans=("at-once", "waves"))
    table = {row[0]: row[1:3] for row in planner.result.rows()}
    names = {"FAILED": "FAILED", "last ended after": "last gateway has ended after"}
    headline = planner.headline_html()
    for label, row in names.items():
        for plan, value in zip(("at-once", "waves"), table[row], strict=True):
            assert f"<dt>{plan}: {label}</dt><dd>{value}</dd>" in headline


def test_the_difference_is_that_of_common_random_numbers() -> None:
    from lorafw.fleet import compare

    scenario = Scenario(gateways=200, replications=3)
    planner = RolloutPlanner(scenario, plans=("at-once", "waves"))
    plans = (scenario.plan_for("at-once"), scenario.plan_for("waves"))
    assert list(planner.result.differences) == compare(scenario.fleet(), *plans, seed=1, replications=3)


# --- long calculations ---


def job_on(done: list[Any]) -> Job[Any]:
    return Job(done.append, lambda error: done.append(repr(error)))


def test_without_a_loop_a_job_runs_straight_through() -> None:
    done: list[Any] = []
    job = job_on(done)
    job.start(lambda progress: progress(1, 2) or "result")
    assert done == ["result"]
    assert not job.is_running
    job.start(lambda progress: 1 / 0)
    assert done[1] == "ZeroDivisionError('division by zero')"


def test_cancel_ends_a_job_at_its_next_report_and_its_result_is_thrown_away() -> None:
    done: list[Any] = []
    steps: list[int] = []
    begun, cancelled = threading.Event(), threading.Event()

    def work(progress: Any) -> str:
        for step in range(1000):
            progress(step, 1000)
            steps.append(step)
            begun.set()
            assert cancelled.wait(30)
        return "result"

    async def person() -> None:
        job = job_on(done)
        job.start(work)
        while not begun.is_set():
            await asyncio.sleep(0)
        assert job.is_running
        job.cancel.click()
        cancelled.set()
        while job.is_running:
            await asyncio.sleep(0)

    asyncio.run(person())
    assert done == []
    assert steps == [0]


def test_the_loop_stays_free_while_a_job_runs_and_the_last_one_started_wins() -> None:
    done: list[Any] = []
    go = threading.Event()

    async def person() -> None:
        job = job_on(done)
        job.start(lambda progress: go.wait(30) and progress(1, 2) and "first")
        await asyncio.sleep(0)
        job.start(lambda progress: go.wait(30) and "second")
        await asyncio.sleep(0)
        go.set()
        while job.is_running:
            await asyncio.sleep(0)

    asyncio.run(person())
    assert done == ["second"]


def test_a_long_simulation_on_the_dashboard_can_be_cancelled_in_a_running_loop() -> None:
    dash = FleetDashboard(SMALL)
    before = dash.result

    async def person() -> None:
        dash.job.start(
            lambda progress: DashboardResult.simulate(Scenario(gateways=20_000, replications=2000), progress)
        )
        while dash.job.bar.value == 0 and dash.job.is_running:
            await asyncio.sleep(0)
        dash.job.cancel.click()
        while dash.job.is_running:
            await asyncio.sleep(0)

    asyncio.run(person())
    assert dash.result is before
    assert dash.job.bar.value < 1
