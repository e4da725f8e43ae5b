"""Break the simulator in one place after another, and see the proof go red.

    python tests/bench/mutate_fleet.py

Each mutation is made in a copy of package and tests; the tests named with it run there. One that stays green is printed
as MISSED, and the exit code is 1. Takes some minutes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
TWIN, SERVICE, LAWS = "test_fleet_twin.py", "test_fleet_against_the_service.py", "test_fleet_laws.py"
FORMS = "test_fleet_closed_forms.py"

MUTATIONS = [
    ("simulation/engine.py", "lost = (way.status == _LAST) & ~way.broken", "lost = way.status == _LAST", TWIN),
    (
        "simulation/engine.py",
        "time - way.seen >= self._rules.silence_ms",
        "time - way.seen > self._rules.silence_ms",
        TWIN,
    ),
    ("simulation/engine.py", "        way.seen = way.time\n", "", TWIN),
    ("simulation/engine.py", "surely=True, broken=True", "surely=True, broken=False", SERVICE),
    ("simulation/engine.py", "shows=Shows.OTHER", "shows=Shows.OLD", SERVICE),
    ("simulation/engine.py", "self._turn += 1", "self._turn += 2", TWIN),
    ("simulation/engine.py", "arrived <= rules.horizon_ms", "arrived > -1", TWIN),
    ("simulation/polls.py", "~way.surely if turn else None", "None", TWIN),
    ("simulation/polls.py", "time = time + failed * rules.resync_ms", "time = time + failed * way.period", SERVICE),
    ("simulation/polls.py", "np.log(luck[where]) / np.log(share)", "np.log(luck[where]) / np.log(share) + 1", LAWS),
    ("simulation/downloads.py", "dropped = drops < ends", "dropped = drops < takes", TWIN),
    ("simulation/downloads.py", "+ stalls * rules.conn_timeout_ms", "", TWIN),
    ("simulation/installs.py", "np.where(runs, np.maximum(regular, installed), regular)", "regular", TWIN),
    ("simulation/installs.py", "np.maximum(way.time + way.period, arrived)", "way.time + way.period", TWIN),
    ("simulation/installs.py", "(Stream.POWER, conditions", "(Stream.INSTALL, conditions", LAWS),
    ("simulation/outages.py", "-(-left // step_ms) * step_ms", "left", TWIN),
    ("simulation/outages.py", "self.ends[before] > at", "self.ends[before] >= at", LAWS),
    (
        "simulation/gates.py",
        "seen = np.minimum(-(-after // again_ms), count)",
        "seen = np.minimum(after // again_ms, count)",
        TWIN,
    ),
    (
        "simulation/gates.py",
        'order = np.argsort(ended, axis=1, kind="stable")',
        "order = np.argsort(-ended, axis=1)",
        TWIN,
    ),
    ("plan.py", "failed / executed >= self.threshold", "failed / executed > self.threshold", FORMS),
    (
        "rollout.py",
        "late = (histories.offered_ms > stopped[:, None])",
        "late = (histories.offered_ms >= stopped[:, None])",
        TWIN,
    ),
    (
        "rollout.py",
        "self._aborted = abort_time(self._plan.abort",
        "self._aborted = self._aborted if (self._aborted < NEVER).all() else abort_time(self._plan.abort",
        TWIN,
    ),
    ("rollout.py", "| (decided > self._run.rules.horizon_ms)", "", TWIN),
    (
        "simulation/task_creation.py",
        "np.arange(size) // rate.notified",
        "np.arange(1, size + 1) // rate.notified",
        TWIN,
    ),
    ("simulation/random_streams.py", "uniform += 0.5", "uniform += 0.25", LAWS),
    ("simulation/random_streams.py", "turn * _M1", "0 * _M1", LAWS),
    (
        "simulation/runners.py",
        "part = run.part(piece if places is None else places[0, piece])",
        "part = run.part(piece)",
        LAWS,
    ),
    ("statistics/estimates.py", "count * q - half - 0.5", "count * q - half / 2 - 0.5", LAWS),
    ("statistics/estimates.py", "values.std(ddof=1)", "values.std(ddof=1) * 0.8", LAWS),
    ("statistics/closed_forms.py", "return 1.0 - succeeds[attempt - 1]", "return 1.0 - succeeds[0]", FORMS),
    ("statistics/closed_forms.py", "under = under[~met]", "under = under[: len(under)]", FORMS),
]


def main() -> None:
    missed = [mutation for mutation in MUTATIONS if not _is_caught(*mutation)]
    print(f"{len(MUTATIONS) - len(missed)} of {len(MUTATIONS)} caught")
    sys.exit(bool(missed))


def _is_caught(module: str, right: str, wrong: str, tests: str) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        for part in ("lorafw", "tests"):
            shutil.copytree(ROOT / part, Path(folder, part), ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        # A failing example has to be found, not made small.
        twin = Path(folder, "tests", TWIN)
        twin.write_text(twin.read_text().replace("Phase.generate, Phase.shrink", "Phase.generate,"))
        path = Path(folder, "lorafw", "fleet", module)
        text = path.read_text()
        if right not in text:
            raise SystemExit(f"{module} has changed: {right!r} is not in it any more")
        path.write_text(text.replace(right, wrong))
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"tests/{tests}"]
        environment = {**os.environ, "PYTHONPATH": folder}
        done = subprocess.run(command, check=False, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
        caught = done.returncode == 1
        print(f"{'caught' if caught else 'MISSED'}  {module}: {right.strip()[:70]}", flush=True)
        return caught


if __name__ == "__main__":
    main()
