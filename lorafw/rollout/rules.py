"""The rules that a plan must pass. ``doctor_rules`` brings those of ``lorafw doctor``.

A rule looks at a plan before it is saved and returns what it found. A finding of severity "error" refuses the plan,
unless its rule is allowed by name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from lorafw.errors import RolloutError
from lorafw.localaws.connection import Connection
from lorafw.rollout.saved_plan import SavedPlan


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule found."""

    rule: str
    """The stable id of the rule, such as "LW101"."""
    severity: Literal["error", "warning"]
    message: str
    """What is wrong, and what to do about it."""

    def __str__(self) -> str:
        return f"{self.rule} {self.severity}: {self.message}"


Rule = Callable[[SavedPlan, Connection], Iterable[Finding]]


def run_rules(
    plan: SavedPlan, connection: Connection, rules: Iterable[Rule], allowed: Collection[str]
) -> tuple[Finding, ...]:
    """Run rules on a plan.

    Args:
        plan: The plan that is about to be saved.
        connection: The account.
        rules: The rules.
        allowed: The ids of rules whose errors do not refuse the plan.

    Returns:
        What they found.

    Raises:
        RolloutError: A rule that is not allowed has found an error.
    """
    findings = tuple(finding for rule in rules for finding in rule(plan, connection))
    refusing = [finding for finding in findings if finding.severity == "error" and finding.rule not in allowed]
    if refusing:
        listed = "".join(f"\n  - {finding}" for finding in refusing)
        raise RolloutError(f"the plan is refused (--allow RULE overrides a rule):{listed}")
    return findings
