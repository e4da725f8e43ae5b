"""Which HTTP requests the servers admit: known Host names, no foreign Origin, no cross-site request."""

from __future__ import annotations

import pytest

from lorafw.server.admission import Denial, HostNames, RequestSource, decide, decide_without_browsers

NAMES = HostNames(["lab.example", "192.168.1.5", "fd00::5"])


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:5000",
        "LOCALHOST:5000",
        "localhost.",
        "127.0.0.1:5000",
        "127.8.9.10",
        "[::1]:5000",
        "bucket.localhost:5000",
        "my.dotted.bucket.s3.localhost:5000",
        "my_bucket.localhost",
        "lab.example:5000",
        "bucket.lab.example",
        "192.168.1.5:5000",
        "[fd00::5]:5000",
    ],
)
def test_a_name_of_this_machine_is_admitted(host: str) -> None:
    assert decide(RequestSource(host), NAMES) is None


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        ":5000",
        "evil.example:5000",
        "localhost.evil.example",
        "evillocalhost",
        "127.0.0.1.evil.example",
        "127.0.0.1.nip.io:5000",
        "notlab.example",
        "192.168.1.6",
        "0.0.0.0:5000",
        "[::]:5000",
        "169.254.169.254",
        "2130706433",
        "[::1",
        "localhost:5000@evil.example",
        "localhost/evil",
        "localhost:999999",
        "localhost\r\nX: y",
    ],
)
def test_any_other_name_is_refused(host: str | None) -> None:
    assert decide(RequestSource(host), NAMES) is Denial.HOST


@pytest.mark.parametrize("name", ["0.0.0.0", "::"])
def test_the_address_of_all_interfaces_adds_no_name(name: str) -> None:
    assert decide(RequestSource("0.0.0.0"), HostNames([name])) is Denial.HOST
    assert decide(RequestSource("[::]"), HostNames([name])) is Denial.HOST
    assert decide(RequestSource("evil.example"), HostNames([name])) is Denial.HOST


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "http://127.0.0.1:8888", "http://localhost:5000", "null", "", "file://", "http://["],
)
def test_a_foreign_origin_is_refused(origin: str) -> None:
    assert decide(RequestSource("127.0.0.1:5000", origin), NAMES) is Denial.ORIGIN


def test_the_servers_own_origin_is_admitted() -> None:
    assert decide(RequestSource("127.0.0.1:5000", "http://127.0.0.1:5000", "same-origin"), NAMES) is None


@pytest.mark.parametrize(("site", "denial"), [("none", None), ("same-origin", None), ("same-site", Denial.SITE)])
def test_only_a_request_of_the_same_site_or_of_a_person_is_admitted(site: str, denial: Denial | None) -> None:
    assert decide(RequestSource("127.0.0.1:5000", None, site), NAMES) is denial
    assert decide(RequestSource("127.0.0.1:5000", None, "cross-site"), NAMES) is Denial.SITE


def test_a_server_without_browsers_refuses_even_its_own_pages() -> None:
    own = RequestSource("127.0.0.1:8080", "http://127.0.0.1:8080", "same-origin")
    assert decide_without_browsers(own, NAMES) is Denial.BROWSER
    assert decide_without_browsers(RequestSource("127.0.0.1:8080", None, "none"), NAMES) is Denial.BROWSER
    assert decide_without_browsers(RequestSource("127.0.0.1:8080"), NAMES) is None
    assert decide_without_browsers(RequestSource("evil.example"), NAMES) is Denial.HOST
