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
_STDOUT_DESCRIPTOR: Final = 1
_STDERR_DESCRIPTOR: Final = 2
_TERMINATION_TIME_S: Final = 5.0
"""How long a process may take to exit after SIGTERM."""
_MAX_DETAIL_CHARS: Final = 200


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
        # 1. Run the script with lorafw's answers. This shows which questions its testbeds ask.
        default, counts = self._run_in_process(alternatives_to_check=alternatives)
        if not counts.opened:
            ending = f"{default.verdict}, {default.detail or 'no message'}"
            raise LabError(f"{self.path}: it opens no Testbed, so no assumption can change what it does ({ending})")
        # 2. Run it with each other answer to one of these questions.
        poll_limit = poll_limit_after(counts.polls)
        relevant = [alternative for alternative in alternatives if str(alternative) in counts.relevant]

        def run_with(alternative: Alternative | None) -> Outcome:
            outcome, _ = self._run_in_process(alternative, poll_limit=poll_limit)
            return outcome

        return compare_outcomes(run_with, relevant, default)

    def _run_in_process(
        self,
        alternative: Alternative | None = None,
        *,
        poll_limit: int | None = None,
        alternatives_to_check: Sequence[Alternative] = (),
    ) -> tuple[Outcome, _Counts]:
        """Run the script in a new process.

        Args:
            alternative: The answer to use. None means those of the script's testbeds.
            poll_limit: Number of calls of ``advance`` and ``poll`` after which the run is ended. None means no limit.
            alternatives_to_check: Other answers. The run finds out which of them could change what the script does.

        Returns:
            How the script ended, and what its testbeds did.
        """
        with tempfile.TemporaryDirectory(prefix="lorafw-script-") as name:
            folder = Path(name)
            process = _process_context().Process(  # type: ignore[attr-defined]  # the stubs leave it out
                target=_run_in_child, args=(self, alternative, poll_limit, alternatives_to_check, folder)
            )
            process.start()
            process.join(self.timeout_s)
            is_late = process.is_alive()
            _kill_if_running(process)
            counts = _read_counts(folder)
            output = (folder / "stdout").read_text(errors="replace")
            messages = (folder / "stderr").read_text(errors="replace").strip().splitlines()
        verdict = f"exit status {process.exitcode}"
        if is_late or counts.is_endless:
            verdict = "no end"
        detail = ""
        if messages:
            detail = messages[-1][:_MAX_DETAIL_CHARS]
        return Outcome(verdict, output, detail), counts


@dataclass(frozen=True, slots=True)
class _Counts:
    """What the testbeds of a run did."""

    opened: int = 0
    """Number of testbeds that the script opened."""
    polls: int = 0
    """Number of calls of ``advance`` and ``poll``."""
    is_endless: bool = False
    """Whether the run was ended because it exceeded the limit of calls."""
    relevant: tuple[str, ...] = ()
    """The other answers, as text, to questions that the testbeds asked. All others cannot change what happens."""


def _process_context() -> BaseContext:
    """Return the fastest way to start processes on this system.

    A fork server has imported lorafw already. Windows has none, so there every process imports lorafw again.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lorafw.testbed.warm_up"])
    return context


def _run_in_child(
    script: Script,
    alternative: Alternative | None,
    poll_limit: int | None,
    alternatives_to_check: Sequence[Alternative],
    folder: Path,
) -> None:
    """Run the script in this process, which ends with it. Writes its output and the counts to the folder."""
    _redirect_to_file(_STDOUT_DESCRIPTOR, folder / "stdout")
    _redirect_to_file(_STDERR_DESCRIPTOR, folder / "stderr")
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
            relevant = tuple(str(answer) for answer in alternatives_to_check if override.can_matter(answer))
            counts = _Counts(override.opened, override.polls, is_endless, relevant)
            (folder / "counts.json").write_text(json.dumps(asdict(counts)))


def _redirect_to_file(descriptor: int, path: Path) -> None:
    """Let everything that is written to a file descriptor go to a file."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(file, descriptor)


def _read_counts(folder: Path) -> _Counts:
    """Return the counts of a run. They are all zero if it has written none, because it was killed."""
    with contextlib.suppress(FileNotFoundError):
        return _Counts(**json.loads((folder / "counts.json").read_text()))
    return _Counts()


def _kill_if_running(process: multiprocessing.process.BaseProcess) -> None:
    """End a process that is still running: with SIGTERM first, then with SIGKILL."""
    if process.is_alive():
        process.terminate()
        process.join(_TERMINATION_TIME_S)
    if process.is_alive():
        process.kill()
    process.join()
