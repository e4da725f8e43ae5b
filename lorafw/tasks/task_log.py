"""The task log: one row for each event of a task."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from lorafw.tasks.lifecycle import LogRow

LOG_ROWS: Final = 1_000_000
"""Maximum number of rows in the task log. The oldest rows are dropped."""

_LOGGER: Final = logging.getLogger("lorafw.tasks")


class TaskLog:
    """The latest rows of the task log, oldest first. Not thread-safe: callers must hold a lock."""

    def __init__(self) -> None:
        self._rows: deque[LogRow] = deque(maxlen=LOG_ROWS)
        self._unsaved_rows: list[LogRow] = []
        """The rows that were added since the last call of ``take_unsaved_rows``."""
        self.listeners: list[Callable[[LogRow], None]] = []
        """Functions that are called with each new row. An exception of a listener is logged under ``lorafw.tasks``."""

    def add(self, row: LogRow) -> None:
        """Add a row, and call the listeners."""
        self._rows.append(row)
        self._unsaved_rows.append(row)
        for listener in self.listeners:
            try:
                listener(row)
            except Exception:
                _LOGGER.exception("a listener of the task log failed at this row: %s", row)

    def restore(self, rows: Iterable[LogRow]) -> None:
        """Add rows that an earlier process has saved. The listeners are not called."""
        self._rows.extend(rows)

    def rows(self) -> list[LogRow]:
        """Return a copy of the rows."""
        return list(self._rows)

    def take_unsaved_rows(self) -> tuple[LogRow, ...]:
        """Return the rows that were added since the last call of this method."""
        unsaved_rows = tuple(self._unsaved_rows)
        self._unsaved_rows.clear()
        return unsaved_rows

    def clear(self) -> None:
        """Delete all rows."""
        self._rows.clear()
        self._unsaved_rows.clear()
