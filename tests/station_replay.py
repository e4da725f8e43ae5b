"""Replay recorded exchanges of a real Basics Station to the virtual gateway, over a socket, and to ``gateway judge``.

The recording of each case says what a server sent and what the real client did. The replay sends the same bytes to the
virtual gateway from a loopback server on a port of its own, and returns what the virtual gateway did in the same form.
"""

from __future__ import annotations

import base64
import json
import re
import socket
import ssl
import struct
import threading
import time
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import station_certificates

from lorafw.gateway.home import Home
from lorafw.gateway.runner import execute
from lorafw.gateway.transport import HttpTransport
from lorafw.gateway.virtual import VirtualGateway
from lorafw.station.evaluation import ASSUMED_REQUEST, ReplyEvaluation, evaluate_reply
from lorafw.station.exchange import NOTE_MODULE, ExchangeResult, Timers
from lorafw.station.log import Level, LogLine

RECORDING = Path(__file__).parent.parent / "data" / "station-differences.json"
RECORDED_PORT = 41741
RECORDED_TLS_PORT = 41743
STATION = "2.0.6(linux/std) 2026-11-26 20:25:24"
MODEL = "linux"
INTERVALS = {"CUPS_OKSYNC_INTV": "3s", "CUPS_RESYNC_INTV": "3s"}
LEFT_BY_THE_UPDATE = "update.runs"
"""The recorded update appends to this file in the home folder. The recording does not list it."""

_LOWEST_PORT = 34464
"""From this port on, port + 65536 has six digits, as in the recorded case that uses such a number."""


@dataclass(frozen=True)
class Ports:
    """The port of the replaying server, and the recorded one that it stands for."""

    own: int
    recorded: int

    def own_in(self, data: bytes) -> bytes:
        """The bytes with the own port in place of the recorded one. Also replaces port + 65536."""
        data = data.replace(b"%d" % (self.recorded + 65536), b"%d" % (self.own + 65536))
        return data.replace(b"%d" % self.recorded, b"%d" % self.own)

    def recorded_in(self, data: bytes) -> bytes:
        """The inverse of ``own_in``."""
        return Ports(self.recorded, self.own).own_in(data)


@dataclass(frozen=True)
class Reply:
    """What the server sent on one connection: pieces with the milliseconds before each, and how it ended."""

    pieces: tuple[tuple[int, bytes], ...]
    end: str

    @property
    def data(self) -> bytes:
        return b"".join(data for _, data in self.pieces)

    def with_own_port(self, ports: Ports) -> Reply:
        return Reply(tuple((delay_ms, ports.own_in(data)) for delay_ms, data in self.pieces), self.end)


@dataclass(frozen=True)
class Seen:
    """What one client did. ``logs`` has one list for each exchange, at level VERBOSE and above."""

    exchanges: list[tuple[str, str, list[list[Any]]]]
    logs: list[list[str]]
    files: dict[str, bytes]
    requests: list[bytes]
    crashed: bool


@dataclass(frozen=True)
class Case:
    """One recorded case of one difference."""

    id: str
    title: str
    files: Mapping[str, bytes]
    station_keys: tuple[bytes, ...]
    station_conf: Mapping[str, str]
    polls: int
    replies: tuple[Reply, ...]
    real: Mapping[str, Any]
    real_requests: tuple[bytes, ...]
    """The requests of the real client, for the cases in which lorafw once sent others."""

    @property
    def uses_tls(self) -> bool:
        return b"https:" in self.files.get("cups.uri", b"")

    @property
    def is_for_judge(self) -> bool:
        """Whether ``judge`` can know all that matters: the client had a default home."""
        return not self.files

    @property
    def real_logs(self) -> list[list[str]]:
        return [list(lines) for lines in self.real["logs"]]

    @property
    def real_files(self) -> dict[str, bytes]:
        return {name: base64.b64decode(content) for name, content in self.real["files"].items()}

    @property
    def real_crashed(self) -> bool:
        return bool(self.real["verdict"]["exit_code"] == 139)


