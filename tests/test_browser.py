"""The lab in a real browser: lessons run to their end, and panels answer to the keyboard.

One JupyterLab and one Chromium serve all of it. ``--every-lesson`` runs every lesson, and not only the one about
attacks, which has a panel and takes seconds.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import SIZE, LabPage, chromium, expose_app, lab_process, need_chromium, write_notebook
from nbclient import NotebookClient
from outside import World
from rollout_example import MONITOR_IN_A_NOTEBOOK, carry_out

from lorafw.lab.lessons import WorkingCopy, packaged_lessons
from lorafw.lab.plots import wave_course
from lorafw.rollout import read_report, write_html

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
ALWAYS = ("08",)

FLEET = "from lorafw.lab import FleetDashboard, Scenario\nFleetDashboard(Scenario(gateways=100))"
PLANNER = (
    "from lorafw.lab import RolloutPlanner, Scenario\n"
    "RolloutPlanner(Scenario(gateways=100, replications=2), plans=('at-once', 'at-once'))"
)
OTHERS = (
    "from lorafw.lab import MatchExplorer\nMatchExplorer()",
    "from lorafw.lab import WireInspector\nWireInspector()",
    "from lorafw.lab import SignatureWorkbench\nSignatureWorkbench()",
    "from lorafw import Testbed\nfrom lorafw.lab import TaskBoard\nTaskBoard(Testbed().start())",
)
SEVEN = "\n".join(
    [
        "from IPython.display import display",
        *(code.replace("\n", "\npanel = ") + "\ndisplay(panel)" for code in (FLEET, PLANNER, *OTHERS[:3])),
        OTHERS[3].replace("\nTaskBoard", "\npanel = TaskBoard") + "\ndisplay(panel)",
        MONITOR_IN_A_NOTEBOOK.replace("\nRolloutMonitor", "\nmonitor = RolloutMonitor") + "\ndisplay(monitor)",
    ]
)
BOARD = """from lorafw import Testbed
from lorafw.lab import TaskBoard
bed = Testbed(gateways=2).start()
bed.inject("truncated-body", bed.gateways[1])
bed.define_update("1.0.1")
bed.advance(30)
TaskBoard(bed)"""


NARROW = 700
"""Width of half a screen, in pixels: a lesson beside another window."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "lesson" in metafunc.fixturenames:
        every = metafunc.config.getoption("--every-lesson")
        names = [path.name for path in packaged_lessons() if every or path.name[:2] in ALWAYS]
        metafunc.parametrize("lesson", names)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_chromium()
    folder = tmp_path_factory.mktemp("lessons")
    expose_app(folder)
    write_notebook(folder / "fleet.ipynb", FLEET)
    write_notebook(folder / "planner.ipynb", PLANNER)
    write_notebook(folder / "others.ipynb", *OTHERS)
    write_notebook(folder / "seven.ipynb", SEVEN, "")
    return folder


@pytest.fixture(scope="module")
def lab(folder: Path) -> Iterator[str]:
    with lab_process(folder) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    need_chromium()
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with World() as world:
        yield world


@pytest.fixture(scope="module")
def lab_page(browser: Any, lab: str, world: World) -> Iterator[LabPage]:
    """JupyterLab, loaded once for all tests that take ``page``."""
    page = LabPage(browser, lab, proxy=past_loopback(world))
    yield page
    page.close()


@pytest.fixture
def page(lab_page: LabPage, world: World) -> Iterator[LabPage]:
    """JupyterLab without a notebook. The test opens one."""
    lab_page.errors.clear()
    yield lab_page
    lab_page.close_notebook()
    assert lab_page.errors == []
    assert left(world) == []


def past_loopback(world: World) -> dict[str, str]:
    return {"server": world.address, "bypass": "127.0.0.1"}


def left(world: World) -> list[str]:
    """What pages asked beyond this machine. Chromium asks there by itself how forms are filled in."""
    return [line for line in world.asked if "content-autofill.googleapis.com" not in line]


