"""The update service keeps its rules for random sequences of calls, and agrees with a simple model.

The twin is the table of decisions written down a second time, without looking at the code: one gateway's task as a few
variables and one function. Everything that the machine does is done to both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from fakes import DAY_S, FIRMWARE, HOUR_S, NEW, OLD, OTHER, OWNER, STRANGER, FakeImage, World, snapshot
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from lorafw.cups.messages import UpdateInfoRequest
from lorafw.errors import Conflict, InvalidValue, NotFound, SourceUnavailable, TaskError
from lorafw.eui import GatewayEui
from lorafw.tasks.model import NO_VERSION, Definition, Gateway, PendingUpdate, Reply
from lorafw.tasks.policy import Policy
from lorafw.version import GatewayVersion

CHANGES = {
    (None, "PENDING"),
    ("PENDING", "IN_PROGRESS"),
    ("IN_PROGRESS", "FIRST_RETRY"),
    ("FIRST_RETRY", "SECOND_RETRY"),
    ("SECOND_RETRY", "FAILED"),
    ("IN_PROGRESS", "COMPLETED"),
    ("FIRST_RETRY", "COMPLETED"),
    ("SECOND_RETRY", "COMPLETED"),
    ("PENDING", None),
    ("IN_PROGRESS", None),
    ("FIRST_RETRY", None),
    ("SECOND_RETRY", None),
    ("COMPLETED", None),
    ("FAILED", None),
}
"""From which status to which a task may go; None is no task."""

AFTER_A_FAILURE = {"IN_PROGRESS": "FIRST_RETRY", "FIRST_RETRY": "SECOND_RETRY", "SECOND_RETRY": "FAILED"}
ENDED = ("COMPLETED", "FAILED")
SILENCE_MS = 48 * HOUR_S * 1000

NO_PACKAGE = replace(OLD, package=None)
PRESENTED = (OLD, OLD, OLD, NEW, OTHER, NO_PACKAGE, replace(OLD, model="Linux"), replace(OLD, station="2.0.6"))
CURRENT = (OLD, OLD, OLD, NEW, NO_PACKAGE, GatewayVersion(model="linux"), NO_VERSION)
TARGET = (None, None, NEW, GatewayVersion(package="1.0.1"), OLD, NO_VERSION)


# --- the twin -----------------------------------------------------------------------------------------------------


def fits(wanted: GatewayVersion, presented: GatewayVersion) -> bool:
    return all(w in (None, p) for w, p in zip(wanted.as_tuple(), presented.as_tuple(), strict=True))


@dataclass(eq=False)
class Life:
    """One task as the table of decisions has it."""

    definition: Definition
    status: str = "PENDING"
    since_ms: int = 0
    offered: GatewayVersion | None = None
    went_out: bool = False
    broke: bool = False
    sent_ms: int | None = None
    whole: int = 0

    @property
    def has_source(self) -> bool:
        return self.definition.update is not None and self.definition.update.data_source is not None

    def expects(self, presented: GatewayVersion, now: int, settle_s: float) -> tuple[str, bool]:
        """The status after this request, and whether the update is sent with it."""
        update = self.definition.update
        current = update.current_version if update else NO_VERSION
        target = update.update_version if update and update.update_version != NO_VERSION else None
        if self.status in ENDED:
            return self.status, False
        if self.status == "PENDING":
            return ("IN_PROGRESS", True) if fits(current, presented) else ("PENDING", False)
        if self.sent_ms is not None and now < self.sent_ms + settle_s * 1000:
            return self.status, False
        if target and fits(target, presented):
            return "COMPLETED", False
        if not target and presented.package is not None and presented != self.offered:
            return "COMPLETED", False
        if presented == self.offered or fits(current, presented):
            if not self.went_out:
                return self.status, True
            after = AFTER_A_FAILURE[self.status]
            return after, after != "FAILED"
        if target and not self.broke:
            return AFTER_A_FAILURE[self.status], False
        return self.status, False

    def become(self, status: str, now: int) -> None:
        if status != self.status:
            self.status, self.since_ms = status, now
            self.went_out = self.broke = False


@dataclass
class Twin:
    """One gateway."""

    gateway: Gateway
    seen_ms: int = -1
    life: Life | None = None
    hand: Hand | None = None

    def fall_silent(self, now: int) -> None:
        if self.life and self.life.status == "SECOND_RETRY":
            deadline = max(self.seen_ms, self.life.since_ms) + SILENCE_MS
            if now >= deadline:
                self.life.become("FAILED", deadline)


@dataclass(eq=False)
class Hand:
    """A reply that is being prepared or written."""

    due: PendingUpdate
    presented: GatewayVersion
    life: Life | None
    reply: Reply | None = None


# --- the machine --------------------------------------------------------------------------------------------------

picks = st.integers(0, 99)
owners = st.sampled_from((OWNER, OWNER, STRANGER))
pauses = st.sampled_from((0, 60, 3 * HOUR_S, DAY_S))
outcomes = st.sampled_from(("whole", "whole", "whole", "whole", "broken", "unreadable", "crash", "reading", "writing"))
definitions = st.lists(
    st.tuples(st.sampled_from(CURRENT), st.sampled_from(TARGET), st.sampled_from((True, True, False))),
    min_size=1,
    max_size=3,
)


class Laws(RuleBasedStateMachine):
    """All that can be done, and the laws that hold under every policy."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.twins: dict[int, Twin] = {}
        self.definitions: list[Definition] = []
        self.hands: list[Hand] = []
        self.rows_seen = 0
        self.last_time = 0
        self.last_status: dict[str, str | None] = {}
        self.sends: dict[str, int] = {}
        self.lives: dict[str, int] = {}

    def use(self, definitions: list[tuple[GatewayVersion, GatewayVersion | None, bool]], **policy: Any) -> None:
        """A world that is not empty, so that the machine comes far."""
        self.world = World(**policy)
        for eui in (1, 2):
            self.twins[eui] = Twin(self.world.gateway(eui))
        for current, target, auto in definitions:
            self.definitions.append(self.world.definition(current, update_version=target, auto=auto))

    # --- what can be done ---

    @rule(eui=st.integers(1, 3), owner=owners)
    def add_gateway(self, eui, owner):
        if eui in self.twins:
            self.refused(lambda: self.world.gateway(eui, owner), Conflict)
        else:
            self.twins[eui] = Twin(self.world.gateway(eui, owner))

    @rule(pick=picks, seconds=st.sampled_from((0, 60, 48 * HOUR_S)))
    @precondition(lambda self: self.twins)
    def remove_gateway(self, pick, seconds):
        if pick % 4:  # seldom
            return
        self.world.clock.advance(seconds)
        eui = self.pick(self.twins, pick // 4)
        gateway = self.twins.pop(eui).gateway
        self.world.service.delete_gateway(gateway.owner, gateway.id)
        self.refused(lambda: self.world.service.gateway(gateway.owner, gateway.id), NotFound)

    @rule(
        owner=owners,
        current=st.sampled_from(CURRENT),
        wanted=st.sampled_from(TARGET),
        auto=st.booleans(),
        source=st.sampled_from((FIRMWARE, FIRMWARE, FIRMWARE, None)),
    )
    def add_definition(self, owner, current, wanted, auto, source):
        def add() -> Definition:
            return self.world.definition(current, owner=owner, auto=auto, source=source, update_version=wanted)

        if source is None and self.world.service.policy.without_source == "reject":
            self.refused(add, InvalidValue)
        else:
            self.definitions.append(add())

    @rule(pick=picks)
    @precondition(lambda self: self.definitions)
    def remove_definition(self, pick):
        if pick % 4:  # seldom
            return
        definition = self.definitions.pop(pick // 4 % len(self.definitions))
        self.world.service.delete_definition(definition.owner, definition.id)
        self.refused(lambda: self.world.service.delete_definition(definition.owner, definition.id), NotFound)

    @rule(which=picks, what=picks)
    @precondition(lambda self: self.twins and self.definitions)
    def create_task(self, which, what):
        twin = self.twins[self.pick(self.twins, which)]
        definition = self.definitions[what % len(self.definitions)]
        gateway = twin.gateway

        def create() -> object:
            return self.world.service.create_task(gateway.owner, gateway.id, definition.id)

        self.silence()
        if definition.owner != gateway.owner:
            self.refused(create, NotFound)
        elif self.world.has_task(gateway) and not self.gives_way(gateway):
            self.refused(create, Conflict)
        else:
            create()
            twin.life, twin.hand = Life(definition, since_ms=self.now), None

    @rule(pick=picks)
    @precondition(lambda self: self.twins)
    def delete_task(self, pick):
        if pick % 3:  # not so often
            return
        twin = self.twins[self.pick(self.twins, pick // 3)]
        gateway, service = twin.gateway, self.world.service

        def delete() -> None:
            service.delete_task(gateway.owner, gateway.id)

        if not self.world.has_task(gateway):
            self.refused(delete, NotFound)
        elif service.policy.delete_task == "ended_only" and self.world.status(gateway) not in ENDED:
            self.refused(delete, InvalidValue)
        else:
            delete()
            twin.life = twin.hand = None

    @rule(seconds=st.sampled_from((0, 1, 60, HOUR_S, 24 * HOUR_S, 48 * HOUR_S - 0.001, 48 * HOUR_S, 100 * DAY_S)))
    def time_passes(self, seconds):
        self.world.clock.advance(seconds)

    @rule(
        pick=picks,
        version=st.sampled_from(PRESENTED),
        then=outcomes,
        key=st.sampled_from((5, 6)),
    )
    @precondition(lambda self: self.twins)
    def request(self, pick, version, then, key):
        twin = self.twins[self.pick(self.twins, pick)]
        due = self.world.service.receive_request(self.world.request(twin.gateway, version, (key,)))
        self.expect_request(twin, version, due)
        if due is None:
            return
        hand = Hand(due, version, twin.life)
        twin.hand = hand
        self.hands.append(hand)
        self.go(hand, then)

    @rule(pick=picks, then=outcomes, seconds=pauses)
    @precondition(lambda self: self.twins)
    def request_with_the_old_version(self, pick, then, seconds):
        self.world.clock.advance(seconds)
        self.request(pick, OLD, then, 5)

    @rule(pick=picks, then=outcomes, versions=st.lists(st.sampled_from((OLD, OLD, OLD, NEW, OTHER)), max_size=5))
    @precondition(lambda self: self.twins)
    def requests_one_after_the_other(self, pick, then, versions):
        for version in versions:
            self.request(pick, version, then, 5)
            self.world.clock.advance(3 * HOUR_S)

    @rule(pick=picks, then=st.sampled_from(("whole", "whole", "broken", "unreadable", "crash", "writing")))
    @precondition(lambda self: self.hands)
    def go_on(self, pick, then):
        self.go(self.hands[pick % len(self.hands)], then)

    @rule(version=st.sampled_from(PRESENTED))
    def request_of_a_stranger(self, version):
        request = UpdateInfoRequest(GatewayEui(0xBAD), station=version.station, package=version.package)
        self.refused(lambda: self.world.service.answer(request), NotFound)

    @rule(pick=picks)
    @precondition(lambda self: self.twins)
    def meddling_of_a_stranger(self, pick):
        gateway, service = self.twins[self.pick(self.twins, pick)].gateway, self.world.service
        stranger = OWNER if gateway.owner == STRANGER else STRANGER
        for call in (service.task, service.delete_task, service.delete_gateway, service.explain):
            self.refused(lambda call=call: call(stranger, gateway.id), NotFound)

    # --- how a reply goes on ---

    def go(self, hand: Hand, then: str) -> None:
        if then == "reading":
            return
        if hand.reply is None and not self.begin(hand, then):
            self.hands.remove(hand)
            return
        if then == "writing":
            return
        self.hands.remove(hand)
        self.finish(hand, whole=then != "broken")

    def begin(self, hand: Hand, then: str) -> bool:
        service = self.world.service
        if then == "unreadable":
            service.reject_unreadable(hand.due, SourceUnavailable("S3 does not answer"))
        elif then == "crash":
            self.world.source.trouble = RuntimeError("a bug")
            with pytest.raises(RuntimeError):
                service.read_and_start_reply(hand.due)
            self.world.source.trouble = None
        else:
            reply = service.start_reply(hand.due, FakeImage(b"update"))
            self.expect_begin(hand, reply)
            hand.reply = reply
            if reply.image is not None:
                return True
        self.let_go(hand)
        return False

    def finish(self, hand: Hand, *, whole: bool) -> None:
        assert hand.reply is not None
        twin = self.twin_of(hand)
        self.read_log()
        if twin is not None and whole:
            eui = hand.due.gateway.eui.hex
            self.sends[eui] = self.sends.get(eui, 0) + 1
            assert self.sends[eui] <= 3, "more than three whole sends in one life"
        self.expect_finish(hand, twin, whole)
        self.world.service.finish_reply(hand.reply, delivered=whole)
        self.let_go(hand)

    def twin_of(self, hand: Hand) -> Twin | None:
        """The gateway that waits for this reply; None where it, or its task, has gone since."""
        return next((twin for twin in self.twins.values() if twin.hand is hand), None)

    def let_go(self, hand: Hand) -> None:
        if twin := self.twin_of(hand):
            twin.hand = None

    # --- what the twin expects; nothing here ---

    def expect_request(self, twin: Twin, version: GatewayVersion, due: PendingUpdate | None) -> None: ...

    def expect_begin(self, hand: Hand, reply: Reply) -> None: ...

    def expect_finish(self, hand: Hand, twin: Twin | None, whole: bool) -> None: ...

    def silence(self) -> None: ...

    # --- words ---

    @property
    def now(self) -> int:
        return self.world.clock.now_ms()

    def gives_way(self, gateway: Gateway) -> bool:
        return self.world.service.policy.existing_task == "ended_gives_way" and self.world.status(gateway) in ENDED

    @staticmethod
    def pick(things: dict[int, Twin], number: int) -> int:
        return sorted(things)[number % len(things)]

    def refused(self, call: Callable[[], object], error: type[TaskError]) -> None:
        before = snapshot(self.world)
        with pytest.raises(error):
            call()
        assert snapshot(self.world) == before

    # --- the laws ---

    @invariant()
    def log_is_in_order_and_every_row_follows_from_the_one_before(self):
        self.read_log()

    def read_log(self) -> None:
        log = self.world.service.log
        new, self.rows_seen = log[self.rows_seen :], len(log)
        for row in new:
            assert row.time >= self.last_time
            assert row.time <= self.now
            self.last_time = row.time
            before = self.last_status.get(row.gateway)
            assert row.from_status == before
            if row.from_status == row.to_status:
                assert row.to_status is not None
            else:
                assert (row.from_status, row.to_status) in CHANGES
            if row.from_status is None:
                assert row.attempt == 0
                self.sends[row.gateway] = 0
                self.lives[row.gateway] = self.lives.get(row.gateway, 0) + 1
            self.last_status[row.gateway] = row.to_status

    @invariant()
    def log_tells_of_every_task_and_of_no_other(self):
        for twin in self.twins.values():
            status = self.last_status.get(twin.gateway.eui.hex)
            if status is None:
                with pytest.raises(NotFound):
                    self.world.task(twin.gateway)
            else:
                task = self.world.task(twin.gateway)
                assert task.status == status
                assert task.sends == self.sends[twin.gateway.eui.hex] <= 3

    @invariant()
    def lists_are_what_was_made(self):
        service = self.world.service
        for owner in (OWNER, STRANGER):
            assert service.definitions(owner) == [d for d in self.definitions if d.owner == owner]
            mine = {twin.gateway.id for twin in self.twins.values() if twin.gateway.owner == owner}
            assert {gateway.id for gateway in service.gateways(owner)} == mine


class Agreement(Laws):
    """Under the default policy, with and without a settle time, the service does what the twin expects."""

    @initialize(settle_s=st.sampled_from((0, 0, 2 * HOUR_S)), definitions=definitions)
    def begin_with(self, settle_s, definitions):
        self.settle_s = settle_s
        self.use(definitions, settle_s=settle_s)

    def silence(self) -> None:
        for twin in self.twins.values():
            twin.fall_silent(self.now)

    def winner(self, twin: Twin, version: GatewayVersion) -> Definition | None:
        if version.package is None:
            return None
        for definition in self.definitions:  # oldest first
            mine = definition.owner == twin.gateway.owner and definition.auto_create_tasks
            if mine and definition.update and definition.update.current_version == version:
                return definition
        return None

    def expect_request(self, twin: Twin, version: GatewayVersion, due: PendingUpdate | None) -> None:
        self.silence()
        twin.seen_ms = self.now
        if twin.life is None and (definition := self.winner(twin, version)):
            twin.life = Life(definition, since_ms=self.now)
        life = twin.life
        if life is None or twin.hand is not None:
            assert due is None
            return
        status, sends = life.expects(version, self.now, self.settle_s)
        assert (due is not None) == (sends and life.has_source)
        if not sends:
            life.become(status, self.now)

    def expect_begin(self, hand: Hand, reply: Reply) -> None:
        self.silence()
        twin = self.twin_of(hand)
        if twin is None or hand.life is None:
            assert reply.image is None
            return
        life = hand.life
        status, sends = life.expects(hand.presented, self.now, self.settle_s)
        assert (reply.image is not None) == sends
        if sends:
            current = life.definition.update.current_version
            assert fits(current, hand.presented) or hand.presented == life.offered, "a send without a match"
            life.become(status, self.now)
            life.offered = life.offered or hand.presented
            life.broke, life.went_out = True, False

    def expect_finish(self, hand: Hand, twin: Twin | None, whole: bool) -> None:
        self.silence()
        if twin is not None and whole:
            hand.life.went_out, hand.life.broke, hand.life.sent_ms = True, False, self.now
            hand.life.whole += 1

    @invariant()
    def the_service_agrees_with_the_twin(self):
        self.silence()
        for twin in self.twins.values():
            assert self.world.has_task(twin.gateway) == (twin.life is not None)
            if twin.life is not None:
                task = self.world.task(twin.gateway)
                expected = (twin.life.definition, twin.life.status, twin.life.whole)
                assert (task.definition, task.status, task.sends) == expected


class AnyPolicy(Laws):
    """The laws hold under every policy."""

    @initialize(
        policy=st.fixed_dictionaries(
            {d.name: st.sampled_from(d.choices) for d in Policy().decisions() if d.choices}
            | {
                "settle_s": st.sampled_from((0, 60, 2 * HOUR_S)),
                "silence_timeout_s": st.sampled_from((0, 60, 48 * HOUR_S)),
            }
        ),
        definitions=definitions,
    )
    def begin_with(self, policy, definitions):
        self.use(definitions, **policy)

    def expect_request(self, twin: Twin, version: GatewayVersion, due: PendingUpdate | None) -> None:
        eui = twin.gateway.eui.hex
        before = self.lives.get(eui)
        self.read_log()
        if self.lives.get(eui) != before:  # an ended task gave way: a reply in flight for it is nobody's any more
            twin.hand = None
        assert due is None or twin.hand is None, "two replies at once"


CALM = settings(
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate, Phase.shrink),
    stateful_step_count=50,
)


@pytest.mark.parametrize("examples", [150, pytest.param(500, marks=pytest.mark.slow)])
def test_the_service_agrees_with_the_table_of_decisions_whatever_is_done(examples):
    run_state_machine_as_test(Agreement, settings=settings(CALM, max_examples=examples))


@pytest.mark.parametrize("examples", [100, pytest.param(300, marks=pytest.mark.slow)])
def test_the_laws_hold_under_every_policy(examples):
    run_state_machine_as_test(AnyPolicy, settings=settings(CALM, max_examples=examples))
