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
    """A short name, such as ``settle_s``."""
    question: str
    """The question that AWS leaves open, or answers."""
    value: object
    """The answer."""
    tag: Evidence
    """How the answer is known."""
    reason: str
    """Why this is the answer, or what the choices mean."""
    choices: tuple[object, ...] = ()
    """The values that can be chosen. Empty if the value is a duration in seconds, or cannot be changed."""
