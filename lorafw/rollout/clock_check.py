"""Whether the clock of this machine is right, so that no wave begins and no gate gives up at another time than planned.

A rollout waits for days, and a clock can be set meanwhile: by a person, after a flat battery, in a virtual machine that
was moved. A machine cannot tell this from a long sleep. But each answer of AWS has a date. Before time alone decides
something, the clock is compared with that date.
"""

from __future__ import annotations

from typing import Final

from lorafw.fleet.formatting import format_duration
from lorafw.rollout.observations import ClockCompared, CompareClock
from lorafw.rollout.state import RolloutState, Subject, forget_session
from lorafw.rollout.step_context import StepContext

MAX_DIFFERENCE_MS: Final = 5 * 60_000
"""The largest difference between the clocks that is accepted. AWS accepts signatures that are five minutes old
(documented)."""

_SET_BACK_MS: Final = 1_000
"""A clock that goes back by more than this was set back. Corrections of a time service are smaller."""


def forget_if_set_back(state: RolloutState, now_ms: int) -> RolloutState:
    """Return the state to begin a step with. If the clock was set back, it does not contain what ``apply`` has seen.

    What was seen would count as new until the clock comes to that time again.

    Args:
        state: The state after the last step.
        now_ms: The current time, in milliseconds since 1970 UTC.
    """
    if now_ms >= state.session.stepped_ms - _SET_BACK_MS:
        return state
    return forget_session(state)


def is_clock_checked(context: StepContext, since_ms: int) -> bool:
    """Return True if the clock was found to be right since a time. Otherwise ask for a comparison.

    Args:
        context: The step.
        since_ms: The time, in milliseconds since 1970 UTC. It is not later than now.
    """
    if not context.draft.settings.compares_clock:
        return True
    compared_ms = context.draft.session.clock_compared_ms
    if compared_ms is not None and compared_ms >= since_ms:
        return True
    context.request_action(CompareClock())
    return False


def handle_comparison(context: StepContext, compared: ClockCompared) -> None:
    """Report a problem if the clock differs too much from that of AWS. Otherwise remember that it is right.

    Args:
        context: The step.
        compared: The comparison. The clock counts as right if AWS has sent no date.
    """
    ahead_ms = compared.ahead_ms
    if ahead_ms is None or abs(ahead_ms) <= MAX_DIFFERENCE_MS:
        context.draft.change_session(clock_compared_ms=context.now_ms)
        context.solve_problem(Subject.CLOCK)
        return
    context.draft.change_session(clock_compared_ms=None)
    if Subject.CLOCK in context.draft.problems:
        return
    side = "ahead of" if ahead_ms > 0 else "behind"
    difference = format_duration(abs(ahead_ms) / 1000)
    consequence = "until then no task is created and no gate is checked"
    reason = f"the clock of this machine is {difference} {side} that of AWS; set it, {consequence}"
    context.report_problem(Subject.CLOCK, reason)
