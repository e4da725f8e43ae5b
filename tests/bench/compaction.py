"""End `lorafw serve --state-dir` with kill -9 while it removes old requests from its journal.

A folder is filled with requests that have no effect any more. A process opens a copy of the folder and is killed at a
random moment. Then the copy is opened again. The API must return the same as before, and at the end the journal must be
as small as after a start without a kill.

    python tests/bench/compaction.py [--kills 40] [--days 10] [--seed 1]
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from test_state_survives import cloud_in
from test_the_journal_stays_small import fill_busy_lab, requests_in, told

from lorafw.persistence import compaction

OPEN_ONLY = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_state_survives import cloud_in
from lorafw.persistence import compaction
compaction.MIN_SUPERSEDED = 20
print("begins", flush=True)
with cloud_in(Path(sys.argv[1])):
    print("open", flush=True)
"""


def start(folder: Path) -> subprocess.Popen[str]:
    """Start a process that opens the folder. Returns when it begins to do so."""
    command = [sys.executable, "-c", OPEN_ONLY, str(folder), str(Path(__file__).parents[1])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def seconds_to_start(folder: Path) -> float:
    """Return how long it takes to open the folder, without the imports."""
    process = start(folder)
    started = time.monotonic()
    process.wait()
    return time.monotonic() - started


def run(kills: int, days: int, seed: int) -> dict[str, object]:
    draw = random.Random(seed)
    problems: list[str] = []
    killed_with: list[int] = []
    with tempfile.TemporaryDirectory(prefix="lorafw-compaction-") as name:
        original = Path(name) / "state"
        before = fill_busy_lab(original, turns=days)
        start_s = min(seconds_to_start(shutil.copytree(original, original.with_name(name))) for name in ("a", "b"))
        small = requests_in(original.with_name("a"))
        for number in range(kills):
            copy = shutil.copytree(original, original.with_name(f"kill-{number}"))
            process = start(copy)
            time.sleep(draw.uniform(0, start_s))
            process.kill()
            process.wait()
            killed_with.append(requests_in(copy))
            compaction.MIN_SUPERSEDED = 1_000_000
            with cloud_in(copy) as cloud:
                if told(cloud) != before:
                    problems.append(f"after kill {number + 1} the API tells something else")
            shutil.rmtree(copy)
        requests = requests_in(original)
    problems += [f"{count} requests after a kill" for count in killed_with if count not in (requests, small)]
    return {
        "requests": requests,
        "requests after compaction": small,
        "start, s": round(start_s, 2),
        "killed before": killed_with.count(requests),
        "killed after": killed_with.count(small),
        "problems": problems,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--days", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    result = run(options.kills, options.days, options.seed)
    print(json.dumps(result, indent=2))
    return 1 if result["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
