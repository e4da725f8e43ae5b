"""Accepts connections for a CUPS server, as long as there are files for them.

asyncio has this too (``loop.create_server``), but when no file is left it goes on trying to accept, and logs a
traceback each time: a burst of connections writes megabytes of them. Here the listener stops for a moment instead. The
kernel keeps the connections that wait meanwhile.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final

from lorafw.server.connections import ClientConnection, ConnectionManager
from lorafw.server.refusals import RefusalReason

BACKLOG: Final = 1024
"""Connections that the kernel keeps until they are accepted."""
_ACCEPT_AT_ONCE: Final = 64
"""Connections that are accepted before others are served again."""
_PAUSE_S: Final = 0.05


class Listener:
    """Hands the connections of a listening socket to ``ConnectionManager``."""

    def __init__(self, listening: socket.socket, connections: ConnectionManager) -> None:
        self._socket = listening
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._pausing: asyncio.TimerHandle | None = None
        self._opening = 0
        """Connections that were accepted and are not with ``ConnectionManager`` yet."""
        self._is_closed = False

    def start(self) -> None:
        """Accept from now on."""
        self._pausing = None
        self._loop.add_reader(self._socket, self._accept)

    def close(self) -> None:
        """Stop accepting, and close the socket."""
        self._is_closed = True
        if self._pausing is not None:
            self._pausing.cancel()
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _accept(self) -> None:
        for _ in range(_ACCEPT_AT_ONCE):
            if not self._has_room():
                self._pause()
                return
            try:
                connection, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # No file or no memory is left, in this process or in the system.
                self._connections.tally.add(RefusalReason.NO_FILES, error.strerror)
                self._pause()
                return
            self._open(connection)

    def _has_room(self) -> bool:
        """Return True if there are files for one more, also counting those that are being opened."""
        connections, opening = self._connections, self._opening
        return connections.has_room(opening) or (opening == 0 and connections.make_room())

    def _open(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._opening += 1
        self._loop.create_task(self._connect(connection))

    async def _connect(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._make_visit, connection)
        except OSError:
            connection.close()

    def _make_visit(self) -> ClientConnection:
        self._opening -= 1
        return ClientConnection(self._connections)

    def _pause(self) -> None:
        self._loop.remove_reader(self._socket)
        if not self._is_closed:
            self._pausing = self._loop.call_later(_PAUSE_S, self.start)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens at ``host`` and does not block. Raises OSError if the port is taken."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    listening = socket.create_server(address, family=family, backlog=BACKLOG)
    listening.setblocking(False)
    return listening
