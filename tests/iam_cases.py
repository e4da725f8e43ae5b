# ruff: noqa: E501 -- one policy a line
"""IAM policies with the outcome that AWS's documentation gives, one case a line. The rules are written below.

The role is ROLE with the tags team=firmware and prefix=fwst, the object is OBJECT with the tag release=stable, both of ACCOUNT unless a
case says otherwise; the time is 2021-03-12T09:56:12Z, the Region us-east-1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

RULES = {
    "default": "Policy evaluation logic: by default all requests are implicitly denied; an explicit Allow overrides this",
    "deny": "Policy evaluation logic: an explicit deny in any policy overrides any allow",
    "action": "JSON element Action: names are case-insensitive; * and ? are wildcards",
    "not-action": "JSON element NotAction: matches everything except the listed actions",
    "resource": "JSON element Resource: an ARN, with case, with * and ? as wildcards",
    "not-resource": "JSON element NotResource: matches every resource except those listed",
    "grammar": "Grammar of the JSON policy language: elements, their exclusions, Effect, Version",
    "string": "Condition operators, String: exact or ignoring case; StringLike with wildcards, with case",
    "numeric": "Condition operators, Numeric: integer or decimal values",
    "date": "Condition operators, Date: ISO 8601 or epoch time, no wildcards",
    "bool": "Condition operators, Bool: true or false",
    "binary": "Condition operators, BinaryEquals: byte for byte, base64 in the policy",
    "ip": "Condition operators, IpAddress: CIDR; without a prefix length the address alone",
    "arn": "Condition operators, ARN: six parts compared separately, with case and wildcards; Equals and Like are alike",
    "null": "Condition operators, Null: true if the key is absent, false if it is present",
    "if-exists": "Condition operators, ...IfExists: true if the key is absent, else as without it",
    "absent": "Condition operators: an absent key is false, and true for a negated operator",
    "several": "JSON element Condition: all operators and keys must hold (AND); one of several values (OR)",
    "negated-values": "JSON element Condition: several values of a negated operator are combined with NOR",
    "key-case": "JSON element Condition: names of keys are not case-sensitive",
    "for-all": "Multivalued keys, ForAllValues: every value of the request matches; true if the key is absent",
    "for-any": "Multivalued keys, ForAnyValue: one value of the request matches; false if the key is absent",
    "variable": "Variables and tags: replaced by the value of the request in Resource, string and ARN conditions",
    "variable-default": "Variables and tags: a default in single quotes is used if the key is absent",
    "variable-special": "Variables and tags: ${*}, ${?} and ${$} stand for the characters themselves",
    "variable-version": "JSON element Version: without 2012-10-17 variables are literal strings",
    "variable-absent": "Variables and tags: a variable without a value matches nothing",
    "global-session": "Global condition keys: what is present for the session of a role that a service assumed",
    "global-service": "Global condition keys: what is present for a call that an AWS service principal makes directly",
    "s3-keys": "Service authorization reference, Amazon S3: the condition keys of GetObject",
    "principal": "JSON element Principal: account, role, session, service or everyone",
    "not-principal": "JSON element NotPrincipal: with Deny; a session, its role and its account must all be named",
    "trust": "Trust policies must explicitly allow the principal",
    "boundary": "Permissions boundaries: effective permissions are the intersection with identity policies",
    "boundary-role": "Evaluation logic: a resource policy's Allow for a role ARN is limited by the boundary",
    "boundary-session": "Evaluation logic: a resource policy's Allow for a session ARN is not limited by the boundary",
    "boundary-everyone": "JSON element Principal: with a wildcard the boundary does not limit without an explicit deny",
    "session": "Session policies: effective permissions are the intersection with identity policies",
    "same-account": "Evaluation logic: in one account, identity-based or resource-based Allow is enough",
    "account-principal": "JSON element Principal: naming the account delegates to it; its own policies must allow",
    "cross-account": "Cross-account evaluation: both the trusting and the trusted account must allow",
    "kms-policy": "KMS key policies: no IAM policy is enough unless the key policy allows, too",
    "kms-context": "KMS condition keys: kms:ViaService, kms:CallerAccount, kms:EncryptionContext of an S3 request",
}

ACCOUNT = "123456789012"
OTHER = "210987654321"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/IoTWirelessFwUpdateRole"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/IoTWirelessFwUpdateRole/lorafw-update"
BUCKET = "arn:aws:s3:::iotwirelessfwupdate"
OBJECT = f"{BUCKET}/fwstation"
KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/0f0f0f0f-0000-4000-8000-000000000000"
SERVICE = {"Service": "iotwireless.amazonaws.com"}

Part = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One request with its policies, the documented rule, and whether AWS allows it."""

    rule: str
    name: str
    allowed: bool
    identity: list[Any]
    resource: list[Any] | None = None
    boundary: list[Any] | None = None
    session: list[Any] | None = None
    request: str = "read"
    version: str | None = "2012-10-17"
    owner: str = ACCOUNT
    """The account of the bucket."""
    tag_keys: tuple[str, ...] = ()
    """The values of aws:TagKeys, if a case gives the request some."""
    inside_only: str = ""
    """Why an outside simulator cannot express the case."""


