"""The evaluation of IAM policies, as a table of AWS's documented rules."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafw.sources.iam.evaluation import AccessRequest, NamedPolicy, Principal, RequestContext, evaluate
from lorafw.sources.iam.patterns import matches, to_pattern

BUCKET = "arn:aws:s3:::iotwirelessfwupdate"
OBJECT = f"{BUCKET}/fwstation"
ROLE = "arn:aws:iam::123456789012:role/IoTWirelessFwUpdateRole"
KNOWN = RequestContext({"aws:PrincipalAccount": "123456789012", "aws:Flag": "true"})
REQUEST = AccessRequest("s3:GetObject", OBJECT, context=KNOWN)


def allow(**parts: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": "s3:GetObject", "Resource": OBJECT, **parts}


def deny(**parts: Any) -> dict[str, Any]:
    return {"Effect": "Deny", "Action": "s3:GetObject", "Resource": OBJECT, **parts}


def without(statement: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in statement.items() if name not in names}


def when(operator: str, key: str, value: Any) -> dict[str, Any]:
    return allow(Condition={operator: {key: value}})


OWN = "aws:PrincipalAccount"
TABLE: dict[str, tuple[Any, bool]] = {
    "exactly this is allowed": (allow(), True),
    "nothing is allowed by default": ([], False),
    "a statement alone needs no list": ([allow()], True),
    "actions compare without case": (allow(Action="S3:GETOBJECT"), True),
    "one of several actions": (allow(Action=["s3:PutObject", "s3:GetObject"]), True),
    "another action": (allow(Action="s3:PutObject"), False),
    "an action with a star": (allow(Action="s3:Get*"), True),
    "a star alone": (allow(Action="*", Resource="*"), True),
    "a question mark is one character": (allow(Action="s3:GetObjec?"), True),
    "a question mark is not none": (allow(Action="s3:GetObject?"), False),
    "a prefix is not enough": (allow(Action="s3:Get"), False),
    "resources compare with case": (allow(Resource=OBJECT.replace("fw", "FW")), False),
    "the bucket is not the object": (allow(Resource=BUCKET), False),
    "everything in the bucket": (allow(Resource=f"{BUCKET}/*"), True),
    "a dot stands for itself": (allow(Resource=OBJECT.replace("iot", "i.t")), False),
    "a plus stands for itself": (allow(Resource=OBJECT + "+"), False),
    "brackets stand for themselves": (allow(Resource=OBJECT.replace("f", "[f]")), False),
    "NotAction of another action": (without(allow(NotAction="s3:PutObject"), "Action"), True),
    "NotAction of this action": (without(allow(NotAction="s3:Get*"), "Action"), False),
    "NotResource of another object": (without(allow(NotResource=f"{BUCKET}/other"), "Resource"), True),
    "NotResource of this object": (without(allow(NotResource=f"{BUCKET}/*"), "Resource"), False),
    "a deny wins over an allow": ([allow(), deny()], False),
    "a deny in front wins too": ([deny(), allow()], False),
    "a deny of something else does not count": ([allow(), deny(Resource=f"{BUCKET}/other")], True),
    "a deny with NotResource hits what is not named": (
        [allow(), without(deny(NotResource=f"{BUCKET}/other"), "Resource")],
        False,
    ),
    "a deny with NotResource spares what is named": ([allow(), without(deny(NotResource=OBJECT), "Resource")], True),
    "a condition that holds": (when("StringEquals", OWN, "123456789012"), True),
    "a condition that does not hold": (when("StringEquals", OWN, "210987654321"), False),
    "one of several values": (when("StringEquals", OWN, ["1", "123456789012"]), True),
    "condition keys compare without case": (when("StringEquals", OWN.upper(), "123456789012"), True),
    "a negated condition": (when("StringNotEquals", OWN, "123456789012"), False),
    "a negated condition of several values": (when("StringNotEquals", OWN, ["1", "2"]), True),
    "a pattern": (when("StringLike", OWN, "1234*"), True),
    "a boolean": (when("Bool", "aws:Flag", True), True),
    "two operators, one does not hold": (
        allow(Condition={"StringEquals": {OWN: "123456789012"}, "Bool": {"aws:Flag": "false"}}),
        False,
    ),
    "an unknown key does not allow": (when("StringEquals", "aws:SourceVpc", "vpc-1"), False),
    "an unknown operator does not allow": (when("NumericAlmost", OWN, 1), False),
    "a policy variable does not allow": (allow(Resource=f"{BUCKET}/${{aws:username}}"), False),
    "a deny that cannot be judged denies": (
        [allow(), deny(Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}})],
        False,
    ),
    "a deny of something else need not be judged": (
        [allow(), deny(Action="s3:PutObject", Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}})],
        True,
    ),
    "a role's own policy names no principal": (allow(Principal="*"), False),
    "an effect in lower case is none": (allow(Effect="allow"), False),
    "no effect": (without(allow(), "Effect"), False),
    "no action": (without(allow(), "Action"), False),
    "no resource": (without(allow(), "Resource"), False),
    "a resource that is a number": (allow(Resource={"a": 1}), False),
    "a statement that is text": ("s3:GetObject", False),
    "a condition that is text": (allow(Condition="never"), False),
}


@pytest.mark.parametrize(("statement", "allowed"), TABLE.values(), ids=TABLE.keys())
@pytest.mark.parametrize("form", ["text", "object"])
def test_a_policy_is_judged_as_aws_documents(statement: Any, allowed: bool, form: str) -> None:
    document: Any = {"Version": "2012-10-17", "Statement": statement}
    decision = evaluate([NamedPolicy("mine", json.dumps(document) if form == "text" else document)], REQUEST)
    assert decision.allowed is allowed, decision.reason
    assert decision.reason


@pytest.mark.parametrize(
    "document", ["", "no JSON", "[]", "null", "7", "{}", "[" * 60_000, "x" * 70_000, '{"Statement": null}'],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_a_document_that_is_none_denies_and_says_so(document: str) -> None:
    decision = evaluate([NamedPolicy("odd", document)], REQUEST)
    assert not decision.allowed
    assert "odd" in decision.reason


def test_the_reason_names_policy_and_statement() -> None:
    denying = NamedPolicy("guard", {"Statement": [allow(), deny(Sid="NotToday")]})
    decision = evaluate([NamedPolicy("mine", {"Statement": allow()}), denying], REQUEST)
    assert decision.denied_by == "statement 'NotToday' of policy 'guard'"
    assert "NotToday" in decision.reason
    unjudged = evaluate([NamedPolicy("mine", {"Statement": [deny(Action="s3:Put*"), when("Odd", OWN, "1")]})], REQUEST)
    assert "statement 2 of policy 'mine' cannot be judged here: condition operator 'Odd'" in unjudged.reason


SERVICE = Principal.service("iotwireless.amazonaws.com")
TRUST: dict[str, tuple[Any, bool]] = {
    "the service by name": ({"Service": "iotwireless.amazonaws.com"}, True),
    "one of several services": ({"Service": ["ec2.amazonaws.com", "iotwireless.amazonaws.com"]}, True),
    "another service": ({"Service": "ec2.amazonaws.com"}, False),
    "anybody": ("*", True),
    "all of AWS is not a service": ({"AWS": "*"}, False),
    "an account is not a service": ({"AWS": "123456789012"}, False),
    "a list is no principal": (["iotwireless.amazonaws.com"], False),
}


@pytest.mark.parametrize(("principal", "allowed"), TRUST.values(), ids=TRUST.keys())
def test_a_trust_policy_lets_in_whom_it_names(principal: Any, allowed: bool) -> None:
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    asked = AccessRequest("sts:AssumeRole", ROLE, SERVICE)
    assert evaluate([NamedPolicy("trust", {"Statement": statement})], asked).allowed is allowed


@pytest.mark.parametrize(
    "names", ["*", ROLE, "123456789012", "arn:aws:iam::123456789012:root", ["x", ROLE]], ids=str
)  # fmt: skip
def test_a_bucket_policy_can_mean_a_role_in_several_ways(names: Any) -> None:
    asked = AccessRequest("s3:GetObject", OBJECT, Principal.role(ROLE))
    policy = NamedPolicy("bucket", {"Statement": allow(Principal={"AWS": names})})
    assert evaluate([policy], asked).allowed


def test_a_deny_with_not_principal_spares_a_role_whose_account_is_named_as_well() -> None:
    asked = AccessRequest("s3:GetObject", OBJECT, Principal.role(ROLE))
    opened = NamedPolicy("bucket", {"Statement": allow(Principal="*")})
    for names, allowed in (([ROLE, "123456789012"], True), ([ROLE], False), (["123456789012"], False), (["x"], False)):
        guard = NamedPolicy("guard", {"Statement": deny(NotPrincipal={"AWS": names})})
        assert evaluate([opened, guard], asked).allowed is allowed


def test_a_pattern_of_many_stars_ends() -> None:
    assert not matches(to_pattern("a*" * 50 + "c"), "a" * 5000 + "b")
    assert matches(to_pattern("*" * 1000 + "b"), "a" * 5000 + "b")


JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["*", OBJECT, "s3:GetObject", "Allow", "Deny", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["Statement", "Effect", "Action", "NotAction", "Resource", "Principal", "Condition", "Sid"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(JSONISH, JSONISH)
def test_whatever_a_policy_holds_there_is_a_decision_and_a_deny_never_opens(first: Any, second: Any) -> None:
    policies = [NamedPolicy("a", first), NamedPolicy("b", json.dumps(second))]
    before = evaluate(policies, REQUEST)
    assert not evaluate([*policies, NamedPolicy("guard", {"Statement": deny()})], REQUEST).allowed
    if before.denied_by is not None:
        assert not evaluate([*policies, NamedPolicy("open", {"Statement": allow()})], REQUEST).allowed
