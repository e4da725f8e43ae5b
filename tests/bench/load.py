"""Many gateways that poll from one process. Each poll uses a connection of its own, as stations do.

They connect to loopback only. The number of open connections is limited, and no connection is opened after a deadline.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from multiprocessing.connection import Connection

from lorafw.cups.codec import encode_request
from lorafw.cups.messages import UpdateInfoRequest
from lorafw.eui import GatewayEui

FIRST_EUI = 0x58A0CBFFFE800000
NOTHING = bytes(14)


@dataclass(frozen=True)
class Identity:
    """A gateway's number, and what it needs for TLS: trust, and one file with certificate and key."""

    number: int
    trust: str | None = None
    certificate: str | None = None

    @property
    def eui(self) -> GatewayEui:
        return GatewayEui(FIRST_EUI + self.number)

    def request(self, package: str = "1.0.0") -> bytes:
        """A whole HTTP request, as a Basics Station writes it."""
        body = encode_request(
            UpdateInfoRequest(
                self.eui, "https://localhost:8443", None, 2077607535, 2077607535,
                "2.0.6(linux/std) 2026-11-23 15:58:28", "linux", package, (2373853496,),
            )
        )  # fmt: skip
        head = b"POST /update-info HTTP/1.1\r\nHost: localhost:8443\r\nContent-Type: application/json\r\n"
        return head + b"Content-Length: %5d\r\n\r\n" % len(body) + body

    def context(self) -> ssl.SSLContext | None:
        """TLS 1.2 with this gateway's certificate; None for plain HTTP."""
        if self.trust is None or self.certificate is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.load_verify_locations(self.trust)
        context.load_cert_chain(self.certificate)
        return context


@dataclass
class Result:
    """What the gateways saw. Times in seconds, one for each poll that was answered with nothing to do."""

    times: list[float] = field(default_factory=list)
    failures: int = 0
    elapsed: float = 0.0

    @property
    def rate(self) -> float:
        return len(self.times) / self.elapsed

    def quantile(self, share: float) -> float:
        ordered = sorted(self.times)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


class _Poll:
    """One poll on one connection, moved on whenever its socket is ready."""

    def __init__(self, port: int, request: bytes, context: ssl.SSLContext | None) -> None:
        self.started = time.perf_counter()
        self._request = request
        self._context = context
        self._answer = b""
        self.is_good = False
        self.socket: socket.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.connect_ex(("127.0.0.1", port))
        self._step: Callable[[], int] = self._connected
        self.wants = selectors.EVENT_WRITE

    def go_on(self) -> bool:
        """Do what can be done now. False when it has ended."""
        try:
            while True:
                self.wants = self._step()
                if self.wants:
                    return self.wants > 0
        except ssl.SSLWantReadError:
            self.wants = selectors.EVENT_READ
        except ssl.SSLWantWriteError:
            self.wants = selectors.EVENT_WRITE
        except BlockingIOError:
            self.wants = selectors.EVENT_READ
        except OSError:
            return False
        return True

    def _connected(self) -> int:
        if self._context is None:
            self._step = self._send
        else:
            self.socket = self._context.wrap_socket(
                self.socket, server_hostname="localhost", do_handshake_on_connect=False
            )
            self._step = self._shake
        return 0

    def _shake(self) -> int:
        assert isinstance(self.socket, ssl.SSLSocket)
        self.socket.do_handshake()
        self._step = self._send
        return 0

    def _send(self) -> int:
        self.socket.send(self._request)
        self._step = self._read
        return selectors.EVENT_READ

    def _read(self) -> int:
        piece = self.socket.recv(65536)
        self._answer += piece
        head, blank, body = self._answer.partition(b"\r\n\r\n")
        if blank and len(body) == len(NOTHING):
            self.is_good = head.startswith(b"HTTP/1.1 200 ") and body == NOTHING
            return -1
        return 0 if piece else -1


def poll(port: int, identities: list[Identity], *, seconds: float, at_once: int, rate: float | None = None) -> Result:
    """Poll for so long with so many connections at a time; ``rate``: at most so many begun a second."""
    prepared = [(identity.request(), identity.context()) for identity in identities]
    return _run(port, cycle(prepared), seconds, at_once, rate)


def _run(
    port: int,
    turns: Iterator[tuple[bytes, ssl.SSLContext | None]],
    seconds: float,
    at_once: int,
    rate: float | None,
) -> Result:
    result = Result()
    selector = selectors.DefaultSelector()
    begun = running = 0
    start = time.perf_counter()
    while (now := time.perf_counter()) < start + seconds or running:
        while running < at_once and now < start + seconds and (rate is None or begun < (now - start) * rate):
            one = _Poll(port, *next(turns))
            selector.register(one.socket, one.wants, one)
            running, begun = running + 1, begun + 1
        for key, _ in selector.select(0.001 if rate else 1.0):
            one = key.data
            before = one.socket.fileno(), key.events
            if one.go_on():
                if (one.socket.fileno(), one.wants) != before:
                    selector.modify(one.socket, one.wants, one)
                continue
            running -= 1
            with suppress(KeyError, ValueError):
                selector.unregister(one.socket)
            one.socket.close()
            if one.is_good:
                result.times.append(time.perf_counter() - one.started)
            else:
                result.failures += 1
        if now > start + seconds + 20:
            result.failures += running
            break
    result.elapsed = time.perf_counter() - start
    return result


def answer_pipe(pipe: Connection, identities: list[Identity]) -> None:
    """A process of gateways: each message is (port, seconds, at_once, rate); None ends it."""
    prepared = [(identity.request(), identity.context()) for identity in identities]
    pipe.send("ready")
    while (message := pipe.recv()) is not None:
        port, seconds, at_once, rate = message
        pipe.send(_run(port, cycle(prepared), seconds, at_once, rate))
