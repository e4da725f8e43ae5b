"""The update service with a manual clock: gateways poll, and tasks change or stay."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from types import SimpleNamespace

import pytest
from fakes import DAY_S, FIRMWARE, HOUR_S, NEW, OLD, OTHER, OWNER, STRANGER, FakeImage, FakeSource, World, snapshot

from lorafw.clock import ManualClock, format_iso
from lorafw.cups.messages import EMPTY_RESPONSE, UpdateInfoRequest
from lorafw.errors import (
    AccessDenied,
    Conflict,
    FirmwareError,
    InvalidValue,
    NoSuchObject,
    NotFound,
    RoleNotTrusted,
    SourceUnavailable,
    TaskError,
)
from lorafw.eui import GatewayEui
from lorafw.iotwireless.cloudformation.resources import change_definition
from lorafw.iotwireless.serializers import read_update
from lorafw.server.refusals import error_response
from lorafw.tasks.lifecycle import Cause, TaskStatus
from lorafw.tasks.model import NO_VERSION, Definition, Gateway, Reply, UpdateSpec
from lorafw.tasks.policy import Policy
from lorafw.tasks.service import UpdateService
from lorafw.version import GatewayVersion

PENDING, IN_PROGRESS, FIRST_RETRY, SECOND_RETRY, COMPLETED, FAILED = TaskStatus
RUNNING = [IN_PROGRESS, FIRST_RETRY, SECOND_RETRY]

NO_PACKAGE = replace(OLD, package=None)
ROLE = "arn:aws:iam::123456789012:role/update"


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def gateway(world: World) -> Gateway:
    return world.gateway()


@pytest.fixture
def definition(world: World) -> Definition:
    return world.definition()


def causes(world: World, gateway: Gateway | None = None) -> list[str]:
    return [str(row.cause) for row in world.service.log if gateway is None or row.gateway == gateway.eui.hex]


def refused(world: World, call: Callable[[], object], error: type[TaskError]) -> TaskError:
    """The call is refused, and nothing that can be seen has changed."""
    before = snapshot(world)
    with pytest.raises(error) as caught:
        call()
    assert snapshot(world) == before
    return caught.value


# --- the documented path ------------------------------------------------------------------------------------------


def test_the_documented_update_is_in_progress_at_the_first_get_and_completed_when_it_has_taken_effect(world):
    gateway = world.gateway(name="documented")
    definition = world.definition(update_version=NEW, data_role=ROLE)
    assert not world.has_task(gateway)

    reply = world.answer(gateway)
    assert reply.image.read() == FIRMWARE.encode()
    task = world.task(gateway)
    assert (task.status, task.definition, task.automatic) == (IN_PROGRESS, definition, True)
    assert format_iso(task.created_ms) == "2021-03-12T09:56:12.047Z"
    world.service.finish_reply(reply, delivered=True)
    assert world.task(gateway).sends == 1

    world.clock.advance(10)
    assert not world.poll(gateway, NEW)
    assert world.status(gateway) is COMPLETED
    assert format_iso(world.service.last_seen_ms(OWNER, gateway.id)) == "2021-03-12T09:56:22.047Z"
    assert world.source.opened == [(FIRMWARE, ROLE, OWNER.account, OWNER.region)]


def test_the_log_tells_the_whole_story(world, gateway, definition):
    for version in (OLD, OLD, NEW):
        world.poll(gateway, version)
        world.clock.advance(DAY_S)
    world.service.delete_task(OWNER, gateway.id)
    start, day = ManualClock().now_ms(), DAY_S * 1000
    rows = [(r.time, r.attempt, r.from_status, r.to_status, str(r.cause)) for r in world.service.log]
    assert rows == [
        (start, 0, None, PENDING, "created automatically"),
        (start, 1, PENDING, IN_PROGRESS, "offered"),
        (start + day, 2, IN_PROGRESS, FIRST_RETRY, "still presents the old version"),
        (start + 2 * day, 2, FIRST_RETRY, COMPLETED, "presents the new version"),
        (start + 3 * day, 2, COMPLETED, None, "deleted"),
    ]
    assert {row.gateway for row in world.service.log} == {"000000000000000a"}


def test_three_sends_without_effect_fail_at_the_fourth_poll_where_nothing_is_sent(world, gateway, definition):
    seen = []
    for _ in range(6):
        sent = world.poll(gateway)
        seen.append((sent, str(world.status(gateway)), world.task(gateway).sends))
        world.clock.advance(HOUR_S)
    assert seen == [
        (True, "IN_PROGRESS", 1),
        (True, "FIRST_RETRY", 2),
        (True, "SECOND_RETRY", 3),
        (False, "FAILED", 3),
        (False, "FAILED", 3),
        (False, "FAILED", 3),
    ]


def test_the_reply_carries_the_signature_and_its_key_crc(world, gateway):
    world.definition(signature=b"der", sig_key_crc=0xCCB1E5EA)
    reply = world.answer(gateway)
    assert (reply.response.signature, reply.response.key_crc) == (b"der", 0xCCB1E5EA)


def test_without_a_signature_there_is_no_key_crc_either(world, gateway):
    world.definition(sig_key_crc=5)
    assert world.answer(gateway).response == EMPTY_RESPONSE


# --- when a task is created ---------------------------------------------------------------------------------------


def test_no_task_is_created_at_definition_time_even_where_the_version_is_known(world, gateway):
    world.poll(gateway)
    world.definition()
    assert not world.has_task(gateway)
    world.poll(gateway)
    assert world.status(gateway) is IN_PROGRESS


@pytest.mark.parametrize(
    "presented",
    [NEW, NO_PACKAGE, replace(OLD, model="Linux"), replace(OLD, package="1.0.0 "), replace(OLD, station="2.0.4")],
    ids=str,
)
def test_a_gateway_that_differs_in_a_field_gets_nothing(world, gateway, definition, presented):
    assert not world.poll(gateway, presented)
    assert not world.has_task(gateway)
    assert world.service.log == []


@pytest.mark.parametrize("current", [NO_VERSION, replace(OLD, model=None), replace(OLD, package=None)], ids=str)
def test_a_definition_that_leaves_out_a_field_creates_no_task(world, gateway, current):
    world.definition(current)
    for presented in (OLD, NO_PACKAGE):
        assert not world.poll(gateway, presented)
        assert not world.has_task(gateway)


def test_without_auto_create_tasks_no_task_is_created(world, gateway):
    world.definition(auto=False)
    assert not world.poll(gateway)
    assert not world.has_task(gateway)


def test_the_oldest_of_several_definitions_wins_and_the_next_when_it_is_deleted(world, gateway):
    first, second = world.definition(), world.definition()
    world.poll(gateway)
    assert world.task(gateway).definition == first
    world.service.delete_task(OWNER, gateway.id)
    world.service.delete_definition(OWNER, first.id)
    world.poll(gateway)
    assert world.task(gateway).definition == second


def test_a_definition_without_data_source_makes_a_task_that_is_pending_for_ever(world, gateway):
    world.definition(source=None)
    for _ in range(5):
        assert not world.poll(gateway)
        assert world.status(gateway) is PENDING
        world.clock.advance(100 * DAY_S)
    assert causes(world) == ["created automatically"]
    assert world.source.opened == []


def test_a_definition_without_update_makes_no_task_and_by_hand_one_that_is_pending_for_ever(world, gateway):
    definition = world.service.create_definition(OWNER, auto_create_tasks=True)
    world.poll(gateway)
    assert not world.has_task(gateway)
    world.service.create_task(OWNER, gateway.id, definition.id)
    assert not world.poll(gateway)
    assert world.status(gateway) is PENDING


@pytest.mark.parametrize("status", [*RUNNING, COMPLETED, FAILED])
def test_a_task_in_any_status_keeps_another_from_being_made(world, status):
    gateway = world.in_status(status)
    later = world.definition(NEW)
    for version in (OLD, NEW, OLD):
        world.poll(gateway, version)
        assert world.task(gateway).definition != later
    assert causes(world).count("created automatically") == 1


def test_a_deleted_task_comes_back_at_the_next_request_only(world, gateway, definition):
    world.poll(gateway)
    world.service.delete_task(OWNER, gateway.id)
    world.clock.advance(DAY_S)
    assert not world.has_task(gateway)
    assert world.poll(gateway)
    assert (world.status(gateway), world.task(gateway).sends) == (IN_PROGRESS, 1)
    assert world.task(gateway).created_ms == world.clock.now_ms()


def test_a_deleted_task_does_not_come_back_once_its_definition_is_deleted(world, gateway, definition):
    world.poll(gateway)
    world.service.delete_definition(OWNER, definition.id)
    world.service.delete_task(OWNER, gateway.id)
    assert not world.poll(gateway)
    assert not world.has_task(gateway)


def test_a_deleted_task_does_not_come_back_while_the_gateway_presents_another_version(world, gateway, definition):
    world.poll(gateway)
    world.poll(gateway, NEW)
    world.service.delete_task(OWNER, gateway.id)
    assert not world.poll(gateway, NEW)
    assert not world.has_task(gateway)
    assert world.poll(gateway, OLD)


def test_a_deleted_definition_leaves_its_running_task(world, gateway, definition):
    world.poll(gateway)
    world.service.delete_definition(OWNER, definition.id)
    assert world.poll(gateway)
    assert world.status(gateway) is FIRST_RETRY
    assert world.task(gateway).definition == definition
    world.poll(gateway, NEW)
    assert world.status(gateway) is COMPLETED


# --- manual tasks -------------------------------------------------------------------------------------------------


def test_a_manual_task_is_pending_until_its_version_is_presented(world, gateway):
    definition = world.definition(auto=False)
    task = world.service.create_task(OWNER, gateway.id, definition.id)
    assert (task.status, task.automatic, task.created_ms) == (PENDING, False, world.clock.now_ms())
    for version in (NEW, OTHER, NO_PACKAGE, replace(OLD, model="LINUX")):
        assert not world.poll(gateway, version)
        assert world.status(gateway) is PENDING
        world.clock.advance(100 * DAY_S)
    assert world.poll(gateway, OLD)
    assert causes(world) == ["created manually", "offered"]


@pytest.mark.parametrize(
    ("current", "presented"),
    [
        (GatewayVersion(package="1.0.0"), GatewayVersion("other", "1.0.0", "other")),
        (GatewayVersion(model="linux"), NO_PACKAGE),
        (NO_VERSION, GatewayVersion()),
    ],
)
def test_for_a_manual_task_only_the_fields_that_are_given_count(world, gateway, current, presented):
    definition = world.definition(current, auto=False)
    world.service.create_task(OWNER, gateway.id, definition.id)
    assert world.poll(gateway, presented)


def test_a_manual_task_waits_for_the_next_request_though_the_version_is_known(world, gateway):
    world.poll(gateway)
    definition = world.definition(auto=False)
    world.service.create_task(OWNER, gateway.id, definition.id)
    assert world.status(gateway) is PENDING
    assert world.poll(gateway)


@pytest.mark.parametrize("status", [*RUNNING, COMPLETED, FAILED])
def test_a_second_task_is_a_conflict_in_any_status_until_the_first_is_deleted(world, status):
    gateway = world.in_status(status)
    other = world.definition(NEW, auto=False)
    error = refused(world, lambda: world.service.create_task(OWNER, gateway.id, other.id), Conflict)
    assert (error.resource_type, error.resource_id) == ("WirelessGateway", gateway.id)
    assert str(status) in str(error)
    assert "DeleteWirelessGatewayTask" in str(error)
    world.service.delete_task(OWNER, gateway.id)
    assert world.service.create_task(OWNER, gateway.id, other.id).definition == other


def test_a_second_task_is_a_conflict_also_while_the_first_is_pending(world, gateway):
    definition = world.definition(NEW, auto=False)
    world.service.create_task(OWNER, gateway.id, definition.id)
    refused(world, lambda: world.service.create_task(OWNER, gateway.id, definition.id), Conflict)


@pytest.mark.parametrize("status", [*RUNNING, COMPLETED, FAILED])
def test_a_task_can_be_deleted_in_any_status(world, status):
    gateway = world.in_status(status)
    world.service.delete_task(OWNER, gateway.id)
    assert not world.has_task(gateway)
    error = refused(world, lambda: world.service.task(OWNER, gateway.id), NotFound)
    assert error.resource_type == "WirelessGatewayTask"
    refused(world, lambda: world.service.delete_task(OWNER, gateway.id), NotFound)


# --- another version than either ----------------------------------------------------------------------------------


@pytest.mark.parametrize("other", [OTHER, NO_PACKAGE, replace(OLD, model="linux ")], ids=str)
def test_each_request_with_neither_version_is_a_failed_attempt_and_sends_nothing(world, gateway, other):
    world.definition(update_version=NEW)
    assert world.poll(gateway)
    seen = []
    for _ in range(4):
        assert not world.poll(gateway, other)
        seen.append(str(world.status(gateway)))
    assert seen == ["FIRST_RETRY", "SECOND_RETRY", "FAILED", "FAILED"]
    assert world.task(gateway).sends == 1
    assert causes(world)[2:] == ["presents neither the old nor the new version"] * 3


def test_back_at_the_old_version_the_send_of_that_attempt_goes_out_without_a_further_step(world, gateway):
    world.definition(update_version=NEW)
    world.poll(gateway)
    world.poll(gateway, OTHER)
    assert world.poll(gateway, OLD)
    assert (world.status(gateway), world.task(gateway).sends) == (FIRST_RETRY, 2)
    assert causes(world)[-1] == "offered again"
    assert world.poll(gateway, OLD)
    assert (world.status(gateway), world.task(gateway).sends) == (SECOND_RETRY, 3)


def test_neither_version_counts_for_nothing_while_a_send_was_broken(world, gateway):
    world.definition(update_version=NEW)
    world.poll(gateway, whole=False)
    for _ in range(5):
        assert not world.poll(gateway, OTHER)
        assert world.status(gateway) is IN_PROGRESS
    assert world.poll(gateway, OLD)
    assert (world.status(gateway), world.task(gateway).sends) == (IN_PROGRESS, 1)


def test_the_new_version_completes_also_after_neither_version(world, gateway):
    world.definition(update_version=NEW)
    for version in (OLD, OTHER, NEW):
        world.poll(gateway, version)
    assert world.status(gateway) is COMPLETED


def test_an_update_version_without_any_field_is_none(world, gateway):
    world.definition(update_version=NO_VERSION)
    assert [world.poll(gateway) for _ in range(4)] == [True, True, True, False]
    assert world.status(gateway) is FAILED


# --- silence ------------------------------------------------------------------------------------------------------


def second_retry(world: World) -> tuple[Gateway, int]:
    """A gateway in SECOND_RETRY, and its deadline."""
    gateway = world.gateway()
    world.definition()
    for _ in range(3):
        world.clock.advance(DAY_S)
        world.poll(gateway)
    return gateway, world.clock.now_ms() + 48 * HOUR_S * 1000


@pytest.mark.parametrize("looked_at_s", [0, 0.001, 1, 1000 * DAY_S])
def test_silence_is_dated_at_its_deadline_whenever_somebody_looks(world, looked_at_s):
    gateway, deadline = second_retry(world)
    world.clock.advance_to(deadline)
    world.clock.advance(looked_at_s)
    row = world.service.log[-1]
    assert (row.time, row.attempt, row.from_status, row.to_status) == (deadline, 3, SECOND_RETRY, FAILED)
    assert row.cause is Cause.SILENCE
    assert world.status(gateway) is FAILED


def test_one_millisecond_before_the_deadline_nothing_has_ended(world):
    gateway, deadline = second_retry(world)
    world.clock.advance_to(deadline - 1)
    assert world.status(gateway) is SECOND_RETRY
    assert not world.poll(gateway, NEW)
    assert world.status(gateway) is COMPLETED


def test_a_request_at_the_deadline_comes_too_late(world):
    gateway, deadline = second_retry(world)
    world.clock.advance_to(deadline)
    assert not world.poll(gateway, NEW)
    assert world.status(gateway) is FAILED


def test_each_request_moves_the_deadline_also_one_that_counts_for_nothing():
    world = World(settle_s=40 * HOUR_S)
    gateway = world.gateway()
    world.definition()
    world.poll(gateway)
    for _ in range(2):
        world.clock.advance(40 * HOUR_S)
        world.poll(gateway)
    world.clock.advance(30 * HOUR_S)
    assert not world.poll(gateway)
    deadline = world.clock.now_ms() + 48 * HOUR_S * 1000
    world.clock.advance(47 * HOUR_S)
    assert world.status(gateway) is SECOND_RETRY
    world.clock.advance(1000 * HOUR_S)
    assert world.service.log[-1].time == deadline


def test_a_request_during_the_last_send_moves_the_deadline_too(world):
    gateway = world.gateway()
    world.definition()
    for _ in range(2):
        world.poll(gateway)
    reply = world.answer(gateway)
    assert world.status(gateway) is SECOND_RETRY
    world.clock.advance(HOUR_S)
    assert not world.poll(gateway)
    deadline = world.clock.now_ms() + 48 * HOUR_S * 1000
    world.service.finish_reply(reply, delivered=True)
    world.clock.advance(47 * HOUR_S)
    assert world.status(gateway) is SECOND_RETRY
    world.clock.advance(1000 * HOUR_S)
    assert world.status(gateway) is FAILED
    assert world.service.log[-1].time == deadline


@pytest.mark.parametrize("then", ["silence", "broken again", "unreadable"])
def test_silence_also_ends_a_last_attempt_whose_send_never_went_out_whole(world, gateway, definition, then):
    for whole in (True, True, False):
        world.poll(gateway, whole=whole)
    world.clock.advance(HOUR_S)
    if then == "broken again":
        assert world.poll(gateway, whole=False)
    if then == "unreadable":
        world.source.trouble = NoSuchObject("gone")
        assert not world.poll(gateway)
    world.clock.advance(48 * HOUR_S - 1 - (HOUR_S if then == "silence" else 0))
    assert world.status(gateway) is SECOND_RETRY
    world.clock.advance(1)
    assert world.status(gateway) is FAILED


def test_silence_ends_no_earlier_status(world):
    for eui, polls in [(1, 1), (2, 2)]:
        gateway = world.gateway(eui)
        world.definition()
        for _ in range(polls):
            world.poll(gateway)
    world.clock.advance(1000 * DAY_S)
    assert [world.status(g) for g in world.service.gateways(OWNER)] == [IN_PROGRESS, FIRST_RETRY]


def test_silences_of_many_gateways_are_logged_in_the_order_of_their_time(world):
    world.definition()
    gateways = [world.gateway(eui) for eui in range(1, 6)]
    for _ in range(3):
        for gateway in gateways:
            world.clock.advance(HOUR_S)
            world.poll(gateway)
    world.clock.advance(50 * HOUR_S)
    world.poll(world.gateway(99))
    world.clock.advance(1000 * HOUR_S)
    world.service.delete_gateway(OWNER, gateways[0].id)
    times = [row.time for row in world.service.log]
    assert times == sorted(times)
    assert causes(world).count("silent after the last retry") == 5


@pytest.mark.parametrize("forget", ["delete_task", "delete_gateway", "forget", "create_task"])
def test_whatever_looks_first_finds_the_silence_in_the_log(world, forget):
    gateway, deadline = second_retry(world)
    world.clock.advance(100 * DAY_S)
    now = world.clock.now_ms()
    match forget:
        case "forget":
            world.service.forget(OWNER)
        case "create_task":
            with pytest.raises(Conflict):
                world.service.create_task(OWNER, gateway.id, world.definition().id)
            world.service.delete_task(OWNER, gateway.id)
        case _:
            getattr(world.service, forget)(OWNER, gateway.id)
    rows = [(row.time, row.from_status, row.to_status) for row in world.service.log[-2:]]
    assert rows == [(deadline, SECOND_RETRY, FAILED), (now, FAILED, None)]


def test_the_task_that_follows_is_not_ended_by_the_deadline_of_the_one_before(world):
    gateway, deadline = second_retry(world)
    world.service.delete_task(OWNER, gateway.id)
    world.poll(gateway)
    world.clock.advance_to(deadline)
    world.clock.advance(DAY_S)
    assert world.status(gateway) is IN_PROGRESS


def test_silence_is_not_counted_from_before_the_last_retry_began():
    world = World(silence_timeout_s=60)
    gateway = world.gateway()
    world.definition()
    for _ in range(2):
        world.poll(gateway)
    due = world.receive(gateway)
    world.clock.advance(100)  # so long it takes to read the update
    reply = world.service.start_reply(due, FakeImage(b"update"))
    began = world.clock.now_ms()
    assert world.status(gateway) is SECOND_RETRY
    world.service.finish_reply(reply, delivered=True)
    world.clock.advance(100)
    assert world.status(gateway) is FAILED
    times = [row.time for row in world.service.log]
    assert times[-1] == began + 60_000
    assert times == sorted(times)


def test_without_any_patience_the_last_retry_ends_at_once_and_the_log_stays_in_order():
    world = World(silence_timeout_s=0)
    gateway = world.gateway()
    world.definition()
    assert [world.poll(gateway) for _ in range(3)] == [True] * 3
    assert world.status(gateway) is FAILED
    assert causes(world)[-1] == "silent after the last retry"


def test_a_gateway_that_falls_silent_while_the_update_is_read_is_not_sent_it(world, gateway, definition):
    for whole in (True, True, False):
        world.poll(gateway, whole=whole)
    due = world.receive(gateway)
    world.clock.advance(48 * HOUR_S)
    assert world.service.start_reply(due, FakeImage(b"update")).image is None
    assert world.status(gateway) is FAILED
    assert not world.poll(gateway)


# --- broken replies -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("breaks", [1, 3, 10])
@pytest.mark.parametrize("status", RUNNING)
def test_a_broken_reply_uses_up_nothing_however_often(world, gateway, definition, status, breaks):
    for _ in range(RUNNING.index(status)):
        world.poll(gateway)
    for _ in range(breaks):
        assert world.poll(gateway, whole=False)
        assert world.status(gateway) is status
        world.clock.advance(60)
    assert world.poll(gateway)
    assert (world.status(gateway), world.task(gateway).sends) == (status, RUNNING.index(status) + 1)


def test_broken_replies_stand_in_the_log(world, gateway, definition):
    for whole in (False, False, True):
        world.poll(gateway, whole=whole)
    assert causes(world) == [
        "created automatically",
        "offered",
        "reply not wholly written",
        "offered again",
        "reply not wholly written",
        "offered again",
    ]
    assert all(row.from_status is row.to_status is IN_PROGRESS for row in world.service.log[2:])


def test_the_first_offer_counts_from_the_beginning_of_the_reply(world, gateway, definition):
    due = world.receive(gateway)
    assert world.status(gateway) is PENDING
    reply = world.service.start_reply(due, FakeImage(b"update"))
    assert world.status(gateway) is IN_PROGRESS
    assert world.task(gateway).sends == 0
    world.service.finish_reply(reply, delivered=False)
    assert (world.status(gateway), world.task(gateway).sends) == (IN_PROGRESS, 0)


def test_a_reply_is_finished_once(world, gateway, definition):
    reply = world.answer(gateway)
    world.service.finish_reply(reply, delivered=True)
    before = snapshot(world)
    world.service.finish_reply(reply, delivered=True)
    world.service.finish_reply(reply, delivered=False)
    world.service.finish_reply(Reply(), delivered=True)
    assert snapshot(world) == before


# --- the settle time ----------------------------------------------------------------------------------------------


def test_within_the_settle_time_a_request_gets_nothing_and_counts_for_nothing():
    world = World(settle_s=600)
    gateway = world.gateway()
    world.definition(update_version=NEW)
    reply = world.answer(gateway)
    world.clock.advance(30)
    world.service.finish_reply(reply, delivered=True)
    for version in (OLD, OTHER, NEW, NO_PACKAGE):
        world.clock.advance(100)
        assert not world.poll(gateway, version)
        assert world.status(gateway) is IN_PROGRESS
    world.clock.advance(199.999)
    assert not world.poll(gateway)
    world.clock.advance(0.001)
    assert world.poll(gateway)
    assert world.status(gateway) is FIRST_RETRY


def test_without_a_settle_time_the_very_next_request_counts(world, gateway, definition):
    assert world.poll(gateway)
    assert world.poll(gateway)
    assert world.status(gateway) is FIRST_RETRY


def test_after_a_broken_reply_there_is_no_settle_time():
    world = World(settle_s=600)
    gateway = world.gateway()
    world.definition()
    world.poll(gateway, whole=False)
    assert world.poll(gateway)


def test_what_is_presented_within_the_settle_time_is_still_the_firmware_information():
    world = World(settle_s=600)
    gateway = world.gateway()
    world.definition()
    world.poll(gateway)
    world.poll(gateway, NEW)
    assert world.service.presented_version(OWNER, gateway.id) == NEW


# --- two requests at once -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("second", [OLD, NEW, OTHER], ids=str)
def test_a_request_while_the_update_is_read_gets_nothing(world, gateway, definition, second):
    due = world.receive(gateway)
    assert not world.poll(gateway, second)
    assert world.status(gateway) is PENDING
    assert world.service.start_reply(due, FakeImage(b"update")).image is not None
    assert world.task(gateway).offered_version == OLD


@pytest.mark.parametrize("second", [OLD, NEW, OTHER], ids=str)
def test_a_request_while_the_update_is_written_gets_nothing_and_counts_for_nothing(world, gateway, second):
    world.definition(update_version=NEW)
    reply = world.answer(gateway)
    assert not world.poll(gateway, second)
    assert (world.status(gateway), world.task(gateway).sends) == (IN_PROGRESS, 0)
    world.service.finish_reply(reply, delivered=True)
    assert (world.status(gateway), world.task(gateway).sends) == (IN_PROGRESS, 1)
    assert world.service.presented_version(OWNER, gateway.id) == second


@pytest.mark.parametrize("polls", [0, 1, 2])
def test_of_many_requests_at_once_in_any_attempt_one_is_offered(world, gateway, definition, polls):
    for _ in range(polls):
        world.poll(gateway)
    dues = [world.service.receive_request(world.request(gateway)) for _ in range(5)]
    assert [due is not None for due in dues] == [True, False, False, False, False]


def test_two_gateways_do_not_hold_up_each_other(world, definition):
    first, second = world.gateway(1), world.gateway(2)
    world.receive(first)
    assert world.poll(second)


def test_the_lock_is_not_held_while_the_update_is_read(world, gateway, definition):
    other = world.gateway(2)
    seen = []

    class Nosy(FakeSource):
        def open(self, *args, **owner):
            asking = threading.Thread(target=lambda: seen.append(world.poll(other, NEW)))
            asking.start()
            asking.join(10)
            return super().open(*args, **owner)

    world.service.source = Nosy()
    assert world.poll(gateway)
    assert seen == [False]


@dataclass
class InFlight:
    """How many replies are between begin and finish, and the most there were."""

    now: int = 0
    most: int = 0
    total: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def begins(self) -> None:
        with self._lock:
            self.now += 1
            self.total += 1
            self.most = max(self.most, self.now)

    def ends(self) -> None:
        with self._lock:
            self.now -= 1


@pytest.fixture
def hasty_threads():
    """Threads change over as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def hammer(work: Callable[[int], None], threads: int = 8) -> None:
    """Run in many threads at once; an error in one is an error of the test."""
    barrier, errors = threading.Barrier(threads), []

    def run(number: int) -> None:
        barrier.wait()
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    running = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for each in running:
        each.start()
    for each in running:
        each.join()
    assert errors == []


