"""The rollout planner: compare two rollout plans on the same fleet.

Both plans are simulated with common random numbers, rollout by rollout, so that far fewer rollouts suffice to tell them
apart. If the confidence interval of a difference contains zero, the plans are not told apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from lorafw.fleet import Result, compare
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
NO_DIFFERENCE: Final = "= no difference"
_KEY_FIGURES: Final = {"failed_share": "FAILED", "time_to_last_s": "last ended after"}
"""The metrics that matter most, each with a short label."""
_MIN_REPLICATIONS: Final = 2
"""A confidence interval needs two rollouts at least."""
_CAVEAT: Final = "An interval that holds 0: not told apart; run more rollouts. Rates are assumptions to be varied."


@dataclass(frozen=True, eq=False, slots=True)
class Comparison:
    """Two rollout plans, compared on the same fleet.

    A rollout plan says which gateways are updated first, and when the others follow.
    """

    scenario: Scenario
    plans: tuple[str, str]
    """Names of the two plans."""
    differences: tuple[PlanDifference, ...]
    """For each metric its value in both plans, and the difference."""
    figure: AccessibleFigure
    """The first rollout of each plan, side by side on one time axis."""
    figure_html: SafeHtml
    """The figure as HTML."""
    stop_sentences: tuple[str, ...]
    """For each plan whose first rollout was stopped: the plan, and what stopped the rollout."""

    @classmethod
    def simulate(cls, scenario: Scenario, plans: tuple[str, str], progress: Progress | None = None) -> Comparison:
        """Simulate both plans, compare them, and draw their first rollouts.

        Args:
            scenario: The fleet and the number of rollouts. Its own plan is not used.
            plans: Names of the two plans.
            progress: Called as ``progress(done, total)`` with numbers of gateways. May raise to cancel.

        Returns:
            The differences between the plans, and a picture of both.

        Raises:
            FleetError: A plan does not fit the fleet, or a value is out of range.
        """
        first, second = plans
        differences = compare(
            scenario.fleet(),
            scenario.plan_for(first),
            scenario.plan_for(second),
            seed=scenario.seed,
            replications=max(_MIN_REPLICATIONS, scenario.replications),
            progress=_combined_progress(progress),
        )
        titles = (f"First plan: {first}", f"Second plan: {second}")
        results = [scenario.replace(plan=name, replications=1).run() for name in plans]
        figure = paired_timelines(results, titles)
        return cls(
            scenario=scenario,
            plans=plans,
            differences=tuple(differences),
            figure=figure,
            figure_html=image(figure),
            stop_sentences=tuple(_stop_sentences(titles, results)),
        )

    @property
    def title(self) -> str:
        """The plans, the scenario and the seed, in words."""
        first, second = self.plans
        scenario = self.scenario
        return (
            f"{first} against {second}: {scenario.gateways:,} gateways, {scenario.replications} rollouts of each "
            f"with equal luck, seed {scenario.seed}, {scenario.fails * 100:g} % of installs fail"
        )

    def rows(self) -> list[tuple[str, ...]]:
        """Return the cells of each metric, one for each column of HEAD."""
        return [difference_row(difference) for difference in self.differences]


def _stop_sentences(titles: Sequence[str], results: Sequence[Result]) -> Iterator[str]:
    """Yield what stopped a rollout, for each rollout that was stopped. The titles name the plans."""
    for title, result in zip(titles, results, strict=True):
        description = describe_stop(result)
        if description:
            yield f"{title}, {description}"


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
        """Report the progress of the simulation that runs, behind that of the completed one."""
        nonlocal completed_runs, last_done
        has_second_run_begun = done < last_done
        if has_second_run_begun:
            completed_runs = 1
        last_done = done
        progress(completed_runs * total + done, 2 * total)

    return report


def difference_row(difference: PlanDifference) -> tuple[str, ...]:
    """Return the cells of a metric, one for each column of HEAD.

    Args:
        difference: The value of the metric in both plans, and the difference.
    """
    label, formatter = metric_label(difference.name)
    return (
        label,
        difference.first.format(formatter),
        difference.second.format(formatter),
        difference.difference.format(formatter),
        difference.difference.format_interval(formatter),
        interpret_difference(difference),
    )


def interpret_difference(difference: PlanDifference) -> str:
    """Return in words what the confidence interval of a difference means.

    Args:
        difference: The value of a metric in both plans, and the difference.
    """
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


def headline_html(comparison: Comparison) -> SafeHtml:
    """Return the metrics that matter most for each plan, and what stopped the first rollouts.

    Args:
        comparison: The two plans.
    """
    first, second = comparison.plans
    figures = []
    for difference in comparison.differences:
        if difference.name in _KEY_FIGURES:
            label = _KEY_FIGURES[difference.name]
            _, formatter = metric_label(difference.name)
            figures.append((f"{first}: {label}", difference.first.format(formatter)))
            figures.append((f"{second}: {label}", difference.second.format(formatter)))
    chips = [f"<div>{chip(f'✖ {sentence}', 'bad')}</div>" for sentence in comparison.stop_sentences]
    return SafeHtml(key_figures(*figures) + "".join(chips))


def differences_html(comparison: Comparison) -> SafeHtml:
    """Return the table of differences. The last column, which says what a difference means, is bold.

    Args:
        comparison: The two plans.
    """
    rows = []
    for *values, meaning in comparison.rows():
        rows.append((*values, bold(meaning)))
    return SafeHtml(table(HEAD, rows, comparison.title) + quiet(_CAVEAT))


def comparison_text(comparison: Comparison) -> str:
    """Return the table of differences and the alternative text of the picture.

    Args:
        comparison: The two plans.
    """
    lines = [comparison.title]
    lines += comparison.stop_sentences
    lines.append(text_table(HEAD, comparison.rows()))
    lines.append(comparison.figure.alt)
    return "\n".join(lines)


class PlannerControls:
    """The sliders and drop-downs that set two plans and a scenario. Rates are shown in per cent."""

    def __init__(self, scenario: Scenario, plans: tuple[str, str]) -> None:
        """Create the controls.

        Args:
            scenario: The first values of the controls.
            plans: Names of the two plans that are chosen first.
        """
        first, second = plans
        self.first = wide(dropdown("First plan", list(PLANS), value=first))
        self.second = wide(dropdown("Second plan", list(PLANS), value=second))
        self.mix = wide(dropdown("Backhaul", list(MIXES), value=scenario.mix))
        self.gateways = wide(slider("Gateways", scenario.gateways, 100, 20_000, 100))
        self.fails = wide(slider("Installs fail, %", round(scenario.fails * 100), 0, 100))
        self.replications = wide(slider("Rollouts of each", scenario.replications, 2, 500))

    def rows(self) -> list[tuple[Any, ...]]:
        """Return the controls of each row."""
        return [(self.first, self.second), (self.mix, self.gateways, self.fails, self.replications)]

    def all(self) -> list[Any]:
        """Return the controls, row by row."""
        return [control for row in self.rows() for control in row]

    def read_plans(self) -> tuple[str, str]:
        """Return the names of the two plans that are chosen."""
        return (self.first.value, self.second.value)

    def read_scenario(self, scenario: Scenario) -> Scenario:
        """Return the scenario with the values of the controls. What has no control stays as it is."""
        return scenario.replace(
            mix=self.mix.value,
            gateways=self.gateways.value,
            fails=self.fails.value / 100,
            replications=self.replications.value,
        )


class RolloutPlanner(BackgroundPanel[Comparison]):
    """A notebook widget that compares two plans for updating the same fleet of gateways."""

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
        self.inputs = PlannerControls(self.scenario, plans)
        for control in self.inputs.all():
            self.connect(control, self._read_inputs)
        self.run = self.connect(button("Run", "Compare the two plans"), self._start_comparison)
        self.build(*self.inputs.rows(), (self.run, self.job.cancel, self.job.bar), beside=True)

    def _read_inputs(self) -> None:
        """Read the plans and the scenario from the controls."""
        self.plans = self.inputs.read_plans()
        self.scenario = self.inputs.read_scenario(self.scenario)

    def _start_comparison(self) -> None:
        """Compare the two plans in the background."""
        self.calculate(partial(Comparison.simulate, self.scenario, self.plans))

    @property
    def is_stale(self) -> bool:
        """Whether the controls have changed since the result was calculated."""
        return (self.scenario, self.plans) != (self.result.scenario, self.result.plans)

    def header_html(self) -> SafeHtml:
        """Return a description of each chosen plan, and a request to press Run if the result is stale."""
        chosen_plans = dict.fromkeys(self.plans)  # one plan if it was chosen twice
        lines = []
        for name in chosen_plans:
            description = describe_plan(self.scenario.plan_for(name))
            lines.append(quiet(f"Plan {name}: {description}."))
        return SafeHtml("".join(lines) + self.stale_notice())

    def headline_html(self) -> SafeHtml:
        """Return the figures that matter most, and what stopped the first rollouts."""
        return headline_html(self.result)

    def html(self) -> SafeHtml:
        """Return the picture of both plans."""
        return self.result.figure_html

    def details_html(self) -> SafeHtml:
        """Return the table of differences."""
        return differences_html(self.result)

    def text(self) -> str:
        """Return the same as plain text."""
        return comparison_text(self.result)
