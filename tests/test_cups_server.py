"""The CUPS server over real sockets: the HTTP that a station needs, and the answers to bad requests."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from lorafw.clock import ManualClock
from lorafw.cups.codec import decode_response, encode_request
from lorafw.cups.messages import UpdateInfoRequest
from lorafw.errors import NoSuchObject
from lorafw.eui import GatewayEui
from lorafw.server.app import CupsServer
from lorafw.server.refusals import RefusalReason
from lorafw.tasks.lifecycle import Cause, TaskStatus
from lorafw.tasks.model import AccountRegion, Gateway, UpdateSpec
from lorafw.tasks.service import UpdateService
from lorafw.version import GatewayVersion

OWNER = AccountRegion("123456789012", "us-east-1")
EUI = GatewayEui.parse("5a11b0a85a11b0a8")
OLD = GatewayVersion(station="2.0.5", package="1.0.0", model="rpi")


@dataclass
class Image:
    content: bytes

    @property
    def size(self) -> int:
        return len(self.content)

    def read(self) -> bytes:
        return self.content

    def chunks(self, size: int = 65536) -> Iterator[bytes]:
        for start in range(0, len(self.content), size):
            yield self.content[start : start + size]


class Bucket:
    """A source that can be slow, and can be missing."""

    def __init__(self, content: bytes = b"") -> None:
        self.content = content
        self.gate = threading.Event()
        self.gate.set()

    def open(self, data_source: str, role: str | None, *, account: str, region: str) -> Image:
        self.gate.wait(10)
        if not self.content:
            raise NoSuchObject("no such key")
        return Image(self.content)


@dataclass
class World:
    service: UpdateService
    server: CupsServer
    gateway: Gateway
    bucket: Bucket

    def post(self, body: bytes, method: str = "POST", path: str = "/update-info") -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)
        connection.request(method, path, body)
        response = connection.getresponse()
        response.body = response.read()  # type: ignore[attr-defined]
        connection.close()
        return response

    def request(self, package: str = "1.0.0") -> bytes:
        return encode_request(UpdateInfoRequest(EUI, station="2.0.5", model="rpi", package=package))

    def define(self) -> None:
        self.service.create_definition(
            OWNER, auto_create_tasks=True, update=UpdateSpec("s3://b/k", "role", b"x" * 70, 7, OLD)
        )

    def status(self) -> TaskStatus:
        return self.service.task(OWNER, self.gateway.id).status

    def wait_for(self, cause: Cause) -> None:
        deadline = time.monotonic() + 5
        while not any(row.cause is cause for row in self.service.log):
            assert time.monotonic() < deadline, self.service.log
            time.sleep(0.005)

    def wait_for_sends(self, sends: int) -> None:
        deadline = time.monotonic() + 5
        while self.service.task(OWNER, self.gateway.id).sends != sends:
            assert time.monotonic() < deadline
            time.sleep(0.005)


@pytest.fixture
def world() -> Iterator[World]:
    bucket = Bucket()
    service = UpdateService(source=bucket, clock=ManualClock())
    gateway = service.create_gateway(OWNER, EUI)
    with CupsServer(service).run_in_thread() as server:
        yield World(service, server, gateway, bucket)


def test_the_server_listens_on_loopback_by_default(world: World) -> None:
    assert world.server.uri == f"http://127.0.0.1:{world.server.port}"


def test_nothing_to_do_is_fourteen_zero_bytes_with_their_length(world: World) -> None:
    response = world.post(world.request())
    assert (response.status, response.body) == (200, bytes(14))
    assert response.headers["Content-Length"] == "14"
    assert "Transfer-Encoding" not in response.headers
    assert "Content-Encoding" not in response.headers


@pytest.mark.parametrize("body", ["one piece", "byte by byte"])
def test_a_request_as_the_station_writes_it_is_taken_in_any_pieces(world: World, body: str) -> None:
    content = world.request()
    head = f"POST /update-info HTTP/1.1\r\nHost: localhost:{world.server.port}\r\nContent-Type: application/json\r\n"
    raw = f"{head}Content-Length: {len(content):5d}\r\n\r\n".encode() + content
    with socket.create_connection(("127.0.0.1", world.server.port)) as station:
        for piece in [raw] if body == "one piece" else [raw[i : i + 1] for i in range(len(raw))]:
            station.sendall(piece)
        answer = station.recv(4096)
        while not answer.endswith(bytes(14)):
            answer += station.recv(4096)
    assert answer.startswith(b"HTTP/1.1 200 ")


BAD = {
    "bad JSON": b'{"router":',
    "not an object": b"[]",
    "empty": b"",
    "wrong type": b'{"router":"5a11:b0a8:5a11:b0a8","package":7}',
    "missing router": b'{"station":"x"}',
    "router as a number": b'{"router":6489931848273899688}',
    "too deep": b"[" * 8000,
    "over 8 KB": b'{"router":"' + b"x" * 9000 + b'"}',
    "not UTF-8": b'{"router":"\xff"}',
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD.keys())
def test_a_malformed_request_gets_400_and_a_tiny_body_and_changes_nothing(world: World, body: bytes) -> None:
    world.define()
    response = world.post(body)
    assert response.status == 400
    assert 0 < len(response.body) < 100
    assert int(response.headers["Content-Length"]) == len(response.body)
    assert world.service.log == []
    assert world.server.tally.counts == {RefusalReason.MALFORMED: 1}


def test_an_unknown_gateway_gets_403_and_is_not_created(world: World) -> None:
    stranger = encode_request(UpdateInfoRequest(GatewayEui(1), station="2.0.5", model="rpi", package="1.0.0"))
    world.define()
    response = world.post(stranger)
    assert (response.status, response.body) == (403, b"unknown gateway\n")
    assert len(world.service.gateways(OWNER)) == 1
    assert world.service.log == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/update-info", 405), ("PUT", "/update-info", 405), ("POST", "/", 404), ("POST", "/update-info/", 404)],
)
def test_a_wrong_path_or_method_gets_a_tiny_answer(world: World, method: str, path: str, status: int) -> None:
    response = world.post(world.request(), method, path)
    assert response.status == status
    assert len(response.body) < 100


def test_a_header_that_is_no_http_gets_a_tiny_answer(world: World) -> None:
    with socket.create_connection(("127.0.0.1", world.server.port)) as station:
        station.sendall(b"NONSENSE\r\n\r\n")
        answer = b""
        while piece := station.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.0 400 ") or answer.startswith(b"HTTP/1.1 400 ")
    assert len(answer) < 2048


def test_an_update_comes_whole_and_the_task_goes_on(world: World) -> None:
    world.bucket.content = bytes(range(256)) * 4000
    world.define()
    response = world.post(world.request())
    assert response.headers["Content-Length"] == str(len(response.body))
    reply = decode_response(response.body)
    assert (reply.update, reply.signature, reply.key_crc) == (world.bucket.content, b"x" * 70, 7)
    world.wait_for_sends(1)
    assert world.status() is TaskStatus.IN_PROGRESS
    world.post(world.request("1.0.1"))
    assert world.status() is TaskStatus.COMPLETED


@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_gateway_that_breaks_off_uses_up_no_attempt_and_is_offered_again(world: World, how: str) -> None:
    world.bucket.content = bytes(300_000) * 10
    world.define()
    body = world.request()
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", world.server.port)) as station:
            station.sendall(
                b"POST /update-info HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
            assert station.recv(1000)
            if how == "reset":
                station.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        world.wait_for(Cause.REPLY_BROKEN)
        time.sleep(0.05)
    assert world.status() is TaskStatus.IN_PROGRESS
    assert world.service.task(OWNER, world.gateway.id).sends == 0
    assert len(decode_response(world.post(body).body).update) == 3_000_000
    world.wait_for_sends(1)


def test_an_update_that_cannot_be_read_is_not_promised(world: World) -> None:
    world.define()
    assert world.post(world.request()).body == bytes(14)
    assert world.status() is TaskStatus.PENDING
    assert "no such key" in str(world.service.explain(OWNER, world.gateway.id))
    world.bucket.content = b"now it is there"
    assert decode_response(world.post(world.request()).body).update == b"now it is there"


def test_a_slow_source_delays_no_other_gateway_and_the_same_gateway_gets_an_empty_reply_meanwhile(world: World) -> None:
    other = world.service.create_gateway(OWNER, GatewayEui(2))
    world.bucket.content = b"update"
    world.bucket.gate.clear()
    world.define()
    answers: list[Any] = []
    slow = threading.Thread(target=lambda: answers.append(world.post(world.request()).body))
    slow.start()
    deadline = time.monotonic() + 5
    while not world.service.log:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    idle = encode_request(UpdateInfoRequest(other.eui, station="other", model="rpi", package="9"))
    assert world.post(idle).body == bytes(14)
    assert world.post(world.request()).body == bytes(14)
    world.bucket.gate.set()
    slow.join()
    assert decode_response(answers[0]).update == b"update"


def test_a_message_never_repeats_what_came_over_the_wire_at_length_or_unprintable(world: World) -> None:
    response = world.post(json.dumps({"router": "\x1b[31m" + "x" * 5000}).encode())
    assert response.status == 400
    assert b"\x1b" not in response.body
    assert len(response.body) < 100


def test_a_compressed_body_is_refused_and_never_unpacked(world: World) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", world.server.port, timeout=10)
    for body in (gzip.compress(world.request()), world.request() + b"!"):
        connection.request("POST", "/update-info", body, {"Content-Encoding": "gzip"})
        response = connection.getresponse()
        assert response.status == 400
        assert len(response.read()) < 100
        connection.close()


def test_a_gateway_that_goes_away_in_the_middle_of_its_request_is_no_fault_of_the_server(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_connection(("127.0.0.1", world.server.port)) as gateway:
        gateway.sendall(b"POST /update-info HTTP/1.1\r\nHost: localhost\r\nContent-Length:   200\r\n\r\n{")
        time.sleep(0.05)
    deadline = time.monotonic() + 5
    while world.server.tally.counts != {RefusalReason.REQUEST_TIMEOUT: 1}:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert not caplog.records


def test_a_gateway_that_goes_away_in_the_middle_of_its_update_is_no_fault_of_the_server(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.bucket.content = bytes(30_000_000)
    world.define()
    body = world.request()
    head = b"POST /update-info HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
    with socket.create_connection(("127.0.0.1", world.server.port)) as gateway:
        gateway.sendall(head + body)
        gateway.recv(1000)
    world.wait_for(Cause.REPLY_BROKEN)
    assert world.post(b"{").status == 400  # the server has gone on to the next
    assert not caplog.records
