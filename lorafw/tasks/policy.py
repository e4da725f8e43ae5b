"""The decisions about the behaviour of the update service, each with its evidence.

AWS documents only part of the behaviour of its CUPS server. lorafw decides the rest. Each decision has a name, a value
and a tag: **documented** (AWS says so), **observed** (seen on a real system) or **assumed**. Policy contains the
decisions that a caller can change. FIXED contains the others.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Final, Literal

from lorafw.errors import InvalidValue

LONGEST_S: Final = 100 * 365.25 * 86400
"""Maximum of a duration: a hundred years."""

_DURATION: Final = f"a number of seconds from 0 to {LONGEST_S:.0f} (a hundred years)"


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

    def __post_init__(self) -> None:
        for decision in self.decisions():
            _check(decision)

    def decisions(self) -> tuple[BehaviourDecision, ...]:
        """Return all decisions, with the values of this policy."""
        return tuple(
            BehaviourDecision(
                f.name,
                f.metadata["question"],
                getattr(self, f.name),
                f.metadata["tag"],
                f.metadata["reason"],
                f.metadata["choices"],
            )
            for f in fields(self)
        )

    def with_string_values(self, texts: Mapping[str, str]) -> Policy:
        """Return a copy of this policy with values given as text, as on the command line.

        Args:
            texts: The new values by name, such as ``{"settle_s": "30"}``.

        Raises:
            InvalidValue: A name or a value is unknown.
        """
        current = {decision.name: decision for decision in self.decisions()}
        changes: dict[str, Any] = {}
        for name, text in texts.items():
            if name not in current:
                near = difflib.get_close_matches(name, current, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(current)}"
                raise InvalidValue("policy", name, f"{name!r} is no policy; {hint}")
            changes[name] = _from_text(current[name], text)
        return replace(self, **changes)


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


def _fixed(name: str, question: str, value: str, tag: Evidence, reason: str) -> BehaviourDecision:
    """Return a decision that cannot be changed."""
    return BehaviourDecision(name, question, value, tag, reason)


FIXED: Final = (
    _fixed(
        "request_rate",
        "How many calls of one operation are admitted in a second, if a testbed throttles calls?",
        "10 in each account and Region",
        Evidence.DOCUMENTED,
        "AWS: the quota of each gateway operation is 10 transactions per second, and can be raised",
    ),
    _fixed(
        "request_burst",
        "How many calls are admitted at once after a pause, if a testbed throttles calls?",
        "as many as in a second",
        Evidence.ASSUMED,
        "AWS names a rate and no burst",
    ),
    _fixed(
        "first_offer",
        "When does a task become IN_PROGRESS?",
        "when the reply with the update begins",
        Evidence.ASSUMED,
        "AWS: IN_PROGRESS is the first status that one sees",
    ),
    _fixed(
        "failed_attempt",
        "What is a failed attempt?",
        "a later request that still presents the offered version",
        Evidence.ASSUMED,
        "IN_PROGRESS, FIRST_RETRY, SECOND_RETRY are AWS's; FAILED is judged at the fourth request",
    ),
    _fixed(
        "concurrent_requests",
        "Two requests of one gateway at once?",
        "one is offered, the other gets nothing",
        Evidence.ASSUMED,
        "the same update sent twice at once could only harm",
    ),
    _fixed(
        "unreadable_source",
        "What if object or role cannot be read?",
        "nothing is sent, nothing is used up",
        Evidence.ASSUMED,
        "the fault is not the gateway's; explain gives the reason",
    ),
    _fixed(
        "deleted_definition",
        "What of the tasks of a deleted definition?",
        "they go on",
        Evidence.DOCUMENTED,
        "AWS: does not affect tasks that are currently in progress",
    ),
    _fixed(
        "deleted_task",
        "What after a task is deleted?",
        "a matching automatic definition makes it anew",
        Evidence.ASSUMED,
        "at the next request",
    ),
    _fixed(
        "gateway_lookup",
        "Which account does a CUPS request speak to?",
        "the one that has the EUI",
        Evidence.DOCUMENTED,
        "AWS: an EUI is unique over accounts and Regions",
    ),
    _fixed(
        "firmware_information",
        "What is CurrentVersion?",
        "the fields presented at the last request",
        Evidence.ASSUMED,
        "one not presented is left out; before the first request there is none",
    ),
    _fixed(
        "gateway_eui_form",
        "How is GatewayEui written in answers?",
        "16 lower-case hex digits",
        Evidence.DOCUMENTED,
        "the documented sample output",
    ),
    _fixed(
        "client_request_token",
        "What does ClientRequestToken do?",
        "same parameters: the first answer again",
        Evidence.DOCUMENTED,
        "other parameters: ConflictException",
    ),
    _fixed(
        "client_request_token_memory",
        "How long is a ClientRequestToken remembered, and what after its resource was deleted?",
        "ten minutes on the service's clock; the first answer again, and nothing is made",
        Evidence.ASSUMED,
        "AWS speaks of ten minutes, and not of deletions; a late try of a call must not make what was deleted",
    ),
    _fixed(
        "log_level_default",
        "Which log level applies until one is set?",
        "ERROR",
        Evidence.DOCUMENTED,
        "AWS: by default, all resources have the log level ERROR; its text about DefaultLogLevel says INFO",
    ),
    _fixed(
        "log_level_precedence",
        "Which log level applies if several are set?",
        "the gateway's own, else that of the event, else that of gateways, else the default",
        Evidence.ASSUMED,
        "AWS: each of them overrides the default; it does not say whether a gateway's own one overrides an event's",
    ),
    _fixed(
        "log_options_update",
        "What does UpdateLogLevelsByResourceTypes do to options that it does not give?",
        "they stay; a list replaces the one before, and an empty list removes it",
        Evidence.ASSUMED,
        "AWS: an empty list removes the options; a type or event that a list names twice is refused",
    ),
    _fixed(
        "log_level_overrides",
        "How many gateways can have a log level of their own?",
        "200 of an account in a Region; one more is refused with ValidationException",
        Evidence.DOCUMENTED,
        "AWS: 200 per account; it does not name the error, and the model has no other that fits",
    ),
    _fixed(
        "log_stream",
        "Which log stream of /aws/iotwireless has the CUPS requests of a gateway?",
        "WirelessGateway-CUPS_Request- and the SHA-256 of the gateway's id",
        Evidence.ASSUMED,
        "AWS documents the log group, and WirelessDevice-Downlink_Data- with 64 hex digits for a device",
    ),
    _fixed(
        "log_message",
        "What does the message about a CUPS response say?",
        "Sending CUPS response of total length 14 to GatewayEui: feffff00000000e2",
        Evidence.ASSUMED,
        "AWS: these words, and behind them 'with' and the credentials in the response; lorafw's have none",
    ),
    _fixed(
        "log_of_missing_crc",
        "What of a CUPS request without cupsCredCrc?",
        "its line is AWS's documented error and no other; the request is answered like any other",
        Evidence.ASSUMED,
        "AWS documents the line, and not the response",
    ),
    _fixed(
        "event_topics_default",
        "Which event topics are enabled at first?",
        "none, and all of them are returned as Disabled",
        Evidence.ASSUMED,
        "AWS: notifications have to be enabled; it does not say whether a topic that was never set is returned",
    ),
    _fixed(
        "event_topics_of_gateway",
        "Has a gateway one event configuration for each of its identifiers?",
        "one for both; it is listed by its WirelessGatewayId, and has ConnectionStatus only",
        Evidence.ASSUMED,
        "AWS: connection status events are those of gateways; other events are refused",
    ),
    _fixed(
        "stack_update",
        "What if a stack update changes a task definition, or the EUI or RfRegion of a gateway?",
        "it is refused, and nothing changes",
        Evidence.ASSUMED,
        "AWS: no interruption; but neither the API nor the permissions of AWS's own handler can change them",
    ),
    _fixed(
        "stack_properties",
        "Which properties of a resource in a stack have no effect?",
        "LastUplinkReceivedAt, ThingName, TaskDefinitionType, LoRaWANUpdateGatewayTaskEntry",
        Evidence.ASSUMED,
        "AWS's schema has them, and the operations that create such resources do not",
    ),
    _fixed(
        "session_name",
        "How does the service name the session in which it reads the update?",
        "lorafw-update",
        Evidence.ASSUMED,
        "a policy can name the session in Principal, and see its name in aws:userid",
    ),
    _fixed(
        "source_arn",
        "Which aws:SourceArn does the service send when it assumes UpdateDataRole?",
        "arn:aws:iotwireless:REGION:ACCOUNT:WirelessGatewayTaskDefinition/*",
        Evidence.ASSUMED,
        "AWS: a service sends the ARN of the resource for which it acts; which one is not said of this service",
    ),
    _fixed(
        "source_account",
        "Which aws:SourceAccount does the service send when it assumes UpdateDataRole?",
        "the account of the gateway",
        Evidence.DOCUMENTED,
        "AWS: the account of the resource for which the service acts; absent once the role's session reads S3",
    ),
    _fixed(
        "unjudged_condition",
        "What of a condition on a key of which nothing is known, such as aws:PrincipalOrgID or aws:SourceVpce?",
        "an Allow does not allow, a Deny denies",
        Evidence.ASSUMED,
        "lorafw knows no organisation and no VPC; explain names the key",
    ),
    _fixed(
        "source_ip",
        "What is aws:SourceIp when the service reads the object?",
        "a public address of AWS that nobody knows",
        Evidence.ASSUMED,
        "no range of one's own contains it; 0.0.0.0/0 together with ::/0 does",
    ),
    _fixed(
        "customer_key_encryption",
        "What of an object under SSE-C, a key that only its owner has?",
        "the upload is refused with AccessDenied",
        Evidence.DOCUMENTED,
        "AWS: blocked by default since April 2026; nobody could read the object without the key, the service neither",
    ),
    _fixed(
        "missing_object",
        "What if the object is missing and the role may not s3:ListBucket?",
        "explain says that it is missing",
        Evidence.ASSUMED,
        "AWS: S3 then answers AccessDenied instead of NoSuchKey",
    ),
    _fixed(
        "reply_extras",
        "TC URI, CUPS URI and credentials in the reply?",
        "empty",
        Evidence.ASSUMED,
        "not served yet",
    ),
)


def all_decisions(policy: Policy | None = None) -> tuple[BehaviourDecision, ...]:
    """Return all decisions: those of the policy (by default lorafw's own), and the fixed ones."""
    return (*(policy or Policy()).decisions(), *FIXED)
