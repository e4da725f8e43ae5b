"""Check that nbval notices a wrong digit in a printed output of a lesson.

    .venv/bin/python tests/bench/mutate_lessons.py [--seed N] [--every-cell] [LESSON ...]

In a copy of each lesson, the command changes one random digit of the printed outputs. Then it runs nbval on the copy:
exactly the changed cell must fail. With ``--every-cell`` it changes one digit in each cell that prints any. It prints
lesson and cell of each digit whose change is not noticed, and of each unchanged cell that fails. Then the exit status
is 1.
"""

from __future__ import annotations

import argparse
import random
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat

NOTEBOOKS = Path(__file__).parent.parent.parent / "notebooks"
DIGIT = re.compile(r"\d")
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist")
SANITISE = Path(__file__).parents[2] / "notebooks" / "sanitise.cfg"
NBVAL = ("--nbval", "--nbval-current-env", "--nbval-cell-timeout=120", f"--nbval-sanitize-with={SANITISE}")


@dataclass(frozen=True)
class Digit:
    """Where a digit is printed: code cell, output, member of the output, place in its text."""

    cell: int
    output: int
    member: str
    place: int


def texts(output: nbformat.NotebookNode) -> dict[str, str]:
    """What a reader reads of an output, by the member that holds it."""
    found = {name: output[name] for name in ("text", "evalue") if name in output}
    return found | {"text/plain": output.data["text/plain"]} if "text/plain" in output.get("data", {}) else found


def digits(notebook: nbformat.NotebookNode) -> Iterator[Digit]:
    """All digits that a lesson prints. Cells are numbered as nbval does: code cells only, from 0."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for number, cell in enumerate(code):
        for index, output in enumerate(cell.outputs):
            for member, text in texts(output).items():
                for found in DIGIT.finditer(text):
                    yield Digit(number, index, member, found.start())


def change(notebook: nbformat.NotebookNode, digit: Digit, luck: random.Random) -> str:
    """Write another digit in place of this one; gives the line before and after."""
    output = [cell for cell in notebook.cells if cell.cell_type == "code"][digit.cell].outputs[digit.output]
    holder = output.data if digit.member == "text/plain" else output
    text = holder[digit.member]
    other = luck.choice([one for one in "0123456789" if one != text[digit.place]])
    holder[digit.member] = text[: digit.place] + other + text[digit.place + 1 :]
    start, end = text.rfind("\n", 0, digit.place) + 1, (text + "\n").index("\n", digit.place)
    return f"{text[start:end]!r} -> {holder[digit.member][start:end]!r}"


def chosen(notebook: nbformat.NotebookNode, luck: random.Random, *, every_cell: bool) -> list[Digit]:
    """One digit of the lesson, or one of each cell that prints any."""
    found = list(digits(notebook))
    if not every_cell:
        return [luck.choice(found)] if found else []
    cells = sorted({digit.cell for digit in found})
    return [luck.choice([digit for digit in found if digit.cell == cell]) for cell in cells]


def failing_cells(path: Path) -> set[int]:
    """Run nbval on a notebook; gives the numbers of the code cells that failed."""
    report = path.with_suffix(".xml")
    command = [sys.executable, *PYTEST, *NBVAL, f"--junitxml={report}", path.name]
    done = subprocess.run(command, cwd=path.parent, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"nbval did not run {path.name}:\n{done.stdout}{done.stderr}")
    cases = ET.parse(report).getroot().iter("testcase")
    return {int(case.get("name", "").rsplit(" ", 1)[-1]) for case in cases if len(case)}


def findings(lesson: Path, luck: random.Random, *, every_cell: bool) -> list[str]:
    """What is wrong with a lesson: nothing, if it fails where it was changed and only there."""
    notebook = nbformat.read(lesson, as_version=4)
    changed = chosen(notebook, luck, every_cell=every_cell)
    if not changed:
        return [f"{lesson.name} prints no digit"]
    for digit in changed:
        print(f"{lesson.stem} cell {digit.cell}: {change(notebook, digit, luck)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / lesson.name
        nbformat.write(notebook, copy)
        failed = failing_cells(copy)
    cells = {digit.cell for digit in changed}
    unnoticed = [f"{lesson.name} cell {cell}: the changed digit was not noticed" for cell in sorted(cells - failed)]
    return unnoticed + [f"{lesson.name} cell {cell}: failed unchanged" for cell in sorted(failed - cells)]


def notebooks_with_code() -> list[Path]:
    """All notebooks but the glossary, which prints nothing."""
    found = []
    for path in sorted(NOTEBOOKS.glob("[0-9][0-9]-*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        if any(cell.cell_type == "code" for cell in cells):
            found.append(path)
    return found


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("lessons", nargs="*", type=Path, metavar="LESSON", help="notebooks; without any, all of them")
    parser.add_argument("--seed", type=int, default=0, help="which digits are chosen (default: 0)")
    parser.add_argument("--every-cell", action="store_true", help="one digit in each cell, not one in each lesson")
    given = parser.parse_args(words)
    lessons = given.lessons or notebooks_with_code()
    found = []
    for lesson in lessons:
        # Keyed by the lesson, so that another lesson beside it changes nothing here.
        luck = random.Random(f"{given.seed} {lesson.name}")
        found += findings(lesson.resolve(), luck, every_cell=given.every_cell)
    print(f"{len(lessons)} lessons changed (seed {given.seed}); findings: {len(found)}")
    for finding in found:
        print(f"  {finding}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
