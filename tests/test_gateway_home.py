"""The home folder: what a station reports from it, and what an exchange changes in it."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from lorafw.cups.codec import encode_request
from lorafw.errors import HomeError
from lorafw.eui import GatewayEui
from lorafw.firmware.signing import KeyPair
from lorafw.gateway.home import Home, check_cups_uri
from lorafw.gateway.provisioning import station_conf, write_home
from lorafw.station.http import request_bytes
from lorafw.station.log import Level

RECORDED = json.loads((Path(__file__).parent.parent / "data" / "station-requests.json").read_text())
STATION = "2.0.6(linux/std) 2026-11-23 15:58:28"
VERSION_TXT = {
    "ver_empty": b"",
    "ver_nl": b"1.2.3\n",
    "ver_lead": b"  \n 1.2.3 \t\r\n",
    "ver_len300": b"x" * 300,
    "ver_len9000": b"x" * 9000,
    "ver_utf8": "v-äöü-✓".encode(),
    "ver_none": None,
}


def home_of(path: Path, routerid: str, **settings: Any) -> Home:
    home = Home(path)
    home.write("station.conf", json.dumps({"station_conf": {"routerid": routerid, **settings}}))
    return home


KEY_CRC = 2373853496
"""Of the sig-0.key on the recorded gateway; the file itself was not recorded."""


class RecordedHome(Home):
    """A home whose keys are known by their CRCs alone."""

    crcs: tuple[int, ...] = ()

    def read_key_crcs(self) -> tuple[int, ...]:
        return self.crcs


def can_be_rebuilt(case: dict[str, Any]) -> bool:
    """Not those whose credentials were not recorded."""
    return case["json"] is None or case["json"]["cupsCredCrc"] == 2077607535


@pytest.mark.parametrize("case", [*filter(can_be_rebuilt, RECORDED)], ids=lambda case: case["name"])
def test_a_recorded_request_is_rebuilt_from_its_home_folder_header_and_all(
    tmp_path: Path, case: dict[str, Any]
) -> None:
    recorded = base64.b64decode(case["raw"])
    host_port = recorded.split(b"\r\nHost: ")[1].split(b"\r\n")[0].decode()
    home = RecordedHome(tmp_path)
    prefix = {"euiprefix": "::0"} if case["name"] == "eui_mac_prefix0" else {}
    home.write("station.conf", json.dumps({"station_conf": {"routerid": case["station_conf_routerid"], **prefix}}))
    home.write("cups.uri", f"http://{host_port}\n")
    version = VERSION_TXT.get(case["name"], b"1.0.0\n")
    if version is not None:
        home.write("version.txt", version)
    home.crcs = tuple(case["json"]["keys"]) if case["json"] else (KEY_CRC,)
    if case["name"].startswith("with_tcuri"):
        home.write("tc.uri", (case["json"]["tcUri"] or "wss://" + "h" * 118 + ":443") + "\n")

    assert request_bytes(host_port, encode_request(home.build_request(STATION, "linux"))) == recorded


def test_keys_are_listed_up_to_the_first_that_is_missing_or_empty(tmp_path: Path) -> None:
    home = home_of(tmp_path, "::1")
    first, second = KeyPair.from_secret(1).public_key, KeyPair.from_secret(2).public_key
    home.write("sig-0.key", first.sig_key)
    home.write("sig-2.key", second.sig_key)
    assert home.read_key_crcs() == (first.crc,)
    home.write("sig-1.key", b"")
    assert home.read_key_crcs() == (first.crc,)
    home.write("sig-1.key", second.sig_key)
    assert home.read_key_crcs() == (first.crc, second.crc, second.crc)


def test_a_home_with_only_sig_1_presents_no_keys(tmp_path: Path) -> None:
    home = home_of(tmp_path, "::1")
    home.write("sig-1.key", KeyPair.from_secret(1).public_key.sig_key)
    assert home.read_key_crcs() == ()


@pytest.mark.parametrize(("length", "presented"), [(127, True), (128, False)])
def test_a_uri_that_is_too_long_is_presented_as_none(tmp_path: Path, length: int, presented: bool) -> None:
    home = home_of(tmp_path, "::1")
    uri = "wss://" + "h" * (length - 10) + ":443"
    home.write("tc.uri", uri)
    assert (home.build_request(STATION, "linux").tc_uri == uri) is presented


def test_a_token_counts_in_the_crc_of_the_credentials(tmp_path: Path) -> None:
    home = home_of(tmp_path, "::1")
    assert home.read_credentials("cups").crc == 2077607535
    home.write("cups.key", "Authorization: Bearer x\r\n")
    assert home.read_credentials("cups").crc != 2077607535


@pytest.mark.parametrize(
    ("value", "seconds"), [("4s", 4), ("300ms", 0.3), ("1m30s", 90), ("24h", 86400), (0.5, 1800), (2, 7200)]
)
def test_the_regular_interval_is_read_in_all_its_forms(tmp_path: Path, value: object, seconds: float) -> None:
    assert home_of(tmp_path, "::1", CUPS_OKSYNC_INTV=value).read_conf().timers.oksync_s == pytest.approx(seconds)


def test_station_conf_may_hold_comments(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.write(
        "station.conf",
        '/* a\n comment */ {"station_conf": {/**/ "routerid": /* "1:: */ "a::b", "web_dir": "/*no*/" }}',
    )
    assert home.read_conf().eui == GatewayEui.parse("a::b")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Expecting an object"),
        ("[]", "Expecting an object"),
        ("[" * 100_000, "Expecting an object"),
        ('{"other": ' + "[" * 100_000, "JSON nested too deeply"),
        ('{"station_conf": []}', "Expecting an object"),
        ('{"station_conf": {}} // a comment', "Bad start of comment"),
        ('{"station_conf": {}} /* a comment', "Unterminated /*.. comment"),
        ('{"station_conf": {}} {}', "Expecting EOF but found garbage: {}"),
        ('{"station_conf": {"routerid": "no hex"}}', "is not a routerid"),
        ('{"station_conf": {"routerid": 1}}', "@.station_conf.routerid: Expecting a string value"),
        ('{"station_conf": {"routerid": "0"}}', "must not be zero"),
        ('{"station_conf": {"euiprefix": "::"}}', "@.station_conf.euiprefix: Illegal EUI"),
        ('{"station_conf": {"routerid": "::1", "log_level": "LOUD"}}', "LOUD"),
        ('{"station_conf": {"routerid": "::1", "log_level": 3}}', "@.station_conf.log_level: Expecting a string value"),
        ('{"station_conf": {"web_port": 0}}', "@.station_conf.web_port: Field value not in range [1..65535]: 0"),
        ('{"station_conf": {"routerid": "::1" "device": 1}}', "@.station_conf.routerid: Expecting a comma"),
        ('{"station_conf": {', "@.station_conf.(null): Expecting a field"),
        ('{"station_conf": {"routerid": 1} x', "@.station_conf.routerid: Expecting a string value"),
        ('{"station_conf": {"device_mode": 1}}', "@.station_conf.device_mode: Expecting a bool value"),
    ],
)
def test_a_bad_station_conf_is_named_with_its_fault(tmp_path: Path, text: str, words: str) -> None:
    home = Home(tmp_path)
    home.write("station.conf", text)
    with pytest.raises(HomeError, match=r"station\.conf") as caught:
        home.read_conf()
    assert words in str(caught.value)


def test_a_missing_station_conf_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="gateway init"):
        Home(tmp_path).read_conf()


@pytest.mark.parametrize(
    "uri",
    [
        "http://h",
        "http://h:80/",
        "h:80",
        "ftp://h:80",
        "http://h:80/x",
        "http://:80",
        "http://" + "h" * 130 + ":1",
        "",
        "http:h:80",
        "http:/h:80",
        "HTTPS://h:80",
        "http://h:",
        "http://[::1]",
        "http://[1]:1",
        "http://[::1:1",
        "http://[::1]x:1",
        "http://h:1234567890123456",
        "\ud800http://h:1",
    ],
)
def test_a_cups_uri_that_a_station_would_not_start_with_is_refused(uri: str) -> None:
    with pytest.raises(HomeError, match=r"a station takes http\(s\)://host:port"):
        check_cups_uri(uri)


@pytest.mark.parametrize(
    "uri",
    ["http://localhost:80", "https://a.b.c:443", "http://[::1]:45121", "HTTP://h:80", "HTTPs://h:1", "http://a b: 80"],
)
def test_a_good_cups_uri_is_taken(uri: str) -> None:
    check_cups_uri(uri)


def test_a_home_is_written_whole_and_never_over_another(tmp_path: Path) -> None:
    eui = GatewayEui.parse("0000aabbccddeeff")
    key = KeyPair.from_secret(5).public_key
    home = write_home(tmp_path / "home", eui=eui, cups_uri="http://localhost:1", package="1.0.0", sig_keys=(key,))
    assert sorted(path.name for path in home.path.iterdir()) == ["cups.uri", "sig-0.key", "station.conf", "version.txt"]
    assert home.read_conf().eui == eui, "an EUI whose top bits are zero is not taken for a MAC"
    with pytest.raises(HomeError, match="already"):
        write_home(tmp_path / "home", eui=eui, cups_uri="http://localhost:1", package="1.0.0")


def test_a_file_is_replaced_whole_and_keeps_the_mode_that_was_asked_for(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.write("cups.key", b"secret", mode=0o600)
    home.write("cups.key", b"other", mode=0o600)
    assert stat.S_IMODE((tmp_path / "cups.key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["cups.key"]


def test_the_log_level_of_a_new_home_shows_why_a_request_was_refused(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.write("station.conf", station_conf(GatewayEui(1), interval_s=10))
    assert home.read_conf().log_level is Level.VERBOSE
    assert home.read_conf().timers.oksync_s == 10