class Yielding(FakeSource):
    """Lets the other threads go first."""

    def open(self, *args, **owner):
        time.sleep(0)
        return super().open(*args, **owner)


@pytest.mark.usefixtures("hasty_threads")
@pytest.mark.parametrize("round_", range(5))
def test_threads_that_hammer_one_gateway_get_three_whole_sends_one_at_a_time(round_):
    world = World()
    world.service.source = Yielding()
    gateway = world.gateway()
    world.definition()
    flights = InFlight()

    def poll_often(number: int) -> None:
        for turn in range(25):
            reply = world.answer(gateway)
            if reply.image is None:
                continue
            flights.begins()
            time.sleep(0)
            flights.ends()
            world.service.finish_reply(reply, delivered=(number + turn) % 3 > 0)

    hammer(poll_often)
    while world.status(gateway) is not FAILED:
        world.poll(gateway)
    assert flights.most == 1
    assert world.task(gateway).sends == 3
    assert [row.to_status for row in world.service.log if row.from_status != row.to_status] == [
        PENDING,
        IN_PROGRESS,
        FIRST_RETRY,
        SECOND_RETRY,
        FAILED,
    ]


@pytest.mark.usefixtures("hasty_threads")
def test_threads_that_do_everything_at_once_leave_a_log_that_chains():
    world = World()
    world.service.source = Yielding()
    gateways = [world.gateway(eui) for eui in range(1, 4)]
    world.definition()

    def meddle(number: int) -> None:
        for turn in range(40):
            gateway = gateways[(number + turn) % 3]
            match (number + turn) % 8:
                case 0:
                    with_refusal(lambda g=gateway: world.service.delete_task(OWNER, g.id))
                case 1:
                    world.service.definition(OWNER, world.definition(auto=turn % 2 == 0).id)
                case 2:
                    world.clock.advance(HOUR_S)
                    world.explain(gateway)
                case 3:
                    wanted = world.service.definitions(OWNER)[-1].id
                    with_refusal(lambda g=gateway, d=wanted: world.service.create_task(OWNER, g.id, d))
                case _:
                    world.poll(gateway, OLD if turn % 5 else NEW, whole=turn % 4 > 0)

    def with_refusal(call: Callable[[], object]) -> None:
        with suppress(NotFound, Conflict):
            call()

    hammer(meddle)
    times = [row.time for row in world.service.log]
    assert times == sorted(times)
    for gateway in gateways:
        rows = [row for row in world.service.log if row.gateway == gateway.eui.hex]
        assert rows[0].from_status is None
        assert all(before.to_status is after.from_status for before, after in pairwise(rows))


