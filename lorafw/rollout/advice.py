"""What a person can do about a rollout in its present state, as ``status`` prints it."""

from __future__ import annotations

from lorafw.clock import format_iso
from lorafw.fleet.plan import Manual
from lorafw.rollout.gates import give_up_ms
from lorafw.rollout.state import NOT_PROMOTABLE, RolloutState, Subject, first_undecided
from lorafw.rollout.status import StateName, counts_of, describe_state, latest_end_ms
from lorafw.tasks.lifecycle import TaskStatus


def advise(state: RolloutState) -> list[str]:
    """Return what a person can do now, one thing a line.

    Args:
        state: The state of the rollout.
    """
    name = describe_state(state).name
    if name is StateName.PLANNED:
        return ["to start: lorafw rollout apply"]
    if name is StateName.RUNNING:
        return [
            "to see which gateways are left: report",
            "to stop for a while: pause; for good: abort; each with --reason",
            "to end only 'apply': Ctrl-C; tasks that exist go on, and the next 'apply' continues",
        ]
    if name is StateName.HOLDING:
        return [
            "while it holds, no task is created; to see which gateways are left: report",
            *_ways_out_of_hold(state),
        ]
    if name is StateName.PAUSED:
        return ["tasks that exist go on", "to go on: resume; to stop for good: abort; each with --reason"]
    return _advise_at_end(state, name)


def _ways_out_of_hold(state: RolloutState) -> list[str]:
    """Return how a rollout that holds goes on, one thing a line."""
    if any(subject in NOT_PROMOTABLE for subject in state.problems):
        return [
            "it goes on by itself when this is as planned again; no promotion overrides it",
            "to stop: abort --reason TEXT",
        ]
    choices = "to go on: promote --reason TEXT; to stop: abort --reason TEXT; 'apply' acts on it when it runs"
    if _waits_for_person(state):
        return ["it waits for you", choices]
    if end := _end_of_hopeless_hold(state):
        return [end, choices]
    return ["it goes on by itself when the reason has gone away; you need not wait for that", choices]


def _end_of_hopeless_hold(state: RolloutState) -> str:
    """Return what ends a hold of a gate whose figures cannot change any more. Empty if they can, or nothing does."""
    index = first_undecided(state.waves)
    wave = state.waves[index]
    can_change = bool(state.problems) or not wave.is_created or wave.open_count > 0
    if can_change or not wave.hold_reason:
        return ""
    end_ms = give_up_ms(wave, state.plan.wave_rules[index])
    if end_ms is None:
        return ""
    return (
        f"all tasks of wave {index + 1} have ended, so its gate cannot pass any more; "
        f"if nobody promotes the rollout before, 'apply' aborts it at {format_iso(end_ms)}"
    )


def _waits_for_person(state: RolloutState) -> bool:
    """Return whether nothing but a person ends the hold."""
    if state.problems:
        return Subject.ENVELOPE in state.problems
    index = first_undecided(state.waves)
    is_manual = isinstance(state.plan.wave_rules[index].gate, Manual)
    return is_manual and bool(state.waves[index].hold_reason) and not state.session.blocked_reason


def _advise_about_open_tasks(state: RolloutState) -> list[str]:
    """Return what becomes of the tasks that have not ended, of a rollout that has ended or was aborted."""
    if state.finished is not None:
        return ["tasks that have not ended go on by themselves; when they have ended, 'clean' deletes them"]
    lines = []
    if counts_of(state)[TaskStatus.PENDING]:
        lines.append("PENDING tasks may still be offered to their gateways; to delete them: lorafw rollout apply")
    if end_ms := latest_end_ms(state):
        lines.append(
            f"'apply' waits for tasks that were offered, until {format_iso(end_ms)} at the latest; "
            "to end this now: promote --reason TEXT"
        )
    return lines


def _advise_at_end(state: RolloutState, name: StateName) -> list[str]:
    """Return what a person can do after a rollout has ended or was aborted."""
    lines = ["what happened to each gateway, and who decided what: report"]
    if state.open_count:
        lines += _advise_about_open_tasks(state)
    if name is StateName.ABORTED:
        lines.append("what is installed stays installed; to go back, roll out the old firmware as a new update")
    if state.finished is not None:
        lines.append("ended tasks block the next update; to delete them: clean")
    if counts_of(state)[TaskStatus.FAILED]:
        lines.append("to try FAILED gateways again: clean, then a new plan for them (plan --fleet)")
    return lines
