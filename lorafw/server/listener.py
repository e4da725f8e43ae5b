"""Accept connections for a CUPS server, and pause when the process has no file descriptor left.

``loop.create_server`` of asyncio would go on trying to accept and log a traceback each time, so a burst of connections
would write megabytes. This listener pauses for a moment instead. Meanwhile the kernel keeps the waiting connections.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from lorafw.server.connections import ConnectionManager
from lorafw.server.refusals import RefusalReason

ProtocolFactory = Callable[[], asyncio.Protocol]
"""Returns the protocol for a connection that was accepted."""

BACKLOG: Final = 1024
"""Number of connections that the kernel keeps until they are accepted."""
_ACCEPT_AT_ONCE: Final = 64
"""Number of connections to accept before the event loop serves others again."""
_PAUSE_S: Final = 0.05
"""Time to wait after no connection could be accepted."""
_SPARED_S: Final = 0.1
"""A connection is not closed for another one in this time, which is enough for a request from nearby."""


class Listener:
    """Accepts the connections of a listening socket, as long as a ``ConnectionManager`` has room for them.

    Args:
        listening: The listening socket.
        connections: The open connections of the server.
        create_protocol: Returns the protocol for a connection that was accepted.
    """

    def __init__(
        self, listening: socket.socket, connections: ConnectionManager, create_protocol: ProtocolFactory
    ) -> None:
        self._socket = listening
        self._connections = connections
        self._create_protocol = create_protocol
        self._loop = asyncio.get_running_loop()
        self._end_of_pause: asyncio.TimerHandle | None = None
        """The timer that resumes accepting. None if the listener does not pause."""
        self._opening = 0  # number of accepted connections that are not registered yet

    def start(self) -> None:
        """Start or resume accepting connections."""
        self._end_of_pause = None
        self._loop.add_reader(self._socket, self._accept)

    def close(self) -> None:
        """Stop accepting connections and close the socket."""
        if self._end_of_pause is not None:
            self._end_of_pause.cancel()
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _accept(self) -> None:
        """Accept waiting connections. The event loop calls this when there are some."""
        for _ in range(_ACCEPT_AT_ONCE):
            if not self._has_room():
                # Connections that are about to be registered may make room: then the event loop calls this again.
                if self._opening == 0:
                    self._pause()
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
            accepted.setblocking(False)
            self._opening += 1
            self._loop.create_task(self._connect(accepted))

    def _has_room(self) -> bool:
        """Return True if one more connection may be accepted. May close an idle connection to make room."""
        if self._connections.has_room(self._opening):
            return True
        return self._opening == 0 and self._connections.make_room(_SPARED_S)

    async def _connect(self, accepted: socket.socket) -> None:
        """Connect a socket with a new protocol. Close it if the client has already gone."""
        try:
            await self._loop.connect_accepted_socket(self._open, accepted)
        except OSError:
            accepted.close()

    def _open(self) -> asyncio.Protocol:
        """Return the protocol for an accepted socket. asyncio then calls ``connection_made``, which registers it."""
        self._opening -= 1
        return self._create_protocol()

    def _pause(self) -> None:
        """Stop accepting for a moment."""
        self._loop.remove_reader(self._socket)
        self._end_of_pause = self._loop.call_later(_PAUSE_S, self.start)


def listen(host: str, port: int) -> socket.socket:
    """Return a non-blocking socket that listens at ``host``.

    Raises:
        OSError: The port is taken, or this machine does not have the address.
    """
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    listening = socket.create_server(address, family=family, backlog=BACKLOG)
    listening.setblocking(False)
    return listening
