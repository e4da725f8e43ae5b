"""Run a script that opens a testbed once for each other answer to an assumed decision, each time in a new process."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import runpy
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Final

from lorafw.errors import LabError
from lorafw.tasks.alternatives import Alternative
from lorafw.testbed.assumptions import (
    DependencyReport,
    EndlessRun,
    Outcome,
    assuming,
    compare_outcomes,
    poll_limit_after,
)

DEFAULT_TIMEOUT_S: Final = 300.0
_TERMINATION_TIME_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Script:
    """A script and how it is run."""

    path: Path
    arguments: tuple[str, ...] = ()
    """Its command-line arguments."""
    timeout_s: float = DEFAULT_TIMEOUT_S
    """How long a run may last."""

    def find_dependencies(self, alternatives: Sequence[Alternative]) -> DependencyReport:
        """Run the script with each of the answers, and report which of them change its exit status or its output.

        Starts processes and waits for them.

        Args:
            alternatives: The answers to try.

        Returns:
            The answers that change exit status or output, and those that were tried.

        Raises:
            LabError: The script opens no testbed, so there is nothing to vary.
        """
        default, counts = self._run(None, None, alternatives)
        if not counts.opened:
            ending = f"{default.verdict}, {default.detail or 'no message'}"
            raise LabError(f"{self.path}: it opens no Testbed, so no assumption can change what it does ({ending})")
        limit = poll_limit_after(counts.polls)
        candidates = [one for one in alternatives if str(one) in counts.can_matter]

        def run(alternative: Alternative | None) -> Outcome:
            return self._run(alternative, limit)[0]

        return compare_outcomes(run, candidates, default)

    def _run(
        self, alternative: Alternative | None, poll_limit: int | None, candidates: Sequence[Alternative] = ()
    ) -> tuple[Outcome, _Counts]:
        """Run the script in a new process. Return how it ended, and what its testbeds did.

        Args:
            alternative: The answer to use. None means those of the script's testbeds.
            poll_limit: Number of calls of ``advance`` and ``poll`` after which the run is ended. None means no limit.
            candidates: Other answers of which the run is to note whether they can matter.
        """
        with tempfile.TemporaryDirectory(prefix="lorafw-script-") as name:
            folder = Path(name)
            process = _context().Process(  # type: ignore[attr-defined]  # the stubs leave it out
                target=_run_in_child, args=(self, alternative, poll_limit, candidates, folder)
            )
            process.start()
            process.join(self.timeout_s)
            is_late = process.is_alive()
            _end(process)
            counts = _read_counts(folder)
            output = (folder / "stdout").read_text(errors="replace")
            messages = (folder / "stderr").read_text(errors="replace").strip().splitlines()
        verdict = f"exit status {process.exitcode}"
        if is_late or counts.is_endless:
            verdict = "no end"
        detail = messages[-1][:200] if messages else ""
        return Outcome(verdict, output, detail), counts


@dataclass(frozen=True, slots=True)
class _Counts:
    """What the testbeds of a run did."""

    opened: int = 0
    polls: int = 0
    is_endless: bool = False
    can_matter: tuple[str, ...] = ()
    """The other answers that can change what happens, as text."""


def _context() -> BaseContext:
    """Return the way in which processes start: from one in which lorafw is imported already, if the system can."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lorafw.testbed.warm_up"])
    return context


def _run_in_child(
    script: Script,
    alternative: Alternative | None,
    poll_limit: int | None,
    candidates: Sequence[Alternative],
    folder: Path,
) -> None:
    """Run the script in this process, which ends with it. Writes its output and the counts to the folder."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(descriptor, number)
    sys.argv = [str(script.path), *script.arguments]
    sys.path.insert(0, str(script.path.resolve().parent))
    is_endless = False
    with assuming(alternative, poll_limit) as override:
        try:
            runpy.run_path(str(script.path), run_name="__main__")
        except EndlessRun:
            is_endless = True
            raise
        finally:
            can_matter = tuple(str(one) for one in candidates if override.can_matter(one))
            counts = _Counts(override.opened, override.polls, is_endless, can_matter)
            (folder / "counts.json").write_text(json.dumps(asdict(counts)))


def _read_counts(folder: Path) -> _Counts:
    """Return the counts of a run. They are all zero if it has written none, because it was killed."""
    with contextlib.suppress(FileNotFoundError):
        return _Counts(**json.loads((folder / "counts.json").read_text()))
    return _Counts()


def _end(process: multiprocessing.process.BaseProcess) -> None:
    """End a process that is still running: with SIGTERM first, then with SIGKILL."""
    if process.is_alive():
        process.terminate()
        process.join(_TERMINATION_TIME_S)
    if process.is_alive():
        process.kill()
    process.join()
