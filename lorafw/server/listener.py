"""Accept connections for a CUPS server, and pause when the process has no file descriptor left.

``loop.create_server`` of asyncio would go on trying to accept and log a traceback each time, so a burst of connections
would write megabytes. This listener pauses for a moment instead. Meanwhile the kernel keeps the waiting connections.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final

from lorafw.server.connections import ClientConnection, ConnectionManager
from lorafw.server.refusals import RefusalReason

BACKLOG: Final = 1024
"""Number of connections that the kernel keeps until they are accepted."""
_ACCEPT_AT_ONCE: Final = 64
"""Number of connections to accept before the event loop serves others again."""
_PAUSE_S: Final = 0.05
"""Time to wait after no connection could be accepted."""
_SPARED_S: Final = 0.1
"""A connection is not closed for another one in this time, which is enough for a request from nearby."""


class Listener:
    """Passes the connections of a listening socket to a ``ConnectionManager``."""

    def __init__(self, listening: socket.socket, connections: ConnectionManager) -> None:
        """Create a listener that does not accept yet. Must be called in the event loop that will accept."""
        self._socket = listening
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._pausing: asyncio.TimerHandle | None = None
        self._opening = 0
        """Number of accepted connections that are not registered with the manager yet."""
        self._is_closed = False

    def start(self) -> None:
        """Start or resume accepting connections."""
        self._pausing = None
        self._loop.add_reader(self._socket, self._accept)

    def close(self) -> None:
        """Stop accepting connections and close the socket."""
        self._is_closed = True
        if self._pausing is not None:
            self._pausing.cancel()
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _accept(self) -> None:
        """Accept waiting connections. The event loop calls this when there are some."""
        for _ in range(_ACCEPT_AT_ONCE):
            if not self._has_room():
                self._wait_for_room()
                return
            try:
                accepted, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # EMFILE, ENFILE, ENOBUFS or ENOMEM (accept(2)): no file or no memory is left.
                self._connections.tally.add(RefusalReason.NO_FILES, error.strerror)
                self._pause()
                return
            self._open(accepted)

    def _has_room(self) -> bool:
        """Return True if one more connection may be accepted. May close an idle connection to make room."""
        if self._connections.has_room(self._opening):
            return True
        return self._opening == 0 and self._connections.make_room(_SPARED_S)

    def _wait_for_room(self) -> None:
        """Pause, unless the last accepted connections are about to be registered.

        The event loop calls ``_accept`` again if a connection is waiting. Then there may be an idle one to close.
        """
        if self._opening == 0:
            self._pause()

    def _open(self, accepted: socket.socket) -> None:
        """Start a task that gives an accepted socket its protocol."""
        accepted.setblocking(False)
        self._opening += 1
        self._loop.create_task(self._connect(accepted))

    async def _connect(self, accepted: socket.socket) -> None:
        """Connect a socket with a new ``ClientConnection``. Close it if the client has already gone."""
        try:
            await self._loop.connect_accepted_socket(self._create_protocol, accepted)
        except OSError:
            accepted.close()

    def _create_protocol(self) -> ClientConnection:
        """Return the protocol for an accepted socket."""
        self._opening -= 1
        return ClientConnection(self._connections)

    def _pause(self) -> None:
        """Stop accepting for a moment."""
        self._loop.remove_reader(self._socket)
        if not self._is_closed:
            self._pausing = self._loop.call_later(_PAUSE_S, self.start)


def listen(host: str, port: int) -> socket.socket:
    """Return a non-blocking socket that listens at ``host``.

    Raises:
        OSError: The port is taken, or this machine does not have the address.
    """
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    listening = socket.create_server(address, family=family, backlog=BACKLOG)
    listening.setblocking(False)
    return listening
