"""Measure how fast a gateway reads a response, and find out whether it received all of it.

A response that was written to the kernel has not arrived yet: if the gateway closes the connection early, megabytes
may remain in buffers. On Linux the state of the TCP connection tells how much was acknowledged. On other systems a
response counts as delivered as soon as the kernel has it.
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
"""Time to wait for a gateway that has acknowledged all data to close the connection."""
_MIN_INTERVAL_S: Final = 0.002
"""The shortest time between two looks at the state of a connection."""
_MAX_INTERVAL_S: Final = 0.25
"""The longest time between two looks at the state of a connection."""

# States of a TCP connection, from enum tcp state in Linux's include/net/tcp_states.h.
_TCP_ESTABLISHED: Final = 1
_TCP_CLOSED: Final = 7


class ThroughputMonitor:
    """Measures how many bytes of a response a gateway has acknowledged.

    It applies the rule by which a Basics Station itself gives up a slow download: at least ``min_rate_bytes`` in each
    window of ``min_rate_window_s``.
    """

    def __init__(
        self, transport: asyncio.Transport, connection: socket.socket | None, limits: Limits, now: float
    ) -> None:
        """Start the first window.

        Args:
            transport: The transport to which the response is written.
            connection: A duplicate of its socket, or None if there is none.
            limits: The minimum rate.
            now: Time of the event loop in seconds.
        """
        self._transport = transport
        self._connection = connection
        self._limits = limits
        self._window_start_bytes = 0
        """Number of bytes that the gateway had read when the window began."""
        self._window_started_at = now
        """Time of the event loop in seconds at which the window began."""
        self.written = 0
        """Number of bytes written to the transport so far. The writer keeps it up to date."""
        self.timed_out = False
        """True if the gateway was too slow at the last update."""

    def update(self, now: float) -> bool:
        """Measure again. Starts a new window if the gateway read enough, or if no data waits for it.

        Args:
            now: Time of the event loop in seconds.

        Returns:
            True if the gateway was too slow: a whole window has passed without enough data.
        """
        unread_bytes = self._transport.get_write_buffer_size() + unacknowledged_bytes(self._connection)
        read_bytes = self.written - unread_bytes
        has_read_enough = read_bytes >= self._window_start_bytes + self._limits.min_rate_bytes
        if has_read_enough or unread_bytes <= 0:
            self._window_start_bytes = max(read_bytes, self._window_start_bytes)
            self._window_started_at = now
        self.timed_out = now - self._window_started_at >= self._limits.min_rate_window_s
        return self.timed_out


@contextmanager
def duplicate_socket(transport: asyncio.Transport | None, limits: Limits) -> Iterator[socket.socket | None]:
    """Yield a duplicate of a transport's socket, whose state can be read even after the transport has closed.

    The duplicate is a second file descriptor of the same connection (dup(2)). This function also limits the two buffers
    in which data waits: that of the transport and that of the kernel. So little data waits if the gateway reads slowly.

    Args:
        transport: The transport, or None if the connection is lost.
        limits: Gives the size of the kernel's send buffer.

    Yields:
        The duplicate, or None if there is no open socket.
    """
    if transport is None:
        yield None
        return
    # Without a buffer in the transport, a write waits until the kernel has the data: a slow gateway slows it down.
    transport.set_write_buffer_limits(high=0)
    raw_socket = transport.get_extra_info("socket")
    if raw_socket is None or raw_socket.fileno() < 0:
        yield None
        return
    descriptor = os.dup(raw_socket.fileno())
    with socket.socket(fileno=descriptor) as duplicate:
        duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, limits.send_buffer_bytes)
        yield duplicate


async def wait_until_delivered(connection: socket.socket | None, monitor: ThroughputMonitor) -> bool:
    """Wait until the peer has acknowledged all data, or has given up.

    Args:
        connection: A duplicate of the connection's socket, or None if there is none.
        monitor: Says whether the peer reads too slowly. The server's timer keeps it up to date.

    Returns:
        True if all data was acknowledged, and the peer then closed the connection or kept it open for ``LINGER_S``.
        False if the peer reset the connection or was too slow.
    """
    if connection is None:
        return False
    if not hasattr(socket, "TCP_INFO"):
        return True
    loop = asyncio.get_running_loop()
    started_at = loop.time()
    while True:
        waited_s = loop.time() - started_at
        state = _tcp_state(connection)
        is_acknowledged = unacknowledged_bytes(connection) == 0
        if state == _TCP_CLOSED or monitor.timed_out:
            return False
        is_peer_closing = state != _TCP_ESTABLISHED
        if is_acknowledged and (is_peer_closing or waited_s > LINGER_S):
            return True
        # Look often at first, because most gateways are quick, and then less and less often.
        interval_s = min(max(_MIN_INTERVAL_S, waited_s / 10), _MAX_INTERVAL_S)
        await asyncio.sleep(interval_s)


def _tcp_state(connection: socket.socket) -> int:
    """Return the state of a TCP connection. It is the first byte of Linux's struct tcp_info (tcp(7))."""
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]


def unacknowledged_bytes(connection: socket.socket | None) -> int:
    """Return the number of bytes in the kernel that the peer has not acknowledged. Always 0 except on Linux."""
    if connection is None or not hasattr(socket, "TCP_INFO"):
        return 0
    import fcntl  # noqa: PLC0415 -- Windows has neither this nor TCP_INFO
    import struct  # noqa: PLC0415
    import termios  # noqa: PLC0415

    (pending,) = struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)))
    return int(pending)