@pytest.mark.usefixtures("hasty_threads")
def test_of_many_threads_that_register_one_eui_one_wins(world):
    won = []

    def register(number: int) -> None:
        with suppress(Conflict):
            won.append(world.gateway(7))

    hammer(register)
    assert world.service.gateways(OWNER) == won


# --- an update that cannot be read --------------------------------------------------------------------------------

TROUBLES = [
    NoSuchObject("s3://firmware/1.0.1 does not exist"),
    AccessDenied("the role may not s3:GetObject"),
    RoleNotTrusted("the role does not trust iotwireless.amazonaws.com"),
    SourceUnavailable("S3 does not answer"),
    FirmwareError("the update is longer than its length field"),
]


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("polls", [0, 1, 2])
def test_an_update_that_cannot_be_read_uses_up_nothing_and_is_tried_anew(world, gateway, definition, polls, trouble):
    for _ in range(polls):
        world.poll(gateway)
    before = world.task(gateway) if polls else None
    world.source.trouble = trouble
    for _ in range(5):
        reply = world.answer(gateway)
        assert (reply.response, reply.image) == (EMPTY_RESPONSE, None)
        world.service.finish_reply(reply, delivered=True)
        assert world.task(gateway) == (before or world.task(gateway))
        assert world.status(gateway) is (before.status if before else PENDING)
        assert f"({type(trouble).__name__}): {trouble}" in world.explain(gateway)
        assert causes(world)[-1] == "update cannot be read"
    world.source.trouble = None
    assert world.poll(gateway)
    assert (world.status(gateway), world.task(gateway).sends) == (RUNNING[polls], polls + 1)
    assert "cannot be read" not in world.explain(gateway)


