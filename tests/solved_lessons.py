"""Let nbval run each exercise of a lesson twice: as it is committed, and then with its solution.

Both runs share a kernel. To start a second one and to run the rest of the lesson again would take as long again.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Generator, Iterator
from pathlib import Path

import nbformat
import pytest
from nbval.plugin import IPyNbCell, IPyNbFile

from lorafw.lab.exercises import EXERCISES

EXERCISE_NAME = re.compile(r'check\("([^"]+)"')


class SolvedNotebook(IPyNbFile):  # type: ignore[misc]  # nbval has no type hints
    """A notebook whose exercises are run a second time, with their solutions."""

    def collect(self) -> Iterator[IPyNbCell]:
        """Yield the cells of the notebook. A cell with the solution follows each exercise."""
        for item in super().collect():
            yield item
            if is_exercise(item.cell):
                yield IPyNbCell.from_parent(
                    self,
                    name=f"{item.name} with its solution",
                    cell_num=item.cell_num,
                    cell=solved(item.cell),
                    options=item.options,
                )


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(
    file_path: Path, parent: pytest.Collector
) -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """Take the place of the collectors that nbval returns for notebooks."""
    collectors = yield
    if any(isinstance(collector, IPyNbFile) for collector in collectors):
        return [SolvedNotebook.from_parent(parent, path=file_path)]
    return collectors


def is_exercise(cell: nbformat.NotebookNode) -> bool:
    """Return whether a learner replaces the answer in this cell and `check` judges it."""
    return "exercise" in cell.metadata.get("tags", []) and EXERCISE_NAME.search(cell.source) is not None


def exercise_name(cell: nbformat.NotebookNode) -> str:
    """Return the name of the exercise in a cell, such as "01-null"."""
    (name,) = EXERCISE_NAME.findall(cell.source)
    return str(name)


def solved(cell: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return a copy of an exercise's cell that holds the solution, and prints what `check` says of a right answer."""
    name = exercise_name(cell)
    exercise = EXERCISES[name]
    with_solution = copy.deepcopy(cell)
    with_solution.source = f'{exercise.solution}\ncheck("{name}", answer)'
    with_solution.outputs = [
        nbformat.v4.new_output("stream", name="stdout", text=f"☑ correct. {exercise.explanation}\n")
    ]
    return with_solution
