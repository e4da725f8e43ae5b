"""Client connections of a CUPS server: their phases, their timeouts and their number.

If there are too many connections, the server closes the oldest one in READING or CLOSING, of the address that has most
of these. So an address that opens many idle connections loses its own connections first.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from lorafw.server.config import Limits
from lorafw.server.file_budget import PROCESS
from lorafw.server.flow_control import ThroughputMonitor
from lorafw.server.phase import IDLE_PHASES, Phase
from lorafw.server.refusals import RefusalCounter, RefusalReason

_FILES_PER_CONNECTION: Final = 2
"""A connection on which an update is sent has a second file descriptor."""
_EVICTION_DIVISOR: Final = 64
"""A full server closes 1/64 of its maximum number of connections at once, so a burst rarely searches the list."""
_TIMEOUT_CHECKS: Final = 60
"""The number of timeout checks within the shortest timeout."""
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER with a time of zero: close() sends RST and discards the send buffer (socket(7))."""


class ClientConnection:
    """One connection of a client: its phase, and the means to end it.

    Args:
        now: Returns the time of the event loop in seconds.
        tally: Counts refusals.
    """

    def __init__(self, now: Callable[[], float], tally: RefusalCounter) -> None:
        self.phase = Phase.READING
        """The current phase."""
        self.phase_started_at = now()
        """Time of the event loop in seconds at which the phase began."""
        self.peer = "?"
        """The client's address, for the log and for the limit on connections."""
        self._now = now
        self._tally = tally
        self._transport: asyncio.Transport | None = None
        """The TCP connection. None before ``attach`` and after ``detach``."""
        self._monitor: ThroughputMonitor | None = None
        """Measures how fast the client reads. None until an update is sent."""

    def attach(self, transport: asyncio.Transport) -> None:
        """Take over the transport of a connection that was accepted."""
        self._transport = transport
        peer_address = transport.get_extra_info("peername")
        if peer_address:
            self.peer = peer_address[0]

    def detach(self) -> None:
        """Forget the transport, because the connection is lost."""
        self._transport = None

    @property
    def is_open(self) -> bool:
        """Whether the connection has a transport."""
        return self._transport is not None

    def set_phase(self, phase: Phase) -> None:
        """Enter a phase and start its timeout."""
        self.phase = phase
        self.phase_started_at = self._now()

    def start_sending(self, monitor: ThroughputMonitor) -> None:
        """Enter SENDING. The connection is aborted if ``monitor`` finds that the client reads too slowly."""
        self._monitor = monitor
        self.set_phase(Phase.SENDING)

    def is_idle_since(self, time: float) -> bool:
        """Return whether the connection has been in READING or CLOSING from ``time`` on, in s of the event loop."""
        return self.phase in IDLE_PHASES and self.phase_started_at <= time

    def is_reading_too_slowly(self, now: float) -> bool:
        """Measure again. Return True if the client reads an update more slowly than the minimum rate."""
        return self._monitor is not None and self._monitor.update(now)

    def close(self) -> None:
        """Send what is left to send, and close the connection."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Reset the connection and discard unsent data. Does nothing if the connection is lost already."""
        if self._transport is None:
            return
        with suppress(OSError):
            raw_socket = self._transport.get_extra_info("socket")
            raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()

    def abort_with_reason(self, reason: RefusalReason, detail: str = "") -> None:
        """Count the refusal and abort the connection. ``detail`` is further text for the log."""
        client = f"{self.peer}: {detail}" if detail else self.peer
        self._tally.add(reason, client)
        self.abort()


