"""Does AWS allow a request? AWS's documented evaluation logic as pure functions of documents and context.

Without a matching Allow a request is denied, and a matching Deny wins over everything. Within one account an Allow of
the caller's own policies or of the resource's policy is enough; across accounts both must allow.

What cannot be evaluated here (a condition key of which nothing is known, a document that AWS would refuse) never lets
a request through: such an Allow does not allow, and such a Deny denies. The decision says so. Service and resource
control policies of an organisation, policies of VPC endpoints, and ACLs are not evaluated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lorafw.sources.iam.conditions import evaluate_conditions, list_texts
from lorafw.sources.iam.context import CannotEvaluate
from lorafw.sources.iam.context import RequestContext as RequestContext  # noqa: PLC0414
from lorafw.sources.iam.documents import NamedPolicy as NamedPolicy  # noqa: PLC0414 -- part of a question
from lorafw.sources.iam.documents import Statement, read_statements
from lorafw.sources.iam.patterns import matches, to_pattern
from lorafw.sources.iam.principals import Match
from lorafw.sources.iam.principals import Principal as Principal  # noqa: PLC0414
from lorafw.sources.iam.variables import replace_variables

MAX_REASONS = 3
"""Statements that nearly allowed and are told."""


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """One question: may this be done to this resource?

    Attributes:
        principal: Who asks, for a policy that names principals; None for a policy of the caller's own.
        context: What is known of the condition keys.
    """

    action: str
    resource: str
    principal: Principal | None = None
    context: RequestContext = field(default_factory=RequestContext)


@dataclass(frozen=True, slots=True)
class PolicyDecision:
    """The answer.

    Attributes:
        reason: Names the statement that decided, the condition key and its value.
        denied_by: The statement that denies; None if nothing allows.
        match: How the statement that allows names the caller; None in the caller's own policies.
    """

    allowed: bool
    reason: str
    denied_by: str | None = None
    match: Match | None = None


@dataclass(frozen=True, slots=True)
class AccessPolicies:
    """All policies that decide about one request.

    Attributes:
        identity: The caller's own policies.
        boundary: The permissions boundary, if there is one.
        session: The session policies, if the session was made with some.
        resource: The policy of the resource, if it has one.
        same_account: Whether the caller and the resource belong to one account.
        resource_must_allow: Whether the policy of the resource must allow even within one account, as with KMS.
    """

    identity: Sequence[NamedPolicy]
    boundary: NamedPolicy | None = None
    session: Sequence[NamedPolicy] = ()
    resource: NamedPolicy | None = None
    same_account: bool = True
    resource_must_allow: bool = False


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Whether one statement applies: with the reason, and with the match of its Principal."""

    applies: bool
    reason: str = ""
    match: Match | None = None


def evaluate(policies: Iterable[NamedPolicy], request: AccessRequest) -> PolicyDecision:
    """Evaluate policies of one kind. A request is allowed if a statement allows it and none denies it. Never raises."""
    best: PolicyDecision | None = None
    nearly: list[str] = []
    names: list[str] = []
    for policy in policies:
        names.append(policy.name)
        for found in _decide_statements(policy, request):
            if found.denied_by is not None:
                return found
            if not found.allowed:
                nearly.append(found.reason)
            elif best is None or (found.match or 0) > (best.match or 0):
                best = found
    if best is not None:
        return best
    why = "; ".join(nearly[:MAX_REASONS]) or f"no statement allows it (policies: {', '.join(names) or 'there is none'})"
    return PolicyDecision(False, f"{request.action} on {request.resource} is not allowed: {why}")


def evaluate_access(policies: AccessPolicies, request: AccessRequest) -> PolicyDecision:
    """Evaluate all policies that decide about a request of a role's session, as AWS documents it.

    Args:
        policies: The policies.
        request: What is asked for; its principal is who asks.
    """
    own = _evaluate_own(policies, AccessRequest(request.action, request.resource, context=request.context))
    resource = None
    if policies.resource is not None:
        resource = evaluate([policies.resource], request)
    if own.denied_by is not None:
        return own
    if resource is not None and resource.denied_by is not None:
        return resource
    if policies.same_account:
        return _within_account(policies, request, own, resource)
    return _across_accounts(request, own, resource)


def _across_accounts(request: AccessRequest, own: PolicyDecision, resource: PolicyDecision | None) -> PolicyDecision:
    """Decide a request across accounts in which nothing denies: both sides must allow (documented)."""
    if resource is None:
        return PolicyDecision(
            False, f"{request.resource} is in another account, and no policy of it allows {request.action}"
        )
    for side in (resource, own):
        if not side.allowed:
            return PolicyDecision(False, f"across accounts both sides must allow (documented): {side.reason}")
    return own


def _evaluate_own(policies: AccessPolicies, request: AccessRequest) -> PolicyDecision:
    """Evaluate the caller's own policies within boundary and session policies. A Deny in any of them wins."""
    identity = evaluate(policies.identity, request)
    limits = list(_evaluate_limits(policies, request))
    for decision in (identity, *(limit for _, limit in limits)):
        if decision.denied_by is not None:
            return decision
    if not identity.allowed:
        return identity
    for what, limit in limits:
        if not limit.allowed:
            return PolicyDecision(False, f"{what} does not allow it: {limit.reason}")
    return identity