def test_the_address_that_is_printed_opens_the_first_lesson(browser: Any, lab: str) -> None:
    page = browser.new_page()
    page.goto(lab)
    first = packaged_lessons()[0].name
    assert page.wait_for_selector(".jp-NotebookPanel .jp-Cell")
    assert page.locator(".lm-TabBar-tab.lm-mod-current", has_text=first).count()
    assert page.get_by_text("Jupyter news").count() == 0
    page.close()


def test_a_lesson_runs_to_its_end(page: LabPage, lesson: str) -> None:
    assert page.open(lesson).run_all(), page.failures()
    assert page.failures() == []


def test_a_lesson_opens_unchanged_with_the_face_of_its_panel_and_no_answer(page: LabPage, folder: Path) -> None:
    name = next(path.name for path in packaged_lessons() if path.name.startswith("04-"))
    page.open(name)
    page.page.get_by_role("table", name=re.compile("^Presented: ")).wait_for()
    assert page.page.evaluate(_SHOWN) == 1
    page.page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.info")
    assert not page.page.evaluate("window.jupyterapp.shell.currentWidget.context.model.dirty")
    page.page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    assert WorkingCopy(folder).reset() == []


_SHOWN = """() => [...window.jupyterapp.shell.currentWidget.content.model.cells]
    .filter(cell => cell.type === 'code')
    .flatMap(cell => cell.outputs.toJSON()).length"""


def keep(page: LabPage, selector: str) -> str:
    """The first alt text there."""
    return str(page.page.wait_for_selector(selector).get_attribute("alt"))


def changed_alt(page: LabPage, before: str) -> str:
    handle = page.page.wait_for_function(
        "before => { const image = document.querySelector('.jp-OutputArea img');"
        " return image && image.alt !== before && image.alt }",
        arg=before,
    )
    return str(handle.json_value())


def slider(page: Any, number: int = 0) -> Any:
    """A slider of the page, by its place."""
    return page.get_by_role("slider").nth(number)


def test_every_control_of_the_dashboard_is_reached_by_tab_and_arrow_keys_on_a_slider_redraw_it(page: LabPage) -> None:
    assert page.open("fleet.ipynb").run_all()
    before = keep(page, ".jp-OutputArea img")
    assert "100 gateways" in before
    slider(page.page).focus()
    reached = set()
    for _ in range(24):
        reached.add(page.page.evaluate(_FOCUSED))
        page.page.keyboard.press("Tab")
    wanted = {"Gateways", "Rollouts", "Installs fail, %", "Polls missed, %", "Wrong key, %", "Backhaul", "Plan", "Run"}
    assert wanted <= reached, reached
    slider(page.page).focus()
    page.page.keyboard.press("ArrowRight")
    assert "105 gateways" in changed_alt(page, before)


_FOCUSED = """() => {
    const { activeElement } = document;
    const label = activeElement.labels?.length ? activeElement.labels[0].textContent : activeElement.innerText;
    return activeElement.getAttribute('aria-label') ?? label;
}"""


def test_run_is_pressed_by_keyboard_and_cancel_leaves_what_was_shown(page: LabPage) -> None:
    assert page.open("planner.ipynb").run_all()
    before = keep(page, ".jp-OutputArea img")
    view = page.page.locator(".jp-OutputArea")
    slider(page.page).focus()
    page.page.keyboard.press("ArrowRight")
    view.get_by_text("press Run").wait_for()
    page.page.get_by_role("button", name="Run", exact=True).focus()
    page.page.keyboard.press("Enter")
    after = changed_alt(page, before)
    assert "200 gateways" in after

    for number in (0, 2):  # as large as it gets: long enough for a person to change their mind
        slider(page.page, number).focus()
        page.page.keyboard.press("End")
    page.page.get_by_role("button", name="Run", exact=True).press("Enter")
    cancel = page.page.get_by_role("button", name="Cancel")
    page.page.wait_for_function("() => !document.querySelector('button[title^=\"Stop\"]').disabled")
    cancel.press("Enter")
    page.page.wait_for_function("() => document.querySelector('button[title^=\"Stop\"]').disabled")
    assert keep(page, ".jp-OutputArea img") == after
    view.get_by_text("press Run").wait_for()


