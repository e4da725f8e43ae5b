"""Measure the processor time that the pytest plugin costs a suite that does not use it, and what it imports.

    python tests/bench/plugin_cost.py            # 15 pairs of runs
    python tests/bench/plugin_cost.py --pairs 5

The suite has one hundred empty tests. It runs with the plugin and without it, in turn, each time in a new process.
The figures are medians of the processor time, which other programs of the machine hardly change.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

LIMIT_MS = 20.0
SUITE = """
import sys
import pytest


@pytest.mark.parametrize("number", range(100))
def test_nothing(number):
    pass


def test_the_imports():
    names = [name for name in sys.modules if name.split(".")[0] in ("lorafw", "botocore", "boto3", "moto")]
    print("imported:", *sorted(names))
"""


def used_by_children_s() -> float:
    """Return the processor time of all processes that this one has started and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run(folder: Path, *options: str) -> tuple[float, str]:
    """Run the suite in a new process. Return the processor time in milliseconds, and the names that it prints."""
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", *options]
    before_s = used_by_children_s()
    variables = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": ""}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, env=variables)
    used_s = used_by_children_s() - before_s
    imported = next(line for line in done.stdout.splitlines() if "imported:" in line)
    return used_s * 1000, imported.partition("imported:")[2].strip()


def main() -> int:
    """Measure and print. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=15)
    options = parser.parse_args()
    with_ms, without_ms = [], []
    imported = ""
    with tempfile.TemporaryDirectory(prefix="lorafw-bench-") as name:
        folder = Path(name)
        (folder / "test_it.py").write_text(SUITE)
        run(folder, "-p", "lorafw.pytest_plugin")  # writes the byte code
        for _ in range(options.pairs):
            without_ms.append(run(folder)[0])
            used_ms, imported = run(folder, "-p", "lorafw.pytest_plugin")
            with_ms.append(used_ms)
    cost_ms = statistics.median(with_ms) - statistics.median(without_ms)
    print(f"imported with the plugin: {imported}")
    print(f"with {statistics.median(with_ms):.0f} ms, without {statistics.median(without_ms):.0f} ms")
    print(f"the plugin costs {cost_ms:.1f} ms (limit {LIMIT_MS:.0f} ms)")
    is_light = "botocore" not in imported and "moto" not in imported
    return int(not is_light or cost_ms > LIMIT_MS)


if __name__ == "__main__":
    raise SystemExit(main())
