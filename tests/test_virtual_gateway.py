"""The virtual gateway decides, logs and writes files as a Basics Station does."""

from __future__ import annotations

import errno
import json
import re
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import station_certificates

from lorafw.clock import ManualClock
from lorafw.cups.codec import encode_response
from lorafw.cups.messages import UpdateInfoResponse
from lorafw.eui import GatewayEui
from lorafw.firmware.image import build_image
from lorafw.firmware.signing import KeyPair
from lorafw.gateway.home import Home
from lorafw.gateway.provisioning import write_home
from lorafw.gateway.runner import execute, install_only
from lorafw.gateway.transport import HttpTransport, InProcessTransport, SocketStream
from lorafw.gateway.virtual import FIRST_POLL_S, VirtualGateway
from lorafw.station.exchange import ExchangeOutcome, UpdateAction
from lorafw.station.http import TransportError
from lorafw.tasks.service import UpdateService

KEY = KeyPair.from_secret(77)
EUI = GatewayEui.parse("5a11b0a85a11b0a8")
SEED_LINES = [
    r"\[CUP:INFO\] CUPS provided update.bin",
    r"\[CUP:INFO\] CUPS provided signature len=\d+ keycrc=[0-9A-F]{8}",
    r"\[CUP:INFO\] ECDSA key#0 -> VERIFIED",
    r"\[CUP:INFO\] Running update.bin as background process",
    r"\[SYS:VERB\] /tmp/update.bin: Forked, waiting\.\.\.",
    r"\[SYS:INFO\] Process /tmp/update.bin \(pid=\d+\) completed",
    r"\[CUP:INFO\] Interaction with CUPS done - next regular check in 10s",
]


