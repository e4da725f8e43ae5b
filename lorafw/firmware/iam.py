"""Does an IAM policy allow a request? Pure, and small: what reading one object through one role needs.

The law is AWS's evaluation logic (documented): without a matching Allow a request is denied, and a matching Deny wins
over everything. Action names compare without case, resources with it; ``*`` stands for any characters, ``?`` for one,
and everything else for itself.

What cannot be judged here (a condition on something unknown, a policy variable, a document that is none) never lets a
request through: such an Allow does not allow, and such a Deny denies. The decision says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

MAX_DOCUMENT: Final = 64 * 1024
"""Characters of a policy; AWS takes less of any kind."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: ``kind`` is Service or AWS; ``names`` are all the texts by which a policy can mean them."""

    kind: str
    names: tuple[str, ...]

    @classmethod
    def service(cls, name: str) -> Principal:
        return cls("Service", (name,))

    @classmethod
    def role(cls, arn: str) -> Principal:
        """A role is meant by its ARN, by its account, and by the account's root."""
        partition, account = arn.split(":")[1], arn.split(":")[4]
        return cls("AWS", (arn, account, f"arn:{partition}:iam::{account}:root"))


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """One question. ``context`` holds the condition keys whose values are known."""

    action: str
    resource: str
    principal: Principal | None = None
    context: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NamedPolicy:
    """A policy document (text, or parsed) with the name under which a person finds it."""

    name: str
    document: str | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer. ``denied_by`` is the statement that denies; None where nothing allows either."""

    allowed: bool
    reason: str
    denied_by: str | None = None


class _Unjudged(Exception):
    """Something in a statement cannot be judged here."""


def evaluate(policies: Iterable[NamedPolicy], request: AccessRequest) -> Decision:
    """Allowed where some statement allows and none denies. Never raises."""
    allowed_by = None
    unjudged: list[str] = []
    names = []
    for policy in policies:
        names.append(policy.name)
        for label, effect, applies in _statements(policy, request):
            if effect == "Deny" and applies is not False:
                detail = "" if applies is True else f", which cannot be judged here: {applies}"
                return Decision(False, f"{label} denies {request.action}{detail}", label)
            if effect != "Deny" and applies is True:
                allowed_by = allowed_by or label
            elif effect != "Deny" and applies is not False:
                unjudged.append(f"{label} cannot be judged here: {applies}")
    if allowed_by is not None:
        return Decision(True, f"{allowed_by} allows {request.action}")
    looked_at = ", ".join(names) or "there is none"
    why = "; ".join(unjudged[:3]) or f"no statement allows it (policies: {looked_at})"
    return Decision(False, f"{request.action} on {request.resource} is not allowed: {why}")


def glob(pattern: str, text: str) -> bool:
    """``*`` and ``?`` only. The time is bounded by the product of the lengths, whatever the pattern."""
    at = seen = 0
    star = mark = -1
    while seen < len(text):
        if at < len(pattern) and pattern[at] == "*":
            star, mark = at, seen
            at += 1
        elif at < len(pattern) and pattern[at] in ("?", text[seen]):
            at += 1
            seen += 1
        elif star >= 0:
            mark += 1
            at, seen = star + 1, mark
        else:
            return False
    return pattern[at:].strip("*") == ""


def _statements(policy: NamedPolicy, request: AccessRequest) -> Iterator[tuple[str, str, bool | str]]:
    """Label, effect, and whether the statement applies: True, False, or why that cannot be judged."""
    try:
        document = _parsed(policy.document)
    except _Unjudged as problem:
        yield f"policy {policy.name!r}", "Allow", str(problem)
        return
    for index, statement in enumerate(_as_list(document.get("Statement")), start=1):
        name = statement.get("Sid") if isinstance(statement, dict) else None
        label = (
            f"statement {name!r} of policy {policy.name!r}"
            if isinstance(name, str) and name
            else (f"statement {index} of policy {policy.name!r}")
        )
        effect = statement.get("Effect") if isinstance(statement, dict) else None
        try:
            yield label, "Deny" if effect == "Deny" else "Allow", _applies(statement, request)
        except _Unjudged as problem:
            yield label, "Deny" if effect == "Deny" else "Allow", str(problem)


def _parsed(document: object) -> Mapping[str, Any]:
    if isinstance(document, str):
        if len(document) > MAX_DOCUMENT:
            raise _Unjudged(f"it has more than {MAX_DOCUMENT} characters")
        try:
            document = json.loads(document)
        except (ValueError, RecursionError):
            raise _Unjudged("it is not JSON") from None
    if not isinstance(document, Mapping) or "Statement" not in document:
        raise _Unjudged("it has no Statement")
    return document


def _applies(statement: object, request: AccessRequest) -> bool:
    if not isinstance(statement, dict):
        raise _Unjudged("it is not an object")
    if statement.get("Effect") not in ("Allow", "Deny"):
        raise _Unjudged(f"its Effect is {statement.get('Effect')!r}, not Allow or Deny")
    # All parts are asked, the condition last: a statement about something else need not be judged.
    return (
        _principal_applies(statement, request.principal)
        and _part_applies(statement, "Action", request.action.lower(), str.lower)
        and _part_applies(statement, "Resource", request.resource, str, optional=request.principal is not None)
        and _conditions_hold(statement.get("Condition"), request.context)
    )


def _part_applies(
    statement: Mapping[str, Any], name: str, value: str, form: Callable[[str], str], *, optional: bool = False
) -> bool:
    """Action or NotAction, Resource or NotResource. A trust policy has no Resource."""
    if name in statement:
        return any(glob(form(pattern), value) for pattern in _texts(statement[name], name))
    if f"Not{name}" in statement:
        return not any(glob(form(pattern), value) for pattern in _texts(statement[f"Not{name}"], name))
    if optional:
        return True
    raise _Unjudged(f"it has neither {name} nor Not{name}")


def _principal_applies(statement: Mapping[str, Any], principal: Principal | None) -> bool:
    """An identity's own policies name no principal; the others must."""
    if principal is None:
        if "Principal" in statement or "NotPrincipal" in statement:
            raise _Unjudged("it names a Principal, which the policy of a role cannot do")
        return True
    if "Principal" in statement:
        return _names(statement["Principal"], principal)
    if "NotPrincipal" in statement:
        return not _names(statement["NotPrincipal"], principal)
    raise _Unjudged("it has neither Principal nor NotPrincipal")