def test_once_a_task_has_ended_it_does_not_matter_that_the_update_could_not_be_read(world, gateway, definition):
    world.poll(gateway)
    world.source.trouble = NoSuchObject("gone")
    world.poll(gateway)
    world.poll(gateway, NEW)
    assert world.status(gateway) is COMPLETED
    assert "gone" not in world.explain(gateway)


@pytest.mark.parametrize("error", [RuntimeError("a bug"), KeyboardInterrupt(), SystemExit(1)], ids=repr)
def test_any_other_error_while_reading_is_passed_on_and_leaves_nothing_stuck(world, gateway, definition, error):
    world.source.trouble = error
    for _ in range(3):
        with pytest.raises(type(error)):
            world.answer(gateway)
        assert world.status(gateway) is PENDING
    world.source.trouble = None
    assert world.poll(gateway)
    assert causes(world) == ["created automatically", "offered"]


def test_the_update_is_read_for_the_owner_of_the_gateway(world):
    gateway = world.gateway(owner=STRANGER)
    world.definition(owner=STRANGER, data_role=ROLE)
    world.poll(gateway)
    assert world.source.opened == [(FIRMWARE, ROLE, STRANGER.account, STRANGER.region)]


def test_nothing_is_read_for_a_request_that_gets_nothing(world, gateway, definition):
    for version in (NEW, OLD, NEW, OLD):
        world.poll(gateway, version)
    assert len(world.source.opened) == 1


