"""The script that changes a printed digit changes only one, and says if nobody notices it."""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from nbclient import NotebookClient

SCRIPT = Path(__file__).parent / "bench" / "mutate_lessons.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutate_lessons", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def lesson(folder: Path, *cells: nbformat.NotebookNode) -> Path:
    """A small lesson that has been run."""
    notebook = nbformat.v4.new_notebook(cells=list(cells))
    NotebookClient(notebook, kernel_name="python3").execute()
    path = folder / "00-small.ipynb"
    nbformat.write(notebook, path)
    return path


def test_a_change_is_one_other_digit_and_equal_for_equal_seeds(script: ModuleType, tmp_path: Path) -> None:
    path = lesson(tmp_path, nbformat.v4.new_code_cell("print('a 17 b')\n2**10"))
    results = set()
    for seed in (1, 1, 2, 3, 4, 5, 6, 7):
        notebook = nbformat.read(path, as_version=4)
        luck = random.Random(seed)
        (digit,) = script.chosen(notebook, luck, every_cell=False)
        before, _, after = script.change(notebook, digit, luck).partition(" -> ")
        assert len(before) == len(after)
        assert sum(one != other for one, other in zip(before, after, strict=True)) == 1
        results.add(after)
    assert 2 <= len(results) <= 7


def test_a_change_that_is_noticed_is_no_finding(script: ModuleType, tmp_path: Path) -> None:
    path = lesson(tmp_path, nbformat.v4.new_code_cell("print(1)"), nbformat.v4.new_code_cell("2"))
    assert script.main([str(path), "--every-cell"]) == 0


def test_an_unnoticed_change_is_a_finding_and_so_is_a_cell_that_fails_without_a_change(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = lesson(
        tmp_path,
        nbformat.v4.new_code_cell("print(1)"),
        nbformat.v4.new_code_cell("print(2)", metadata={"tags": ["nbval-ignore-output"]}),
        nbformat.v4.new_code_cell("import random\nprint(random.choices('abcdefgh', k=20))"),
    )
    assert script.main([str(path), "--every-cell"]) == 1
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "1 lessons changed (seed 0); findings: 2",
        "  00-small.ipynb cell 1: the changed digit was not noticed",
        "  00-small.ipynb cell 2: failed unchanged",
    ]