@contextmanager
def raw_server(*answers: bytes) -> Iterator[str]:
    """A server that sends these bytes, whatever is asked, one answer a connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    request = b""
                    while b"}" not in request:
                        request += connection.recv(65536)
                    connection.sendall(answer)
                    connection.shutdown(socket.SHUT_WR)
                    connection.recv(1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(5)


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def offer(update: bytes, key: KeyPair = KEY) -> bytes:
    return encode_response(UpdateInfoResponse(key_crc=KEY.public_key.crc, signature=key.sign(update), update=update))


def make(path: Path, uri: str, **options: object) -> tuple[VirtualGateway, Home, list[str]]:
    home = write_home(path, eui=EUI, cups_uri=uri, package="1.0.0", sig_keys=(KEY.public_key,))
    log: list[str] = []
    gateway = VirtualGateway(home, HttpTransport(), clock=ManualClock(), log=log.append, interval_s=10, **options)  # type: ignore[arg-type]
    return gateway, home, log


def test_a_verified_update_writes_the_documented_lines_and_the_new_version(tmp_path: Path) -> None:
    update = build_image(package_version="1.0.1", files={"station": b"new"})
    with raw_server(ok(offer(update))) as uri:
        gateway, home, log = make(tmp_path / "home", uri)
        verdict = gateway.poll()
    assert (verdict.exchange, verdict.update, verdict.wait_s) == (ExchangeOutcome.DONE, UpdateAction.RUN, 10)
    assert home.read_package_version() == "1.0.1"
    assert (home.path / "station").read_bytes() == b"new"
    tail = log[-len(SEED_LINES) :]
    for line, pattern in zip(tail, SEED_LINES, strict=True):
        assert re.fullmatch(r"2021-03-12 09:56:12\.047 " + pattern, line)
    assert not (home.tmp / "update.bin").exists()


def test_a_refused_update_leaves_everything_and_counts_as_a_good_exchange(tmp_path: Path) -> None:
    update = build_image(package_version="1.0.1")
    with raw_server(ok(offer(update, KeyPair.from_secret(78)))) as uri:
        gateway, home, log = make(tmp_path / "home", uri)
        verdict = gateway.poll()
    assert (verdict.exchange, verdict.update) == (ExchangeOutcome.DONE, UpdateAction.REFUSED)
    assert home.read_package_version() == "1.0.0"
    assert not (home.tmp / "update.bin").exists()
    assert any("[CUP:WARN] No key could verify signature. Tried 1 keys" in line for line in log)


def test_an_update_with_a_restart_command_polls_again_at_once(tmp_path: Path) -> None:
    update = build_image(package_version="1.0.1", restart="true")
    with raw_server(ok(offer(update))) as uri:
        gateway, _, _ = make(tmp_path / "home", uri)
        assert gateway.poll().wait_s == FIRST_POLL_S


def test_what_came_over_the_wire_is_not_executed_unless_that_was_asked_for(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    update = f'#!/bin/sh\ntouch {trap}\necho did it\nrm -f "$0"\n'.encode()
    with raw_server(ok(offer(update)), ok(offer(update))) as uri:
        gateway, home, log = make(tmp_path / "home", uri, runner=install_only)
        assert gateway.poll().update is UpdateAction.RUN
        assert not trap.exists()
        assert any("not executed (that needs --exec)" in line for line in log)
        assert (home.tmp / "update.bin").exists(), "nobody but the update removes it"

        executing = VirtualGateway(home, HttpTransport(), log=log.append, interval_s=10, runner=execute)
        executing.poll()
    assert trap.exists()
    assert any("[___:INFO] did it" in line for line in log)
    assert stat.S_IMODE(home.tmp.stat().st_mode) == 0o700


def test_an_executed_image_of_ours_does_what_installing_it_does(tmp_path: Path) -> None:
    update = build_image(package_version="1.0.1", files={"station": b"\x00\xff" * 5000, "station.conf": b"{}\n"})
    found = []
    for name, runner in (("installed", install_only), ("executed", execute)):
        with raw_server(ok(offer(update))) as uri:
            gateway, home, _ = make(tmp_path / name, uri, runner=runner)
            gateway.poll()
        found.append(
            {
                path.name: (path.read_bytes(), stat.S_IMODE(path.stat().st_mode))
                for path in home.path.iterdir()
                if path.name in ("station", "station.conf", "version.txt")
            }
        )
    assert found[0] == found[1]
    assert found[0]["version.txt"][0] == b"1.0.1\n"


def test_a_left_over_update_is_run_again_at_the_next_start(tmp_path: Path) -> None:
    gateway, home, log = make(tmp_path / "home", "http://127.0.0.1:9")
    leave_update(home, mode=0o750)
    gateway.start()
    assert home.read_package_version() == "6.6.6", "nobody checks the signature of what lies there"
    assert any("Process /tmp/update.bin" in line for line in log)


def test_a_left_over_file_that_is_not_executable_stays_and_nothing_is_logged(tmp_path: Path) -> None:
    gateway, home, log = make(tmp_path / "home", "http://127.0.0.1:9")
    left_over = leave_update(home, mode=0o640)
    gateway.start()
    assert (home.read_package_version(), left_over.exists(), log) == ("1.0.0", True, [])
    left_over.unlink()
    left_over.mkdir()
    gateway.start()


def leave_update(home: Home, mode: int) -> Path:
    home.tmp.mkdir()
    left_over = home.tmp / "update.bin"
    left_over.write_bytes(build_image(package_version="6.6.6"))
    left_over.chmod(mode)
    return left_over


def test_a_reply_cut_in_the_update_leaves_the_part_and_is_retried_after_a_minute(tmp_path: Path) -> None:
    body = offer(build_image(package_version="1.0.1", files={"station": bytes(50_000)}))
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:-1000]
    with raw_server(cut) as uri:
        gateway, home, log = make(tmp_path / "home", uri)
        gateway = VirtualGateway(home, HttpTransport(), log=log.append)
        verdict = gateway.poll()
    assert (verdict.exchange, verdict.wait_s) == (ExchangeOutcome.FAILED, 60)
    assert "[AIO:ERRO] [3] Error reading HTTP Body" in log[-2]
    assert log[-1].endswith("[CUP:INFO] Interaction with CUPS failed - retrying in 1m")
    assert (home.tmp / "update.bi_").stat().st_size > 40_000
    assert not (home.tmp / "update.bin").exists()
    assert home.read_package_version() == "1.0.0"


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "(403) Forbidden"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "Received more data than expected"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + bytes(14), "Received more data than expected"),
        (b"", "Error reading HTTP Header"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + bytes(14), "Error reading HTTP Body"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + bytes(14), "HTTP content size: 4 extra bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + bytes(10), "Unexpected end of data"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", "exceed available data (0)"),
    ],
    ids=["403", "chunked", "no length", "closed", "short body", "too much", "short length", "no length, no body"],
)
def test_a_reply_that_no_station_takes_is_a_failed_exchange(tmp_path: Path, answer: bytes, line: str) -> None:
    with raw_server(answer) as uri:
        gateway, _, log = make(tmp_path / "home", uri)
        assert gateway.poll().exchange is ExchangeOutcome.FAILED
    assert any(line in entry for entry in log), log
    assert "Interaction with CUPS failed - retrying in 10s" in log[-1]


def test_the_tls_handshake_uses_up_a_part_of_the_time_limit(tmp_path: Path) -> None:
    context = station_certificates.server_context(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                time.sleep(0.25)
                secure = context.wrap_socket(connection, server_side=True)
                time.sleep(0.25)
                secure.sendall(ok(bytes(14)))

        thread = threading.Thread(target=serve)
        thread.start()
        gateway, home, log = make(tmp_path / "home", f"https://localhost:{listener.getsockname()[1]}")
        home.write("cups.trust", station_certificates.authority())
        set_time_limit(home, "400ms")
        verdict = gateway.poll()
        thread.join()
    assert verdict.exchange is ExchangeOutcome.FAILED
    assert "[CUP:ERRO] CUPS timed out" in log[-2]


def test_a_server_that_is_not_there_is_logged_in_the_stations_words(tmp_path: Path) -> None:
    gateway, _, log = make(tmp_path / "home", "http://127.0.0.1:9")
    assert gateway.poll().exchange is ExchangeOutcome.FAILED
    assert "HTTP connect failed: NET - The connection to the given server / port failed" in log[-3]
    assert "CUPS connect failed - URI: http://127.0.0.1:9" in log[-2]


def test_data_that_is_there_after_the_time_limit_is_not_read() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"HTTP/1.1 200 OK")
        in_time = SocketStream(ours, timeout_s=60, deadline_s=time.monotonic() + 60)
        assert in_time.read(4) == b"HTTP"
        too_late = SocketStream(ours, timeout_s=60, deadline_s=time.monotonic() - 0.001)
        with pytest.raises(TransportError, match="CUPS timed out"):
            too_late.read(4)


def test_without_any_time_a_station_connects_and_times_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        gateway, home, log = make(tmp_path / "home", f"http://127.0.0.1:{listener.getsockname()[1]}")
        set_time_limit(home, "0s")
        gateway.poll()
    assert "Retrieving update-info from CUPS" in log[-3]
    assert "[CUP:ERRO] CUPS timed out" in log[-2]


def set_time_limit(home: Home, text: str) -> None:
    conf = json.loads(home.read("station.conf") or b"")
    conf["station_conf"]["CUPS_CONN_TIMEOUT"] = text
    home.write("station.conf", json.dumps(conf))


def test_a_poll_without_a_free_descriptor_is_a_failed_exchange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway, _, log = make(tmp_path / "home", "http://127.0.0.1:9")

    def no_socket(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr("lorafw.gateway.transport.socket.socket", no_socket)
        assert gateway.poll().exchange is ExchangeOutcome.FAILED
    assert "[AIO:ERRO] [3] HTTP connect failed: NET - Failed to open a socket" in log[-3]
    assert "CUPS connect failed - URI: http://127.0.0.1:9" in log[-2]


def test_an_address_family_that_the_machine_lacks_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with raw_server(ok(bytes(14))) as uri:
        gateway, _, _ = make(tmp_path / "home", uri)
        port = int(uri.rpartition(":")[2])
        found = [
            (99, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("::1", port, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port)),
        ]
        monkeypatch.setattr("lorafw.gateway.transport.socket.getaddrinfo", lambda *_, **__: found)
        assert gateway.poll().exchange is ExchangeOutcome.DONE


def test_after_a_rejection_the_station_turns_to_its_other_sets_of_files(tmp_path: Path) -> None:
    rejected = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    with raw_server(rejected, rejected) as uri:
        gateway, _, log = make(tmp_path / "home", uri)
        for _ in range(4):
            gateway.poll()
    told = [line.split("] ", 1)[1].split(" ...")[0] for line in log if "No CUPS" in line or "Connecting" in line]
    assert told == [
        "Connecting to CUPS",
        "No CUPS-bak URI configured",
        "No CUPS-boot URI configured",
        "Connecting to CUPS",
    ]


def test_the_first_good_answer_is_what_the_backup_is_made_of(tmp_path: Path) -> None:
    with raw_server(ok(bytes(14)), ok(bytes(14))) as uri:
        gateway, home, _ = make(tmp_path / "home", uri)
        gateway.poll()
        assert (home.path / "cups-bak.uri").read_text() == uri
        (home.path / "cups-bak.uri").write_text("changed")
        gateway.poll()
    assert (home.path / "cups-bak.uri").read_text() == "changed", "copied once only"


def test_new_uris_come_into_force_and_the_station_reconnects_soon(tmp_path: Path) -> None:
    reply = encode_response(UpdateInfoResponse(cups_uri="http://other:1", tc_uri="wss://lns:443"))
    with raw_server(ok(reply)) as uri:
        gateway, home, log = make(tmp_path / "home", uri)
        gateway = VirtualGateway(home, HttpTransport(), log=log.append)
        verdict = gateway.poll()
    assert (verdict.exchange, verdict.wait_s) == (ExchangeOutcome.CUPS_UPDATES, 60)
    assert (home.read_uri("cups"), home.read_uri("tc")) == ("http://other:1", "wss://lns:443")
    assert "CUPS provided CUPS updates (uri) - reconnecting in 1m" in log[-1]


def test_the_request_over_the_socket_has_the_header_of_a_station(tmp_path: Path) -> None:
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                seen.append(connection.recv(65536))
                while b"}" not in seen[-1]:
                    seen[-1] += connection.recv(65536)
                connection.sendall(ok(bytes(14)))

        thread = threading.Thread(target=serve)
        thread.start()
        gateway, _, _ = make(tmp_path / "home", f"http://127.0.0.1:{port}")
        gateway.poll()
        thread.join()
    head, body = seen[0].split(b"\r\n\r\n", 1)
    assert head.split(b"\r\n") == [
        b"POST /update-info HTTP/1.1",
        b"Host: 127.0.0.1:%d" % port,
        b"Content-Type: application/json",
        b"Content-Length: %5d" % len(body),
    ]


def test_in_process_the_same_gateway_gets_the_same_answers(tmp_path: Path) -> None:
    class Nothing:
        def open(self, *_: object, **__: object) -> None:
            raise AssertionError("nothing is to be read")

    service = UpdateService(source=Nothing(), clock=ManualClock())  # type: ignore[arg-type]
    home = write_home(tmp_path / "home", eui=EUI, cups_uri="http://lab:1", package="1.0.0")
    log: list[str] = []
    gateway = VirtualGateway(home, InProcessTransport(service), clock=ManualClock(), log=log.append)
    assert gateway.poll().exchange is ExchangeOutcome.FAILED
    assert "Failed to retrieve TCURI from CUPS: (403) Forbidden" in log[-2]
    gateway.start()
    from lorafw.tasks.model import AccountRegion

    service.create_gateway(AccountRegion("1", "us-east-1"), EUI)
    assert gateway.poll().exchange is ExchangeOutcome.DONE
    assert "Interaction with CUPS done (no updates) - next regular check in 1d" in log[-1]
