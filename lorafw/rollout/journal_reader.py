"""Read a journal again and again while it grows: only what was added is read."""

from __future__ import annotations

import threading
from pathlib import Path

from lorafw.rollout.events import Event
from lorafw.rollout.evolution import evolve
from lorafw.rollout.journal import has_begun, open_journal
from lorafw.rollout.saved_plan import SavedPlan
from lorafw.rollout.state import RolloutState, initial_state


class JournalReader:
    """Keeps what was read of the journal of a plan. Threads can share it.

    Args:
        plan: The saved plan.
        path: The file of the journal. It need not exist yet.
    """

    def __init__(self, plan: SavedPlan, path: Path) -> None:
        self._plan = plan
        self._path = path
        self._lock = threading.Lock()
        self._forget()

    def read(self) -> tuple[RolloutState, tuple[Event, ...]]:
        """Read what was added to the journal since the last call.

        Returns:
            The state of the rollout, and all events of its journal.

        Raises:
            JournalError: The journal cannot be read, or is that of another plan. What was read before is kept.
        """
        with self._lock:
            self._read_new_events()
            return self._state, self._events

    def _forget(self) -> None:
        """Begin with an empty journal."""
        self._state = initial_state(self._plan)
        self._events: tuple[Event, ...] = ()
        self._position = 0
        """The number of the last event that was read."""

    def _read_new_events(self) -> None:
        """Read what was added. If another journal has taken the place of the one that was read, read all of it."""
        if not has_begun(self._path):
            self._forget()
            return
        with open_journal(self._path, self._plan) as journal:
            # The last known event is read once more. It shows whether this is the journal that was read before.
            last_known = list(self._events[-1:])
            new_events = journal.read(after=max(0, self._position - 1))
            if last_known and new_events[:1] == last_known:
                del new_events[0]
            elif last_known:
                self._forget()
                new_events = journal.read()
            self._position = journal.read_position
        self._state = evolve(self._state, new_events)
        self._events = (*self._events, *new_events)
