"""Lesson 16: how do I run a rollout, and how do I know when to stop?"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from lorafw.lab.exercises.grading import Exercise, function, number
from lorafw.lab.exercises.question import Option, Question, right

if TYPE_CHECKING:
    from lorafw.faults import FaultName
    from lorafw.fleet import Plan
    from lorafw.rollout import SavedPlan
    from lorafw.testbed import Testbed

_CANARIES: Final = 2
_GATEWAYS: Final = 4
_DAY_S: Final = 86_400
_DECISIONS: Final = 6
"""How often the learner is asked what to do, at most."""
_WAIT: Final = "wait"


def _plan() -> Plan:
    """Return a plan with two canaries, and a gate that waits for the learner."""
    from lorafw.fleet import Manual, Plan, Wave  # noqa: PLC0415 -- importing NumPy takes a tenth of a second

    return Plan(waves=(Wave(size=_CANARIES, gate=Manual()), Wave(size=_GATEWAYS - _CANARIES)))


def _make_plan(bed: Testbed) -> SavedPlan:
    """Return the saved plan of an update that the testbed has signed."""
    from lorafw.fleet import mixed_fleet  # noqa: PLC0415 -- importing NumPy takes a tenth of a second
    from lorafw.rollout import SimulatedTime, connect_clients, make_plan  # noqa: PLC0415

    iot = bed.client("iotwireless")
    definition_id = bed.define_update("1.0.1", restart="systemctl restart station", auto_create_tasks=False)
    update = iot.get_wireless_gateway_task_definition(Id=definition_id)["Update"]
    clock = SimulatedTime(bed.clock.now_ms, bed.advance)
    return make_plan(_plan(), {"Update": update}, mixed_fleet, connect_clients(bed.client, "lab"), clock=clock)


def _which_got_a_task(answer: object, fault: FaultName | None = None, *, is_everywhere: bool = True) -> list[bool]:
    """Carry out a rollout in two waves, about which the learner's function decides.

    Args:
        answer: The learner's function.
        fault: What is wrong with the gateways, or None.
        is_everywhere: False if only the first gateway of the first wave has the fault.

    Returns:
        For each gateway, in the order of the waves, whether it got a task.
    """
    from lorafw.testbed import Testbed  # noqa: PLC0415 -- importing the testbed takes about a second

    decide = cast("Callable[[Any], object]", answer)
    with (
        Testbed(gateways=_GATEWAYS, interval_s=_DAY_S, spread_polls=True) as bed,
        tempfile.TemporaryDirectory() as folder,
    ):
        plan = _make_plan(bed)
        ids = list(plan.gateway_ids)
        faulty = ids if is_everywhere else ids[:1]
        if fault is not None:
            for gateway_id in faulty:
                bed.inject(fault, gateway_id)
        _carry_out(bed, plan, Path(folder) / "journal", decide)
        # The log of the testbed has a row for each event of a task, with the EUI of the gateway.
        euis_with_task = {row.gateway for row in bed.log}
        eui_by_id = {gateway.id: gateway.eui.hex for gateway in bed.gateways}
        return [eui_by_id[gateway_id] in euis_with_task for gateway_id in ids]


def _carry_out(bed: Testbed, plan: SavedPlan, journal: Path, decide: Callable[[Any], object]) -> None:
    """Carry a plan out. Whenever the rollout holds, the learner's function decides what to do.

    A rollout holds if it waits for a person. The function is asked a few times only, so that the exercise ends.
    """
    from lorafw.rollout import (  # noqa: PLC0415 -- keeps the import of the exercises fast
        Command,
        SimulatedTime,
        Until,
        apply,
        command,
        connect_clients,
        status_document,
    )

    connection = connect_clients(bed.client, "lab")
    clock = SimulatedTime(bed.clock.now_ms, bed.advance)
    for _ in range(_DECISIONS):
        state = apply(plan, journal, connection, clock, until=Until.HOLD)
        if state.finished is not None:
            return
        decision = decide(status_document(state))
        if decision == _WAIT:
            bed.advance(_DAY_S)
        elif decision in (Command.PROMOTE, Command.ABORT):
            command(plan, journal, Command(str(decision)), actor="the learner", reason="decided", clock=clock)
        else:
            raise ValueError(f"{decision!r} is not 'promote', 'abort' or 'wait'")


_ALL: Final = [True] * _GATEWAYS
_ONLY_CANARIES: Final = [True] * _CANARIES + [False] * (_GATEWAYS - _CANARIES)


def _decides_well(answer: object) -> bool:
    """Return whether the learner's function goes on with good firmware only, and after all canaries have answered."""
    if _which_got_a_task(answer) != _ALL:
        return False
    if _which_got_a_task(answer, "script-fails") != _ONLY_CANARIES:
        return False
    return _which_got_a_task(answer, "offline", is_everywhere=False) == _ONLY_CANARIES


def _feedback_decision(answer: object) -> str | None:
    """Return which of the three rollouts was decided wrongly."""
    if _which_got_a_task(answer) != _ALL:
        return "with good firmware the second wave never begins."
    if _which_got_a_task(answer, "script-fails") != _ONLY_CANARIES:
        return "with bad firmware the second wave gets tasks, too."
    if _which_got_a_task(answer, "offline", is_everywhere=False) != _ONLY_CANARIES:
        return "one of two canaries is silent, and the second wave begins all the same."
    return None


EXERCISES = {
    "16-minutes": Exercise(
        hints=(
            "One call creates one task. How many calls does a rollout make in a second?",
            "Divide the number of gateways by the calls in a second. That gives seconds.",
        ),
        grader=number(40_000 / 8 / 60, tolerance=1),
        solution="answer = 40_000 / 8 / 60",
        explanation="That is 83 minutes. Two more calls look at each gateway just before, at the same rate, but as "
        "other operations they have limits of their own.",
    ),
    "16-decide": Exercise(
        hints=(
            "Look at the first wave only. What must be true of every canary before you go on?",
            "If a canary is FAILED, stop. If all are COMPLETED, go on. In every other case you do not know yet.",
        ),
        grader=function(_decides_well, _feedback_decision),
        solution="""\
def decide(status):
    canaries = status["waves"][0]
    if canaries["failed"]:
        return "abort"
    if canaries["completed"] == canaries["size"]:
        return "promote"
    return "wait"


answer = decide""",
        explanation="check has run three rollouts with your function. To wait costs a day, and to promote too early "
        "costs roofs.",
        is_open_ended=True,
    ),
}

QUESTIONS = {
    "16-kill": Question(
        "The power fails while apply creates the tasks of the second wave. What do you do when it is back?",
        (
            Option(
                "find out by hand which gateways have a task",
                "the next apply does that: it reads each gateway before it creates its task.",
            ),
            right(
                "run the same command again",
                "It goes on from the journal. It asks AWS about each call whose result it does not know.",
            ),
            Option(
                "make a new plan for the gateways that are left",
                "a new plan knows nothing of the first one, and holds at every task that is there already.",
            ),
        ),
    ),
    "16-hold": Question(
        "Another rollout holds: 9 of 40 gateways are FAILED, and at most 3 were predicted. What do you do first?",
        (
            Option(
                "promote: 31 gateways are fine",
                "a promotion sends the same firmware to the rest. Three times as many failures have a cause.",
            ),
            right(
                "find out why the nine have failed, while it holds",
                "Nothing more is sent meanwhile. If the firmware is the cause, abort. If it is a full disk, repair it "
                "and promote.",
            ),
            Option(
                "abort at once",
                "it already sends nothing more. An abort is final, so look first.",
            ),
        ),
    ),
}
