"""The lessons can be run in order, and their exercises can be solved. nbval checks what they print.

Ten questions, capstone and appendices are no lessons. They obey the same rules, except those for lessons only.
"""

from __future__ import annotations

import copy
import importlib.util
import math
import re
from pathlib import Path

import nbformat
import pytest
from solved_lessons import SolvedNotebook, exercise_name, is_exercise, solved

from lorafw.lab.evidence import SOURCES, TAG, UNLINKED_TAG
from lorafw.lab.exercises import EXERCISES, QUESTIONS, check
from lorafw.tasks.decision import Evidence
from lorafw.tasks.policy import all_decisions

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
ALL = sorted(NOTEBOOKS.glob("[0-9][0-9]-*.ipynb"))
COMPANIONS = ("12", "13", "14", "15")
"""The numbers of the ten questions, the capstone, the errata and the glossary. All other notebooks are lessons."""
LESSONS = [path for path in ALL if not path.name.startswith(COMPANIONS)]
GLOSSARY = NOTEBOOKS / "15-glossary.ipynb"
NOISE = re.compile(r"/(?:tmp|home|root|work|var)/|0x[0-9a-f]{8,}|object at")


def lesson(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def printed(cell: nbformat.NotebookNode) -> str:
    return "".join(output.get("text", "") for output in cell.outputs)


@pytest.fixture(params=LESSONS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture(params=ALL, ids=lambda path: path.stem)
def any_path(request: pytest.FixtureRequest) -> Path:
    return request.param


def prose(path: Path) -> str:
    """Return the text cells of a notebook."""
    return "\n\n".join(cell.source for cell in lesson(path).cells if cell.cell_type == "markdown")


def test_all_cells_were_run_in_order_without_errors(any_path: Path) -> None:
    cells = [cell for cell in lesson(any_path).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        assert not cell.source.rstrip().endswith(";")
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr"


def test_no_output_shows_paths_or_addresses_of_this_machine(any_path: Path) -> None:
    for cell in lesson(any_path).cells:
        if cell.cell_type == "code":
            assert not NOISE.search(printed(cell).replace("/tmp/update.bi", "")), cell.source


def test_code_fits_next_to_the_file_list_on_a_small_screen(any_path: Path) -> None:
    for cell in lesson(any_path).cells:
        if cell.cell_type == "code":
            assert max(len(line) for line in cell.source.splitlines()) <= 106, cell.source


def test_a_lesson_states_its_duration_and_objectives_and_cleans_up(path: Path) -> None:
    cells = lesson(path).cells
    first = cells[0].source
    assert re.search(r"^# .*\?$", first, re.MULTILINE), "the title is a question"
    assert re.search(r"\*\*\d+ minutes\.\*\*", first)
    assert len(re.findall(r"^\* ", first, re.MULTILINE)) == 3
    assert "## Clean up" in cells[-3].source
    assert "## Key points" in cells[-3].source
    assert cells[-1].source.startswith("**Next:**")


def test_a_lesson_begins_with_what_is_at_stake_and_ends_nearer_to_it(path: Path) -> None:
    cells = lesson(path).cells
    assert "**At stake.**" in cells[0].source
    assert "**Where you stand.**" in cells[-3].source


OPEN_ENDED_MINUTES = 5
CAPSTONE_MINUTES = 6 * OPEN_ENDED_MINUTES
"""Five causes and a repair."""


def counted_minutes(notebook: nbformat.NotebookNode) -> float:
    """150 words a minute, 4 s a line of code, 12 s an output, 2 minutes an exercise, 5 minutes an open-ended one."""
    minutes = 0.0
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if cell.cell_type == "markdown":
            text = re.sub(r"\]\([^)]*\)|<svg.*?</svg>", " ", cell.source, flags=re.DOTALL)
            minutes += len(text.split()) / 150
        elif "capstone" in tags:
            minutes += CAPSTONE_MINUTES
        elif "open-ended" in tags:
            minutes += OPEN_ENDED_MINUTES
        elif "exercise" in tags or "question" in tags:
            minutes += 2
        else:
            lines = [line for line in cell.source.splitlines() if line.strip()]
            minutes += len(lines) * 4 / 60 + bool(cell.outputs) * 12 / 60
    return minutes


def test_the_stated_minutes_are_the_counted_ones_rounded_up_to_five(any_path: Path) -> None:
    notebook = lesson(any_path)
    stated = re.findall(r"\*\*(\d+) minutes\.\*\*", notebook.cells[0].source)
    if any_path == GLOSSARY:
        assert not stated
        return
    assert int(stated[0]) == 5 * math.ceil(counted_minutes(notebook) / 5)


def test_no_lesson_takes_more_than_25_minutes_without_its_open_ended_exercise(path: Path) -> None:
    notebook = lesson(path)
    open_ended = sum("open-ended" in cell.metadata.get("tags", []) for cell in notebook.cells)
    assert counted_minutes(notebook) - open_ended * OPEN_ENDED_MINUTES <= 25


def test_every_tag_is_linked_to_a_source_with_page_section_and_date(any_path: Path) -> None:
    text = prose(any_path)
    assert not UNLINKED_TAG.findall(text)
    titles = {source.url: source.title for source in SOURCES.values()}
    for _, url, title in TAG.findall(text):
        assert titles[url] == title


def test_the_table_of_sources_has_an_address_a_page_a_section_and_a_date_for_each_and_none_is_unused() -> None:
    used = {url for path in ALL for _, url, _ in TAG.findall(prose(path))}
    assert len({source.url for source in SOURCES.values()}) == len(SOURCES)
    for key, source in SOURCES.items():
        assert source.url.startswith("https://"), key
        assert source.page, key
        assert source.section, key
        assert re.search(r"20\d\d", source.date), key
        assert source.url in used, f"no tag is linked to {key}"


def test_the_lessons_link_to_every_word_of_the_glossary_and_to_no_other() -> None:
    words = re.findall(r"^## (\S+)$", prose(GLOSSARY), re.MULTILINE)
    assert words == sorted(words)
    linked = {word for path in LESSONS for word in re.findall(r"15-glossary\.ipynb#([\w-]+)", prose(path))}
    assert linked == set(words)


def test_lesson_00_lists_every_lesson_with_its_minutes() -> None:
    cells = [cell.source for cell in lesson(LESSONS[0]).cells if cell.cell_type == "markdown"]
    told = [row for cell in cells for row in re.findall(r"^\| (\d\d) \| (.*) \| (\d+) \|$", cell, re.MULTILINE)]
    wanted = []
    for path in LESSONS:
        first = lesson(path).cells[0].source
        title = first.splitlines()[0].removeprefix("# ")
        words = "this one" if path == LESSONS[0] else f"[{title}]({path.name})"
        wanted.append((path.name[:2], words, re.findall(r"\*\*(\d+) minutes\.\*\*", first)[0]))
    assert told == wanted
    assert f"| all of them | {sum(int(minutes) for _, _, minutes in wanted)} |" in "".join(cells)


def test_lesson_00_says_how_many_decisions_are_assumed() -> None:
    decisions = all_decisions()
    assumed = sum(decision.tag is Evidence.ASSUMED for decision in decisions)
    stated = re.findall(r"answer (\d+) questions about it, and (\d+) of the answers are \*assumed\*", prose(LESSONS[0]))
    assert stated == [(str(len(decisions)), str(assumed))]


def test_the_notebooks_are_committed_in_normalised_form(any_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("execute", NOTEBOOKS / "execute.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    before = lesson(any_path)
    assert before.metadata.kernelspec.name == "python3"
    assert script.normalise(copy.deepcopy(before)) == before


def exercises(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Return the cells that hold an exercise."""
    return [cell for cell in notebook.cells if is_exercise(cell)]


def test_every_exercise_is_committed_without_an_answer(path: Path) -> None:
    cells = exercises(lesson(path))
    assert 2 <= len(cells) <= 4
    for cell in cells:
        assert printed(cell) == "☐ not done yet\n"


def test_nbval_runs_the_solution_of_every_exercise_after_it(path: Path, request: pytest.FixtureRequest) -> None:
    items = list(SolvedNotebook.from_parent(request.session, path=path).collect())
    solutions = [item.cell.source for item in items if item.name.endswith(" with its solution")]
    assert solutions == [solved(cell).source for cell in exercises(lesson(path))]


def test_each_lesson_imports_what_helps_with_its_exercises(path: Path) -> None:
    setup = next(cell.source for cell in lesson(path).cells if cell.cell_type == "code")
    (names,) = re.findall(r"^from lorafw.lab import (.*)$", setup, re.MULTILINE)
    assert {"check", "hint", "solution"} <= set(names.split(", "))


def test_each_lesson_has_one_open_ended_exercise_and_its_cell_is_tagged(path: Path) -> None:
    notebook = lesson(path)
    cells = exercises(notebook)
    tagged = {exercise_name(cell) for cell in cells if "open-ended" in cell.metadata.tags}
    assert tagged == {exercise_name(cell) for cell in cells if EXERCISES[exercise_name(cell)].is_open_ended}
    assert len(tagged) == 1


WRONG = [None, 0, 1.5, "", "wrong", [], {"PENDING"}, object(), lambda: None]


@pytest.mark.parametrize("name", EXERCISES)
def test_a_wrong_answer_never_raises_and_gives_neither_hint_nor_solution_away(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    exercise = EXERCISES[name]
    for answer in WRONG:
        if name == "01-null" and answer is None:
            continue
        check(name, answer)
        told = capsys.readouterr().out
        assert told.startswith("☒ not yet")
        for secret in (*exercise.hints, exercise.solution, exercise.explanation):
            assert secret not in told


def test_the_lessons_use_every_exercise_and_no_other() -> None:
    code = "\n".join(cell.source for path in LESSONS for cell in lesson(path).cells if cell.cell_type == "code")
    assert set(re.findall(r'check\("([^"]+)"', code)) == set(EXERCISES)
    assert set(re.findall(r'choose\("([^"]+)"', code)) == set(QUESTIONS)


def test_an_unknown_exercise_prints_a_message_and_does_not_raise(capsys: pytest.CaptureFixture[str]) -> None:
    check("99-nothing", 1)
    assert "there is no exercise '99-nothing'" in capsys.readouterr().out
