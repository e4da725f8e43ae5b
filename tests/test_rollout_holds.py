"""When a rollout holds and what it does about it: foreign events, people, hooks, clocks and the prediction."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from rollout_memory import (
    DEFINITION,
    HOUR_MS,
    NEW,
    OLD,
    MemoryAws,
    MemoryTask,
    error,
    make_gateways,
    make_plan,
    run_apply,
)

from lorafw.fleet.plan import Manual, Plan, Threshold, Wave
from lorafw.rollout.application import command
from lorafw.rollout.engine import Until
from lorafw.rollout.envelope import ObservedWave
from lorafw.rollout.events import Command, HookMoment
from lorafw.rollout.hooks import CommandHook, HookResult
from lorafw.rollout.plan_text import describe_status
from lorafw.rollout.saved_plan import SavedPlan
from lorafw.rollout.state import RolloutState
from lorafw.rollout.status import EXIT_STATUS, StateName, describe_state, status_document

HOUR_S = 3600.0
GATE = Threshold(success=0.9, error=0.5)
TWO_WAVES = Plan(waves=(Wave(size=2, bake_s=4 * HOUR_S, gate=GATE), Wave(size=4)))


class Scene:
    """Six gateways, a plan and a journal. ``run`` runs ``apply`` once more."""

    def __init__(self, folder: Path, plan: Plan = TWO_WAVES, failing: dict[int, int] | None = None) -> None:
        self.gateways = make_gateways(6, period_ms=HOUR_MS, failing=failing or {})
        self.aws = MemoryAws(self.gateways)
        self.plan: SavedPlan = make_plan(plan, [gateway.id for gateway in self.gateways], period_ms=HOUR_MS)
        self.journal = folder / "rollout.journal"
        self.options: dict[str, Any] = {"min_list_interval_ms": 600_000}

    def run(self, until: Until = Until.HOLD) -> tuple[StateName, str]:
        self.state: RolloutState = run_apply(self.aws, self.plan, self.journal, until, **self.options)
        description = describe_state(self.state)
        return description.name, description.reason

    def tell(self, chosen: Command, reason: str = "tested") -> None:
        clock = self.aws.clock()
        command(self.plan, self.journal, chosen, actor="arn:test", reason=reason, clock=clock)

    def one_task_each(self) -> bool:
        return set(self.aws.created.values()) <= {1}


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def foreign_task(scene: Scene) -> None:
    scene.gateways[1].task = MemoryTask("somebody's", scene.aws.now_ms)


def other_version(scene: Scene) -> None:
    scene.gateways[0].version = {"PackageVersion": "7.0.0"}


def no_gateway(scene: Scene) -> None:
    del scene.aws.gateways["gw-00001"]


def other_object(scene: Scene) -> None:
    scene.aws.head = {**scene.aws.head, "ETag": '"other"'}


def racing_definition(scene: Scene) -> None:
    scene.aws.definitions["racer"] = {**DEFINITION, "AutoCreateTasks": True}
    scene.aws.tags["racer"] = []


FOREIGN: list[tuple[Callable[[Scene], None], str]] = [
    (foreign_task, "gateway gw-00001 has a task of another definition, somebody's, PENDING"),
    (other_version, "gateway gw-00000 presents PackageVersion='7.0.0'"),
    (no_gateway, "gateway gw-00001 is not registered any more"),
    (other_object, 'was replaced: version None, ETag "other"'),
    (racing_definition, "AutoCreateTasks of racer"),
]


@pytest.mark.parametrize(("change", "reason"), FOREIGN, ids=lambda value: getattr(value, "__name__", ""))
def test_what_somebody_else_has_changed_holds_the_wave_and_is_told(
    scene: Scene, change: Callable[[Scene], None], reason: str
) -> None:
    change(scene)
    name, told = scene.run()
    assert name is StateName.HOLDING
    assert reason in told
    assert scene.aws.created["gw-00001"] == 0


@pytest.mark.parametrize(("change", "_"), FOREIGN, ids=lambda value: getattr(value, "__name__", ""))
def test_a_promotion_goes_on_and_touches_nothing_of_others(
    scene: Scene, change: Callable[[Scene], None], _: str
) -> None:
    change(scene)
    scene.run()
    scene.tell(Command.PROMOTE)
    if change is other_object:
        assert scene.run()[0] is StateName.HOLDING, "another update than the planned one is never installed"
        return
    assert scene.run(Until.END)[0] is StateName.COMPLETED
    assert scene.one_task_each()
    assert not scene.aws.deleted
    if change is foreign_task:
        assert scene.gateways[1].task is not None
        assert scene.gateways[1].task.definition == "somebody's"
        assert scene.state.waves[0].remaining_size == 1


def test_a_problem_that_goes_away_lets_the_rollout_go_on_by_itself(scene: Scene) -> None:
    foreign_task(scene)
    assert scene.run()[0] is StateName.HOLDING
    scene.gateways[1].task = None
    assert scene.run(Until.END)[0] is StateName.COMPLETED
    assert len(scene.aws.created) == 6


def test_a_task_that_somebody_deletes_is_not_created_again(scene: Scene) -> None:
    scene.run(Until.IDLE)
    assert scene.aws.created["gw-00001"] == 1
    scene.gateways[1].task = None
    name, reason = scene.run()
    assert (name, reason) == (StateName.HOLDING, "the task of gateway gw-00001 was deleted by somebody else")
    scene.tell(Command.PROMOTE)
    assert scene.run(Until.END)[0] is StateName.COMPLETED
    assert scene.aws.created["gw-00001"] == 1


def test_a_deleted_definition_holds_the_next_wave_for_good(scene: Scene) -> None:
    scene.run(Until.IDLE)
    definition_id = scene.state.definition_id
    assert definition_id is not None
    tags = scene.aws.tags[definition_id]
    del scene.aws.definitions[definition_id]
    name, reason = scene.run()
    assert name is StateName.HOLDING
    assert f"task definition {definition_id} was deleted" in reason
    assert "make a new plan" in reason

    scene.aws.definitions["made-again"] = dict(DEFINITION)
    scene.aws.tags["made-again"] = tags
    scene.tell(Command.PROMOTE)
    assert scene.run()[0] is StateName.HOLDING, "its tasks would belong to another definition"
    assert len(scene.aws.created) == 2


def test_a_copy_of_the_plan_with_a_journal_of_its_own_holds_until_somebody_promotes_it(scene: Scene) -> None:
    scene.run(Until.IDLE)
    assert len(scene.aws.created) == 2
    scene.journal = scene.journal.with_name("copy.journal")
    name, reason = scene.run()
    assert name is StateName.HOLDING
    assert "with another journal" in reason
    assert len(scene.aws.created) == 2
    scene.tell(Command.PROMOTE)
    assert scene.run(Until.END)[0] is StateName.COMPLETED
    assert scene.one_task_each()
    assert len(scene.aws.definitions) == 1


def test_a_copy_of_the_plan_ends_its_hold_if_the_definition_of_the_other_is_gone(scene: Scene) -> None:
    scene.run(Until.IDLE)
    for gateway in scene.gateways:
        gateway.task = None
    first_journal = scene.journal
    scene.journal = first_journal.with_name("copy.journal")
    assert scene.run()[0] is StateName.HOLDING
    scene.aws.definitions.clear()
    assert scene.run(Until.END)[0] is StateName.COMPLETED


@pytest.mark.parametrize("is_paused", [False, True])
def test_a_promotion_counts_although_the_limit_of_the_gate_has_passed_while_apply_did_not_run(
    tmp_path: Path, is_paused: bool
) -> None:
    wave = Wave(size=2, bake_s=4 * HOUR_S, gate=GATE, again_s=HOUR_S, give_up_s=12 * HOUR_S)
    scene = Scene(tmp_path, Plan(waves=(wave, Wave(size=4))))
    scene.gateways[1].gone = True
    assert scene.run()[0] is StateName.HOLDING
    if is_paused:
        scene.tell(Command.PAUSE)
    scene.aws.advance(24 * HOUR_S)
    scene.tell(Command.PROMOTE)
    if is_paused:
        scene.tell(Command.RESUME)
    assert scene.run(Until.END)[0] is StateName.COMPLETED
    assert len(scene.aws.created) == 6


def test_a_gateway_that_has_the_new_version_already_gets_no_task(scene: Scene) -> None:
    scene.gateways[0].version = dict(NEW)
    assert scene.run(Until.END)[0] is StateName.COMPLETED
    assert scene.aws.created["gw-00000"] == 0
    assert status_document(scene.state)["counts"]["skipped"] == 1


def test_ended_tasks_of_an_earlier_update_are_deleted_only_if_that_was_allowed(scene: Scene) -> None:
    for gateway in scene.gateways:
        gateway.task = MemoryTask("last year's", scene.aws.now_ms - HOUR_MS, "COMPLETED")
    assert "--replace-ended" in scene.run()[1]
    assert not scene.aws.deleted
    scene.options["replaces_ended"] = True
    assert scene.run(Until.END)[0] is StateName.COMPLETED
    assert set(scene.aws.deleted.values()) == {1}
    assert set(scene.aws.created.values()) == {1}


def test_a_manual_gate_waits_for_a_promotion_and_then_the_next_wave_starts(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Plan(waves=(Wave(size=2, bake_s=HOUR_S, gate=Manual()), Wave(size=4))))
    name, reason = scene.run()
    assert name is StateName.HOLDING
    assert "waits for 'lorafw rollout promote'" in reason
    assert len(scene.aws.created) == 2
    scene.tell(Command.PROMOTE)
    assert scene.run(Until.END)[0] is StateName.COMPLETED
    assert len(scene.aws.created) == 6


def test_a_pause_creates_nothing_and_an_abort_deletes_what_is_pending(scene: Scene) -> None:
    scene.run(Until.IDLE)
    scene.tell(Command.PAUSE, "a storm")
    paused = (StateName.PAUSED, "by arn:test at 2027-01-15T08:00:00.000Z: a storm")
    assert scene.run() == paused
    scene.aws.advance(10 * HOUR_S)
    assert scene.run() == paused
    assert len(scene.aws.created) == 2
    scene.tell(Command.RESUME)
    scene.gateways[3].gone = scene.gateways[4].gone = True
    scene.run(Until.IDLE)
    assert len(scene.aws.created) == 6
    scene.tell(Command.ABORT, "no more")
    name, reason = scene.run(Until.END)
    assert (name, reason) == (StateName.ABORTED, "by arn:test at 2027-01-15T18:00:00.000Z: no more")
    assert set(scene.aws.deleted) >= {"gw-00003", "gw-00004"}
    assert f"{len(scene.aws.deleted)} deleted" in describe_status(scene.state)
    assert all(gateway.task is None or gateway.task.status != "PENDING" for gateway in scene.gateways)
    assert EXIT_STATUS[name] == 3


def test_an_abort_before_the_first_task_creates_none(scene: Scene) -> None:
    scene.tell(Command.ABORT)
    assert scene.run(Until.END)[0] is StateName.ABORTED
    assert not scene.aws.calls


def test_all_waves_ended_and_the_last_gate_not_passed_is_failed(tmp_path: Path) -> None:
    waves = (Wave(size=2, bake_s=4 * HOUR_S, gate=GATE), Wave(size=4, bake_s=5 * HOUR_S, gate=GATE))
    scene = Scene(tmp_path, Plan(waves=waves), failing={3: 3})
    name, reason = scene.run(Until.END)
    assert name is StateName.FAILED
    assert "the gate of wave 2 did not pass: 3 COMPLETED and 1 FAILED of 4" in reason
    assert EXIT_STATUS[name] == 7


def test_single_failures_within_the_gate_are_completed(tmp_path: Path) -> None:
    gate = Threshold(success=0.7, error=0.5)
    waves = (Wave(size=2, bake_s=4 * HOUR_S, gate=GATE), Wave(size=4, bake_s=5 * HOUR_S, gate=gate))
    scene = Scene(tmp_path, Plan(waves=waves), failing={3: 3})
    assert scene.run(Until.END) == (StateName.COMPLETED, "5 COMPLETED, 1 FAILED")


def test_a_gate_that_holds_is_checked_again_and_at_last_aborts(tmp_path: Path) -> None:
    wave = Wave(size=2, bake_s=HOUR_S, gate=GATE, again_s=HOUR_S, give_up_s=3 * HOUR_S)
    scene = Scene(tmp_path, Plan(waves=(wave, Wave(size=4))))
    scene.gateways[1].gone = True
    name, reason = scene.run()
    assert name is StateName.HOLDING
    assert "1 COMPLETED and 0 FAILED of 2" in reason or "0 COMPLETED" in reason
    assert status_document(scene.state)["next_look"] is not None
    name, reason = scene.run(Until.END)
    assert name is StateName.ABORTED
    assert "still undecided after 3 h 00 min" in reason


def test_a_hook_that_refuses_holds_and_one_that_agrees_is_asked_at_each_wave_and_gate(scene: Scene) -> None:
    asked: list[tuple[int, HookMoment]] = []
    answers = [HookResult(3, "ask Ines first")]

    def hook(wave: int, moment: HookMoment) -> HookResult:
        asked.append((wave, moment))
        return answers.pop() if answers else HookResult(0, "")

    scene.options["hook"] = hook
    name, reason = scene.run()
    assert name is StateName.HOLDING
    assert reason == "the hook before-wave of wave 1 ended with status 3: ask Ines first"
    assert not scene.aws.created
    assert scene.run(Until.END)[0] is StateName.COMPLETED
    before, after = HookMoment.BEFORE_WAVE, HookMoment.AFTER_GATE
    assert asked == [(0, before), (0, before), (0, after), (1, before), (1, after)]


def test_a_hook_is_a_command_without_a_shell_that_knows_wave_and_moment(tmp_path: Path) -> None:
    script = tmp_path / "hook.sh"
    script.write_text('#!/bin/sh\necho "$LORAFW_HOOK $LORAFW_WAVE $1"\nexit 4\n')
    script.chmod(0o755)
    hook = CommandHook.parse(f"{script} '$HOME; true'", "plan")
    assert hook(1, HookMoment.AFTER_GATE) == HookResult(4, "after-gate 2 $HOME; true")
    missing = CommandHook.parse(str(tmp_path / "nothing"), "plan")(0, HookMoment.BEFORE_WAVE)
    assert (missing.exit_status, missing.output) == (127, "it cannot be started: No such file or directory")


def test_outside_of_the_prediction_the_rollout_holds_until_somebody_promotes_it(scene: Scene) -> None:
    def envelope(plan: SavedPlan, seen: ObservedWave) -> str | None:
        is_late = seen.wave == 0 and seen.elapsed_ms > HOUR_MS and seen.completed < 2
        return f"wave 1: {seen.completed} COMPLETED after {seen.elapsed_ms / HOUR_MS:.0f} h" if is_late else None

    scene.options["envelope"] = envelope
    name, reason = scene.run()
    assert name is StateName.HOLDING
    assert reason.startswith("wave 1: ")
    scene.tell(Command.PROMOTE, "the polls are slow here")
    assert scene.run(Until.END)[0] is StateName.COMPLETED


def test_after_an_interruption_the_rate_of_the_plan_is_kept(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Plan(waves=(Wave(size=6),)))
    offsets = tuple(60_000 * number for number in range(6))
    wave = scene.plan.waves[0]
    object.__setattr__(wave, "offsets_ms", offsets)
    scene.run(Until.IDLE)
    scene.aws.advance(HOUR_S)
    scene.run(Until.IDLE)
    assert len(scene.aws.created) == 2, "one task a minute, however long apply did not run"
    scene.run(Until.END)
    created = sorted(gateway.task.created_ms for gateway in scene.gateways if gateway.task)
    assert min(later - earlier for earlier, later in pairwise(created)) >= 59_000


def test_the_status_has_what_its_readers_need(scene: Scene) -> None:
    scene.run(Until.IDLE)
    document = status_document(scene.state)
    assert document["state"] == "running"
    assert document["counts"]["PENDING"] + document["counts"]["IN_PROGRESS"] == 2
    assert document["counts"]["waiting"] == 4
    assert [wave["size"] for wave in document["waves"]] == [2, 4]
    assert {"size", "state", "completed", "failed"} <= set(document["waves"][0])
    assert document["next_look"].endswith("Z")
    assert document["reason"].startswith("wave 1 runs; its gate is checked")


def test_a_call_that_is_not_allowed_is_told_and_tried_again(scene: Scene) -> None:
    def deny(operation: str) -> None:
        if operation == "CreateWirelessGatewayTask":
            raise error("AccessDeniedException", operation)

    scene.aws.before = deny
    name, reason = scene.run()
    assert name is StateName.HOLDING
    assert reason.startswith("CreateWirelessGatewayTask is not allowed")
    assert scene.gateways[0].version == OLD
