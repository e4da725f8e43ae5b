"""If the clock is set during a rollout, no wave starts early, and nothing is delayed after it is right again.

The clock of the machine is set at every third hour of a rollout, forwards by a day or backwards by an hour, and set
right two hours later. ``apply`` runs all the time, or is started every half hour as by cron. AWS keeps the true time:
an account of AWS refuses calls with a wrong date, and a lab answers them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from rollout_memory import HOUR_MS, START_MS, MemoryAws, MemoryGateway, error, make_gateways, make_plan, run_apply
from test_rollout_survives import folder, log_of

from lorafw.fleet.plan import Plan, Threshold, Wave
from lorafw.rollout import timing
from lorafw.rollout.clock_check import MAX_DIFFERENCE_MS
from lorafw.rollout.decisions import step
from lorafw.rollout.engine import Until
from lorafw.rollout.events import DefinitionReady, WaveStarted
from lorafw.rollout.evolution import evolve
from lorafw.rollout.journal import open_journal
from lorafw.rollout.observations import CallFailed, CheckGateway, CreateTask, FailureKind, GatewayRead
from lorafw.rollout.saved_plan import SavedPlan
from lorafw.rollout.state import GatewayProgress, RolloutState, Settings, forget_session, initial_state
from lorafw.rollout.status import StateName, describe_state

HOUR_S, MINUTE_MS, DAY_MS = 3600.0, 60_000, 24 * HOUR_MS
PLAN = Plan(
    waves=(
        Wave(size=2, bake_s=4 * HOUR_S, gate=Threshold(success=0.9, error=0.9), give_up_s=6 * HOUR_S),
        Wave(size=2, bake_s=3 * HOUR_S),
        Wave(size=2, bake_s=2 * HOUR_S, give_up_s=6 * HOUR_S),
    )
)
"""The second wave has no gate: only time lets the third one begin."""
HOURS_APART = 3
"""Hours between the moments at which the clock is set, each in a rollout of its own."""


@dataclass(frozen=True)
class Jump:
    """The clock of the machine is wrong for a while."""

    at_ms: int
    ahead_ms: int
    lasts_ms: int = 2 * HOUR_MS


class MachineClock(timing.RealTime):
    """The clock of the machine in simulated time. It is wrong during the jump."""

    def __init__(self, aws: AwsWithClock) -> None:
        self._aws = aws

    def now_ms(self) -> int:
        return self._aws.now_ms + self._aws.ahead_ms

    def monotonic_s(self) -> float:
        return self._aws.now_ms / 1000

    def sleep(self, seconds: float) -> None:
        self._aws.advance(seconds)


@dataclass
class AwsWithClock(MemoryAws):
    """An AWS whose answers have a date, and a machine whose clock is set."""

    gateways_of_account: list[MemoryGateway]
    jump: Jump | None = None
    is_strict: bool = False
    """True to refuse calls with a wrong date, as AWS does."""
    created_ms: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(self.gateways_of_account)
        self.before = self.check_date

    @property
    def ahead_ms(self) -> int:
        jump = self.jump
        if jump is None or not 0 <= self.now_ms - jump.at_ms < jump.lasts_ms:
            return 0
        return jump.ahead_ms

    def metadata(self) -> dict[str, Any]:
        date = datetime.fromtimestamp(self.now_ms / 1000, UTC)
        return {"ResponseMetadata": {"HTTPHeaders": {"date": format_datetime(date, usegmt=True)}}}

    def check_date(self, operation: str) -> None:
        assert self.calls.total() < 2000, "it calls again and again"
        if self.is_strict and abs(self.ahead_ms) > MAX_DIFFERENCE_MS:
            answer = {"Error": {"Code": "InvalidSignatureException", "Message": "Signature expired"}}
            raise ClientError({**answer, **self.metadata()}, operation)  # type: ignore[arg-type]

    def clock(self) -> Any:
        return MachineClock(self)

    def client(self, service: str) -> Any:
        return DatedClient(self)


class DatedClient:
    """Answers as the AWS in memory does, with a date."""

    def __init__(self, aws: AwsWithClock) -> None:
        self._aws = aws

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        operation = getattr(self._aws, name)
        return lambda **arguments: {**operation(**arguments), **self._aws.metadata()}


__all__ = ["folder"]


@pytest.fixture(autouse=True)
def _long_naps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real clock naps for half a second, which would be many naps in a day."""
    monkeypatch.setattr(timing, "_LONGEST_NAP_S", 600.0)


