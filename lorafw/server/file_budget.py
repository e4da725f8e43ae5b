"""How many files the servers of this process may hold open together, and the share of each.

A connection is an open file. A process that has no file left can neither accept a connection nor read an update, so
each server stops accepting before that. The servers have equal shares: a burst at one leaves the others theirs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

UNLIMITED: Final = 1 << 20
"""Counted instead of a limit that the system does not have, or does not tell."""
_RESERVE: Final = 64
"""Files kept free for everything else: update files, calls to S3, temporary files."""


class FileShare:
    """One server's part of the budget. Leave it when the server stops."""

    def __init__(self, budget: FileBudget) -> None:
        self._budget = budget

    @property
    def files(self) -> int:
        """Number of files that this server may hold now. It shrinks when another server joins."""
        return self._budget.share

    def leave(self) -> None:
        """Give the share back. Calling it twice is harmless."""
        self._budget.remove(self)


class FileBudget:
    """The files of one process. Safe for several threads."""

    def __init__(self, limit: Callable[[], int], count_open: Callable[[], int]) -> None:
        """Make a budget without servers.

        Args:
            limit: Returns the number of files that the process may open.
            count_open: Returns the number of files that are open now.
        """
        self._limit = limit
        self._count_open = count_open
        self._lock = threading.Lock()
        self._shares: list[FileShare] = []
        self._total = 0
        self.share = 0

    def join(self) -> FileShare:
        """Return the share of one more server. The first server decides the budget, from what is free then."""
        with self._lock:
            if not self._shares:
                self._total = free_files(self._limit(), self._count_open())
            share = FileShare(self)
            self._shares.append(share)
            self._divide()
        return share

    def remove(self, share: FileShare) -> None:
        """Divide the budget among the other servers."""
        with self._lock:
            if share in self._shares:
                self._shares.remove(share)
                self._divide()

    def _divide(self) -> None:
        self.share = self._total // max(len(self._shares), 1)


def free_files(limit: int, already_open: int) -> int:
    """Return how many files servers may use: all but those already open and a reserve, which a low limit halves."""
    free = max(limit - already_open, 0)
    return free - min(_RESERVE, free // 2)


def read_file_limit() -> int:
    """Return the number of files that this process may open (the soft limit)."""
    try:
        import resource  # noqa: PLC0415 -- does not exist on Windows
    except ImportError:
        return UNLIMITED
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return UNLIMITED
    return min(soft, UNLIMITED)


def count_open_files() -> int:
    """Return the number of files that this process has open. Where the system does not list them: an estimate."""
    try:
        return sum(1 for _ in Path("/dev/fd").iterdir())
    except OSError:
        return 64


PROCESS: Final = FileBudget(read_file_limit, count_open_files)
"""The budget of this process."""
