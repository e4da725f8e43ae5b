"""What a station would do with certain bytes: recorded replies, and the HTTP rules that a server must follow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import RecordedRequest, RecordedResponse

from lorafw.cli import main
from lorafw.cups.codec import encode_response
from lorafw.cups.credentials import Credentials
from lorafw.cups.messages import UpdateInfoResponse
from lorafw.firmware.signing import KeyPair
from lorafw.station.evaluation import evaluate_reply
from lorafw.station.exchange import Timers
from lorafw.station.log import Level

KEY = KeyPair.from_secret(77)
OK = b"HTTP/1.1 200 OK\r\n"
NOTHING = bytes(14)
RUN = encode_response(UpdateInfoResponse(update=b"#!/bin/sh\n"))
FAILED, DONE = "failed", "done"


def test_a_recorded_reply_gets_the_recorded_verdict(recorded_response: RecordedResponse) -> None:
    timers = Timers(oksync_s=3, resync_s=3)
    judgement = evaluate_reply(recorded_response.body, sig_keys=recorded_response.station_keys, timers=timers)
    assert judgement.to_json() == recorded_response.verdict


def test_the_command_gives_the_recorded_verdict(tmp_path: Path, recorded_response: RecordedResponse) -> None:
    (tmp_path / "response.bin").write_bytes(recorded_response.body)
    options = []
    for index, key in enumerate(recorded_response.station_keys):
        (tmp_path / f"sig-{index}.key").write_bytes(key)
        options += ["--sig-key", str(tmp_path / f"sig-{index}.key")]
    words = ["gateway", "judge", str(tmp_path / "response.bin"), "--json", "--interval", "3", *options]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == recorded_response.verdict


def sent(head: bytes, body: bytes = b"") -> bytes:
    return head + b"\r\n" + body


def length(count: int) -> bytes:
    return OK + b"Content-Length: %d\r\n" % count


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.0 200 OK\r\nContent-Length: 14\r\n",
        OK + b"CONTENT-LENGTH:14\r\n",
        OK + b"content-length: \t 14\r\nConnection: close\r\n",
        OK + b"X-Folded: a\r\n b\r\nContent-Length:\r\n 14\r\n",
        OK + b"Content-Length: 14\r\nContent-Length: 99\r\n",
        OK + b"Content-Encoding: gzip\r\nContent-Length: 14\r\n",
        OK + b"X-Long: " + b"x" * 7000 + b"\r\nContent-Length: 14\r\n",
    ],
    ids=["1.0", "upper case", "blanks", "folded", "two", "gzip", "7 KB"],
)
def test_a_header_that_a_station_takes(head: bytes) -> None:
    assert evaluate_reply(sent(head, NOTHING)).exchange == DONE


@pytest.mark.parametrize(
    ("reply", "line"),
    [
        (
            sent(OK + b"Transfer-Encoding: chunked\r\n", b"e\r\n" + NOTHING + b"\r\n0\r\n\r\n"),
            "[AIO:ERRO] [3] Received more data than expected HTTP content size: 24 extra bytes",
        ),
        (
            sent(OK + b"Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n"),
            # The real client logged these numbers. It read the lengths of the URIs from its own request.
            "[CUP:ERRO] Malformed CUPS response: URI segments lengths (215) exceed available data (0)",
        ),
        (sent(OK + b"Connection: close\r\n", NOTHING), "HTTP content size: 14 extra bytes"),
        (sent(length(13), NOTHING), "HTTP content size: 1 extra bytes"),
        (sent(length(20), NOTHING), "[AIO:ERRO] [3] Error reading HTTP Body"),
        (sent(length(13), NOTHING[:13]), "[CUP:ERRO] Unexpected end of data"),
        (sent(b"HTTP/1.1 100 Continue\r\n", sent(length(14), NOTHING)), "extra bytes"),
        (OK + b"X-Long: " + b"x" * 9000, "[AIO:ERRO] [3] Error reading HTTP Header"),
        (b"HTTP/", "[AIO:ERRO] [3] Error reading HTTP Header"),
        (b"HTTP/1.1 200 OK\nContent-Length: 14\n\n" + NOTHING, "[AIO:ERRO] [3] Error reading HTTP Header"),
    ],
    ids=[
        "chunked",
        "chunked, later",
        "no length",
        "length too small",
        "length too big",
        "body too short",
        "100 Continue",
        "9 KB of header",
        "closed in the header",
        "LF only",
    ],
)
def test_a_reply_that_fails_for_its_http(reply: bytes, line: str) -> None:
    judgement = evaluate_reply(reply)
    assert judgement.exchange == FAILED
    assert not judgement.executed
    assert any(line in entry for entry in judgement.to_json()["log"]), judgement.to_json()["log"]
    assert judgement.to_json()["log"][-1] == "[CUP:INFO] Interaction with CUPS failed - retrying in 1m"


@pytest.mark.parametrize("reply", [b"HTTP/1.1 200 OK\nContent-Length: 14\n\n", sent(length(20), NOTHING), b"HTTP/1"])
def test_a_server_that_falls_silent_is_waited_for_until_the_time_limit(reply: bytes) -> None:
    judgement = evaluate_reply(reply, server_closes=False)
    assert judgement.to_json()["log"][-2:] == [
        "[CUP:ERRO] CUPS timed out",
        "[CUP:INFO] Interaction with CUPS failed - retrying in 1m",
    ]


@pytest.mark.parametrize(
    "status",
    [
        b"201 Created",
        b"204 No Content",
        b"302 Found",
        b"400 Bad Request",
        b"401 Unauthorized",
        b"403 Forbidden",
        b"404 Not Found",
        b"429 Too Many Requests",
        b"500 Internal Server Error",
        b"503 Service Unavailable",
    ],
)
def test_any_status_but_200_is_a_rejection_that_only_the_verbose_log_tells_of(status: bytes) -> None:
    judgement = evaluate_reply(sent(b"HTTP/1.1 " + status + b"\r\nContent-Length: 24\r\n", RUN[:24]))
    number, _, reason = status.decode().partition(" ")
    assert judgement.exchange == FAILED
    assert not judgement.executed
    log = judgement.to_json(Level.VERBOSE)["log"]
    assert f"[CUP:VERB] Failed to retrieve TCURI from CUPS: ({number}) {reason}" in log
    assert len(judgement.to_json()["log"]) == 2


@pytest.mark.parametrize("line", [b"HTTP/2 200", b"HTTP/ 200 OK", b"HTTP/1.1 OK"])
def test_what_is_not_http_1_has_the_status_65535(line: bytes) -> None:
    log = evaluate_reply(sent(line + b"\r\nContent-Length: 14\r\n", NOTHING)).to_json(Level.VERBOSE)["log"]
    assert any("(65535)" in entry for entry in log)


@pytest.mark.parametrize(("size", "crashes"), [(8100, False), (8192, True), (100_000, True)])
def test_a_large_error_page_crashes_a_station(size: int, crashes: bool) -> None:
    judgement = evaluate_reply(sent(b"HTTP/1.1 502 Bad\r\nContent-Length: %d\r\n" % size, bytes(size)))
    assert judgement.exit_code == (139 if crashes else 143)
    assert (judgement.remark is not None) is crashes
    if crashes:
        levels = [line.level for line in judgement.log]
        assert levels == [Level.INFO, Level.VERBOSE, Level.DEBUG], "a crash logs nothing"


def test_uris_that_cross_the_edge_of_the_first_buffer_are_malformed() -> None:
    body = encode_response(UpdateInfoResponse(cups_uri="http://h:1" + "x" * 100, update=bytes(10_000)))
    head = OK + b"Content-Length: %d\r\nX: " % len(body)
    head += b"x" * (8192 - 16 - len(head) - 4 - 60) + b"\r\n"
    judgement = evaluate_reply(sent(head, body))
    assert any("Malformed CUPS response: URI segments lengths (112)" in str(line) for line in judgement.log)
    assert evaluate_reply(sent(OK + b"Content-Length: %d\r\n" % len(body), body)).update == "run"


@pytest.mark.parametrize(
    ("in_first_buffer", "line"),
    [
        (0, "exceed available data (0)"),
        (1, "exceed available data (1)"),
        (2, "URI segments lengths (2) exceed available data (2)"),
        (3, "CUPS timed out"),
    ],
)
def test_a_station_does_not_wait_for_lengths_of_uris_behind_its_first_buffer(in_first_buffer: int, line: str) -> None:
    buffer_bytes = 8192 - len(":34783\0")
    head = length(14) + b"X: "
    head += b"x" * (buffer_bytes - in_first_buffer - len(head) - 4) + b"\r\n"
    reply = sent(head, NOTHING[:in_first_buffer])
    log = evaluate_reply(reply, server_closes=False).to_json()["log"]
    assert log[1].endswith(line)


def test_bytes_behind_the_update_are_ignored_inside_the_body() -> None:
    assert evaluate_reply(sent(length(len(RUN) + 5), RUN + b"12345")).executed


def test_a_whole_response_and_its_body_get_the_same_verdict() -> None:
    update = bytes(range(256)) * 100
    reply = UpdateInfoResponse(signature=KEY.sign(update), key_crc=0xDEADBEEF, update=update)
    body = encode_response(reply)
    keys = [KEY.public_key.sig_key]
    assert evaluate_reply(sent(length(len(body)), body), sig_keys=keys) == evaluate_reply(body, sig_keys=keys)
    assert evaluate_reply(body, sig_keys=keys).executed, "the key CRC is only logged"


def test_new_addresses_and_credentials_are_reported() -> None:
    der = b"\x30\x03abc"
    response = UpdateInfoResponse(
        cups_uri="http://other:1", tc_uri="wss://lns:443", cups_cred=Credentials(der, b"", b"").to_segment()
    )
    judgement = evaluate_reply(encode_response(response))
    fields = judgement.to_json()
    assert (fields["exchange"], fields["tc_uri"], fields["cups_uri_changed"]) == ("cups-updates", "wss://lns:443", True)
    assert fields["log"][-1] == "[CUP:INFO] CUPS provided CUPS updates (uri) - reconnecting in 1m"


def test_new_credentials_alone_change_no_address() -> None:
    segment = Credentials(b"\x30\x03abc", b"", b"").to_segment()
    fields = evaluate_reply(encode_response(UpdateInfoResponse(cups_cred=segment))).to_json()
    assert (fields["exchange"], fields["cups_uri_changed"]) == ("cups-updates", False)
    assert fields["log"][-1] == "[CUP:INFO] CUPS provided CUPS updates (credentials) - reconnecting in 1m"


def test_credentials_that_cannot_be_read_count_as_provided_all_the_same() -> None:
    fields = evaluate_reply(encode_response(UpdateInfoResponse(cups_cred=b"-----BEGIN CERT"))).to_json()
    assert fields["exchange"] == "cups-updates", "so the station reconnects with its old CRC, for ever"
    assert "[SYS:ERRO] Failed to parse cups credentials: ASN.1 SEQ expected for trust (0x2d)" in fields["log"]
    assert "[CUP:INFO] [Segment] CUPS Credentials update completed (15 bytes)" in fields["log"]


def test_a_key_in_pkcs_8_is_shown_in_its_parts_and_then_found_not_to_align() -> None:
    trust, key = b"\x30\x03abc", b"\x30\x81\x87" + bytes(range(0x87))
    body = encode_response(UpdateInfoResponse(tc_cred=trust + bytes(4) + key))
    log = evaluate_reply(body).to_json()["log"]
    assert log[1:-2] == [
        "[CUP:INFO] [Segment] TC Credentials (147 bytes)",
        "[SYS:INFO]  credComplete - trust_off=   0, trust_len=   5               30 03 61 62  63 00 00 00",
        "[SYS:INFO]  credComplete - cert_off =   5, cert_len =   0  03 61 62 63  00 00 00 00  30 81 87 00",
        "[SYS:INFO]  credComplete - key_off  =   9, key_len  =34564  00 00 00 00  30 81 87 00  01 02 03 04",
        "[SYS:ERRO] Failed to parse tc credentials! Lengths do not align segment_len=147 parsed_len=34569. Ignoring.",
        "[CUP:INFO] [Segment] TC Credentials update completed (147 bytes)",
    ]


def test_a_byte_with_its_top_bit_is_printed_as_the_negative_number_that_it_is_in_c() -> None:
    log = evaluate_reply(encode_response(UpdateInfoResponse(cups_cred=b"\xa0\x03abc"))).to_json()["log"]
    assert "[SYS:ERRO] Failed to parse cups credentials: ASN.1 SEQ expected for trust (0xffffffa0)" in log


def test_bytes_too_many_are_found_in_a_later_buffer_too() -> None:
    body = encode_response(UpdateInfoResponse(update=bytes(20_000)))
    log = evaluate_reply(sent(length(len(body)), body + b"x")).to_json()["log"]
    assert log[-3:-1] == [
        "[AIO:ERRO] [3] Received more data than expected HTTP content size: 1 extra bytes",
        "[AIO:ERRO] [3] Error reading HTTP Body",
    ]


def test_an_update_of_two_gigabytes_is_refused_by_its_length() -> None:
    body = bytes(10) + (0x80000000).to_bytes(4, "little") + b"#!"
    assert (
        "[CUP:ERRO] Segment 5 length not allowed (must be <2GB): 0x80000000 bytes"
        in evaluate_reply(body).to_json()["log"]
    )


def test_the_defaults_of_the_intervals_are_the_stations() -> None:
    assert evaluate_reply(NOTHING).to_json()["log"] == [
        "[CUP:INFO] Connecting to CUPS ... http://localhost:PORT (try #1)",
        "[CUP:INFO] Interaction with CUPS done (no updates) - next regular check in 1d",
    ]


def test_a_person_reads_the_log_and_the_verdict(tmp_path: Path) -> None:
    (tmp_path / "response.bin").write_bytes(RUN)
    output = CliRunner().invoke(main, ["gateway", "judge", str(tmp_path / "response.bin")]).output
    assert "[CUP:INFO] No Key. No Sig. UPDATE." in output
    assert 'update: "run"' in output
    (tmp_path / "crash.bin").write_bytes(sent(b"HTTP/1.1 500 No\r\nContent-Length: 9000\r\n", bytes(9000)))
    result = CliRunner().invoke(main, ["gateway", "judge", str(tmp_path / "crash.bin")])
    assert "crashes here" in result.stderr
    assert "keep the bodies of errors tiny" in result.stderr


# --- cups decode-request -------------------------------------------------------------------------------------------


def test_the_command_gives_the_members_of_a_recorded_request(tmp_path: Path, recorded_request: RecordedRequest) -> None:
    head = b"POST /update-info HTTP/1.1\r\nContent-Length: %5d\r\n\r\n" % len(recorded_request.body)
    for name, content in (("body", recorded_request.body), ("whole", head + recorded_request.body)):
        (tmp_path / name).write_bytes(content)
        result = CliRunner().invoke(main, ["cups", "decode-request", str(tmp_path / name), "--json"])
        if recorded_request.json is None:
            assert result.exit_code == 1
            assert "the body is not JSON" in result.output
        else:
            assert json.loads(result.output) == recorded_request.json


def test_the_output_for_people_names_the_sender_of_the_request(
    tmp_path: Path, requests_by_name: dict[str, RecordedRequest]
) -> None:
    (tmp_path / "request").write_bytes(requests_by_name["with_tcuri"].body)
    output = CliRunner().invoke(main, ["cups", "decode-request", str(tmp_path / "request")]).output
    for words in ("0011223344556677, as router 11:2233:4455:6677", "'1.0.0'", "wss://lns", "2373853496 (8D7E2138)"):
        assert words in output


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"POST /update-info HTTP/1.1\r\nContent-Length: 9", "has no end"),
        (b"POST /update-info HTTP/1.1\r\nHost: h\r\n\r\n{}", "no Content-Length"),
        (b"POST /update-info HTTP/1.1\r\nContent-Length: 9\r\n\r\n{}", "Content-Length is 9, and 2 bytes follow"),
        (b"\xff", "not JSON"),
        (b"{}", "'router' is missing"),
    ],
)
def test_a_request_that_cannot_be_read_is_named_with_its_fault(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "request").write_bytes(data)
    result = CliRunner().invoke(main, ["cups", "decode-request", str(tmp_path / "request")])
    assert result.exit_code == 1
    assert words in result.output
