"""Who decided what in a rollout, when and why, as the events of its journal tell it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from lorafw.clock import format_iso
from lorafw.rollout.events import (
    Aborted,
    Commanded,
    EndedTaskDeleted,
    Event,
    Finished,
    GateChecked,
    HookRan,
    ProblemFound,
    ProblemSolved,
    Skipped,
    Started,
    TaskCleaned,
    WaveStarted,
)

ROLLOUT: Final = "lorafw"
"""The actor of decisions that were recorded before ``apply`` started."""


def list_decisions(events: Iterable[Event]) -> list[dict[str, Any]]:
    """Return who decided what, when and why.

    A gate that holds is checked again and again. Checks that follow each other with the same result are one decision.

    Args:
        events: All events of a journal.

    Returns:
        The decisions, oldest first. ``times`` is the number of checks that are one decision, and ``until`` is the time
        of the last of them.
    """
    actor = ROLLOUT
    decisions: list[dict[str, Any]] = []
    for event in events:
        if isinstance(event, Started):
            actor = event.actor
        described = _describe(event)
        if described is None:
            continue
        decision, reason = described
        by = event.actor if isinstance(event, Commanded) else actor
        time = format_iso(event.at_ms)
        if isinstance(event, GateChecked) and decisions and _says_the_same(decisions[-1], decision, reason):
            decisions[-1]["times"] += 1
            decisions[-1]["until"] = time
            continue
        decisions.append({"time": time, "actor": by, "decision": decision, "reason": reason, "times": 1, "until": time})
    return decisions


def _says_the_same(last: dict[str, Any], decision: str, reason: str) -> bool:
    """Return whether the last decision of a list is the same one, for the same reason."""
    return bool(last["decision"] == decision and last["reason"] == reason)


def _describe(event: Event) -> tuple[str, str] | None:  # noqa: PLR0911 -- one return for each kind of event
    """Return a decision and its reason in words. None if the event is no decision."""
    if isinstance(event, Started):
        return "apply started", f"with lorafw {event.version}"
    if isinstance(event, WaveStarted):
        return f"wave {event.wave + 1} started", ""
    if isinstance(event, GateChecked):
        return f"gate of wave {event.wave + 1}: {event.decision.name.lower()}", event.reason
    if isinstance(event, HookRan):
        return f"hook {event.moment} of wave {event.wave + 1}: status {event.exit_status}", event.output
    if isinstance(event, Commanded):
        return str(event.command), event.reason
    if isinstance(event, ProblemFound):
        return "hold", event.reason
    if isinstance(event, ProblemSolved):
        return "problem solved", event.subject
    if isinstance(event, Skipped):
        return f"gateway {event.gateway} left out", event.reason
    if isinstance(event, EndedTaskDeleted):
        return f"earlier task of gateway {event.gateway} deleted", f"{event.status}, definition {event.definition_id}"
    if isinstance(event, Aborted):
        return "abort", event.reason
    if isinstance(event, Finished):
        return str(event.ending), event.reason
    if isinstance(event, TaskCleaned):
        return f"task of gateway {event.gateway} deleted", str(event.status)
    return None
