"""The update service stays consistent if a listener fails, a task is deleted mid-reply, or the clock is set back."""

from __future__ import annotations

import logging

import pytest
from fakes import NEW, OLD, OWNER, World

from lorafw.clock import ManualClock, Moment, SystemClock
from lorafw.errors import NoSuchObject
from lorafw.tasks.lifecycle import LogRow, TaskStatus
from lorafw.tasks.model import Gateway, ReplyState

HOUR_S = 3600


class SetBackClock(ManualClock):
    """A machine whose wall clock somebody sets, while its monotonic clock goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.step_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.step_ms


def fail(row: LogRow) -> None:
    raise RuntimeError(f"cannot write {row.cause}")


def last_answer(world: World, gateway: Gateway) -> ReplyState:
    return world.service._snapshot(OWNER, gateway.id).exchanges[-1].answer


# --- listeners ---


def test_a_listener_that_raises_does_not_keep_the_gateway_in_hand(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    gateway, _ = world.gateway(), world.definition()
    rows: list[LogRow] = []
    world.service.listeners += [fail, rows.append]
    assert world.poll(gateway, OLD)
    assert not world.service.is_sending(OWNER, gateway.id)
    assert not world.poll(gateway, NEW)
    assert world.status(gateway) is TaskStatus.COMPLETED
    assert [str(row.cause) for row in rows] == [str(row.cause) for row in world.service.log], "the others are called"
    assert "cannot write offered" in caplog.text
    assert {record.levelno for record in caplog.records} == {logging.ERROR}


def test_a_listener_that_raises_leaves_a_declined_and_a_broken_reply_as_they_are() -> None:
    world = World()
    gateway, _ = world.gateway(), world.definition()
    world.service.listeners.append(fail)
    world.source.trouble = NoSuchObject("gone")
    assert not world.poll(gateway)
    world.source.trouble = None
    world.service.finish_reply(world.answer(gateway), delivered=False)
    assert not world.service.is_sending(OWNER, gateway.id)
    assert world.poll(gateway)


def test_an_error_while_the_reply_begins_lets_the_gateway_go(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    gateway, _ = world.gateway(), world.definition()
    with monkeypatch.context() as patch:
        patch.setattr(world.service, "start_reply", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            world.answer(gateway)
    assert world.poll(gateway)


# --- what an exchange remembers ---


@pytest.mark.parametrize(("whole", "told"), [(True, ReplyState.DELIVERED), (False, ReplyState.BROKEN)])
def test_a_task_that_is_deleted_while_its_reply_is_sent_still_learns_how_the_reply_ended(
    whole: bool, told: ReplyState
) -> None:
    world = World()
    gateway, _ = world.gateway(), world.definition()
    reply = world.answer(gateway)
    world.service.delete_task(OWNER, gateway.id)
    assert last_answer(world, gateway) is ReplyState.SENDING
    world.service.finish_reply(reply, delivered=whole)
    assert last_answer(world, gateway) is told


def test_two_replies_under_way_each_tell_their_own_exchange() -> None:
    world = World()
    gateway, _ = world.gateway(), world.definition()
    first = world.answer(gateway)
    world.service.delete_task(OWNER, gateway.id)
    second = world.answer(gateway)
    world.service.finish_reply(first, delivered=False)
    assert world.service.is_sending(OWNER, gateway.id), "the second reply goes on"
    world.service.finish_reply(second, delivered=True)
    answers = [exchange.answer for exchange in world.service._snapshot(OWNER, gateway.id).exchanges]
    assert answers == [ReplyState.BROKEN, ReplyState.DELIVERED]


# --- clocks ---


def world_on(clock: SetBackClock, **policy: float) -> World:
    world = World(**policy)
    world.service.clock = clock
    world.clock = clock
    return world


def test_a_clock_that_is_set_back_stops_no_task() -> None:
    clock = SetBackClock()
    world = world_on(clock, settle_s=30)
    gateway, _ = world.gateway(), world.definition()
    assert world.poll(gateway)
    clock.step_ms = -5 * HOUR_S * 1000
    clock.advance(31)
    assert not world.poll(gateway, NEW)
    assert world.status(gateway) is TaskStatus.COMPLETED
    assert world.service.last_seen_ms(OWNER, gateway.id) == clock.now_ms(), "time stamps are those of the real clock"


@pytest.mark.parametrize("step_h", [-100, 100])
def test_silence_is_measured_by_time_that_has_passed_and_not_by_the_wall_clock(step_h: int) -> None:
    clock = SetBackClock()
    world = world_on(clock)
    gateway, _ = world.gateway(), world.definition()
    for _ in range(3):
        assert world.poll(gateway)
    clock.step_ms = step_h * HOUR_S * 1000
    clock.advance(47 * HOUR_S)
    assert world.status(gateway) is TaskStatus.SECOND_RETRY
    deadline_ms = world.service._snapshot(OWNER, gateway.id).deadline_ms
    assert deadline_ms == clock.now_ms() + HOUR_S * 1000
    clock.advance(2 * HOUR_S)
    assert world.status(gateway) is TaskStatus.FAILED
    assert world.service.log[-1].time == deadline_ms


def test_the_explanation_after_a_step_back_has_no_negative_time() -> None:
    clock = SetBackClock()
    world = world_on(clock)
    gateway, _ = world.gateway(), world.definition()
    world.poll(gateway)
    clock.step_ms = -HOUR_S * 1000
    assert "(0 s ago)" in "\n".join(world.service.explain(OWNER, gateway.id).lines)


def test_a_moment_gives_the_time_stamp_of_a_moment_nearby() -> None:
    assert Moment(1_000_000, 500).at(400) == Moment(999_900, 400)
    first, second = Moment.of(SystemClock()), Moment.of(SystemClock())
    assert second.monotonic_ms >= first.monotonic_ms
