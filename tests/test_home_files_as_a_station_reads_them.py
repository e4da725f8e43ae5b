"""Home files are accepted and refused as a Basics Station does it."""

from __future__ import annotations

import contextlib
import json
import socket
import time
import tracemalloc
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import station_certificates
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_station_files import NOTHING, Scripted

from lorafw.cups.credentials import Credentials, parse_credentials
from lorafw.errors import HomeError, LorafwError, MalformedResponse
from lorafw.eui import GatewayEui
from lorafw.gateway.conf_parser import default_mac
from lorafw.gateway.home import Home
from lorafw.gateway.home_files import MAX_CONF_BYTES, MAX_FILE_BYTES
from lorafw.gateway.requests import prepare_request
from lorafw.gateway.retry_state import RetryState
from lorafw.gateway.transport import HttpTransport
from lorafw.gateway.virtual import VirtualGateway
from lorafw.station.exchange import ExchangeOutcome
from lorafw.station.http import HttpReply, request_bytes, truncate_to_buffer
from lorafw.station.log import ExchangeLog, Level, LogLine
from lorafw.station.log_levels import parse_log_levels
from lorafw.station.uri import MalformedUri, parse_cups_uri

DAY_S = 86_400
NINES = f'"{"9" * 400}s"'
FILES = ("station.conf", "cups.uri", "tc.uri", "version.txt", "cups.trust", "cups.crt", "cups.key", "sig-0.key")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return home_with(tmp_path, routerid="::1")


def home_with(path: Path, **conf: object) -> Home:
    home = Home(path)
    home.write("station.conf", json.dumps({"station_conf": conf}))
    home.write("cups.uri", "http://localhost:1")
    return home


# --- texts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"1.0.1\0rest", "1.0.1"),
        (b"1.0.1 \t\r\n\0", "1.0.1"),
        ("1.0".encode("utf-16"), "\udcff\udcfe1"),
        (b"", ""),
        (b" \n", ""),
        (b"\0x", ""),
    ],
)
def test_a_text_file_ends_at_its_first_zero_byte_and_counts_even_if_it_is_empty(
    home: Home, content: bytes, text: str
) -> None:
    for name in ("version.txt", "tc.uri", "cups.uri"):
        home.write(name, content)
    assert (home.read_package_version(), home.read_uri("tc"), home.read_uri("cups")) == (text, text, text)


def test_an_empty_cups_uri_is_tried_and_named_and_does_not_turn_to_the_next_set(home: Home) -> None:
    home.write("cups.uri", b"\0")
    gateway = VirtualGateway(home, HttpTransport())
    for number in (1, 2):
        assert [str(line) for line in gateway.poll().log[:3]] == [
            f"[CUP:INFO] Connecting to CUPS ...  (try #{number})",
            "[AIO:ERRO] Malformed URI - expecting http://.. or https://.. but found: ",
            "[CUP:ERRO] Bad CUPS URI: ",
        ]


def test_a_cups_uri_that_is_too_long_is_logged_where_it_is_read_and_counts_as_none(home: Home) -> None:
    home.write("cups.uri", "x" * 128)
    home.write("cups-bak.uri", "http://backup:1")
    gateway = VirtualGateway(home, Connecting(NOTHING))
    shown = 200
    too_long = f"[SYS:ERRO] URI in '{home.path / 'cups.uri'}' too long (max 128): {'x' * 128}"[:shown]
    first, second = gateway.poll(), gateway.poll()
    assert [str(line)[:shown] for line in first.log] == [too_long, "[CUP:ERRO] No CUPS URI configured"]
    assert [str(line)[:shown] for line in second.log[1:3]] == [
        "[CUP:VERB] Retrieving update-info from CUPS-bak http://backup:1...",
        too_long,
    ]


class Connecting(Scripted):
    """A script whose every connection is made."""

    def post(self, *arguments: object) -> AbstractContextManager[HttpReply]:  # type: ignore[override]
        arguments[-1]()  # type: ignore[operator]
        return super().post(*arguments)  # type: ignore[arg-type]


