"""The working data of one step of a rollout.

A rollout proceeds in steps. Each step takes in what was observed since the step before, and decides what to do next.
The code that decides calls nothing outside of the process. It collects events, which are written to the journal, and
actions, such as calls of AWS, which the engine carries out afterwards. ``StepContext`` is where it collects them.
"""

from __future__ import annotations

from lorafw.rollout.draft import Draft
from lorafw.rollout.events import Event, ProblemFound, ProblemSolved
from lorafw.rollout.evolution import apply_event
from lorafw.rollout.observations import Action, Record, Wait
from lorafw.rollout.state import RolloutState


class StepContext:
    """The state that a step changes, and the events and actions that it has collected so far.

    Args:
        state: The state before the step. It is not changed.
        now_ms: The current time.
    """

    def __init__(self, state: RolloutState, now_ms: int) -> None:
        self.draft = Draft(state)
        self.now_ms = now_ms
        self.has_observations = False
        """True if the step takes in at least one observation. Otherwise only time has passed since the last step."""
        self.has_ended_tasks = False
        """True if an observation of this step shows that a task has ended."""
        self._records: list[Record] = []
        self._actions: list[Action] = []
        self._wake_ms: int | None = None

    def record(self, event: Event) -> None:
        """Apply an event to the state, and have the engine write it to the journal."""
        apply_event(self.draft, event)
        self._records.append(Record(event))

    def request_action(self, action: Action) -> None:
        """Have the engine carry out an action after this step."""
        self._actions.append(action)

    def wake_at(self, time_ms: int) -> None:
        """Have the next step made at this time, or earlier if another call asks for that."""
        time_ms = max(time_ms, self.now_ms + 1)
        if self._wake_ms is None or time_ms < self._wake_ms:
            self._wake_ms = time_ms

    def report_problem(self, subject: str, reason: str) -> None:
        """Record a problem, unless it is known already or a person has accepted it."""
        if self.draft.problems.get(subject) == reason or reason in self.draft.accepted_reasons:
            return
        self.draft.note_look_at_problem(subject, self.now_ms)
        self.record(ProblemFound(at_ms=self.now_ms, subject=subject, reason=reason))

    def solve_problem(self, subject: str) -> None:
        """Record that a problem has gone away, if there was one."""
        if subject in self.draft.problems:
            self.record(ProblemSolved(at_ms=self.now_ms, subject=subject))

    @property
    def has_actions(self) -> bool:
        """True if the step has requested an action. Events for the journal do not count."""
        return bool(self._actions)

    def requested_actions(self) -> tuple[Action, ...]:
        """Return everything that the engine must do after this step.

        Returns:
            First a ``Record`` for each event, then the requested actions. If there is neither, a single ``Wait`` until
            the next step. Empty if no time was set for it either.
        """
        if self._records or self._actions:
            return (*self._records, *self._actions)
        if self._wake_ms is None:
            return ()
        return (Wait(until_ms=self._wake_ms),)
