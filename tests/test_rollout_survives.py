"""No gateway gets a second task, and none is forgotten: ``apply`` is killed at every boundary, and every call fails.

The journal is a real file. The kill is an exception that nothing catches: what was committed before it is on the disk,
and a new ``apply`` knows nothing else. ``tests/bench/rollout_kills.py`` kills real processes with -9.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError
from rollout_memory import HOUR_MS, MemoryAws, error, make_gateways, make_plan, run_apply

from lorafw.fleet.plan import Abort, Plan, Threshold, Wave
from lorafw.rollout.engine import Until
from lorafw.rollout.events import Event
from lorafw.rollout.journal import Journal, open_journal
from lorafw.rollout.saved_plan import SavedPlan
from lorafw.rollout.status import StateName, describe_state

GATE = Threshold(success=0.5, error=0.9)
HOUR_S = 3600.0
CANARY = Plan(
    waves=(
        Wave(size=2, bake_s=4 * HOUR_S, gate=GATE),
        Wave(size=5, bake_s=2 * HOUR_S, gate=Threshold(success=0.7, error=0.9), again_s=HOUR_S),
        Wave(size=5),
    )
)
STOPPED = Plan(
    waves=(Wave(size=2, bake_s=2 * HOUR_S, gate=GATE), Wave(size=10, bake_s=HOUR_S, gate=GATE)),
    abort=Abort(threshold=0.1, minimum_executed=5),
)
"""A plan that the first failure of its second wave stops, while the gateways that never poll have PENDING tasks."""

PLANS = {"completed": (CANARY, {3: 1, 5: 3, 7: 2}, ()), "aborted": (STOPPED, {3: 3}, (10, 11))}
"""For each ending a plan, how many tries of which gateway fail, and which gateways never poll."""


Written = TypeVar("Written")


class Killed(BaseException):
    """Kills ``apply``."""


class Boundaries:
    """Counts the moments at which ``apply`` could be killed, and kills it at one of them."""

    def __init__(self, kill_at: int | None = None) -> None:
        self.kill_at, self.count = kill_at, 0

    def tick(self, operation: str = "Create") -> None:
        """Count a boundary. A call that only reads has none: nothing is different before and after it."""
        if not operation.startswith(("Create", "Delete")):
            return
        self.count += 1
        if self.count == self.kill_at:
            raise Killed


class KillingJournal(Journal):
    """A journal with a boundary before and after each commit."""

    def __init__(self, journal: Journal, boundaries: Boundaries) -> None:
        super().__init__(journal._connection, journal.path, journal.plan)
        self.boundaries = boundaries

    def append(self, events: Sequence[Event]) -> list[Event]:
        return self._with_boundaries(super().append, events)

    def append_decisions(self, events: Sequence[Event]) -> bool:
        return self._with_boundaries(super().append_decisions, events)

    def _with_boundaries(self, write: Callable[[Sequence[Event]], Written], events: Sequence[Event]) -> Written:
        if not events:
            return write(events)
        self.boundaries.tick()
        written = write(events)
        self.boundaries.tick()
        return written


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory if possible. On a disk, hundreds of journals that are flushed take minutes."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as name:
        yield Path(name)


def make_rollout(ending: str) -> tuple[MemoryAws, SavedPlan]:
    plan, failing, gone = PLANS[ending]
    gateways = make_gateways(12, period_ms=HOUR_MS, failing=failing)
    for number in gone:
        gateways[number].gone = True
    return MemoryAws(gateways), make_plan(plan, [gateway.id for gateway in gateways], period_ms=HOUR_MS)


def run(aws: MemoryAws, plan: SavedPlan, path: Path, boundaries: Boundaries | None = None) -> Any:
    boundaries = boundaries or Boundaries()
    aws.before = aws.after = boundaries.tick
    options = {"journal_type": lambda journal: KillingJournal(journal, boundaries), "min_list_interval_ms": 1_800_000}
    return run_apply(aws, plan, path, batch=4, **options)


def log_of(plan: SavedPlan, path: Path, *, times: bool = True) -> list[tuple[Any, ...]]:
    """The task log in gateway order, with or without its times."""
    with open_journal(path, plan) as journal:
        rows = sorted(journal.task_log(), key=lambda row: (row[1], row[0]))
    return rows if times else [row[1:] for row in rows]


def undisturbed(ending: str, folder: Path) -> tuple[MemoryAws, list[tuple[Any, ...]], int]:
    aws, plan = make_rollout(ending)
    boundaries = Boundaries()
    state = run(aws, plan, folder / "undisturbed.journal", boundaries)
    assert describe_state(state).name == ending
    return aws, log_of(plan, folder / "undisturbed.journal"), boundaries.count


@pytest.mark.parametrize("ending", PLANS)
def test_killed_at_any_boundary_apply_goes_on_as_if_nothing_had_happened(ending: str, folder: Path) -> None:
    expected, expected_log, boundaries = undisturbed(ending, folder)
    assert boundaries > 60
    assert set(expected.created.values()) == {1}
    # Before the abort, both plans have the same boundaries.
    first = 1 if ending == "completed" else boundaries - 20
    for kill_at in range(first, boundaries + 1):
        aws, plan = make_rollout(ending)
        path = folder / f"{kill_at}.journal"
        with suppress(Killed):
            run(aws, plan, path, Boundaries(kill_at))
            pytest.fail("it was not killed")
        state = run(aws, plan, path)
        assert describe_state(state).name == ending
        assert aws.created == expected.created, f"killed at boundary {kill_at}"
        assert not aws.conflicts, "read before you write"
        assert aws.deleted == expected.deleted
        assert len(aws.definitions) == 1
        assert {gateway.id: gateway.version for gateway in aws.gateways.values()} == {
            gateway.id: gateway.version for gateway in expected.gateways.values()
        }
        assert log_of(plan, path) == expected_log, f"killed at boundary {kill_at}"


def timeout(operation: str) -> Exception:
    return ReadTimeoutError(endpoint_url=operation)


def reset(operation: str) -> Exception:
    return ConnectionClosedError(endpoint_url=operation)


def answer(code: str) -> Callable[[str], Exception]:
    return lambda operation: error(code, operation)


FAILURES = {
    "throttled": ("before", answer("ThrottlingException")),
    "throttled after an effect": ("after", answer("ThrottlingException")),
    "expired": ("before", answer("ExpiredTokenException")),
    "denied": ("before", answer("AccessDeniedException")),
    "server error after the effect": ("after", answer("InternalServerException")),
    "timeout before the effect": ("before", timeout),
    "timeout after the effect": ("after", timeout),
    "reset before the effect": ("before", reset),
    "reset after the effect": ("after", reset),
}
OPERATIONS = {
    "completed": (
        "ListWirelessGateways",
        "GetWirelessGatewayTask",
        "GetWirelessGatewayFirmwareInformation",
        "CreateWirelessGatewayTask",
        "ListWirelessGatewayTaskDefinitions",
        "ListTagsForResource",
        "CreateWirelessGatewayTaskDefinition",
        "HeadObject",
    ),
    "aborted": ("DeleteWirelessGatewayTask",),
}
"""The operations that a rollout with each ending calls."""


def failing(failure: str, operation: str, calls: Iterable[int]) -> tuple[str, Callable[[str], None]]:
    """Where a hook of the memory's AWS goes, and the hook: it fails these calls of one operation."""
    place, make_error = FAILURES[failure]
    numbers: Iterator[int] = iter(range(1, 10**9))
    chosen = set(calls)

    def hook(called: str) -> None:
        if called == operation and next(numbers) in chosen:
            raise make_error(operation)

    return place, hook


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("ending", PLANS)
def test_whatever_call_fails_in_whatever_way_each_gateway_has_one_task(ending: str, failure: str, folder: Path) -> None:
    expected, expected_log, _ = undisturbed(ending, folder)
    for operation in OPERATIONS[ending]:
        aws, plan = make_rollout(ending)
        place, hook = failing(failure, operation, {1, expected.calls[operation] // 2})
        setattr(aws, place, hook)
        path = folder / f"{operation}.journal"
        state = run_apply(aws, plan, path, min_list_interval_ms=1_800_000)
        assert describe_state(state).name == ending, operation
        assert aws.created == expected.created, operation
        assert not aws.conflicts, operation
        assert len(aws.definitions) == 1
        assert log_of(plan, path, times=False) == [row[1:] for row in expected_log], operation


def test_a_gateway_whose_every_creation_times_out_after_its_effect_gets_one_task(folder: Path) -> None:
    aws, plan = make_rollout("completed")
    place, hook = failing("timeout after the effect", "CreateWirelessGatewayTask", range(1, 1000))
    setattr(aws, place, hook)
    state = run_apply(aws, plan, folder / "journal", min_list_interval_ms=1_800_000)
    assert describe_state(state).name is StateName.COMPLETED
    assert set(aws.created.values()) == {1}
    assert len(aws.created) == 12


def test_expired_credentials_are_told_and_waited_for(folder: Path) -> None:
    aws, plan = make_rollout("completed")
    place, hook = failing("expired", "CreateWirelessGatewayTask", range(1, 1000))
    setattr(aws, place, hook)
    state = run_apply(aws, plan, folder / "journal", Until.HOLD)
    assert describe_state(state).name is StateName.HOLDING
    assert "the credentials do not work" in describe_state(state).reason
    assert not aws.created
    aws.before = lambda operation: None
    assert describe_state(run_apply(aws, plan, folder / "journal")).name is StateName.COMPLETED
