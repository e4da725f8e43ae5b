"""Carries out a rollout: decide what to do, do it, wait, and begin again.

``rollout.decisions`` decides which actions come next, and ``rollout.performing`` performs them. What was observed goes
into the next decision.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final

from lorafw.rollout.decisions import step
from lorafw.rollout.observations import Action, Observation, Wait
from lorafw.rollout.performing import Tools, perform_actions, write_events
from lorafw.rollout.state import RolloutState
from lorafw.rollout.status import StateName, describe_state

_STATES_WITHOUT_PROGRESS: Final = (StateName.HOLDING, StateName.PAUSED, StateName.ABORTED)
"""States in which a rollout that has nothing to do stays until a person commands something."""


class Until(Enum):
    """When ``apply`` returns."""

    END = "end"
    """When the rollout has ended."""
    HOLD = "hold"
    """When it has ended, holds or is paused, or is aborted and has nothing left to delete."""
    IDLE = "idle"
    """When there is nothing to do now: one round."""


class Engine:
    """Carries out one plan.

    Args:
        state: The state, replayed from the journal.
        tools: What the actions are performed with.
        on_change: Called with the new state after each step. None if nobody follows the rollout.
    """

    def __init__(
        self, state: RolloutState, tools: Tools, on_change: Callable[[RolloutState], None] | None = None
    ) -> None:
        self.state = state
        self._tools = tools
        self._on_change = on_change

    def run(self, until: Until = Until.END) -> RolloutState:
        """Carry the rollout on.

        Args:
            until: When to return.

        Returns:
            The last state.

        Raises:
            JournalError: The journal cannot be written. Nothing was sent that it does not know.
        """
        observations: list[Observation] = []
        while True:
            observations += self._tools.journal.read_new_commands()
            state, actions = step(self.state, observations, self._tools.clock.now_ms())
            if not write_events(self._tools.journal, actions):
                continue  # a person has commanded something meanwhile: decide again
            self.state = state
            if self._on_change is not None:
                self._on_change(state)
            if self._is_over(actions, until):
                return state
            observations = perform_actions(self._tools, state, actions)
            self._wait_if_idle(actions)

    def _is_over(self, actions: Sequence[Action], until: Until) -> bool:
        """Return True if ``run`` returns now."""
        if self.state.finished is not None:
            return True
        if not _is_idle(actions):
            return False
        if until is Until.HOLD:
            return describe_state(self.state).name in _STATES_WITHOUT_PROGRESS
        return until is Until.IDLE

    def _wait_if_idle(self, actions: Sequence[Action]) -> None:
        """Wait until the time of the next step, or until a person commands something."""
        if not _is_idle(actions):
            return
        until_ms = None
        if actions and isinstance(actions[0], Wait):
            until_ms = actions[0].until_ms
        self._tools.clock.wait_until(until_ms, self._tools.journal.has_new_commands)


def _is_idle(actions: Sequence[Action]) -> bool:
    """Return True if there is nothing to do now. A ``Wait`` is always the only action."""
    return not actions or isinstance(actions[0], Wait)