# --- addresses -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "host", "port", "host_port"),
    [
        ("hTTps://a.b:443", b"a.b", b"443", "a.b:443"),
        ("http://localhost:041741", b"localhost", b"041741", "localhost:041741"),
        ("http://localhost: 41741", b"localhost", b" 41741", "localhost: 41741"),
        ("http://[::1]:80", b"::", b"80", "[::1]:80"),
        ("http://[::ffff:127.0.0.1]:1", b"::ffff:127.0.0.", b"1", "[::ffff:127.0.0.1]:1"),
        ("http://a b:http", b"a b", b"http", "a b:http"),
        ("http://u@h:1:2", b"u@h", b"1:2", "u@h:1:2"),
    ],
)
def test_an_address_is_taken_apart_as_a_station_does_it(uri: str, host: bytes, port: bytes, host_port: str) -> None:
    address = parse_cups_uri(uri)
    assert (address.host, address.port, address.host_port) == (host, port, host_port)
    assert address.is_tls is uri.startswith("hTTps")


def test_a_port_that_is_too_long_has_a_line_of_its_own() -> None:
    with pytest.raises(MalformedUri) as caught:
        parse_cups_uri("http://h:1234567890123456")
    assert caught.value.lines[0].text == ("Malformed URI - host/port too big (max 128/16): http://h:1234567890123456")


def test_a_station_crashes_at_every_start_with_an_empty_ipv6_literal(home: Home) -> None:
    home.write("cups.uri", "http://[]:1")
    gateway = VirtualGateway(home, HttpTransport())
    with pytest.raises(HomeError, match=r"crashes again at every start"):
        gateway.start()
    for _ in range(3):
        verdict = gateway.poll()
        assert (verdict.exchange, verdict.crashed) == (ExchangeOutcome.NONE, True)


def test_a_station_does_not_start_with_a_bad_backup_address(home: Home) -> None:
    home.write("cups-boot.uri", "http://h/")
    with pytest.raises(HomeError, match="path"):
        VirtualGateway(home, HttpTransport()).start()


def test_a_station_does_not_start_without_an_address_that_can_be_used(home: Home) -> None:
    (home.path / "cups.uri").unlink()
    gateway = VirtualGateway(home, HttpTransport())
    for uri in (None, "http://" + "a" * 150 + ":1"):
        if uri is not None:
            home.write("cups-bak.uri", uri)
        with pytest.raises(HomeError, match=r"no cups\.uri, cups-bak\.uri or cups-boot\.uri"):
            gateway.start()
    home.write("cups-boot.uri", "http://localhost:1")
    gateway.start()


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=40))
@example(b"http://[x")
@example(b"http://[]:1")
@example(b"http://\xff\xfe:1")
@example(b"http://" + b"a" * 70 + b":1")
@example(b"https://h:1")
def test_a_poll_never_raises_for_an_address_that_was_delivered(
    tmp_path_factory: pytest.TempPathFactory, uri: bytes
) -> None:
    home = home_with(tmp_path_factory.mktemp("home"), routerid="::1")
    reply = bytes([len(uri)]) + uri + bytes(13)
    gateway = VirtualGateway(home, Scripted(reply))
    gateway.poll()
    gateway.transport = UnreachableTransport()
    gateway.poll()


@pytest.mark.parametrize(
    ("uri", "is_set_up"),
    [
        ("HTTPs://localhost:1", True),
        ("https://localhost", False),
        ("https://localhost:1/", False),
        ("https://[]:1", False),
        ("http://localhost:1", False),
    ],
)
def test_tls_is_set_up_after_the_address_was_checked_and_for_a_scheme_in_any_case(
    home: Home, uri: str, is_set_up: bool
) -> None:
    home.write("cups.uri", uri)
    home.write("cups.trust", station_certificates.authority())
    log = ExchangeLog()
    prepare_request(home, RetryState(), "2.0.6", "linux", log)
    tls_lines = [str(line) for line in log.lines if line.module == "AIO"]
    assert ("[AIO:INFO] cups has no key+cert configured - running server auth only" in tls_lines) is is_set_up
    assert bool(tls_lines) is is_set_up


class UnreachableTransport(HttpTransport):
    """Reads the address as HttpTransport does, and looks nothing up."""

    def _connect(self, *_: object) -> None:  # type: ignore[override]
        raise LookupStopped