# --- what goes while a reply is in flight -------------------------------------------------------------------------


def vanish_task(world: World, gateway: Gateway) -> None:
    world.service.delete_task(OWNER, gateway.id)


def replace_task(world: World, gateway: Gateway) -> None:
    world.service.delete_task(OWNER, gateway.id)
    world.service.create_task(OWNER, gateway.id, world.definition(NEW, auto=False).id)


def vanish_gateway(world: World, gateway: Gateway) -> None:
    world.service.delete_gateway(OWNER, gateway.id)


def replace_gateway(world: World, gateway: Gateway) -> None:
    world.service.delete_gateway(OWNER, gateway.id)
    new = world.service.create_gateway(STRANGER, gateway.eui)
    world.service.create_task(STRANGER, new.id, world.definition(NEW, auto=False, owner=STRANGER).id)


def forget_all(world: World, gateway: Gateway) -> None:
    world.service.forget(OWNER)


VANISHING = [vanish_task, replace_task, vanish_gateway, replace_gateway, forget_all]


@pytest.mark.parametrize("vanish", VANISHING, ids=lambda f: f.__name__)
def test_what_goes_while_the_update_is_read_is_not_sent_it(world, gateway, definition, vanish):
    due = world.receive(gateway)
    vanish(world, gateway)
    before = snapshot(world)
    reply = world.service.start_reply(due, FakeImage(b"update"))
    assert (reply.response, reply.image, reply.pending) == (EMPTY_RESPONSE, None, None)
    world.service.finish_reply(reply, delivered=True)
    world.service.reject_unreadable(due, NoSuchObject("gone"))
    assert snapshot(world) == before