def test_the_other_panels_answer_to_the_keyboard(page: LabPage) -> None:
    assert page.open("others.ipynb").run_all(), page.failures()
    view = page.page.locator(".jp-OutputArea")

    page.page.get_by_label("Model").fill("RPi")  # it acts without Enter or Tab
    view.get_by_text("Model='RPi'").wait_for()

    part = page.page.get_by_label("Part", exact=True)
    part.press("Enter")  # opens the list
    page.page.keyboard.press("ArrowDown")
    page.page.keyboard.press("Enter")
    view.get_by_text("▶ cupsUri").wait_for()
    page.page.get_by_role("button", name="Next part").press("Enter")
    view.get_by_text("▶ tcUri").wait_for()

    page.page.get_by_role("button", name="Tamper this byte").press("Enter")
    view.get_by_text("✖ REFUSED").wait_for()

    page.page.get_by_role("button", name="Define update").press("Enter")
    page.page.get_by_role("button", name="Poll").press("Enter")
    view.get_by_text("IN_PROGRESS").first.wait_for()


def test_a_rollout_is_applied_paused_and_stopped_by_keyboard(seven: LabPage) -> None:
    """The plan leaves its prediction, because five of the gateways refuse the update."""
    page = seven.page
    page.get_by_role("button", name="Apply", exact=True).press("Enter")
    page.locator(".lorafw-chip", has_text="holding").wait_for()
    page.get_by_role("button", name="Abort", exact=True).press("Enter")
    page.get_by_role("alert").filter(has_text="say why").wait_for()
    page.get_by_label("Reason").fill("it is the key")
    page.get_by_role("button", name="Abort", exact=True).press("Enter")
    page.locator(".lorafw-chip", has_text="aborted").wait_for()
    assert page.get_by_label("Reason").input_value() == ""
    page.get_by_text(re.compile(r"by \S+@\S+ at .*: it is the key")).wait_for()


@pytest.mark.parametrize("width", [1280, pytest.param(1024, marks=pytest.mark.slow)])
def test_the_board_fits_its_page(page: LabPage, folder: Path, width: int) -> None:
    write_notebook(folder / "board.ipynb", BOARD)
    page.page.set_viewport_size({"width": width, "height": SIZE["height"]})
    assert page.open("board.ipynb").run_all(), page.failures()
    names = ("Poll", "Advance", "Define update", "Inject", "Heal")
    box = {name: page.page.get_by_role("button", name=name, exact=True).bounding_box() for name in names}
    assert box["Inject"]["y"] == box["Heal"]["y"]
    if width == 1280:
        assert box["Poll"]["y"] == box["Advance"]["y"]
        assert box["Define update"]["y"] == box["Heal"]["y"]
        # The controls and both logs are in view together.
        visible = page.page.locator(".jp-WindowedPanel-outer").first.bounding_box()
        assert page.page.locator(".lorafw-panel").bounding_box()["height"] <= visible["height"]
    page.page.get_by_role("button", name="Define update").press("Enter")
    page.page.locator(".jp-OutputArea").get_by_text("Update 1 of this board is defined").wait_for()
    right = page.page.evaluate("document.querySelector('.jp-OutputArea').getBoundingClientRect().right")
    view = page.page.locator(".jp-OutputArea .lorafw-view").first.bounding_box()
    assert view["x"] + view["width"] <= right  # what does not fit into it scrolls
    page.page.set_viewport_size(SIZE)


@pytest.fixture(scope="module")
def seven(browser: Any, lab: str) -> Iterator[LabPage]:
    """A page with all seven panels in one output."""
    page = LabPage(browser, lab).open("seven.ipynb")
    assert page.run_all(), page.failures()
    page.page.wait_for_function("document.querySelectorAll('.lorafw-panel[data-lm-suppress-shortcuts]').length === 7")
    yield page
    page.close()
    assert page.errors == []


