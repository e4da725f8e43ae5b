"""Random HTTP replies and home folders, for the virtual gateway and for ``gateway judge``.

Both must produce the same verdict, log lines and files. ``fuzz.py`` runs the two targets of this module.
"""

from __future__ import annotations

import random
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from lorafw.cups.codec import encode_response
from lorafw.cups.credentials import Credentials
from lorafw.cups.messages import UpdateInfoResponse
from lorafw.errors import LorafwError
from lorafw.firmware.signing import KeyPair
from lorafw.gateway.home import Home
from lorafw.gateway.transport import HttpTransport, SocketStream
from lorafw.gateway.virtual import VirtualGateway
from lorafw.station.evaluation import ReplyEvaluation, evaluate_reply
from lorafw.station.exchange import NOTE_MODULE, ExchangeResult
from lorafw.station.log import LogLine

KEY = KeyPair.from_secret(1)
URI = b"http://localhost:34783"
CONF = b'{"station_conf": {"routerid": "00-11-22-33-44-55-66-77"}}'
MEMORY = Path("/dev/shm")
UPDATE = b"echo not executed\n"

STATUS_LINES = [
    b"HTTP/1.1 200 OK", b"HTTP/1.0 200", b"HTTP/1.1 0200 OK", b"HTTP/1.1 0xc8 OK", b"HTTP/1.1  200 OK",
    b"HTTP/1.1 404 Not Found", b"HTTP/1.1 404", b"HTTP/2 200 OK", b"HTTP/1.1 65736 OK", b"ABCD/1.9 200", b"",
    b"HTTP/1.1 500 \0 x", b"HTTP/1.1 100 Continue", b"\xff\xfe/1.1 200 \xe4",
]  # fmt: skip
HEADERS = [
    b"Content-Length: %d", b"content-length:%d", b"CONTENT-LENGTH:\r\n\t%d", b"Content-Length: 0x%x",
    b"Content-Length: x", b"Content-Length: -%d", b"Content-Length: 4294967296", b"Content-Length : %d",
    b"X: y\nContent-Length: %d", b"Transfer-Encoding: chunked", b"Connection: close", b"X: " + b"x" * 7000,
]  # fmt: skip
BODIES = [
    bytes(14),
    bytes(13),
    b"",
    encode_response(UpdateInfoResponse(update=UPDATE)),
    encode_response(UpdateInfoResponse(signature=KEY.sign(UPDATE), key_crc=KEY.public_key.crc, update=UPDATE)),
    encode_response(UpdateInfoResponse(update=b"#!/no/such/interpreter\n" + bytes(20_000))),
    encode_response(UpdateInfoResponse(cups_uri="http://other:1", tc_uri="wss://lns:443\n")),
    encode_response(UpdateInfoResponse(cups_cred=Credentials(b"\x30\x03abc", b"", b"A: b\r\n").to_segment())),
    b"\0\0\x06\0\x30\0" + bytes(14),
]
FILES = [
    "version.txt", "cups.uri", "tc.uri", "station.conf", "sig-0.key", "sig-1.key", "cups.trust", "cups.key",
    "cups.crt", "cups-temp.uri", "cups-temp.upd", "cups-bak.key", "my-temp.txt",
]  # fmt: skip
CONTENTS = [
    b"", b"\0", b"1.0.1\0x", b"\xff\xfe1\0", b"http://localhost:1", b"HTTP://[::1]:0443", b"http://[]:1", b"ws://a:1\n",
    b"http://[x", b'{"station_conf": {}}', b'{"station_conf": {"routerid": 7, "CUPS_OKSYNC_INTV": "3s5"}}',
    b'{"station_conf": {"log_level": "debug", "CUPS_RESYNC_INTV": 1e999}}', b"[" * 3000, b"x" * 9000, bytes(64),
    b"-----BEGIN CERTIFICATE-----\nAAAA\n", b"A: b\n",
]  # fmt: skip


class _Connection:
    """The server's side as a socket would show it: pieces, and behind them a close, a reset or silence."""

    def __init__(self, pieces: list[bytes], end: str) -> None:
        self._pieces = [piece for piece in pieces if piece]
        self._end = end

    def close(self) -> None:
        pass

    def settimeout(self, seconds: float) -> None:
        pass

    def sendall(self, data: bytes) -> None:
        pass

    def recv(self, size: int) -> bytes:
        if not self._pieces:
            return self._at_the_end()
        piece = self._pieces.pop(0)
        if piece[size:]:
            self._pieces.insert(0, piece[size:])
        return piece[:size]

    def _at_the_end(self) -> bytes:
        if self._end == "reset":
            raise ConnectionResetError
        if self._end == "silence":
            raise TimeoutError
        return b""


class _Transport(HttpTransport):
    """The transport of a real gateway, on a connection in memory."""

    def __init__(self, connection: _Connection) -> None:
        super().__init__()
        self._connection = connection

    def _connect(self, *arguments: Any) -> SocketStream:
        on_connected: Callable[[], None] = arguments[-1]
        on_connected()
        return SocketStream(cast(socket.socket, self._connection), timeout_s=60, deadline_s=time.monotonic() + 60)


