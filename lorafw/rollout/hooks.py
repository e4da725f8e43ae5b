"""Run the hook of an operator before a wave and after a gate."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, Final

from lorafw.errors import RolloutError
from lorafw.rollout.events import HookMoment

HOOK_TIMEOUT_S: Final = 600
_TIMED_OUT: Final = 124
"""The exit status of timeout(1)."""
_NOT_STARTED: Final = 127
_MAX_OUTPUT_CHARS: Final = 500
_MAX_READ_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class HookResult:
    """How a run of the hook ended."""

    exit_status: int
    output: str
    """The last line that it printed."""


Hook = Callable[[int, HookMoment], HookResult]
"""Runs a hook for a wave, given by its index, and a moment."""


@dataclass(frozen=True, slots=True)
class CommandHook:
    """A hook that runs a command, without a shell.

    The command finds the moment in LORAFW_HOOK ("before-wave" or "after-gate"), the number of the wave in LORAFW_WAVE,
    and the plan's hash in LORAFW_PLAN.
    """

    arguments: Sequence[str]
    """The program and its arguments."""
    plan_sha256: str
    """The hash of the plan, in hexadecimal."""

    @classmethod
    def parse(cls, command: str, plan_sha256: str) -> CommandHook:
        """Return the hook for a command line.

        Args:
            command: The command line, as a person would type it into a shell.
            plan_sha256: The hash of the plan, in hexadecimal.

        Raises:
            RolloutError: The command is empty, or a quote is not closed.
        """
        try:
            arguments = shlex.split(command)
        except ValueError as error:
            raise RolloutError(f"--hook {command!r} is not a command: {error}") from error
        if not arguments:
            raise RolloutError("--hook is empty; give a command, such as './ask-me.sh'")
        return cls(tuple(arguments), plan_sha256)

    def __call__(self, wave: int, moment: HookMoment) -> HookResult:
        """Run the command and wait until it has ended.

        Args:
            wave: The index of the wave.
            moment: When the hook runs.

        Returns:
            How the command ended. A command that cannot be started, or takes too long, has a status other than 0.
        """
        environment = dict(os.environ)
        environment["LORAFW_HOOK"] = str(moment)
        environment["LORAFW_WAVE"] = str(wave + 1)
        environment["LORAFW_PLAN"] = self.plan_sha256
        # A pipe would end only when every program that the command has left running in the background has ended.
        with tempfile.TemporaryFile() as output:
            try:
                done = subprocess.run(  # noqa: S603 -- the operator's own command, without a shell
                    list(self.arguments),
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=HOOK_TIMEOUT_S,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                return HookResult(_TIMED_OUT, f"it did not end within {HOOK_TIMEOUT_S} s")
            except OSError as error:
                return HookResult(_NOT_STARTED, f"it cannot be started: {error.strerror}")
            return HookResult(done.returncode, _last_line(_read_end(output)))


def _read_end(output: IO[bytes]) -> bytes:
    """Return the end of an output, which can be long."""
    length = output.seek(0, os.SEEK_END)
    output.seek(max(0, length - _MAX_READ_BYTES))
    return output.read(_MAX_READ_BYTES)


def _last_line(output: bytes) -> str:
    """Return the last line of an output that is not empty."""
    lines = [line for line in output.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip()[:_MAX_OUTPUT_CHARS] if lines else ""
