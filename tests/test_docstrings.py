"""The docstrings of the package say what pydoclint and CONTRIBUTING ask for. ruff checks their form (rules D)."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
Function = ast.FunctionDef | ast.AsyncFunctionDef

FINDING = re.compile(r"(?P<path>.+\.py):(?P<line>\d+): (?P<code>DOC\d+): (?P<text>.*)")
MANY_PARAMETERS = 3
"""A function with this many parameters describes them. With fewer, the first line may say all there is to say."""

ARGUMENTS = {"DOC101", "DOC103"}
RESULTS = {"DOC201", "DOC402"}
MISSING_RAISES = "DOC501"
ERRORS_OF_OTHERS = {"DOC502", "DOC503"}
"""A docstring also lists errors that functions raise which are called, and pydoclint sees only the function itself."""


class Finding(NamedTuple):
    """One line of pydoclint."""

    path: str
    line: int
    code: str
    text: str


def run_pydoclint(*paths: str | Path) -> list[Finding]:
    """Return the findings of pydoclint with the settings of pyproject.toml."""
    command = [
        *(sys.executable, "-c", "from pydoclint.main import main; main()"),
        *("--quiet", "--config", str(ROOT / "pyproject.toml"), "--show-filenames-in-every-violation-message", "True"),
        *map(str, paths),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    findings = [match for line in lines if (match := FINDING.match(line.strip()))]
    assert len(findings) == sum("DOC" in line for line in lines), done.stdout + done.stderr
    assert done.returncode == bool(findings), done.stderr
    return [Finding(match["path"], int(match["line"]), match["code"], match["text"]) for match in findings]


@cache
def functions_by_line(path: str) -> dict[int, Function]:
    """Return the functions of a module by the line of their ``def``."""
    tree = ast.parse((ROOT / path).read_text())
    return {node.lineno: node for node in ast.walk(tree) if isinstance(node, Function)}


def parameter_count(function: Function) -> int:
    """Return how many parameters a caller can give."""
    arguments = function.args
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")])


def only_raises_again(function: Function) -> bool:
    """Return True if each raise statement of a function has no operand: the error is one of a function it calls."""
    return all(node.exc is None for node in ast.walk(function) if isinstance(node, ast.Raise))


def is_accepted(finding: Finding) -> bool:
    """Return True if CONTRIBUTING does not ask for what pydoclint misses."""
    if finding.code in ERRORS_OF_OTHERS:
        return True
    function = functions_by_line(finding.path).get(finding.line)
    if function is None:
        return False
    docstring = ast.get_docstring(function) or ""
    if finding.code in ARGUMENTS:
        return "Args:" not in docstring and parameter_count(function) < MANY_PARAMETERS
    if finding.code in RESULTS:
        return re.match(r".*\b(return|yield)s?\b|Whether\b", docstring, re.IGNORECASE) is not None
    return finding.code == MISSING_RAISES and only_raises_again(function)


def test_docstrings_name_all_arguments_results_and_errors() -> None:
    findings = [finding for finding in run_pydoclint("lorafw") if not is_accepted(finding)]
    assert not findings, "\n".join(f"{path}:{line}: {code}: {text}" for path, line, code, text in findings)


BAD = {
    "an argument is missing": ('"""Return a.\n\n    Args:\n        a: A number.\n    """', "return a"),
    "three arguments without a section": (
        '"""Return a.\n\n    Raises:\n        ValueError: Never.\n    """',
        "return a",
    ),
    "the result is not described": (
        '"""Add.\n\n    Args:\n        a: A.\n        b: B.\n        c: C.\n    """',
        "return a",
    ),
    "the error is not listed": (
        '"""Fail.\n\n    Args:\n        a: A.\n        b: B.\n        c: C.\n    """',
        "raise ValueError(a)",
    ),
}


@pytest.mark.parametrize(("docstring", "body"), BAD.values(), ids=BAD)
def test_a_docstring_with_a_gap_is_found(tmp_path: Path, docstring: str, body: str) -> None:
    module = tmp_path / "module.py"
    module.write_text(f"def f(a: int, b: int, c: int) -> int:\n    {docstring}\n    {body}\n")
    findings = run_pydoclint(module)
    assert any(not is_accepted(finding) for finding in findings)
