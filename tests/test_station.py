"""The virtual station, compared with 80 recorded replies: verdicts and log lines of the real client."""

from __future__ import annotations

import base64
import json
import random
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from lorafw.cups.credentials import Credentials
from lorafw.cups.parser import ResponseDecoder
from lorafw.station.exchange import CupsExchange, ExchangeResult, Timers
from lorafw.station.log import Level, LogLine, format_interval

RECORDED = json.loads((Path(__file__).parent.parent / "data" / "station-responses.json").read_text())
# Where a length byte was never sent, the real client read one out of its stale buffer.
STALE = re.compile(r"URI segments lengths \(\d+\)")


class Files:
    """Storage in memory."""

    def __init__(self) -> None:
        self.saved: dict[str, str] = {}
        self.in_force: dict[str, str] = {}
        self.executed = False
        self.update = b""

    def reset_config(self) -> None:
        self.saved.clear()

    def save_uri(self, category: str, uri: str) -> None:
        self.saved[category] = uri

    def save_credentials(self, category: str, credentials: Credentials) -> None:
        self.saved[f"{category}-credentials"] = "saved"

    def commit_config(self) -> None:
        self.in_force |= self.saved

    def begin_update(self, length: int) -> Iterable[LogLine]:
        self.update = b""
        return ()

    def write_update(self, data: bytes) -> Iterable[LogLine]:
        self.update += data
        return ()

    def commit_update(self) -> bool:
        return True

    def discard_update(self) -> None:
        self.update = b""

    def run_update(self) -> Iterable[LogLine]:
        self.executed = True
        return [LogLine("SYS", Level.INFO, "Process /tmp/update.bin (pid=N) completed")]


def exchange(case: dict[str, Any], pieces: list[bytes]) -> tuple[ExchangeResult, Files]:
    body = base64.b64decode(case["response"])
    files = Files()
    keys = [base64.b64decode(key) for key in case["station_keys"]]
    station = CupsExchange(files, keys, Timers(oksync_s=3, resync_s=3))
    decoder = ResponseDecoder(len(body))
    for piece in pieces:
        station.feed(decoder.feed(piece))
    station.feed(decoder.finish())
    return station.finish(), files


def split(body: bytes, rng: random.Random) -> list[bytes]:
    cuts = sorted(rng.randrange(len(body) + 1) for _ in range(5))
    return [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]


@pytest.mark.parametrize("how", ["whole", "byte by byte", "in random pieces"])
@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case["name"])
def test_a_recorded_reply_gets_the_verdict_and_the_log_of_the_real_client(case: dict[str, Any], how: str) -> None:
    body = base64.b64decode(case["response"])
    pieces = {
        "whole": [body],
        "byte by byte": [body[i : i + 1] for i in range(len(body))],
        "in random pieces": split(body, random.Random(case["name"])),
    }[how]
    verdict, files = exchange(case, pieces)
    real = case["verdict"]

    assert verdict.exchange == real["exchange"]
    assert verdict.update == real["update"]
    assert [list(result) for result in verdict.key_results] == real["key_results"]
    assert files.executed == real["executed"]
    assert files.in_force.get("tc") == real["tc_uri"]
    assert ("cups" in files.in_force) == real["cups_uri_changed"]
    # The first recorded line is about connecting, which is the caller's. The lines are those at INFO.
    lines = [str(line) for line in verdict.log if line.level >= Level.INFO]
    assert [STALE.sub("", line) for line in lines] == [STALE.sub("", line) for line in real["log"][1:]]


def signed(case_name: str = "signed") -> dict[str, Any]:
    return next(case for case in RECORDED if case["name"] == case_name)


def test_an_update_that_cannot_be_written_is_ignored_and_only_logged() -> None:
    class FullDisk(Files):
        def commit_update(self) -> bool:
            return False

    body = base64.b64decode(signed()["response"])
    station = CupsExchange(FullDisk(), [])
    decoder = ResponseDecoder(len(body))
    station.feed(decoder.feed(body))
    verdict = station.finish()
    assert (verdict.exchange, verdict.update) == ("done", "none")
    assert any("failed to write (ignored)" in line.text and line.level is Level.ERROR for line in verdict.log)


@pytest.mark.parametrize("key", [b"", b"\x04" + bytes(64), bytes(64)], ids=["empty", "65 bytes", "no point"])
def test_a_key_file_that_is_no_key_still_makes_the_gateway_want_a_signature(key: bytes) -> None:
    case = signed("unsigned_with_key") | {"station_keys": [base64.b64encode(key).decode()]}
    verdict, _ = exchange(case, [base64.b64decode(case["response"])])
    assert verdict.update == "refused"
    assert "Keyfile present, but no signature provided. Aborting update." in [line.text for line in verdict.log]


def test_a_bad_key_in_front_does_not_hide_the_good_one() -> None:
    case = signed()
    keys = [base64.b64encode(bytes(65)).decode(), *case["station_keys"]]
    verdict, _ = exchange(case | {"station_keys": keys}, [base64.b64decode(case["response"])])
    assert verdict.key_results == ((1, "VERIFIED"),)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (86400, "1d"),
        (60, "1m"),
        (10, "10s"),
        (90, "1m30s"),
        (0.3, "300ms"),
        (7200, "2h"),
        (0, "0"),
        (90061, "1d1h"),
        (86461, "1d0h"),
        (3601, "1h0m"),
        (3661, "1h1m"),
        (61.5, "1m1s"),
        (1.0005, "1s0ms"),
        (0.0015, "1ms500us"),
        (1e-6, "1us"),
    ],
)
def test_intervals_are_printed_as_the_station_prints_them(seconds: float, text: str) -> None:
    assert format_interval(seconds) == text
