"""lorafw reads station.conf as the C functions of Basics Station 2.0.6 do. See data/README.md for the cases."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lorafw.station.conf import StationConf, StationConfError, parse_station_conf
from lorafw.text import decode_lossless, visible

CASES = json.loads((Path(__file__).parent.parent / "data" / "station-confs.json").read_text())["cases"]
MODULES = ["any", "RAL", "S2E", "WSS", "JSN", "AIO", "CUP", "SYS", "TCE", "HAL", "___", "SYN", "GPS", "SIM", "WEB"]
WORDS_OF_ITS_OWN = ("Illegal EUI", "Illegal log level")
"""What follows one of these is lorafw's explanation. The station says less, or nothing."""


def parse(case: Mapping[str, Any]) -> StationConf:
    environment = {name: decode_lossless(base64.b64decode(text)) for name, text in case["environment"].items()}
    return parse_station_conf(
        base64.b64decode(case["content"]),
        read_router_id=str,
        read_default_router_id=str,
        environment=environment,
    )


def described(conf: StationConf) -> dict[str, Any]:
    """Return what lorafw has read in the form of a case."""
    return {
        "outcome": "starts",
        "eui": conf.eui.hex,
        "oksync_us": round(conf.timers.oksync_s * 1e6),
        "resync_us": round(conf.timers.resync_s * 1e6),
        "conn_timeout_us": round(conf.timers.conn_timeout_s * 1e6),
        "buffer_bytes": conf.buffer_bytes,
        "tls_sni": conf.tls_sni,
        "log_levels": "".join(str(int(conf.log_levels.level_of(module))) for module in MODULES),
        "log": [str(line) for line in conf.log],
    }


def expected(case: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in case.items() if name not in {"content", "environment"}}


def cut_behind_words_of_its_own(text: str) -> str:
    for words in WORDS_OF_ITS_OWN:
        head, found, _ = text.partition(words)
        if found:
            return head + found
    return text


def test_a_station_conf_with_which_a_station_starts_gives_its_values_and_its_log() -> None:
    cases = [case for case in CASES if case["outcome"] == "starts"]
    different = [(want, got) for case in cases if (got := described(parse(case))) != (want := expected(case))]
    assert len(cases) > 100
    assert different == []


def test_a_station_conf_with_which_a_station_does_not_start_is_refused_for_the_same_reason() -> None:
    cases = [case for case in CASES if case["outcome"] == "refused"]
    reasons = [(case["error"], refusal(case)) for case in cases]
    different = [(want, got) for want, got in reasons if not is_same_reason(want, got)]
    assert len(cases) > 100
    assert different == []


def test_a_station_conf_that_crashes_a_station_is_refused_with_a_warning_of_the_crash() -> None:
    cases = [case for case in CASES if case["outcome"] == "crashes"]
    assert cases
    for case in cases:
        assert "A station crashes" in refusal(case)


def refusal(case: Mapping[str, Any]) -> str:
    """Return why lorafw refuses a station.conf, or "" if it reads it."""
    try:
        parse(case)
    except StationConfError as error:
        return str(error)
    return ""


def is_same_reason(want: str | None, got: str) -> bool:
    """Return whether lorafw refuses a file for the reason that the station logs. None means that it did not log any."""
    if want is None:
        return got != ""
    return cut_behind_words_of_its_own(got) == cut_behind_words_of_its_own(visible(want).removeprefix(": "))
