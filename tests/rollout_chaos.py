# ruff: noqa: N803 -- the arguments are named as in boto3
"""A world in which everything happens to a rollout, for the random test of ``apply``.

An AWS in memory, a machine whose clock can be wrong, other people, and copies of the plan with journals of their own.
Trouble comes between two runs of ``apply`` or at a *boundary*: before or after a call, a commit or a nap.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from rollout_memory import DEFINITION, HOUR_MS, MemoryTask, error, make_gateways, make_plan, run_apply
from test_rollout_clock import AwsWithClock

from lorafw.errors import LorafwError
from lorafw.fleet.plan import Plan
from lorafw.localaws.connection import Connection
from lorafw.rollout import read_report
from lorafw.rollout.application import command
from lorafw.rollout.cleaning import clean
from lorafw.rollout.decisions import step
from lorafw.rollout.engine import Until
from lorafw.rollout.events import Command, Event
from lorafw.rollout.evolution import evolve
from lorafw.rollout.hooks import HookResult
from lorafw.rollout.journal import Journal, open_journal
from lorafw.rollout.observations import WriteEvent
from lorafw.rollout.plan_text import describe_status
from lorafw.rollout.report.text import format_report
from lorafw.rollout.saved_plan import DEFINITION_TAG
from lorafw.rollout.state import RolloutState, forget_session, initial_state
from lorafw.rollout.status import status_document

Trouble = Callable[[str], None]
"""Happens at a boundary, whose name it is given, such as "after CreateWirelessGatewayTask"."""

MOST_TICKS_PER_MINUTE = 400
"""Boundaries in a minute of a few gateways. If there are more, ``apply`` does the same again and again."""


class Killed(BaseException):
    """Ends ``apply`` at once. Nothing catches it."""


class TickingJournal(Journal):
    """A journal with a boundary before and after each commit, and at each nap."""

    def __init__(self, journal: Journal, tick: Trouble) -> None:
        super().__init__(journal._connection, journal.path, journal.plan)
        self._tick = tick

    def append(self, events: Sequence[Event]) -> list[Event]:
        self._tick("before commit")
        written = super().append(events)
        self._tick("after commit")
        return written

    def append_decisions(self, events: Sequence[Event]) -> bool:
        self._tick("before commit")
        is_written = super().append_decisions(events)
        self._tick("after commit")
        return is_written

    def has_new_commands(self) -> bool:
        self._tick("at a nap")
        return super().has_new_commands()


class ChaosAws(AwsWithClock):
    """Its definitions can vanish, and it remembers the tokens with which they were created."""

    def __init__(self, world: World) -> None:
        super().__init__(world.gateways)
        self.before = lambda operation: world.tick(f"before {operation}")
        self.after = lambda operation: world.tick(f"after {operation}")
        self._world = world
        self._ahead_ms = 0
        self.stop_ms = 0
        """``apply`` is killed at this time. 0 if it is not."""
        self.definition_by_token: dict[str, str] = {}
        self.object: dict[str, Any] | None = dict(self.head)

    @property
    def ahead_ms(self) -> int:
        return self._ahead_ms

    def set_clock(self, ahead_ms: int) -> None:
        self._ahead_ms = ahead_ms

    def advance(self, seconds: float) -> None:
        self.now_ms += max(1, round(seconds * 1000))
        if self.stop_ms and self.now_ms > self.stop_ms:
            raise Killed

    def create_wireless_gateway_task(self, Id: str, WirelessGatewayTaskDefinitionId: str) -> dict[str, Any]:
        gateway = self.gateways.get(Id)
        if gateway is not None and gateway.task is None:
            self._world.check_creation(Id, WirelessGatewayTaskDefinitionId)
        if WirelessGatewayTaskDefinitionId not in self.definitions:
            raise error("ResourceNotFoundException", "CreateWirelessGatewayTask")
        return super().create_wireless_gateway_task(Id, WirelessGatewayTaskDefinitionId)

    def get_wireless_gateway_task_definition(self, Id: str) -> dict[str, Any]:
        if Id not in self.definitions:
            raise error("ResourceNotFoundException", "GetWirelessGatewayTaskDefinition")
        return super().get_wireless_gateway_task_definition(Id)

    def list_tags_for_resource(self, ResourceArn: str) -> dict[str, Any]:
        if ResourceArn not in self.definitions:
            raise error("ResourceNotFoundException", "ListTagsForResource")
        return super().list_tags_for_resource(ResourceArn)

    def create_wireless_gateway_task_definition(
        self, ClientRequestToken: str, Tags: list[dict[str, str]], **members: Any
    ) -> dict[str, Any]:
        with self._operation("CreateWirelessGatewayTaskDefinition"):
            id = self.definition_by_token.get(ClientRequestToken, "")
            if id not in self.definitions:
                id = f"definition-{self.calls['CreateWirelessGatewayTaskDefinition']}"
                self.definition_by_token[ClientRequestToken] = id
                self.definitions[id], self.tags[id] = members, Tags
        return {"Id": id}

    def head_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        with self._operation("HeadObject"):
            if self.object is None:
                raise error("404", "HeadObject")
            return self.object


class World:
    """A plan, its gateways and journals, and everybody who interferes.

    Args:
        folder: The folder of the journals.
        plan: The plan.
        failing: How many tries of a gateway fail, by its number.
    """

    def __init__(self, folder: Path, plan: Plan, failing: Mapping[int, int]) -> None:
        size = int(sum(wave.size or 0 for wave in plan.waves))
        self.gateways = make_gateways(size, period_ms=HOUR_MS, failing=failing)
        self.plan = make_plan(plan, [gateway.id for gateway in self.gateways], period_ms=HOUR_MS)
        self.aws = ChaosAws(self)
        self.folder = folder
        self.journals = [folder / "0.journal"]
        self.journal = self.journals[0]
        self.hook_status = 0
        self._state = initial_state(self.plan)
        """The state of the running ``apply``."""
        self._meddled: set[str] = set()
        """The gateways whose task of the plan somebody else has deleted. They can get a second one."""
        self._planned: dict[int, Trouble] = {}
        self._ticks = self._minute = self._ticks_of_minute = 0

    # --- apply ---

    def apply(
        self, until: Until, hours: float, planned: Mapping[int, Trouble], *, has_hook: bool = False, **settings: Any
    ) -> RolloutState | None:
        """Run ``apply`` until it ends or is killed, at the latest after some hours.

        Args:
            until: When ``apply`` ends.
            hours: When it is killed.
            planned: What happens at which boundary, by its number.
            has_hook: True to run it with a hook.
            settings: How it is started.

        Returns:
            The state that it has returned. None if it was killed.
        """
        self._planned, self._ticks = dict(planned), 0
        self.aws.stop_ms = self.aws.now_ms + round(hours * HOUR_MS)
        hook = (lambda *_: HookResult(self.hook_status, "said so")) if has_hook else None
        options = {"compares_clock": True, "min_list_interval_ms": HOUR_MS // 2, "recheck_ms": HOUR_MS // 2}
        try:
            if self.replay().finished is not None:
                return self.replay()  # as the real apply does
            with patch("lorafw.rollout.engine.step", self._compared_step()):
                return run_apply(
                    self.aws,
                    self.plan,
                    self.journal,
                    until,
                    journal_type=self._open_journal,
                    hook=hook,
                    **{**options, **settings},
                )
        except Killed:
            return None
        finally:
            self._planned, self.aws.stop_ms = {}, 0

    def _open_journal(self, journal: Journal) -> Journal:
        self._reader = Journal(journal._connection, journal.path, self.plan)
        return TickingJournal(journal, self.tick)

    def tick(self, where: str) -> None:
        """Do what is planned for this boundary."""
        minute = self.aws.now_ms // 60_000
        if minute != self._minute:
            self._minute, self._ticks_of_minute = minute, 0
        self._ticks_of_minute += 1
        assert self._ticks_of_minute < MOST_TICKS_PER_MINUTE, f"apply does the same again and again: {where}"
        self._ticks += 1
        trouble = self._planned.pop(self._ticks, None)
        if trouble is not None:
            trouble(where)

    def replay(self, journal: Path | None = None) -> RolloutState:
        """Return the state that a journal tells."""
        with open_journal(journal or self.journal, self.plan) as opened:
            return evolve(initial_state(self.plan), opened.read())

    # --- what must hold ---

    def _compared_step(self) -> Callable[..., Any]:
        """Return ``step``, which then compares the state in memory with what the journal tells."""
        mirror = initial_state(self.plan)

        def compared(state: RolloutState, observations: Any, now_ms: int) -> Any:
            nonlocal mirror
            self._state, actions = step(state, observations, now_ms)
            mirror = evolve(mirror, self._reader.read(after=self._reader.read_position))
            decided = [action.event for action in actions if isinstance(action, WriteEvent)]
            check_same(self._state, evolve(mirror, decided))
            return self._state, actions

        return compared

    def check_creation(self, gateway: str, definition: str) -> None:
        """Check that a task may be created now."""
        state, wave = self._state, self.plan.wave_of[gateway]
        assert definition == state.definition_id
        assert self.aws.definition_by_token[self.plan.sha256] == definition or not self.aws.definitions
        assert all(before.decided_ms is not None for before in state.waves[:wave]), "a wave is out of order"
        assert state.waves[wave].started_ms is not None
        assert not state.problems
        assert (state.pause_reason, state.abort_reason, state.finished) == (None, None, None)
        # apply deletes tasks after an abort, and ended tasks of others. A person can promote a copy of an aborted plan.
        open_count = self.aws.created[gateway] - self.aws.deleted[gateway]
        assert open_count <= 0 or gateway in self._meddled, "a second task"

    def check_documents(self) -> None:
        """Check that the status and the report of each journal can be written, and count one task for each gateway."""
        for journal in self.journals:
            if not journal.exists():
                continue
            state = self.replay(journal)
            report = read_report(self.plan, journal).document
            assert json.dumps([status_document(state), report])
            assert describe_status(state)
            assert format_report(report)
            assert report["tasks"]["most_per_gateway"] <= 1

    # --- what people do ---

    def tell(self, chosen: Command) -> None:
        with suppress(LorafwError):
            command(self.plan, self.journal, chosen, actor="arn:test", reason="tested", clock=self.aws.clock())

    def delete_task(self, number: int) -> None:
        gateway = self.gateways[number]
        if gateway.task is not None:
            gateway.task = None
            self._meddled.add(gateway.id)

    def give_foreign_task(self, number: int, status: str = "PENDING") -> None:
        if self.gateways[number].task is None:
            self.gateways[number].task = MemoryTask("somebody's", self.aws.now_ms, status)

    def remove_gateway(self, number: int) -> None:
        self.aws.gateways.pop(self.gateways[number].id, None)

    def register_gateway(self, number: int) -> None:
        gateway = self.gateways[number]
        if gateway.id not in self.aws.gateways:
            self.delete_task(number)
            self.aws.gateways[gateway.id] = gateway

    def silence(self, number: int) -> None:
        self.gateways[number].gone = True

    def wake(self, number: int) -> None:
        gateway = self.gateways[number]
        if gateway.gone:
            gateway.gone, gateway.next_poll_ms = False, self.aws.now_ms + 1000

    def present(self, number: int, package: str) -> None:
        self.gateways[number].version = {"PackageVersion": package}

    def add_racer(self, name: str) -> None:
        self.aws.definitions[name], self.aws.tags[name] = {**DEFINITION, "AutoCreateTasks": True}, []

    def remove_racer(self, name: str) -> None:
        self.aws.definitions.pop(name, None)

    def delete_definition(self) -> None:
        self.aws.definitions.pop(self.aws.definition_by_token.get(self.plan.sha256, ""), None)

    def set_clock(self, ahead_ms: int) -> None:
        self.aws.set_clock(ahead_ms)

    def sleep(self, hours: float) -> None:
        self.aws.now_ms += round(hours * HOUR_MS)

    def let_hook_answer(self, status: int) -> None:
        self.hook_status = status

    def tag_definition(self, is_tagged: bool) -> None:
        id = self.aws.definition_by_token.get(self.plan.sha256, "")
        self.aws.tags[id] = [{"Key": DEFINITION_TAG, "Value": self.plan.sha256}] if is_tagged else []

    def put_object(self, etag: str | None) -> None:
        self.aws.object = {**self.aws.head, "ETag": etag} if etag else None

    def use_journal(self, number: int) -> None:
        """Use another journal with the same plan, or a new one."""
        if number >= len(self.journals):
            self.journals.append(self.folder / f"{len(self.journals)}.journal")
        self.journal = self.journals[min(number, len(self.journals) - 1)]

    def clean(self) -> None:
        before = {gateway.id for gateway in self.gateways if gateway.task is not None}
        connection = Connection(self.aws.client, self.plan.target, "arn:test")
        with self._without_boundaries(), suppress(LorafwError):
            clean(self.plan, self.journal, connection, self.aws.clock(), calls_per_s=1e6)
        self._meddled |= before - {gateway.id for gateway in self.gateways if gateway.task is not None}

    @contextmanager
    def _without_boundaries(self) -> Iterator[None]:
        planned, self._planned = self._planned, {}
        yield
        self._planned = planned

    def repair(self) -> None:
        """Undo what a person can undo."""
        self.aws.set_clock(0)
        self.put_object(self.aws.head["ETag"])
        self.tag_definition(True)
        self.hook_status = 0
        for name in [name for name in self.aws.definitions if name.startswith("racer")]:
            self.remove_racer(name)
        for number, gateway in enumerate(self.gateways):
            self.register_gateway(number)
            self.wake(number)
            if gateway.task is not None and gateway.task.definition == "somebody's":
                gateway.task = None
            if gateway.version["PackageVersion"] == "7":
                self.present(number, "1.0.0")


def check_same(known: RolloutState, replayed: RolloutState) -> None:
    """Check that two states are the same, apart from what a session holds."""
    known, replayed = _without_session(known), _without_session(replayed)
    for field in fields(RolloutState):
        in_memory, in_journal = getattr(known, field.name), getattr(replayed, field.name)
        assert field.name == "settings" or in_memory == in_journal, f"{field.name}: {in_memory} and {in_journal}"


def _without_session(state: RolloutState) -> RolloutState:
    """Return a state without what a session holds, and without the gateways to which nothing has happened."""
    state = forget_session(state)
    untouched = replace(state, gateways={})
    gateways = {id: progress for id, progress in state.gateways.items() if progress != untouched.progress_of(id)}
    waves = tuple(
        replace(wave, counts={name: count for name, count in wave.counts.items() if count}) for wave in state.waves
    )
    return replace(state, gateways=gateways, waves=waves)
