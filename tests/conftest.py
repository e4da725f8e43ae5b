"""Gives every recorded case of data/ in turn to a test that asks for ``recorded_request`` or ``recorded_response``.

``openssl`` is the other implementation of the signatures: what it makes and what it takes is not ours.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import gc
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbval.kernel
import pytest
import solved_lessons
from botocore.loaders import JSONFileLoader
from hypothesis import HealthCheck, settings
from jupyter_client.connect import LocalPortCache
from nbval.kernel import start_new_kernel

# Python keeps what it has compiled, also where containers switch that off: the tests start some hundred programs, and
# each of them would compile all that it imports, which takes as long again as everything else that it does.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A loaded machine is slow, not wrong.
settings.register_profile("lorafw", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lorafw")

# A run in the background, or under nohup, ignores these, and so would every program that a test starts and signals.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)

# The system gives ports from this one on to anybody who connects (net.ipv4.ip_local_port_range of Linux).
FIRST_EPHEMERAL_PORT = 32_768
KERNEL_STARTS = 3


def find_kernel_port(_: LocalPortCache, ip: str) -> int:
    """Return a free port that the system gives to nobody else.

    jupyter_client chooses the ports of a kernel, and the kernel opens them a second later. If they are ephemeral ports,
    a connection of another test can take one in between, and the kernel dies (jupyter_client issue 487).
    """
    while True:
        port = random.randrange(10_000, FIRST_EPHEMERAL_PORT)
        with contextlib.suppress(OSError), socket.create_server((ip, port)):
            return port


def start_kernel_patiently(**options: Any) -> Any:
    """Start a kernel for nbval, and try again if it dies before it answers."""
    for _ in range(KERNEL_STARTS - 1):
        with contextlib.suppress(RuntimeError):
            return start_new_kernel(**options)
    return start_new_kernel(**options)


LocalPortCache.find_available_port = find_kernel_port
nbval.kernel.start_new_kernel = start_kernel_patiently

load_json_file = JSONFileLoader.load_file


@functools.cache
def load_once(path: str) -> Any:
    """Return what a JSON file of botocore holds, such as the model of a service. All callers share it."""
    return load_json_file(JSONFileLoader(), path)


def load_file(loader: JSONFileLoader, file_path: str) -> Any:
    """Read each JSON file of botocore once, because moto takes the session of boto3 away in each test.

    The next session would parse the same megabytes again. botocore changes the model of S3 itself, so it is not shared.
    """
    if "s3" in Path(file_path).parts:
        return load_json_file(loader, file_path)
    return load_once(file_path)


JSONFileLoader.load_file = load_file  # type: ignore[method-assign]

DATA = Path(__file__).parent.parent / "data"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every-lesson", action="store_true", help="run every lesson in the browser, not one of them")
    parser.addoption("--slow", action="store_true", help="also run the tests that are marked slow")


def pytest_configure(config: pytest.Config) -> None:
    """Let nbval run the solutions of the exercises. A hook of this file would not see the folder of the notebooks."""
    config.pluginmanager.register(solved_lessons)


def pytest_collection_finish() -> None:
    """Let the garbage collector leave alone what all tests share, and look through all objects less often.

    The modules and the tests are half a million objects, and each new boto3 client made it look through them.
    """
    gc.collect()
    gc.freeze()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, 100)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the slow tests unless they are asked for. Each of them is a further case of a test that always runs."""
    if config.getoption("--slow"):
        return
    for item in items:
        if item.get_closest_marker("slow") is not None:
            item.add_marker(pytest.mark.skip(reason="slow: run it with --slow"))


@dataclass(frozen=True)
class RecordedRequest:
    """What the real client sent. ``json`` is None where that was not JSON."""

    name: str
    routerid: str
    body: bytes
    json: dict[str, Any] | None


@dataclass(frozen=True)
class RecordedResponse:
    """What a server sent to the real client, and what the client made of it."""

    name: str
    body: bytes
    station_keys: tuple[bytes, ...]
    verdict: dict[str, Any]

    @property
    def failed(self) -> bool:
        return bool(self.verdict["exchange"] == "failed")


def recorded_requests() -> list[RecordedRequest]:
    cases = json.loads((DATA / "station-requests.json").read_text())
    return [
        RecordedRequest(
            case["name"],
            case["station_conf_routerid"],
            base64.b64decode(case["raw"]).partition(b"\r\n\r\n")[2],
            case["json"],
        )
        for case in cases
    ]


def recorded_responses() -> list[RecordedResponse]:
    cases = json.loads((DATA / "station-responses.json").read_text())
    return [
        RecordedResponse(
            case["name"],
            base64.b64decode(case["response"]),
            tuple(base64.b64decode(key) for key in case["station_keys"]),
            case["verdict"],
        )
        for case in cases
    ]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for fixture, cases in (("recorded_request", recorded_requests), ("recorded_response", recorded_responses)):
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, cases(), ids=lambda case: case.name)


@pytest.fixture(scope="session")
def openssl() -> Callable[..., bytes]:
    """Run openssl with these words and give what it prints. Raises CalledProcessError."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")

    def run(*words: object, stdin: bytes = b"") -> bytes:
        return subprocess.run(["openssl", *map(str, words)], input=stdin, capture_output=True, check=True).stdout

    return run


@pytest.fixture(scope="session")
def requests_by_name() -> dict[str, RecordedRequest]:
    return {case.name: case for case in recorded_requests()}


@pytest.fixture(scope="session")
def responses_by_name() -> dict[str, RecordedResponse]:
    return {case.name: case for case in recorded_responses()}
