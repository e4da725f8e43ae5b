"""A hostile gateway cannot harm the server or other gateways: over real sockets, with small limits."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import json
import logging
import re
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from processes import killed_at_the_end
from test_mutual_tls import certificate_by_openssl

from lorafw.clock import ManualClock
from lorafw.cups.codec import decode_response, encode_request
from lorafw.cups.messages import UpdateInfoRequest
from lorafw.eui import GatewayEui
from lorafw.server.app import CupsServer
from lorafw.server.authorization import BoundCertificate, CertificateAuthorizer
from lorafw.server.certificate_authority import load_or_create
from lorafw.server.config import Limits, TlsConfig
from lorafw.server.connections import ClientConnection, ConnectionManager
from lorafw.server.refusals import MAX_LINES_PER_WINDOW, WINDOW_S, RefusalCounter, RefusalReason
from lorafw.sources.cache import CachedUpdate, UpdateCache, download_update
from lorafw.tasks.lifecycle import Cause
from lorafw.tasks.model import AccountRegion, UpdateSpec
from lorafw.tasks.service import UpdateService
from lorafw.version import GatewayVersion

OWNER = AccountRegion("123456789012", "us-east-1")
OLD = GatewayVersion(station="2.0.5", package="1.0.0", model="rpi")
IMAGE = bytes(range(256)) * 12_000
HOUR = 3600.0
HEAD = b"POST /update-info HTTP/1.1\r\nHost: localhost\r\nContent-Length: %5d\r\n\r\n"


class Bucket:
    """Holds one update, spooled as the real source does it."""

    def __init__(self) -> None:
        self.spool = UpdateCache()
        self.readings = 0

    def open(self, data_source: str, role: str | None, *, account: str, region: str) -> CachedUpdate:
        return self.spool.get(data_source, self._read)

    def _read(self) -> CachedUpdate:
        self.readings += 1
        return download_update([IMAGE], size=len(IMAGE))


class OneCertificate:
    """Everybody's certificate is the same."""

    def __init__(self, pem: str) -> None:
        self.pem = pem

    def find(self, owner: AccountRegion, certificate_id: str) -> BoundCertificate:
        return BoundCertificate(certificate_id, self.pem, True)


@dataclass
class Place:
    service: UpdateService
    server: CupsServer
    bucket: Bucket
    context: ssl.SSLContext | None = None

    @property
    def counts(self) -> dict[RefusalReason, int]:
        return dict(self.server.tally.counts)

    def connect(self, *, receive_buffer: int | None = None, shake: bool = True) -> socket.socket:
        connection = socket.socket()
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", self.server.port))
        if self.context is None or not shake:
            return connection
        return self.context.wrap_socket(connection, server_hostname="localhost")

    def request(self, number: int = 1, package: str = "9") -> bytes:
        body = encode_request(UpdateInfoRequest(GatewayEui(number), station="2.0.5", model="rpi", package=package))
        return HEAD % len(body) + body

    def poll(self, number: int = 1, package: str = "9") -> bytes:
        """The body of the reply."""
        with self.connect() as connection:
            connection.sendall(self.request(number, package))
            return read_all(connection).partition(b"\r\n\r\n")[2]

    def define(self) -> None:
        self.service.create_definition(
            OWNER, auto_create_tasks=True, update=UpdateSpec("s3://b/k", "role", b"x" * 70, 7, OLD)
        )


def read_all(connection: socket.socket) -> bytes:
    answer = b""
    with contextlib.suppress(ConnectionResetError, ssl.SSLError):
        while piece := connection.recv(65536):
            answer += piece
    return answer


def wait_until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def serving(folder: Path, *, tls: bool = False, limits: Limits | None = None, gateways: int = 3) -> Iterator[Place]:
    bucket = Bucket()
    service = UpdateService(source=bucket, clock=ManualClock())
    for number in range(1, gateways + 1):
        service.create_gateway(OWNER, GatewayEui(number), certificate_id="c")
    security = context = None
    if tls:
        authority = load_or_create(folder / "state", ["localhost"])
        certificate, _ = certificate_by_openssl(folder)
        gatekeeper = CertificateAuthorizer(OneCertificate(certificate.decode()), service.find_gateway)
        gatekeeper.trust(OWNER, "c")
        server_context = authority.server_context()
        gatekeeper.attach(server_context)
        security = TlsConfig(server_context, gatekeeper)
        context = ssl.create_default_context(cadata=authority.ca_pem)
        context.load_cert_chain(folder / "c.pem", folder / "k.pem")
    server = CupsServer(service, tls=security, limits=limits or Limits())
    with server.run_in_thread():
        yield Place(service, server, bucket, context)


both = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])


@both
def test_who_stalls_in_handshake_header_or_body_is_gone_after_their_time_and_others_are_served(
    tmp_path: Path, tls: bool
) -> None:
    with serving(tmp_path, tls=tls, limits=Limits(request_timeout_s=1.0)) as place:
        stalled = [place.connect(shake=False)]
        for told in (b"", b"POST /upd", HEAD % 99 + b"{", HEAD % 99):
            stalled.append(place.connect())
            stalled[-1].sendall(told)
        if tls:
            stalled.append(place.connect(shake=False))
            stalled[-1].sendall(b"\x16\x03\x01\x02\x00\x01")  # the first bytes of a ClientHello
        assert place.poll() == bytes(14), "others are served meanwhile"
        for connection in stalled:
            with connection:
                assert read_all(connection) == b""
        wait_until(lambda: place.counts == {RefusalReason.REQUEST_TIMEOUT: len(stalled)})


def test_who_sends_a_byte_now_and_then_gains_no_time(tmp_path: Path) -> None:
    with serving(tmp_path, limits=Limits(request_timeout_s=1.0)) as place, place.connect() as slow:
        with pytest.raises(OSError):  # noqa: PT012
            for byte in b"POST /update-info HTTP/1.1\r\nHost: " + b"x" * 1000:
                slow.sendall(bytes([byte]))
                time.sleep(0.05)
        wait_until(lambda: place.counts == {RefusalReason.REQUEST_TIMEOUT: 1})


LONG = {
    "one name": b"X" * 40_000 + b": 1\r\n\r\n",
    "one value": b"X: " + b"y" * 40_000 + b"\r\n\r\n",
    "many names": b"".join(b"X-%d: y\r\n" % number for number in range(9000)) + b"\r\n",
    "without end": b"X: " + b"y" * 200_000,
    "a line that never ends": b"y" * 17_000,
}


@both
@pytest.mark.parametrize("header", LONG.values(), ids=LONG.keys())
def test_a_header_that_is_too_long_gets_a_tiny_answer(tmp_path: Path, header: bytes, tls: bool) -> None:
    with serving(tmp_path, tls=tls, limits=Limits(close_timeout_s=0.2)) as place, place.connect() as hostile:
        told = b"POST /update-info HTTP/1.1\r\n" + header
        for start in range(0, len(told), 4000):
            with contextlib.suppress(OSError):
                hostile.sendall(told[start : start + 4000])
        answer = read_all(hostile)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert len(answer) < 400
        assert place.counts == {RefusalReason.TOO_LONG: 1}


def test_a_body_that_never_ends_gets_400_and_is_not_read_on(tmp_path: Path) -> None:
    with serving(tmp_path, limits=Limits(close_timeout_s=0.2)) as place, place.connect() as hostile:
        hostile.sendall(HEAD % 99_999_999 + b"x" * 9_000)
        assert hostile.recv(1000).startswith(b"HTTP/1.1 400 ")
        with pytest.raises(OSError):  # noqa: PT012
            for _ in range(1000):
                hostile.sendall(bytes(65536))


def test_only_the_first_of_several_requests_on_a_connection_is_answered(tmp_path: Path) -> None:
    with serving(tmp_path) as place, place.connect() as hostile:
        hostile.sendall(place.request() * 30)
        answer = read_all(hostile)
        assert answer.count(b"HTTP/1.1 200 ") == 1
        assert answer.endswith(bytes(14))


def test_a_compressed_body_is_taken_as_it_is_and_never_inflated(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(5_000_000))
    with serving(tmp_path) as place, place.connect() as hostile:
        hostile.sendall(
            (HEAD % len(bomb)).replace(b"Host: localhost", b"Host: localhost\r\nContent-Encoding: gzip") + bomb
        )
        assert read_all(hostile).startswith(b"HTTP/1.1 400 ")
        assert place.counts == {RefusalReason.MALFORMED: 1}


@pytest.mark.parametrize("depth", [10, 500, 900, 960, 990, 1500, 4000])
@pytest.mark.parametrize("bracket", [b"[]", b"{}"])
def test_a_body_of_any_depth_gets_400(tmp_path: Path, depth: int, bracket: bytes) -> None:
    opening, closing = (b"[", b"]") if bracket == b"[]" else (b'{"":', b"}")
    deep = opening * min(depth, 1500 if bracket == b"{}" else depth) + b"1"
    deep += closing * min(depth, 1500 if bracket == b"{}" else depth)
    for body in (deep, b'{"router":' + deep + b"}", b'{"router":"1::","keys":' + deep + b"}"):
        with serving(tmp_path) as place, place.connect() as hostile:
            hostile.sendall(HEAD % len(body) + body)
            assert read_all(hostile).startswith(b"HTTP/1.1 400 "), body[:40]
            assert place.counts == {RefusalReason.MALFORMED: 1}


