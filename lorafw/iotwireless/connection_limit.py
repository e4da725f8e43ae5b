"""A limit on the number of open connections of the API's server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

WAIT_FOR_ROOM_S: Final = 0.5
"""How long the server waits for a connection to end before it tries to accept the next one again."""


class ConnectionLimit:
    """Counts the open connections of a server, and closes idle ones if there are too many. Thread-safe.

    A connection is idle until the header of its first request has arrived completely. So a client cannot keep others
    out by opening connections and sending nothing.

    Args:
        max_connections: Returns the maximum number of connections. It may change while the server runs.
        on_idle_closed: Called each time that an idle connection is closed to make room.
    """

    def __init__(self, max_connections: Callable[[], int], on_idle_closed: Callable[[], None]) -> None:
        self._max_connections = max_connections
        self._on_idle_closed = on_idle_closed
        self._open_count = 0
        self._idle: dict[socket.socket, None] = {}
        """The idle connections, oldest first. A dict is used as an ordered set."""
        self._changed = threading.Condition()
        """Protects the two attributes above. Notified when a connection has ended."""

    def wait_for_room(self) -> bool:
        """Wait until one more connection is allowed. Closes the oldest idle connection if there are too many.

        Returns:
            True if there is room. False if there is none after WAIT_FOR_ROOM_S.
        """
        with self._changed:
            if not self._has_room():
                self._close_oldest_idle()
            return self._changed.wait_for(self._has_room, WAIT_FOR_ROOM_S)

    def add(self, connection: socket.socket) -> None:
        """Count a new connection. It is idle."""
        with self._changed:
            self._open_count += 1
            self._idle[connection] = None

    def mark_busy(self, connection: socket.socket) -> None:
        """Record that a request header has arrived on a connection, so that the connection is not idle any more."""
        with self._changed:
            self._idle.pop(connection, None)

    def remove(self, connection: socket.socket) -> None:
        """Record that a connection has ended."""
        with self._changed:
            self._open_count -= 1
            self._idle.pop(connection, None)
            self._changed.notify()

    def _has_room(self) -> bool:
        """Return True if one more connection is allowed."""
        return self._open_count < self._max_connections()

    def _close_oldest_idle(self) -> None:
        """Close the oldest idle connection. Does nothing if there is none."""
        oldest = next(iter(self._idle), None)
        if oldest is None:
            return
        del self._idle[oldest]
        with suppress(OSError):
            oldest.shutdown(socket.SHUT_RDWR)
        self._on_idle_closed()
