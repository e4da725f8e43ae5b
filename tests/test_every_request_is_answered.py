"""If serving a request raises any exception, the request is answered, and the exception is counted and reported."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from lorafw.clock import ManualClock
from lorafw.cups.codec import encode_request
from lorafw.cups.messages import UpdateInfoRequest
from lorafw.eui import GatewayEui
from lorafw.server.app import CupsServer
from lorafw.server.file_budget import UNLIMITED, FileBudget, free_files, read_file_limit
from lorafw.server.refusals import MAX_LINES_PER_WINDOW, WINDOW_S, LineLimit, RefusalReason
from lorafw.tasks.model import AccountRegion
from lorafw.tasks.service import UpdateService

EUI = GatewayEui(1)
BODY = encode_request(UpdateInfoRequest(EUI, station="2.0.6", model="rpi", package="1.0.0"))
REQUEST = b"POST /update-info HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY


class NoBucket:
    def open(self, data_source: str, role: str | None, *, account: str, region: str) -> Any:
        raise AssertionError("nothing is read here")


@pytest.fixture
def server() -> Iterator[CupsServer]:
    service = UpdateService(source=NoBucket(), clock=ManualClock())
    service.create_gateway(AccountRegion("123456789012", "us-east-1"), EUI)
    with CupsServer(service).run_in_thread() as running:
        yield running


def ask(server: CupsServer) -> bytes:
    answer = b""
    with socket.create_connection(("127.0.0.1", server.port), 20) as client:
        client.sendall(REQUEST)
        while piece := client.recv(4096):
            answer += piece
    return answer


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), RecursionError(), MemoryError(), AssertionError()])
def test_an_unexpected_error_is_answered_and_counted(
    server: CupsServer, error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(server.service, "receive_request", fail)
    answer = ask(server)
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert answer.endswith(b"\r\n\r\nserver error\n")
    assert server.tally.counts == {RefusalReason.SERVER_ERROR: 1}
    assert [record.exc_info and record.exc_info[1] for record in caplog.records] == [error]
    monkeypatch.undo()
    assert ask(server).startswith(b"HTTP/1.1 200 ")


def test_many_such_errors_do_not_flood_the_log(
    server: CupsServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: object) -> None:
        raise ValueError("again")

    monkeypatch.setattr(server.service, "receive_request", fail)
    for _ in range(3 * MAX_LINES_PER_WINDOW):
        assert b" 500 " in ask(server)
    assert server.tally.counts == {RefusalReason.SERVER_ERROR: 3 * MAX_LINES_PER_WINDOW}
    assert len(caplog.records) <= 2 * MAX_LINES_PER_WINDOW


def test_an_error_in_a_callback_of_the_loop_is_counted(server: CupsServer, caplog: pytest.LogCaptureFixture) -> None:
    loop = server._running.connections._loop  # type: ignore[union-attr]

    def fail() -> None:
        raise ValueError("in a callback")

    loop.call_soon_threadsafe(fail)
    assert ask(server).startswith(b"HTTP/1.1 200 ")
    assert server.tally.counts == {RefusalReason.SERVER_ERROR: 1}
    assert "in a callback" in str(caplog.records[0].exc_info)


def test_a_logger_of_others_is_limited_and_tells_how_much_was_left_out() -> None:
    now = [0.0]
    limit = LineLimit(lambda: now[0])
    records = [logging.LogRecord("asyncio", logging.ERROR, "", 0, "x %d", (number,), None) for number in range(50)]
    assert sum(limit.filter(record) for record in records) == MAX_LINES_PER_WINDOW
    now[0] = WINDOW_S
    last = logging.LogRecord("asyncio", logging.ERROR, "", 0, "x %d", (50,), None)
    assert limit.filter(last)
    assert last.getMessage() == f"x 50 ({50 - MAX_LINES_PER_WINDOW} more records were left out)"


def test_the_servers_of_a_process_share_one_budget_of_files() -> None:
    budget = FileBudget(lambda: 1024, lambda: 24)
    first = budget.join()
    assert first.files == 936
    second, third = budget.join(), budget.join()
    assert first.files == second.files == third.files == 312
    third.leave()
    third.leave()
    assert second.files == 468


@pytest.mark.parametrize(("limit", "is_open", "free"), [(64, 20, 22), (64, 64, 0), (64, 80, 0), (1024, 24, 936)])
def test_a_reserve_of_files_stays_free(limit: int, is_open: int, free: int) -> None:
    assert free_files(limit, is_open) == free


def test_no_limit_is_many_files_and_not_few(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert read_file_limit() == UNLIMITED
