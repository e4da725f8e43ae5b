"""Which files a station leaves behind, when it polls again, and which server it asks then."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lorafw.clock import ManualClock
from lorafw.cups.codec import encode_response
from lorafw.cups.credentials import Credentials
from lorafw.cups.messages import UpdateInfoResponse
from lorafw.errors import HomeError
from lorafw.eui import GatewayEui
from lorafw.firmware.image import build_image
from lorafw.firmware.signing import KeyPair
from lorafw.gateway.client_tls import auth_header_lines, certificate_matches_host
from lorafw.gateway.faults.install import TmpFull
from lorafw.gateway.home import Home
from lorafw.gateway.provisioning import write_home
from lorafw.gateway.runner import execute
from lorafw.gateway.transport import HttpTransport
from lorafw.gateway.virtual import VirtualGateway
from lorafw.station.exchange import ExchangeOutcome, ExchangeResult
from lorafw.station.http import CLOSED, HttpReply, TransportError

NOTHING = bytes(14)
KEY = KeyPair.from_secret(77)
UPDATE = build_image(package_version="1.0.1", files={"station": bytes(50_000)})
SIGNED = {"signature": KEY.sign(UPDATE), "key_crc": KEY.public_key.crc, "update": UPDATE}
SEQUENCE = b"\x30\x03abc"


class Scripted:
    """A transport that answers from a list: a body, a body of which only so many bytes come, a status, or a failure."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, dict]] = []

    @contextmanager
    def post(
        self, uri: str, body: bytes, timeout_s: float, credentials: Credentials, on_connected: Callable[[], None]
    ) -> Iterator[HttpReply]:
        self.asked.append((uri, json.loads(body)))
        answer = self.answers.pop(0)
        if isinstance(answer, TransportError):
            raise answer
        if isinstance(answer, int):
            yield HttpReply(answer, "No", 0, iter(()))
            return
        whole, come = answer if isinstance(answer, tuple) else (answer, len(answer))
        yield HttpReply(200, "OK", len(whole), broken(whole[:come], broken_off=come < len(whole)))


def broken(data: bytes, *, broken_off: bool) -> Iterator[bytes]:
    yield data
    if broken_off:
        raise TransportError(*CLOSED)


BROKEN = TransportError(*CLOSED)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return write_home(
        tmp_path / "home",
        eui=GatewayEui(0x5A11B0A85A11B0A8),
        cups_uri="http://regular:1",
        package="1.0.0",
        sig_keys=[KEY.public_key],
    )


def polls(home: Home, *answers: object) -> tuple[list[ExchangeResult], Scripted]:
    transport = Scripted(*answers)
    gateway = VirtualGateway(home, transport, clock=ManualClock())
    verdicts = []
    while transport.answers:
        verdicts.append(gateway.poll())
    return verdicts, transport


def files(home: Home) -> set[str]:
    return {path.name for path in home.path.iterdir()} - {"station.conf", "version.txt", "sig-0.key", "cups.uri"}


def reply(**fields: object) -> bytes:
    return encode_response(UpdateInfoResponse(**fields))  # type: ignore[arg-type]


# --- files ---------------------------------------------------------------------------------------------------------


def test_new_addresses_are_in_force_as_soon_as_the_update_begins_even_if_it_breaks_off(home: Home) -> None:
    whole = reply(tc_uri="wss://lns:443", **SIGNED)
    ((verdict,), _) = polls(home, (whole, 5000))
    assert verdict.exchange is ExchangeOutcome.FAILED
    assert home.read_uri("tc") == "wss://lns:443"
    assert (home.tmp / "update.bi_").stat().st_size > 4000
    assert not (home.tmp / "update.bin").exists()
    assert files(home) == {"tc.uri", "tmp", "cups-bak.uri", "cups-bak.done"}


@pytest.mark.parametrize("cut", [30, 60])
def test_new_addresses_of_a_reply_that_breaks_off_before_the_update_stay_temporary(home: Home, cut: int) -> None:
    polls(home, (reply(tc_uri="wss://lns:443", **SIGNED), cut))
    assert home.read_uri("tc") is None
    assert files(home) == {"tc-temp.uri", "cups-bak.uri", "cups-bak.done"}
    polls(home, 403)
    assert "tc-temp.uri" in files(home), "a rejection removes nothing"
    polls(home, NOTHING)
    assert files(home) == {"cups-bak.uri", "cups-bak.done"}, "the next exchange begins without them"


