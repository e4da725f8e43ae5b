"""What one step of the decision core works on: a draft of the state, and the actions that it asks for."""

from __future__ import annotations

from lorafw.rollout.events import Event, ProblemFound, ProblemSolved
from lorafw.rollout.evolution import Draft
from lorafw.rollout.observations import Action, Record, Wait
from lorafw.rollout.state import RolloutState


class StepContext:
    """One step of the decision core.

    Args:
        state: The state before the step. It is not changed.
        now_ms: The current time.
    """

    def __init__(self, state: RolloutState, now_ms: int) -> None:
        self.draft = Draft(state)
        self.now_ms = now_ms
        self.has_news = False
        """True if something was observed since the step before. Otherwise only time has passed."""
        self.has_new_ends = False
        """True if a task was seen to have ended in this step."""
        self._records: list[Record] = []
        self._actions: list[Action] = []
        self._wake_ms: int | None = None

    def record(self, event: Event) -> None:
        """Take an event into account, and have it written to the journal."""
        self.draft.apply(event)
        self._records.append(Record(event))

    def do(self, action: Action) -> None:
        """Ask for an action."""
        self._actions.append(action)

    def wake_at(self, time_ms: int) -> None:
        """Ask for another step at this time at the latest."""
        time_ms = max(time_ms, self.now_ms + 1)
        if self._wake_ms is None or time_ms < self._wake_ms:
            self._wake_ms = time_ms

    def report_problem(self, subject: str, reason: str) -> None:
        """Record a problem, unless it is known already or a person has accepted it."""
        if self.draft.problems.get(subject) == reason or reason in self.draft.accepted:
            return
        self.draft.rechecked_ms[subject] = self.now_ms
        self.record(ProblemFound(at_ms=self.now_ms, subject=subject, reason=reason))

    def solve_problem(self, subject: str) -> None:
        """Record that a problem has gone away, if there was one."""
        if subject in self.draft.problems:
            self.record(ProblemSolved(at_ms=self.now_ms, subject=subject))

    @property
    def has_actions(self) -> bool:
        """True if an action other than a record was asked for."""
        return bool(self._actions)

    def actions(self) -> tuple[Action, ...]:
        """Return the records and the actions of this step, or a ``Wait`` if there are none."""
        if self._records or self._actions:
            return (*self._records, *self._actions)
        if self._wake_ms is None:
            return ()
        return (Wait(self._wake_ms),)