def make_rollout(jump: Jump | None = None, *, is_strict: bool = False) -> tuple[AwsWithClock, SavedPlan]:
    gateways = make_gateways(6, period_ms=HOUR_MS, failing={1: 1, 4: 2})
    aws = AwsWithClock(gateways, jump, is_strict)
    return aws, make_plan(PLAN, [gateway.id for gateway in gateways], period_ms=HOUR_MS)


def carry_on(aws: AwsWithClock, plan: SavedPlan, path: Path, until: Until) -> RolloutState:
    return run_apply(aws, plan, path, until, compares_clock=True, min_list_interval_ms=10 * MINUTE_MS)


def run_all_the_time(aws: AwsWithClock, plan: SavedPlan, path: Path) -> Iterator[RolloutState]:
    yield carry_on(aws, plan, path, Until.END)


def run_by_cron(aws: AwsWithClock, plan: SavedPlan, path: Path) -> Iterator[RolloutState]:
    while True:
        state = carry_on(aws, plan, path, Until.IDLE)
        yield state
        if state.finished is not None:
            return
        aws.advance(30 * 60)


RUNS = {"apply runs all the time": run_all_the_time, "cron starts apply": run_by_cron}


def ends_of(plan: SavedPlan, path: Path) -> dict[str, str]:
    """The last status of each gateway in the journal."""
    return {row[1]: row[4] for row in log_of(plan, path)}


def undisturbed(run: str, path: Path) -> tuple[int, dict[str, str]]:
    """Hours that the rollout takes, and how it ends."""
    aws, plan = make_rollout()
    list(RUNS[run](aws, plan, path))
    return (aws.now_ms - START_MS) // HOUR_MS, ends_of(plan, path)


def check_rule(aws: AwsWithClock, plan: SavedPlan) -> None:
    """No second task, and each wave begins when the bake time of the one before it is over, by the true time."""
    assert aws.created == dict.fromkeys(plan.gateway_ids, 1)
    assert not aws.conflicts
    assert len(aws.definitions) == 1
    times_ms = [[aws.gateways[id].task.created_ms for id in wave.gateways] for wave in plan.waves]  # type: ignore[union-attr]
    for before_ms, after_ms, rule in zip(times_ms, times_ms[1:], plan.wave_rules, strict=False):
        assert min(after_ms) >= max(before_ms) + rule.bake_s * 1000 - MAX_DIFFERENCE_MS


@pytest.mark.parametrize("is_strict", [False, True], ids=["lab", "aws"])
@pytest.mark.parametrize("ahead_ms", [DAY_MS, -HOUR_MS], ids=["a day ahead", "an hour back"])
@pytest.mark.parametrize("run", RUNS)
def test_a_clock_that_is_set_at_any_hour_starts_no_wave_early_and_delays_nothing_once_it_is_right(
    run: str, ahead_ms: int, is_strict: bool, folder: Path
) -> None:
    hours, ends = undisturbed(run, folder / "undisturbed")
    told = 0
    for hour in range(0, hours, HOURS_APART):
        jump = Jump(START_MS + hour * HOUR_MS + 25 * MINUTE_MS, ahead_ms)
        aws, plan = make_rollout(jump, is_strict=is_strict)
        states = list(RUNS[run](aws, plan, folder / f"{hour}"))
        assert describe_state(states[-1]).name is StateName.COMPLETED
        check_rule(aws, plan)
        assert ends_of(plan, folder / f"{hour}") == ends
        assert aws.now_ms - START_MS <= (hours + 3) * HOUR_MS + jump.lasts_ms
        reasons = [describe_state(state) for state in states if "the clock" in describe_state(state).reason]
        assert {description.name for description in reasons} <= {StateName.HOLDING}
        told += len(reasons)
    if run == "cron starts apply":
        side = "24 h 00 min ahead of" if ahead_ms > 0 else "60 min behind"
        assert told > 1
        assert reasons[0].reason.startswith(f"the clock of this machine is {side} that of AWS; set it, until then")


