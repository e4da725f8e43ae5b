"""The match explorer: edit the three fields that a gateway presents, and see which task definition matches.

The panel only shows results. The service's own ``Matcher`` decides which definition wins, and ``tasks.explain`` says
how a definition differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import ipywidgets

from lorafw import example
from lorafw.lab.panels.base import Panel, text_input, wide
from lorafw.lab.panels.html import Mood, SafeHtml, bold, chip, html, preformatted, quiet, table, text_table
from lorafw.tasks.explain import VersionDifference, differences
from lorafw.tasks.matcher import Matcher
from lorafw.tasks.model import AccountRegion, Definition, UpdateSpec
from lorafw.tasks.policy import Policy
from lorafw.version import AWS_NAMES, GatewayVersion

OWNER = AccountRegion(example.ACCOUNT, example.REGION)
HEAD = ("task definition", "CurrentVersion it asks for", "verdict")


@dataclass(frozen=True, slots=True)
class DefinitionMatch:
    """How one task definition compares with the version that a gateway presents.

    A task definition names the version of the gateways that it updates, as its CurrentVersion.
    """

    definition: Definition
    differences: tuple[VersionDifference, ...]
    """The fields of CurrentVersion that differ."""
    matches: bool
    """Whether the definition may create a task for the gateway."""
    wins: bool
    """Whether it is the definition that creates the task. If several match, only one of them does."""
    rule: str
    """In words, which definition wins if several match."""

    @property
    def mood(self) -> Mood:
        """The mood of the chip that shows the verdict."""
        if self.wins:
            return "good"
        if self.differences:
            return "bad"
        return "idle"

    @property
    def verdict(self) -> str:
        """The result in words."""
        if self.wins:
            return "✔ matches: a task is created"
        if self.matches:
            return f"✔ matches as well, but {self.rule}"
        if not self.differences:
            return "○ fields are equal, but AutoCreateTasks is off: no task by itself (documented)"
        fields = ", ".join(difference.field for difference in self.differences)
        return f"✖ no match: {fields}"


@dataclass(frozen=True, slots=True)
class MatchState:
    """What the match explorer compares: the task definitions of an account, and the version of a gateway."""

    definitions: tuple[Definition, ...]
    """The definitions of an account, oldest first."""
    presented: GatewayVersion
    """What the gateway presents."""
    policy: Policy
    """How the service decides where AWS's documentation is silent, for example if several definitions match."""

    def evaluate(self) -> list[DefinitionMatch]:
        """Return how each definition compares with the presented version."""
        matcher = Matcher(self.policy)
        for definition in self.definitions:
            matcher.add(definition)
        matching = matcher.find_all(OWNER, self.presented)
        winner = matcher.find_best(OWNER, self.presented)
        rule = f"the {self.policy.several_matches} wins ({_provenance_tag(self.policy)})"
        matches = []
        for definition in self.definitions:
            match = DefinitionMatch(
                definition=definition,
                differences=differences(definition.current_version, self.presented, self.policy),
                matches=definition in matching,
                wins=definition is winner,
                rule=rule,
            )
            matches.append(match)
        return matches


def _provenance_tag(policy: Policy) -> str:
    """Return whether the rule for several matches is documented, observed or assumed."""
    return next(decision.tag for decision in policy.decisions() if decision.name == "several_matches")


def definition(
    name: str, current_version: GatewayVersion, *, sequence: int = 0, auto_create_tasks: bool = True
) -> Definition:
    """Return a task definition for the explorer, with AWS's example update.

    Args:
        name: Its name.
        current_version: The version that a gateway must present.
        sequence: Its place in the order of creation.
        auto_create_tasks: Whether it creates a task for a gateway that matches.
    """
    update = UpdateSpec(data_source=example.DATA_SOURCE, data_role=example.ROLE_ARN, current_version=current_version)
    return Definition(f"definition-{sequence}", OWNER, sequence, auto_create_tasks, name, update)


def example_definitions() -> tuple[Definition, ...]:
    """Return AWS's example definition, and variants that differ from it as definitions do in practice."""
    documented = example.CURRENT_VERSION
    versions = {
        "FirmwareUpdate": documented,
        "capital letters": replace(documented, model="RPi"),
        "another build": replace(documented, station="2.0.5(rpi/std) 2021-03-11 17:02:44"),
        "the next version": replace(documented, package="1.0.1"),
        "without PackageVersion": replace(documented, package=None),
    }
    definitions = [
        definition(name, version, sequence=sequence) for sequence, (name, version) in enumerate(versions.items())
    ]
    by_hand = definition("by hand", documented, sequence=len(definitions), auto_create_tasks=False)
    return (*definitions, by_hand)


