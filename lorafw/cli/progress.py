"""Show the progress of long work on standard error, if that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import click

PROGRESS_BAR_MIN_GATEWAYS: Final = 2_000_000
"""Number of simulated gateways from which on a progress bar is shown. Less work takes about a second."""


def account_progress() -> Callable[[int, int], None] | None:
    """Return a callback that shows how many gateways of an account were read.

    Returns:
        A function to call as ``progress(done, total)``, or None if standard error is not a terminal.
    """
    if not sys.stderr.isatty():
        return None
    return _show_account_progress


def _show_account_progress(done: int, total: int) -> None:
    """Overwrite the current line of standard error."""
    click.echo(f"\rReading the account: {done} of {total} gateways", nl=done == total, err=True)


class RolloutProgress:
    """A callback for ``simulate`` and ``compare`` that advances one progress bar over several rollouts.

    Each rollout counts its gateways from 0. The bar counts the gateways of all rollouts.
    """

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._reported = 0
        """Gateways of the current rollout that the bar has been told of."""

    def __call__(self, done: int, total: int) -> None:
        """Advance the bar.

        Args:
            done: Gateways of the current rollout that have been simulated.
            total: Gateways of the current rollout.
        """
        is_next_rollout = done < self._reported or self._reported == total
        if is_next_rollout:
            self._reported = 0
        self._bar.update(done - self._reported)
        self._reported = done


@contextmanager
def rollout_progress(gateway_count: int) -> Iterator[RolloutProgress | None]:
    """Show a progress bar during the block.

    Args:
        gateway_count: Number of gateways that the rollouts in the block simulate in total.

    Yields:
        The callback for the rollouts, or None if the work is short or standard error is not a terminal.
    """
    if gateway_count < PROGRESS_BAR_MIN_GATEWAYS or not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=gateway_count, label="Simulating", file=sys.stderr) as bar:
        yield RolloutProgress(bar)
