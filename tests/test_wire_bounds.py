"""Bytes from outside are read up to a limit, and give a value or an error of lorafw, soon and in little memory."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from lorafw.cli import main
from lorafw.cups.codec import decode_request, decode_response
from lorafw.cups.credentials import parse_credentials
from lorafw.errors import LorafwError
from lorafw.station.evaluation import evaluate_reply
from lorafw.station.http import request_body

LONGEST_S = 1.0
MOST_BYTES = 64 << 20
MIB = 1 << 20


@pytest.mark.parametrize(
    "words",
    [
        ["gateway", "judge", "/dev/zero"],
        ["cups", "decode-request", "/dev/zero"],
        ["gateway", "judge", "--sig-key", "/dev/zero", "REPLY"],
        ["firmware", "verify", "--sig-key", "/dev/zero", "--signature", "MEQC", "REPLY"],
        ["firmware", "sign", "--key", "/dev/zero", "REPLY"],
        ["doctor", "--definition", "REPLY", "--sig-key", "/dev/zero"],
    ],
    ids=["judge", "decode-request", "a key", "a key to verify with", "a key to sign with", "a key for the doctor"],
)
def test_a_device_that_never_ends_is_refused_at_once(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "reply").write_text('{"AutoCreateTasks": false}')
    words = [word.replace("REPLY", str(tmp_path / "reply")) for word in words]
    started = time.monotonic()
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 1
    assert "has more than" in result.output
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("words", [["doctor", "--definition", "DEFINITION", "--update"], ["firmware", "inspect"]])
def test_an_update_in_a_device_is_refused_and_not_called_empty(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "input.json").write_text("{}")
    words = [word.replace("DEFINITION", str(tmp_path / "input.json")) for word in words]
    result = CliRunner().invoke(main, [*words, "/dev/zero"])
    assert result.exit_code == 1
    assert "/dev/zero is not a regular file: write the update into a file first" in result.output


REPEATED = st.builds(
    lambda head, unit, size: head + (unit * (size // len(unit) + 1))[:size],
    st.sampled_from(
        [
            b"",
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n",
            b"HTTP/1.1 500 No\r\nContent-Length: ",
            b"POST /update-info HTTP/1.1\r\n",
            b"POST /update-info HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n",
            b'{"router":',
        ]
    ),
    st.one_of(
        st.sampled_from(
            [b"\0", b"[", b'{"a":', b"\r\n ", b"9", b"\n", b"Content-Length:", b"\x30\x82\xff\xff", b'"\\']
        ),
        st.binary(min_size=1, max_size=20),
    ),
    st.integers(0, MIB - 100),
)


def judge_http(data: bytes) -> object:
    return evaluate_reply(data, is_http=True, server_closes=False)


def decode_http_request(data: bytes) -> object:
    return decode_request(request_body(data))


PARSERS: list[Callable[[bytes], object]] = [
    evaluate_reply,
    judge_http,
    decode_http_request,
    decode_response,
    parse_credentials,
]


@settings(max_examples=40)
@given(data=REPEATED, parser=st.sampled_from(PARSERS))
def test_a_mebibyte_of_anything_is_read_within_a_second_and_64_mb(
    data: bytes, parser: Callable[[bytes], object]
) -> None:
    tracemalloc.start()
    started = time.process_time()
    try:
        parser(data)
    except LorafwError:
        pass
    finally:
        took_s = time.process_time() - started
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert took_s < LONGEST_S
    assert peak < MOST_BYTES