@pytest.mark.parametrize("vanish", VANISHING, ids=lambda f: f.__name__)
@pytest.mark.parametrize("whole", [True, False])
def test_the_end_of_a_reply_means_nothing_to_what_came_after(world, gateway, definition, vanish, whole):
    reply = world.answer(gateway)
    vanish(world, gateway)
    before = apart_from_exchanges(snapshot(world))
    world.service.finish_reply(reply, delivered=whole)
    assert apart_from_exchanges(snapshot(world)) == before


def apart_from_exchanges(seen: object) -> list[object]:
    """The snapshot without the last exchanges: those do learn how the reply ended."""
    entries: list[object] = []
    for entry in seen:  # type: ignore[attr-defined]
        if isinstance(entry, tuple):
            *facts, explanation = entry
            explanation, told, _ = explanation.partition(" exchange(s):")
            assert told or "has not sent a CUPS request yet" in explanation
            entries.append((*facts, explanation))
        else:
            entries.append(entry)
    return entries


@pytest.mark.parametrize("vanish", VANISHING, ids=lambda f: f.__name__)
def test_an_error_while_reading_for_what_has_gone_means_nothing(world, gateway, definition, vanish):
    due = world.receive(gateway)
    vanish(world, gateway)
    before = snapshot(world)
    world.source.trouble = RuntimeError("a bug")
    with pytest.raises(RuntimeError):
        world.service.read_and_start_reply(due)
    world.source.trouble = None
    assert snapshot(world) == before


def test_the_old_reply_does_not_end_the_new_one(world, gateway, definition):
    old = world.answer(gateway)
    world.service.delete_task(OWNER, gateway.id)
    new = world.answer(gateway)
    assert new.image is not None
    world.service.finish_reply(old, delivered=True)
    assert not world.poll(gateway)
    assert world.task(gateway).sends == 0
    world.service.finish_reply(new, delivered=True)
    assert world.task(gateway).sends == 1


def test_a_definition_deleted_while_the_update_is_read_is_sent_all_the_same(world, gateway, definition):
    due = world.receive(gateway)
    world.service.delete_definition(OWNER, definition.id)
    assert world.service.start_reply(due, FakeImage(b"update")).image is not None
    assert world.status(gateway) is IN_PROGRESS


def test_a_gateway_renamed_while_the_update_is_read_is_sent_it(world, gateway, definition):
    due = world.receive(gateway)
    world.service.update_gateway(OWNER, gateway.id, name="new")
    reply = world.service.start_reply(due, FakeImage(b"update"))
    world.service.finish_reply(reply, delivered=True)
    assert world.task(gateway).sends == 1


# --- keys ---------------------------------------------------------------------------------------------------------


def test_an_update_whose_key_the_gateway_has_not_is_offered_all_the_same(world, gateway):
    world.definition(signature=b"der", sig_key_crc=5)
    assert world.poll(gateway, keys=(6, 7))


def test_by_policy_it_is_withheld_and_nothing_is_used_up_until_the_gateway_has_the_key():
    world = World(key_mismatch="withhold")
    gateway = world.gateway()
    world.definition(signature=b"der", sig_key_crc=5)
    for keys in ((), (6, 7)):
        assert not world.poll(gateway, keys=keys)
        assert world.status(gateway) is PENDING
        assert causes(world)[-1] == "gateway has not the key"
    assert world.source.opened == []
    assert world.poll(gateway, keys=(6, 5))
    assert not world.poll(gateway, keys=(6,))
    assert (world.status(gateway), world.task(gateway).sends) == (IN_PROGRESS, 1)
    assert world.poll(gateway, keys=(5,))
    assert world.status(gateway) is FIRST_RETRY


def test_by_policy_an_unsigned_update_is_not_withheld():
    world = World(key_mismatch="withhold")
    gateway = world.gateway()
    world.definition(sig_key_crc=5)
    assert world.poll(gateway, keys=(6,))


# --- gateways and owners ------------------------------------------------------------------------------------------


def test_an_unknown_gateway_is_not_found_and_nothing_is_created(world, definition):
    stranger = UpdateInfoRequest(GatewayEui(0xBAD), station=OLD.station, package=OLD.package, model=OLD.model)
    for call in (world.service.receive_request, world.service.answer):
        error = refused(world, lambda call=call: call(stranger), NotFound)
        assert (error.resource_type, error.resource_id) == ("WirelessGateway", "0000000000000bad")
    assert world.service.find_gateway(stranger.router) is None


@pytest.mark.parametrize("owner", [OWNER, STRANGER, replace(OWNER, region="eu-west-1")], ids=str)
def test_an_eui_is_unique_over_accounts_and_regions_until_its_gateway_is_deleted(world, gateway, owner):
    error = refused(world, lambda: world.gateway(owner=owner), Conflict)
    assert (error.resource_type, error.resource_id) == ("WirelessGateway", gateway.id)
    assert "000000000000000a" in str(error)
    world.service.delete_gateway(OWNER, gateway.id)
    again = world.gateway(owner=owner)
    assert again.id != gateway.id
    assert world.service.presented_version(owner, again.id) is None


