"""The controls of the rollout monitor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lorafw.lab.panels.background import Job
from lorafw.lab.panels.base import button, dropdown, text_input, wide
from lorafw.lab.panels.rollout_view import CURRENT_WAVE, MonitorView
from lorafw.rollout import Command
from lorafw.rollout.state import RolloutState

COMMAND_TOOLTIPS: Final = {
    Command.PAUSE: "Create no more tasks until you resume",
    Command.RESUME: "Go on after a pause",
    Command.PROMOTE: "Go on in spite of what it holds for",
    Command.ABORT: "Stop for good, and delete PENDING tasks",
}
NO_GATEWAY: Final = "none"
"""The choice in the list of gateways if none needs attention."""


@dataclass(frozen=True, slots=True)
class MonitorControls:
    """The controls of a rollout monitor. They do nothing until the monitor connects them with actions."""

    wave: Any
    """Chooses the wave whose picture is shown."""
    gateway: Any
    """Chooses a gateway that needs attention, whose status is explained."""
    update: Any
    """The button that reads the journal again."""
    reason: Any
    """The text field for the reason of a command."""
    commands: Mapping[Command, Any]
    """The button of each command."""
    apply: Any
    """The button that carries the plan out."""

    @classmethod
    def create(cls, wave_count: int) -> MonitorControls:
        """Create the controls for a plan with this number of waves."""
        wave_options = [("the current one", CURRENT_WAVE)]
        for index in range(wave_count):
            wave_options.append((f"wave {index + 1}", index))
        return cls(
            wave=wide(dropdown("Wave", wave_options)),
            gateway=wide(dropdown("Gateway to explain", [NO_GATEWAY])),
            update=button("Refresh", "Read the journal again"),
            reason=wide(text_input("Reason", "", placeholder="why, for the record")),
            commands={command: button(command.capitalize(), tip) for command, tip in COMMAND_TOOLTIPS.items()},
            apply=button("Apply", "Carry the plan out until it ends or holds"),
        )

    def rows(self, job: Job[RolloutState] | None) -> list[tuple[Any, ...]]:
        """Return the controls of each row.

        Args:
            job: The run of Apply, with its progress bar and its Cancel button. None if the plan cannot be carried out
                here. Then these controls and Apply are not shown.
        """
        rows: list[tuple[Any, ...]] = []
        if job is not None:
            rows += [(self.apply, job.cancel), (job.bar,)]
        rows.append((self.reason,))
        rows.append((self.commands[Command.PAUSE], self.commands[Command.RESUME]))
        rows.append((self.commands[Command.PROMOTE], self.commands[Command.ABORT]))
        rows += [(self.wave,), (self.gateway,), (self.update,)]
        return rows

    def offer_gateways(self, view: MonitorView) -> None:
        """Offer the gateways that need attention now."""
        options = [gateway["gateway"] for gateway in view.gateways_needing_attention()]
        if not options:
            options = [NO_GATEWAY]
        # A new list of options resets the choice, so the list is set only if it differs.
        if list(self.gateway.options) != options:
            self.gateway.options = options

    def enable_buttons(self, view: MonitorView) -> None:
        """Enable the buttons whose commands are possible now. Apply is possible until the rollout has ended."""
        possible_commands = view.possible_commands()
        for command, command_button in self.commands.items():
            command_button.disabled = command not in possible_commands
        self.apply.disabled = view.has_ended
