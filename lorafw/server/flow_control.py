"""Has the other side taken all that was written, and does it take it fast enough?

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

from lorafw.server.config import Limits

LINGER_S: Final = 1.0
"""A gateway that has acknowledged everything and keeps the connection is given so long to close it."""

_TCP_ESTABLISHED: Final = 1
_TCP_CLOSED: Final = 7


class ThroughputMonitor:
    """What a gateway takes of a reply, and when it took the last piece that counts: a Basics Station's own rule."""

    def __init__(self, transport: asyncio.Transport, connection: socket.socket | None, limits: Limits, now: float):
        self._transport = transport
        self._connection = connection
        self._limits = limits
        self._mark = 0
        self._marked_at = now
        self.written = 0
        self.timed_out = False

    def update(self, now: float) -> bool:
        """Has it taken less than the limit since the last mark, and was there something to take?"""
        waiting = self._transport.get_write_buffer_size() + unacknowledged_bytes(self._connection)
        taken = self.written - waiting
        if waiting <= 0 or taken >= self._mark + self._limits.min_rate_bytes:
            self._mark, self._marked_at = max(taken, self._mark), now
        self.timed_out = now - self._marked_at >= self._limits.min_rate_window_s
        return self.timed_out


@contextmanager
def duplicate_socket(transport: asyncio.Transport | None, limits: Limits) -> Iterator[socket.socket | None]:
    """A second handle on the connection, which tells its state even after the first was closed."""
    own: socket.socket | None = None
    if transport is not None:
        # With no bytes kept back, a write returns when the kernel has them: the flow control of a slow gateway.
        transport.set_write_buffer_limits(high=0)
        raw = transport.get_extra_info("socket")
        if raw is not None and raw.fileno() >= 0:
            own = socket.socket(fileno=os.dup(raw.fileno()))
            own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, limits.send_buffer_bytes)
    try:
        yield own
    finally:
        if own is not None:
            own.close()


async def wait_until_delivered(connection: socket.socket | None, pace: ThroughputMonitor) -> bool:
    """Has the other side taken all that was written?

    It has when it closed its side in order, or when nothing is left unacknowledged and it just keeps the
    connection. It has not when it broke the connection off, or was too slow.
    """
    if connection is None or not hasattr(socket, "TCP_INFO"):
        return connection is not None
    started = asyncio.get_running_loop().time()
    while True:
        waited = asyncio.get_running_loop().time() - started
        state, waiting = (
            connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0],
            unacknowledged_bytes(connection),
        )
        if state == _TCP_CLOSED or pace.timed_out:
            return False
        if waiting == 0 and (state != _TCP_ESTABLISHED or waited > LINGER_S):
            return True
        await asyncio.sleep(min(max(0.002, waited / 10), 0.25))


def unacknowledged_bytes(connection: socket.socket | None) -> int:
    """Bytes that were written to the kernel and that the other side has not acknowledged (Linux; elsewhere 0)."""
    if connection is None or not hasattr(socket, "TCP_INFO"):
        return 0
    import fcntl  # noqa: PLC0415 -- not there on Windows, where TCP_INFO is not there either
    import struct  # noqa: PLC0415
    import termios  # noqa: PLC0415

    (waiting,) = struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)))
    return int(waiting)
