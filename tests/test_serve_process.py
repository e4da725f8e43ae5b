"""`lorafw serve` as a process: how it ends, what it leaves behind, what it prints, and how it works with few files."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from lorafw.cli.serve import serve
from lorafw.cli.serve_process import Output
from lorafw.cups.codec import encode_request
from lorafw.cups.messages import UpdateInfoRequest
from lorafw.eui import GatewayEui

PORTS = ("--api-port", "0", "--cups-plain-port", "0", "--cups-port", "0")
WAIT_S = 90


def wait_until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Served:
    """A `lorafw serve` with folders of its own."""

    def __init__(self, folder: Path, *options: str, prefix: tuple[str, ...] = (), **environment: str) -> None:
        self.temporary = folder / "tmp"
        self.temporary.mkdir(exist_ok=True)
        self.ready = folder / "ready.json"
        command = [*prefix, sys.executable, "-m", "lorafw", "serve", *PORTS, *options]
        command += ["--state-dir", str(folder / "state"), "--ready-file", str(self.ready)]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "TMPDIR": str(self.temporary), **environment},
        )

    def wait(self) -> dict[str, str]:
        """The content of the ready file."""
        wait_until(lambda: self.ready.exists() or self.process.poll() is not None)
        content: dict[str, str] = json.loads(self.ready.read_text())
        return content

    def end(self, number: int = signal.SIGTERM) -> str:
        """End it with a signal; gives all that it printed."""
        self.process.send_signal(number)
        return self.process.communicate(timeout=WAIT_S)[0]


@contextmanager
def served(folder: Path, *options: str, prefix: tuple[str, ...] = (), **environment: str) -> Iterator[Served]:
    one = Served(folder, *options, prefix=prefix, **environment)
    with one.process:
        try:
            yield one
        finally:
            if one.process.poll() is None:
                one.process.kill()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", pytest.param("SIGQUIT", marks=pytest.mark.slow)])
def test_a_signal_leaves_no_key_no_ready_file_and_no_temporary_folder(tmp_path: Path, name: str) -> None:
    with served(tmp_path, "--seed", "documented") as one:
        files = one.wait()
        assert stat.S_IMODE(one.ready.stat().st_mode) == 0o600
        assert Path(files["private_key"]).exists()
        one.end(getattr(signal, name))
        assert one.process.returncode == 0
        assert not one.ready.exists()
        assert list(one.temporary.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state", "tmp"]


def test_who_stops_reading_the_output_ends_serve_in_order(tmp_path: Path) -> None:
    with served(tmp_path, "--seed", "documented") as one:
        address = urlsplit(one.wait()["cups_plain"])
        assert one.process.stdout is not None
        one.process.stdout.close()
        with suppress(OSError), socket.create_connection((str(address.hostname), int(address.port or 0)), 20) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            client.recv(100)
        assert one.process.wait(WAIT_S) == 141
        assert not one.ready.exists()
        assert list(one.temporary.iterdir()) == []


def test_a_line_that_is_not_read_raises_an_error_in_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def break_pipe(_: str) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("lorafw.cli.serve_process.echo_highlighted", break_pipe)
    output = Output()
    output.show("a line")
    output.show("another")
    assert (output.stop.is_set(), output.is_broken) == (True, True)


def test_what_is_printed_can_be_pasted_whatever_the_terminal_has_set(tmp_path: Path) -> None:
    variables = {"AWS_ENDPOINT_URL_S3": "http://elsewhere.example", "AWS_PROFILE": "work"}
    with served(tmp_path, "--no-plain", "--cups-host", "0.0.0.0", "--api-host", "0.0.0.0", **variables) as one:
        ready = one.wait()
        output = one.end()
    assert "0.0.0.0:" not in output
    assert "Warning: --api-host 0.0.0.0 opens the AWS API to the network" in output
    assert f"export AWS_ENDPOINT_URL={ready['api']}\n" in output
    assert ready["api"].startswith("http://127.0.0.1:")
    assert ready["cups_plain"] is None
    assert "(plain, no identity" not in output
    lines = output.splitlines()
    first_export = next(number for number, line in enumerate(lines) if line.startswith("export "))
    for name in variables:
        assert lines.index(f"unset {name}") < first_export


def test_the_host_of_gateways_does_not_open_the_api(tmp_path: Path) -> None:
    with served(tmp_path, "--host", "0.0.0.0") as one:
        port = urlsplit(one.wait()["api"]).port
        listening = subprocess.run(["ss", "-ltnH", f"sport = :{port}"], capture_output=True, text=True, check=False)
        output = one.end()
    assert "Warning" not in output
    assert f"127.0.0.1:{port}" in listening.stdout
    assert f"0.0.0.0:{port}" not in listening.stdout


@pytest.mark.parametrize("seed", [("--seed", "documented"), ("--world", "seed")], ids=" ".join)
def test_the_documented_setup_needs_the_plain_port(seed: tuple[str, str]) -> None:
    done = CliRunner().invoke(serve, [*seed, "--no-plain"])
    assert (done.exit_code, "leave --no-plain out" in done.output) == (2, True)


def test_the_old_name_of_the_seed_is_not_in_the_help() -> None:
    text = CliRunner().invoke(serve, ["--help"]).output
    assert "--seed" in text
    assert "--world" not in text


def poll(uri: str) -> bytes:
    body = encode_request(UpdateInfoRequest(GatewayEui(1), station="2.0.6", model="rpi", package="1.0.0"))
    address = urlsplit(uri)
    with socket.create_connection((str(address.hostname), int(address.port or 0)), 20) as client:
        client.sendall(
            b"POST /update-info HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        return client.recv(1000)


def test_a_burst_of_connections_under_a_low_limit_of_files_stops_neither_api_nor_polls(tmp_path: Path) -> None:
    few = ("prlimit", "--nofile=64:64")
    with served(tmp_path, prefix=few) as one:
        ready = one.wait()
        held = []
        for uri in (ready["cups"], ready["cups_plain"], ready["api"]) * 60:
            address = urlsplit(uri)
            held.append(socket.create_connection((str(address.hostname), int(address.port or 0)), 20))
        for _ in range(3):
            assert b"unknown gateway" in poll(ready["cups_plain"])
            with urllib.request.urlopen(ready["api"], timeout=30) as answer:
                assert answer.status == 200
        for connection in held:
            connection.close()
        output = one.end()
    assert "too many connections" in output
    assert "Traceback" not in output
    assert len(output) < 20_000
