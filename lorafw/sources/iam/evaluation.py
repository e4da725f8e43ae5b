"""Decide whether IAM policies allow a request, with the evaluation logic that AWS documents.

A request is denied unless a statement allows it, and a Deny overrules every Allow. Within one account, either the
caller's own policies or the resource's policy must allow the request. Across accounts both must.

A statement that cannot be evaluated here never lets a request through: an Allow does not allow, and a Deny denies.
Examples are a condition key of unknown value and a document that AWS would refuse. The reason of the decision says
so. Service and resource control policies, policies of VPC endpoints, and ACLs are not evaluated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lorafw.sources.iam.conditions import evaluate_conditions, list_texts
from lorafw.sources.iam.context import CannotEvaluate, shorten
from lorafw.sources.iam.context import RequestContext as RequestContext  # noqa: PLC0414
from lorafw.sources.iam.documents import NamedPolicy as NamedPolicy  # noqa: PLC0414 -- part of a question
from lorafw.sources.iam.documents import Statement, read_statements
from lorafw.sources.iam.patterns import matches, to_pattern
from lorafw.sources.iam.principals import Match
from lorafw.sources.iam.principals import Principal as Principal  # noqa: PLC0414
from lorafw.sources.iam.variables import replace_variables

MAX_REASONS = 3
"""How many statements that nearly allowed a request its denial names."""


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """A request to perform an action on a resource."""

    action: str
    """The action, such as ``s3:GetObject``."""
    resource: str
    """The ARN of the resource."""
    principal: Principal | None = None
    """The caller, for a policy that names principals. None for the caller's own policies."""
    context: RequestContext = field(default_factory=RequestContext)
    """The condition keys and their values."""


@dataclass(frozen=True, slots=True)
class PolicyDecision:
    """Whether a request is allowed, and why."""

    allowed: bool
    reason: str
    """Names the statement that decided, the condition key and its value."""
    denied_by: str | None = None
    """The statement that denies the request. None if it is allowed, or if no statement allows it."""
    match: Match | None = None
    """How the statement that allows names the caller. None in the caller's own policies."""


@dataclass(frozen=True, slots=True)
class AccessPolicies:
    """All policies that decide about one request."""

    identity: Sequence[NamedPolicy]
    """The caller's own policies."""
    boundary: NamedPolicy | None = None
    """The permissions boundary, or None."""
    session: Sequence[NamedPolicy] = ()
    """The session policies."""
    resource: NamedPolicy | None = None
    """The policy of the resource, or None."""
    same_account: bool = True
    """Whether the caller and the resource belong to one account."""
    resource_must_allow: bool = False
    """Whether the policy of the resource must allow the request even within one account, as with KMS."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Whether one statement applies, the reason, and how its Principal names the caller."""

    applies: bool
    reason: str = ""
    match: Match | None = None


def evaluate(policies: Iterable[NamedPolicy], request: AccessRequest) -> PolicyDecision:
    """Decide a request by policies of one kind, such as all policies of a role.

    It is allowed if at least one statement allows it and none denies it. Policies that cannot be evaluated raise no
    error; the reason of the decision names them.

    Args:
        policies: The policies.
        request: The request.

    Returns:
        The decision. If several statements allow, it is the one that names the caller most directly.
    """
    best: PolicyDecision | None = None
    near_misses: list[str] = []
    names: list[str] = []
    for policy in policies:
        names.append(policy.name)
        for decision in _decide_statements(policy, request):
            if decision.denied_by is not None:
                return decision
            if not decision.allowed:
                near_misses.append(decision.reason)
            elif best is None or (decision.match or 0) > (best.match or 0):
                best = decision
    if best is not None:
        return best
    if near_misses:
        reason = "; ".join(near_misses[:MAX_REASONS])
    else:
        listed_names = ", ".join(names) or "there is none"
        reason = f"no statement allows it (policies: {listed_names})"
    return PolicyDecision(False, f"{request.action} on {request.resource} is not allowed: {reason}")


def evaluate_access(policies: AccessPolicies, request: AccessRequest) -> PolicyDecision:
    """Decide a request of a role's session by all policies that apply to it, as AWS documents.

    Args:
        policies: The policies.
        request: The request, with the session as its principal.

    Returns:
        Whether the request is allowed, and the reason.
    """
    by_caller = _decide_by_caller_policies(policies, request)
    by_resource = None
    if policies.resource is not None:
        by_resource = evaluate([policies.resource], request)
    # 1. A Deny on either side overrules every Allow.
    if by_caller.denied_by is not None:
        return by_caller
    if by_resource is not None and by_resource.denied_by is not None:
        return by_resource
    # 2. Within one account one side is enough. Across accounts both sides must allow.
    if policies.same_account:
        return _decide_within_account(policies, request, by_caller, by_resource)
    return _decide_across_accounts(request, by_caller, by_resource)