def _names(value: object, principal: Principal) -> bool:
    if value == "*":
        return True
    if not isinstance(value, dict):
        raise _Unjudged(f"its Principal is {value!r}")
    listed = _texts(value.get(principal.kind, []), "Principal")
    return any(text in principal.names or (text == "*" and principal.kind == "AWS") for text in listed)


def _conditions_hold(conditions: object, context: Mapping[str, str]) -> bool:
    if conditions is None:
        return True
    if not isinstance(conditions, dict):
        raise _Unjudged("its Condition is not an object")
    known = {key.lower(): value for key, value in context.items()}
    held = True
    for operator, keys in conditions.items():
        if not isinstance(keys, dict):
            raise _Unjudged(f"its condition {operator!r} is not an object")
        for key, wanted in keys.items():
            held = _condition_holds(str(operator), str(key), wanted, known) and held
    return held


_OPERATORS: Final[Mapping[str, tuple[Callable[[str, str], bool], bool]]] = {
    "stringequals": (lambda wanted, value: wanted == value, False),
    "stringnotequals": (lambda wanted, value: wanted == value, True),
    "stringequalsignorecase": (lambda wanted, value: wanted.lower() == value.lower(), False),
    "stringnotequalsignorecase": (lambda wanted, value: wanted.lower() == value.lower(), True),
    "stringlike": (glob, False),
    "stringnotlike": (glob, True),
    "arnequals": (glob, False),
    "arnlike": (glob, False),
    "arnnotequals": (glob, True),
    "arnnotlike": (glob, True),
    "bool": (lambda wanted, value: wanted.lower() == value.lower(), False),
}
"""Operator to comparison, and whether the result is turned round."""


def _condition_holds(operator: str, key: str, wanted: object, known: Mapping[str, str]) -> bool:
    comparison = _OPERATORS.get(operator.lower().removesuffix("ifexists"))
    if comparison is None:
        raise _Unjudged(f"condition operator {operator!r} is not known here")
    if key.lower() not in known:
        raise _Unjudged(f"the value of condition key {key!r} is not known here")
    matches, is_turned = comparison
    value = known[key.lower()]
    return any(matches(text, value) for text in _texts(wanted, key)) is not is_turned


def _texts(value: object, name: str) -> list[str]:
    """A text or a list of texts; booleans and numbers as JSON writes them. A policy variable cannot be judged."""
    texts = []
    for item in _as_list(value):
        if isinstance(item, bool):
            texts.append(str(item).lower())
        elif isinstance(item, str | int):
            texts.append(str(item))
        else:
            raise _Unjudged(f"{name} holds {type(item).__name__}, not text")
    if any("${" in text for text in texts):
        raise _Unjudged(f"{name} uses a policy variable")
    return texts


def _as_list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]
