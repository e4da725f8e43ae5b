"""Break the simulator in one place after the other, and check that its tests fail.

    python tests/bench/mutate_fleet.py [NUMBER ...]

Each mutation is made in a copy of the package and its tests, and the tests named with it run there. A mutation that
they do not notice is printed as MISSED, and the exit code is 1. Without numbers all mutations run, which takes some
minutes. ``tests/test_mutate_fleet.py`` checks that each mutation still fits the code.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
TWIN, SERVICE, LAWS = "test_fleet_twin.py", "test_fleet_against_the_service.py", "test_fleet_laws.py"
FORMS = "test_fleet_closed_forms.py"


class Mutation(NamedTuple):
    """One fault that is put into the simulator."""

    module: str
    """The module, relative to lorafw/fleet."""
    right: str
    """Text that occurs once in the module."""
    wrong: str
    """Text to put in its place."""
    tests: str
    """The test file that must fail."""

    @property
    def path(self) -> Path:
        """The module, relative to the root of the repository."""
        return Path("lorafw", "fleet", self.module)


MUTATIONS = (
    Mutation(
        "simulation/version_check.py",
        "failed = (active.status == _SECOND_RETRY) & ~active.download_broken",
        "failed = active.status == _SECOND_RETRY",
        TWIN,
    ),
    Mutation(
        "simulation/silence.py",
        "silence_ms >= params.silence_timeout_ms",
        "silence_ms > params.silence_timeout_ms",
        TWIN,
    ),
    Mutation(
        "simulation/version_check.py", "    active = replace(active, last_request_ms=active.next_event_ms)\n", "", TWIN
    ),
    Mutation(
        "simulation/downloads.py",
        "poll_certain=True, download_broken=True",
        "poll_certain=True, download_broken=False",
        SERVICE,
    ),
    Mutation(
        "simulation/version_check.py", "presented=PresentedVersion.OTHER", "presented=PresentedVersion.OLD", SERVICE
    ),
    Mutation("simulation/engine.py", "step_number += 1", "step_number += 2", TWIN),
    Mutation(
        "simulation/polls.py",
        "active.next_event_ms <= step.params.horizon_ms",
        "active.next_event_ms > -1",
        TWIN,
    ),
    Mutation("simulation/polls.py", "missed &= ~active.poll_certain", "pass", TWIN),
    Mutation(
        "simulation/polls.py",
        "exchange_ms + errors * params.resync_ms",
        "exchange_ms + errors * active.period_ms",
        SERVICE,
    ),
    Mutation(
        "simulation/polls.py",
        "np.log(numbers[index]) / np.log(probability)",
        "np.log(numbers[index]) / np.log(probability) + 1",
        LAWS,
    ),
    Mutation(
        "simulation/downloads.py", "dropped = interrupted_ms < end_ms", "dropped = interrupted_ms < duration_ms", TWIN
    ),
    Mutation("simulation/downloads.py", " + stalled * step.params.conn_timeout_ms", "", TWIN),
    Mutation(
        "simulation/installs.py",
        "after_install_ms = np.maximum(regular_ms, installed_ms)",
        "after_install_ms = regular_ms",
        TWIN,
    ),
    Mutation(
        "simulation/installs.py",
        "np.maximum(active.next_event_ms + active.period_ms, delivered_ms)",
        "active.next_event_ms + active.period_ms",
        TWIN,
    ),
    Mutation("simulation/installs.py", "probability(Stream.POWER", "probability(Stream.INSTALL", LAWS),
    Mutation("simulation/outages.py", "divide_rounding_up(remaining_ms, step_ms) * step_ms", "remaining_ms", TWIN),
    Mutation(
        "simulation/outages.py",
        "self._end_of_previous(shifted_ms) > shifted_ms",
        "self._end_of_previous(shifted_ms) >= shifted_ms",
        LAWS,
    ),
    Mutation(
        "simulation/gates.py",
        "np.minimum(divide_rounding_up(waiting_ms, check_interval_ms), max_checks)",
        "np.minimum(waiting_ms // check_interval_ms, max_checks)",
        TWIN,
    ),
    Mutation(
        "simulation/gates.py",
        'order = np.argsort(ended_ms, axis=1, kind="stable")',
        "order = np.argsort(-ended_ms, axis=1)",
        TWIN,
    ),
    Mutation("plan.py", "failed / executed >= self.threshold", "failed / executed > self.threshold", FORMS),
    Mutation(
        "simulation/histories.py",
        "discarded = (histories.offered_ms > stopped_column)",
        "discarded = (histories.offered_ms >= stopped_column)",
        TWIN,
    ),
    Mutation(
        "rollout.py",
        "np.minimum(gate_abort_ms, _criterion_met_ms(self._plan, self._histories))",
        "np.minimum(np.minimum(gate_abort_ms, stop_ms), _criterion_met_ms(self._plan, self._histories))",
        TWIN,
    ),
    Mutation("rollout.py", " | (decided_ms > horizon_ms)", "", TWIN),
    Mutation(
        "simulation/task_creation.py",
        "np.arange(size) // rate.notified",
        "np.arange(1, size + 1) // rate.notified",
        TWIN,
    ),
    Mutation("simulation/random_streams.py", "numbers += 0.5", "numbers += 0.25", LAWS),
    Mutation("simulation/random_streams.py", "step * _M1", "0 * _M1", LAWS),
    Mutation(
        "simulation/runners.py",
        "piece_index = piece if gateway_index is None else gateway_index[0, piece]",
        "piece_index = piece",
        LAWS,
    ),
    Mutation(
        "statistics/estimates.py",
        "count * quantile - half_width - 0.5",
        "count * quantile - half_width / 2 - 0.5",
        LAWS,
    ),
    Mutation("statistics/estimates.py", "values.std(ddof=1)", "values.std(ddof=1) * 0.8", LAWS),
    Mutation(
        "statistics/closed_forms.py",
        "return 1.0 - success_probabilities[attempt - 1]",
        "return 1.0 - success_probabilities[0]",
        FORMS,
    ),
    Mutation("statistics/closed_forms.py", "not_met = not_met[~met]", "not_met = not_met[: len(not_met)]", FORMS),
)


def main() -> None:
    """Run the mutations that the command line names, or all of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("number", nargs="*", type=int, help=f"number of a mutation, from 1 to {len(MUTATIONS)}")
    numbers = parser.parse_args().number or range(1, len(MUTATIONS) + 1)
    outside = [number for number in numbers if not 1 <= number <= len(MUTATIONS)]
    if outside:
        parser.error(f"there is no mutation {outside[0]}; there are {len(MUTATIONS)}")
    mutations = [MUTATIONS[number - 1] for number in numbers]
    caught_count = sum([is_caught(mutation) for mutation in mutations])
    print(f"{caught_count} of {len(mutations)} caught")
    sys.exit(caught_count < len(mutations))


