"""The decisions about the behaviour of the update service, each with its evidence.

AWS documents only part of the behaviour of its CUPS server. lorafw decides the rest. Each decision has a name, a value
and a tag: **documented** (AWS says so), **observed** (seen on a real system) or **assumed**. Policy contains the
decisions that a caller can change. ``fixed_decisions`` contains the others.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Literal

from lorafw.errors import InvalidValue
from lorafw.tasks.decision import BehaviourDecision, Evidence
from lorafw.tasks.fixed_decisions import FIXED

LONGEST_S: Final = 100 * 365.25 * 86400
"""Maximum of a duration: a hundred years."""

_DURATION: Final = f"a number of seconds from 0 to {LONGEST_S:.0f} (a hundred years)"


def _decision(default: Any, tag: Evidence, question: str, reason: str, *choices: object) -> Any:
    """Declare a field of Policy. The details of the decision become the field's metadata."""
    return field(default=default, metadata={"tag": tag, "question": question, "reason": reason, "choices": choices})


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The decisions that can be changed. ``decisions()`` lists them with their tags.

    Raises:
        InvalidValue: A value is not one of the choices, or is not a valid duration.
    """

    comparison: Literal["exact", "trimmed"] = _decision(
        "exact",
        Evidence.ASSUMED,
        "How are versions compared?",
        "exact: case counts and nothing is trimmed; trimmed: blanks at both ends and case do not count",
        "exact",
        "trimmed",
    )
    automatic_creation: Literal["at_request", "never"] = _decision(
        "at_request",
        Evidence.DOCUMENTED,
        "When is an automatic task created?",
        "at the first CUPS request whose Station, PackageVersion and Model match; never at definition time",
        "at_request",
        "never",
    )
    absent_field: Literal["strict", "wildcard"] = _decision(
        "strict",
        Evidence.ASSUMED,
        "What if the definition leaves out a field of CurrentVersion, or the gateway presents no package?",
        "strict: no automatic task; wildcard: a field that the definition leaves out matches anything",
        "strict",
        "wildcard",
    )
    without_source: Literal["accept", "reject"] = _decision(
        "accept",
        Evidence.ASSUMED,
        "Can a definition be created without UpdateDataSource?",
        "accept: yes, and it never offers anything; reject: ValidationException",
        "accept",
        "reject",
    )
    unusable_signature: Literal["reject", "accept"] = _decision(
        "reject",
        Evidence.ASSUMED,
        "Can a definition be created with an UpdateSignature that no station could take?",
        "reject: ValidationException if it is not base64 of 4 to 128 bytes of DER; accept: any 1 to 4096 characters, "
        "as in AWS's model, and the update is never sent, as one that cannot be read",
        "reject",
        "accept",
    )
    several_matches: Literal["oldest", "newest"] = _decision(
        "oldest",
        Evidence.ASSUMED,
        "Which definition wins when several match?",
        "the one that was created first (or last)",
        "oldest",
        "newest",
    )
    existing_task: Literal["blocks", "ended_gives_way"] = _decision(
        "blocks",
        Evidence.DOCUMENTED,
        "What if the gateway already has a task?",
        "blocks: in any status it must be deleted first; ended_gives_way: COMPLETED and FAILED do not count",
        "blocks",
        "ended_gives_way",
    )
    manual_start: Literal["matching_request", "any_request"] = _decision(
        "matching_request",
        Evidence.ASSUMED,
        "When does a manual task start?",
        "at the next request that presents the definition's CurrentVersion (fields given), or at any request",
        "matching_request",
        "any_request",
    )
    broken_reply: Literal["free", "counts"] = _decision(
        "free",
        Evidence.ASSUMED,
        "Does a reply that was not wholly written use up an attempt?",
        "a real station retries after a minute, so three broken downloads would else end a task in three minutes",
        "free",
        "counts",
    )
    settle_s: float = _decision(
        0.0,
        Evidence.ASSUMED,
        "How long after a whole offer is a request answered with nothing, and counts for nothing?",
        "seconds for an update that is still being installed",
    )
    completion: Literal["version_differs", "package_differs"] = _decision(
        "version_differs",
        Evidence.ASSUMED,
        "What completes a task whose definition has no UpdateVersion?",
        "a package is presented, and the three fields (or the package alone) differ from those at the offer",
        "version_differs",
        "package_differs",
    )
    other_version: Literal["fails", "waits"] = _decision(
        "fails",
        Evidence.ASSUMED,
        "What of a version that is neither CurrentVersion nor the UpdateVersion that is given?",
        "fails: each such request is a failed attempt, and nothing is sent; waits: it changes nothing",
        "fails",
        "waits",
    )
    silence_timeout_s: float = _decision(
        48 * 3600.0,
        Evidence.ASSUMED,
        "How long may a gateway be silent in SECOND_RETRY before the task is FAILED?",
        "AWS: FAILED if the server cannot connect to the gateway after SECOND_RETRY; the time is not documented",
    )
    key_mismatch: Literal["offer", "withhold"] = _decision(
        "offer",
        Evidence.ASSUMED,
        "What if SigKeyCrc is not among the keys that the gateway presents?",
        "offer: sent all the same, the station tries all its keys; withhold: nothing is sent",
        "offer",
        "withhold",
    )
    delete_task: Literal["any_status", "ended_only"] = _decision(
        "any_status",
        Evidence.ASSUMED,
        "In which status can a task be deleted?",
        "the API models no ConflictException for DeleteWirelessGatewayTask",
        "any_status",
        "ended_only",
    )
    unknown_gateway_status: int = _decision(
        403,
        Evidence.ASSUMED,
        "Which HTTP status does an unknown gateway get?",
        "a station treats every status but 200 alike",
        403,
        404,
    )
    last_uplink: Literal["cups_request", "never"] = _decision(
        "cups_request",
        Evidence.ASSUMED,
        "What is LastUplinkReceivedAt?",
        "the time of the last CUPS request, since there is no LoRaWAN network server here",
        "cups_request",
        "never",
    )

    stack_update: Literal["in_place", "refused"] = _decision(
        "in_place",
        Evidence.DOCUMENTED,
        "What if a stack update changes a task definition, or the RfRegion of a gateway?",
        "in_place: AWS documents 'no interruption' for each property; refused: neither the API nor the permissions of "
        "AWS's own handler can change them",
        "in_place",
        "refused",
    )

    def __post_init__(self) -> None:
        for decision in self.decisions():
            _check(decision)

    def decisions(self) -> tuple[BehaviourDecision, ...]:
        """Return all decisions, with the values of this policy."""
        return tuple(
            BehaviourDecision(
                name=policy_field.name,
                question=policy_field.metadata["question"],
                value=getattr(self, policy_field.name),
                tag=policy_field.metadata["tag"],
                reason=policy_field.metadata["reason"],
                choices=policy_field.metadata["choices"],
            )
            for policy_field in fields(self)
        )

    def with_string_values(self, texts: Mapping[str, str]) -> Policy:
        """Return a copy of this policy with values given as text, as on the command line.

        Args:
            texts: The new values by name, such as ``{"settle_s": "30"}``.

        Raises:
            InvalidValue: A name or a value is unknown.
        """
        decision_by_name = {decision.name: decision for decision in self.decisions()}
        changes: dict[str, Any] = {}
        for name, text in texts.items():
            decision = decision_by_name.get(name)
            if decision is None:
                raise _unknown_name(name, list(decision_by_name))
            changes[name] = _from_text(decision, text)
        return replace(self, **changes)


def _unknown_name(name: str, known: list[str]) -> InvalidValue:
    """Return the error about a name that no decision has. The message suggests a similar name."""
    similar = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {similar[0]}?" if similar else f"known: {', '.join(known)}"
    return InvalidValue("policy", name, f"{name!r} is not a policy; {hint}")


def _check(decision: BehaviourDecision) -> None:
    """Raise InvalidValue if the value of a decision is neither one of its choices nor a valid duration."""
    if decision.choices:
        if not _is_choice(decision.value, decision.choices):
            allowed = ", ".join(map(str, decision.choices))
            raise InvalidValue(decision.name, decision.value, f"{decision.value!r} is not one of: {allowed}")
    elif not _is_duration(decision.value):
        raise InvalidValue(decision.name, decision.value, f"{decision.value!r} is not {_DURATION}")


def _is_choice(value: object, choices: tuple[object, ...]) -> bool:
    """Return True if the value equals one of the choices and has its type, so that 403.0 is not 403."""
    return any(value == choice and isinstance(value, type(choice)) for choice in choices)


def _is_duration(value: object) -> bool:
    """Return True if the value is a number of seconds in the allowed range."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LONGEST_S


def _from_text(decision: BehaviourDecision, text: str) -> object:
    """Parse a value that is given as text. An unknown choice stays text, and is rejected by the new Policy."""
    if decision.choices:
        return {str(choice): choice for choice in decision.choices}.get(text, text)
    try:
        return float(text)
    except ValueError:
        raise InvalidValue(decision.name, text, f"{text!r} is not {_DURATION}") from None


def all_decisions(policy: Policy | None = None) -> tuple[BehaviourDecision, ...]:
    """Return all decisions: those of the policy (by default lorafw's own), and the fixed ones."""
    return (*(policy or Policy()).decisions(), *FIXED)