def _decide_across_accounts(
    request: AccessRequest, by_caller: PolicyDecision, by_resource: PolicyDecision | None
) -> PolicyDecision:
    """Decide a request to another account that no statement denies. Both sides must allow it (documented).

    Args:
        request: The request.
        by_caller: The decision of the caller's own policies.
        by_resource: The decision of the resource's policy. None if the resource has no policy.

    Returns:
        The decision of both sides together.
    """
    if by_resource is None:
        return PolicyDecision(
            False, f"{request.resource} is in another account, and no policy of it allows {request.action}"
        )
    for decision in (by_resource, by_caller):
        if not decision.allowed:
            return PolicyDecision(False, f"across accounts both sides must allow (documented): {decision.reason}")
    return by_caller


def _decide_within_account(
    policies: AccessPolicies, request: AccessRequest, by_caller: PolicyDecision, by_resource: PolicyDecision | None
) -> PolicyDecision:
    """Decide a request within one account that no statement denies (documented).

    Args:
        policies: All policies.
        request: The request.
        by_caller: The decision of the caller's own policies.
        by_resource: The decision of the resource's policy. None if the resource has no policy.

    Returns:
        The decision of both sides together.
    """
    if policies.resource_must_allow and (by_resource is None or not by_resource.allowed):
        return by_resource or PolicyDecision(False, f"no policy of {request.resource} allows {request.action}")
    if by_caller.allowed:
        return by_caller
    if by_resource is None or not by_resource.allowed or by_resource.match is None:
        return by_caller
    if by_resource.match is Match.ACCOUNT:
        return PolicyDecision(
            False, f"{by_resource.reason} to the account, which leaves it to its own policies; {by_caller.reason}"
        )
    if by_resource.match is Match.ROLE:
        # The resource's policy names the role and not its session, so what limits the role still applies.
        return _find_refusing_limit(policies, request) or by_resource
    return by_resource


def _decide_by_caller_policies(policies: AccessPolicies, request: AccessRequest) -> PolicyDecision:
    """Decide by the caller's own policies, which the boundary and the session policies limit.

    A Deny in any of them overrules every Allow.
    """
    identity_decision = evaluate(policies.identity, _without_principal(request))
    if identity_decision.denied_by is not None:
        return identity_decision
    for _, limit_decision in _decide_limits(policies, request):
        if limit_decision.denied_by is not None:
            return limit_decision
    if not identity_decision.allowed:
        return identity_decision
    return _find_refusing_limit(policies, request) or identity_decision


def _find_refusing_limit(policies: AccessPolicies, request: AccessRequest) -> PolicyDecision | None:
    """Return the denial by a boundary or a session policy that does not allow the request. None if each allows it."""
    for name, decision in _decide_limits(policies, request):
        if not decision.allowed:
            return PolicyDecision(False, f"{name} does not allow it: {decision.reason}")
    return None


def _decide_limits(policies: AccessPolicies, request: AccessRequest) -> Iterator[tuple[str, PolicyDecision]]:
    """Yield name and decision of the boundary and of the session policies, if they exist."""
    own_request = _without_principal(request)
    if policies.boundary is not None:
        yield "its permissions boundary", evaluate([policies.boundary], own_request)
    if policies.session:
        yield "its session policy", evaluate(policies.session, own_request)


def _without_principal(request: AccessRequest) -> AccessRequest:
    """Return a request for the caller's own policies. They name no principal, because they belong to the caller."""
    return replace(request, principal=None)


def _decide_statements(policy: NamedPolicy, request: AccessRequest) -> Iterator[PolicyDecision]:
    """Yield the decision of each statement that allows, denies or nearly allows the request."""
    try:
        for statement in read_statements(policy):
            decision = _decide(statement, request)
            if decision is not None:
                yield decision
    except CannotEvaluate as problem:
        yield PolicyDecision(False, f"policy {policy.name!r} cannot be judged here: {problem}")