@both
def test_who_closes_their_side_after_the_request_gets_the_answer(tmp_path: Path, tls: bool) -> None:
    with serving(tmp_path, tls=tls) as place:
        place.define()
        with place.connect() as half:
            half.sendall(place.request(1, "1.0.0"))
            half.shutdown(socket.SHUT_WR)
            if isinstance(half, ssl.SSLSocket):
                return  # Python's half can read no more
            assert decode_response(read_all(half).partition(b"\r\n\r\n")[2]).update == IMAGE


def test_who_goes_away_in_the_middle_of_a_request_holds_nothing(tmp_path: Path) -> None:
    with serving(tmp_path, limits=Limits(request_timeout_s=HOUR)) as place:
        with place.connect() as half:
            half.sendall(HEAD % 99 + b"{")
            half.shutdown(socket.SHUT_WR)
            assert read_all(half) == b""
        assert place.counts == {RefusalReason.REQUEST_TIMEOUT: 1}


@both
def test_who_never_reads_the_update_is_closed_and_uses_up_no_attempt(tmp_path: Path, tls: bool) -> None:
    limits = Limits(min_rate_window_s=0.6, request_timeout_s=30.0)
    with serving(tmp_path, tls=tls, limits=limits) as place:
        place.define()
        with place.connect(receive_buffer=4096) as hostile:
            hostile.sendall(place.request(1, "1.0.0"))
            wait_until(lambda: place.counts == {RefusalReason.RESPONSE_TIMEOUT: 1})
        wait_until(lambda: place.service.log[-1].cause is Cause.REPLY_BROKEN)
        gateway = place.service.gateways(OWNER)[0]
        assert place.service.task(OWNER, gateway.id).sends == 0
        assert decode_response(place.poll(1, "1.0.0")).update == IMAGE


def test_who_reads_slowly_but_as_fast_as_a_station_must_gets_the_whole_update(tmp_path: Path) -> None:
    limits = Limits(min_rate_window_s=1.0, min_rate_bytes=8192, send_buffer_bytes=4096)
    with serving(tmp_path, limits=limits) as place:
        place.define()
        with place.connect(receive_buffer=4096) as slow:
            slow.sendall(place.request(1, "1.0.0"))
            answer = b""
            started = time.monotonic()
            while time.monotonic() - started < 2.5:
                answer += slow.recv(4096)
                time.sleep(0.1)
            assert len(answer) < len(IMAGE)
            answer += read_all(slow)
        assert decode_response(answer.partition(b"\r\n\r\n")[2]).update == IMAGE
        assert place.counts == {}


def test_who_fills_the_server_with_idle_connections_pushes_out_their_own(tmp_path: Path) -> None:
    with serving(tmp_path, limits=Limits(connections=20)) as place:
        idle = [place.connect() for _ in range(50)]
        assert place.poll() == bytes(14)
        assert place.counts == {RefusalReason.TOO_MANY_CONNECTIONS: 31}
        assert read_all(idle[0]) == b"", "the oldest went"
        idle[-1].sendall(place.request())
        assert read_all(idle[-1]).endswith(bytes(14)), "the youngest is still there"
        for connection in idle:
            connection.close()


def test_a_connection_that_has_just_begun_is_spared_when_room_is_made() -> None:
    async def begin_two_and_make_room() -> tuple[bool, bool]:
        manager = ConnectionManager(Limits(), RefusalCounter())
        old, young = (ClientConnection(manager.now, manager.tally) for _ in range(2))
        for connection in (old, young):
            assert manager.register(connection)
        old.phase_started_at -= 1.0
        rooms = manager.make_room(0.5), manager.make_room(0.5)
        manager.close_all()
        return rooms

    assert asyncio.run(begin_two_and_make_room()) == (True, False)


def test_an_update_under_way_is_not_pushed_out(tmp_path: Path) -> None:
    with serving(tmp_path, limits=Limits(connections=8)) as place:
        place.define()
        with place.connect(receive_buffer=4096) as download:
            download.sendall(place.request(1, "1.0.0"))
            answer = download.recv(1000)
            idle = [place.connect() for _ in range(30)]
            assert place.poll() == bytes(14)
            answer += read_all(download)
            assert decode_response(answer.partition(b"\r\n\r\n")[2]).update == IMAGE
            for connection in idle:
                connection.close()


