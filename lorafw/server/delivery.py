"""Send a response and find out whether the gateway has received all of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from aiohttp import web

from lorafw.server.config import Limits
from lorafw.server.connections import ClientConnection
from lorafw.server.flow_control import ThroughputMonitor, duplicate_socket, wait_until_delivered


async def deliver(
    response: web.StreamResponse,
    http: web.BaseRequest,
    connection: ClientConnection,
    content: Iterable[bytes | memoryview],
    limits: Limits,
) -> bool:
    """Send a response, and wait until the gateway has received it.

    Args:
        response: The response, whose headers are set and not sent yet.
        http: The request that it answers.
        connection: The connection of the request. It is aborted if the gateway reads too slowly.
        content: The pieces of the body.
        limits: The minimum rate, and the size of the send buffer.

    Returns:
        True if the gateway has acknowledged the whole response.

    Raises:
        ConnectionError: The connection broke.
    """
    transport = http.transport
    if transport is None:
        raise ConnectionResetError("gone before the reply began")
    with duplicate_socket(transport, limits) as duplicate:
        monitor = ThroughputMonitor(transport, duplicate, limits, asyncio.get_running_loop().time())
        connection.start_sending(monitor)
        await response.prepare(http)
        await _write_body(response, content, monitor)
        return await wait_until_delivered(duplicate, monitor)


async def _write_body(
    response: web.StreamResponse, content: Iterable[bytes | memoryview], monitor: ThroughputMonitor
) -> None:
    """Write all pieces and the end of the body. Waits while the client reads slowly."""
    for piece in content:
        monitor.written += len(piece)
        await response.write(piece)
        # Let other connections run: write() does not wait if the client reads as fast as the server writes.
        await asyncio.sleep(0)
    await response.write_eof()
