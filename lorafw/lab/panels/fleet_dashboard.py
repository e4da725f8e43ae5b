"""The fleet dashboard: a fleet, a plan, what goes wrong, and what becomes of it.

Small fleets are simulated as soon as a control is let go; a large one when someone presses Run, with progress and
Cancel. Every picture says its numbers in words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import ipywidgets

from lorafw.errors import FleetError
from lorafw.fleet import Result, Summary
from lorafw.fleet.describe import describe_plan, describe_stop
from lorafw.fleet.presets import PLANS
from lorafw.fleet.statistics.summary import summary_rows
from lorafw.lab.panels.background import BackgroundPanel, Progress
from lorafw.lab.panels.base import button, dropdown, integer_input, slider
from lorafw.lab.panels.html import SafeHtml, heading, html, image, preformatted, side_by_side, table, text_table
from lorafw.lab.panels.scenario import MIXES, Scenario
from lorafw.lab.plots import timeline
from lorafw.lab.plots.figure import AccessibleFigure
from lorafw.lab.plots.rollout import retries

AT_ONCE: Final = 50_000
"""Up to so many gateways in all a change is simulated at once."""

HEAD: Final = ("figure", "value", "95 % interval")


@dataclass(frozen=True, eq=False, slots=True)
class Shown:
    """A result and what is drawn from it."""

    scenario: Scenario
    result: Result
    summary: Summary
    pictures: tuple[AccessibleFigure, ...]
    images: tuple[SafeHtml, ...]

    @classmethod
    def of(cls, scenario: Scenario, progress: Progress | None = None) -> Shown:
        result = scenario.run(progress)
        pictures = (timeline(result), retries(result))
        return cls(scenario, result, result.summary(), pictures, tuple(map(image, pictures)))

    def rows(self) -> list[tuple[str, str, str]]:
        return summary_rows(self.summary, aborted=self.result.replications > 1)

    @property
    def stop(self) -> str:
        """What stopped the first rollout; empty where nothing did."""
        return describe_stop(self.result)

    def history(self, gateway: int) -> str:
        """Raises FleetError where there is no such gateway."""
        return self.result.explain(gateway)


class FleetDashboard(BackgroundPanel[Shown]):
    """``scenario`` is what the controls say, ``shown`` what was simulated last."""

    def __init__(self, scenario: Scenario | None = None) -> None:
        self.scenario = scenario or Scenario()
        super().__init__(Shown.of(self.scenario))
        given = self.scenario
        self.devices = self._input(slider("Gateways", given.gateways, 10, 20_000, 5))
        self.replications = self._input(slider("Rollouts", given.replications, 1, 500))
        self.fails = self._input(slider("Installs fail, %", round(given.fails * 100), 0, 50))
        self.missed_poll = self._input(slider("Polls missed, %", round(given.missed_poll * 100), 0, 50))
        self.wrong_key = self._input(slider("Wrong key, %", round(given.wrong_key * 100), 0, 50))
        self.mix = self._input(dropdown("Backhaul", list(MIXES), value=given.mix))
        self.plan = self._input(dropdown("Plan", list(PLANS), value=given.plan))
        self.run = self.reacts(button("Run", "Simulate what the controls say"), self._run)
        self.gateway = self.reacts(integer_input("One gateway", 0, 0, given.gateways - 1), lambda: None)
        self.assemble(
            (self.devices, self.replications, self.mix),
            (self.fails, self.missed_poll, self.plan),
            (self.wrong_key, self.gateway),
            (self.run, self.job.cancel, self.job.bar),
        )

    def refresh(self) -> None:
        self.gateway.max = self.shown.scenario.gateways - 1

    def _input(self, control: ipywidgets.Widget) -> ipywidgets.Widget:
        return self.reacts(control, self._change)

    def _change(self) -> None:
        self.scenario = Scenario(
            gateways=self.devices.value,
            mix=self.mix.value,
            plan=self.plan.value,
            fails=self.fails.value / 100,
            missed_poll=self.missed_poll.value / 100,
            wrong_key=self.wrong_key.value / 100,
            replications=self.replications.value,
            seed=self.scenario.seed,
        )
        if self.scenario.size <= AT_ONCE:
            self._run()

    def _run(self) -> None:
        scenario = self.scenario
        self.calculate(lambda progress: Shown.of(scenario, progress))

    @property
    def is_stale(self) -> bool:
        return self.scenario != self.shown.scenario

    def aside(self) -> SafeHtml:
        return html(f"Plan {self.scenario.plan}: {describe_plan(self.scenario.the_plan())}.")

    def html(self) -> SafeHtml:
        figures = table(HEAD, self.shown.rows(), _title(self.shown))
        chosen = SafeHtml(
            heading("One gateway, in the first rollout") + preformatted(self._history_text(), height_px=330)
        )
        pictures = side_by_side(*((drawn, 480) for drawn in self.shown.images))
        return SafeHtml(
            self.note() + self._stop() + pictures + side_by_side((figures, 480), (chosen, 480)) + html(_CAVEAT)
        )

    def _stop(self) -> SafeHtml:
        stop = self.shown.stop
        return heading(f"✖ The first rollout was {stop}.") if stop else SafeHtml("")

    def _history_text(self) -> str:
        try:
            return self.shown.history(self.gateway.value)
        except FleetError as error:
            return str(error)

    def text(self) -> str:
        alts = [picture.alt for picture in self.shown.pictures]
        stop = [f"The first rollout was {self.shown.stop}."] if self.shown.stop else []
        return "\n".join((_title(self.shown), *stop, text_table(HEAD, self.shown.rows()), *alts, self._history_text()))


_CAVEAT: Final = "Rates are assumptions to be varied: no figure for failing updates in the field can be trusted."


def _title(shown: Shown) -> str:
    scenario = shown.scenario
    rollouts = "1 rollout" if scenario.replications == 1 else f"{scenario.replications} rollouts"
    return f"{scenario.gateways:,} gateways, plan {shown.result.plan.name}, {rollouts}, seed {scenario.seed}"