def mutated_text(mutation: Mutation, text: str) -> str:
    """Return the text of the module with the mutation in it.

    Raises:
        ValueError: The text to replace does not occur once.
    """
    count = text.count(mutation.right)
    if count != 1:
        raise ValueError(f"{mutation.module}: {mutation.right!r} occurs {count} times; mend the table of mutations")
    return text.replace(mutation.right, mutation.wrong)


def is_caught(mutation: Mutation) -> bool:
    """Make the mutation in a copy, run its tests there, and return whether they fail. Prints the result."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_repository(folder)
        path = folder / mutation.path
        path.write_text(mutated_text(mutation, path.read_text()))
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider"]
        environment = {**os.environ, "PYTHONPATH": name}
        run = subprocess.run(
            [*command, f"tests/{mutation.tests}"],
            check=False,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
    # Exit code 1 means that tests failed; any other one but 0 means that pytest could not run them.
    caught = run.returncode == 1
    result = "caught" if caught else "MISSED"
    print(f"{result}  {mutation.module}: {mutation.right.strip()[:70]}", flush=True)
    return caught


def copy_repository(folder: Path) -> None:
    """Copy the package, its tests and their configuration. Changes the copied twin test to fail sooner."""
    for part in ("lorafw", "tests"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    # A failing example has to be found. Hypothesis need not shrink it.
    twin = folder / "tests" / TWIN
    twin.write_text(twin.read_text().replace("Phase.generate, Phase.shrink", "Phase.generate,"))


if __name__ == "__main__":
    main()