class LookupStopped(MalformedUri):
    """No address was looked up."""


# --- station.conf --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "unit_hours"),
    [('"90"', 90), ('"0x10"', 16), ('"3s5"', 5 + 3 / 3600), ('"1h30m"', 1.5), ('"007"', 7), ("2", 2), ("1e1", 10)],
)
def test_a_span_without_a_unit_counts_in_the_unit_of_its_parameter(home: Home, text: str, unit_hours: float) -> None:
    home.write("station.conf", f'{{"station_conf": {{"routerid": "::1", "CUPS_OKSYNC_INTV": {text}}}}}')
    assert home.read_conf().timers.oksync_s == pytest.approx(unit_hours * 3600)


@pytest.mark.parametrize("text", ['""', '"soon"', '"3s 5"', '" 3s"', "true", "null", "[1]", f'"{"9" * 400}s"', "1e999"])
def test_a_span_that_cannot_be_read_is_logged_and_the_default_stays(home: Home, text: str) -> None:
    home.write("station.conf", f'{{"station_conf": {{"routerid": "::1", "CUPS_OKSYNC_INTV": {text}}}}}')
    conf = home.read_conf()
    assert conf.timers.oksync_s == 86_400
    assert conf.log[-1].text == f"Parsing of config param 'CUPS_OKSYNC_INTV' (station.conf) as 'tspan' failed: {text}"
    logged: list[str] = []
    gateway = VirtualGateway(home, Scripted(NOTHING), log=logged.append)
    gateway.start()
    assert "[any:ERRO] Parsing of config param 'CUPS_OKSYNC_INTV'" in logged[1]
    assert gateway.poll().wait_s == 86_400


@pytest.mark.parametrize("text", ["0", "1e-9", "-5"])
def test_with_no_time_for_an_answer_a_station_connects_and_times_out(home: Home, text: str) -> None:
    home.write("station.conf", f'{{"station_conf": {{"routerid": "::1", "CUPS_CONN_TIMEOUT": {text}}}}}')
    with socket.create_server(("127.0.0.1", 0)) as server:
        home.write("cups.uri", f"http://127.0.0.1:{server.getsockname()[1]}")
        for transport in (HttpTransport(), Connecting(NOTHING)):
            result = VirtualGateway(home, transport).poll()
            assert [str(line) for line in result.log][-2:] == [
                "[CUP:ERRO] CUPS timed out",
                "[CUP:INFO] Interaction with CUPS failed - retrying in 1m",
            ]


@pytest.mark.parametrize(
    ("text", "waits_s", "shown"),
    [
        ("-1", 0, "-1h"),
        ('"100000d"', 100 * 365 * DAY_S, "100000d"),
        ("1e-12", 0, "0"),
        ('"1h0x"', 3600, "1h"),
    ],
)
def test_a_station_polls_at_once_after_a_negative_interval_and_keeps_one_of_centuries(
    home: Home, text: str, waits_s: float, shown: str
) -> None:
    home.write("station.conf", f'{{"station_conf": {{"routerid": "::1", "CUPS_OKSYNC_INTV": {text}}}}}')
    result = VirtualGateway(home, Scripted(NOTHING)).poll()
    assert (home.read_conf().log, result.wait_s) == ((), waits_s)
    assert result.log[-1].text == f"Interaction with CUPS done (no updates) - next regular check in {shown}"


def test_a_failed_exchange_waits_for_no_negative_interval_either(home: Home) -> None:
    home.write("station.conf", '{"station_conf": {"routerid": "::1", "CUPS_RESYNC_INTV": -1}}')
    (home.path / "cups.uri").unlink()
    result = VirtualGateway(home, Scripted()).poll()
    assert (result.log[-1].text, result.wait_s) == ("No CUPS URI configured", 0)


@pytest.mark.parametrize("text", ["0", '"0"', "-1", "0.143", "1e9"])
def test_a_station_ends_if_its_buffer_is_too_small_or_needs_more_memory_than_there_is(home: Home, text: str) -> None:
    home.write("station.conf", f'{{"station_conf": {{"routerid": "::1", "CUPS_BUFSZ": {text}}}}}')
    with pytest.raises(HomeError, match=r"does not start with it: CUPS_BUFSZ: \d+ bytes are no buffer"):
        home.read_conf()


