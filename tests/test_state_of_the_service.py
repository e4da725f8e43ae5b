"""The update service is the same after a restart: random calls, a kill at every point, and new clocks."""

from __future__ import annotations

import random
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import pytest
from fakes import HOUR_S, NEW, OLD, OTHER, OWNER, STRANGER, World

from lorafw.clock import ManualClock, Moment
from lorafw.errors import NoSuchObject, StateError, TaskError
from lorafw.persistence.codec import from_json, to_json
from lorafw.persistence.database import StateDatabase
from lorafw.persistence.service_store import DatabaseStore, SavedGateway
from lorafw.tasks.lifecycle import Cause, TaskStatus
from lorafw.tasks.model import Gateway, ReplyState
from lorafw.tasks.saved_state import monotonic_shift_ms

NEW_IDS = count(1)
"""Ids that no process gives twice."""


class RebootedClock(ManualClock):
    """The clock of a machine that was started again: the wall clock goes on, the monotonic clock begins anew."""

    def __init__(self, time_ms: int, monotonic_ms: int) -> None:
        super().__init__()
        self._now_ms = time_ms
        self._offset_ms = monotonic_ms - time_ms

    def monotonic_ms(self) -> int:
        return self._now_ms + self._offset_ms


@dataclass
class KeptWorld:
    """A world whose service is kept in a folder."""

    world: World
    folder: Path
    database: StateDatabase

    @classmethod
    def open(cls, folder: Path, clock: ManualClock | None = None, **policy: float) -> KeptWorld:
        """Open a folder as a process does that starts."""
        folder.mkdir(exist_ok=True)
        world = World(**policy)
        if clock is not None:
            world.clock = world.service.clock = clock
        database = StateDatabase(folder)
        store = DatabaseStore(database)
        saved = store.load()
        world.service.save_to(store)
        world.ids = NEW_IDS
        if saved is not None:
            world.service.restore(saved)
        return cls(world, folder, database)

    def killed(self, clock: ManualClock | None = None, **policy: float) -> KeptWorld:
        """Return what a new process finds if this one is killed now."""
        copy = self.folder.with_name(f"{self.folder.name}+")
        shutil.copytree(self.folder, copy)
        return KeptWorld.open(copy, clock or at(self.world.clock), **policy)


def at(clock: ManualClock) -> ManualClock:
    """Return another clock with the same time."""
    other = ManualClock()
    other.advance_to(clock.now_ms())
    return other


def everything(world: World) -> object:
    """Return all that the service knows."""
    states = []
    for state in world.service._gateways:
        texts = [to_json(SavedGateway(state.gateway, state.request, task=state.task, exchanges=tuple(state.exchanges)))]
        moments = [state.last_request_at, state.status_since]
        states.append((texts, moments, list(state.recent_log)))
    definitions = {owner: world.service.definitions(owner) for owner in (OWNER, STRANGER)}
    return states, definitions, world.service.log


def act(world: World, draw: random.Random) -> None:
    """Make a random call, which may be refused."""
    gateways = world.service.gateways(OWNER) + world.service.gateways(STRANGER)
    definitions = world.service.definitions(OWNER)
    choice = draw.randrange(10)
    owner = draw.choice([OWNER, OWNER, STRANGER])
    if choice == 0 or not gateways:
        world.gateway(draw.randrange(6), owner, name="n", lorawan={"MaxEirp": 10.5, "SubBands": [1, 2]})
    elif choice == 1 or not definitions:
        world.definition(owner=owner, auto=draw.random() < 0.7, update_version=NEW, signature=b"\0\xff", sig_key_crc=7)
    elif choice == 2:
        world.service.delete_definition(OWNER, draw.choice(definitions).id)
    elif choice == 3:
        gateway = draw.choice(gateways)
        world.service.create_task(gateway.owner, gateway.id, draw.choice(definitions).id)
    elif choice == 4:
        gateway = draw.choice(gateways)
        draw.choice([world.service.delete_task, world.service.delete_gateway])(gateway.owner, gateway.id)
    elif choice == 5:
        world.clock.advance(draw.choice([1, HOUR_S, 60 * HOUR_S]))
        world.service.log  # noqa: B018 -- reading it applies the deadlines
    elif choice == 6:
        gateway = draw.choice(gateways)
        world.service.update_gateway(gateway.owner, gateway.id, description="d", certificate_id="c", thing_arn="t")
    else:
        world.source.trouble = NoSuchObject("gone") if draw.random() < 0.1 else None
        world.poll(draw.choice(gateways), draw.choice([OLD, OLD, NEW, OTHER]), whole=draw.random() < 0.8, keys=(1, 2))


