"""Which update an explanation is about: the one that is sent next, or the one that has failed."""

from __future__ import annotations

from lorafw.tasks.lifecycle import TaskStatus
from lorafw.tasks.model import Definition, UpdateSpec
from lorafw.tasks.policy import Policy
from lorafw.tasks.snapshot import Snapshot


def definition_in_question(snapshot: Snapshot, policy: Policy) -> Definition | None:
    """Return the definition to send or, if the task is FAILED, the definition of the task. None if there is neither."""
    return definition_to_send(snapshot, policy) or _failed_definition(snapshot)


def definition_to_send(snapshot: Snapshot, policy: Policy) -> Definition | None:
    """Return the definition whose update the gateway is sent next. None if nothing is to be sent."""
    if snapshot.task is None:
        definition = next(iter(rank_matches(snapshot, policy)), None)
    elif snapshot.task.is_ended:
        definition = None
    else:
        definition = snapshot.task.definition
    if definition is None or not definition.has_data_source:
        return None
    return definition


def _failed_definition(snapshot: Snapshot) -> Definition | None:
    """Return the definition of a FAILED task, because its key or its file may be the reason. None if not FAILED."""
    task = snapshot.task
    if task is None or task.status is not TaskStatus.FAILED:
        return None
    return task.definition


def update_in_question(snapshot: Snapshot, policy: Policy) -> UpdateSpec | None:
    """Return the update that is sent next, or that has failed. None if there is none."""
    definition = definition_in_question(snapshot, policy)
    return None if definition is None else definition.update


def rank_matches(snapshot: Snapshot, policy: Policy) -> tuple[Definition, ...]:
    """Return the definitions that match, with the winner first."""
    return snapshot.matching[::-1] if policy.several_matches == "newest" else snapshot.matching