def test_an_id_is_given_to_one_gateway_only(world):
    first = world.gateway(1, gateway_id="mine")
    error = refused(world, lambda: world.gateway(2, gateway_id="mine"), Conflict)
    assert error.resource_id == "mine"
    assert world.service.gateway(OWNER, "mine") == first
    assert world.gateway(2).id == "1"


def test_requests_are_answered_across_accounts_and_regions(world):
    here, there = world.gateway(1), world.gateway(2, owner=STRANGER)
    mine, theirs = world.definition(), world.definition(owner=STRANGER)
    assert world.poll(here)
    assert world.poll(there)
    assert (world.task(here).definition, world.task(there).definition) == (mine, theirs)


def test_a_definition_speaks_to_its_owners_gateways_only(world, gateway):
    world.definition(owner=STRANGER)
    world.definition(owner=replace(OWNER, region="eu-west-1"))
    assert not world.poll(gateway)
    assert not world.has_task(gateway)


def test_owners_do_not_see_what_others_have(world, gateway, definition):
    world.poll(gateway)
    service = world.service
    calls = [
        lambda: service.gateway(STRANGER, gateway.id),
        lambda: service.update_gateway(STRANGER, gateway.id, name="mine"),
        lambda: service.delete_gateway(STRANGER, gateway.id),
        lambda: service.presented_version(STRANGER, gateway.id),
        lambda: service.last_seen_ms(STRANGER, gateway.id),
        lambda: service.task(STRANGER, gateway.id),
        lambda: service.delete_task(STRANGER, gateway.id),
        lambda: service.create_task(STRANGER, gateway.id, definition.id),
        lambda: service.explain(STRANGER, gateway.id),
        lambda: service.definition(STRANGER, definition.id),
        lambda: service.delete_definition(STRANGER, definition.id),
        lambda: service.create_task(OWNER, world.service.gateways(OWNER)[0].id, "none such"),
    ]
    for call in calls:
        refused(world, call, NotFound)
    assert (service.gateways(STRANGER), service.definitions(STRANGER)) == ([], [])


def test_a_task_cannot_be_made_from_a_strangers_definition(world, gateway):
    theirs = world.definition(owner=STRANGER)
    error = refused(world, lambda: world.service.create_task(OWNER, gateway.id, theirs.id), NotFound)
    assert error.resource_type == "WirelessGatewayTaskDefinition"


def test_to_forget_an_owner_leaves_the_others(world):
    mine, theirs = world.gateway(1), world.gateway(2, owner=STRANGER)
    world.definition()
    kept = world.definition(owner=STRANGER)
    for gateway in (mine, theirs):
        world.poll(gateway)
    world.service.forget(OWNER)
    assert world.service.owners() == {STRANGER}
    assert (world.service.gateways(OWNER), world.service.definitions(OWNER)) == ([], [])
    assert world.service.definitions(STRANGER) == [kept]
    assert world.status(theirs) is IN_PROGRESS
    assert causes(world, mine)[-1] == "deleted"
    again = world.gateway(1)
    assert not world.poll(again)
    world.service.forget(OWNER)
    world.service.forget(STRANGER)
    assert world.service.owners() == set()


def test_to_delete_a_gateway_ends_its_task_in_the_log(world, gateway, definition):
    world.poll(gateway)
    world.service.delete_gateway(OWNER, gateway.id)
    last = world.service.log[-1]
    assert (last.from_status, last.to_status, last.cause) == (IN_PROGRESS, None, Cause.DELETED)
    with pytest.raises(NotFound):
        world.poll(gateway)


def test_gateways_and_definitions_are_listed_in_the_order_in_which_they_came(world):
    gateways = [world.gateway(eui) for eui in (3, 1, 2)]
    definitions = [world.definition(name=name) for name in "cab"]
    world.service.update_gateway(OWNER, gateways[0].id, name="renamed")
    assert [g.eui.value for g in world.service.gateways(OWNER)] == [3, 1, 2]
    assert world.service.definitions(OWNER) == definitions
    assert world.service.gateway(OWNER, gateways[0].id).name == "renamed"
    assert world.service.find_gateway(GatewayEui(3)).name == "renamed"


def test_firmware_information_is_what_was_presented_last(world, gateway):
    service = world.service
    assert service.presented_version(OWNER, gateway.id) is None
    assert service.last_seen_ms(OWNER, gateway.id) is None
    for version in (OLD, NO_PACKAGE, NEW):
        world.clock.advance(1)
        world.poll(gateway, version)
        assert service.presented_version(OWNER, gateway.id) == version
        assert service.last_seen_ms(OWNER, gateway.id) == world.clock.now_ms()


def test_without_a_clock_the_machines_own_is_taken():
    service = UpdateService(source=FakeSource())
    gateway = service.create_gateway(OWNER, GatewayEui(1))
    before = time.time_ns() // 1_000_000
    service.receive_request(UpdateInfoRequest(gateway.eui))
    assert before <= service.last_seen_ms(OWNER, gateway.id) <= time.time_ns() // 1_000_000
    assert service.policy == Policy()


# --- every choice of every policy can be seen ---------------------------------------------------------------------


def see_comparison(world: World) -> object:
    world.definition()
    return world.poll(world.gateway(), replace(OLD, model=" Linux"))


def see_automatic_creation(world: World) -> object:
    world.definition()
    return world.poll(world.gateway())


def see_absent_field(world: World) -> object:
    world.definition(replace(OLD, package=None))
    return world.poll(world.gateway())


def see_without_source(world: World) -> object:
    try:
        world.definition(source=None)
    except InvalidValue as error:
        return error.field, world.service.definitions(OWNER)
    return len(world.service.definitions(OWNER))


def see_unusable_signature(world: World) -> object:
    members = {"UpdateDataSource": FIRMWARE, "LoRaWAN": {"UpdateSignature": "not base64!"}}
    members["LoRaWAN"]["CurrentVersion"] = OLD.to_aws()
    gateway = world.gateway()
    try:
        update = read_update(members, world.service.policy)
    except InvalidValue as error:
        return error.field
    world.service.create_definition(OWNER, auto_create_tasks=True, update=update)
    return world.poll(gateway), str(world.status(gateway)), world.source.opened


def see_several_matches(world: World) -> object:
    gateway = world.gateway()
    for name in ("first", "second", "third"):
        world.definition(name=name)
    world.poll(gateway)
    return world.task(gateway).definition.name


def see_existing_task(world: World) -> object:
    gateway = world.in_status(COMPLETED)
    return world.poll(gateway, OLD), causes(world)[-3:]


