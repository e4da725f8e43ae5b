"""The rollout planner: two plans side by side, and the difference that is due to them.

Both plans meet the same fleet with the same luck (common random numbers), rollout by rollout, so far fewer rollouts
tell them apart. A difference whose interval holds zero is not one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import ipywidgets

from lorafw.fleet import compare
from lorafw.fleet.describe import describe_plan, describe_stop
from lorafw.fleet.formatting import metric_label
from lorafw.fleet.presets import PLANS
from lorafw.fleet.statistics.comparison import PlanDifference
from lorafw.lab.panels.background import BackgroundPanel, Progress
from lorafw.lab.panels.base import button, dropdown, slider
from lorafw.lab.panels.html import SafeHtml, bold, heading, html, image, side_by_side, table, text_table
from lorafw.lab.panels.scenario import MIXES, Scenario
from lorafw.lab.plots import timeline
from lorafw.lab.plots.figure import AccessibleFigure

HEAD: Final = ("figure", "first", "second", "second - first", "95 % interval", "so")
NO_DIFFERENCE: Final = "= no difference"


@dataclass(frozen=True, eq=False, slots=True)
class Comparison:
    """Two plans on one scenario; ``pictures`` and ``stops`` are of the first rollout of each."""

    scenario: Scenario
    plans: tuple[str, str]
    differences: tuple[PlanDifference, ...]
    pictures: tuple[AccessibleFigure, ...]
    images: tuple[SafeHtml, ...]
    stops: tuple[str, ...]

    @classmethod
    def of(cls, scenario: Scenario, plans: tuple[str, str], progress: Progress | None = None) -> Comparison:
        """Raises FleetError."""
        fleet, replications = scenario.fleet(), max(2, scenario.replications)
        first, second = (scenario.the_plan(name) for name in plans)
        half = _combined_progress(progress) if progress else None
        found = compare(fleet, first, second, seed=scenario.seed, replications=replications, progress=half)
        results = [scenario.with_(plan=name, replications=1).run() for name in plans]
        pictures = tuple(map(timeline, results))
        stops = tuple(map(describe_stop, results))
        return cls(scenario, plans, tuple(found), pictures, tuple(map(image, pictures)), stops)

    def rows(self) -> list[tuple[str, ...]]:
        rows = []
        for one in self.differences:
            label, say = metric_label(one.name)
            values = (figure.said(say) for figure in (one.first, one.second, one.difference))
            rows.append((label, *values, one.difference.format_interval(say), interpret_difference(one)))
        return rows


def interpret_difference(one: PlanDifference) -> str:
    """What the interval of a difference says."""
    low, high = one.difference.low, one.difference.high
    if low is None or high is None:
        return "? nothing to compare"
    if low == high == 0:
        return NO_DIFFERENCE
    if low > 0:
        return "▲ second is higher"
    return "▼ second is lower" if high < 0 else "? cannot tell"


def _combined_progress(progress: Progress) -> Progress:
    """Progress that goes twice from 0 to its total, once for each plan, as one way."""
    before, last = 0, 0

    def report(done: int, total: int) -> None:
        nonlocal before, last
        if done < last:
            before = 1
        last = done
        progress(before * total + done, 2 * total)

    return report


class RolloutPlanner(BackgroundPanel[Comparison]):
    """``scenario`` and ``plans`` are what the controls say, ``shown`` what was compared last."""

    def __init__(self, scenario: Scenario | None = None, plans: tuple[str, str] = ("at-once", "waves")) -> None:
        self.scenario = scenario or Scenario(replications=20)
        self.plans = plans
        super().__init__(Comparison.of(self.scenario, plans))
        given = self.scenario
        self.first = self._input(dropdown("First plan", list(PLANS), value=plans[0]))
        self.second = self._input(dropdown("Second plan", list(PLANS), value=plans[1]))
        self.mix = self._input(dropdown("Backhaul", list(MIXES), value=given.mix))
        self.devices = self._input(slider("Gateways", given.gateways, 100, 20_000, 100))
        self.fails = self._input(slider("Installs fail, %", round(given.fails * 100), 0, 100))
        self.replications = self._input(slider("Rollouts of each", given.replications, 2, 500))
        self.run = self.reacts(button("Run", "Compare the two plans"), self._run)
        self.assemble(
            (self.first, self.second, self.mix),
            (self.devices, self.fails),
            (self.replications, self.run, self.job.cancel, self.job.bar),
        )

    def _input(self, control: ipywidgets.Widget) -> ipywidgets.Widget:
        return self.reacts(control, self._change)

    def _change(self) -> None:
        self.plans = (self.first.value, self.second.value)
        self.scenario = self.scenario.with_(
            gateways=self.devices.value,
            mix=self.mix.value,
            fails=self.fails.value / 100,
            replications=self.replications.value,
        )

    def _run(self) -> None:
        scenario, plans = self.scenario, self.plans
        self.calculate(lambda progress: Comparison.of(scenario, plans, progress))

    @property
    def is_stale(self) -> bool:
        return (self.scenario, self.plans) != (self.shown.scenario, self.shown.plans)

    def aside(self) -> SafeHtml:
        chosen = ((name, describe_plan(self.scenario.the_plan(name))) for name in dict.fromkeys(self.plans))
        return SafeHtml("".join(f"<div>{html(f'Plan {name}: {words}.')}</div>" for name, words in chosen))

    def _titles(self) -> list[str]:
        named = zip(("First", "Second"), self.shown.plans, self.shown.stops, strict=True)
        return [f"{order} plan: {name}{f', {stop}' if stop else ''}" for order, name, stop in named]

    def html(self) -> SafeHtml:
        titles = self._titles()
        pictures = side_by_side(
            *((SafeHtml(heading(title) + drawn), 480) for title, drawn in zip(titles, self.shown.images, strict=True))
        )
        rows = [(*row[:-1], bold(row[-1])) for row in self.shown.rows()]
        return SafeHtml(self.note() + pictures + table(HEAD, rows, _title(self.shown)) + html(_CAVEAT))

    def text(self) -> str:
        alts = [picture.alt for picture in self.shown.pictures]
        stops = [title for title, stop in zip(self._titles(), self.shown.stops, strict=True) if stop]
        return "\n".join((_title(self.shown), *stops, text_table(HEAD, self.shown.rows()), *alts))


_CAVEAT: Final = "An interval that holds 0: not told apart; run more rollouts. Rates are assumptions to be varied."


def _title(shown: Comparison) -> str:
    scenario = shown.scenario
    first, second = shown.plans
    return (
        f"{first} against {second}: {scenario.gateways:,} gateways, {scenario.replications} rollouts of each "
        f"with equal luck, seed {scenario.seed}, {scenario.fails * 100:g} % of installs fail"
    )
