"""Rules, what they find, and the registry of all rules."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from lorafw.doctor.subject import Subject
from lorafw.errors import InvalidValue

_RULE_MODULES: Final = (
    "document_rules",
    "file_rules",
    "access_rules",
    "fleet_rules",
    "home_rules",
    "environment_rules",
)
"""The modules that define rules. They are imported on first use."""


class Severity(StrEnum):
    """How serious a finding is."""

    ERROR = "error"
    """The update cannot work."""
    WARNING = "warning"
    """The update may work, but probably not as intended."""
    NOTE = "note"
    """Something to know before the update starts."""


Violations = Iterator[str]
"""The violations of one rule that a check has found: for each, the values that violate the rule, as a sentence."""

Check = Callable[[Subject], Violations]
"""Checks one rule. Yields nothing if the rule is kept, or if the facts that it needs are missing."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Something that a healthy update has, with the function that checks it."""

    id: str
    """The stable id, such as ``LW101``. An id is never used for another rule."""
    severity: Severity
    title: str
    """What is wrong if the rule is violated, as a sentence."""
    remedy: str
    """What to do about it, as a sentence."""
    source: str
    """Where the rule comes from: a page of AWS, a file of Basics Station, or a decision of lorafw."""
    check: Check


@dataclass(frozen=True, slots=True)
class Finding:
    """One violation of a rule."""

    rule: Rule
    evidence: str
    """The values that violate the rule, as a sentence."""

    def to_json(self) -> dict[str, str]:
        """Return the finding as a JSON object."""
        return {
            "id": self.rule.id,
            "severity": self.rule.severity.value,
            "title": self.rule.title,
            "evidence": self.evidence,
            "remedy": self.rule.remedy,
            "source": self.rule.source,
        }


_RULES: Final[dict[str, Rule]] = {}
"""All rules by id. The rule modules fill it when they are imported."""


def rule(rule_id: str, severity: Severity, *, title: str, remedy: str, source: str) -> Callable[[Check], Check]:
    """Return a decorator that registers a function as the check of a rule.

    The function is called with everything that is known about an update. It yields a sentence for each violation.

    Args:
        rule_id: The id of the rule, such as ``LW101``.
        severity: How serious a violation is.
        title: What is wrong, as a sentence.
        remedy: What to do about it, as a sentence.
        source: Where the rule comes from.

    Raises:
        ValueError: Another rule has this id.
    """

    def register(check: Check) -> Check:
        if rule_id in _RULES:
            raise ValueError(f"two rules have the id {rule_id}")
        _RULES[rule_id] = Rule(rule_id, severity, title, remedy, source, check)
        return check

    return register


def all_rules() -> tuple[Rule, ...]:
    """Return all rules, ordered by id."""
    for module in _RULE_MODULES:
        importlib.import_module(f"lorafw.doctor.{module}")
    return tuple(_RULES[rule_id] for rule_id in sorted(_RULES))


def select_rules(only: Collection[str] = (), ignore: Collection[str] = ()) -> tuple[Rule, ...]:
    """Return the rules to check.

    Args:
        only: Ids or beginnings of ids, such as ``LW1``. If there are any, the other rules are left out.
        ignore: Ids or beginnings of ids to leave out.

    Raises:
        InvalidValue: No rule has an id that begins with one of these texts.
    """
    rules = all_rules()
    for field, prefixes in (("only", only), ("ignore", ignore)):
        for prefix in prefixes:
            if not any(rule.id.startswith(prefix) for rule in rules):
                remedy = "'lorafw doctor --rules' lists the ids"
                raise InvalidValue(field, prefix, f"{field}: no rule has an id that begins with {prefix!r}: {remedy}")
    if only:
        rules = tuple(rule for rule in rules if rule.id.startswith(tuple(only)))
    return tuple(rule for rule in rules if not rule.id.startswith(tuple(ignore)))


def diagnose(subject: Subject, rules: Collection[Rule] | None = None) -> list[Finding]:
    """Check the rules, and return what they find.

    Args:
        subject: The facts. A rule is skipped if the facts that it needs are missing.
        rules: The rules to check. None means all rules.

    Returns:
        The findings, ordered by the ids of their rules.
    """
    if rules is None:
        rules = all_rules()
    return [Finding(rule, evidence) for rule in rules for evidence in rule.check(subject)]


def to_json(findings: Collection[Finding], checked: Collection[Rule]) -> dict[str, Any]:
    """Return the findings, the ids of the checked rules and the number of findings of each severity."""
    counts = {severity.value: 0 for severity in Severity}
    for finding in findings:
        counts[finding.rule.severity.value] += 1
    return {
        "findings": [finding.to_json() for finding in findings],
        "checked": [rule.id for rule in checked],
        "counts": counts,
    }
