"""The rollout monitor: follow a rollout, see where it leaves its prediction, and tell it to pause, go on or stop.

The state of the panel is the journal, which ``apply`` writes: in this notebook, in a terminal, or on a server whose
disk the notebook shares. The panel reads it again whenever it changes. The buttons write commands into it.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from lorafw.errors import LabError, LorafwError
from lorafw.lab.panels.background import Job
from lorafw.lab.panels.base import Panel
from lorafw.lab.panels.html import SafeHtml
from lorafw.lab.panels.monitor_controls import NO_GATEWAY, MonitorControls
from lorafw.lab.panels.monitor_reader import JournalFollower, MonitorReader
from lorafw.lab.panels.rollout_driver import make_driver, record_command
from lorafw.lab.panels.rollout_view import (
    CURRENT_WAVE,
    details_html,
    explanation_html,
    headline_html,
    monitor_text,
)
from lorafw.rollout import Command, Connection, SavedPlan, read_plan
from lorafw.rollout.journal import journal_path
from lorafw.rollout.state import RolloutState
from lorafw.testbed import Testbed


class RolloutMonitor(Panel):
    """A notebook widget that follows the update of a fleet of gateways, and can pause or stop it."""

    def __init__(
        self,
        plan: SavedPlan | Path | str,
        journal: Path | str | None = None,
        target: Testbed | Connection | None = None,
    ) -> None:
        """Read the journal, and create the controls.

        Args:
            plan: The saved plan, or its file.
            journal: The file of the journal. None means the file beside the plan's that ends in ``.journal``.
            target: Where the panel carries the plan out when Apply is pressed: a testbed, whose clock it moves, or a
                connection. None if ``apply`` runs elsewhere.

        Raises:
            LabError: The plan was given without its file, and no journal was given.
            RolloutError: The file of the plan is none.
            JournalError: The journal cannot be read, or is that of another plan.
        """
        super().__init__()
        self.journal = _choose_journal(plan, journal)
        self.plan = plan if isinstance(plan, SavedPlan) else read_plan(plan)
        self._driver = None if target is None else make_driver(target)
        self._reader = MonitorReader(self.plan, self.journal)
        self.view = self._reader.read(CURRENT_WAVE)
        """What is shown."""
        self.job: Job[RolloutState] = Job(self._show_end, self._show_error)
        """The run of ``apply`` in this panel, with its progress bar and its Cancel button."""
        self.controls = MonitorControls.create(len(self.plan.waves))
        self._connect_controls()
        shown_job = None if self._driver is None else self.job
        rows = self.controls.rows(shown_job)
        self.build(*rows, beside=True)
        self._follower = JournalFollower(self._reader, self._reload_in_background, self._has_ended)
        self._follower.start()

    def _connect_controls(self) -> None:
        """Connect each control with its action."""
        self.connect(self.controls.wave, self.reload)
        self.connect(self.controls.gateway)
        self.connect(self.controls.update, self.reload)
        for command, command_button in self.controls.commands.items():
            self.connect(command_button, partial(self._give_command, command))
        self.connect(self.controls.apply, self._carry_out)

    def refresh(self) -> None:
        """Offer the gateways that need attention, and enable the buttons whose commands are possible now."""
        self.controls.offer_gateways(self.view)
        self.controls.enable_buttons(self.view)

    # --- actions ---

    def reload(self) -> None:
        """Read the journal again. The caller draws the panel."""
        self.view = self._reader.read(self.controls.wave.value)

    async def _reload_in_background(self) -> None:
        """Read the journal in a thread, then draw the panel."""
        try:
            view = await self._reader.read_in_thread(self.controls.wave.value)
        except LorafwError as error:
            self.error = str(error)
        else:
            if view is None:  # A newer one is shown already.
                return
            self.view = view
        self.redraw()

    def _has_ended(self) -> bool:
        """Return whether the rollout has ended, as far as the journal was read."""
        return self.view.has_ended

    def _give_command(self, command: Command) -> None:
        """Write a command into the journal, and say when it takes effect."""
        clock = None if self._driver is None else self._driver.clock
        notice = record_command(self.plan, self.journal, command, self.controls.reason.value, clock)
        self.controls.reason.value = ""
        self.reload()
        self.notice = notice

    def _carry_out(self) -> None:
        """Carry the plan out in the background. The journal is followed meanwhile."""
        if self._driver is None:
            raise LabError("target: this panel was made without a testbed and a connection; run apply elsewhere")
        self.job.start(partial(self._driver.run, self.plan, self.journal))
        self._follower.start()

    def _show_end(self, _: RolloutState) -> None:
        """Draw the state in which ``apply`` has ended."""
        self.perform(self.reload)

    def _show_error(self, error: Exception) -> None:
        """Show an error of lorafw. Any other exception is a fault of the program, and is raised again."""
        if not isinstance(error, LorafwError):
            raise error
        with self._lock:
            self._run_action(self.reload)
            self.error = str(error)
            self.redraw()

    # --- what is shown ---

    def headline_html(self) -> SafeHtml:
        """Return the state with its reason, and how many gateways have ended in each way."""
        return headline_html(self.view.document)

    def html(self) -> SafeHtml:
        """Return the picture of the chosen wave."""
        return self.view.figure_html

    def details_html(self) -> SafeHtml:
        """Return the waves, the gateways that need attention, and the explanation of the chosen gateway."""
        explanation = explanation_html(self.controls.gateway.value, self._explain_chosen_gateway())
        return details_html(self.view, explanation)

    def text(self) -> str:
        """Return the same as plain text, with the alternative text of the picture."""
        return monitor_text(self.view, self._explain_chosen_gateway())

    def _explain_chosen_gateway(self) -> list[str]:
        """Return why the chosen gateway has its status. Empty if none is chosen, or if the panel has no target."""
        if self._driver is None or self.controls.gateway.value == NO_GATEWAY:
            return []
        return self._driver.explain(self.controls.gateway.value)


def _choose_journal(plan: SavedPlan | Path | str, journal: Path | str | None) -> Path:
    """Return the given file of the journal, or the one beside the file of the plan.

    Raises LabError if there is neither.
    """
    if journal is not None:
        return Path(journal)
    if isinstance(plan, SavedPlan):
        raise LabError("journal: name the file, because a plan that was not read from a file has none beside it")
    return journal_path(Path(plan))
