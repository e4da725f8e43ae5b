"""A decision about the behaviour of the update service, and how it is known."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Evidence(StrEnum):
    """How a statement about AWS's behaviour is known."""

    DOCUMENTED = "documented"
    OBSERVED = "observed"
    ASSUMED = "assumed"


@dataclass(frozen=True, slots=True)
class BehaviourDecision:
    """A question about the behaviour of the service, and lorafw's answer."""

    name: str
    question: str
    value: object
    """The answer."""
    tag: Evidence
    """How the answer is known."""
    reason: str
    choices: tuple[object, ...] = ()
    """The values that can be chosen. Empty if the value is a duration in seconds, or cannot be changed."""
