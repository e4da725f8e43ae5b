"""Clocks, the format in which AWS writes a time, and how a version matches the version that a gateway reports."""

from __future__ import annotations

import threading
import time
from dataclasses import FrozenInstanceError
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafw.clock import ManualClock, SystemClock, format_iso, parse_iso
from lorafw.version import GatewayVersion

DOCUMENTED_MS = 1615542972047
"""2021-03-12T09:56:12.047Z, from ``date -u -d 2021-03-12T09:56:12 +%s``."""
YEAR_10000_MS = 253402300800000
FIELDS = st.none() | st.sampled_from(["1.0.0", "1.0.1", "", "linux", "Linux", " 1.0.0", "1.0.0 "])
VERSIONS = st.builds(GatewayVersion, station=FIELDS, package=FIELDS, model=FIELDS)


@pytest.mark.parametrize(
    ("time_ms", "text"),
    [
        (DOCUMENTED_MS, "2021-03-12T09:56:12.047Z"),
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (951782400000, "2000-02-29T00:00:00.000Z"),
        (YEAR_10000_MS - 1, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_a_time_is_written_and_read_as_aws_does(time_ms: int, text: str) -> None:
    assert format_iso(time_ms) == text
    assert parse_iso(text) == time_ms


@given(st.integers(-(10**12), YEAR_10000_MS - 1))
def test_no_millisecond_is_lost_in_an_iso_time(time_ms: int) -> None:
    assert parse_iso(format_iso(time_ms)) == time_ms


def test_a_time_without_a_zone_is_utc_wherever_the_machine_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    for zone in ("UTC", "Asia/Tokyo", "America/New_York"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        assert parse_iso("2021-03-12T09:56:12.047") == DOCUMENTED_MS
        assert parse_iso("2021-03-12T10:56:12.047+01:00") == DOCUMENTED_MS
        assert format_iso(DOCUMENTED_MS) == "2021-03-12T09:56:12.047Z"
    monkeypatch.undo()
    time.tzset()


def test_the_system_clock_is_the_machine_s() -> None:
    before = time.time_ns() // 10**6
    shown = SystemClock().now_ms()
    assert before <= shown <= time.time_ns() // 10**6


def test_a_hand_clock_starts_at_the_documented_moment_and_stands() -> None:
    clock = ManualClock()
    assert clock.now_ms() == clock.now_ms() == DOCUMENTED_MS
    assert ManualClock("1970-01-01").now_ms() == 0


def test_a_hand_clock_moves_forward_only() -> None:
    clock = ManualClock("1970-01-01")
    assert clock.advance(1.5) == clock.now_ms() == 1500
    assert clock.advance(0) == 1500
    assert ManualClock("1970-01-01").advance(1.001) == 1001  # 1.001 * 1000 is a little less than 1001
    assert clock.advance_to(4000) == 4000
    assert clock.advance_to(3999) == 4000
    for wrong in (-0.001, float("-inf"), float("nan")):
        with pytest.raises(ValueError, match="forward only"):
            clock.advance(wrong)
    assert clock.now_ms() == 4000


def test_no_step_is_lost_when_threads_turn_the_same_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    # A name of this module hides the builtin of the clock's: a call in the middle of a step, where threads change.
    monkeypatch.setattr("lorafw.clock.round", lambda step: time.sleep(0) or round(step), raising=False)
    clock = ManualClock("1970-01-01")
    seen: list[list[int]] = []

    def turn() -> None:
        seen.append([clock.advance(0.001) for _ in range(500)])

    threads = [threading.Thread(target=turn) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock.now_ms() == 2000
    assert len({moment for moments in seen for moment in moments}) == 2000
    assert all(earlier < later for moments in seen for earlier, later in pairwise(moments))


PRESENTED = GatewayVersion(station="2.0.5(rpi/std) 2021-03-09 03:45:09", package="1.0.0", model="rpi")


@pytest.mark.parametrize(
    ("wanted", "accepted"),
    [
        (PRESENTED, True),
        (GatewayVersion(), True),
        (GatewayVersion(package="1.0.0"), True),
        (GatewayVersion(package="1.0.0", model="rpi"), True),
        (GatewayVersion(package="1.0.1"), False),
        (GatewayVersion(package="1.0"), False),
        (GatewayVersion(package="1.0.0 "), False),
        (GatewayVersion(package=""), False),
        (GatewayVersion(model="RPI"), False),
        (GatewayVersion(station="1.0.0"), False),
        (GatewayVersion(package="1.0.0", model="linux"), False),
    ],
)
def test_a_version_accepts_what_equals_it_in_every_field_that_it_gives(wanted: GatewayVersion, accepted: bool) -> None:
    assert wanted.accepts(PRESENTED) is accepted


def test_a_gateway_without_version_txt_matches_no_wanted_package() -> None:
    assert not GatewayVersion(package="").accepts(GatewayVersion(package=None))
    assert GatewayVersion(model="rpi").accepts(GatewayVersion(model="rpi"))


def test_the_documented_current_version_is_read_and_written_in_the_documented_order() -> None:
    documented = {"PackageVersion": "1.0.0", "Model": "rpi", "Station": "2.0.5(rpi/std) 2021-03-09 03:45:09"}
    assert GatewayVersion.from_aws(documented) == PRESENTED
    assert list(PRESENTED.to_aws().items()) == list(documented.items())


def test_an_empty_field_is_given_and_a_missing_one_is_not() -> None:
    version = GatewayVersion(package="")
    assert version.to_aws() == {"PackageVersion": ""}
    assert GatewayVersion.from_aws(version.to_aws()) == version
    assert not version.is_complete
    assert PRESENTED.is_complete
    assert str(version) == "PackageVersion=''"
    assert str(GatewayVersion()) == "no version"


def test_a_version_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        PRESENTED.package = "1.0.1"  # type: ignore[misc]


@given(VERSIONS, VERSIONS)
def test_matching_is_equality_where_something_is_asked_for(wanted: GatewayVersion, presented: GatewayVersion) -> None:
    asked = wanted.to_aws()
    shown = presented.to_aws()
    assert wanted.accepts(presented) == all(shown.get(name) == value for name, value in asked.items())
    assert GatewayVersion.from_aws(shown) == presented
    assert wanted.accepts(wanted)
