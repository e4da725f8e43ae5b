"""The attacks that SECURITY.md says CUPS does not prevent, shown with the model of the real client."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
from test_station import exchange

from lorafw.cups.codec import encode_response
from lorafw.cups.messages import UpdateInfoResponse
from lorafw.firmware.signing import KeyPair, sign_update
from lorafw.gateway.home import Home
from lorafw.station.exchange import UpdateAction

ROOT = Path(__file__).parent.parent
KEY = KeyPair.from_secret(11)
OLD, NEW = b"#!/bin/sh\necho 1.0.0 > version.txt\n", b"#!/bin/sh\necho 1.0.1 > version.txt\n"


def outcome(update: bytes, *, signed: bool, keys: list[bytes]) -> UpdateAction:
    """What a station with these keys does with this update."""
    response = UpdateInfoResponse(update=update)
    if signed:
        signature = sign_update(KEY, update)
        response = UpdateInfoResponse(update=update, signature=signature.signature, key_crc=signature.key_crc)
    body = encode_response(response)
    case = {
        "response": base64.b64encode(body).decode(),
        "station_keys": [base64.b64encode(key).decode() for key in keys],
    }
    verdict, _ = exchange(case, [body])
    return verdict.update


def test_an_old_update_that_was_signed_once_is_accepted_again() -> None:
    keys = [KEY.public_key.sig_key]
    assert [outcome(update, signed=True, keys=keys) for update in (NEW, OLD)] == [UpdateAction.RUN, UpdateAction.RUN]


def test_a_signature_does_not_say_for_which_gateway_it_is() -> None:
    another = KeyPair.from_secret(12).public_key.sig_key
    for keys in ([KEY.public_key.sig_key], [another, KEY.public_key.sig_key]):
        assert outcome(NEW, signed=True, keys=keys) is UpdateAction.RUN


def test_a_station_without_its_first_key_runs_an_unsigned_update(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.write("sig-1.key", KEY.public_key.sig_key)
    assert outcome(NEW, signed=False, keys=list(home.read_sig_keys())) is UpdateAction.RUN
    home.write("sig-0.key", KEY.public_key.sig_key)
    assert outcome(NEW, signed=False, keys=list(home.read_sig_keys())) is UpdateAction.REFUSED


def test_every_test_that_the_page_names_is_there() -> None:
    page = (ROOT / "SECURITY.md").read_text()
    named = set(re.findall(r"`((?:tests/bench/)?\w+(?:\.py)?(?:::\w+)?)`", page))
    files = {name for name in named if name.startswith(("test_", "tests/"))}
    assert files
    for name in files:
        file, _, function = name.partition("::")
        path = ROOT / file if file.startswith("tests/") else ROOT / "tests" / (file.removesuffix(".py") + ".py")
        assert path.exists(), name
        assert not function or f"def {function}(" in path.read_text(), name


@pytest.mark.parametrize(
    "word",
    ["request_timeout_s", "close_timeout_s", "min_rate_window_s", "connections", "send_buffer_bytes", "request_bytes"],
)
def test_the_page_gives_the_limits_that_are_in_force(word: str) -> None:
    from lorafw.server.config import DEFAULT_LIMITS
    from lorafw.server.refusals import MAX_BODY_BYTES, MAX_LINES_PER_WINDOW

    page = (ROOT / "SECURITY.md").read_text()
    told = {
        "request_timeout_s": "request together must end within 60 s",
        "close_timeout_s": "is closed 10 s after the response",
        "min_rate_window_s": "reads less than 8 KB of it in 60 s",
        "connections": "4,096 connections",
        "send_buffer_bytes": "holds 256 KB",
        "request_bytes": "A request has at most 16 KB",
    }[word]
    number = getattr(DEFAULT_LIMITS, word)
    assert told in page
    assert f"{number / 1024 if word.endswith('bytes') else number:,.0f}" in told
    assert f"at most {MAX_BODY_BYTES} bytes" in page
    assert MAX_LINES_PER_WINDOW == 10
