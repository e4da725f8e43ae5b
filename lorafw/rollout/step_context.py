"""The working data of one step of a rollout.

A rollout proceeds in steps. Each step takes in what was observed since the step before, and decides what to do next.
The code that decides calls nothing outside of the process. It collects events, which are written to the journal, and
actions, such as calls of AWS, which the engine carries out afterwards. ``StepContext`` is where it collects them.
"""

from __future__ import annotations

from lorafw.rollout.draft import Draft
from lorafw.rollout.events import Event, ProblemFound, ProblemSolved
from lorafw.rollout.evolution import apply_event
from lorafw.rollout.observations import Action, Wait, WriteEvent
from lorafw.rollout.state import RolloutState


class StepContext:
    """Collects what one step of a rollout decides: the next state, events for the journal, and actions.

    Args:
        state: The state before the step. It is not changed.
        now_ms: The current time, in milliseconds since 1970 UTC.
    """

    def __init__(self, state: RolloutState, now_ms: int) -> None:
        self.draft = Draft(state)
        """The next state, which the step may change."""
        self.now_ms = now_ms
        self.has_observations = False
        """True if the step takes in at least one observation. Otherwise only time has passed since the last step."""
        self.has_ended_tasks = False
        """True if an observation of this step shows that a task has ended."""
        self._events: list[Event] = []
        self._actions: list[Action] = []
        self._wake_ms: int | None = None
        """The time of the next step. None if no time was requested."""

    def record(self, event: Event) -> None:
        """Apply an event to the next state, and request that it is written to the journal."""
        apply_event(self.draft, event)
        self._events.append(event)

    def request_action(self, action: Action) -> None:
        """Request that an action is carried out after this step, for example a call of AWS."""
        self._actions.append(action)

    def wake_at(self, time_ms: int) -> None:
        """Request that the next step is made at this time. The earliest of all requested times counts."""
        time_ms = max(time_ms, self.now_ms + 1)
        if self._wake_ms is None or time_ms < self._wake_ms:
            self._wake_ms = time_ms

    def report_problem(self, subject: str, reason: str) -> None:
        """Record a problem, which holds the rollout, unless it is known already or a person has accepted it.

        Args:
            subject: What the problem is about: the id of a gateway, or a ``Subject``.
            reason: The problem in words.
        """
        if reason in self.draft.accepted_reasons:
            self.solve_problem(subject)  # another reason, which nobody has accepted, has gone away
            return
        if self.draft.problems.get(subject) == reason:
            return
        self.draft.note_look_at_problem(subject, self.now_ms)
        self.record(ProblemFound(at_ms=self.now_ms, subject=subject, reason=reason))

    def solve_problem(self, subject: str) -> None:
        """Record that there is no problem with a subject any more. Does nothing if there was none."""
        if subject in self.draft.problems:
            self.record(ProblemSolved(at_ms=self.now_ms, subject=subject))

    def requested_actions(self) -> tuple[Action, ...]:
        """Return the actions to carry out after this step.

        Returns:
            First a ``WriteEvent`` for each event, then the requested actions. If there are none, a ``Wait`` until the
            next step. Empty if no time was requested either: then only a person can cause the next step.
        """
        actions: list[Action] = [WriteEvent(event) for event in self._events]
        actions += self._actions
        if not actions and self._wake_ms is not None:
            actions.append(Wait(until_ms=self._wake_ms))
        return tuple(actions)
