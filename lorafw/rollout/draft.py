"""The next state of a rollout while it is being made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lorafw.rollout.state import GatewayProgress, RolloutState


class Draft:
    """A copy of a rollout's state that can be changed until ``freeze`` makes the next state from it.

    ``RolloutState`` is frozen. A draft copies the collections of a state once and changes its copies, so that many
    events cost only one copy. The other fields are read as attributes of the draft, such as ``draft.pause_reason``.

    Args:
        state: The state to start from. It is not changed.
    """

    def __init__(self, state: RolloutState) -> None:
        self._state = state
        self._changed_fields: dict[str, Any] = {}
        self.plan = state.plan
        self.settings = state.settings
        self.session = state.session
        self.gateways = dict(state.gateways)
        self.problems = dict(state.problems)
        self._counts = [dict(wave.counts) for wave in state.waves]
        self.waves = [replace(wave, counts=counts) for wave, counts in zip(state.waves, self._counts, strict=True)]
        """The waves. They share ``_counts``, so they show at once what ``change_gateway`` counts."""

    def __getattr__(self, name: str) -> Any:
        """Return the current value of a field of ``RolloutState`` that is not an attribute of the draft."""
        if name in self._changed_fields:
            return self._changed_fields[name]
        return getattr(self._state, name)

    def freeze(self) -> RolloutState:
        """Return the changed state. The draft must not be used any more."""
        return replace(
            self._state,
            gateways=self.gateways,
            waves=tuple(self.waves),
            problems=self.problems,
            session=self.session,
            **self._changed_fields,
        )

    def progress_of(self, gateway: str) -> GatewayProgress:
        """Return how far the rollout has come with a gateway of the plan."""
        return self.gateways.get(gateway) or GatewayProgress(self.plan.wave_of[gateway])

    def change_fields(self, **changes: Any) -> None:
        """Change fields of ``RolloutState`` that are not collections."""
        self._changed_fields.update(changes)

    def change_session(self, **changes: Any) -> None:
        """Change fields of ``RolloutSession``."""
        self.session = replace(self.session, **changes)

    def change_wave(self, index: int, **changes: Any) -> None:
        """Change fields of the ``WaveProgress`` of a wave."""
        self.waves[index] = replace(self.waves[index], **changes)

    def change_gateway(self, gateway: str, **changes: Any) -> None:
        """Change fields of the ``GatewayProgress`` of a gateway, and count the gateway in its new category."""
        before = self.progress_of(gateway)
        after = replace(before, **changes)
        self.gateways[gateway] = after
        if before.category != after.category:
            counts = self._counts[after.wave]
            counts[before.category] -= 1
            counts[after.category] = counts.get(after.category, 0) + 1

    def note_look_at_problem(self, subject: str, time_ms: int) -> None:
        """Note when a problem was last looked at."""
        rechecked_ms = dict(self.session.rechecked_ms)
        rechecked_ms[subject] = time_ms
        self.change_session(rechecked_ms=rechecked_ms)