@pytest.mark.parametrize(
    ("text", "size"),
    [('"2KB"', 2048), ('"2K"', 2000), ("2", 2048), ('"4"', 4096), ('"1mb"', 1 << 20)],
)
def test_the_size_of_the_buffer_is_read_in_all_its_forms(home: Home, text: str, size: int) -> None:
    home.write("station.conf", f'{{"station_conf": {{"routerid": "::1", "CUPS_BUFSZ": {text}}}}}')
    assert home.read_conf().buffer_bytes == size


@pytest.mark.parametrize(
    ("text", "cup", "sys"),
    [
        ("debug", Level.DEBUG, Level.DEBUG),
        ("Criticality", Level.CRITICAL, Level.CRITICAL),
        ("1", Level.DEBUG, Level.DEBUG),
        ("DEBUG,SYS:INFO,RAL:XDEBUG", Level.DEBUG, Level.INFO),
        ("SYS:ERROR,INFO", Level.INFO, Level.INFO),
        ("cup:warn", Level.WARNING, Level.INFO),
    ],
)
def test_a_log_level_is_read_by_number_by_prefix_in_any_case_and_by_module(text: str, cup: Level, sys: Level) -> None:
    levels = parse_log_levels(text)
    assert (levels.level_of("CUP"), levels.level_of("SYS")) == (cup, sys)
    assert not levels.shows(LogLine("CUP", Level(max(cup - 1, 0)), "")) or cup == Level.XDEBUG


@pytest.mark.parametrize("text", ["", "DEB", "8", "FOO:INFO", "INFO,", "INFO, DEBUG"])
def test_a_log_level_that_a_station_does_not_know_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="log"):
        parse_log_levels(text)


def test_a_routerid_may_name_a_file(home: Home) -> None:
    address = home.path / "address"
    address.write_text("aa:bb:cc:dd:ee:ff\n")
    home.write("station.conf", json.dumps({"station_conf": {"routerid": str(address)}}))
    assert home.read_conf().eui.id6 == "aabb:ccff:fedd:eeff"


def test_without_a_routerid_the_mac_counts_and_ethernet_comes_first(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = tmp_path / "net"
    macs = {
        "lo": "00:00:00:00:00:00",
        "docker0": "02:00:00:00:00:01",
        "eth1": "02:00:00:00:00:03",
        "eth0": "02:00:00:00:00:02",
    }
    for name, mac in macs.items():
        (devices / name).mkdir(parents=True)
        (devices / name / "address").write_text(mac + "\n")
    assert default_mac(devices) == "02:00:00:00:00:02"
    monkeypatch.setattr("lorafw.gateway.conf_parser._NETWORK_DEVICES", devices)
    for text in ("{}", '{"station_conf": {}}', '{"other": 1}'):
        home.write("station.conf", text)
        assert home.read_conf().eui.id6 == "200:ff:fe00:2"
    monkeypatch.setattr("lorafw.gateway.conf_parser._NETWORK_DEVICES", tmp_path / "none")
    assert home.read_conf().eui == GatewayEui(0xFFFE000000)


def test_a_device_whose_address_a_station_cannot_read_gives_no_mac(tmp_path: Path) -> None:
    macs = {"br0": "00:00:00:00:00:00", "ib0": ":".join(["80"] * 20), "tun0": "", "wlan0": "02:00:00:00:00:04"}
    for name, mac in macs.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "address").write_text(mac + "\n")
    assert default_mac(tmp_path) == "02:00:00:00:00:04"


def test_the_last_of_two_fields_of_one_name_counts(home: Home) -> None:
    home.write("station.conf", '{"station_conf": {"routerid": "::1"}, "station_conf": {"routerid": "a::b"}}')
    assert home.read_conf().eui == GatewayEui.parse("a::b")


def test_a_later_log_level_keeps_what_it_does_not_mention(home: Home) -> None:
    home.write("station.conf", '{"station_conf": {"log_level": "ERROR", "routerid": "::1", "log_level": "SYS:DEBUG"}}')
    levels = home.read_conf().log_levels
    assert (levels.level_of("CUP"), levels.level_of("SYS")) == (Level.ERROR, Level.DEBUG)


