"""Reads the journal of a rollout for the monitor, and follows it while ``apply`` writes it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from lorafw.lab.panels.background import running_loop
from lorafw.lab.panels.rollout_view import MonitorView
from lorafw.rollout import SavedPlan
from lorafw.rollout.journal_reader import JournalReader

FOLLOW_INTERVAL_S: Final = 0.5
"""Shortest time between two looks at the journal's files."""
MAX_READING_SHARE: Final = 0.2
"""Largest share of the time in which the journal is read. The first time, that of 40,000 gateways takes seconds."""

Fingerprint = tuple[tuple[int, int], ...]
"""The size in bytes and the time of change in nanoseconds of each file of a journal."""


class MonitorReader:
    """Reads a journal that ``apply`` may be writing at the same time, and notices when it has changed."""

    def __init__(self, plan: SavedPlan, journal: Path) -> None:
        """Prepare to read. Nothing is read yet.

        Args:
            plan: The saved plan whose rollout the journal describes.
            journal: The file of the journal. It may not exist yet.
        """
        self._journal = journal
        self._journal_reader = JournalReader(plan, journal)
        self._readings_begun = 0
        self._fingerprint: Fingerprint = ()
        """The state of the files when the latest reading began."""

    def has_changed(self) -> bool:
        """Return whether the journal has been written to since the latest reading began."""
        return fingerprint(self._journal) != self._fingerprint

    def read(self, wave: int) -> MonitorView:
        """Read what was added to the journal.

        Args:
            wave: The wave to draw: its index from 0, or CURRENT_WAVE.

        Returns:
            What was read.

        Raises:
            JournalError: The journal cannot be read, or is that of another plan.
        """
        self._begin_reading()
        return MonitorView.read(self._journal_reader, wave)

    async def read_in_thread(self, wave: int) -> MonitorView | None:
        """Read the journal in another thread, so that the notebook stays usable. A large journal takes seconds.

        Args:
            wave: The wave to draw: its index from 0, or CURRENT_WAVE.

        Returns:
            What was read. None if another reading has begun meanwhile, because that one is newer.

        Raises:
            JournalError: The journal cannot be read, or is that of another plan.
        """
        number = self._begin_reading()
        view = await asyncio.to_thread(MonitorView.read, self._journal_reader, wave)
        if number != self._readings_begun:
            return None
        return view

    def _begin_reading(self) -> int:
        """Note the state of the files, and return the number of the reading that begins."""
        self._fingerprint = fingerprint(self._journal)
        self._readings_begun += 1
        return self._readings_begun


class JournalFollower:
    """Reloads a journal whenever it changes, in the event loop of a notebook."""

    def __init__(
        self, reader: MonitorReader, reload: Callable[[], Awaitable[None]], has_ended: Callable[[], bool]
    ) -> None:
        """Prepare to follow. Call ``start`` to begin.

        Args:
            reader: Says whether the journal has changed.
            reload: Reads the journal, and shows it.
            has_ended: Returns whether the rollout has ended, as far as the journal was read.
        """
        self._reader = reader
        self._reload = reload
        self._has_ended = has_ended
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to follow the journal, until the rollout has ended. Does nothing if the journal is followed already.

        Does nothing without an event loop either, as in a script.
        """
        is_following = self._task is not None and not self._task.done()
        if is_following:
            return
        loop = running_loop()
        if loop is not None:
            self._task = loop.create_task(self._follow())

    def stop(self) -> None:
        """Follow the journal no longer."""
        if self._task is not None:
            self._task.cancel()

    async def _follow(self) -> None:
        """Reload the journal whenever it has changed, until the rollout has ended."""
        pause_s = FOLLOW_INTERVAL_S
        while not self._has_ended():
            await asyncio.sleep(pause_s)
            if not self._reader.has_changed():
                continue
            started_s = time.monotonic()
            await self._reload()
            reading_s = time.monotonic() - started_s
            # The longer a reading takes, the longer is the pause after it.
            pause_s = max(FOLLOW_INTERVAL_S, reading_s / MAX_READING_SHARE)


def fingerprint(journal: Path) -> Fingerprint:
    """Return a value that changes whenever something is written into a journal.

    SQLite writes new events into a second file, the write-ahead log, before it moves them into the journal.

    Args:
        journal: The file of the journal.
    """
    write_ahead_log = journal.with_name(f"{journal.name}-wal")
    parts = []
    for path in (journal, write_ahead_log):
        if path.exists():
            status = path.stat()
            parts.append((status.st_size, status.st_mtime_ns))
    return tuple(parts)