def when(operator: str, key: str, value: Any, **parts: Any) -> Part:
    """An Allow with a condition."""
    return {**ALLOW, "Condition": {operator: {key: value}}, **parts}


def deny_when(operator: str, key: str, value: Any, **parts: Any) -> Part:
    """A Deny of everything with a condition."""
    return {**DENY, "Condition": {operator: {key: value}}, **parts}


def allow(**parts: Any) -> Part:
    """An Allow of this object, with other parts."""
    return {**ALLOW, **parts}


def deny(**parts: Any) -> Part:
    """A Deny of everything, with other parts."""
    return {**DENY, **parts}


def without(name: str, statement: Part, **parts: Any) -> Part:
    """A statement without one element."""
    return {**{key: value for key, value in statement.items() if key != name}, **parts}


def to(principal: Any, **parts: Any) -> Part:
    """An Allow in the bucket's policy."""
    return {**ALLOW, "Principal": principal, **parts}


def bar(principal: Any, **parts: Any) -> Part:
    """A Deny in the bucket's policy."""
    return {**DENY, "Principal": principal, **parts}


def trust(principal: Any, operator: str = "", key: str = "", value: Any = None, **parts: Any) -> Part:
    """A statement of a trust policy."""
    condition = {"Condition": {operator: {key: value}}} if operator else {}
    return {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal, **condition, **parts}


