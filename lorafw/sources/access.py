"""May AWS IoT Wireless read this update through this role? Pure: facts in, a SourceError or nothing out.

Facts are what IAM, S3 and KMS hold at one moment. The same facts and circumstances always give the same verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from lorafw.errors import AccessDenied, RoleNotTrusted
from lorafw.sources.iam.documents import NamedPolicy
from lorafw.sources.iam.evaluation import AccessPolicies, AccessRequest, PolicyDecision, evaluate, evaluate_access
from lorafw.sources.iam.requests import (
    SERVICE,
    Circumstances,
    IamRole,
    assume_role_request,
    decrypt_request,
    get_object_request,
)

SSE_C: Final = "SSE-C"
"""The encryption of an object whose key only its owner has."""


@dataclass(frozen=True, slots=True)
class RoleFacts:
    """A role with its documents: the trust policy, its own policies and its permissions boundary."""

    role: IamRole
    partition: str
    trust: NamedPolicy
    policies: Sequence[NamedPolicy] = ()
    boundary: NamedPolicy | None = None


@dataclass(frozen=True, slots=True)
class BucketFacts:
    """A bucket: who owns it, where it is, and its policy."""

    name: str
    account: str
    region: str
    policy: NamedPolicy | None = None


@dataclass(frozen=True, slots=True)
class KeyGrant:
    """A grant on a KMS key."""

    grantee: str
    operations: tuple[str, ...]
    constraints: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """A KMS key. ``state`` is KMS's KeyState; ``is_aws_managed`` means the key aws/s3 of an account."""

    arn: str
    account: str
    state: str = "Enabled"
    is_aws_managed: bool = False
    policy: NamedPolicy | None = None
    grants: tuple[KeyGrant, ...] = ()


def check_trust(facts: RoleFacts, circumstances: Circumstances) -> None:
    """Check that the service may assume the role. Raises TrustPolicy."""
    decision = evaluate([facts.trust], assume_role_request(facts.role, circumstances, facts.partition))
    if not decision.allowed:
        raise RoleNotTrusted(f"{SERVICE} may not assume {facts.role.arn}: {decision.reason}")


def check_object(
    facts: RoleFacts,
    bucket: BucketFacts,
    key: str,
    circumstances: Circumstances,
    *,
    object_tags: Mapping[str, str] | None = None,
) -> None:
    """Check that the session of the role may read an object. Raises AccessDenied."""
    arn = f"arn:{facts.partition}:s3:::{bucket.name}/{key}"
    where = replace(circumstances, region=bucket.region)
    request = get_object_request(facts.role, where, arn, bucket_account=bucket.account, object_tags=object_tags)
    decision = evaluate_access(_policies_for(facts, bucket.policy, bucket.account), request)
    if not decision.allowed:
        raise AccessDenied(f"{facts.role.arn} may not read s3://{bucket.name}/{key}: {decision.reason}")


def may_list(facts: RoleFacts, bucket: BucketFacts, circumstances: Circumstances) -> bool:
    """Return whether the session may list the bucket. If it may not, S3 hides that an object is missing."""
    where = replace(circumstances, region=bucket.region)
    arn = f"arn:{facts.partition}:s3:::{bucket.name}"
    request = get_object_request(facts.role, where, arn, bucket_account=bucket.account, action="s3:ListBucket")
    return evaluate_access(_policies_for(facts, bucket.policy, bucket.account), request).allowed


def check_key(
    facts: RoleFacts, key: KeyFacts, circumstances: Circumstances, *, encryption_context: Mapping[str, str]
) -> None:
    """Check that the session may decrypt an object under a KMS key. Raises AccessDenied."""
    what = f"{facts.role.arn} may not decrypt the object, which is under the KMS key {key.arn}"
    if key.state != "Enabled":
        raise AccessDenied(f"{what}: the key is {key.state}, and only an enabled key decrypts (documented)")
    if key.is_aws_managed and key.account != facts.role.account:
        raise AccessDenied(f"{what}: the AWS managed key aws/s3 cannot be used from another account (documented)")
    request = decrypt_request(facts.role, circumstances, key.arn, encryption_context=encryption_context)
    policy = key.policy
    if key.is_aws_managed:
        policy = _aws_managed_key_policy(key, circumstances)
    decision = _decide_decryption(facts, replace(key, policy=policy), request, encryption_context)
    if not decision.allowed:
        raise AccessDenied(f"{what}: {decision.reason}")


def _policies_for(facts: RoleFacts, resource: NamedPolicy | None, account: str) -> AccessPolicies:
    return AccessPolicies(facts.policies, facts.boundary, resource=resource, same_account=account == facts.role.account)


def _decide_decryption(
    facts: RoleFacts, key: KeyFacts, request: AccessRequest, encryption_context: Mapping[str, str]
) -> PolicyDecision:
    """Decide by key policy and grants first: the role's own policies alone are not enough (documented)."""
    policies = replace(_policies_for(facts, key.policy, key.account), resource_must_allow=True)
    decision = evaluate_access(policies, request)
    if decision.allowed or decision.denied_by is not None:
        return decision
    if not any(_grants_decryption(grant, facts.role, encryption_context) for grant in key.grants):
        return decision
    if policies.same_account:
        return PolicyDecision(True, f"a grant on {key.arn} allows {request.action}")
    own = evaluate(facts.policies, replace(request, principal=None))
    return own if not own.allowed else PolicyDecision(True, f"a grant on {key.arn} allows {request.action}")


def _grants_decryption(grant: KeyGrant, role: IamRole, encryption_context: Mapping[str, str]) -> bool:
    """Return whether a grant lets the role decrypt with this encryption context (documented)."""
    if grant.grantee != role.arn or "Decrypt" not in grant.operations:
        return False
    subset = grant.constraints.get("EncryptionContextSubset") or {}
    equal = grant.constraints.get("EncryptionContextEquals")
    if equal and dict(equal) != dict(encryption_context):
        return False
    return all(encryption_context.get(name) == value for name, value in subset.items())


def _aws_managed_key_policy(key: KeyFacts, circumstances: Circumstances) -> NamedPolicy:
    """Return the policy of the key aws/s3: everyone in its account, by way of S3 (documented)."""
    statement = {
        "Sid": "Allow access through S3 for all principals in the account",
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": "kms:Decrypt",
        "Resource": "*",
        "Condition": {
            "StringEquals": {
                "kms:CallerAccount": key.account,
                "kms:ViaService": f"s3.{circumstances.region}.amazonaws.com",
            }
        },
    }
    return NamedPolicy("policy of the key aws/s3", {"Version": "2012-10-17", "Statement": [statement]})
