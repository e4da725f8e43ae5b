"""Folders, links and files without rights in place of home files, and what a power cut leaves: as a station treats it.

The expected values come from a C program with the functions of sys.c of Basics Station 2.0.6, run on 3,000 folders.
"""

from __future__ import annotations

import errno
import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from station_certificates import replacements
from test_station_files import NOTHING, Scripted

from lorafw.cups.credentials import Credentials
from lorafw.doctor.home import read_home
from lorafw.errors import HomeError
from lorafw.gateway.client_tls import auth_header_lines, client_context
from lorafw.gateway.conf_parser import default_mac
from lorafw.gateway.home import Home
from lorafw.gateway.virtual import VirtualGateway
from lorafw.station.exchange import ExchangeOutcome
from lorafw.station.http import TransportError
from lorafw.station.launch import exec_failure


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path, is_durable=False)
    made.write("station.conf", json.dumps({"station_conf": {"routerid": "::1"}}))
    made.write("cups.uri", "http://localhost:1")
    return made


def as_folder(path: Path) -> None:
    path.mkdir()


def as_loop(path: Path) -> None:
    path.symlink_to(path.name)


def as_dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


# --- files that cannot be read -------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [as_folder, as_loop, as_dangling_link])
def test_a_file_that_cannot_be_read_counts_as_missing(home: Home, make: Callable[[Path], None]) -> None:
    for name in ("version.txt", "tc.uri", "cups.trust", "cups.crt", "cups.key", "sig-0.key", "cups-boot.uri"):
        make(home.path / name)
    gateway = VirtualGateway(home, Scripted(NOTHING))
    gateway.start()
    request = home.build_request("2.0.6", "linux")
    assert (request.package, request.tc_uri, request.keys) == (None, None, ())
    assert request.cups_cred_crc == zlib.crc32(bytes(12))
    assert gateway.poll().exchange is ExchangeOutcome.DONE


def test_a_device_has_the_size_0_and_is_empty(home: Home) -> None:
    (home.path / "version.txt").symlink_to("/dev/zero")
    assert home.read_package_version() == ""


def test_a_folder_in_place_of_station_conf_is_refused_by_its_name(home: Home) -> None:
    (home.path / "station.conf").unlink()
    (home.path / "station.conf").mkdir()
    with pytest.raises(HomeError, match="cannot be read"):
        home.read_conf()


def test_tls_needs_its_files_and_refuses_a_folder(home: Home) -> None:
    home.write("cups.uri", "https://localhost:1")
    (home.path / "cups.key").mkdir()
    with pytest.raises(HomeError, match=r"cups\.key cannot be read"):
        VirtualGateway(home, Scripted(NOTHING)).poll()


def test_the_doctor_does_not_mistake_a_file_that_it_cannot_read_for_a_missing_one(home: Home) -> None:
    (home.path / "sig-0.key").mkdir()
    with pytest.raises(HomeError, match=r"sig-0\.key cannot be read"):
        read_home(home.path)


# --- the start -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("uri", [None, "http://" + "h" * 130 + ":1"])
def test_a_station_does_not_start_without_an_address(home: Home, uri: str | None) -> None:
    (home.path / "cups.uri").unlink()
    if uri is not None:
        home.write("cups.uri", uri)
    with pytest.raises(HomeError, match=r"no cups\.uri, cups-bak\.uri or cups-boot\.uri"):
        VirtualGateway(home, Scripted(NOTHING)).start()
    home.write("cups-boot.uri", "http://boot:1")
    VirtualGateway(home, Scripted(NOTHING)).start()


def test_an_interrupted_backup_of_the_tc_files_is_completed_as_well(home: Home) -> None:
    home.write("tc-temp.cpy", b"")
    home.write("tc-bak.key", b"half a copy")
    home.write("tc.uri", "wss://tc:1")
    VirtualGateway(home, Scripted(NOTHING)).start()
    assert home.read_uri("tc-bak") == "wss://tc:1"
    assert not (home.path / "tc-bak.key").exists()
    assert (home.path / "tc-bak.done").exists()
    assert not (home.path / "tc-temp.cpy").exists()


def test_a_renaming_that_cannot_be_completed_ends_the_start(home: Home) -> None:
    home.write("tc-temp.upd", b"")
    home.write("tc-temp.uri", "wss://tc:1")
    (home.path / "tc.uri").mkdir()
    with pytest.raises(HomeError, match="Failed to rename"):
        VirtualGateway(home, Scripted(NOTHING)).start()