def _decide(statement: Statement, request: AccessRequest) -> PolicyDecision | None:
    """Return the decision of one statement, or None if it does not concern the request."""
    label = statement.label
    try:
        outcome = _apply(statement, request)
    except CannotEvaluate as problem:
        if statement.is_deny:
            return PolicyDecision(
                False, f"{label} denies {request.action}, which cannot be judged here: {problem}", label
            )
        return PolicyDecision(False, f"{label} cannot be judged here: {problem}")
    if statement.is_deny:
        return _decide_deny(label, request, outcome)
    return _decide_allow(label, request, outcome)


def _decide_deny(label: str, request: AccessRequest, outcome: _Outcome) -> PolicyDecision | None:
    """Return the decision of a Deny statement, or None if it does not apply."""
    if not outcome.applies:
        return None
    because = f" because of {outcome.reason}" if outcome.reason else ""
    return PolicyDecision(False, f"{label} denies {request.action}{because}", label)


def _decide_allow(label: str, request: AccessRequest, outcome: _Outcome) -> PolicyDecision | None:
    """Return the decision of an Allow statement, or None if it does not concern the request."""
    if outcome.applies:
        return PolicyDecision(True, f"{label} allows {request.action}", match=outcome.match)
    if outcome.reason:
        return PolicyDecision(False, f"{label} would allow it, but its condition does not hold: {outcome.reason}")
    return None


def _apply(statement: Statement, request: AccessRequest) -> _Outcome:
    """Return whether a statement applies to a request.

    The condition is evaluated last, and only if all other elements match the request.

    Raises:
        CannotEvaluate: An element cannot be evaluated, and the elements before it match.
    """
    elements = statement.checked_elements()
    match = None
    if request.principal is None:
        _check_names_no_principal(elements)
    else:
        match = _match_principal(elements, request.principal, is_deny=statement.is_deny)
        if match is None:
            return _Outcome(False)
    if not _action_applies(elements, request.action) or not _resource_applies(statement, elements, request):
        return _Outcome(False)
    results = evaluate_conditions(
        elements.get("Condition"), request.context, supports_variables=statement.supports_variables
    )
    if results and not results[-1].holds:
        return _Outcome(False, results[-1].reason)
    return _Outcome(True, "; ".join(result.reason for result in results), match)


def _check_names_no_principal(elements: Mapping[str, Any]) -> None:
    """Raise CannotEvaluate if a statement of the caller's own policies names a principal."""
    if "Principal" in elements or "NotPrincipal" in elements:
        raise CannotEvaluate("it names a Principal, which the policy of a role cannot do")


def _match_principal(elements: Mapping[str, Any], principal: Principal, *, is_deny: bool) -> Match | None:
    """Return how a statement of a resource's policy names the caller, or None if it does not."""
    if "Principal" in elements:
        return principal.find(elements["Principal"])
    if "NotPrincipal" not in elements:
        raise CannotEvaluate("it has neither Principal nor NotPrincipal")
    if not is_deny:
        raise CannotEvaluate("it allows with NotPrincipal, which AWS does not support")
    if principal.is_excepted(elements["NotPrincipal"]):
        return None
    return Match.EVERYONE


def _action_applies(elements: Mapping[str, Any], action: str) -> bool:
    """Return whether Action or NotAction covers an action. Names of actions are compared without case."""
    name, is_inverted = _find_element(elements, "Action")
    patterns = [to_pattern(text.lower()) for text in list_texts(elements[name], name)]
    is_listed = any(matches(pattern, action.lower()) for pattern in patterns)
    return is_listed is not is_inverted


def _resource_applies(statement: Statement, elements: Mapping[str, Any], request: AccessRequest) -> bool:
    """Return whether Resource or NotResource covers the resource of a request.

    A trust policy has neither of them, since it always concerns its own role.
    """
    if request.principal is not None and "Resource" not in elements and "NotResource" not in elements:
        return True
    name, is_inverted = _find_element(elements, "Resource")
    for text in list_texts(elements[name], name):
        pattern: str | None = to_pattern(text)
        if statement.supports_variables:
            pattern = replace_variables(text, request.context)
        if pattern is None and is_inverted:
            raise CannotEvaluate(f"a policy variable in NotResource {shorten(text)} has no value in this request")
        if pattern is not None and matches(pattern, request.resource):
            return not is_inverted
    return is_inverted


def _find_element(elements: Mapping[str, Any], name: str) -> tuple[str, bool]:
    """Return the name of the element of a statement (``name`` or its Not form), and whether it is the Not form."""
    if name in elements:
        return name, False
    if f"Not{name}" in elements:
        return f"Not{name}", True
    raise CannotEvaluate(f"it has neither {name} nor Not{name}")
