"""There is a way on from every state, and a promotion accepts what ``status`` shows and nothing else."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from rollout_memory import DEFINITION, HOUR_MS, START_MS, error
from test_rollout_holds import GATE, HOUR_S, Scene, racing_definition

from lorafw.fleet.plan import Plan, Wave
from lorafw.localaws.connection import Connection
from lorafw.rollout.advice import advise
from lorafw.rollout.application import read_state
from lorafw.rollout.cleaning import CleaningResult, clean
from lorafw.rollout.engine import Until
from lorafw.rollout.events import Command, HookMoment, WaveStarted
from lorafw.rollout.evolution import evolve
from lorafw.rollout.gates import first_check_ms
from lorafw.rollout.hooks import CommandHook, HookResult
from lorafw.rollout.state import initial_state
from lorafw.rollout.status import StateName, can_be_promoted, counts_of, describe_state
from lorafw.rollout.task_log import created_row


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def clean_up(scene: Scene) -> CleaningResult:
    connection = Connection(scene.aws.client, scene.plan.target, "arn:test")
    return clean(scene.plan, scene.journal, connection, scene.aws.clock())


def test_to_leave_out_a_gateway_after_the_last_gate_does_not_end_the_rollout(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Plan(waves=(Wave(size=6),)))
    scene.run(Until.IDLE)
    scene.gateways[5].task = None
    assert scene.run() == (StateName.HOLDING, "the task of gateway gw-00005 was deleted by somebody else")
    scene.tell(Command.PROMOTE)
    assert scene.run(Until.IDLE)[0] is StateName.RUNNING
    assert scene.run(Until.END) == (StateName.COMPLETED, "5 COMPLETED, 0 FAILED")


def test_to_leave_out_a_gateway_does_not_pass_the_gate_of_its_wave(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Plan(waves=(Wave(size=3, bake_s=HOUR_S, gate=GATE), Wave(size=3))))
    for gateway in scene.gateways[:3]:
        gateway.gone = True
    assert "the gate of wave 1 has not passed" in scene.run()[1]
    scene.gateways[2].task = None
    scene.aws.advance(26 * HOUR_S)
    assert scene.run() == (StateName.HOLDING, "the task of gateway gw-00002 was deleted by somebody else")
    scene.tell(Command.PROMOTE)
    name, reason = scene.run()
    assert name is StateName.HOLDING
    assert "the gate of wave 1 has not passed" in reason
    assert len(scene.aws.created) == 3
    scene.tell(Command.PROMOTE)
    scene.run(Until.IDLE)
    assert len(scene.aws.created) == 6


def test_a_hold_ends_when_what_is_left_of_it_was_accepted_before(scene: Scene) -> None:
    racing_definition(scene)
    scene.run()
    scene.tell(Command.PROMOTE)
    scene.aws.definitions["second"] = {**DEFINITION, "AutoCreateTasks": True}
    scene.aws.tags["second"] = []
    assert "AutoCreateTasks of racer, second" in scene.run()[1]
    del scene.aws.definitions["second"]
    assert scene.run(Until.END)[0] is StateName.COMPLETED


def test_the_bake_time_begins_with_the_last_task_even_if_an_earlier_one_becomes_known_later(scene: Scene) -> None:
    begun = [WaveStarted(at_ms=START_MS, wave=0)]
    last, unclear = (
        created_row("gw-00001", START_MS + 20 * 60_000, START_MS + 20 * 60_000),
        created_row("gw-00000", START_MS, START_MS + 21 * 60_000),
    )
    wave = evolve(initial_state(scene.plan), [*begun, last, unclear]).waves[0]
    assert wave.last_created == "gw-00001"
    assert first_check_ms(wave, scene.plan.wave_rules[0]) == START_MS + 20 * 60_000 + 4 * HOUR_MS


def test_a_task_that_a_clock_ahead_has_dated_counts_as_created_now(scene: Scene) -> None:
    """The clock of a testbed can be a day ahead of the machine. No gate waits for that day."""
    scene.run(Until.IDLE)
    journal = scene.journal.with_name("second.journal")
    for gateway in scene.gateways[:2]:
        assert gateway.task is not None
        gateway.task.created_ms += 24 * HOUR_MS
    scene.journal = journal
    scene.run()
    scene.tell(Command.PROMOTE)
    scene.run(Until.IDLE)
    assert scene.state.waves[0].last_created_ms == START_MS


@pytest.mark.parametrize("is_promoted", [False, True])
def test_an_aborted_rollout_ends_although_a_gateway_never_answers_again(is_promoted: bool, scene: Scene) -> None:
    scene.run(Until.IDLE)
    scene.aws.advance(HOUR_S)
    scene.run(Until.IDLE)
    scene.gateways[0].gone = True
    scene.tell(Command.ABORT, "no more")
    assert scene.run()[0] is StateName.ABORTED
    assert scene.state.finished is None
    assert any("until 2027-01-22T09:00:00.000Z at the latest" in line for line in advise(scene.state))
    if is_promoted:
        scene.aws.advance(HOUR_S)
        scene.run()
        assert can_be_promoted(scene.state)
        scene.tell(Command.PROMOTE)
    scene.run(Until.END)
    assert scene.state.finished is not None
    assert scene.state.finished.reason == "1 COMPLETED, 0 FAILED, 1 not ended"
    assert (scene.aws.now_ms - START_MS < 24 * HOUR_MS) is is_promoted
    assert clean_up(scene) == CleaningResult(deleted=1, left=0, not_ended=1)


def test_a_task_that_ends_after_the_rollout_is_cleaned_and_the_journal_says_how_it_ended(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Plan(waves=(Wave(size=6, give_up_s=10 * HOUR_S),)))
    scene.gateways[3].gone = True
    assert scene.run(Until.END) == (StateName.COMPLETED, "5 COMPLETED, 0 FAILED, 1 not ended")
    assert not any("lorafw rollout apply" in line for line in advise(scene.state)), "it would do nothing"
    assert clean_up(scene) == CleaningResult(deleted=5, left=0, not_ended=1)
    scene.gateways[3].gone = False
    scene.aws.advance(2 * HOUR_S)
    assert clean_up(scene) == CleaningResult(deleted=1, left=5)
    assert not any(gateway.task for gateway in scene.gateways)
    state = read_state(scene.plan, scene.journal)
    assert counts_of(state)["COMPLETED"] == 6
    assert describe_state(state).name is StateName.COMPLETED


def test_a_creation_that_fails_again_and_again_is_tried_less_and_less_often(scene: Scene) -> None:
    class HourIsOver(BaseException):
        pass

    def fail(operation: str) -> None:
        if scene.aws.now_ms > START_MS + HOUR_MS:
            raise HourIsOver
        if operation == "CreateWirelessGatewayTask":
            raise error("InternalServerException", operation)

    scene.aws.before = fail
    with pytest.raises(HourIsOver):
        scene.run(Until.END)
    assert scene.aws.calls["CreateWirelessGatewayTask"] <= 2 * 70, "once a minute for each of two gateways"


def test_a_hook_that_leaves_a_program_in_the_background_has_ended_when_it_has_ended() -> None:
    hook = CommandHook.parse("sh -c 'yes a | head -c 200000; echo agreed; sleep 30 &'", "plan")
    start_s = time.monotonic()
    assert hook(0, HookMoment.BEFORE_WAVE) == HookResult(0, "agreed")
    assert time.monotonic() - start_s < 10