def test_a_broken_download_stays_and_the_next_one_begins_from_its_first_byte(home: Home) -> None:
    whole = reply(**SIGNED)
    polls(home, (whole, len(whole) - 1000))
    part = home.tmp / "update.bi_"
    assert part.stat().st_size == len(UPDATE) - 1000
    assert stat.S_IMODE(part.stat().st_mode) == 0o750
    polls(home, (whole, 3000))
    assert part.stat().st_size < 3000
    polls(home, whole)
    assert not part.exists()
    assert home.read_package_version() == "1.0.1"


def test_a_refused_update_leaves_no_file(home: Home) -> None:
    polls(home, reply(update=UPDATE))
    assert list(home.tmp.iterdir()) == []


def test_where_tmp_cannot_be_written_the_exchange_is_good_and_nothing_was_updated(home: Home) -> None:
    (home.path / "tmp").write_text("a file where the folder should be")
    ((verdict,), _) = polls(home, reply(**SIGNED))
    assert (verdict.exchange, verdict.update) == ("done", "none")
    assert (
        str(verdict.log[-3])
        == f"[CUP:ERRO] [Segment] Update received ({len(UPDATE)} bytes) but failed to write (ignored)"
    )
    assert str(verdict.log[-1]) == "[CUP:INFO] Interaction with CUPS done - next regular check in 1d"
    assert any(str(line) == "[SYS:ERRO] Failed to open '/tmp/update.bi_': File exists" for line in verdict.log)


def test_a_small_update_on_a_full_disk_fails_when_it_is_written_and_not_when_the_file_is_closed(home: Home) -> None:
    home.tmp.mkdir()
    (home.tmp / "update.bi_").symlink_to("/dev/full")
    ((verdict,), _) = polls(home, reply(update=b"#!/bin/sh\n"))
    assert [str(line) for line in verdict.log[-5:-2]] == [
        "[CUP:INFO] [Segment] FW Update (10 bytes)",
        "[SYS:ERRO] Failed to write '/tmp/update.bi_': No space left on device",
        "[CUP:ERRO] [Segment] Update received (10 bytes) but failed to write (ignored)",
    ]
    assert list(home.tmp.iterdir()) == []


def test_the_first_answer_makes_the_backup_from_what_was_there_before_it(home: Home) -> None:
    home.write("cups.key", "Authorization: secret\r\n", mode=0o600)
    polls(home, reply(cups_uri="http://other:1"))
    assert home.read_uri("cups") == "http://other:1"
    assert home.read_uri("cups-bak") == "http://regular:1"
    assert stat.S_IMODE((home.path / "cups-bak.key").stat().st_mode) == 0o600
    polls(home, reply(cups_uri="http://third:1"))
    assert home.read_uri("cups-bak") == "http://regular:1", "once only"


def test_a_rejection_makes_no_backup(home: Home) -> None:
    polls(home, 403)
    assert files(home) == set()


def test_new_credentials_are_presented_by_the_checksum_of_what_was_delivered(home: Home) -> None:
    delivered = Credentials(SEQUENCE, b"", b"Authorization: token\r\n")
    (_, transport) = polls(home, reply(cups_cred=delivered.to_segment()), NOTHING)
    assert transport.asked[1][1]["cupsCredCrc"] == delivered.crc


def test_credentials_that_cannot_be_read_change_nothing_and_come_again_after_resync(home: Home) -> None:
    (verdicts, transport) = polls(home, reply(cups_cred=b"-----BEGIN"), reply(cups_cred=b"-----BEGIN"))
    assert [verdict.wait_s for verdict in verdicts] == [60, 60]
    assert transport.asked[0][1]["cupsCredCrc"] == transport.asked[1][1]["cupsCredCrc"] == 2077607535


def test_a_full_tmp_is_logged_once_and_the_part_is_removed(home: Home) -> None:
    gateway = VirtualGateway(home, Scripted(reply(**SIGNED)))
    gateway.inject(TmpFull())
    lines = [str(line) for line in gateway.poll().log]
    assert lines.count("[SYS:ERRO] Failed to write '/tmp/update.bi_': No space left on device") == 1
    assert list(home.tmp.iterdir()) == []


