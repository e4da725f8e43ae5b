"""How far long work has come, on stderr, where a person is looking."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import click

PROGRESS_BAR_MIN_GATEWAYS: Final = 2_000_000
"""From so many gateways on there is a bar."""


def account_progress() -> Callable[[int, int], None] | None:
    """What the reading of an account calls; its gateways are counted when they have been listed."""
    if not sys.stderr.isatty():
        return None

    def progress(done: int, total: int) -> None:
        click.echo(f"\rReading the account: {done} of {total} gateways", nl=done == total, err=True)

    return progress


@contextmanager
def progress_bar(gateways: int) -> Iterator[Any]:
    """A bar on long work, where a person is looking."""
    if gateways < PROGRESS_BAR_MIN_GATEWAYS or not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=gateways, label="Simulating", file=sys.stderr) as bar:
        yield bar


def progress_callback(bar: Any) -> Callable[[int, int], None] | None:
    """What a rollout calls: it counts from 0, the bar goes on from where it is."""
    if bar is None:
        return None
    before = 0

    def step(done: int, total: int) -> None:
        nonlocal before
        # A second rollout begins again at the number of its first batch.
        before = 0 if done < before or before == total else before
        bar.update(done - before)
        before = done

    return step