@both
def test_many_replies_with_the_same_update_share_one_copy_of_it(tmp_path: Path, tls: bool) -> None:
    digests: list[str] = []
    with serving(tmp_path, tls=tls, gateways=12) as place:
        place.define()

        def download(number: int) -> None:
            update = decode_response(place.poll(number, "1.0.0")).update
            digests.append(hashlib.sha256(update).hexdigest())

        threads = [threading.Thread(target=download, args=(number,)) for number in range(1, 13)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert digests == [hashlib.sha256(IMAGE).hexdigest()] * 12
        assert place.bucket.readings == 1
        one, other = (place.bucket.open("s3://b/k", None, account="", region="") for _ in range(2))
        pieces = [*one.chunks(), *other.chunks()]
        assert len({id(piece.obj) for piece in pieces}) == 1, "all pieces are views of one map"


def test_a_flood_of_unknown_gateways_is_counted_and_does_not_flood_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "lorafw.cups")
    with serving(tmp_path) as place:
        for number in range(100, 250):
            assert place.poll(number) == b"unknown gateway\n"
        assert place.counts == {RefusalReason.UNKNOWN_GATEWAY: 150}
        assert len(place.service.gateways(OWNER)) == 3
    lines = [record.message for record in caplog.records]
    assert len(lines) <= 2 * MAX_LINES_PER_WINDOW + 2
    told = [int(line.split(", ")[1].split()[0]) for line in lines if line.endswith("times more")]
    assert sum(told) + len(lines) - len(told) == 150, "what is left out is told as a number"


def test_a_refusal_tells_no_secret(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(tmp_path) as place, place.connect() as client:
        body = b'{"router": 7, "secret": "hunter2"}'
        head = (HEAD % len(body)).replace(b"Host: localhost", b"Host: localhost\r\nAuthorization: Bearer hunter2")
        client.sendall(head + body)
        assert b"hunter2" not in read_all(client)
        assert place.counts == {RefusalReason.MALFORMED: 1}
    assert "hunter2" not in caplog.text


def test_a_reset_in_the_middle_of_anything_does_no_harm(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with serving(tmp_path, tls=True) as place:
        place.define()
        for told in (b"", b"POST", HEAD % 99, place.request(), place.request(1, "1.0.0")):
            for shake in (True, False):
                with place.connect(shake=shake) as hostile:
                    hostile.sendall(told)
                    hostile.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert place.poll(2) == bytes(14)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@both
def test_a_server_that_stops_leaves_no_connection(tmp_path: Path, tls: bool) -> None:
    with serving(tmp_path, tls=tls) as place:
        left = [place.connect(shake=False), place.connect()]
        assert place.poll() == bytes(14), "all have been accepted"
    for connection in left:
        with connection:
            assert read_all(connection) == b""


def test_a_tally_tells_the_first_of_a_span_and_then_numbers(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "lorafw.cups")
    now = [0.0]
    tally = RefusalCounter(lambda: now[0])
    for _ in range(MAX_LINES_PER_WINDOW + 5):
        tally.add(RefusalReason.MALFORMED, "x")
    assert len(caplog.records) == MAX_LINES_PER_WINDOW
    now[0] = WINDOW_S
    tally.log_suppressed()
    assert caplog.messages[-1] == "refused: malformed request, 5 times more"
    tally.add(RefusalReason.NOT_ALLOWED)
    assert caplog.messages[-1] == "refused: not allowed"
    assert str(tally) == f"{MAX_LINES_PER_WINDOW + 5} malformed request, 1 not allowed"


def test_serve_shows_each_refusal_and_their_sum_at_the_end(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    command = [sys.executable, "-m", "lorafw", "serve", "--api-port", "0", "--cups-plain-port", "0"]
    command += ["--cups-port", "0", "--state-dir", str(tmp_path / "state"), "--ready-file", str(ready)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as serve,
        killed_at_the_end(serve),
    ):
        wait_until(lambda: ready.exists() or serve.poll() is not None)
        port = int(json.loads(ready.read_text())["cups_plain"].rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), 20) as client:
            body = b'{"router":"1::"}'
            client.sendall(HEAD % len(body) + body)
            assert read_all(client).endswith(b"unknown gateway\n")
        serve.terminate()
        output, _ = serve.communicate(timeout=30)
    assert serve.returncode == 0
    assert "refused: unknown gateway (127.0.0.1" in output
    assert re.search(r"Refused at http://127.0.0.1:\d+: 1 unknown gateway$", output, re.MULTILINE)
    assert re.search(r"Refused at https://localhost:\d+: nothing$", output, re.MULTILINE)