class ConnectionManager:
    """The set of open connections. Limits their number and enforces their timeouts."""

    def __init__(self, limits: Limits, tally: RefusalCounter) -> None:
        """Create a manager without connections and take a share of the process's files.

        Args:
            limits: Limits for each connection and for all of them.
            tally: Counts refusals.
        """
        self.limits = limits
        self.tally = tally
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time
        """Returns the time of the event loop in seconds."""
        self._file_share = PROCESS.join()
        self._open_connections: dict[ClientConnection, None] = {}
        """The open connections, the oldest first. Only the keys count: a dict keeps their order, and a set does not."""
        self._is_closing = False
        self._timeout_timer: asyncio.TimerHandle | None = None
        """Runs the next check of the timeouts. None before the first connection."""

    def register(self, connection: ClientConnection) -> bool:
        """Add a connection that was accepted.

        If the server is full, an idle connection is closed to make room.

        Returns:
            True if the connection was added. False if it was aborted, because the server stops or is full.
        """
        if self._is_closing:
            connection.abort()
            return False
        has_room = self.has_room() or self.make_room()
        if not has_room:
            connection.abort_with_reason(RefusalReason.TOO_MANY_CONNECTIONS)
            return False
        connection.set_phase(Phase.READING)
        self._open_connections[connection] = None
        if self._timeout_timer is None:
            self._enforce_timeouts()
        return True

    def remove(self, connection: ClientConnection) -> None:
        """Forget a connection. Does nothing if it is not registered."""
        self._open_connections.pop(connection, None)

    def close_all(self) -> None:
        """Abort all connections and refuse new ones. Gives back the server's share of files."""
        self._is_closing = True
        if self._timeout_timer is not None:
            self._timeout_timer.cancel()
        for connection in list(self._open_connections):
            connection.abort()
        self._file_share.leave()
        self.tally.log_suppressed(force=True)

    def has_room(self, opening: int = 0) -> bool:
        """Return True if the server may accept one more connection.

        Args:
            opening: Number of connections that were accepted and are not registered yet.
        """
        max_count = max_connections(self.limits, self._file_share.files)
        return len(self._open_connections) + opening < max_count

    def make_room(self, idle_s: float = 0.0) -> bool:
        """Close some of the oldest idle connections, of the address that has most of them.

        Args:
            idle_s: Only connections that are idle for at least this number of seconds are closed.

        Returns:
            False if there is no such connection.
        """
        latest_start = self.now() - idle_s
        idle = [connection for connection in self._open_connections if connection.is_idle_since(latest_start)]
        max_count = 1 + max_connections(self.limits, self._file_share.files) // _EVICTION_DIVISOR
        evicted = choose_evicted(idle, max_count)
        for connection in evicted:
            connection.abort_with_reason(RefusalReason.TOO_MANY_CONNECTIONS)
            self.remove(connection)
        return bool(evicted)

    def _enforce_timeouts(self) -> None:
        """Abort the connections that exceed a time limit, and schedule the next check."""
        now = self.now()
        for connection in list(self._open_connections):
            enforce_timeout(connection, self.limits, now)
        self.tally.log_suppressed()
        interval_s = min(self.limits.request_timeout_s, self.limits.min_rate_window_s) / _TIMEOUT_CHECKS
        self._timeout_timer = self._loop.call_later(interval_s, self._enforce_timeouts)


def max_connections(limits: Limits, files: int) -> int:
    """Return the number of connections that a server may have open now. It is at least 1.

    Args:
        limits: The limits of the server.
        files: The number of files that the server may have open now. All servers of a process share its files.
    """
    limit_by_files = max(files // _FILES_PER_CONNECTION, 1)
    return min(limit_by_files, limits.connections)


def enforce_timeout(connection: ClientConnection, limits: Limits, now: float) -> None:
    """Abort a connection that exceeds the time limit of its phase.

    Args:
        connection: The connection.
        limits: The time limits.
        now: Time of the event loop in seconds.
    """
    elapsed_s = now - connection.phase_started_at
    match connection.phase:
        case Phase.READING:
            if elapsed_s >= limits.request_timeout_s:
                detail = f"not within {limits.request_timeout_s:g} s"
                connection.abort_with_reason(RefusalReason.REQUEST_TIMEOUT, detail)
        case Phase.PROCESSING:
            pass  # there is no limit: the service reads the update, and the client can only wait
        case Phase.SENDING:
            if connection.is_reading_too_slowly(now):
                detail = f"less than {limits.min_rate_bytes} bytes in {limits.min_rate_window_s:g} s"
                connection.abort_with_reason(RefusalReason.RESPONSE_TIMEOUT, detail)
        case Phase.CLOSING:
            if elapsed_s >= limits.close_timeout_s:
                connection.abort()


def choose_evicted(idle: Sequence[ClientConnection], max_count: int) -> Sequence[ClientConnection]:
    """Choose the connections that a full server closes to make room for others.

    Args:
        idle: The connections that may be closed, the oldest first.
        max_count: The maximum number of connections to close.

    Returns:
        The oldest connections of the address that has most of them. Empty only if ``idle`` is empty.
    """
    if not idle:
        return []
    count_by_peer = Counter(connection.peer for connection in idle)
    busiest_peer = max(count_by_peer, key=count_by_peer.__getitem__)
    of_busiest_peer = [connection for connection in idle if connection.peer == busiest_peer]
    return of_busiest_peer[:max_count]
