"""The match explorer: edit the three fields that a gateway presents, and see which task definition matches.

Which definition wins is the service's own ``Matcher``; how a near miss differs is told by ``tasks.explain``. Here
nothing is decided, only drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lorafw import example
from lorafw.lab.panels.base import Panel, text_input
from lorafw.lab.panels.html import SafeHtml, bold, html, preformatted, table, text_table
from lorafw.tasks.explain import VersionDifference, differences
from lorafw.tasks.matcher import Matcher
from lorafw.tasks.model import AccountRegion, Definition, UpdateSpec
from lorafw.tasks.policy import Policy
from lorafw.version import AWS_NAMES, GatewayVersion

OWNER = AccountRegion(example.ACCOUNT, example.REGION)
HEAD = ("task definition", "CurrentVersion it asks for", "verdict")


@dataclass(frozen=True, slots=True)
class DefinitionMatch:
    """What a definition says of the presented version."""

    definition: Definition
    differences: tuple[VersionDifference, ...]
    matches: bool
    wins: bool
    rule: str

    @property
    def verdict(self) -> str:
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
    """The definitions of an account, oldest first, and what a gateway presents."""

    definitions: tuple[Definition, ...]
    presented: GatewayVersion
    policy: Policy

    def judge(self) -> list[DefinitionMatch]:
        matcher = Matcher(self.policy)
        for definition in self.definitions:
            matcher.add(definition)
        matching = matcher.find_all(OWNER, self.presented)
        winner = matcher.find_best(OWNER, self.presented)
        rule = f"the {self.policy.several_matches} wins ({_tag(self.policy)})"
        return [
            DefinitionMatch(
                definition,
                differences(definition.current_version, self.presented, self.policy),
                definition in matching,
                definition is winner,
                rule,
            )
            for definition in self.definitions
        ]


def _tag(policy: Policy) -> str:
    return next(decision.tag for decision in policy.decisions() if decision.name == "several_matches")


def definition(
    name: str, current_version: GatewayVersion, *, sequence: int = 0, auto_create_tasks: bool = True
) -> Definition:
    """A task definition as the explorer needs one: a name, and whom it is for."""
    update = UpdateSpec(data_source=example.DATA_SOURCE, data_role=example.ROLE_ARN, current_version=current_version)
    return Definition(f"definition-{sequence}", OWNER, sequence, auto_create_tasks, name, update)


def example_definitions() -> tuple[Definition, ...]:
    """The documented definition, and others that differ from it as definitions do in practice."""
    documented = example.CURRENT_VERSION
    versions = {
        "FirmwareUpdate": documented,
        "capital letters": replace(documented, model="RPi"),
        "another build": replace(documented, station="2.0.5(rpi/std) 2021-03-11 17:02:44"),
        "the next version": replace(documented, package="1.0.1"),
        "without PackageVersion": replace(documented, package=None),
    }
    made = [definition(name, version, sequence=at) for at, (name, version) in enumerate(versions.items())]
    return (*made, definition("by hand", documented, sequence=len(made), auto_create_tasks=False))


def caret_diff(wanted: str | None, presented: str | None) -> str:
    """Two lines, and a third with ^ under every character that differs; blanks are shown as dots."""
    want, show = (("(none)" if text is None else text.replace(" ", "·")) for text in (wanted, presented))
    width = max(len(want), len(show))
    signs = "".join("^" if a != b else " " for a, b in zip(want.ljust(width), show.ljust(width), strict=True))
    return f"wanted    {want}\npresented {show}\n          {signs.rstrip()}"


class MatchExplorer(Panel):
    """Edit ``station``, ``package`` and ``model``; ``matching`` is the state. An empty field is not presented.

    Without ``definitions`` it shows the documented one and near relatives of it.
    """

    def __init__(
        self,
        definitions: Sequence[Definition] | None = None,
        presented: GatewayVersion = example.CURRENT_VERSION,
        policy: Policy | None = None,
    ) -> None:
        super().__init__()
        chosen = example_definitions() if definitions is None else tuple(definitions)
        self.matching = MatchState(chosen, presented, policy or Policy())
        self.package, self.model, self.station = (
            self.reacts(
                text_input(name, getattr(presented, field) or "", placeholder="empty: presents none"), self._edit
            )
            for field, name in AWS_NAMES.items()
        )
        self.assemble(self.package, self.model, self.station)

    def _edit(self) -> None:
        presented = GatewayVersion(self.station.value or None, self.package.value or None, self.model.value or None)
        self.matching = replace(self.matching, presented=presented)

    def html(self) -> SafeHtml:
        presented = self.matching.presented
        return SafeHtml(
            table(HEAD, map(_row, self.matching.judge()), f"Presented: {presented}")
            + html("Under a field that differs, ^ stands under each character that does; a dot is a blank.")
        )

    def text(self) -> str:
        rows = [(f"{j.definition.name}", j.verdict) for j in self.matching.judge()]
        return f"Presented: {self.matching.presented}\n{text_table((HEAD[0], HEAD[2]), rows)}"


def _row(judgement: DefinitionMatch) -> tuple[object, ...]:
    name = judgement.definition.name or judgement.definition.id
    verdict = bold(judgement.verdict) if judgement.wins else html(judgement.verdict)
    how = "".join(
        f"<div>{html(d.field)}: {html(d.kind)}</div>{preformatted(caret_diff(d.wanted, d.presented))}"
        for d in judgement.differences
    )
    wanted = judgement.definition.current_version.to_aws()
    asked = SafeHtml("<br>".join(f"{html(field)}: {html(value)}" for field, value in wanted.items()))
    return (bold(name) if judgement.wins else name, asked, SafeHtml(verdict + how))
