"""The rollout planner: compare two rollout plans on the same fleet.

Both plans are simulated with common random numbers, rollout by rollout, so that far fewer rollouts suffice to tell them
apart. If the confidence interval of a difference contains zero, the plans are not told apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

import ipywidgets

from lorafw.fleet import compare
from lorafw.fleet.describe import describe_plan, describe_stop
from lorafw.fleet.formatting import metric_label
from lorafw.fleet.presets import PLANS
from lorafw.fleet.statistics.comparison import PlanDifference
from lorafw.lab.panels.background import BackgroundPanel, Progress
from lorafw.lab.panels.base import button, dropdown, slider, wide
from lorafw.lab.panels.html import SafeHtml, bold, chip, image, key_figures, quiet, table, text_table
from lorafw.lab.panels.scenario import MIXES, Scenario
from lorafw.lab.plots import paired_timelines
from lorafw.lab.plots.figure import AccessibleFigure

HEAD: Final = ("figure", "first", "second", "second - first", "95 % interval", "so")
_ORDERS: Final = ("First", "Second")
_KEY_FIGURES: Final = {"failed_share": "FAILED", "time_to_last_s": "last ended after"}
"""The metrics that matter most, each with a short label."""
NO_DIFFERENCE: Final = "= no difference"


_MIN_REPLICATIONS: Final = 2
"""A confidence interval needs two rollouts at least."""


@dataclass(frozen=True, eq=False, slots=True)
class Comparison:
    """Two plans, compared on one scenario."""

    scenario: Scenario
    plans: tuple[str, str]
    """Names of the two plans."""
    differences: tuple[PlanDifference, ...]
    figure: AccessibleFigure
    """The first rollout of each plan, side by side on one time axis."""
    figure_html: SafeHtml
    """The figure as HTML."""
    stop_descriptions: tuple[str, ...]
    """Why the first rollout of each plan was stopped; empty if it was not."""

    @classmethod
    def simulate(cls, scenario: Scenario, plans: tuple[str, str], progress: Progress | None = None) -> Comparison:
        """Simulate both plans, compare them, and draw their first rollouts.

        Args:
            scenario: The fleet and the number of rollouts. Its own plan is not used.
            plans: Names of the two plans.
            progress: Called as ``progress(done, total)`` with numbers of gateways. May raise to cancel.

        Returns:
            The comparison and its figures.

        Raises:
            FleetError: A plan does not fit the fleet, or a value is out of range.
        """
        first_name, second_name = plans
        differences = compare(
            scenario.fleet(),
            scenario.plan_for(first_name),
            scenario.plan_for(second_name),
            seed=scenario.seed,
            replications=max(_MIN_REPLICATIONS, scenario.replications),
            progress=_combined_progress(progress),
        )
        results = [scenario.replace(plan=name, replications=1).run() for name in plans]
        stop_descriptions = tuple(describe_stop(result) for result in results)
        titles = [f"{order} plan: {name}" for order, name in zip(_ORDERS, plans, strict=True)]
        figure = paired_timelines(results, titles)
        return cls(scenario, plans, tuple(differences), figure, image(figure), stop_descriptions)

    def key_figures(self) -> list[tuple[str, str]]:
        """Return the share of FAILED gateways and the time of both plans, as pairs of a name and a value."""
        figures = []
        for difference in self.differences:
            if difference.name not in _KEY_FIGURES:
                continue
            label = _KEY_FIGURES[difference.name]
            _, formatter = metric_label(difference.name)
            for plan, estimate in zip(self.plans, (difference.first, difference.second), strict=True):
                figures.append((f"{plan}: {label}", estimate.format(formatter)))
        return figures

    def rows(self) -> list[tuple[str, ...]]:
        """Return a table row for each figure: its value in both plans, the difference, and what that means."""
        rows = []
        for difference in self.differences:
            label, formatter = metric_label(difference.name)
            estimates = (difference.first, difference.second, difference.difference)
            values = [estimate.format(formatter) for estimate in estimates]
            interval = difference.difference.format_interval(formatter)
            rows.append((label, *values, interval, interpret_difference(difference)))
        return rows


def interpret_difference(difference: PlanDifference) -> str:
    """Return in words what the confidence interval of a difference means."""
    low, high = difference.difference.low, difference.difference.high
    if low is None or high is None:
        return "? nothing to compare"
    if low == high == 0:
        return NO_DIFFERENCE
    if low > 0:
        return "▲ second is higher"
    if high < 0:
        return "▼ second is lower"
    return "? cannot tell"


def _combined_progress(progress: Progress | None) -> Progress | None:
    """Return a callback that reports the progress of two simulations as that of one.

    Each simulation reports from 0 up to its total. A number that is lower than the last one means that the second
    simulation has begun.
    """
    if progress is None:
        return None
    completed_runs = 0
    last_done = 0

    def report(done: int, total: int) -> None:
        nonlocal completed_runs, last_done
        if done < last_done:
            completed_runs = 1
        last_done = done
        progress(completed_runs * total + done, 2 * total)

    return report


class RolloutPlanner(BackgroundPanel[Comparison]):
    """The panel of the rollout planner."""

    def __init__(self, scenario: Scenario | None = None, plans: tuple[str, str] = ("at-once", "waves")) -> None:
        """Compare two plans, and create the controls.

        Args:
            scenario: The first values of the controls. None means the default scenario with 20 rollouts.
            plans: Names of the plans to compare first.

        Raises:
            FleetError: A plan does not fit the fleet, or a value is out of range.
        """
        self.scenario = scenario or Scenario(replications=20)
        """The scenario that the controls are set to. ``result`` may be of an older one."""
        self.plans = plans
        """Names of the plans that the controls are set to."""
        super().__init__(Comparison.simulate(self.scenario, plans))
        self._create_inputs(self.scenario)
        self.run = self.connect(button("Run", "Compare the two plans"), self._run)
        self.build(
            (self.first, self.second),
            (self.mix, self.devices, self.fails, self.replications),
            (self.run, self.job.cancel, self.job.bar),
            beside=True,
        )

    def _create_inputs(self, scenario: Scenario) -> None:
        """Create the controls that set the plans and the scenario."""
        first, second = self.plans
        self.first = self._input(dropdown("First plan", list(PLANS), value=first))
        self.second = self._input(dropdown("Second plan", list(PLANS), value=second))
        self.mix = self._input(dropdown("Backhaul", list(MIXES), value=scenario.mix))
        self.devices = self._input(slider("Gateways", scenario.gateways, 100, 20_000, 100))
        self.fails = self._input(slider("Installs fail, %", round(scenario.fails * 100), 0, 100))
        self.replications = self._input(slider("Rollouts of each", scenario.replications, 2, 500))

    def _input(self, control: ipywidgets.Widget) -> ipywidgets.Widget:
        return self.connect(wide(control), self._read_controls)

    def _read_controls(self) -> None:
        """Set the plans and the scenario from the controls."""
        self.plans = (self.first.value, self.second.value)
        self.scenario = self.scenario.replace(
            gateways=self.devices.value,
            mix=self.mix.value,
            fails=self.fails.value / 100,
            replications=self.replications.value,
        )

    def _run(self) -> None:
        """Compare the two plans in the background."""
        self.calculate(partial(Comparison.simulate, self.scenario, self.plans))

    @property
    def is_stale(self) -> bool:
        """Whether the controls have changed since the result was calculated."""
        return (self.scenario, self.plans) != (self.result.scenario, self.result.plans)

    def header_html(self) -> SafeHtml:
        """Return a description of each chosen plan; of one plan if it was chosen twice."""
        lines = []
        for name in dict.fromkeys(self.plans):
            description = describe_plan(self.scenario.plan_for(name))
            lines.append(quiet(f"Plan {name}: {description}."))
        return SafeHtml("".join(lines) + self.stale_notice())

    def headline_html(self) -> SafeHtml:
        """Return the figures that matter most, and what stopped the first rollouts."""
        chips = [f"<div>{chip(f'✖ {sentence}', 'bad')}</div>" for sentence in self._stop_sentences()]
        return SafeHtml(key_figures(*self.result.key_figures()) + "".join(chips))

    def _stop_sentences(self) -> list[str]:
        """Return for each plan what stopped its first rollout; nothing for a plan that was not stopped."""
        plans = zip(_ORDERS, self.result.plans, self.result.stop_descriptions, strict=True)
        return [f"{order} plan: {name}, {stop}" for order, name, stop in plans if stop]

    def html(self) -> SafeHtml:
        """Return the figure with both plans."""
        return self.result.figure_html

    def details_html(self) -> SafeHtml:
        """Return the table of differences."""
        rows = [(*cells, bold(meaning)) for *cells, meaning in self.result.rows()]
        return SafeHtml(table(HEAD, rows, _title(self.result)) + quiet(_CAVEAT))

    def text(self) -> str:
        """Return the table of differences and the alternative text of the figure."""
        lines = [_title(self.result), *self._stop_sentences()]
        lines.append(text_table(HEAD, self.result.rows()))
        lines.append(self.result.figure.alt)
        return "\n".join(lines)


_CAVEAT: Final = "An interval that holds 0: not told apart; run more rollouts. Rates are assumptions to be varied."


def _title(comparison: Comparison) -> str:
    """Return the title of the table: the plans, the scenario and the seed."""
    scenario = comparison.scenario
    first, second = comparison.plans
    return (
        f"{first} against {second}: {scenario.gateways:,} gateways, {scenario.replications} rollouts of each "
        f"with equal luck, seed {scenario.seed}, {scenario.fails * 100:g} % of installs fail"
    )