@pytest.mark.parametrize("seed", range(2))
def test_what_a_new_process_loads_is_what_the_killed_one_knew(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    kept = KeptWorld.open(tmp_path / "state")
    for number in range(60):
        with suppress(TaskError):
            act(kept.world, draw)
        if number % 6 == 0:
            found = kept.killed()
            assert everything(found.world) == everything(kept.world)
            kept.database.__exit__()
            kept = found


def sent_in_part(kept: KeptWorld) -> Gateway:
    """Return a gateway whose update was being sent."""
    gateway, _ = kept.world.gateway(), kept.world.definition()
    assert kept.world.answer(gateway).image is not None
    return gateway


def test_a_reply_that_was_being_sent_counts_as_broken_and_uses_up_no_attempt(tmp_path: Path) -> None:
    kept = KeptWorld.open(tmp_path / "state")
    gateway = sent_in_part(kept)
    found = kept.killed().world
    assert not found.service.is_sending(OWNER, gateway.id)
    assert found.service._snapshot(OWNER, gateway.id).exchanges[-1].answer is ReplyState.BROKEN
    assert found.service.log[-1].cause is Cause.REPLY_BROKEN
    assert found.poll(gateway)
    assert (found.task(gateway).attempt, found.status(gateway)) == (1, TaskStatus.IN_PROGRESS)


def test_a_reply_that_arrived_although_the_server_was_killed_completes_the_task(tmp_path: Path) -> None:
    kept = KeptWorld.open(tmp_path / "state")
    gateway = sent_in_part(kept)
    found = kept.killed().world
    assert not found.poll(gateway, NEW)
    assert found.status(gateway) is TaskStatus.COMPLETED


@pytest.mark.parametrize("monotonic_ms", [5_000, 10**13], ids=["rebooted", "later scale"])
def test_silence_goes_on_over_a_restart_of_the_machine(tmp_path: Path, monotonic_ms: int) -> None:
    kept = KeptWorld.open(tmp_path / "state")
    gateway, _ = kept.world.gateway(), kept.world.definition()
    for _ in range(3):
        kept.world.poll(gateway)
    last_request_ms = kept.world.clock.now_ms()
    clock = RebootedClock(last_request_ms + 47 * HOUR_S * 1000, monotonic_ms)
    found = kept.killed(clock).world
    assert found.status(gateway) is TaskStatus.SECOND_RETRY
    clock.advance(2 * HOUR_S)
    assert found.status(gateway) is TaskStatus.FAILED
    assert found.service.log[-1].time == last_request_ms + 48 * HOUR_S * 1000


def test_a_deadline_that_passed_while_nothing_ran_is_applied_at_its_own_time(tmp_path: Path) -> None:
    kept = KeptWorld.open(tmp_path / "state")
    gateway, _ = kept.world.gateway(), kept.world.definition()
    for _ in range(3):
        kept.world.poll(gateway)
    last_request_ms = kept.world.clock.now_ms()
    found = kept.killed(RebootedClock(last_request_ms + 500 * HOUR_S * 1000, 0)).world
    assert found.service.log[-1] == replace(
        found.service.log[-1], time=last_request_ms + 48 * HOUR_S * 1000, to_status=TaskStatus.FAILED
    )


def test_the_time_to_settle_goes_on_over_a_restart(tmp_path: Path) -> None:
    kept = KeptWorld.open(tmp_path / "state", settle_s=60)
    gateway, _ = kept.world.gateway(), kept.world.definition()
    kept.world.poll(gateway)
    clock = RebootedClock(kept.world.clock.now_ms() + 50_000, 7)
    found = kept.killed(clock, settle_s=60).world
    assert not found.poll(gateway, OLD), "50 of 60 seconds have passed"
    clock.advance(11)
    assert found.poll(gateway, OLD)


def test_a_wall_clock_that_was_set_back_makes_no_time_negative() -> None:
    saved_at = Moment(utc_ms=1_000_000, monotonic_ms=500)
    assert monotonic_shift_ms(saved_at, Moment(utc_ms=400_000, monotonic_ms=90)) == 90 - 500


def test_reading_writes_nothing(tmp_path: Path) -> None:
    kept = KeptWorld.open(tmp_path / "state")
    gateway, definition = kept.world.gateway(), kept.world.definition()
    kept.world.poll(gateway)
    statements: list[str] = []
    kept.database._connection.set_trace_callback(statements.append)
    kept.world.task(gateway)
    kept.world.service.explain(OWNER, gateway.id)
    kept.world.service.definition(OWNER, definition.id)
    assert statements == []


def test_each_call_is_one_commit(tmp_path: Path) -> None:
    kept = KeptWorld.open(tmp_path / "state")
    gateway, _ = kept.world.gateway(), kept.world.definition()
    statements: list[str] = []
    kept.database._connection.set_trace_callback(statements.append)
    kept.world.receive(gateway)
    assert statements.count("COMMIT") == 1
    assert statements[-1] == "COMMIT"


def test_a_call_whose_change_cannot_be_saved_raises_and_so_does_every_later_one(tmp_path: Path) -> None:
    kept = KeptWorld.open(tmp_path / "state")
    told: list[StateError] = []
    kept.database.on_failure = told.append
    gateway = kept.world.gateway()
    pages = kept.database._connection.execute("PRAGMA page_count").fetchone()[0]
    kept.database._connection.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StateError, match="the disk is full; make room and start again, nothing is lost"):
        kept.world.service.update_gateway(OWNER, gateway.id, description="x" * 100_000)
    with pytest.raises(StateError, match="disk is full"):
        kept.world.service.gateway(OWNER, gateway.id)
    assert len(told) == 1
    assert kept.killed().world.service.gateway(OWNER, gateway.id).description is None


def test_a_value_of_an_earlier_version_gets_the_defaults_of_new_fields() -> None:
    text = '{"id":"1","owner":{"account":"1","region":"r"},"eui":{"value":10}}'
    assert from_json(Gateway, text).sequence == 0


@pytest.mark.parametrize("text", ['{"id":"1"}', '{"no_such_field":1}', "[]", "{"])
def test_a_text_that_is_no_saved_value_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        from_json(Gateway, text)
