"""The recorded differences between a real Basics Station and lorafw are gone, except those listed here."""

from __future__ import annotations

from pathlib import Path

import pytest
from station_replay import (
    RECORDED_PORT,
    Case,
    Ports,
    judged,
    recorded_cases,
    replay_virtual,
    verdict_as_recorded,
    write_home,
)

from lorafw.station.exchange import Timers
from lorafw.station.log import Level

CASES = recorded_cases()
RECORDED_FILE_BYTES = 300
"""The recording has no more of a file."""

# Cases that still differ. A case that becomes equal must leave its list, because the marks are strict.

VIRTUAL_HOME_FILES = []


NOT_YET_EQUAL = {
    "virtual": frozenset(VIRTUAL_HOME_FILES),
    "judge": frozenset[str](),
}


def cases(client: str, chosen: list[Case]) -> list[object]:
    """Parameters for a test, with the cases that are known to differ marked."""
    known = NOT_YET_EQUAL[client]
    unknown = known - {case.id for case in chosen}
    assert not unknown, f"no such cases for {client}: {sorted(unknown)}"
    mark = pytest.mark.xfail(reason="differs from the real client", strict=True)
    return [pytest.param(case, id=case.id, marks=[mark] if case.id in known else []) for case in chosen]


@pytest.mark.parametrize("case", cases("virtual", CASES))
def test_the_virtual_gateway_does_what_the_real_client_did(case: Case, tmp_path: Path) -> None:
    seen = replay_virtual(case, tmp_path)
    if case.real_crashed:
        # The last lines of a client that crashes are lost with the buffer of its log.
        lost = [lines[: len(real)] for lines, real in zip(seen.logs, case.real_logs, strict=True)]
        assert lost == case.real_logs
    else:
        assert seen.logs == case.real_logs
    real_exchanges = [tuple(exchange.values()) for exchange in case.real["exchanges"]]
    assert seen.exchanges == real_exchanges
    assert seen.crashed is case.real_crashed
    assert files_of(case, seen.files) == case.real_files
    for request in case.real_requests:
        assert request in seen.requests


def files_of(case: Case, files: dict[str, bytes]) -> dict[str, bytes]:
    """The files as recorded: their first bytes, and not the certificates that stand for the recorded ones."""
    if not case.uses_tls:
        return {name: content[:RECORDED_FILE_BYTES] for name, content in files.items()}
    return {name: case.real_files.get(name, b"") for name in files}


@pytest.mark.parametrize("case", cases("judge", [case for case in CASES if case.is_for_judge]))
def test_judge_says_what_the_real_client_did(case: Case, tmp_path: Path) -> None:
    judgement = judged(case, timers_of(case, tmp_path))
    verdict = verdict_as_recorded(judgement, Level.INFO)
    real = case.real["verdict"]
    verbose_log = verdict_as_recorded(judgement, Level.VERBOSE)["log"]
    if case.polls > 1:
        # The verdict of the recording is on all exchanges, and ``judge`` knows the first.
        real = {**real, "exit_code": 143}
    elif case.real_crashed:
        verbose_log = verbose_log[: len(case.real_logs[0])]
        verdict["log"] = verdict["log"][: len(real["log"])]
    assert verdict == real
    assert verbose_log == case.real_logs[0]


def timers_of(case: Case, folder: Path) -> Timers:
    """The intervals of the case, read as a home folder is read."""
    return write_home(case, folder / "home", Ports(RECORDED_PORT, RECORDED_PORT)).read_conf().timers


def test_the_recording_has_the_cases_that_these_tests_run() -> None:
    assert len(CASES) > 50
    assert len({case.id for case in CASES}) == len(CASES)
