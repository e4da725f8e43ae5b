"""A command takes effect at its place in the journal: ``apply`` and a later reader of the journal agree about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from rollout_memory import error
from test_rollout_holds import Scene, racing_definition

from lorafw.errors import RolloutError
from lorafw.rollout.application import command, read_state
from lorafw.rollout.engine import Until
from lorafw.rollout.events import Command
from lorafw.rollout.hooks import HookResult
from lorafw.rollout.status import StateName, describe_state, status_document
from lorafw.rollout.timing import SimulatedTime


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def during(scene: Scene, operation: str, act: Callable[[], None]) -> None:
    """Do something once, while AWS carries out a call."""

    def once(called: str) -> None:
        if called == operation:
            scene.aws.after = lambda _: None
            act()

    scene.aws.after = once


def in_journal(scene: Scene) -> StateName:
    return describe_state(read_state(scene.plan, scene.journal)).name


def test_a_promotion_accepts_no_problem_that_apply_found_after_it(scene: Scene) -> None:
    racing_definition(scene)
    during(scene, "ListWirelessGatewayTaskDefinitions", lambda: scene.tell(Command.PROMOTE))
    name, reason = scene.run()
    assert name is StateName.HOLDING
    assert "AutoCreateTasks of racer" in reason
    assert in_journal(scene) is StateName.HOLDING
    assert not scene.aws.created
    scene.tell(Command.PROMOTE)
    assert scene.run(Until.END)[0] is StateName.COMPLETED


def test_a_promotion_while_the_hook_runs_does_not_count_for_the_answer_that_comes_later(scene: Scene) -> None:
    answers = [HookResult(3, "not at night"), HookResult(3, "ask Ines first")]

    def hook(*_: object) -> HookResult:
        if len(answers) == 1:
            scene.tell(Command.PROMOTE)
        return answers.pop()

    scene.options["hook"] = hook
    assert scene.run()[1].endswith("ask Ines first")
    scene.aws.advance(120)
    assert scene.run()[1].endswith("not at night")
    assert in_journal(scene) is StateName.HOLDING
    assert not scene.aws.created


def test_a_command_that_the_end_of_the_rollout_overtakes_is_refused_and_changes_nothing(scene: Scene) -> None:
    """The rollout ends after the command has read the journal, and before it writes."""

    class EndingClock(SimulatedTime):
        def now_ms(self) -> int:
            scene.run(Until.END)
            return scene.aws.now_ms

    clock = EndingClock(lambda: scene.aws.now_ms, scene.aws.advance)
    with pytest.raises(RolloutError, match="it cannot be told to abort"):
        command(scene.plan, scene.journal, Command.ABORT, actor="arn:test", reason="late", clock=clock)
    assert in_journal(scene) is StateName.COMPLETED


def test_after_an_abort_no_call_stays_unclear_that_apply_has_asked_about(scene: Scene) -> None:
    def fail(operation: str) -> None:
        if operation == "CreateWirelessGatewayTask":
            raise error("InternalServerException", operation)

    scene.aws.before = fail
    scene.run(Until.IDLE)
    scene.tell(Command.ABORT)
    assert scene.run(Until.END)[0] is StateName.ABORTED
    document = status_document(read_state(scene.plan, scene.journal))
    assert document["tasks"]["unclear"] == 0
    assert document["counts"]["waiting"] == 6
    assert document == status_document(scene.state)
