"""Divide the file descriptors of this process among its servers.

Each connection is an open file. A process without a free file descriptor can neither accept a connection nor read an
update, so each server stops accepting before that. The servers have equal shares, so a burst at one of them does not
take the files of the others.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

UNLIMITED: Final = 1 << 20
"""Used as the limit if the system has none or does not report it."""
_RESERVE: Final = 64
"""Number of files kept free for other uses: update files, calls to S3, temporary files."""


class FileShare:
    """One server's share of the budget. Call ``leave`` when the server stops."""

    def __init__(self, budget: FileBudget) -> None:
        """Create a share. Use ``FileBudget.join`` instead."""
        self._budget = budget

    @property
    def files(self) -> int:
        """Number of files that this server may hold now. It shrinks when another server joins."""
        return self._budget.share

    def leave(self) -> None:
        """Give the share back. Calling it twice is harmless."""
        self._budget.remove(self)


class FileBudget:
    """The file descriptors of one process, in equal shares. Thread-safe."""

    def __init__(self, limit: Callable[[], int], count_open: Callable[[], int]) -> None:
        """Create a budget without servers.

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
        """Add a server and return its share. The budget is measured when the first server joins."""
        with self._lock:
            if not self._shares:
                self._total = free_files(self._limit(), self._count_open())
            share = FileShare(self)
            self._shares.append(share)
            self._divide()
        return share

    def remove(self, share: FileShare) -> None:
        """Remove a share and divide the budget among the others. Does nothing if it was removed already."""
        with self._lock:
            if share in self._shares:
                self._shares.remove(share)
                self._divide()

    def _divide(self) -> None:
        """Compute the share of each server. Call this with the lock held."""
        self.share = self._total // max(len(self._shares), 1)


def free_files(limit: int, already_open: int) -> int:
    """Return the number of files that servers may use.

    Args:
        limit: Number of files that the process may open.
        already_open: Number of files that are open now.

    Returns:
        The free files minus a reserve. The reserve is at most half of the free files.
    """
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
    """Return the number of files that this process has open, or an estimate if the system does not list them."""
    try:
        return sum(1 for _ in Path("/dev/fd").iterdir())
    except OSError:
        return 64


PROCESS: Final = FileBudget(read_file_limit, count_open_files)
"""The budget of this process."""