def test_folders_in_place_of_temporary_files_are_left_alone(home: Home) -> None:
    for ending in ("upd", "uri", "key"):
        (home.path / f"cups-temp.{ending}").mkdir()
    (home.path / "cups-temp.upd").rmdir()
    assert VirtualGateway(home, Scripted(NOTHING)).poll().exchange is ExchangeOutcome.DONE


@pytest.mark.parametrize("script", [b"#!/no/such", b"#!/no/such\n", b"#! /no/such -x"])
def test_the_first_line_of_a_script_needs_no_line_end(script: bytes) -> None:
    assert exec_failure(script) == os.strerror(errno.ENOENT)


# --- the backup ----------------------------------------------------------------------------------------------------


def test_a_backup_that_fails_is_logged_and_tried_again_and_ends_the_next_start(home: Home) -> None:
    (home.path / "cups-bak.key").mkdir()
    gateway = VirtualGateway(home, Scripted(NOTHING, NOTHING, NOTHING))
    expected = f"[SYS:CRIT] Failed to unlink '{home.path}/cups-bak.key': Is a directory"
    for _ in range(2):
        result = gateway.poll()
        assert result.exchange is ExchangeOutcome.DONE
        assert expected in [str(line) for line in result.log]
    with pytest.raises(HomeError, match="Forward recovery"):
        VirtualGateway(home, Scripted(NOTHING)).start()
    (home.path / "cups-bak.key").rmdir()
    gateway.poll()
    assert home.read_uri("cups-bak") == "http://localhost:1"


def test_a_running_station_does_not_look_for_its_backup_again(home: Home) -> None:
    gateway = VirtualGateway(home, Scripted(NOTHING, NOTHING, NOTHING))
    gateway.poll()
    for name in ("cups-bak.uri", "cups-bak.done"):
        (home.path / name).unlink()
    gateway.poll()
    assert not (home.path / "cups-bak.uri").exists()
    gateway.start()
    gateway.poll()
    assert (home.path / "cups-bak.uri").exists()


# --- the identity --------------------------------------------------------------------------------------------------


def test_a_device_without_a_mac_address_is_passed_over(tmp_path: Path) -> None:
    addresses = {
        "bond0": "",
        "ib0": "80:00:02:08:fe:80:00:00:00:00:00:00:f4:52:14:03:00:7b:cb:a1",
        "ip6tnl0": "::",
        "sit0": "0.0.0.0",
        "wlan0": "02:00:00:00:00:07",
    }
    for device, address in addresses.items():
        (tmp_path / device).mkdir()
        (tmp_path / device / "address").write_text(address + "\n")
    assert default_mac(tmp_path) == "02:00:00:00:00:07"


@pytest.mark.parametrize(("content", "is_read"), [(b"11:22:33:44:55:66\n\0", True), (b"11:22:33:44:55:66\0x", False)])
def test_only_the_end_of_a_file_with_the_eui_is_trimmed(home: Home, content: bytes, is_read: bool) -> None:
    (home.path / "eui").write_bytes(content)
    home.write("station.conf", '{"station_conf": {"routerid": "eui"}}')
    if is_read:
        assert home.read_conf().eui.id6 == "1122:33ff:fe44:5566"
        return
    with pytest.raises(HomeError, match="routerid"):
        home.read_conf()


def test_a_tilde_has_no_meaning_in_the_path_of_the_eui(home: Home) -> None:
    (home.path / "eui").write_text("::7")
    home.write("station.conf", '{"station_conf": {"routerid": "~/eui"}}')
    with pytest.raises(HomeError, match="routerid"):
        home.read_conf()


# --- the names in the log ------------------------------------------------------------------------------------------


def test_the_log_names_the_set_of_files_whose_credentials_are_rejected(home: Home) -> None:
    home.write("cups-bak.trust", b"-")
    home.write("cups-bak.key", b"no header")
    with pytest.raises(TransportError) as caught:
        client_context(home.read_credentials("cups-bak"))
    assert str(caught.value.lines[-1]) == "[AIO:ERRO] cups-bak trust certificates rejected by MBedTLS"
    with pytest.raises(TransportError, match=r"^cups-bak contains malformed auth token"):
        auth_header_lines(home.read_credentials("cups-bak"))
    assert home.read_credentials("cups-bak") == Credentials(trust=b"-", key=b"no header")


def test_a_scheme_in_upper_case_uses_tls_and_logs_it(home: Home) -> None:
    home.write("cups.uri", "HTTPs://localhost:1")
    home.write("cups.trust", replacements({"cups.trust": b""})["cups.trust"])
    log = [str(line) for line in VirtualGateway(home, Scripted(NOTHING)).poll().log]
    assert "[AIO:INFO] cups has no key+cert configured - running server auth only" in log
