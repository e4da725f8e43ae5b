"""Faults by name: a gateway in trouble, and what the service sees of it. One testbed serves all tests here."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest
from beds import BROKEN_REPLY, by_name, causes, polls, wait_until_sent
from click.testing import CliRunner

from lorafw.cli import main
from lorafw.errors import FaultError, NotFound
from lorafw.eui import GatewayEui
from lorafw.faults import Fault
from lorafw.gateway.faults import injection, injector_class
from lorafw.gateway.faults.link import SlowLink
from lorafw.station.exchange import ExchangeOutcome, UpdateAction
from lorafw.tasks.lifecycle import Cause, TaskStatus
from lorafw.testbed import Testbed

NO_REQUEST = [Fault.SERVER_ERROR, Fault.OFFLINE, Fault.CONNECTION_REFUSED]
KEEPS_ITS_FIRMWARE = [
    Fault.TRUNCATED_BODY,
    Fault.WRONG_KEY,
    Fault.NO_KEY,
    Fault.UNSIGNED_WITH_KEY,
    Fault.TMP_FULL,
    Fault.SCRIPT_FAILS,
    Fault.POWER_CUT,
]
SPENT = [Cause.OFFERED, Cause.OLD_VERSION, Cause.OLD_VERSION, Cause.OLD_VERSION]


BY_NAME = {
    Fault.STORAGE_ERROR: TaskStatus.PENDING,
    **dict.fromkeys(NO_REQUEST),
    **dict.fromkeys(BROKEN_REPLY, TaskStatus.IN_PROGRESS),
    **{fault: TaskStatus.FAILED for fault in KEEPS_ITS_FIRMWARE if fault is not Fault.POWER_CUT},
    Fault.UPDATE_STAYS: TaskStatus.COMPLETED,
    Fault.POWER_CUT: TaskStatus.FAILED,
    Fault.VERSION_MISMATCH: TaskStatus.COMPLETED,
}
"""What each leaves of a task, in the order of the faults."""

EUIS = count(0x100)
NEVER_MS = 2**62
"""The next poll of a gateway whose test is over. Otherwise each test would poll the gateways of all tests before it."""


@pytest.fixture(scope="module")
def shared() -> Iterator[Testbed]:
    with Testbed(gateways=0) as bed:
        bed.define_update("1.0.1")
        yield bed


@pytest.fixture
def bed(shared: Testbed) -> Iterator[Testbed]:
    """A testbed with one gateway that nobody has heard of."""
    shared.gateways[:] = []
    shared.add_gateway(GatewayEui(next(EUIS)))
    yield shared
    for gateway in shared.gateways:
        gateway.next_poll_ms = NEVER_MS
    shared.gateways.clear()


@pytest.mark.parametrize("fault", NO_REQUEST, ids=by_name)
def test_trouble_on_the_way_there_shows_the_service_nothing(bed: Testbed, fault: Fault) -> None:
    bed.inject(fault, polls=1)
    (verdict,) = polls(bed, 1)
    assert (verdict.exchange, verdict.wait_s) == (ExchangeOutcome.FAILED, 60)
    assert causes(bed) == []
    assert bed.service.last_seen_ms(bed.owner, bed.gateways[0].id) is None
    bed.advance(300)
    assert bed.status() is TaskStatus.COMPLETED


@pytest.mark.parametrize("fault", BROKEN_REPLY, ids=by_name)
def test_a_reply_that_was_not_taken_whole_uses_no_attempt_up(bed: Testbed, fault: Fault) -> None:
    bed.inject(fault)
    assert {verdict.exchange for verdict in polls(bed, 5)} == {ExchangeOutcome.FAILED}
    assert causes(bed) == [Cause.OFFERED, Cause.REPLY_BROKEN] + [Cause.OFFERED_AGAIN, Cause.REPLY_BROKEN] * 4
    assert bed.status() is TaskStatus.IN_PROGRESS
    bed.heal()
    bed.advance(300)
    assert bed.status() is TaskStatus.COMPLETED


@pytest.mark.parametrize("fault", KEEPS_ITS_FIRMWARE, ids=by_name)
def test_an_update_that_was_sent_whole_and_does_not_take_effect_fails_at_the_fourth_poll(
    bed: Testbed, fault: Fault
) -> None:
    bed.inject(fault)
    polls(bed, 3)
    assert bed.status() is TaskStatus.SECOND_RETRY
    polls(bed, 1)
    assert causes(bed) == SPENT
    assert bed.status() is TaskStatus.FAILED
    assert bed.gateways[0].home.read_package_version() == "1.0.0"


@pytest.mark.parametrize(
    ("fault", "action", "word"),
    [
        (Fault.WRONG_KEY, UpdateAction.REFUSED, "No key could verify signature. Tried 1 keys"),
        (Fault.NO_KEY, UpdateAction.REFUSED, "No key could verify signature. Tried 0 keys"),
        (Fault.UNSIGNED_WITH_KEY, UpdateAction.REFUSED, "Keyfile present, but no signature provided. Aborting update."),
        (Fault.TMP_FULL, UpdateAction.NONE, "but failed to write (ignored)"),
        (Fault.SCRIPT_FAILS, UpdateAction.RUN, "prepare_versionp: command not found"),
        (Fault.TRUNCATED_BODY, UpdateAction.NONE, "[3] Error reading HTTP Body"),
        (Fault.LINK_DROP, UpdateAction.NONE, "[3] Connection closed unexpectedly"),
        (Fault.SLOW_LINK, UpdateAction.NONE, "CUPS timed out"),
        (Fault.OFFLINE, UpdateAction.NONE, "NET - Failed to get an IP address for the given hostname"),
        (Fault.CONNECTION_REFUSED, UpdateAction.NONE, "NET - The connection to the given server / port failed"),
        (Fault.SERVER_ERROR, UpdateAction.NONE, "Failed to retrieve TCURI from CUPS: (500) Internal Server Error"),
    ],
    ids=lambda value: value.value if isinstance(value, Fault) else "",
)
def test_the_station_says_of_its_trouble_what_a_station_says(
    bed: Testbed, fault: Fault, action: UpdateAction, word: str
) -> None:
    bed.inject(fault)
    (verdict,) = polls(bed, 1)
    assert verdict.update is action
    assert any(word in str(line) for line in verdict.log), verdict.log


def test_the_keys_of_the_fault_are_the_ones_that_the_gateway_presents(bed: Testbed) -> None:
    bed.inject("no-key")
    polls(bed, 1)
    assert "the gateway has no key" in str(bed.explain())


def test_a_power_cut_restarts_the_station_and_empties_its_tmp(bed: Testbed) -> None:
    bed.inject("power-cut", polls=1)
    (verdict,) = polls(bed, 1)
    assert verdict.wait_s < 1
    assert not (bed.gateways[0].home.tmp / "update.bin").exists()
    polls(bed, 2)
    assert causes(bed) == [Cause.OFFERED, Cause.OLD_VERSION, Cause.NEW_VERSION]


def test_an_update_that_stays_runs_again_at_every_start(bed: Testbed) -> None:
    bed.inject("update-stays")
    polls(bed, 2)
    assert bed.status() is TaskStatus.COMPLETED
    gateway = bed.gateways[0]
    gateway.home.write("version.txt", "2.0.0\n")
    polls(bed, 1)
    assert bed.service.presented_version(bed.owner, gateway.id).package == "2.0.0"
    for _ in range(2):
        gateway.home.write("version.txt", "2.0.0\n")
        gateway.virtual.start()
        polls(bed, 1)
        assert bed.service.presented_version(bed.owner, gateway.id).package == "1.0.1", "the old update ran again"


def test_a_body_that_is_cut_behind_the_server_counts_as_sent_over_a_socket(bed: Testbed) -> None:
    gateway = bed.add_gateway(GatewayEui(next(EUIS)), http=True)
    bed.inject("truncated-body", gateway, polls=1)
    assert bed.poll(gateway).exchange is ExchangeOutcome.FAILED
    wait_until_sent(bed, gateway)
    bed.poll(gateway)
    assert causes(bed, gateway) == [Cause.OFFERED, Cause.OLD_VERSION]


def test_a_link_is_too_slow_only_past_the_time_of_one_buffer(bed: Testbed) -> None:
    size = len(bed.client("s3").get_object(Bucket="iotwirelessfwupdate", Key="fwstation")["Body"].read())
    bed.gateways[0].virtual.inject(SlowLink(bytes_per_s=size))
    assert polls(bed, 1)[0].update is UpdateAction.RUN


def test_a_fault_holds_for_as_many_polls_as_were_asked_for(bed: Testbed) -> None:
    bed.inject(Fault.OFFLINE, polls=2)
    bed.inject(Fault.SERVER_ERROR, polls=1)
    virtual = bed.gateways[0].virtual
    assert virtual.faults == (Fault.OFFLINE, Fault.SERVER_ERROR)
    polls(bed, 1)
    assert virtual.faults == (Fault.OFFLINE,)
    polls(bed, 1)
    assert virtual.faults == ()


@pytest.mark.parametrize("fault", BY_NAME, ids=by_name)
def test_a_task_ends_with_the_status_that_its_fault_declares(bed: Testbed, fault: Fault) -> None:
    bed.inject(fault)
    bed.advance(600)
    try:
        left = bed.status()
    except NotFound:
        left = None
    assert left == injector_class(fault).expected_status == BY_NAME[fault]


def test_a_name_that_is_no_fault_is_answered_with_those_that_are() -> None:
    with pytest.raises(FaultError, match="link-drop") as caught:
        injection("link-dorp")
    assert caught.value.fault == "link-dorp"
    with pytest.raises(FaultError, match="at the server"):
        injection("storage-error")


def test_the_command_line_lists_the_faults_and_takes_them_by_name(tmp_path) -> None:
    from lorafw.gateway.provisioning import write_home

    heading, *listed = CliRunner().invoke(main, ["gateway", "faults"]).output.splitlines()
    assert heading.split()[0] == "FAULT"
    assert [line.split()[0] for line in listed] == [fault.value for fault in BY_NAME]
    assert [line.split()[1] for line in listed if "COMPLETED" in line] == ["COMPLETED"] * 2
    assert "use it on a Testbed, not with 'gateway run'" in listed[0]
    home = write_home(tmp_path / "home", eui=GatewayEui(7), cups_uri="http://localhost:9", package="1.0.0")
    ran = CliRunner().invoke(
        main, ["gateway", "run", str(home.path), "--polls", "2", "--interval", "0.01", "--fault", "server-error:1"]
    )
    assert "(500) Internal Server Error" in ran.output, ran.output
    refused = CliRunner().invoke(main, ["gateway", "run", str(home.path), "--fault", "link-dorp"])
    assert refused.exit_code == 1
    assert "there is no fault 'link-dorp'" in refused.output
