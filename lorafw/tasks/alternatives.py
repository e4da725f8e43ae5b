"""The other answers that AWS could give where lorafw has assumed one: what a test must not depend on.

A decision of Policy that is tagged assumed has other choices, or is a duration. For a duration, this module names
sample values. The assumed decisions of FIXED have no other answer in lorafw, so nothing can be tried for them.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from lorafw.errors import InvalidValue
from lorafw.tasks.decision import BehaviourDecision, Evidence
from lorafw.tasks.fixed_decisions import FIXED
from lorafw.tasks.policy import Policy

SAMPLE_DURATIONS_S: Final[Mapping[str, Mapping[str, float]]] = {
    "settle_s": {"half a minute": 30.0, "an hour": 3600.0},
    "silence_timeout_s": {"an hour": 3600.0, "a day": 86400.0, "a week": 7 * 86400.0},
}
"""Values to try for each assumed duration, in seconds, by their names."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another answer to a decision that lorafw has assumed."""

    decision: str
    """Name of the decision."""
    value: object
    """The other answer."""
    default: object
    """lorafw's answer."""
    label: str = ""
    """Name of the value, if it is a sample of a duration."""

    def __str__(self) -> str:
        text = f"{self.decision} = {_plain(self.value)}"
        if self.label:
            return f"{text} ({self.label})"
        return text

    @property
    def default_text(self) -> str:
        """Lorafw's own answer as text."""
        return _plain(self.default)

    def applies_to(self, policy: Policy) -> bool:
        """Return True if the policy has lorafw's answer. If not, the author of the policy has chosen another one."""
        return bool(getattr(policy, self.decision) == self.default)

    def apply_to(self, policy: Policy) -> Policy:
        """Return a policy with this answer. If its author has chosen an answer already, the policy stays the same."""
        if not self.applies_to(policy):
            return policy
        return replace(policy, **{self.decision: self.value})  # type: ignore[arg-type]  # Policy checks the value


def all_alternatives() -> tuple[Alternative, ...]:
    """Return each other answer to each assumed decision."""
    assumed = [decision for decision in Policy().decisions() if decision.tag is Evidence.ASSUMED]
    return tuple(alternative for decision in assumed for alternative in _alternatives_to(decision))


def select_alternatives(names: str) -> tuple[Alternative, ...]:
    """Return the other answers to some decisions.

    Args:
        names: "all", or names of decisions separated by commas.

    Raises:
        InvalidValue: A name is not that of a decision with other answers.
    """
    alternatives = all_alternatives()
    if names.strip() == "all":
        return alternatives
    chosen = [name.strip() for name in names.split(",")]
    known = list(dict.fromkeys(alternative.decision for alternative in alternatives))
    for name in chosen:
        _check_name(name, known)
    return tuple(alternative for alternative in alternatives if alternative.decision in chosen)


def untested_decisions() -> tuple[str, ...]:
    """Return the names of the assumed decisions to which lorafw has no other answer."""
    return tuple(decision.name for decision in FIXED if decision.tag is Evidence.ASSUMED)


def _alternatives_to(decision: BehaviourDecision) -> list[Alternative]:
    """Return the other answers to a decision."""
    name, default = decision.name, decision.value
    if decision.choices:
        return [Alternative(name, choice, default) for choice in decision.choices if choice != default]
    return [Alternative(name, value, default, label) for label, value in SAMPLE_DURATIONS_S[name].items()]


def _check_name(name: str, known: Sequence[str]) -> None:
    """Raise InvalidValue if no decision with other answers has this name."""
    if name in known:
        return
    near = difflib.get_close_matches(name, [*known, "all"], n=1)
    hint = f"known: all, {', '.join(known)}"
    if near:
        hint = f"did you mean {near[0]}?"
    raise InvalidValue("assumptions", name, f"{name!r} is not an assumed decision with other answers; {hint}")


def _plain(value: object) -> str:
    """Return a value as on the command line: seconds without a fraction if there is none."""
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)
