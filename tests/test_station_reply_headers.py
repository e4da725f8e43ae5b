"""The header of a reply is read as the string functions of the real client read it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafw.station.evaluation import ReplyEvaluation, evaluate_reply
from lorafw.station.http_header import STATUS_NOT_HTTP, content_length, status_code, status_text
from lorafw.station.log import LINE_BYTES, Level, LogLine

NOTHING = bytes(14)
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("value", "length"),
    [
        (b"64", 64),
        (b"0x40", 64),
        (b"0X4f", 0x4F),
        (b"64abc", 64),
        (b"0x40zz", 64),
        (b"010", 10),
        (b"4294967360", 64),
        (b"18446744073709551680", 64),
        (b"0x100000040", 64),
        (b"2147483647", 2147483647),
        (b"2147483648", None),
        (b"4294967295", None),
        (b"0xFFFFFFFF", None),
        (b"-1", None),
        (b"+64", None),
        (b"x", None),
        (b"0x", None),
        (b"", None),
    ],
)
def test_a_content_length_is_a_signed_number_of_32_bits_in_decimal_or_hexadecimal(
    value: bytes, length: int | None
) -> None:
    assert content_length(OK + b"Content-Length: " + value + b"\r\n\r\n") == length


def test_a_content_length_of_thousands_of_digits_is_a_number_of_32_bits() -> None:
    assert content_length(OK + b"Content-Length: " + b"9" * 8000 + b"\r\n\r\n") is None, "-1"
    assert content_length(OK + b"Content-Length: 1" + b"0" * 8000 + b"\r\n\r\n") == 0
    assert content_length(OK + b"Content-Length: 0x" + b"1" * 8000 + b"\r\n\r\n") == 0x11111111


@pytest.mark.parametrize(
    ("header", "length"),
    [
        (b"Content-Length: 1\r\nContent-Length: 2\r\n", 1),
        (b"Content-Length: x\r\nContent-Length: 2\r\n", None),
        (b"X: y\nContent-Length: 3\r\n", 3),
        (b"\nContent-Length: 4\r\n", 4),
        (b"\tContent-Length: 5\r\n", None),
        (b"Content-Length : 6\r\n", None),
        (b"Content-Length:\r\n \r\n\t7\r\n", 7),
        (b"Content-Length:\n 8\r\n", None),
        (b"X-Content-Length: 9\r\n", None),
        (b"content-LENGTH:\t\t10\r\n", 10),
    ],
)
def test_the_first_content_length_behind_any_line_feed_counts(header: bytes, length: int | None) -> None:
    assert content_length(OK + header + b"\r\n") == length


def test_a_content_length_in_the_body_or_in_the_first_line_does_not_count() -> None:
    assert content_length(OK + b"\r\nContent-Length: 1\r\n\r\n") is None
    assert content_length(b"Content-Length: 1\r\n\r\n") is None


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"HTTP/1.1 200 OK", 200),
        (b"ABCD/1.x 200", 200),
        (b"HTTP/1.1 0200 OK", 200),
        (b"HTTP/1.1 0xC8 OK", 200),
        (b"HTTP/1.1 65736 OK", 200),
        (b"HTTP/1.1 2000 OK", 2000),
        (b"HTTP/1.1 404NotFound", 404),
        (b"HTTP/1.1 ", STATUS_NOT_HTTP),
        (b"HTTP/1.1  200 OK", STATUS_NOT_HTTP),
        (b"HTTP/1.1\t200 OK", STATUS_NOT_HTTP),
        (b"HTTP/1.10 200 OK", STATUS_NOT_HTTP),
        (b"HTTP/2 200 OK", STATUS_NOT_HTTP),
        (b"HTTP/1.1 -200 OK", STATUS_NOT_HTTP),
        (b"", STATUS_NOT_HTTP),
    ],
)
def test_a_status_is_the_number_behind_one_blank_in_16_bits(line: bytes, status: int) -> None:
    assert status_code(line + b"\r\n\r\n") == status


@pytest.mark.parametrize(
    ("memory", "text"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", b"Not Found"),
        (b"HTTP/1.1 404  Two\r\n\r\n", b" Two"),
        (b"HTTP/1.1 404 \r\n\r\n", b""),
        (b"HTTP/2 200 OK\r\n\r\n", b"OK"),
        (b"HTTP/1.1 404\r\nX: y z\r\n\r\nbody\0old", b"y z\r\n\r\nbody"),
        (b"HTTP/1.1 404\0 Not Found\r\n", b""),
        (b"HTTP/1.1 404 Not\0Found\r\n", b""),
        (b"HTTP/1.1\r\n\r\n", b""),
        (b"", b""),
    ],
)
def test_the_reason_is_what_lies_between_the_second_blank_and_the_first_cr(memory: bytes, text: bytes) -> None:
    assert status_text(memory) == text


@given(memory=st.binary(max_size=200) | st.binary(max_size=100).map(lambda tail: b"HTTP/1.1 2" + tail))
def test_any_header_has_a_status_a_length_and_a_reason(memory: bytes) -> None:
    memory += b"\r\n\r\n"
    assert 0 <= status_code(memory) <= STATUS_NOT_HTTP
    assert (content_length(memory) or 0) < 2**31
    assert b"\0" not in status_text(memory)


# --- the rest of a reply ---------------------------------------------------------------------------------------------


def debug_log(judgement: ReplyEvaluation) -> list[str]:
    return [str(line) for line in judgement.log]


def test_the_request_is_logged_at_debug() -> None:
    log = debug_log(evaluate_reply(NOTHING))
    assert log[2].startswith('[CUP:DEBU] CUPS Request: {"router":"11:2233:4455:6677","cupsUri":')
    assert log[2].endswith('"keys":[]}')


@pytest.mark.parametrize(
    ("reply", "line_before"),
    [
        (OK + b"Content-Length: 14\r\n\r\n" + NOTHING, "CUPS Request: "),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "Failed to retrieve TCURI from CUPS: (403) Forbidden"),
        (OK, "Error reading HTTP Header"),
        (OK + b"Content-Length: 14\r\n\r\n", "Error reading HTTP Body"),
        (OK + b"\r\n1", "Error reading HTTP Body"),
    ],
    ids=["done", "rejected", "no header", "no body", "too much"],
)
def test_a_station_logs_that_it_closes_the_connection_before_what_comes_of_it(reply: bytes, line_before: str) -> None:
    log = debug_log(evaluate_reply(reply, is_http=True))
    assert line_before in log[-3]
    assert log[-2] == "[AIO:DEBU] [3] HTTP connection shutdown..."


@pytest.mark.parametrize("body", [bytes(13), bytes(6) + b"\x07\0\0\0" + bytes(7)])
def test_a_protocol_error_and_a_time_limit_close_the_connection_without_a_line(body: bytes) -> None:
    assert "shutdown" not in str(debug_log(evaluate_reply(body)))
    assert "shutdown" not in str(debug_log(evaluate_reply(OK, server_closes=False)))


def test_a_header_that_fills_the_buffer_counts_as_a_closed_connection() -> None:
    log = debug_log(evaluate_reply(bytes(9000), is_http=True))
    assert log[3:5] == [
        "[AIO:DEBU] [3] Connection closed unexpectedly",
        "[AIO:ERRO] [3] Error reading HTTP Header",
    ]


@pytest.mark.parametrize(
    ("data", "last"),
    [(b"HTTP/1.1", "Header"), (OK + b"Content-Length: 14\r\n\r\n", "Body"), (OK[:-2], "Header")],
)
def test_a_reset_is_logged_without_a_descriptor_and_before_what_was_being_read(data: bytes, last: str) -> None:
    log = debug_log(evaluate_reply(data, resets=True))
    assert log[3:5] == [
        "[AIO:ERRO] Recv failed: NET - Connection was reset by peer",
        f"[AIO:ERRO] [3] Error reading HTTP {last}",
    ]


@pytest.mark.parametrize(("size", "crashes"), [(8000, False), (8170, True)])
def test_an_error_reply_crashes_a_station_only_when_the_buffer_is_full(size: int, crashes: bool) -> None:
    reply = b"HTTP/1.1 500 No\r\nContent-Length: 100000\r\n\r\n" + bytes(size)
    judgement = evaluate_reply(reply)
    assert (judgement.exit_code == 139) is crashes
    assert (judgement.exchange == "none") is crashes
    assert ("CUPS timed out" in str(evaluate_reply(reply, server_closes=False).log)) is not crashes


@pytest.mark.parametrize(("second", "crashes"), [(0, True), (1, True), (2, False)])
def test_a_trust_part_of_2_or_3_bytes_crashes_a_station_that_logs_it(second: int, crashes: bool) -> None:
    credentials = bytes([0x30, second]) + bytes(second + 8)
    body = b"\0\0" + len(credentials).to_bytes(2, "little") + credentials + bytes(10)
    judgement = evaluate_reply(body)
    assert (judgement.exit_code == 139) is crashes
    assert ("sys_credComplete" in (judgement.remark or "")) is crashes
    quiet = evaluate_reply(body, log_level=Level.WARNING)
    assert (quiet.exit_code, quiet.exchange) == (143, "cups-updates")


def test_a_line_of_the_log_is_cut_to_the_stations_buffer() -> None:
    assert len(LogLine("CUP", Level.INFO, "x" * 1000).with_timestamp(0).encode()) == LINE_BYTES
    assert (
        len(LogLine("CUP", Level.INFO, "ä" * 1000).with_timestamp(0).encode("utf-8", "surrogateescape")) == LINE_BYTES
    )


def test_a_text_that_ends_with_a_line_feed_gets_no_second_one() -> None:
    assert str(LogLine("CUP", Level.INFO, "TC URI: ws://a:1\n\n")) == "[CUP:INFO] TC URI: ws://a:1\n"


def test_a_reason_shows_the_request_that_lay_in_the_buffer() -> None:
    log = debug_log(evaluate_reply(b"HTTP/1.1 404\r\n\r\n"))
    assert log[3].startswith(
        "[CUP:VERB] Failed to retrieve TCURI from CUPS: (404) HTTP/1.1\r\nHost: localhost:34783\r\n"
    )
    assert log[3].endswith('"keys":[]}')
