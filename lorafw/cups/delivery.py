"""Has the other side taken all that was written?

A reply that was handed to the kernel has not arrived: a gateway that closes in the middle leaves megabytes in buffers.
The state of the TCP connection tells (on Linux); elsewhere a reply counts as taken once the kernel has it.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

TAKEN_LIMIT_S: Final = 60.0
"""A gateway that takes nothing for so long has not got the update."""
LINGER_S: Final = 1.0
"""A gateway that has acknowledged everything and keeps the connection is given so long to close it."""

_TCP_ESTABLISHED: Final = 1
_TCP_CLOSED: Final = 7


@contextmanager
def watch(transport: asyncio.Transport | None) -> Iterator[socket.socket | None]:
    """A second handle on the connection, which tells its state even after the first was closed."""
    own: socket.socket | None = None
    if transport is not None:
        # With no bytes kept back, a write returns when the kernel has them: the flow control of a slow gateway.
        transport.set_write_buffer_limits(high=0)
        raw = transport.get_extra_info("socket")
        if raw is not None and raw.fileno() >= 0:
            own = socket.socket(fileno=os.dup(raw.fileno()))
    try:
        yield own
    finally:
        if own is not None:
            own.close()


async def is_taken(connection: socket.socket | None) -> bool:
    """Has the other side taken all that was written?

    It has when it closed its side in order, or when nothing is left unacknowledged and it just keeps the
    connection. It has not when it broke the connection off, or stopped reading.
    """
    if connection is None or not hasattr(socket, "TCP_INFO"):
        return connection is not None
    started = moved = asyncio.get_running_loop().time()
    left = None
    while True:
        now = asyncio.get_running_loop().time()
        state, waiting = _tcp_state(connection)
        if state == _TCP_CLOSED:
            return False
        if waiting == 0 and (state != _TCP_ESTABLISHED or now - started > LINGER_S):
            return True
        if waiting != left:
            left, moved = waiting, now
        if now - moved > TAKEN_LIMIT_S:
            return False
        await asyncio.sleep(0.002 if now - started < 0.1 else 0.02)


def _tcp_state(connection: socket.socket) -> tuple[int, int]:
    """The state of the connection, and how many bytes the other side has not acknowledged (Linux)."""
    import fcntl  # noqa: PLC0415 -- not there on Windows, where TCP_INFO is not there either
    import struct  # noqa: PLC0415
    import termios  # noqa: PLC0415

    state = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    (waiting,) = struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)))
    return state, waiting
