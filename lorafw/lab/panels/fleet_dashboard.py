"""The fleet dashboard: simulate a rollout on a fleet, and show how many gateways complete or fail, and when.

A small fleet is simulated as soon as a control changes. A large one is simulated when the user presses Run, with a
progress bar and a Cancel button. Every figure has its numbers in its alternative text.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Final

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
_CAVEAT: Final = "Rates are assumptions to be varied: no figure for failing updates in the field can be trusted."


@dataclass(frozen=True, eq=False, slots=True)
class DashboardResult:
    """A simulated rollout, that is, the update of a whole fleet of gateways, and the pictures drawn from it."""

    scenario: Scenario
    result: Result
    """What the simulator returned."""
    summary: Summary
    timeline: AccessibleFigure
    """How many gateways have each status over time."""
    timeline_html: SafeHtml
    """The same picture as HTML."""
    retries: AccessibleFigure
    """How often the update was sent to a gateway."""
    retries_html: SafeHtml
    """The same picture as HTML."""

    @classmethod
    def simulate(cls, scenario: Scenario, progress: Progress | None = None) -> DashboardResult:
        """Simulate a scenario, and draw its pictures.

        Args:
            scenario: What to simulate.
            progress: Called as ``progress(done, total)`` with numbers of gateways. May raise to cancel.

        Returns:
            The result of the simulator, and its pictures.

        Raises:
            FleetError: The plan does not fit the fleet, or a value is out of range.
        """
        result = scenario.run(progress)
        timeline_figure = timeline(result)
        retries_figure = retries(result)
        return cls(
            scenario=scenario,
            result=result,
            summary=result.summary(),
            timeline=timeline_figure,
            timeline_html=image(timeline_figure),
            retries=retries_figure,
            retries_html=image(retries_figure),
        )

    @property
    def title(self) -> str:
        """The size of the fleet, the plan, the number of rollouts and the seed, in words."""
        count = self.scenario.replications
        rollouts = "1 rollout" if count == 1 else f"{count} rollouts"
        fleet = f"{self.scenario.gateways:,} gateways"
        return f"{fleet}, plan {self.result.plan.name}, {rollouts}, seed {self.scenario.seed}"

    @property
    def stop_description(self) -> str:
        """Why the first rollout was stopped; empty if it was not."""
        return describe_stop(self.result)

    def rows(self) -> list[tuple[str, str, str]]:
        """Return the name, the value and the confidence interval of each figure of the summary."""
        # The share of aborted rollouts means nothing if there was only one.
        has_several_rollouts = self.result.replications > 1
        return summary_rows(self.summary, aborted=has_several_rollouts)

    def history(self, gateway: int) -> str:
        """Return what happened to one gateway in the first rollout, or the error message if there is none.

        Args:
            gateway: Number of the gateway, from 0.
        """
        try:
            return self.result.explain(gateway)
        except FleetError as error:
            return str(error)


def headline_html(shown: DashboardResult) -> SafeHtml:
    """Return the figures that matter most, and what stopped the first rollout.

    Args:
        shown: The simulated scenario.
    """
    summary = shown.summary
    figures = key_figures(
        ("COMPLETED", summary.completed_share.format(format_percent)),
        ("FAILED", summary.failed_share.format(format_percent)),
        ("half of the COMPLETED after", summary.time_to_completed_s["p50"].format(format_duration)),
        ("last gateway has ended after", summary.time_to_last_s.format(format_duration)),
    )
    if not shown.stop_description:
        return figures
    return SafeHtml(figures + chip(f"✖ The first rollout was {shown.stop_description}.", "bad"))


def details_html(shown: DashboardResult, history: str) -> SafeHtml:
    """Return the summary, and beside it the sends and the history of one gateway.

    Args:
        shown: The simulated scenario.
        history: What happened to the gateway.
    """
    summary = table(HEAD, shown.rows(), shown.title)
    left = SafeHtml(summary + quiet(_CAVEAT))
    history_title = heading("One gateway, in the first rollout")
    right = SafeHtml(shown.retries_html + history_title + preformatted(history, height_px=330))
    return side_by_side((left, 460), (right, 340))


def dashboard_text(shown: DashboardResult, history: str) -> str:
    """Return the summary, the alternative texts of the pictures, and the history of one gateway.

    Args:
        shown: The simulated scenario.
        history: What happened to the gateway.
    """
    lines = [shown.title]
    if shown.stop_description:
        lines.append(f"The first rollout was {shown.stop_description}.")
    lines.append(text_table(HEAD, shown.rows()))
    lines += [shown.timeline.alt, shown.retries.alt]
    lines.append(history)
    return "\n".join(lines)


class ScenarioControls:
    """The sliders and drop-downs that set a scenario. Rates are shown in per cent."""

    def __init__(self, scenario: Scenario) -> None:
        """Create the controls.

        Args:
            scenario: The first values of the controls.
        """
        self.gateways = wide(slider("Gateways", scenario.gateways, 10, 20_000, 5))
        self.replications = wide(slider("Rollouts", scenario.replications, 1, 500))
        self.mix = wide(dropdown("Backhaul", list(MIXES), value=scenario.mix))
        self.plan = wide(dropdown("Plan", list(PLANS), value=scenario.plan))
        self.fails = wide(slider("Installs fail, %", round(scenario.fails * 100), 0, 50))
        self.missed_poll = wide(slider("Polls missed, %", round(scenario.missed_poll * 100), 0, 50))
        self.wrong_key = wide(slider("Wrong key, %", round(scenario.wrong_key * 100), 0, 50))
        self._seed = scenario.seed

    def rows(self) -> list[tuple[Any, ...]]:
        """Return the controls of each row."""
        return [
            (self.gateways, self.replications),
            (self.mix, self.plan),
            (self.fails, self.missed_poll, self.wrong_key),
        ]

    def all(self) -> list[Any]:
        """Return the controls, row by row."""
        return [control for row in self.rows() for control in row]

    def read(self) -> Scenario:
        """Return the scenario that the controls are set to."""
        return Scenario(
            gateways=self.gateways.value,
            replications=self.replications.value,
            mix=self.mix.value,
            plan=self.plan.value,
            fails=self.fails.value / 100,
            missed_poll=self.missed_poll.value / 100,
            wrong_key=self.wrong_key.value / 100,
            seed=self._seed,
        )


class FleetDashboard(BackgroundPanel[DashboardResult]):
    """A notebook widget that simulates an update of many gateways, and shows how many succeed and when."""

    def __init__(self, scenario: Scenario | None = None) -> None:
        """Simulate the scenario, and create the controls.

        Args:
            scenario: The first values of the controls. None means the default scenario.
        """
        self.scenario = scenario or Scenario()
        """The scenario that the controls are set to. ``result`` may be of an older one."""
        super().__init__(DashboardResult.simulate(self.scenario))
        self.inputs = ScenarioControls(self.scenario)
        for control in self.inputs.all():
            self.connect(control, self._change_scenario)
        self.gateway = self.connect(wide(integer_input("One gateway", 0, 0, self.scenario.gateways - 1)))
        self.run = self.connect(button("Run", "Simulate what the controls say"), self._start_simulation)
        self.build(*self.inputs.rows(), (self.gateway,), (self.run, self.job.cancel, self.job.bar), beside=True)

    def refresh(self) -> None:
        """Limit the field "One gateway" to the gateways of the fleet that is shown."""
        self.gateway.max = self.result.scenario.gateways - 1

    def _change_scenario(self) -> None:
        """Read the scenario from the controls, and simulate it at once if the fleet is small."""
        self.scenario = self.inputs.read()
        if self.scenario.total_gateways <= AUTO_RUN_LIMIT:
            self._start_simulation()

    def _start_simulation(self) -> None:
        """Simulate the scenario in the background."""
        self.calculate(partial(DashboardResult.simulate, self.scenario))

    @property
    def is_stale(self) -> bool:
        """Whether the controls have changed since the result was calculated."""
        return self.scenario != self.result.scenario

    def header_html(self) -> SafeHtml:
        """Return a description of the chosen plan, and a request to press Run if the result is stale."""
        plan = describe_plan(self.scenario.plan_for())
        return SafeHtml(quiet(f"Plan {self.scenario.plan}: {plan}.") + self.stale_notice())

    def headline_html(self) -> SafeHtml:
        """Return the figures that matter most, and what stopped the rollout."""
        return headline_html(self.result)

    def html(self) -> SafeHtml:
        """Return the timeline."""
        return self.result.timeline_html

    def details_html(self) -> SafeHtml:
        """Return the summary, the sends, and the history of the chosen gateway."""
        return details_html(self.result, self.result.history(self.gateway.value))

    def text(self) -> str:
        """Return the same as plain text."""
        return dashboard_text(self.result, self.result.history(self.gateway.value))