class _Target:
    """A home folder that begins anew with each input."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="lorafw-fuzz-", dir=MEMORY if MEMORY.is_dir() else None)
        self.home = Home(Path(self._folder.name) / "home")

    def begin(self, files: dict[str, bytes]) -> None:
        shutil.rmtree(self.home.path, ignore_errors=True)
        self.home.path.mkdir()
        for name, content in files.items():
            (self.home.path / name).write_bytes(content)


class Replies(_Target):
    """HTTP replies of chance: the virtual gateway does what ``judge`` says."""

    def make(self, chance: random.Random) -> bytes:
        body = changed(chance, chance.choice(BODIES))
        headers = [chance.choice(HEADERS) for _ in range(chance.randrange(3))]
        if chance.random() < 0.7:
            headers.insert(0, b"Content-Length: %d")
        lines = [chance.choice(STATUS_LINES[: chance.choice((4, 4, len(STATUS_LINES)))])]
        for header in headers:
            length = len(body) + chance.choice((0,) * 8 + (1, -1, 9000))
            format_of_length = rb"%x" if b"%x" in header else rb"%d"
            lines.append(header.replace(format_of_length, format_of_length % length))
        end = chance.choice((b"\r\n\r\n",) * 10 + (b"\n\n", b"\r\n"))
        return changed(chance, chance.choice((b"\r\n",) * 4 + (b"\n",)).join(lines) + end) + body

    def check(self, data: bytes, chance: random.Random) -> bool:
        """Was the exchange done?"""
        keys = [KEY.public_key.sig_key, bytes(65)][: chance.randrange(3)]
        end = chance.choice(("close", "close", "reset", "silence"))
        told = evaluate_reply(data, sig_keys=keys, server_closes=end == "close", resets=end == "reset", is_http=True)
        is_split = chance.random() < 0.3
        verdict = self._poll(cut(chance, data) if is_split else [data], end, keys)
        # Bytes too many are noticed only if they come together with those before them.
        if not is_split or "Received more data" not in str(told.log):
            compare(told, verdict, self.home)
        return told.exchange in {"done", "cups-updates"}

    def _poll(self, pieces: list[bytes], end: str, keys: list[bytes]) -> ExchangeResult:
        files = {f"sig-{index}.key": key for index, key in enumerate(keys)}
        self.begin({"station.conf": CONF, "cups.uri": URI, "version.txt": b"1.0.0", **files})
        station = "2.0.6(linux/std) 2021-03-12 09:03:20"
        return VirtualGateway(self.home, _Transport(_Connection(pieces, end)), station=station, model="linux").poll()


def compare(told: ReplyEvaluation, verdict: ExchangeResult, home: Home) -> None:
    """Raise AssertionError if the verdict of ``judge`` is not what the virtual gateway did."""
    assert (told.exchange, told.update, told.key_results) == (verdict.exchange, verdict.update, verdict.key_results)
    assert (told.exit_code == 139) is verdict.crashed
    assert shown(told.log) == shown(verdict.log)
    tc_uri = home.path / "tc.uri"
    assert told.tc_uri == (tc_uri.read_bytes().decode("utf-8", "replace") if tc_uri.exists() else None)
    assert told.cups_uri_changed is ((home.path / "cups.uri").read_bytes() != URI)
    is_backed_up = (home.path / "cups-bak.done").exists()
    assert is_backed_up or told.exchange not in {"done", "cups-updates"}


def shown(log: tuple[LogLine, ...]) -> list[str]:
    """The lines without what differs by nature: the process, and lines that are not the station's."""
    lines = [str(line) for line in log if line.module != NOTE_MODULE]
    return [re.sub(r"pid=\w+", "pid=N", line).replace("localhost:PORT", "localhost:34783") for line in lines]


class HomeFiles(_Target):
    """Home folders of chance: a station starts and polls, or the error says what is wrong."""

    def make(self, chance: random.Random) -> bytes:
        return changed(chance, chance.choice(CONTENTS))

    def check(self, data: bytes, chance: random.Random) -> bool:
        """Could the gateway poll?"""
        files = {"station.conf": CONF, "cups.uri": URI, "version.txt": b"1.0.0", chance.choice(FILES): data}
        for _ in range(chance.randrange(3)):
            files[chance.choice(FILES)] = changed(chance, chance.choice(CONTENTS))
        self.begin(files)
        body = chance.choice(BODIES)
        reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        gateway = VirtualGateway(self.home, _Transport(_Connection([reply], "close")))
        try:
            gateway.start()
            gateway.poll()
            gateway.poll()
        except LorafwError:
            return False
        assert "my-temp.txt" not in files or (self.home.path / "my-temp.txt").exists(), "a file of the user is gone"
        return True


def changed(chance: random.Random, data: bytes) -> bytes:
    """The data, in two of five cases with a few bytes changed, taken out or put in."""
    if chance.random() < 0.6:
        return data
    changed = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(changed) + 1)
        match chance.randrange(3):
            case 0:
                changed[at : at + 1] = chance.randbytes(1)
            case 1:
                del changed[at : at + chance.choice((1, 2, 50))]
            case 2:
                changed[at:at] = chance.choice((b"\0", b"\r\n", b"\n", b" ", b"0x", b"\xff" * 4, chance.randbytes(3)))
    return bytes(changed)


def cut(chance: random.Random, data: bytes) -> list[bytes]:
    """The data in pieces, as it may come over a network."""
    places = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randint(1, 5)))
    return [data[start:stop] for start, stop in zip([0, *places], [*places, len(data)], strict=True)]