def use(principal: Any, operator: str = "", key: str = "", value: Any = None) -> Part:
    """A statement of a key policy."""
    condition = {"Condition": {operator: {key: value}}} if operator else {}
    return {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*", "Principal": principal, **condition}


ALLOW: Part = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": OBJECT}
DENY: Part = {"Effect": "Deny", "Action": "s3:*", "Resource": "*"}
DECRYPT: Part = {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": KEY}
NONE: Part = {"Effect": "Allow", "Action": "ec2:*", "Resource": "*"}

TEAM, RELEASE, MISSING = "aws:PrincipalTag/team", "s3:ExistingObjectTag/release", "aws:PrincipalTag/none"
PA, PARN, RA, RR = "aws:PrincipalAccount", "aws:PrincipalArn", "aws:ResourceAccount", "aws:RequestedRegion"
TLS, TLS_VERSION, IP = "aws:SecureTransport", "s3:TlsVersion", "aws:SourceIp"
NOW, EPOCH, ISSUED = "aws:CurrentTime", "aws:EpochTime", "aws:TokenIssueTime"
SA, SARN, VIA = "aws:SourceAccount", "aws:SourceArn", "aws:ViaAWSService"
ARN_OF_SERVICE = f"arn:aws:iotwireless:us-east-1:{ACCOUNT}"
UNJUDGED = "whether the key is present is not known here, so lorafw does not let the request through"
REFUSED = "AWS does not store such a policy"


# fmt: off
CASES = [
    Case("default", "nothing", False, []),
    Case("default", "an Allow of exactly this", True, [ALLOW]),
    Case("default", "an Allow of something else", False, [NONE]),
    Case("default", "one of two statements", True, [NONE, ALLOW]),
    Case("default", "another object", False, [allow(Resource=f"{BUCKET}/other")]),
    Case("deny", "a Deny behind an Allow", False, [ALLOW, DENY]),
    Case("deny", "a Deny before an Allow", False, [DENY, ALLOW]),
    Case("deny", "a Deny of another action", True, [ALLOW, deny(Action="s3:PutObject")]),
    Case("deny", "a Deny of another object", True, [ALLOW, deny(Resource=f"{BUCKET}/other")]),
    Case("deny", "a Deny whose condition does not hold", True, [ALLOW, deny_when("Bool", TLS, "false")]),
    Case("deny", "a Deny whose condition holds", False, [ALLOW, deny_when("Bool", TLS, "true")]),
    Case("action", "upper case", True, [allow(Action="S3:GETOBJECT")]),
    Case("action", "one of several", True, [allow(Action=["s3:PutObject", "s3:GetObject"])]),
    Case("action", "a star at the end", True, [allow(Action="s3:Get*")]),
    Case("action", "a star in the middle", True, [allow(Action="s3:*Object")]),
    Case("action", "a star alone", True, [allow(Action="*")]),
    Case("action", "all of the service", True, [allow(Action="s3:*")]),
    Case("action", "a question mark for one character", True, [allow(Action="s3:?etObject")]),
    Case("action", "a question mark is not none", False, [allow(Action="s3:GetObject?")]),
    Case("action", "a prefix is not enough", False, [allow(Action="s3:Get")]),
    Case("action", "GetObjectVersion is another action", False, [allow(Action="s3:GetObjectVersion")]),
    Case("action", "another service", False, [allow(Action="s3-object-lambda:GetObject")]),
    Case("not-action", "of another action", True, [without("Action", ALLOW, NotAction="s3:PutObject")]),
    Case("not-action", "of this action", False, [without("Action", ALLOW, NotAction="s3:Get*")]),
    Case("not-action", "Deny of all but this", True, [ALLOW, without("Action", DENY, NotAction="s3:GetObject")]),
    Case("not-action", "Deny of all but another", False, [ALLOW, without("Action", DENY, NotAction="s3:PutObject")]),
    Case("resource", "everything", True, [allow(Resource="*")]),
    Case("resource", "everything in the bucket", True, [allow(Resource=f"{BUCKET}/*")]),
    Case("resource", "all buckets", True, [allow(Resource="arn:aws:s3:::*")]),
    Case("resource", "the bucket is not its objects", False, [allow(Resource=BUCKET)]),
    Case("resource", "a prefix of the bucket's name", True, [allow(Resource="arn:aws:s3:::iotwireless*")]),
    Case("resource", "a question mark", True, [allow(Resource=f"{BUCKET}/fwstatio?")]),
    Case("resource", "one question mark too many", False, [allow(Resource=f"{BUCKET}/fwstation?")]),
    Case("resource", "another case", False, [allow(Resource=f"{BUCKET}/FwStation")]),
    Case("resource", "one of several", True, [allow(Resource=[f"{BUCKET}/other", OBJECT])]),
    Case("resource", "a dot is a dot", False, [allow(Resource=f"{BUCKET}/fwst.tion")]),
    Case("resource", "stars around", True, [allow(Resource=f"{BUCKET}/*st*t*n")]),
    Case("resource", "stars in the wrong order", False, [allow(Resource=f"{BUCKET}/*tion*fw*")]),
    Case("not-resource", "of another object", True, [without("Resource", ALLOW, NotResource=f"{BUCKET}/other")]),
    Case("not-resource", "of this object", False, [without("Resource", ALLOW, NotResource=f"{BUCKET}/*")]),
    Case("not-resource", "Deny of all but this", True, [ALLOW, without("Resource", DENY, NotResource=OBJECT)]),
    Case("not-resource", "Deny of all but others", False, [ALLOW, without("Resource", DENY, NotResource=BUCKET)]),
    Case("grammar", "Effect in lower case", False, [allow(Effect="allow")], inside_only=REFUSED),
    Case("grammar", "no Effect", False, [without("Effect", ALLOW)], inside_only=REFUSED),
    Case("grammar", "no Action", False, [without("Action", ALLOW)], inside_only=REFUSED),
    Case("grammar", "no Resource", False, [without("Resource", ALLOW)], inside_only=REFUSED),
    Case("grammar", "Action and NotAction", False, [allow(NotAction="s3:Put*")], inside_only=REFUSED),
    Case("grammar", "an element that is misspelled", False, [allow(Conditions={})], inside_only=REFUSED),
    Case("grammar", "a Principal in a role's policy", False, [allow(Principal="*")], inside_only=REFUSED),
    Case("grammar", "another Version", False, [ALLOW], version="2015-01-01", inside_only=REFUSED),
    Case("grammar", "no Version", True, [ALLOW], version=None),
    Case("grammar", "the old Version", True, [ALLOW], version="2008-10-17"),
    Case("string", "StringEquals", True, [when("StringEquals", TEAM, "firmware")]),
    Case("string", "StringEquals with another case", False, [when("StringEquals", TEAM, "Firmware")]),
    Case("string", "StringEquals knows no wildcard", False, [when("StringEquals", TEAM, "firm*")]),
    Case("string", "StringNotEquals", False, [when("StringNotEquals", TEAM, "firmware")]),
    Case("string", "StringNotEquals of another", True, [when("StringNotEquals", TEAM, "radio")]),
    Case("string", "StringEqualsIgnoreCase", True, [when("StringEqualsIgnoreCase", TEAM, "FIRMWARE")]),
    Case("string", "StringNotEqualsIgnoreCase", False, [when("StringNotEqualsIgnoreCase", TEAM, "FIRMWARE")]),
    Case("string", "StringLike", True, [when("StringLike", TEAM, "f?rm*")]),
    Case("string", "StringLike with another case", False, [when("StringLike", TEAM, "F*")]),
    Case("string", "StringLike must match the whole", False, [when("StringLike", TEAM, "firm")]),
    Case("string", "StringNotLike", False, [when("StringNotLike", TEAM, "f*")]),
    Case("string", "StringNotLike of another", True, [when("StringNotLike", TEAM, "r*")]),
    Case("string", "a Deny for other teams", True, [ALLOW, deny_when("StringNotEquals", TEAM, "firmware")]),
    Case("string", "a Deny for this team", False, [ALLOW, deny_when("StringLike", TEAM, "*ware")]),
    Case("numeric", "NumericLessThan 1.2", True, [ALLOW, deny_when("NumericLessThan", TLS_VERSION, "1.2")]),
    Case("numeric", "NumericLessThan 1.2 as a number", True, [ALLOW, deny_when("NumericLessThan", TLS_VERSION, 1.2)]),
    Case("numeric", "NumericGreaterThanEquals 1.2", True, [when("NumericGreaterThanEquals", TLS_VERSION, "1.2")]),
    Case("numeric", "NumericGreaterThan 1.3", False, [when("NumericGreaterThan", TLS_VERSION, "1.3")]),
    Case("numeric", "NumericEquals 1.30", True, [when("NumericEquals", TLS_VERSION, "1.30")]),
    Case("numeric", "NumericNotEquals 1.3", False, [when("NumericNotEquals", TLS_VERSION, "1.3")]),
    Case("numeric", "NumericLessThanEquals 1.3", True, [when("NumericLessThanEquals", TLS_VERSION, "1.3")]),
    Case("numeric", "epoch time after 2021", True, [when("NumericGreaterThan", EPOCH, "1609459200")]),
    Case("date", "DateGreaterThan in the past", True, [when("DateGreaterThan", NOW, "2021-03-01T00:00:00Z")]),
    Case("date", "DateLessThan in the past", False, [when("DateLessThan", NOW, "2021-03-01T00:00:00Z")]),
    Case("date", "DateLessThan in the future", True, [when("DateLessThan", NOW, "2021-03-12T23:59:59Z")]),
    Case("date", "a day without a time", True, [when("DateGreaterThanEquals", NOW, "2021-03-12")]),
    Case("date", "a zone that makes it later", False, [when("DateGreaterThan", NOW, "2021-03-12T09:00:00-05:00")]),
    Case("date", "epoch time in the policy", True, [when("DateGreaterThan", NOW, "1609459200")]),
    Case("date", "DateEquals of another day", False, [when("DateEquals", NOW, "2021-03-11T00:00:00Z")]),
    Case("date", "DateNotEquals of another day", True, [when("DateNotEquals", NOW, "2021-03-11T00:00:00Z")]),
    Case("date", "DateLessThanEquals of tomorrow", True, [when("DateLessThanEquals", NOW, "2021-03-13")]),
    Case("date", "a freeze that is over", True, [ALLOW, deny_when("DateLessThan", NOW, "2021-03-12T09:00:00Z")]),
    Case("date", "a freeze that goes on", False, [ALLOW, deny_when("DateLessThan", NOW, "2021-03-12T10:00:00Z")]),
    Case("date", "the epoch key", True, [when("DateGreaterThan", EPOCH, "2021-01-01T00:00:00Z")]),
    Case("date", "fresh credentials", True, [ALLOW, deny_when("DateLessThan", ISSUED, "2021-03-12T09:00:00Z")]),
    Case("bool", "TLS is used", True, [when("Bool", TLS, "true")]),
    Case("bool", "true as JSON writes it", True, [when("Bool", TLS, True)]),
    Case("bool", "the common guard", True, [ALLOW, deny_when("Bool", TLS, "false")]),
    Case("bool", "false", False, [when("Bool", TLS, "false")]),
    Case("binary", "BinaryEquals on a key that is absent", False, [when("BinaryEquals", MISSING, "QQ==")]),
    Case("ip", "a range of one's own", False, [when("IpAddress", IP, "203.0.113.0/24")]),
    Case("ip", "a private range", False, [when("IpAddress", IP, "10.0.0.0/8")]),
    Case("ip", "one address", False, [when("IpAddress", IP, "203.0.113.7")]),
    Case("ip", "a range of IPv6", False, [when("IpAddress", IP, "2001:db8::/32")]),
    Case("ip", "every address", True, [when("IpAddress", IP, ["0.0.0.0/0", "::/0"])]),
    Case("ip", "a Deny outside of one's own", False, [ALLOW, deny_when("NotIpAddress", IP, "203.0.113.0/24")]),
    Case("ip", "a Deny inside of a range", True, [ALLOW, deny_when("IpAddress", IP, "203.0.113.0/24")]),
    Case("ip", "no range at all", False, [when("IpAddress", IP, "home")], inside_only=REFUSED),
    Case("arn", "ArnEquals", True, [when("ArnEquals", PARN, ROLE)]),
    Case("arn", "ArnEquals takes wildcards", True, [when("ArnEquals", PARN, f"arn:aws:iam::{ACCOUNT}:role/*")]),
    Case("arn", "ArnLike of any account", True, [when("ArnLike", PARN, "arn:aws:iam::*:role/IoTWireless*")]),
    Case("arn", "ArnLike compares parts", False, [when("ArnLike", PARN, "arn:aws:*:role/IoTWirelessFwUpdateRole")]),
    Case("arn", "StringLike compares the whole", True, [when("StringLike", PARN, "arn:aws:*:role/IoTWireless*")]),
    Case("arn", "the session is not the role", False, [when("ArnEquals", PARN, SESSION)]),
    Case("arn", "ArnNotEquals", False, [when("ArnNotEquals", PARN, ROLE)]),
    Case("arn", "ArnNotLike of another", True, [when("ArnNotLike", PARN, "arn:aws:iam::*:role/Build*")]),
    Case("arn", "with case", False, [when("ArnLike", PARN, ROLE.replace("IoT", "iot"))]),
    Case("arn", "a Deny for all but the role", True, [ALLOW, deny_when("ArnNotEquals", PARN, ROLE)]),
    Case("null", "present, true", False, [when("Null", TEAM, "true")]),
    Case("null", "present, false", True, [when("Null", TEAM, "false")]),
    Case("null", "absent, true", True, [when("Null", MISSING, "true")]),
    Case("null", "absent, false", False, [when("Null", MISSING, False)]),
    Case("null", "a session has a token", False, [ALLOW, deny_when("Null", ISSUED, "false")]),
    Case("null", "the source address is present", True, [when("Null", IP, "false")]),
    Case("if-exists", "absent", True, [when("StringEqualsIfExists", MISSING, "x")]),
    Case("if-exists", "present, another value", False, [when("StringEqualsIfExists", TEAM, "x")]),
    Case("if-exists", "present, the value", True, [when("StringEqualsIfExists", TEAM, "firmware")]),
    Case("if-exists", "negated and absent", False, [ALLOW, deny_when("StringNotEqualsIfExists", MISSING, "x")]),
    Case("if-exists", "Bool, absent", True, [when("BoolIfExists", MISSING, "true")]),
    Case("if-exists", "a Deny that holds without the key", False, [ALLOW, deny_when("ArnLikeIfExists", SARN, "arn:*")]),
    Case("if-exists", "Null takes none", False, [when("NullIfExists", TEAM, "false")], inside_only=REFUSED),
    Case("absent", "StringEquals", False, [when("StringEquals", MISSING, "x")]),
    Case("absent", "StringNotEquals", True, [when("StringNotEquals", MISSING, "x")]),
    Case("absent", "StringNotLike", True, [when("StringNotLike", MISSING, "*")]),
    Case("absent", "ArnNotEquals", True, [when("ArnNotEquals", SARN, "arn:aws:iot:*:*:*")]),
    Case("absent", "NumericLessThan", False, [when("NumericLessThan", "aws:MultiFactorAuthAge", "3600")]),
    Case("absent", "NumericNotEquals", True, [when("NumericNotEquals", "aws:MultiFactorAuthAge", "3600")]),
    Case("absent", "Bool", False, [when("Bool", MISSING, "false")]),
    Case("absent", "a Deny for another tag", False, [ALLOW, deny_when("StringNotEquals", MISSING, "x")]),
    Case("absent", "a Deny on a tag that is not there", True, [ALLOW, deny_when("StringEquals", MISSING, "x")]),
    Case("several", "one of several values", True, [when("StringEquals", TEAM, ["radio", "firmware"])]),
    Case("several", "none of several values", False, [when("StringEquals", TEAM, ["radio", "cloud"])]),
    Case("several", "two keys", True, [allow(Condition={"StringEquals": {TEAM: "firmware", RR: "us-east-1"}})]),
    Case("several", "two keys, one wrong", False, [allow(Condition={"StringEquals": {TEAM: "firmware", RR: "x"}})]),
    Case("several", "two operators", True, [allow(Condition={"StringEquals": {TEAM: "firmware"}, "Bool": {TLS: "true"}})]),
    Case("several", "one is wrong", False, [allow(Condition={"StringEquals": {TEAM: "firmware"}, "Bool": {TLS: "false"}})]),
    Case("negated-values", "not one of them", True, [when("StringNotEquals", TEAM, ["radio", "cloud"])]),
    Case("negated-values", "one of them", False, [when("StringNotEquals", TEAM, ["radio", "firmware"])]),
    Case("key-case", "upper case", True, [when("StringEquals", "AWS:PRINCIPALACCOUNT", ACCOUNT)]),
    Case("for-all", "the key is absent", True, [when("ForAllValues:StringEquals", "aws:TagKeys", ["a"])]),
    Case("for-all", "a Deny on an absent key", False, [ALLOW, deny_when("ForAllValues:StringLike", "aws:TagKeys", "*")]),
    Case("for-all", "one value that matches", True, [when("ForAllValues:StringLike", TEAM, ["f*", "x"])]),
    Case("for-all", "one value that does not", False, [when("ForAllValues:StringEquals", TEAM, ["a", "b"])]),
    Case("for-all", "negated", False, [when("ForAllValues:StringNotEquals", TEAM, ["a", "firmware"])]),
    Case("for-all", "two values, both listed", True, [when("ForAllValues:StringEquals", "aws:TagKeys", ["a", "b", "c"])], tag_keys=("a", "b")),
    Case("for-all", "two values, one listed", False, [when("ForAllValues:StringEquals", "aws:TagKeys", ["a"])], tag_keys=("a", "b")),
    Case("for-all", "negated, one of two listed", False, [when("ForAllValues:StringNotEquals", "aws:TagKeys", ["a"])], tag_keys=("a", "b")),
    Case("for-all", "negated, none listed", True, [when("ForAllValues:StringNotLike", "aws:TagKeys", ["c*"])], tag_keys=("a", "b")),
    Case("for-any", "one of two listed", True, [when("ForAnyValue:StringLike", "aws:TagKeys", ["a*"])], tag_keys=("a", "b")),
    Case("for-any", "none of two listed", False, [when("ForAnyValue:StringEquals", "aws:TagKeys", ["c"])], tag_keys=("a", "b")),
    Case("for-any", "negated, one of two listed", True, [when("ForAnyValue:StringNotEquals", "aws:TagKeys", ["a"])], tag_keys=("a", "b")),
    Case("for-any", "negated, both listed", False, [when("ForAnyValue:StringNotEquals", "aws:TagKeys", ["a", "b"])], tag_keys=("a", "b")),
    Case("for-any", "the key is absent", False, [when("ForAnyValue:StringEquals", "aws:TagKeys", ["a"])]),
    Case("for-any", "negated and absent", False, [when("ForAnyValue:StringNotEquals", "aws:TagKeys", ["a"])]),
    Case("for-any", "one value that matches", True, [when("ForAnyValue:StringEquals", TEAM, ["a", "firmware"])]),
    Case("for-any", "one value that does not", False, [when("ForAnyValue:StringLike", TEAM, ["a*", "b*"])]),
    Case("for-any", "called via nobody", False, [when("ForAnyValue:StringEquals", "aws:CalledVia", "x.amazonaws.com")]),
    Case("variable", "a tag in a string", True, [when("StringEquals", TEAM, "${aws:PrincipalTag/team}")]),
    Case("variable", "an account", True, [when("StringEquals", RA, "${aws:PrincipalAccount}")]),
    Case("variable", "another key's value", False, [when("StringEquals", TEAM, "${aws:PrincipalAccount}")]),
    Case("variable", "a guard for other accounts", True, [ALLOW, deny_when("StringNotEquals", RA, "${aws:PrincipalAccount}")]),
    Case("variable", "in Resource", False, [allow(Resource=f"{BUCKET}/${{aws:PrincipalTag/team}}")]),
    Case("variable", "in Resource, before a star", True, [allow(Resource=f"{BUCKET}/${{aws:PrincipalTag/prefix}}*")]),
    Case("variable", "in an ARN condition", True, [when("ArnEquals", PARN, "arn:aws:iam::${aws:PrincipalAccount}:role/*")]),
    Case("variable", "key names without case", True, [when("StringEquals", RA, "${AWS:principalaccount}")]),
    Case("variable-default", "the key is absent", True, [when("StringEquals", TEAM, "${aws:PrincipalTag/none, 'firmware'}")]),
    Case("variable-default", "the key is present", False, [when("StringEquals", TEAM, "${aws:PrincipalAccount, 'firmware'}")]),
    Case("variable-default", "in Resource", True, [allow(Resource=f"{BUCKET}/${{aws:username, 'fwstation'}}")]),
    Case("variable-special", "a star that is a star", False, [when("StringLike", TEAM, "firm${*}")]),
    Case("variable-special", "in Resource", False, [allow(Resource=f"{BUCKET}/${{*}}")]),
    Case("variable-special", "a question mark", False, [when("StringLike", TEAM, "firmwar${?}")]),
    Case("variable-version", "the old Version", False, [when("StringEquals", RA, "${aws:PrincipalAccount}")], version="2008-10-17"),
    Case("variable-version", "no Version", False, [when("StringEquals", RA, "${aws:PrincipalAccount}")], version=None),
    Case("variable-absent", "in Resource", False, [allow(Resource=f"{BUCKET}/${{aws:username}}*")]),
    Case("variable-absent", "in a condition", False, [when("StringLike", TEAM, "*${aws:username}")]),
    Case("global-session", "the account of the role", True, [when("StringEquals", PA, ACCOUNT)]),
    Case("global-session", "the account of the bucket", True, [when("StringEquals", RA, ACCOUNT)]),
    Case("global-session", "another account's bucket", False, [when("StringEquals", RA, OTHER)]),
    Case("global-session", "the Region", True, [when("StringEquals", RR, "us-east-1")]),
    Case("global-session", "another Region", False, [when("StringEquals", RR, ["eu-west-1", "eu-central-1"])]),
    Case("global-session", "the type of principal", True, [when("StringEquals", "aws:PrincipalType", "AssumedRole")]),
    Case("global-session", "the user id of the role", True, [when("StringLike", "aws:userid", "AROAEXAMPLE:*")]),
    Case("global-session", "a session has no user name", True, [when("Null", "aws:username", "true")]),
    Case("global-session", "no source account", False, [when("StringEquals", SA, ACCOUNT)]),
    Case("global-session", "no source ARN", False, [when("ArnLike", SARN, "arn:aws:iotwireless:*:*:*")]),
    Case("global-session", "is not a service", True, [when("Bool", "aws:PrincipalIsAWSService", "false")]),
    Case("global-session", "not by way of another service", True, [when("Bool", VIA, "false")]),
    Case("global-session", "no multi-factor", False, [ALLOW, deny_when("BoolIfExists", "aws:MultiFactorAuthPresent", "false")]),
    Case("global-session", "the role's tag", True, [when("StringEquals", TEAM, "firmware")]),
    Case("global-session", "an organisation", False, [when("StringEquals", "aws:PrincipalOrgID", "o-1")], inside_only=UNJUDGED),
    Case("global-session", "a Deny outside of it", False, [ALLOW, deny_when("StringNotEquals", "aws:PrincipalOrgID", "o-1")], inside_only=UNJUDGED),
    Case("global-session", "a VPC endpoint", False, [when("StringEquals", "aws:SourceVpce", "vpce-1")], inside_only=UNJUDGED),
    Case("s3-keys", "the object's tag", True, [when("StringEquals", RELEASE, "stable")]),
    Case("s3-keys", "another tag of the object", False, [when("StringEquals", "s3:ExistingObjectTag/none", "x")]),
    Case("s3-keys", "the bucket's account", True, [when("StringEquals", "s3:ResourceAccount", ACCOUNT)]),
    Case("s3-keys", "signed in the header", True, [when("StringEquals", "s3:authType", "REST-HEADER")]),
    Case("s3-keys", "signature version 4", True, [ALLOW, deny_when("StringNotEquals", "s3:signatureversion", "AWS4-HMAC-SHA256")]),
    Case("s3-keys", "no access point", False, [when("StringLike", "s3:DataAccessPointArn", "*")]),
    Case("principal", "everyone", True, [], [to("*")]),
    Case("principal", "everyone of AWS", True, [], [to({"AWS": "*"})]),
    Case("principal", "the role", True, [], [to({"AWS": ROLE})]),
    Case("principal", "the session", True, [], [to({"AWS": SESSION})]),
    Case("principal", "one of several", True, [], [to({"AWS": [f"arn:aws:iam::{OTHER}:root", ROLE]})]),
    Case("principal", "another role", False, [], [to({"AWS": ROLE + "2"})]),
    Case("principal", "another session", False, [], [to({"AWS": SESSION + "2"})]),
    Case("principal", "a service is not the role", False, [], [to(SERVICE)]),
    Case("principal", "a Deny of the role", False, [ALLOW], [bar({"AWS": ROLE})]),
    Case("principal", "a Deny of another role", True, [ALLOW], [bar({"AWS": ROLE + "2"})]),
    Case("principal", "a Deny of the account", False, [ALLOW], [bar({"AWS": ACCOUNT})]),
    Case("principal", "a Deny of everyone but the role", True, [ALLOW], [bar("*", Condition={"ArnNotEquals": {PARN: ROLE}})]),
    Case("principal", "a Deny of everyone without TLS", True, [ALLOW], [bar("*", Condition={"Bool": {TLS: "false"}})]),
    Case("principal", "part of a name with a star", False, [], [to({"AWS": f"arn:aws:iam::{ACCOUNT}:role/*"})], inside_only=REFUSED),
    Case("not-principal", "session, role and account", True, [ALLOW], [without("x", DENY, NotPrincipal={"AWS": [SESSION, ROLE, ROOT]})]),
    Case("not-principal", "somebody else", False, [ALLOW], [without("x", DENY, NotPrincipal={"AWS": ROLE + "2"})]),
    Case("not-principal", "the role alone: AWS might deny", False, [ALLOW], [without("x", DENY, NotPrincipal={"AWS": ROLE})], inside_only="AWS says that it might deny"),
    Case("not-principal", "the account alone", False, [ALLOW], [without("x", DENY, NotPrincipal={"AWS": ROOT})]),
    Case("boundary", "both allow", True, [ALLOW], boundary=[allow(Action="s3:*", Resource="*")]),
    Case("boundary", "the boundary does not", False, [ALLOW], boundary=[NONE]),
    Case("boundary", "the boundary alone", False, [], boundary=[ALLOW]),
    Case("boundary", "the boundary denies", False, [ALLOW], boundary=[ALLOW, DENY]),
    Case("boundary", "a condition of the boundary", True, [ALLOW], boundary=[when("Bool", TLS, "true")]),
    Case("boundary-role", "limits a role ARN", False, [], [to({"AWS": ROLE})], boundary=[NONE]),
    Case("boundary-role", "allows a role ARN", True, [], [to({"AWS": ROLE})], boundary=[ALLOW]),
    Case("boundary-session", "does not limit a session ARN", True, [], [to({"AWS": SESSION})], boundary=[NONE]),
    Case("boundary-session", "but an explicit deny does", False, [], [to({"AWS": SESSION})], boundary=[DENY]),
    Case("boundary-everyone", "does not limit a wildcard", True, [], [to("*", Condition={"ArnEquals": {PARN: ROLE}})], boundary=[NONE]),
    Case("session", "both allow", True, [ALLOW], session=[ALLOW]),
    Case("session", "the session policy does not", False, [ALLOW], session=[NONE]),
    Case("session", "limits a role ARN", False, [], [to({"AWS": ROLE})], session=[NONE]),
    Case("session", "does not limit a session ARN", True, [], [to({"AWS": SESSION})], session=[NONE]),
    Case("same-account", "the identity alone", True, [ALLOW], [to({"AWS": ROLE + "2"})]),
    Case("same-account", "the bucket alone", True, [NONE], [to({"AWS": ROLE})]),
    Case("same-account", "neither", False, [NONE], [to({"AWS": ROLE + "2"})]),
    Case("same-account", "the bucket denies", False, [ALLOW], [to({"AWS": ROLE}), bar("*")]),
    Case("same-account", "the identity denies", False, [DENY], [to({"AWS": SESSION})]),
    Case("account-principal", "the bucket names the account", False, [], [to({"AWS": ACCOUNT})]),
    Case("account-principal", "by its root", False, [], [to({"AWS": ROOT})]),
    Case("account-principal", "and the identity allows", True, [ALLOW], [to({"AWS": ROOT})]),
    Case("cross-account", "the identity alone", False, [ALLOW], owner=OTHER),
    Case("cross-account", "the bucket alone", False, [], [to({"AWS": ROLE})], owner=OTHER),
    Case("cross-account", "both, by role", True, [ALLOW], [to({"AWS": ROLE})], owner=OTHER),
    Case("cross-account", "both, by account", True, [ALLOW], [to({"AWS": ACCOUNT})], owner=OTHER),
    Case("cross-account", "both, everyone", True, [ALLOW], [to("*")], owner=OTHER),
    Case("cross-account", "the bucket names its own account", False, [ALLOW], [to({"AWS": OTHER})], owner=OTHER),
    Case("cross-account", "by session, the identity does not", False, [], [to({"AWS": SESSION})], owner=OTHER),
    Case("cross-account", "within the boundary only", False, [ALLOW], [to({"AWS": ROLE})], boundary=[NONE], owner=OTHER),
    Case("cross-account", "the bucket denies", False, [ALLOW], [to({"AWS": ROLE}), bar({"AWS": ACCOUNT})], owner=OTHER),
    Case("cross-account", "a guard for one's own buckets", False, [when("StringEquals", RA, ACCOUNT)], [to("*")], owner=OTHER),
    Case("trust", "the service", True, [], [trust(SERVICE)], request="assume"),
    Case("trust", "one of several services", True, [], [trust({"Service": ["ec2.amazonaws.com", *SERVICE.values()]})], request="assume"),
    Case("trust", "another service", False, [], [trust({"Service": "ec2.amazonaws.com"})], request="assume"),
    Case("trust", "the account is not the service", False, [], [trust({"AWS": ACCOUNT})], request="assume"),
    Case("trust", "another action", False, [], [trust(SERVICE, Action="sts:TagSession")], request="assume"),
    Case("trust", "all of STS", True, [], [trust(SERVICE, Action="sts:*")], request="assume"),
    Case("trust", "a Deny", False, [], [trust(SERVICE), trust(SERVICE, Effect="Deny")], request="assume"),
    Case("global-service", "the source account", True, [], [trust(SERVICE, "StringEquals", SA, ACCOUNT)], request="assume"),
    Case("global-service", "another source account", False, [], [trust(SERVICE, "StringEquals", SA, OTHER)], request="assume"),
    Case("global-service", "the source ARN, any resource", True, [], [trust(SERVICE, "ArnLike", SARN, f"{ARN_OF_SERVICE}:*")], request="assume"),
    Case("global-service", "the source ARN of another service", False, [], [trust(SERVICE, "ArnLike", SARN, f"arn:aws:iot:us-east-1:{ACCOUNT}:*")], request="assume"),
    Case("global-service", "the source ARN of another account", False, [], [trust(SERVICE, "ArnLike", SARN, f"arn:aws:iotwireless:*:{OTHER}:*")], request="assume"),
    Case("global-service", "is a service", True, [], [trust(SERVICE, "Bool", "aws:PrincipalIsAWSService", "true")], request="assume"),
    Case("global-service", "its name", True, [], [trust("*", "StringEquals", "aws:PrincipalServiceName", SERVICE["Service"])], request="assume", inside_only="a service by the wildcard"),
    Case("global-service", "one of its names", True, [], [trust(SERVICE, "ForAnyValue:StringEquals", "aws:PrincipalServiceNamesList", SERVICE["Service"])], request="assume"),
    Case("global-service", "an external id", False, [], [trust(SERVICE, "StringEquals", "sts:ExternalId", "x")], request="assume"),
    Case("global-service", "the Region", True, [], [trust(SERVICE, "StringEquals", RR, "us-east-1")], request="assume"),
    Case("global-service", "the role's tag", True, [], [trust(SERVICE, "StringEquals", "aws:ResourceTag/team", "firmware")], request="assume"),
    Case("kms-policy", "the key names the role", True, [], [use({"AWS": ROLE})], request="decrypt"),
    Case("kms-policy", "the key names the account, IAM allows", True, [DECRYPT], [use({"AWS": ROOT})], request="decrypt"),
    Case("kms-policy", "the key names the account, IAM does not", False, [], [use({"AWS": ROOT})], request="decrypt"),
    Case("kms-policy", "IAM allows, the key does not", False, [DECRYPT], [use({"AWS": ROLE + "2"})], request="decrypt"),
    Case("kms-policy", "IAM denies", False, [{**DECRYPT, "Effect": "Deny"}], [use({"AWS": ROLE})], request="decrypt"),
    Case("kms-policy", "the key denies", False, [DECRYPT], [use({"AWS": ROOT}), {**use({"AWS": ROLE}), "Effect": "Deny"}], request="decrypt"),
    Case("kms-policy", "another action", False, [{**DECRYPT, "Action": "kms:Encrypt"}], [use({"AWS": ROOT})], request="decrypt"),
    Case("kms-context", "by way of S3", True, [], [use({"AWS": ROLE}, "StringEquals", "kms:ViaService", "s3.us-east-1.amazonaws.com")], request="decrypt"),
    Case("kms-context", "by way of another service", False, [], [use({"AWS": ROLE}, "StringEquals", "kms:ViaService", "ec2.us-east-1.amazonaws.com")], request="decrypt"),
    Case("kms-context", "the caller's account", True, [], [use({"AWS": ROLE}, "StringEquals", "kms:CallerAccount", ACCOUNT)], request="decrypt"),
    Case("kms-context", "the encryption context", True, [], [use({"AWS": ROLE}, "StringLike", "kms:EncryptionContext:aws:s3:arn", f"{BUCKET}/*")], request="decrypt"),
    Case("kms-context", "of another bucket", False, [], [use({"AWS": ROLE}, "StringLike", "kms:EncryptionContext:aws:s3:arn", "arn:aws:s3:::x/*")], request="decrypt"),
]
# fmt: on