# --- when, and whom --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "wait_s"),
    [
        (NOTHING, 86_400),
        (reply(update=UPDATE), 86_400),
        (reply(tc_uri="wss://lns:443"), 86_400),
        (reply(cups_uri="http://other:1"), 60),
        (403, 60),
        (BROKEN, 60),
        (bytes(13), 60),
    ],
    ids=["nothing", "refused", "TC URI", "CUPS URI", "rejected", "broken", "malformed"],
)
def test_the_next_poll_comes_after_the_interval_that_belongs_to_the_outcome(
    home: Home, answer: object, wait_s: float
) -> None:
    ((verdict,), _) = polls(home, answer)
    assert verdict.wait_s == wait_s


def servers(transport: Scripted) -> list[str]:
    return [uri.removeprefix("http://").removesuffix(":1") for uri, _ in transport.asked]


def test_broken_exchanges_turn_to_the_next_server_from_the_eighth_on(home: Home) -> None:
    home.write("cups-bak.uri", "http://backup:1")
    home.write("cups-boot.uri", "http://boot:1")
    (_, transport) = polls(home, *[BROKEN] * 12)
    assert servers(transport) == ["regular"] * 8 + ["backup", "boot", "regular", "backup"]


def test_a_rejection_turns_to_the_next_server_at_once_and_a_success_back_to_the_first(home: Home) -> None:
    home.write("cups-bak.uri", "http://backup:1")
    home.write("cups-boot.uri", "http://boot:1")
    (_, transport) = polls(home, 403, 500, NOTHING, 403, NOTHING, BROKEN, BROKEN)
    assert servers(transport) == ["regular", "backup", "boot", "regular", "backup", "regular", "regular"]


def test_a_gateway_with_nothing_but_boot_files_asks_there_after_two_steps(home: Home) -> None:
    (home.path / "cups.uri").rename(home.path / "cups-boot.uri")
    transport = Scripted(NOTHING)
    gateway = VirtualGateway(home, transport)
    waits = []
    while transport.answers:
        waits.append(gateway.poll().wait_s)
    assert waits[:-1] == [60, 60]
    assert transport.asked[0][1]["cupsUri"] is None, "it always presents the regular address"


def test_the_first_set_is_presented_whichever_server_is_asked(home: Home) -> None:
    home.write("cups-bak.uri", "http://backup:1")
    (_, transport) = polls(home, 403, NOTHING)
    assert transport.asked[1][0] == "http://backup:1"
    assert transport.asked[1][1]["cupsUri"] == "http://regular:1"


def test_an_address_that_is_none_locks_the_regular_files_out_until_the_backup_is_asked(home: Home) -> None:
    polls(home, reply(cups_uri="http://no-port/path"))
    gateway = VirtualGateway(home, HttpTransport())
    tried = [str(gateway.poll().log[0]) for _ in range(9)]
    assert ["CUPS-bak" in line for line in tried] == [False] * 8 + [True]


def test_an_address_that_is_none_is_named_in_the_log(home: Home) -> None:
    for uri, why in (
        ("http://no-port/path", "expecting http(s)://host:port (no path, port mandatory)"),
        ("ftp://host:1", "expecting http://.. or https://.."),
    ):
        home.write("cups.uri", uri)
        lines = [str(line) for line in VirtualGateway(home, HttpTransport()).poll().log]
        assert lines[1:3] == [
            f"[AIO:ERRO] Malformed URI - {why} but found: {uri}",
            f"[CUP:ERRO] Bad CUPS URI: {uri}",
        ]


@pytest.mark.parametrize(
    ("trust", "key", "words"),
    [
        (b"", b"", "cups URI requires TLS but no trust configured"),
        (b"# a comment\n-----BEGIN CERTIFICATE-----", b"", "cups trust certificates rejected by MBedTLS"),
        (b"TRUST", b"no colon", "cups contains malformed auth token - expecting: {header: value{\\r\\n|\\n}}*"),
    ],
    ids=["no trust", "a comment in front", "no token"],
)
def test_credentials_that_tls_cannot_begin_with_are_named_in_the_log(
    home: Home, openssl: Callable[..., bytes], tmp_path: Path, trust: bytes, key: bytes, words: str
) -> None:
    if trust == b"TRUST":
        openssl(
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost",
            "-keyout", tmp_path / "k.pem", "-out", tmp_path / "c.pem",
        )  # fmt: skip
        trust = (tmp_path / "c.pem").read_bytes()
    home.write("cups.uri", "https://localhost:9")
    home.write("cups.trust", trust)
    home.write("cups.key", key)
    assert f"[AIO:ERRO] {words}" in [str(line) for line in VirtualGateway(home, HttpTransport()).poll().log]


