"""The fleet dashboard: simulate a rollout on a fleet, and show how many gateways complete or fail, and when.

A small fleet is simulated as soon as a control changes. A large one is simulated when the user presses Run, with a
progress bar and a Cancel button. Every figure has its numbers in its alternative text.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

import ipywidgets

from lorafw.errors import FleetError
from lorafw.fleet import Result, Summary
from lorafw.fleet.describe import describe_plan, describe_stop
from lorafw.fleet.formatting import format_duration, format_percent
from lorafw.fleet.presets import PLANS
from lorafw.fleet.statistics.summary import summary_rows
from lorafw.lab.panels.background import BackgroundPanel, Progress
from lorafw.lab.panels.base import button, dropdown, integer_input, slider, wide
from lorafw.lab.panels.html import (
    SafeHtml,
    chip,
    heading,
    image,
    key_figures,
    preformatted,
    quiet,
    side_by_side,
    table,
    text_table,
)
from lorafw.lab.panels.scenario import MIXES, Scenario
from lorafw.lab.plots import timeline
from lorafw.lab.plots.figure import AccessibleFigure
from lorafw.lab.plots.rollout import retries

AUTO_RUN_LIMIT: Final = 50_000
"""Up to this number of gateways in all rollouts together, a change of a control starts the simulation."""

HEAD: Final = ("figure", "value", "95 % interval")


@dataclass(frozen=True, eq=False, slots=True)
class DashboardResult:
    """A simulated scenario, and the figures drawn from it."""

    scenario: Scenario
    result: Result
    summary: Summary
    figures: tuple[AccessibleFigure, ...]
    figures_html: tuple[SafeHtml, ...]
    """The figures as HTML."""

    @classmethod
    def simulate(cls, scenario: Scenario, progress: Progress | None = None) -> DashboardResult:
        """Simulate a scenario, and draw its figures.

        Args:
            scenario: What to simulate.
            progress: Called as ``progress(done, total)`` with numbers of gateways. May raise to cancel.

        Returns:
            The result and its figures.

        Raises:
            FleetError: The plan does not fit the fleet, or a value is out of range.
        """
        result = scenario.run(progress)
        figures = (timeline(result), retries(result))
        figures_html = tuple(image(figure) for figure in figures)
        return cls(scenario, result, result.summary(), figures, figures_html)

    def rows(self) -> list[tuple[str, str, str]]:
        """Return the summary as table rows: name, value and confidence interval of each figure."""
        # The share of aborted rollouts means nothing if there was only one.
        has_several_rollouts = self.result.replications > 1
        return summary_rows(self.summary, aborted=has_several_rollouts)

    def key_figures(self) -> list[tuple[str, str]]:
        """Return the figures that matter most, as pairs of a name and a value."""
        summary = self.summary
        return [
            ("COMPLETED", summary.completed_share.format(format_percent)),
            ("FAILED", summary.failed_share.format(format_percent)),
            ("half of the COMPLETED after", summary.time_to_completed_s["p50"].format(format_duration)),
            ("last gateway has ended after", summary.time_to_last_s.format(format_duration)),
        ]

    @property
    def stop_description(self) -> str:
        """Why the first rollout was stopped; empty if it was not."""
        return describe_stop(self.result)

    def history(self, gateway: int) -> str:
        """Return the history of one gateway in the first rollout.

        Args:
            gateway: Number of the gateway, from 0.

        Raises:
            FleetError: There is no such gateway.
        """
        return self.result.explain(gateway)


class FleetDashboard(BackgroundPanel[DashboardResult]):
    """The panel of the fleet dashboard."""

    def __init__(self, scenario: Scenario | None = None) -> None:
        """Simulate the scenario, and create the controls.

        Args:
            scenario: The first values of the controls. None means the default scenario.
        """
        self.scenario = scenario or Scenario()
        """The scenario that the controls are set to. ``result`` may be of an older one."""
        super().__init__(DashboardResult.simulate(self.scenario))
        self._create_inputs(self.scenario)
        self.run = self.connect(button("Run", "Simulate what the controls say"), self._run)
        self.gateway = self.connect(wide(integer_input("One gateway", 0, 0, self.scenario.gateways - 1)))
        self.build(
            (self.devices, self.replications),
            (self.mix, self.plan),
            (self.fails, self.missed_poll, self.wrong_key),
            (self.gateway,),
            (self.run, self.job.cancel, self.job.bar),
            beside=True,
        )

    def _create_inputs(self, scenario: Scenario) -> None:
        """Create the controls that set the scenario."""
        self.devices = self._input(slider("Gateways", scenario.gateways, 10, 20_000, 5))
        self.replications = self._input(slider("Rollouts", scenario.replications, 1, 500))
        self.fails = self._input(slider("Installs fail, %", round(scenario.fails * 100), 0, 50))
        self.missed_poll = self._input(slider("Polls missed, %", round(scenario.missed_poll * 100), 0, 50))
        self.wrong_key = self._input(slider("Wrong key, %", round(scenario.wrong_key * 100), 0, 50))
        self.mix = self._input(dropdown("Backhaul", list(MIXES), value=scenario.mix))
        self.plan = self._input(dropdown("Plan", list(PLANS), value=scenario.plan))

    def refresh(self) -> None:
        """Limit the choice of a gateway to those of the fleet that is shown."""
        self.gateway.max = self.result.scenario.gateways - 1

    def _input(self, control: ipywidgets.Widget) -> ipywidgets.Widget:
        """Make a control one that changes the scenario, and return it."""
        return self.connect(wide(control), self._change_scenario)

    def _change_scenario(self) -> None:
        """Set the scenario to the values of the controls, and simulate it if the fleet is small."""
        self.scenario = self._read_controls()
        if self.scenario.total_gateways <= AUTO_RUN_LIMIT:
            self._run()

    def _read_controls(self) -> Scenario:
        """Return the scenario that the controls describe."""
        return Scenario(
            gateways=self.devices.value,
            mix=self.mix.value,
            plan=self.plan.value,
            fails=self.fails.value / 100,
            missed_poll=self.missed_poll.value / 100,
            wrong_key=self.wrong_key.value / 100,
            replications=self.replications.value,
            seed=self.scenario.seed,
        )

    def _run(self) -> None:
        """Simulate the scenario in the background."""
        self.calculate(partial(DashboardResult.simulate, self.scenario))

    @property
    def is_stale(self) -> bool:
        """Whether the controls have changed since the result was calculated."""
        return self.scenario != self.result.scenario

    def header_html(self) -> SafeHtml:
        """Return a description of the chosen plan."""
        return SafeHtml(
            quiet(f"Plan {self.scenario.plan}: {describe_plan(self.scenario.plan_for())}.") + self.stale_notice()
        )

    def headline_html(self) -> SafeHtml:
        """Return the shares of completed and failed gateways, the time that it took, and what stopped the rollout."""
        figures = key_figures(*self.result.key_figures())
        description = self.result.stop_description
        if not description:
            return figures
        return SafeHtml(figures + chip(f"✖ The first rollout was {description}.", "bad"))

    def html(self) -> SafeHtml:
        """Return the timeline."""
        return self.result.figures_html[0]

    def details_html(self) -> SafeHtml:
        """Return the summary, the sends, and the history of one gateway."""
        summary = table(HEAD, self.result.rows(), _title(self.result))
        history = SafeHtml(
            heading("One gateway, in the first rollout") + preformatted(self._history_text(), height_px=330)
        )
        left = SafeHtml(summary + quiet(_CAVEAT))
        return side_by_side((left, 460), (SafeHtml(self.result.figures_html[1] + history), 340))

    def _history_text(self) -> str:
        """Return the history of the gateway whose number was entered, or an error message."""
        try:
            return self.result.history(self.gateway.value)
        except FleetError as error:
            return str(error)

    def text(self) -> str:
        """Return the summary, the alternative texts of the figures, and the history of one gateway."""
        lines = [_title(self.result)]
        if self.result.stop_description:
            lines.append(f"The first rollout was {self.result.stop_description}.")
        lines.append(text_table(HEAD, self.result.rows()))
        lines += [figure.alt for figure in self.result.figures]
        lines.append(self._history_text())
        return "\n".join(lines)


_CAVEAT: Final = "Rates are assumptions to be varied: no figure for failing updates in the field can be trusted."


def _title(shown: DashboardResult) -> str:
    """Return the title of the summary: the size of the fleet, the plan, the number of rollouts and the seed."""
    scenario = shown.scenario
    rollouts = "1 rollout" if scenario.replications == 1 else f"{scenario.replications} rollouts"
    return f"{scenario.gateways:,} gateways, plan {shown.result.plan.name}, {rollouts}, seed {scenario.seed}"
