"""Measure how much memory the server needs while 200 gateways download an update of 20 MB at the same time.

Each gateway checks every byte. Over plain HTTP, the memory may grow by less than the size of three updates. Over TLS,
it may grow by less than two updates and 0.5 MB for each connection. The growth is the peak of the resident memory
(VmHWM) minus the memory before the first download.

    python tests/bench/download.py [--gateways 200] [--megabytes 20] [--only plain]
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import random
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path

from load import Identity
from servers import OWNER, make_identities, process, serve, service_with, tls_of

from lorafw.server.app import CupsServer
from lorafw.sources.cache import CachedUpdate, UpdateCache, download_update
from lorafw.tasks.model import UpdateSpec
from lorafw.version import GatewayVersion

PRESENTED = GatewayVersion("2.0.6(linux/std) 2026-11-23 15:58:28", "1.0.0", "linux")


class _Bucket:
    """One object, read and spooled as the source of S3 does it."""

    def __init__(self, size: int) -> None:
        self._spool = UpdateCache()
        self._size = size

    def open(self, data_source: str, role: str | None, *, account: str, region: str) -> CachedUpdate:
        return self._spool.get(data_source, lambda: download_update(pieces(self._size), size=self._size))


def pieces(size: int) -> Iterator[bytes]:
    """The same pseudo-random bytes each time."""
    dice = random.Random(7)
    for start in range(0, size, 65536):
        yield dice.randbytes(min(65536, size - start))


def serve_update(pipe: Connection, folder: Path, identities: list[Identity], tls: bool, size: int) -> None:
    service = service_with(identities, _Bucket(size))
    service.create_definition(
        OWNER, auto_create_tasks=True, update=UpdateSpec("s3://bucket/key", "role", b"x" * 70, 7, PRESENTED)
    )

    async def start() -> int:
        server = CupsServer(service, tls=tls_of(folder, identities, service) if tls else None)
        await server.start()
        return server.port

    serve(pipe, asyncio.new_event_loop(), start)


def download(pipe: Connection, identities: list[Identity]) -> None:
    """A process of gateways, a thread each: port and image's digest; answers how many got it right, and the time."""
    prepared = [(identity.request(), identity.context()) for identity in identities]
    pipe.send("ready")
    while (message := pipe.recv()) is not None:
        port, size, digest = message
        begin = threading.Barrier(len(prepared) + 1)
        with ThreadPoolExecutor(len(prepared)) as pool:
            results = [pool.submit(_is_right, begin, port, *each, size, digest) for each in prepared]
            begin.wait()
            started = time.perf_counter()
            right = sum(result.result() for result in results)
        pipe.send((right, time.perf_counter() - started))


def _is_right(begin: threading.Barrier, port: int, request: bytes, context: object, size: int, digest: str) -> bool:
    begin.wait()
    connection = socket.create_connection(("127.0.0.1", port), timeout=300)
    if context is not None:
        connection = context.wrap_socket(connection, server_hostname="localhost")  # type: ignore[attr-defined]
    with connection:
        connection.sendall(request)
        with connection.makefile("rb") as answer:
            while answer.readline().strip():
                pass
            if len(answer.read(14 + 74)) != 14 + 74:  # the lengths, CRC and signature
                return False
            seen, left = hashlib.sha256(), size
            while left and (piece := answer.read(min(left, 65536))):
                seen.update(piece)
                left -= len(piece)
    return left == 0 and seen.hexdigest() == digest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateways", type=int, default=200)
    parser.add_argument("--megabytes", type=int, default=20)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", choices=["plain", "tls"])
    options = parser.parse_args()
    size = options.megabytes * 1_000_000
    digest = hashlib.sha256(b"".join(pieces(size))).hexdigest()
    failed = False
    for name in ("plain", "tls"):
        if options.only not in (None, name):
            continue
        allowed = 3 * size if name == "plain" else 2 * size + 500_000 * options.gateways
        with tempfile.TemporaryDirectory() as folder:
            right, seconds, growth = measure(
                Path(folder), name == "tls", options.gateways, options.processes, size, digest
            )
        holds = right == options.gateways and growth < allowed
        failed |= not holds
        print(
            f"{name}: {right} of {options.gateways} got {options.megabytes} MB with the right SHA-256 in"
            f" {seconds:.1f} s ({right * size / seconds / 1e6:.0f} MB/s); memory grew by {growth / 1e6:.1f} MB,"
            f" allowed are {allowed / 1e6:.0f} MB: {'holds' if holds else 'DOES NOT HOLD'}",
            flush=True,
        )
    raise SystemExit(failed)


def measure(folder: Path, tls: bool, gateways: int, processes: int, size: int, digest: str) -> tuple[int, float, int]:
    """Downloads that were right, seconds, and bytes by which the server's memory grew."""
    identities = make_identities(folder, gateways)
    loads = identities if tls else [Identity(one.number) for one in identities]
    shares = [loads[start::processes] for start in range(processes)]
    with ExitStack() as stack:
        server, port = stack.enter_context(process(serve_update, folder, identities, tls, size))
        opened = [stack.enter_context(process(download, share))[0] for share in shares]
        server.send("memory")
        before, _ = server.recv()
        for pipe in opened:
            pipe.send((port, size, digest))
        seen = [pipe.recv() for pipe in opened]
        server.send("memory")
        _, peak = server.recv()
    return sum(right for right, _ in seen), max(seconds for _, seconds in seen), peak - before


if __name__ == "__main__":
    main()
