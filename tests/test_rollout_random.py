"""Whatever happens in whatever order: memory and journal agree, no gateway gets two tasks, and there is a way on.

Hypothesis chooses a plan, what people and AWS do between two runs of ``apply``, and what happens at which boundary of a
run. The suite searches for two seconds, and ``--slow`` for a minute.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from rollout_chaos import Killed, Trouble, World
from rollout_memory import HOUR_MS, error

from lorafw.fleet.plan import Abort, Manual, Plan, Threshold, Wave
from lorafw.rollout import timing
from lorafw.rollout.advice import advise
from lorafw.rollout.engine import Until
from lorafw.rollout.events import Command
from lorafw.rollout.state import Subject
from lorafw.rollout.status import StateName, describe_state

HOUR_S = 3600.0
GATE = Threshold(success=0.6, error=0.6)
PLANS = (
    Plan(waves=(Wave(size=2, bake_s=3 * HOUR_S, gate=GATE, give_up_s=24 * HOUR_S), Wave(size=4, give_up_s=86_400))),
    Plan(
        waves=(
            Wave(size=1, bake_s=HOUR_S, gate=Manual()),
            Wave(size=2, bake_s=2 * HOUR_S),
            Wave(size=3, bake_s=2 * HOUR_S, gate=GATE, give_up_s=48 * HOUR_S),
        ),
        abort=Abort(threshold=0.3, minimum_executed=3),
    ),
)
SIZE = 6
CODES = (
    "ThrottlingException",
    "ExpiredTokenException",
    "AccessDeniedException",
    "InternalServerException",
    "ValidationException",
    "ConflictException",
)
DAYS_MS = 48 * HOUR_MS
MINUTES_MS = HOUR_MS // 20

Deed = tuple[str, tuple[Any, ...]]
"""A method of the world and its arguments."""
numbers = st.integers(0, SIZE - 1)
TRIES = st.lists(st.sampled_from([0, 0, 0, 1, 3]), min_size=SIZE, max_size=SIZE)
"""How many tries of each gateway fail."""


def deed(name: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Deed]:
    return st.tuples(st.just(name), st.tuples(*arguments))


DEEDS = st.one_of(
    deed("tell", st.sampled_from([Command.PROMOTE, Command.PROMOTE, Command.RESUME, Command.PAUSE])),
    deed("tell", st.sampled_from([Command.PROMOTE, Command.RESUME, Command.RESUME, Command.ABORT])),
    deed("delete_task", numbers),
    deed("give_foreign_task", numbers, st.sampled_from(["PENDING", "COMPLETED"])),
    deed("remove_gateway", numbers),
    deed("register_gateway", numbers),
    deed("silence", numbers),
    deed("wake", numbers),
    deed("present", numbers, st.sampled_from(["1.0.0", "1.0.1", "7"])),
    deed("add_racer", st.sampled_from(["racer-1", "racer-2"])),
    deed("remove_racer", st.sampled_from(["racer-1", "racer-2"])),
    deed("put_object", st.sampled_from([None, '"other"', '"etag"', '"etag"'])),
)
RARE_DEEDS = st.one_of(
    deed("delete_definition"),
    deed("use_journal", st.integers(0, 2)),
    deed("clean"),
    deed("tag_definition", st.booleans()),
    deed("set_clock", st.sampled_from([0, 0, -DAYS_MS, -MINUTES_MS, MINUTES_MS, DAYS_MS])),
    deed("let_hook_answer", st.sampled_from([0, 0, 3])),
    deed("sleep", st.sampled_from([0.1, 2, 50])),
)
FAILURES = st.sampled_from([*CODES, "timeout"])
BOUNDARIES = st.integers(1, 30) | st.integers(1, 100)


class Rollout(RuleBasedStateMachine):
    """One rollout. Each rule is what can happen next."""

    @initialize(
        plan=st.sampled_from(PLANS), tries=st.lists(st.sampled_from([0, 0, 0, 1, 3]), min_size=SIZE, max_size=SIZE)
    )
    def begin(self, plan: Plan, tries: list[int]) -> None:
        self.folder = tempfile.TemporaryDirectory(dir=_memory())
        self.world = World(Path(self.folder.name), plan, dict(enumerate(tries)))

    @rule()
    def repair(self) -> None:
        """Otherwise most rollouts would hold before their first task."""
        self.world.repair()

    @rule(done=DEEDS | RARE_DEEDS)
    def do(self, done: Deed) -> None:
        self._do(done)

    @rule(
        until=st.sampled_from(Until),
        hours=st.sampled_from([0.01, 3, 30]),
        deeds=st.dictionaries(BOUNDARIES, DEEDS, max_size=2),
        failures=st.dictionaries(BOUNDARIES, FAILURES, max_size=2),
        killed_at=st.none() | BOUNDARIES,
        has_hook=st.sampled_from([False, False, True]),
        replaces_ended=st.booleans(),
    )
    def apply(
        self,
        until: Until,
        hours: float,
        deeds: Mapping[int, Deed],
        failures: Mapping[int, str],
        killed_at: int | None,
        *,
        has_hook: bool,
        replaces_ended: bool,
    ) -> None:
        planned: dict[int, Trouble] = {at: self._deed_at_boundary(done) for at, done in deeds.items()}
        planned.update({at: _failure(name) for at, name in failures.items()})
        if killed_at is not None:
            planned[killed_at] = _kill
        self.world.apply(until, hours, planned, has_hook=has_hook, replaces_ended=replaces_ended, batch=3)
        self.world.check_documents()

    def teardown(self) -> None:
        """A rollout that is left alone and repaired comes to its end: a person promotes, resumes or aborts it."""
        if not hasattr(self, "world"):
            return
        try:
            self._come_to_the_end()
        finally:
            self.folder.cleanup()

    def _come_to_the_end(self) -> None:
        self.world.repair()
        for turn in range(12):
            state = self.world.apply(Until.HOLD, 24 * 15, {})
            assert state is not None, f"apply goes on for ever: {describe_state(self.world.replay())}"
            assert describe_state(state).reason
            assert advise(state)
            if state.finished is not None:
                self.world.check_documents()
                return
            if state.abort_reason is not None:
                state = self.world.apply(Until.END, 24 * 15, {})
                assert state is not None, "an abort goes on for ever"
                return
            self.world.tell(self._way_on(state, turn))
        raise AssertionError(f"no way on: {describe_state(state)}")

    def _way_on(self, state: Any, turn: int) -> Command:
        if describe_state(state).name is StateName.PAUSED:
            return Command.RESUME
        if Subject.DEFINITION in state.problems or turn > 8:
            return Command.ABORT
        return Command.PROMOTE

    def _do(self, done: Deed) -> None:
        name, arguments = done
        getattr(self.world, name)(*arguments)

    def _deed_at_boundary(self, done: Deed) -> Trouble:
        return lambda _: self._do(done)


def _kill(_: str) -> None:
    raise Killed


def _failure(name: str) -> Trouble:
    """Return what fails the call at a boundary. At other boundaries nothing happens."""

    def fail(where: str) -> None:
        operation = where.rsplit(maxsplit=1)[-1]
        if not operation[0].isupper():
            return
        if name == "timeout":
            raise ReadTimeoutError(endpoint_url=operation)
        raise error(name, operation)

    return fail


def _memory() -> str | None:
    """Return a folder in memory if there is one."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


@pytest.fixture(autouse=True)
def _long_naps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real clock naps for half a second, which would be many naps in a day."""
    monkeypatch.setattr(timing, "_LONGEST_NAP_S", 3600.0)


@pytest.mark.parametrize(
    ("examples", "steps"), [(25, 8), pytest.param(150, 12, marks=pytest.mark.slow)], ids=["short", "long"]
)
def test_whatever_happens_memory_and_journal_agree_and_there_is_a_way_on(examples: int, steps: int) -> None:
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Rollout, settings=chosen)