def see_manual_start(world: World) -> object:
    gateway = world.gateway()
    world.service.create_task(OWNER, gateway.id, world.definition(auto=False).id)
    return world.poll(gateway, OTHER)


def see_broken_reply(world: World) -> object:
    gateway = world.gateway()
    world.definition()
    sent = [world.poll(gateway, whole=False) for _ in range(4)]
    return sent.count(True), str(world.status(gateway)), world.task(gateway).sends


def see_settle_s(world: World) -> object:
    gateway = world.gateway()
    world.definition()
    world.poll(gateway)
    world.clock.advance(30)
    return world.poll(gateway)


def see_completion(world: World) -> object:
    gateway = world.gateway()
    world.definition()
    world.poll(gateway)
    world.poll(gateway, replace(OLD, station="2.0.6"))
    return str(world.status(gateway))


def see_other_version(world: World) -> object:
    gateway = world.gateway()
    world.definition(update_version=NEW)
    world.poll(gateway)
    world.poll(gateway, OTHER)
    return str(world.status(gateway))


def see_silence_timeout_s(world: World) -> object:
    gateway, _ = second_retry(world)
    world.clock.advance(DAY_S)
    return str(world.status(gateway))


def see_key_mismatch(world: World) -> object:
    world.definition(signature=b"der", sig_key_crc=5)
    return world.poll(world.gateway(), keys=(6,))


def see_delete_task(world: World) -> object:
    gateway = world.gateway()
    world.definition()
    world.poll(gateway)
    before = snapshot(world)
    try:
        world.service.delete_task(OWNER, gateway.id)
    except InvalidValue as error:
        unchanged = snapshot(world) == before
        world.poll(gateway, NEW)
        world.service.delete_task(OWNER, gateway.id)
        return error.field, unchanged, world.has_task(gateway)
    return world.has_task(gateway)


def see_unknown_gateway_status(world: World) -> object:
    status, body = error_response(NotFound("WirelessGateway", "00"), world.service.policy)
    assert len(body) < 100
    return status


def see_last_uplink(world: World) -> object:
    gateway = world.gateway()
    world.poll(gateway)
    return world.service.last_seen_ms(OWNER, gateway.id) == world.clock.now_ms()


def see_stack_update(world: World) -> object:
    definition = world.service.create_definition(OWNER, auto_create_tasks=False)
    backend = SimpleNamespace(service=world.service, owner=OWNER)
    with suppress(InvalidValue):
        change_definition(backend, definition.id, {"AutoCreateTasks": True})
    return world.service.definition(OWNER, definition.id).auto_create_tasks


OBSERVED = {
    see_comparison: {"exact": False, "trimmed": True},
    see_automatic_creation: {"at_request": True, "never": False},
    see_absent_field: {"strict": False, "wildcard": True},
    see_without_source: {"accept": 1, "reject": ("Update.UpdateDataSource", [])},
    see_unusable_signature: {"reject": "Update.LoRaWAN.UpdateSignature", "accept": (False, "PENDING", [])},
    see_several_matches: {"oldest": "first", "newest": "third"},
    see_existing_task: {
        "blocks": (False, ["created automatically", "offered", "presents the new version"]),
        "ended_gives_way": (True, ["deleted", "created automatically", "offered"]),
    },
    see_manual_start: {"matching_request": False, "any_request": True},
    see_broken_reply: {"free": (4, "IN_PROGRESS", 0), "counts": (3, "FAILED", 0)},
    see_settle_s: {0: True, 30: True, 30.001: False},
    see_completion: {"version_differs": "COMPLETED", "package_differs": "IN_PROGRESS"},
    see_other_version: {"fails": "FIRST_RETRY", "waits": "IN_PROGRESS"},
    see_silence_timeout_s: {48 * 3600.0: "SECOND_RETRY", DAY_S: "FAILED", DAY_S + 0.001: "SECOND_RETRY"},
    see_key_mismatch: {"offer": True, "withhold": False},
    see_delete_task: {"any_status": False, "ended_only": ("Id", True, False)},
    see_unknown_gateway_status: {403: 403, 404: 404},
    see_last_uplink: {"cups_request": True, "never": False},
    see_stack_update: {"in_place": True, "refused": False},
}


def name_of(see: Callable[[World], object]) -> str:
    return see.__name__.removeprefix("see_")


def test_every_choice_of_every_policy_is_looked_at():
    assert [name_of(see) for see in OBSERVED] == [f.name for f in fields(Policy)]
    for see, expected in OBSERVED.items():
        decision = next(d for d in Policy().decisions() if d.name == name_of(see))
        assert set(decision.choices or [decision.value]) <= set(expected)
        assert len(set(map(repr, expected.values()))) >= 2


@pytest.mark.parametrize(
    ("see", "choice", "seen"),
    [(see, choice, seen) for see, expected in OBSERVED.items() for choice, seen in expected.items()],
    ids=lambda value: name_of(value) if callable(value) else str(value),
)
def test_a_choice_of_policy_is_seen(see, choice, seen):
    assert see(World(**{name_of(see): choice})) == seen


def test_where_an_ended_task_gives_way_a_manual_one_can_take_its_place():
    world = World(existing_task="ended_gives_way")
    gateway = world.in_status(COMPLETED)
    definition = world.definition(NEW, auto=False)
    world.service.create_task(OWNER, gateway.id, definition.id)
    assert causes(world)[-3:] == ["presents the new version", "deleted", "created manually"]
    assert world.poll(gateway, NEW)


@pytest.mark.parametrize("status", RUNNING)
def test_where_an_ended_task_gives_way_a_running_one_does_not(status):
    world = World(existing_task="ended_gives_way")
    gateway = world.in_status(status)
    refused(
        world, lambda: world.service.create_task(OWNER, gateway.id, world.service.definitions(OWNER)[0].id), Conflict
    )


def test_where_an_ended_task_gives_way_it_stays_as_long_as_nothing_matches():
    world = World(existing_task="ended_gives_way")
    gateway = world.in_status(COMPLETED)
    assert not world.poll(gateway, NEW)
    assert world.status(gateway) is COMPLETED


def test_where_a_broken_reply_counts_it_is_no_whole_offer_and_has_no_settle_time():
    world = World(broken_reply="counts", settle_s=600)
    gateway = world.gateway()
    world.definition()
    world.poll(gateway, whole=False)
    assert world.poll(gateway)
    assert (world.status(gateway), world.task(gateway).sends) == (FIRST_RETRY, 1)


def test_a_definition_refused_for_want_of_a_source_is_refused_also_without_update():
    world = World(without_source="reject")
    refused(world, lambda: world.service.create_definition(OWNER, auto_create_tasks=False), InvalidValue)
    refused(
        world, lambda: world.service.create_definition(OWNER, auto_create_tasks=True, update=UpdateSpec()), InvalidValue
    )