def caret_diff(wanted: str | None, presented: str | None) -> str:
    """Return both texts, one below the other, and a line with ^ under each character that differs.

    Args:
        wanted: The value of the definition. None means that the definition has none.
        presented: The value that the gateway presents. None means that it presents none.

    Returns:
        Three lines. A blank in a value is shown as a dot.
    """
    first, second = _visible_value(wanted), _visible_value(presented)
    width = max(len(first), len(second))
    carets = ""
    for one, other in zip(first.ljust(width), second.ljust(width), strict=True):
        carets += " " if one == other else "^"
    return f"wanted    {first}\npresented {second}\n          {carets.rstrip()}"


def _visible_value(text: str | None) -> str:
    if text is None:
        return "(none)"
    return text.replace(" ", "·")


class MatchExplorer(Panel):
    """A notebook widget that shows which task definition matches the version of a gateway.

    The version has three fields, which the user edits. An empty field is one that the gateway does not present.
    """

    def __init__(
        self,
        definitions: Sequence[Definition] | None = None,
        presented: GatewayVersion = example.CURRENT_VERSION,
        policy: Policy | None = None,
    ) -> None:
        """Create the controls, and draw the definitions.

        Args:
            definitions: The definitions of an account, oldest first. None means AWS's example and variants of it.
            presented: The first values of the controls.
            policy: The policy of the service. None means the default policy.
        """
        super().__init__()
        if definitions is None:
            definitions = example_definitions()
        self.state = MatchState(tuple(definitions), presented, policy or Policy())
        self.package = self._version_input(AWS_NAMES["package"], presented.package)
        self.model = self._version_input(AWS_NAMES["model"], presented.model)
        self.station = self._version_input(AWS_NAMES["station"], presented.station)
        self.build((wide(self.package), wide(self.model), wide(self.station)))

    def _version_input(self, name: str, value: str | None) -> ipywidgets.Text:
        """Return a field for a part of the version."""
        return self.connect(text_input(name, value or "", placeholder="empty: presents none"), self._read_controls)

    def _read_controls(self) -> None:
        """Read the presented version from the controls."""
        presented = GatewayVersion(
            station=self.station.value or None,
            package=self.package.value or None,
            model=self.model.value or None,
        )
        self.state = replace(self.state, presented=presented)

    def headline_html(self) -> SafeHtml:
        """Return which definition creates a task, as a chip."""
        for match in self.state.evaluate():
            if match.wins:
                name = match.definition.name or match.definition.id
                return chip(f"✔ {name} matches: a task is created", "good", large=True)
        return chip("✖ No definition matches: no task is created", "bad", large=True)

    def html(self) -> SafeHtml:
        """Return a table with the result for each definition."""
        rows = [_html_row(match) for match in self.state.evaluate()]
        matches = table(HEAD, rows, f"Presented: {self.state.presented}")
        legend = quiet("Each ^ is under a character that differs. A dot is a space.")
        return SafeHtml(matches + legend)

    def text(self) -> str:
        """Return the name and the result of each definition."""
        rows = [(str(match.definition.name), match.verdict) for match in self.state.evaluate()]
        matches = text_table(("task definition", "verdict"), rows)
        return f"Presented: {self.state.presented}\n{matches}"


def _html_row(match: DefinitionMatch) -> tuple[object, ...]:
    """Return the cells of a definition, one for each column of HEAD."""
    name = html(match.definition.name or match.definition.id)
    if match.wins:
        name = bold(name)
    verdict = chip(match.verdict, match.mood)
    wanted = match.definition.current_version.to_aws()
    wanted_html = "<br>".join(f"{html(field)}: {html(value)}" for field, value in wanted.items())
    differences_html = "".join(map(_difference_html, match.differences))
    return (name, SafeHtml(wanted_html), SafeHtml(verdict + differences_html))


def _difference_html(difference: VersionDifference) -> str:
    """Return the field that differs, the kind of difference, and the two values with carets."""
    carets = preformatted(caret_diff(difference.wanted, difference.presented))
    kind = html(f"{difference.field}: {difference.kind}")
    return f' <span class="lorafw-quiet">{kind}</span>{carets}'
