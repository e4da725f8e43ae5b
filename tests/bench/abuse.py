"""Measure how much longer polls take while 500 TLS connections stall in the handshake, the header or the body.

The command polls at a constant rate and times the polls, in turns with and without stalled connections. The 99th
percentile with them may be at most twice the one without them. All stalled connections must be closed after 60 s.

    python tests/bench/abuse.py [--stalled 500] [--rate 20] [--rounds 3] [--files 64]

With ``--files`` the server may open only this number of files. Then it closes the oldest stalled connections early.
"""

from __future__ import annotations

import argparse
import resource
import selectors
import socket
import ssl
import statistics
import tempfile
import time
from contextlib import suppress
from itertools import cycle
from multiprocessing.connection import Connection
from pathlib import Path

from load import Identity, Result, answer_pipe
from servers import make_identities, process, serve_lorafw

STALLS = {
    "handshake": None,
    "header": b"POST /update-info HTTP/1.1\r\nHost: local",
    "body": b'POST /update-info HTTP/1.1\r\nHost: localhost\r\nContent-Length:   229\r\n\r\n{"router":',
}
BOUND = 2.0
LIMIT_S = 60.0


def stall(pipe: Connection, identity: Identity) -> None:
    """A process of stalling gateways: (port, count) opens them, "gone" waits for their ends, None ends it."""
    context = identity.context()
    assert context is not None
    pipe.send("ready")
    opened: list[tuple[socket.socket, float]] = []
    while (message := pipe.recv()) is not None:
        if message == "gone":
            pipe.send(_ends(opened))
            opened = []
            continue
        port, count = message
        for told in [one for one, _ in zip(cycle(STALLS.values()), range(count), strict=False)]:
            started = time.perf_counter()
            connection = socket.create_connection(("127.0.0.1", port), timeout=30)
            if told is not None:
                connection = context.wrap_socket(connection, server_hostname="localhost")
                connection.sendall(told)
            opened.append((connection, started))
        pipe.send(len(opened))


def _ends(opened: list[tuple[socket.socket, float]]) -> list[float]:
    """How long each was there, in seconds; none is waited for longer than twice the limit."""
    selector = selectors.DefaultSelector()
    for connection, started in opened:
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_READ, started)
    ends: list[float] = []
    deadline = time.perf_counter() + 2 * LIMIT_S
    while selector.get_map() and time.perf_counter() < deadline:
        for key, _ in selector.select(1.0):
            try:
                ended = not key.fileobj.recv(1000)  # type: ignore[union-attr]
            except ssl.SSLWantReadError:
                ended = False
            except OSError:
                ended = True
            if ended:
                ends.append(time.perf_counter() - key.data)
                selector.unregister(key.fileobj)
                with suppress(OSError):
                    key.fileobj.close()  # type: ignore[union-attr]
    return ends


def serve_with_files(
    pipe: Connection, folder: Path, identities: list[Identity], tls: bool, max_files: int | None
) -> None:
    """Serve lorafw in a process that may open at most ``max_files`` files. None: as many as this process may."""
    if max_files is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max_files, max_files))
    serve_lorafw(pipe, folder, identities, tls)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stalled", type=int, default=500)
    parser.add_argument("--rate", type=float, default=20.0, help="honest polls a second")
    parser.add_argument("--seconds", type=float, default=15.0, help="of polls in each half of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--files", type=int, help="number of files that the server may open")
    options = parser.parse_args()
    ratios: list[float] = []
    all_gone = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        identities = make_identities(folder, 64)
        with (
            process(serve_with_files, folder, identities, True, options.files) as (_, port),
            process(answer_pipe, identities[1:]) as (load, _),
            process(stall, identities[0]) as (hostile, _),
        ):
            load.send((port, 2.0, 4, options.rate))
            load.recv()
            for turn in range(options.rounds):
                load.send((port, options.seconds, 8, options.rate))
                idle: Result = load.recv()
                hostile.send((port, options.stalled))
                stalled = hostile.recv()
                load.send((port, options.seconds, 8, options.rate))
                beside: Result = load.recv()
                hostile.send("gone")
                ends = hostile.recv()
                ratios.append(beside.quantile(0.99) / idle.quantile(0.99))
                all_gone &= len(ends) == stalled and not idle.failures and not beside.failures
                print(
                    f"  round {turn + 1}: p99 idle {idle.quantile(0.99) * 1e3:.1f} ms, beside {stalled} stalled"
                    f" {beside.quantile(0.99) * 1e3:.1f} ms, ratio {ratios[-1]:.2f}; median"
                    f" {idle.quantile(0.5) * 1e3:.1f} and {beside.quantile(0.5) * 1e3:.1f} ms;"
                    f" {len(ends)} gone after {min(ends):.1f} to {max(ends):.1f} s; {beside.failures} polls failed",
                    flush=True,
                )
                all_gone &= max(ends) < LIMIT_S + 5
    median = statistics.median(ratios)
    holds = median <= BOUND and all_gone
    print(
        f"  p99 beside against idle: min {min(ratios):.2f}, median {median:.2f}, max {max(ratios):.2f};"
        f" at most {BOUND}: {'holds' if holds else 'DOES NOT HOLD'}"
    )
    raise SystemExit(not holds)


if __name__ == "__main__":
    main()