def recorded_cases() -> list[Case]:
    """All cases of the recording, in its order."""
    differences = json.loads(RECORDING.read_text())["differences"]
    return [_case(difference, case) for difference in differences for case in difference["cases"]]


def _case(difference: Mapping[str, Any], case: Mapping[str, Any]) -> Case:
    return Case(
        id=case["id"],
        title=difference["title"],
        files={name: base64.b64decode(content) for name, content in case["files"].items()},
        station_keys=tuple(base64.b64decode(key) for key in case["station_keys"]),
        station_conf=case["station_conf"],
        polls=case["polls"],
        replies=tuple(_reply(reply) for reply in case["replies"]),
        real=case["real"],
        real_requests=tuple(base64.b64decode(real) for real, _ in case["requests_differ"]),
    )


def _reply(reply: Mapping[str, Any]) -> Reply:
    pieces = tuple((delay_ms, base64.b64decode(data)) for delay_ms, data in reply["chunks"])
    return Reply(pieces, reply["end"])


# --- the server ----------------------------------------------------------------------------------------------------


class ReplayServer:
    """A loopback server that sends one recorded reply on each connection, and keeps the requests."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self._replies: list[Reply] = []
        self._context = context
        self._listener = _listener()
        self._closing = False
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def start(self, replies: Sequence[Reply], ports: Ports) -> None:
        """Begin to serve these replies, with the port of this server in place of the recorded one."""
        self._replies = [reply.with_own_port(ports) for reply in replies]
        self._thread.start()

    def __enter__(self) -> ReplayServer:
        return self

    def __exit__(self, *_: object) -> None:
        # A connection of our own ends an accept() that still waits.
        self._closing = True
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        if self._thread.is_alive():
            self._thread.join(5)
        self._listener.close()

    def _serve(self) -> None:
        for reply in self._replies:
            connection, _ = self._listener.accept()
            if self._closing:
                connection.close()
                return
            with connection, suppress(OSError):
                self._answer(connection, reply)

    def _answer(self, plain: socket.socket, reply: Reply) -> None:
        plain.settimeout(5)
        connection = plain
        if self._context is not None:
            connection = self._context.wrap_socket(plain, server_side=True)
        with connection:
            self.requests.append(_read_request(connection))
            for delay_ms, data in reply.pieces:
                time.sleep(delay_ms / 1000)
                connection.sendall(data)
            _end(connection, reply.end)


def _listener() -> socket.socket:
    while True:
        listener = socket.create_server(("127.0.0.1", 0))
        if listener.getsockname()[1] >= _LOWEST_PORT:
            return listener
        listener.close()


def _read_request(connection: socket.socket) -> bytes:
    request = b""
    while (head_end := request.find(b"\r\n\r\n")) < 0:
        request += _some(connection)
    length = re.search(rb"Content-Length: *(\d+)", request)
    assert length is not None
    while len(request) < head_end + 4 + int(length[1]):
        request += _some(connection)
    return request


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionError("the client closed in its request")
    return data


def _end(connection: socket.socket, end: str) -> None:
    match end:
        case "rst":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        case "hold":
            while connection.recv(65536):
                pass
        case "notify" if isinstance(connection, ssl.SSLSocket):
            connection.unwrap()
        case _:
            pass


# --- the virtual gateway -------------------------------------------------------------------------------------------


def replay_virtual(case: Case, folder: Path) -> Seen:
    """What the virtual gateway does with the replies of this case. Executes the recorded update files."""
    context = station_certificates.server_context(folder) if case.uses_tls else None
    with ReplayServer(context) as server:
        ports = Ports(server.port, RECORDED_TLS_PORT if case.uses_tls else RECORDED_PORT)
        server.start(case.replies, ports)
        home = write_home(case, folder / "home", ports)
        transport = HttpTransport(buffer_bytes=home.read_conf().buffer_bytes)
        gateway = VirtualGateway(home, transport, station=STATION, model=MODEL, runner=execute)
        verdicts = _poll(gateway, case.polls)
    return Seen(
        [_ending(verdict) for verdict in verdicts],
        [_lines(verdict.log, home, ports) for verdict in verdicts],
        {name: ports.recorded_in(data) for name, data in _files(home).items()},
        [ports.recorded_in(request) for request in server.requests],
        verdicts[-1].crashed,
    )


def _poll(gateway: VirtualGateway, count: int) -> list[ExchangeResult]:
    """Start the gateway and poll this number of times, or until it crashes."""
    gateway.start()
    verdicts: list[ExchangeResult] = []
    while len(verdicts) < count and not any(verdict.crashed for verdict in verdicts):
        verdicts.append(gateway.poll())
    return verdicts


def write_home(case: Case, path: Path, ports: Ports) -> Home:
    """Write a home folder as the recording had it."""
    path.mkdir()
    conf = {"routerid": "00-11-22-33-44-55-66-77", **INTERVALS, **case.station_conf}
    files = {
        "station.conf": json.dumps({"station_conf": conf}).encode(),
        "cups.uri": b"http://localhost:%d" % RECORDED_PORT,
        "version.txt": b"1.0.0",
        **{f"sig-{index}.key": key for index, key in enumerate(case.station_keys)},
        **station_certificates.replacements(case.files),
    }
    for name, content in files.items():
        (path / name).write_bytes(ports.own_in(content))
    return Home(path)


def _ending(verdict: ExchangeResult) -> tuple[str, str, list[list[Any]]]:
    return verdict.exchange.value, verdict.update.value, [list(result) for result in verdict.key_results]


def _lines(log: Sequence[LogLine], home: Home, ports: Ports) -> list[str]:
    shown = [line for line in log if line.level >= Level.VERBOSE and line.module != NOTE_MODULE]
    return [as_recorded(str(line), ports).replace(str(home.path), "HOME") for line in shown]


def as_recorded(line: str, ports: Ports) -> str:
    """A log line with the substitutions of the recording: descriptor, process and ports."""
    line = re.sub(r"^(\[AIO:[A-Z]+\]) \[3\]", r"\1 [fd]", line)
    line = re.sub(r"\(pid=\d+\)", "(pid=N)", line)
    line = ports.recorded_in(line.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")
    return re.sub(rf"\blocalhost:{RECORDED_PORT}\b", "localhost:PORT", line)


def _files(home: Home) -> dict[str, bytes]:
    """The files that the recording lists: without the configuration, the keys, and what the update wrote."""
    paths = [path for path in home.path.rglob("*") if path.is_file()]
    names = {str(path.relative_to(home.path)): path for path in paths}
    return {name: path.read_bytes() for name, path in names.items() if _is_listed(name)}


def _is_listed(name: str) -> bool:
    is_key = name.startswith("sig-") and name.endswith(".key")
    return name not in {"station.conf", LEFT_BY_THE_UPDATE} and not is_key


# --- judge ---------------------------------------------------------------------------------------------------------


def judged(case: Case, timers: Timers) -> ReplyEvaluation:
    """The verdict of ``judge`` on the first reply, and on the request that the recorded client sent."""
    reply = case.replies[0]
    request = replace(
        ASSUMED_REQUEST,
        cups_uri=f"http://localhost:{RECORDED_PORT}",
        station=STATION,
        keys=tuple(zlib.crc32(key) for key in case.station_keys),
    )
    return evaluate_reply(
        reply.data,
        sig_keys=case.station_keys,
        timers=timers,
        server_closes=reply.end == "close",
        resets=reply.end == "rst",
        is_http=True,
        request=request,
    )


def verdict_as_recorded(judgement: ReplyEvaluation, level: Level) -> dict[str, Any]:
    """The verdict in the form of a recorded one."""
    verdict = judgement.to_json(level)
    verdict["log"] = [as_recorded(line, Ports(RECORDED_PORT, RECORDED_PORT)) for line in verdict["log"]]
    return verdict