def _evaluate_limits(policies: AccessPolicies, request: AccessRequest) -> Iterator[tuple[str, PolicyDecision]]:
    if policies.boundary is not None:
        yield "its permissions boundary", evaluate([policies.boundary], request)
    if policies.session:
        yield "its session policy", evaluate(policies.session, request)


def _within_account(
    policies: AccessPolicies, request: AccessRequest, own: PolicyDecision, resource: PolicyDecision | None
) -> PolicyDecision:
    """Decide a request in which nothing denies and both sides are of one account (documented)."""
    if policies.resource_must_allow and (resource is None or not resource.allowed):
        return resource or PolicyDecision(False, f"no policy of {request.resource} allows {request.action}")
    if own.allowed:
        return own
    if resource is None or not resource.allowed or resource.match is None:
        return own
    if resource.match is Match.ACCOUNT:
        return PolicyDecision(
            False, f"{resource.reason} to the account, which leaves it to its own policies; {own.reason}"
        )
    if resource.match is Match.ROLE:
        own_request = AccessRequest(request.action, request.resource, context=request.context)
        for what, limit in _evaluate_limits(policies, own_request):
            if not limit.allowed:
                return PolicyDecision(False, f"{what} does not allow it: {limit.reason}")
    return resource


def _decide_statements(policy: NamedPolicy, request: AccessRequest) -> Iterator[PolicyDecision]:
    """Yield what each statement that matters says: it allows, it denies, or why it nearly allowed."""
    try:
        for statement in read_statements(policy):
            decision = _decide(statement, request)
            if decision is not None:
                yield decision
    except CannotEvaluate as problem:
        yield PolicyDecision(False, f"policy {policy.name!r} cannot be judged here: {problem}")


def _decide(statement: Statement, request: AccessRequest) -> PolicyDecision | None:
    """Return what one statement says, or None if it is about something else."""
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
    if not outcome.applies:
        return None
    because = f" because of {outcome.reason}" if outcome.reason else ""
    return PolicyDecision(False, f"{label} denies {request.action}{because}", label)


def _decide_allow(label: str, request: AccessRequest, outcome: _Outcome) -> PolicyDecision | None:
    if outcome.applies:
        return PolicyDecision(True, f"{label} allows {request.action}", match=outcome.match)
    if outcome.reason:
        return PolicyDecision(False, f"{label} would allow it, but its condition does not hold: {outcome.reason}")
    return None


def _apply(statement: Statement, request: AccessRequest) -> _Outcome:
    """Return whether a statement applies. The condition comes last: it counts only if the rest is about the request.

    Raises:
        CannotEvaluate: A part cannot be evaluated, and the parts before it apply.
    """
    elements = statement.check()
    match = None
    if request.principal is None:
        _check_names_no_principal(elements)
    else:
        match = _match_principal(elements, request.principal, is_deny=statement.is_deny)
        if match is None:
            return _Outcome(False)
    if not _action_applies(elements, request.action) or not _resource_applies(statement, elements, request):
        return _Outcome(False)
    results = evaluate_conditions(elements.get("Condition"), request.context, with_variables=statement.with_variables)
    if results and not results[-1].holds:
        return _Outcome(False, results[-1].reason)
    return _Outcome(True, "; ".join(result.reason for result in results), match)


def _check_names_no_principal(elements: Mapping[str, Any]) -> None:
    """Check a statement of the caller's own policies. Raises CannotEvaluate if it names a principal."""
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
    """Action or NotAction; the names of actions compare without case."""
    name, is_inverted = _find_element(elements, "Action")
    patterns = list_texts(elements[name], name)
    return any(matches(to_pattern(one.lower()), action.lower()) for one in patterns) is not is_inverted


def _resource_applies(statement: Statement, elements: Mapping[str, Any], request: AccessRequest) -> bool:
    """Resource or NotResource. A trust policy has none of them: it is about its own role."""
    if request.principal is not None and "Resource" not in elements and "NotResource" not in elements:
        return True
    name, is_inverted = _find_element(elements, "Resource")
    for one in list_texts(elements[name], name):
        pattern: str | None = to_pattern(one)
        if statement.with_variables:
            pattern = replace_variables(one, request.context)
        if pattern is None and is_inverted:
            raise CannotEvaluate(f"a policy variable in NotResource {one[:60]!r} has no value in this request")
        if pattern is not None and matches(pattern, request.resource):
            return not is_inverted
    return is_inverted


def _find_element(elements: Mapping[str, Any], name: str) -> tuple[str, bool]:
    """Return which of two elements a statement has, and whether it is the inverted one."""
    if name in elements:
        return name, False
    if f"Not{name}" in elements:
        return f"Not{name}", True
    raise CannotEvaluate(f"it has neither {name} nor Not{name}")
