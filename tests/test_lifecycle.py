"""The life cycle of a task, row by row. Each changed row of the table makes a test fail."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import product
from types import MappingProxyType

import pytest
from fakes import DAY_S, HOUR_S, NEW, OLD, World

from lorafw.errors import IllegalTransition
from lorafw.tasks import lifecycle, model
from lorafw.tasks.lifecycle import (
    ATTEMPT_BY_STATUS,
    INITIAL,
    TERMINAL,
    TRANSITIONS,
    Cause,
    TaskEvent,
    TaskStatus,
    has_transition,
    next_status,
    to_mermaid,
)

PENDING, IN_PROGRESS, FIRST_RETRY, SECOND_RETRY, COMPLETED, FAILED = TaskStatus
OFFER, ATTEMPT_FAILED, TAKES_EFFECT, SILENCE = TaskEvent

ROWS = [
    ("PENDING", "offer", "IN_PROGRESS"),
    ("IN_PROGRESS", "attempt failed", "FIRST_RETRY"),
    ("IN_PROGRESS", "takes effect", "COMPLETED"),
    ("FIRST_RETRY", "attempt failed", "SECOND_RETRY"),
    ("FIRST_RETRY", "takes effect", "COMPLETED"),
    ("SECOND_RETRY", "attempt failed", "FAILED"),
    ("SECOND_RETRY", "takes effect", "COMPLETED"),
    ("SECOND_RETRY", "silence", "FAILED"),
]
"""Written down from the decisions, not from the code."""

LEGAL = {(status, event) for status, event, _ in ROWS}

# --- the table ----------------------------------------------------------------------------------------------------


def test_statuses_are_those_of_awss_model_in_its_order():
    assert [str(s) for s in TaskStatus] == [
        "PENDING",
        "IN_PROGRESS",
        "FIRST_RETRY",
        "SECOND_RETRY",
        "COMPLETED",
        "FAILED",
    ]


@pytest.mark.parametrize(("status", "event", "after"), ROWS)
def test_each_row_of_the_life_is_in_the_table(status, event, after):
    assert has_transition(TaskStatus(status), TaskEvent(event))
    assert next_status(TaskStatus(status), TaskEvent(event)) is TaskStatus(after)


def test_there_is_no_other_row():
    assert {(str(s), str(e), str(t)) for (s, e), t in TRANSITIONS.items()} == set(ROWS)


@pytest.mark.parametrize(
    ("status", "event"), [pair for pair in product(TaskStatus, TaskEvent) if tuple(map(str, pair)) not in LEGAL]
)
def test_what_is_not_in_the_table_is_refused_and_changes_nothing(status, event):
    world = World()
    task = model.Task(world.definition(), automatic=True, created_ms=0, status=status)
    before = model.Task(task.definition, automatic=True, created_ms=0, status=status)
    assert not has_transition(status, event)
    with pytest.raises(IllegalTransition, match=re.escape(f"{status} cannot take the event {event}")) as caught:
        task.with_event(event)
    assert (caught.value.status, caught.value.event) == (status, event)
    assert task == before


def test_the_table_cannot_be_changed_by_accident():
    for table in (TRANSITIONS, ATTEMPT_BY_STATUS):
        with pytest.raises(TypeError):
            table[PENDING] = COMPLETED  # type: ignore[index]


def test_a_task_begins_pending_and_ends_completed_or_failed():
    assert INITIAL is PENDING
    assert frozenset({COMPLETED, FAILED}) == TERMINAL


def test_attempt_is_the_number_of_the_send():
    assert dict(ATTEMPT_BY_STATUS) == {PENDING: 0, IN_PROGRESS: 1, FIRST_RETRY: 2, SECOND_RETRY: 3}


def test_a_task_that_ended_keeps_the_number_of_its_attempt_and_a_new_attempt_has_its_send_due():
    world = World()
    task = model.Task(world.definition(), automatic=True, created_ms=0)
    first = task.with_event(OFFER).with_send_started(OLD).with_send_delivered(5)
    assert (first.attempt, first.delivery, first.sends) == (1, model.Delivery.DELIVERED, 1)
    second = first.with_event(ATTEMPT_FAILED)
    assert (second.attempt, second.delivery, second.sends) == (2, model.Delivery.PENDING, 1)
    assert second.with_event(TAKES_EFFECT).attempt == 2
    assert second.with_event(ATTEMPT_FAILED).with_event(SILENCE).attempt == 3


def test_every_status_can_be_reached_from_the_first():
    reached, todo = set(), [INITIAL]
    while todo:
        reached.add(status := todo.pop())
        todo += [after for (before, _), after in TRANSITIONS.items() if before is status and after not in reached]
    assert reached == set(TaskStatus)


# --- the diagram --------------------------------------------------------------------------------------------------


def parse_mermaid(text: str) -> list[tuple[str, str, str]]:
    head, *lines = text.splitlines()
    assert head == "stateDiagram-v2"
    arrow = re.compile(r"    (\S+) --> (\S+): (.+)")
    return [(m[1], m[3], m[2]) for m in map(arrow.fullmatch, lines) if m is not None]


def test_diagram_is_the_table_with_a_beginning_and_ends():
    drawn = parse_mermaid(to_mermaid())
    assert len(drawn) == len(to_mermaid().splitlines()) - 1
    assert drawn[0] == ("[*]", "created", "PENDING")
    assert {row for row in drawn if "[*]" not in row} == set(ROWS)
    assert {row for row in drawn if row[2] == "[*]"} == {("COMPLETED", "deleted", "[*]"), ("FAILED", "deleted", "[*]")}


def test_diagram_follows_the_table(monkeypatch):
    mutate(monkeypatch, {(PENDING, OFFER): COMPLETED})
    assert ("PENDING", "offer", "COMPLETED") in parse_mermaid(to_mermaid())
    assert ("PENDING", "offer", "IN_PROGRESS") not in parse_mermaid(to_mermaid())


# --- the stories --------------------------------------------------------------------------------------------------


def statuses(versions: list[object], hours: float = 1) -> list[str]:
    """What a gateway that presents these versions sees of its task."""
    world = World()
    gateway = world.gateway()
    world.definition()
    seen = []
    for version in versions:
        sent = world.poll(gateway, version)
        seen.append(f"{world.status(gateway)}{' sent' if sent else ''}")
        world.clock.advance(hours * HOUR_S)
    return seen


def story_an_update_that_takes_effect_completes_its_task():
    assert statuses([OLD, NEW]) == ["IN_PROGRESS sent", "COMPLETED"]


def story_three_sends_without_effect_fail_at_the_fourth_poll():
    assert statuses([OLD] * 4) == ["IN_PROGRESS sent", "FIRST_RETRY sent", "SECOND_RETRY sent", "FAILED"]


def story_each_retry_can_complete():
    assert statuses([OLD, OLD, NEW])[-1] == "COMPLETED"
    assert statuses([OLD, OLD, OLD, NEW])[-1] == "COMPLETED"


def story_what_has_ended_stays_as_it_is():
    assert statuses([OLD, NEW, OLD, OLD, NEW]) == ["IN_PROGRESS sent"] + ["COMPLETED"] * 4
    assert statuses([OLD] * 4 + [NEW, OLD])[3:] == ["FAILED"] * 3


def story_silence_ends_the_last_retry():
    world = World()
    gateway = world.gateway()
    world.definition()
    for _ in range(3):
        world.poll(gateway)
    world.clock.advance(48 * HOUR_S)
    assert world.status(gateway) is FAILED
    assert world.service.log[-1].cause is Cause.SILENCE


def story_silence_ends_nothing_earlier():
    for polls, status in [(0, None), (1, IN_PROGRESS), (2, FIRST_RETRY)]:
        world = World()
        gateway = world.gateway()
        definition = world.definition(auto=polls > 0)
        if not polls:
            world.service.create_task(gateway.owner, gateway.id, definition.id)
            world.poll(gateway, NEW)
        for _ in range(polls):
            world.poll(gateway)
        world.clock.advance(1000 * DAY_S)
        assert world.status(gateway) is (status or PENDING)


STORIES = [value for name, value in list(globals().items()) if name.startswith("story_")]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__.removeprefix("story_"))
def test_story(story):
    story()


# --- the stories notice a changed table ---------------------------------------------------------------------------

Change = Mapping[tuple[TaskStatus, TaskEvent], TaskStatus | None]
"""Rows to put into the table; None takes one out."""

MUTATIONS: dict[str, Change] = {
    "the first offer completes": {(PENDING, OFFER): COMPLETED},
    "a failed first attempt skips the first retry": {(IN_PROGRESS, ATTEMPT_FAILED): SECOND_RETRY},
    "a failed first retry skips the second retry": {(FIRST_RETRY, ATTEMPT_FAILED): FAILED},
    "a failed second retry goes back to the first": {(SECOND_RETRY, ATTEMPT_FAILED): FIRST_RETRY},
    "a failed second retry stays where it is": {(SECOND_RETRY, ATTEMPT_FAILED): SECOND_RETRY},
    "completed is not terminal": {(COMPLETED, ATTEMPT_FAILED): FIRST_RETRY},
    "failed is not terminal": {(FAILED, TAKES_EFFECT): COMPLETED},
    "silence ends the first retry too": {(FIRST_RETRY, SILENCE): FAILED},
    "silence ends the first attempt too": {(IN_PROGRESS, SILENCE): FAILED},
    "silence ends a task that waits": {(PENDING, SILENCE): FAILED},
    "silence completes": {(SECOND_RETRY, SILENCE): COMPLETED},
    "silence ends nothing": {(SECOND_RETRY, SILENCE): None},
}

EVERY_CHANGE_OF_A_ROW: dict[str, Change] = {
    f"{before} on {event} to {after}": {(TaskStatus(before), TaskEvent(event)): after}
    for (before, event, right) in ROWS
    for after in (*TaskStatus, None)
    if after != right
}


def mutate(monkeypatch: pytest.MonkeyPatch, change: Change) -> None:
    """Put a changed table into the code, with TERMINAL as the module would draw it from that table."""
    table = {key: after for key, after in {**TRANSITIONS, **change}.items() if after is not None}
    terminal = frozenset(TaskStatus) - {status for status, _ in table}
    monkeypatch.setattr(lifecycle, "TRANSITIONS", MappingProxyType(table))
    for module in (lifecycle, model):
        monkeypatch.setattr(module, "TERMINAL", terminal)


def is_noticed_by(story: Callable[[], None]) -> bool:
    try:
        story()
    except (AssertionError, IllegalTransition):
        return True
    return False


@pytest.mark.parametrize("change", MUTATIONS.values(), ids=MUTATIONS)
def test_stories_notice_that(monkeypatch, change):
    assert not any(map(is_noticed_by, STORIES))
    mutate(monkeypatch, change)
    assert any(map(is_noticed_by, STORIES))


def test_stories_notice_every_change_of_every_row():
    assert len(EVERY_CHANGE_OF_A_ROW) == 8 * 6
    for name, change in EVERY_CHANGE_OF_A_ROW.items():
        with pytest.MonkeyPatch.context() as monkeypatch:
            mutate(monkeypatch, change)
            assert any(map(is_noticed_by, STORIES)), name


def test_each_story_notices_something():
    deaf = set(STORIES)
    for change in (*MUTATIONS.values(), *EVERY_CHANGE_OF_A_ROW.values()):
        with pytest.MonkeyPatch.context() as monkeypatch:
            mutate(monkeypatch, change)
            deaf -= {story for story in deaf if is_noticed_by(story)}
    assert not deaf
