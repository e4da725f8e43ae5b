"""Test lorafw with the lowest versions that pyproject.toml admits, on every Python from 3.11 that is installed.

    python tests/bench/lowest.py [--sample] [--python 3.11]

Needs uv (from PyPI) on the path. Leaves out the tests that need Chromium or a notebook.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
OLDEST = (3, 11)
SAMPLE = ("tests/test_true_causes.py", "tests/test_signing.py", "tests/test_api_shapes.py")
NEEDS_MORE = ("playwright", "nbclient", "nbformat", "jupyter", "voila", "lorafw.lab")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", action="store_true", help="a few test files only")
    parser.add_argument("--python", help="only this Python, such as 3.12")
    options = parser.parse_args()
    files = list(SAMPLE) if options.sample else test_files()
    failed = [python for python in installed_pythons(options.python) if not passes(python, files)]
    print(f"failed with: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


def installed_pythons(wanted: str | None) -> list[str]:
    """Return one interpreter for each installed Python from 3.11."""
    listed = run("uv", "python", "list", "--only-installed", "--output-format", "json", capture=True)
    found: dict[tuple[int, int], str] = {}
    for row in json.loads(listed.stdout):
        version = (row["version_parts"]["major"], row["version_parts"]["minor"])
        is_wanted = wanted is None or wanted == f"{version[0]}.{version[1]}"
        if row["implementation"] == "cpython" and version >= OLDEST and is_wanted:
            found.setdefault(version, row["path"])
    return list(found.values())


def test_files() -> list[str]:
    """Return the test files that name nothing of Chromium or notebooks."""
    paths = sorted((ROOT / "tests").glob("test_*.py"))
    return [str(path.relative_to(ROOT)) for path in paths if not any(word in path.read_text() for word in NEEDS_MORE)]


def passes(python: str, files: list[str]) -> bool:
    """Install the lowest versions into a new environment, and run the tests there."""
    print(f"== {python}", flush=True)
    with tempfile.TemporaryDirectory(prefix="lorafw-lowest-") as folder:
        inside = str(Path(folder) / "bin" / "python")
        steps = (
            ("uv", "venv", "--clear", "--python", python, folder),
            ("uv", "pip", "install", "--python", inside, "--resolution", "lowest-direct", "-e", ".[test]"),
            (inside, "-c", "import lorafw, lorafw.cli; from lorafw import Testbed"),
            (inside, "-m", "pytest", "-q", "-n", "0", *files),
        )
        return all(run(*step).returncode == 0 for step in steps)


def run(*command: str, capture: bool = False) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, text=True, capture_output=capture, check=capture)


if __name__ == "__main__":
    sys.exit(main())
