"""How one can see that no gateway was given two tasks: the numbers of a rollout, and what keeps them so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from lorafw.rollout.state import Phase, RolloutState

SAFEGUARDS: Final = (
    "Before each call of CreateWirelessGatewayTask, the journal says that it will be made.",
    "If 'apply' ends before the answer is in the journal, the next 'apply' asks AWS whether the gateway has the task, "
    "and calls again only if it has none.",
    "Each gateway is read at most 10 seconds before its task is created. A task of somebody else holds the rollout.",
    "Before each wave, 'apply' reads the task definitions. One with AutoCreateTasks that matches the gateways of the "
    "plan holds the rollout.",
    "Only one 'apply' can run with a journal. If the plan was started with another journal, 'apply' holds.",
    "A task that somebody deletes is not created again.",
)
"""What keeps a gateway from being given two tasks, for people."""


def count_tasks(state: RolloutState) -> dict[str, int]:
    """Return how many tasks the rollout has created, as a part of a JSON document.

    Args:
        state: The state of the rollout.

    Returns:
        These numbers:

        - ``announced``: calls that create a task and that the journal announced before they were made.
        - ``created``: tasks that were created.
        - ``gateways``: gateways that were given a task.
        - ``most_per_gateway``: the largest number of tasks that one gateway was given.
        - ``unclear``: gateways of which it is not known yet whether they were given a task.
    """
    created = [progress.tasks_created for progress in state.gateways.values() if progress.tasks_created]
    return {
        "announced": sum(progress.tasks_announced for progress in state.gateways.values()),
        "created": sum(created),
        "gateways": len(created),
        "most_per_gateway": max(created, default=0),
        "unclear": sum(wave.count(Phase.CREATING) for wave in state.waves),
    }


def describe_tasks(document: Mapping[str, Any]) -> str:
    """Return in words how many tasks were created, and for how many gateways.

    Args:
        document: The result of ``status_document``.
    """
    tasks = document["tasks"]
    text = f"{tasks['created']} created for {tasks['gateways']} of {document['gateways']} gateways"
    if tasks["created"]:
        text += f"; no gateway was given more than {tasks['most_per_gateway']}"
    if tasks["unclear"]:
        text += f"; of {tasks['unclear']} more 'apply' asks AWS first whether they exist"
    return text


def describe_calls(document: Mapping[str, Any]) -> str:
    """Return in words how many calls the journal announced. More than tasks if a call failed or was interrupted.

    Args:
        document: The result of ``status_document``.
    """
    return f"{document['tasks']['announced']} calls were announced in the journal before they were made"