def test_a_station_logs_at_the_level_that_holds_when_it_reads_a_field(home: Home) -> None:
    home.write(
        "station.conf",
        '{"station_conf": {"CUPS_OKSYNC_INTVL": 1, "log_level": "CRITICAL", "routerid": "::1", "CUPS_BUFFSZ": 1}}',
    )
    logged: list[str] = []
    VirtualGateway(home, Scripted(NOTHING), log=logged.append).start()
    assert [line.partition(" [")[2] for line in logged] == ["SYS:WARN] Ignoring field: CUPS_OKSYNC_INTVL"]


def test_a_comma_in_log_file_crashes_a_station_at_its_start(home: Home) -> None:
    home.write("station.conf", '{"station_conf": {"routerid": "::1", "log_file": "station.log,10000,3"}}')
    with pytest.raises(HomeError, match=r"@\.station_conf\.log_file: A station crashes if log_file contains a comma"):
        home.read_conf()


def test_a_bad_flag_in_the_environment_counts_up_to_what_follows_it(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TLS_SNI", "false # the server has no name")
    conf = home.read_conf()
    assert conf.tls_sni is False
    assert [str(line) for line in conf.log] == [
        "[JSN:ERRO] : Expecting EOF but found garbage: # the server has no ",
        "[any:ERRO] Parsing of config param 'TLS_SNI' (env) as bool failed: false # the server has no name",
    ]


def test_what_follows_a_zero_byte_is_no_part_of_station_conf(home: Home) -> None:
    home.write("station.conf", b'{"station_conf": {"routerid": "a::b"}}\0 garbage')
    assert home.read_conf().eui == GatewayEui.parse("a::b")


# --- any bytes -----------------------------------------------------------------------------------------------------

CONF_PARTS = st.lists(
    st.sampled_from(
        [
            *(bytes([byte]) for byte in b'{}[],:" \0\xff1-.\\'),
            *(b'"station_conf"', b'"routerid"', b'"CUPS_OKSYNC_INTV"', b'"log_level"'),
            *(b"/*", b"*/", b"//", b"\\u00", b"9" * 400, b"e9", b"true", b"null"),
        ]
    ),
    max_size=30,
).map(b"".join)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(FILES), st.one_of(st.binary(max_size=200), CONF_PARTS), st.sampled_from([1, 1, 5000]))
@example("station.conf", b'{"a":', 20_000)
@example("station.conf", b"/**/", 30_000)
@example("station.conf", b'"\\u0041', 15_000)
@example("station.conf", b"/*", 60_000)
@example("cups.uri", b"[", MAX_FILE_BYTES)
@example("version.txt", b" ", MAX_FILE_BYTES)
@example("station.conf", b"x", MAX_FILE_BYTES + 1)
def test_any_bytes_in_a_home_file_give_a_value_or_an_error_of_lorafw(
    tmp_path_factory: pytest.TempPathFactory, name: str, content: bytes, times: int
) -> None:
    home = home_with(tmp_path_factory.mktemp("home"), routerid="::1")
    (home.path / name).write_bytes((content * times)[: MAX_FILE_BYTES + 1])
    began = time.monotonic()
    with contextlib.suppress(LorafwError):
        home.build_request("2.0.6(linux/std) 2026-11-23 15:58:28", "linux")
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("unit", [b'"":1,', b"/**/", b'"a":{"b":[1]},', b"9"], ids=repr)
def test_reading_the_largest_station_conf_takes_less_than_a_second_and_64_mb(home: Home, unit: bytes) -> None:
    text = b'{"station_conf":{' + unit * (MAX_CONF_BYTES // len(unit))
    (home.path / "station.conf").write_bytes(text[:MAX_CONF_BYTES])
    began = time.process_time()
    with pytest.raises(HomeError):
        home.read_conf()
    assert time.process_time() - began < 1
    tracemalloc.start()
    with pytest.raises(HomeError):
        home.read_conf()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64e6


# --- files that an exchange leaves ---------------------------------------------------------------------------------


def test_an_exchange_removes_only_the_ten_temporary_files_of_a_station(home: Home) -> None:
    own = [f"{kind}-temp.{ending}" for kind in ("cups", "tc") for ending in ("trust", "crt", "key", "uri", "upd")]
    others = ["my-temp.txt", "sig-temp.key", "cups-temp.txt", "tc-temp.cpy"]
    for name in (*own, *others):
        home.write(name, b"mine")
    gateway = VirtualGateway(home, Scripted(403, b"\xff", NOTHING))
    for _ in range(2):
        gateway.poll()
        assert all((home.path / name).exists() for name in (*own, *others)), "no addresses were accepted"
    home.write("cups-boot.uri", "http://boot:1")
    while gateway.transport.answers:  # type: ignore[attr-defined]
        gateway.poll()
    assert [name for name in own if (home.path / name).exists()] == []
    assert all((home.path / name).read_bytes() == b"mine" for name in others)


def test_an_interrupted_update_of_the_configuration_is_completed_at_the_start(home: Home) -> None:
    for name in ("tc-temp.upd", "tc-temp.key", "cups-temp.uri"):
        home.write(name, "http://new:1")
    home.write("cups-temp.cpy", b"")
    home.write("cups-bak.key", b"half a copy")
    VirtualGateway(home, HttpTransport()).start()
    names = {path.name for path in home.path.iterdir()}
    assert names == {"station.conf", "cups.uri", "tc.key", "cups-temp.uri", "cups-bak.uri", "cups-bak.done"}
    assert home.read_uri("cups") == "http://localhost:1", "its marker was not there"


@pytest.mark.parametrize("cut", range(6))
def test_a_key_that_lacks_up_to_four_bytes_is_accepted_and_padded(cut: int) -> None:
    key = b"\x30\x05hello"
    segment = b"\x30\x02ab" + bytes(4) + key
    if cut > 4:
        with pytest.raises(MalformedResponse, match="Lengths do not align"):
            parse_credentials(segment[:-cut])
        return
    expected = key[: len(key) - cut] + bytes(cut)
    assert parse_credentials(segment[: len(segment) - cut]) == Credentials(b"\x30\x02ab", b"", expected)


@pytest.mark.parametrize(
    ("end", "last"),
    [(b'x","keys":[]}', b"x"), (b'x","keys":[12]}', b"\0")],
)
def test_a_request_that_was_cut_ends_with_a_zero_byte_only_if_the_crc_of_a_key_is_behind_the_cut(
    end: bytes, last: bytes
) -> None:
    body = b'{"package":"' + b"x" * 9000 + end
    assert truncate_to_buffer("localhost:1", body)[-1:] == last


@pytest.mark.parametrize(
    ("bytes_cut_off", "end"),
    [
        (0, b"[12,3456]}"),
        (1, b"[12,3456]"),
        (2, b"[12,345\0"),
        (3, b"[12,34\0\0"),
        (5, b"[12,\0\0\0\0"),
        (6, b"[12\0"),
        (7, b"[1\0"),
        (8, b"[\0\0"),
        (9, b":\0"),
    ],
)
def test_a_station_counts_the_digits_of_a_crc_that_do_not_fit(bytes_cut_off: int, end: bytes) -> None:
    body = b'{"keys":[12,3456]}'
    buffer_bytes = len(request_bytes("a:1", body)) + len(":1\0") - bytes_cut_off
    request = request_bytes("a:1", body, buffer_bytes=buffer_bytes)
    assert request.endswith(end)
    header, _, sent = request.partition(b"\r\n\r\n")
    assert int(header.split(b": ")[-1]) == len(sent)


def test_a_header_that_fills_the_buffer_leaves_no_room_for_a_body() -> None:
    token = b"Authorization: " + b"x" * 1000 + b"\r\n"
    assert truncate_to_buffer("a:1", b'{"keys":[12]}', token, buffer_bytes=1024) == b""


def test_a_request_is_cut_to_the_size_of_the_buffer() -> None:
    body = b'{"package":"' + b"x" * 9000 + b'","keys":[]}'
    assert len(request_bytes("localhost:1", body, buffer_bytes=2048)) == 2048 - len(":1") - 1