@pytest.mark.parametrize("width", [SIZE["width"], pytest.param(NARROW, marks=pytest.mark.slow)])
@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_axe_finds_no_violation_in_any_panel(
    seven: LabPage, theme: str, width: int, request: pytest.FixtureRequest
) -> None:
    seven.set_theme(theme)
    seven.page.set_viewport_size({"width": width, "height": SIZE["height"]})
    request.addfinalizer(lambda: seven.page.set_viewport_size(SIZE))
    focusable_views = ".lorafw-panel .lorafw-view[tabindex]"
    if width == NARROW:
        seven.page.wait_for_selector(focusable_views)
    else:
        seven.page.wait_for_selector(focusable_views, state="detached")
    results = Axe().run(seven.page, context=".lorafw-panel")
    assert results.violations_count == 0, results.generate_report()
    checked = {rule["id"] for rule in results.response["passes"]}
    assert {"color-contrast", "label", "select-name", "button-name", "image-alt"} <= checked


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation_in_the_report_on_a_rollout_which_asks_for_nothing(
    browser: Any, tmp_path: Path, scheme: str
) -> None:
    report = read_report(carry_out(tmp_path), tmp_path / "rollout.journal")
    write_html(report, tmp_path / "report.html", [wave_course(course) for course in report.courses])
    page = browser.new_page(color_scheme=scheme)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.partition(":")[0]))
    page.goto((tmp_path / "report.html").as_uri())
    assert page.locator("img").evaluate_all("images => images.map(image => image.naturalWidth > 0)") == [True, True]
    assert set(asked) <= {"file", "data"}
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    page.close()


@pytest.mark.parametrize("control", ["button", "slider", "combobox"])
def test_a_key_that_is_pressed_in_a_panel_does_not_reach_the_notebook(seven: LabPage, control: str) -> None:
    controls = seven.page.locator(".lorafw-panel").get_by_role(control, disabled=False)
    controls.first.focus()  # makes the cell of the panel the active one
    before = seven.page.evaluate(_CELLS)
    for number in range(controls.count()):
        controls.nth(number).focus()
        for key in ("ArrowDown", "ArrowUp", "m", "a", "b", "j"):
            seven.page.keyboard.press(key)
    assert seven.page.evaluate(_CELLS) == before


_CELLS = """() => {
    const { content } = window.jupyterapp.shell.currentWidget;
    return [content.activeCellIndex, ...[...content.model.cells].map(cell => cell.type)];
}"""


def test_a_panel_shows_its_static_face_before_anything_runs(page: LabPage, folder: Path) -> None:
    spec = importlib.util.spec_from_file_location("execute", NOTEBOOKS / "execute.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    path = write_notebook(folder / "committed.ipynb", FLEET, OTHERS[0])
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    nbformat.write(script.normalise(notebook), path)
    page.open("committed.ipynb")
    assert "100 gateways" in keep(page, ".jp-OutputArea img")
    page.page.get_by_role("table", name=re.compile("^Presented: ")).wait_for()
    assert page.page.get_by_role("slider").count() == 0


def test_a_page_that_was_saved_shows_its_panels_when_it_is_opened_again(page: LabPage, folder: Path) -> None:
    path = write_notebook(folder / "saved.ipynb", OTHERS[0])
    assert page.open("saved.ipynb").run_all()
    page.page.get_by_label("Model").fill("RPi")
    page.page.locator(".jp-OutputArea").get_by_text("Model='RPi'").wait_for()
    page.save(path, "Model=&#x27;RPi&#x27;")
    page.close_notebook()
    page.open("saved.ipynb")
    page.page.locator(".jp-OutputArea").get_by_text("Model='RPi'").wait_for()


def test_a_panel_also_works_as_an_application_and_contacts_no_other_machine(browser: Any, folder: Path) -> None:
    with lab_process(folder, "--app") as url, World() as world:
        page = browser.new_page(proxy=past_loopback(world))
        page.set_default_timeout(120_000)
        page.goto(url)
        page.get_by_text(packaged_lessons()[0].name).wait_for()
        page.goto(f"{url.partition('?')[0]}voila/render/fleet.ipynb")
        before = page.wait_for_selector("img[alt*='100 gateways']").get_attribute("alt")
        assert page.get_by_text("import FleetDashboard").count() == 0
        slider(page).focus()
        page.keyboard.press("ArrowRight")
        after = page.wait_for_selector("img[alt*='105 gateways']").get_attribute("alt")
        assert after != before
        page.goto("http://example.invalid/")
        page.close()
    assert left(world)[0] == "GET http://example.invalid/ HTTP/1.1"
