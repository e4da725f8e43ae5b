"""The lessons: run in order, free of noise, with exercises that can be solved. nbval checks what they print."""

from __future__ import annotations

import copy
import importlib.util
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from lorafw.lab.exercises import EXERCISES, check

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
LESSONS = sorted(NOTEBOOKS.glob("[0-9][0-9]-*.ipynb"))
SOLUTION = re.compile(r"<details><summary>Solution</summary>\n\n```python\n(.*?)\n```", re.DOTALL)
NOISE = re.compile(r"/(?:tmp|home|root|work|var)/|0x[0-9a-f]{8,}|object at")


def lesson(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def printed(cell: nbformat.NotebookNode) -> str:
    return "".join(output.get("text", "") for output in cell.outputs)


@pytest.fixture(params=LESSONS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_all_cells_were_run_in_order_without_errors(path: Path) -> None:
    cells = [cell for cell in lesson(path).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        assert not cell.source.rstrip().endswith(";")
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr"


def test_no_output_shows_paths_or_addresses_of_this_machine(path: Path) -> None:
    for cell in lesson(path).cells:
        if cell.cell_type == "code":
            assert not NOISE.search(printed(cell).replace("/tmp/update.bi", "")), cell.source


def test_code_fits_next_to_the_file_list_on_a_small_screen(path: Path) -> None:
    for cell in lesson(path).cells:
        if cell.cell_type == "code":
            assert max(len(line) for line in cell.source.splitlines()) <= 106, cell.source


def test_a_lesson_states_its_duration_and_objectives_and_cleans_up(path: Path) -> None:
    cells = lesson(path).cells
    first = cells[0].source
    assert re.search(r"^# .*\?$", first, re.MULTILINE), "the title is a question"
    assert re.search(r"\*\*\d+ minutes\.\*\*", first)
    assert len(re.findall(r"^\* ", first, re.MULTILINE)) == 3
    assert "## Clean up" in cells[-3].source
    assert cells[-1].source.startswith("**Next:**")


def test_the_stated_minutes_are_enough_to_work_straight_through(path: Path) -> None:
    """Reading 238 words a minute (Brysbaert 2019), 15 s a cell of code, 90 s an exercise; in steps of five."""
    cells = lesson(path).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    words = len(re.sub(r"<details>.*?</details>|```.*?```", "", text, flags=re.DOTALL).split())
    code = sum(cell.cell_type == "code" for cell in cells)
    needed = words / 238 + code * 15 / 60 + len(exercises(lesson(path))) * 90 / 60
    stated = int(re.findall(r"\*\*(\d+) minutes\.\*\*", cells[0].source)[0])
    assert stated == 5 * round(needed / 5)
    assert 10 <= stated <= 20


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


def test_the_notebooks_are_committed_in_normalised_form(path: Path) -> None:
    spec = importlib.util.spec_from_file_location("execute", NOTEBOOKS / "execute.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    before = lesson(path)
    assert before.metadata.kernelspec.name == "python3"
    assert script.normalise(copy.deepcopy(before)) == before


def exercises(notebook: nbformat.NotebookNode) -> list[tuple[int, str]]:
    """Index of each exercise's cell, and its solution, which stands in the next cell."""
    found = []
    for index, cell in enumerate(notebook.cells):
        if "exercise" in cell.metadata.get("tags", []):
            solutions = SOLUTION.findall(notebook.cells[index + 1].source)
            assert len(solutions) == 1, f"exercise {cell.source!r} has {len(solutions)} solutions"
            found.append((index, solutions[0]))
    return found


def test_every_exercise_is_unanswered_and_its_solution_is_right(path: Path, tmp_path: Path) -> None:
    notebook = lesson(path)
    todo = exercises(notebook)
    assert 2 <= len(todo) <= 4
    for index, solution in todo:
        assert printed(notebook.cells[index]).startswith("☐ not done yet. Hint: ")
        notebook.cells[index].source = solution
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    for index, _ in todo:
        assert printed(notebook.cells[index]) == "☑ correct\n"


WRONG = [None, 0, 1.5, "", "wrong", [], {"PENDING"}, object(), lambda: None]


@pytest.mark.parametrize("name", EXERCISES)
def test_a_wrong_answer_gets_a_hint_and_never_raises(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for answer in WRONG:
        if name == "01-null" and answer is None:
            continue
        check(name, answer)
        assert capsys.readouterr().out.startswith("☒ not yet. Hint: ")


def test_the_lessons_use_every_exercise_and_no_other() -> None:
    used = [
        name for path in LESSONS for cell in lesson(path).cells for name in re.findall(r'check\("([^"]+)"', cell.source)
    ]
    assert set(used) == set(EXERCISES)


def test_an_unknown_exercise_prints_a_message_and_does_not_raise(capsys: pytest.CaptureFixture[str]) -> None:
    check("99-nothing", 1)
    assert "there is no exercise '99-nothing'" in capsys.readouterr().out