@pytest.mark.parametrize("text", [b"Authorization: a b\nX-Other: c", b"Authorization: a b\r\nX-Other: c\r\n\r\n"])
def test_the_header_lines_of_a_token_end_as_http_wants_it(text: bytes) -> None:
    assert auth_header_lines(Credentials(b"trust", b"", text)) == b"Authorization: a b\r\nX-Other: c\r\n"


def test_a_station_does_not_start_with_a_bad_address(home: Home) -> None:
    home.write("cups.uri", "http://localhost:1/")
    with pytest.raises(HomeError, match=r"http\(s\)://host:port"):
        VirtualGateway(home, HttpTransport()).start()


@pytest.mark.parametrize(("text", "seconds"), [('"7s"', 7), ("0.5", 1800), ('"24h"', 86400)])
def test_intervals_come_from_the_environment_where_station_conf_is_silent(
    home: Home, monkeypatch: pytest.MonkeyPatch, text: str, seconds: float
) -> None:
    monkeypatch.setenv("CUPS_OKSYNC_INTV", text)
    assert home.read_conf().timers.oksync_s == seconds
    conf = json.loads((home.path / "station.conf").read_text())
    conf["station_conf"]["CUPS_OKSYNC_INTV"] = "9s"
    home.write("station.conf", json.dumps(conf))
    assert home.read_conf().timers.oksync_s == 9


def test_an_interval_without_json_in_the_environment_is_logged_and_has_no_effect(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUPS_RESYNC_INTV", "7s")
    conf = home.read_conf()
    assert conf.timers.resync_s == 60
    assert [str(line) for line in conf.log] == [
        "[JSN:ERRO] : Expecting EOF but found garbage: s",
        "[any:ERRO] Parsing of config param 'CUPS_RESYNC_INTV' (env) as 'tspan' failed: 7s",
    ]


# --- running ---------------------------------------------------------------------------------------------------------


def ran(home: Home, content: bytes) -> list[str]:
    home.tmp.mkdir(exist_ok=True)
    path = home.tmp / "update.bin"
    path.write_bytes(content)
    path.chmod(0o750)
    return [str(line) for line in execute(home, path).lines]


def test_a_script_without_an_interpreter_line_runs_under_sh(home: Home) -> None:
    assert "[___:INFO] here" in ran(home, b"echo here\n")


def test_a_script_without_its_interpreter_is_reported_and_counts_as_launched(home: Home) -> None:
    lines = ran(home, b"#!/no/such/interpreter\n")
    assert any("completed" in line for line in lines)
    assert "[SYS:ERRO] /tmp/update.bin: Failed to exec: No such file or directory" in lines


def test_an_update_that_fails_counts_as_launched_and_its_status_is_not_seen(home: Home) -> None:
    good, bad = ran(home, b"#!/bin/sh\nexit 0\n"), ran(home, b"#!/bin/sh\nexit 3\n")
    assert [line.split("pid")[0] for line in good] == [line.split("pid")[0] for line in bad]


def test_a_script_gets_the_stations_environment(home: Home) -> None:
    lines = ran(home, b"echo $STATION_HOME $# $0\n")
    assert lines[-1].startswith(f"[___:INFO] {os.path.realpath(home.path)} 0 ")


# --- the name in a certificate ---------------------------------------------------------------------------------------


def alternatives(*names: tuple[str, str]) -> dict:
    return {"subject": ((("commonName", "common"),),), "subjectAltName": names}


@pytest.mark.parametrize(
    ("certificate", "host", "fits"),
    [
        (alternatives(("DNS", "localhost")), "LocalHost", True),
        (alternatives(("DNS", "other")), "localhost", False),
        (alternatives(("IP Address", "127.0.0.1")), "127.0.0.1", False),
        (alternatives(("DNS", "127.0.0.1")), "127.0.0.1", True),
        (alternatives(("DNS", "*.example.org")), "cups.example.org", True),
        (alternatives(("DNS", "*.example.org")), "a.cups.example.org", False),
        (alternatives(("DNS", "other")), "common", False),
        (alternatives(), "common", True),
        ({}, "common", False),
    ],
)
def test_a_station_looks_for_the_host_among_the_names_alone(certificate: dict, host: str, fits: bool) -> None:
    assert certificate_matches_host(certificate, host) is fits