def test_a_start_in_the_future_makes_no_call_again_and_again(folder: Path) -> None:
    """The clock was four minutes ahead when ``apply`` was started first, which is less than what AWS refuses."""

    def fail(operation: str) -> None:
        raise error("InternalServerException", operation)

    aws, plan = make_rollout(Jump(START_MS, 4 * MINUTE_MS, MINUTE_MS))
    aws.before = fail
    carry_on(aws, plan, folder / "journal", Until.IDLE)
    aws.before = aws.check_date
    aws.advance(60)
    state = carry_on(aws, plan, folder / "journal", Until.IDLE)
    assert aws.calls["HeadObject"] < 5
    assert state.waves[0].is_created


def test_a_gateway_is_checked_again_just_before_its_task_after_the_clock_was_set_back(folder: Path) -> None:
    _, plan = make_rollout()
    begun = [DefinitionReady(at_ms=START_MS, definition_id="d"), WaveStarted(at_ms=START_MS - HOUR_MS, wave=0)]
    checked = [GatewayRead(gateway, None) for gateway in plan.waves[0].gateways]
    state, actions = step(evolve(initial_state(plan, Settings()), begun), checked, START_MS)
    assert CreateTask("gw-00000") in actions
    assert CreateTask("gw-00000") in step(state, [], START_MS + 5000)[1]
    assert CheckGateway("gw-00000") in step(state, [], START_MS - 2 * MINUTE_MS)[1]


def test_a_gateway_whose_call_was_throttled_is_left_alone_until_its_time_to_retry(folder: Path) -> None:
    _, plan = make_rollout()
    begun = [DefinitionReady(at_ms=START_MS, definition_id="d"), WaveStarted(at_ms=START_MS - HOUR_MS, wave=0)]
    failed = CallFailed("GetWirelessGatewayTask", FailureKind.THROTTLED, "slow down", "gw-00000")
    state, actions = step(evolve(initial_state(plan, Settings()), begun), [failed], START_MS)
    assert CheckGateway("gw-00000") not in actions
    assert CheckGateway("gw-00001") in actions
    retry_ms = state.gateways["gw-00000"].session.retry_ms
    assert retry_ms > START_MS
    assert CheckGateway("gw-00000") in step(state, [], retry_ms)[1]


@pytest.mark.parametrize("hours", [0, 3, 6])
def test_after_the_clock_was_set_back_apply_knows_what_it_knows_after_a_restart(hours: int, folder: Path) -> None:
    """So no field that holds what this run has seen is forgotten when such fields are added."""
    aws, plan = make_rollout()
    carry_on(aws, plan, folder / "journal", Until.IDLE)
    aws.advance(hours * HOUR_S)
    state = carry_on(aws, plan, folder / "journal", Until.IDLE)
    with open_journal(folder / "journal", plan) as journal:
        restarted = evolve(initial_state(plan, state.settings), journal.read())
    known = forget_session(state)
    untouched = {gateway: GatewayProgress(plan.wave_of[gateway]) for gateway in plan.gateway_ids}
    assert {**untouched, **known.gateways} == {**untouched, **restarted.gateways}
    assert replace(known, gateways={}) == replace(restarted, gateways={})
