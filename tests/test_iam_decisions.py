"""Each policy of the table is decided as AWS documents it, in every form in which AWS's APIs give it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import iam_cases as table
import pytest

from lorafw.clock import parse_iso
from lorafw.sources.iam.evaluation import (
    AccessPolicies,
    AccessRequest,
    NamedPolicy,
    PolicyDecision,
    evaluate,
    evaluate_access,
)
from lorafw.sources.iam.requests import (
    Circumstances,
    IamRole,
    assume_role_request,
    decrypt_request,
    read_object_request,
)
from lorafw.tasks.policy import all_decisions

ROLE = IamRole(table.ROLE, table.ACCOUNT, "AROAEXAMPLE", {"team": "firmware", "prefix": "fwst"})
HERE = Circumstances(parse_iso("2021-03-12T09:56:12.047Z"), "us-east-1")
ENCRYPTION_CONTEXT = {"aws:s3:arn": table.OBJECT}
FORMS = {
    "text": json.dumps,
    "object": lambda document: document,
    "bytes": lambda document: json.dumps(document).encode(),
}


def request_of(case: table.Case) -> AccessRequest:
    """The request that a case is about."""
    if case.request == "assume":
        return assume_role_request(ROLE, HERE, "aws")
    if case.request == "decrypt":
        return decrypt_request(ROLE, HERE, table.KEY, encryption_context=ENCRYPTION_CONTEXT)
    request = read_object_request(
        ROLE, HERE, table.OBJECT, bucket_account=case.owner, object_tags={"release": "stable"}
    )
    if case.tag_keys:
        values = {**request.context.values, "aws:TagKeys": case.tag_keys}
        request = replace(request, context=replace(request.context, values=values))
    return request


def document_of(case: table.Case, statements: list[Any]) -> dict[str, Any]:
    """A policy document of these statements."""
    version = {} if case.version is None else {"Version": case.version}
    return {**version, "Statement": statements}


def decide(case: table.Case, form: str) -> PolicyDecision:
    """What lorafw decides."""

    def policy(name: str, statements: list[Any] | None) -> NamedPolicy | None:
        return None if statements is None else NamedPolicy(name, FORMS[form](document_of(case, statements)))

    identity, session = policy("own", case.identity), policy("session", case.session)
    resource = policy("resource", case.resource)
    if case.request == "assume":
        return evaluate([resource] if resource else [], request_of(case))
    policies = AccessPolicies(
        [identity] if identity else [],
        policy("boundary", case.boundary),
        [session] if session else [],
        resource,
        same_account=case.owner == table.ACCOUNT,
        resource_must_allow=case.request == "decrypt",
    )
    return evaluate_access(policies, request_of(case))


@pytest.mark.parametrize("case", table.CASES, ids=lambda case: f"{case.rule}: {case.name}")
def test_a_policy_is_decided_as_aws_documents(case: table.Case) -> None:
    assert case.rule in table.RULES
    for form in FORMS:
        decision = decide(case, form)
        assert decision.allowed is case.allowed, (form, table.RULES[case.rule], decision.reason)
        assert decision.reason


def test_the_table_has_enough_policies_and_every_rule_has_some() -> None:
    assert len(table.CASES) >= 150
    assert {case.rule for case in table.CASES} == set(table.RULES)
    names = [(case.rule, case.name) for case in table.CASES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "case", [case for case in table.CASES if case.inside_only == table.UNJUDGED], ids=lambda case: case.name
)
def test_a_condition_that_cannot_be_evaluated_is_reported_with_its_key(case: table.Case) -> None:
    reason = decide(case, "text").reason
    assert "cannot be judged here" in reason
    assert "aws:PrincipalOrgID" in reason or "aws:SourceVpce" in reason


def test_a_verdict_names_statement_policy_key_and_value() -> None:
    case = table.Case("string", "x", False, [{**table.when("StringEquals", table.TEAM, "radio"), "Sid": "OnlyRadio"}])
    reason = decide(case, "text").reason
    assert "statement 'OnlyRadio' of policy 'own'" in reason
    assert "StringEquals aws:PrincipalTag/team 'radio', and its value is 'firmware'" in reason
    denied = decide(table.Case("bool", "x", False, [table.ALLOW, table.deny_when("Bool", table.TLS, "true")]), "text")
    assert denied.denied_by == "statement 2 of policy 'own'"
    assert "because of Bool aws:SecureTransport 'true', and its value is 'true'" in denied.reason


def test_the_decisions_about_the_service_are_those_that_requests_are_made_of() -> None:
    decisions = {decision.name: str(decision.value) for decision in all_decisions()}
    request = assume_role_request(ROLE, HERE, "aws")
    told = decisions["source_arn"].replace("REGION", HERE.region).replace("ACCOUNT", table.ACCOUNT)
    assert request.context.values["aws:SourceArn"] == told
    assert request.context.values["sts:RoleSessionName"] == decisions["session_name"]
