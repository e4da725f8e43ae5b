"""What a request means for a task, as a table: status, send of the attempt, UpdateVersion, reported version."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from fakes import NEW, OLD, OTHER, OWNER, STATION

from lorafw.tasks.evaluation import NO_EFFECT, RequestEffect, evaluate_request, silence_deadline
from lorafw.tasks.lifecycle import ATTEMPT_BY_STATUS, Cause, TaskEvent, TaskStatus, has_transition
from lorafw.tasks.model import NO_VERSION, Definition, Delivery, Task, UpdateSpec
from lorafw.tasks.policy import Policy
from lorafw.version import GatewayVersion

PENDING, IN_PROGRESS, FIRST_RETRY, SECOND_RETRY, COMPLETED, FAILED = TaskStatus
SEND_PENDING, STARTED, DELIVERED = Delivery

NO_PACKAGE = replace(OLD, package=None)
VERSIONS = {"old": OLD, "new": NEW, "other": OTHER, "no package": NO_PACKAGE}

SENT_MS = 1_000_000
LATER_MS = SENT_MS + 60_000

EFFECTS = {
    "-": NO_EFFECT,
    "offer": RequestEffect(TaskEvent.OFFER, Cause.OFFERED, send=True),
    "again": RequestEffect(None, Cause.OFFERED_AGAIN, send=True),
    "retry": RequestEffect(TaskEvent.ATTEMPT_FAILED, Cause.OLD_VERSION, send=True),
    "failed": RequestEffect(TaskEvent.ATTEMPT_FAILED, Cause.OLD_VERSION, send=False),
    "step": RequestEffect(TaskEvent.ATTEMPT_FAILED, Cause.OTHER_VERSION, send=False),
    "done": RequestEffect(TaskEvent.TAKES_EFFECT, Cause.NEW_VERSION, send=False),
}

TABLE = """
status        send   target  old     new   other  no package
PENDING       due    no      offer   -     -      -
PENDING       due    yes     offer   -     -      -
IN_PROGRESS   due    no      again   done  done   -
IN_PROGRESS   begun  no      again   done  done   -
IN_PROGRESS   whole  no      retry   done  done   -
IN_PROGRESS   due    yes     again   done  step   step
IN_PROGRESS   begun  yes     again   done  -      -
IN_PROGRESS   whole  yes     retry   done  step   step
FIRST_RETRY   due    no      again   done  done   -
FIRST_RETRY   begun  no      again   done  done   -
FIRST_RETRY   whole  no      retry   done  done   -
FIRST_RETRY   due    yes     again   done  step   step
FIRST_RETRY   begun  yes     again   done  -      -
FIRST_RETRY   whole  yes     retry   done  step   step
SECOND_RETRY  due    no      again   done  done   -
SECOND_RETRY  begun  no      again   done  done   -
SECOND_RETRY  whole  no      failed  done  done   -
SECOND_RETRY  due    yes     again   done  step   step
SECOND_RETRY  begun  yes     again   done  -      -
SECOND_RETRY  whole  yes     failed  done  step   step
COMPLETED     due    no      -       -     -      -
COMPLETED     due    yes     -       -     -      -
FAILED        due    no      -       -     -      -
FAILED        due    yes     -       -     -      -
FAILED        whole  yes     -       -     -      -
"""


def read_table(text: str) -> list[tuple[str, str, str, str, str]]:
    _, *lines = text.strip().splitlines()
    return [
        (status, send, target, version, word)
        for status, send, target, *words in map(str.split, lines)
        for version, word in zip(VERSIONS, words, strict=True)
    ]


def task_of(
    status: TaskStatus,
    send: Delivery = DELIVERED,
    *,
    current: GatewayVersion = OLD,
    target: GatewayVersion | None = None,
    automatic: bool = True,
    offered: GatewayVersion = OLD,
) -> Task:
    update = UpdateSpec("s3://firmware/1.0.1", current_version=current, update_version=target)
    has_begun = status is not PENDING
    return Task(
        Definition("d", OWNER, 1, True, update=update),
        automatic,
        created_ms=0,
        status=status,
        attempt=ATTEMPT_BY_STATUS.get(status, 3),
        delivery=send if has_begun else SEND_PENDING,
        offered_version=offered if has_begun else None,
        sent_ms=SENT_MS if send is DELIVERED and has_begun else None,
    )


@pytest.mark.parametrize(("status", "send", "target", "version", "word"), read_table(TABLE))
def test_move(status, send, target, version, word):
    task = task_of(TaskStatus(status), Delivery(send), target=NEW if target == "yes" else None)
    assert evaluate_request(task, VERSIONS[version], LATER_MS, Policy()) == EFFECTS[word]


@pytest.mark.parametrize(("status", "send", "target"), list(product(TaskStatus, Delivery, [None, NEW])))
@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
def test_a_move_is_always_one_that_the_table_of_transitions_has(status, send, target, version):
    move = evaluate_request(task_of(status, send, target=target), version, LATER_MS, Policy())
    assert move.event is None or has_transition(status, move.event)
    assert (move.cause is None) == (move == NO_EFFECT)


# --- the settle time ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [IN_PROGRESS, FIRST_RETRY, SECOND_RETRY])
@pytest.mark.parametrize("target", [None, NEW], ids=["no target", "target"])
@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
def test_within_the_settle_time_nothing_counts(status, target, version):
    task = task_of(status, target=target)
    policy = Policy(settle_s=60)
    assert evaluate_request(task, version, SENT_MS, policy) == NO_EFFECT
    assert evaluate_request(task, version, SENT_MS + 59_999, policy) == NO_EFFECT
    assert evaluate_request(task, version, SENT_MS + 60_000, policy) == evaluate_request(
        task, version, SENT_MS + 60_000, Policy()
    )


def test_settle_time_is_none_by_default():
    assert evaluate_request(task_of(IN_PROGRESS), OLD, SENT_MS, Policy()) == EFFECTS["retry"]


def test_settle_time_does_not_hold_back_an_update_that_was_never_sent_whole():
    policy = Policy(settle_s=3600)
    assert evaluate_request(task_of(PENDING), OLD, LATER_MS, policy) == EFFECTS["offer"]
    assert evaluate_request(task_of(IN_PROGRESS, STARTED), OLD, LATER_MS, policy) == EFFECTS["again"]


# --- what starts --------------------------------------------------------------------------------------------------

STARTS = [
    (OLD, OLD, True),
    (OLD, NEW, False),
    (OLD, replace(OLD, model="Linux"), False),
    (OLD, replace(OLD, package="1.0.0 "), False),
    (OLD, NO_PACKAGE, False),
    (GatewayVersion(package="1.0.0"), OLD, True),
    (GatewayVersion(package="1.0.0"), NEW, False),
    (GatewayVersion(model="linux"), NO_PACKAGE, True),
    (GatewayVersion(package="1.0.0"), NO_PACKAGE, False),
    (NO_VERSION, NO_PACKAGE, True),
]


@pytest.mark.parametrize(("current", "presented", "is_offered"), STARTS)
def test_pending_task_is_offered_when_the_fields_that_are_given_are_presented(current, presented, is_offered):
    task = task_of(PENDING, current=current, automatic=False)
    assert evaluate_request(task, presented, LATER_MS, Policy()) == EFFECTS["offer" if is_offered else "-"]


def test_by_policy_a_manual_task_starts_at_any_request_and_an_automatic_one_does_not():
    policy = Policy(manual_start="any_request")
    assert evaluate_request(task_of(PENDING, automatic=False), OTHER, LATER_MS, policy) == EFFECTS["offer"]
    assert evaluate_request(task_of(PENDING, automatic=True), OTHER, LATER_MS, policy) == NO_EFFECT


def test_a_task_that_started_at_another_version_fails_at_that_version():
    policy = Policy(manual_start="any_request")
    task = task_of(IN_PROGRESS, target=NEW, automatic=False, offered=OTHER)
    assert evaluate_request(task, OTHER, LATER_MS, policy) == EFFECTS["retry"]


# --- what completes -----------------------------------------------------------------------------------------------

COMPLETES = [
    ("the whole target", NEW, NEW, "done"),
    ("the fields of the target that are given", GatewayVersion(package="1.0.1"), replace(NEW, model="rpi"), "done"),
    ("not a target in other letters", replace(NEW, model="LINUX"), NEW, "step"),
    ("not a target with a blank", replace(NEW, package="1.0.1 "), NEW, "step"),
    ("not a version with a blank", NEW, replace(NEW, package="1.0.1 "), "step"),
    ("not no package", GatewayVersion(package="1.0.1"), NO_PACKAGE, "step"),
    ("a target without a package, though none is presented", GatewayVersion(model="linux"), NO_PACKAGE, "done"),
    ("without a target, another package", None, NEW, "done"),
    ("without a target, an older package too", None, OTHER, "done"),
    ("without a target, another station", None, replace(OLD, station="2.0.6"), "done"),
    ("without a target, another model", None, replace(OLD, model="rpi"), "done"),
    ("without a target, not the same again", None, OLD, "retry"),
    ("without a target, not a package that has gone", None, NO_PACKAGE, "-"),
    ("without a target, nor together with another station", None, replace(NO_PACKAGE, station="2.0.6"), "-"),
    ("an empty target is none: not the same again", NO_VERSION, OLD, "retry"),
    ("an empty target is none: another package", NO_VERSION, NEW, "done"),
    ("an empty target is none: not a package that has gone", NO_VERSION, NO_PACKAGE, "-"),
]


@pytest.mark.parametrize(("target", "presented", "word"), [row[1:] for row in COMPLETES], ids=[r[0] for r in COMPLETES])
def test_completes(target, presented, word):
    assert evaluate_request(task_of(IN_PROGRESS, target=target), presented, LATER_MS, Policy()) == EFFECTS[word]


def test_without_a_target_a_gateway_that_had_no_package_completes_as_soon_as_it_has_one():
    task = task_of(IN_PROGRESS, current=GatewayVersion(model="linux"), offered=NO_PACKAGE, automatic=False)
    assert evaluate_request(task, NO_PACKAGE, LATER_MS, Policy()) == EFFECTS["retry"]
    assert evaluate_request(task, OLD, LATER_MS, Policy()) == EFFECTS["done"]


def test_it_is_the_first_offer_that_a_new_version_is_compared_with():
    task = Task(Definition("d", OWNER, 1, True, update=UpdateSpec("s3://a/b", current_version=OLD)), True, 0)
    task = task.with_event(TaskEvent.OFFER).with_send_started(OLD).with_send_delivered(1)
    assert task.with_send_started(NEW).offered_version == OLD


def test_by_policy_only_the_package_completes():
    policy = Policy(completion="package_differs")
    task = task_of(IN_PROGRESS)
    assert evaluate_request(task, replace(OLD, station="2.0.6"), LATER_MS, policy) == NO_EFFECT
    assert evaluate_request(task, NEW, LATER_MS, policy) == EFFECTS["done"]
    assert evaluate_request(task, NO_PACKAGE, LATER_MS, policy) == NO_EFFECT


def test_completion_policy_has_no_say_where_a_target_is_given():
    target = GatewayVersion(station="2.0.6")
    for completion in ("version_differs", "package_differs"):
        move = evaluate_request(
            task_of(IN_PROGRESS, target=target),
            replace(OLD, station="2.0.6"),
            LATER_MS,
            Policy(completion=completion),
        )
        assert move == EFFECTS["done"]


# --- the other policies -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("send", [SEND_PENDING, DELIVERED])
def test_by_policy_a_version_that_is_neither_waits(send):
    task = task_of(FIRST_RETRY, send, target=NEW)
    assert evaluate_request(task, OTHER, LATER_MS, Policy()) == EFFECTS["step"]
    assert evaluate_request(task, OTHER, LATER_MS, Policy(other_version="waits")) == NO_EFFECT


@pytest.mark.parametrize(("status", "word"), [(IN_PROGRESS, "retry"), (FIRST_RETRY, "retry"), (SECOND_RETRY, "failed")])
def test_by_policy_a_broken_reply_uses_up_its_attempt(status, word):
    task = task_of(status, STARTED, target=NEW)
    counts = Policy(broken_reply="counts")
    assert evaluate_request(task, OLD, LATER_MS, Policy()) == EFFECTS["again"]
    assert evaluate_request(task, OLD, LATER_MS, counts) == EFFECTS[word]
    assert evaluate_request(task, OTHER, LATER_MS, counts) == EFFECTS["step"]
    assert evaluate_request(replace(task, delivery=SEND_PENDING), OLD, LATER_MS, counts) == EFFECTS["again"]


NEARLY = [replace(OLD, model=" LINUX"), replace(OLD, package="1.0.0\n"), replace(OLD, station=STATION.upper())]


@pytest.mark.parametrize("presented", NEARLY)
def test_by_policy_blanks_at_the_ends_and_case_do_not_count(presented):
    trimmed = Policy(comparison="trimmed")
    assert evaluate_request(task_of(PENDING), presented, LATER_MS, Policy()) == NO_EFFECT
    assert evaluate_request(task_of(PENDING), presented, LATER_MS, trimmed) == EFFECTS["offer"]
    assert evaluate_request(task_of(IN_PROGRESS), presented, LATER_MS, Policy()) == EFFECTS["done"]
    assert evaluate_request(task_of(IN_PROGRESS), presented, LATER_MS, trimmed) == EFFECTS["retry"]


def test_by_policy_the_target_is_compared_in_the_same_way():
    task = task_of(IN_PROGRESS, target=replace(NEW, model="Linux "))
    assert evaluate_request(task, NEW, LATER_MS, Policy()) == EFFECTS["step"]
    assert evaluate_request(task, NEW, LATER_MS, Policy(comparison="trimmed")) == EFFECTS["done"]


def test_blanks_inside_a_value_count_in_every_comparison():
    presented = replace(OLD, package="1. 0.0")
    assert evaluate_request(task_of(PENDING), presented, LATER_MS, Policy(comparison="trimmed")) == NO_EFFECT


# --- silence ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", TaskStatus)
@pytest.mark.parametrize("send", Delivery)
def test_only_the_second_retry_has_a_deadline_48_hours_after_the_last_request(status, send):
    deadline = silence_deadline(task_of(status, send), 1_000, Policy())
    assert deadline == (1_000 + 48 * 3600 * 1000 if status is SECOND_RETRY else None)


def test_by_policy_the_deadline_is_another_one_in_whole_milliseconds():
    assert silence_deadline(task_of(SECOND_RETRY), 1_000, Policy(silence_timeout_s=0.0126)) == 1_013
    assert silence_deadline(task_of(SECOND_RETRY), 1_000, Policy(silence_timeout_s=0)) == 1_000
