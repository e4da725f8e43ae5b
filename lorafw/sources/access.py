"""Decide whether AWS IoT Wireless may read an update through a role.

The functions get facts, which are what IAM, S3 and KMS hold at one moment. They raise a SourceError if reading is not
allowed. The same facts and circumstances always give the same result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from lorafw.errors import AccessDenied, RoleNotTrusted
from lorafw.sources.iam.documents import NamedPolicy
from lorafw.sources.iam.evaluation import AccessPolicies, AccessRequest, PolicyDecision, evaluate, evaluate_access
from lorafw.sources.iam.requests import (
    SERVICE_PRINCIPAL,
    Circumstances,
    IamRole,
    assume_role_request,
    decrypt_request,
    list_bucket_request,
    read_object_request,
)

SSE_C: Final = "SSE-C"
"""Server-side encryption with a key of the customer, which S3 does not store."""


@dataclass(frozen=True, slots=True)
class RoleFacts:
    """A role with its documents: the trust policy, its own policies and its permissions boundary."""

    role: IamRole
    partition: str
    """The part of ARNs after ``arn:``, such as ``aws`` or ``aws-cn``."""
    trust: NamedPolicy
    """The trust policy, which says who may assume the role."""
    policies: Sequence[NamedPolicy] = ()
    """The inline and the attached policies of the role."""
    boundary: NamedPolicy | None = None
    """The permissions boundary, or None."""


@dataclass(frozen=True, slots=True)
class BucketFacts:
    """A bucket with its owner, its Region and its policy."""

    name: str
    account: str
    """The account that owns the bucket."""
    region: str
    policy: NamedPolicy | None = None
    """The bucket policy, or None."""


@dataclass(frozen=True, slots=True)
class KeyGrant:
    """A grant on a KMS key."""

    grantee: str
    """The ARN of the principal that the grant is for."""
    operations: tuple[str, ...]
    """The operations that the grant allows, such as ``Decrypt``."""
    constraints: Mapping[str, Any] = field(default_factory=dict)
    """EncryptionContextSubset or EncryptionContextEquals with the encryption context that a request must have."""


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """A KMS key with its policy and its grants."""

    arn: str
    account: str
    """The account that owns the key."""
    state: str = "Enabled"
    """The state that KMS calls KeyState."""
    is_aws_managed: bool = False
    """Whether it is the key ``aws/s3`` of the account."""
    policy: NamedPolicy | None = None
    grants: tuple[KeyGrant, ...] = ()


def check_trust(facts: RoleFacts, circumstances: Circumstances) -> None:
    """Check that the service may assume the role.

    Args:
        facts: The role.
        circumstances: When and in which Region the service asks.

    Raises:
        RoleNotTrusted: The trust policy does not allow it.
    """
    request = assume_role_request(facts.role, circumstances, facts.partition)
    decision = evaluate([facts.trust], request)
    if not decision.allowed:
        raise RoleNotTrusted(f"{SERVICE_PRINCIPAL} may not assume {facts.role.arn}: {decision.reason}")


def check_object(
    facts: RoleFacts,
    bucket: BucketFacts,
    key: str,
    circumstances: Circumstances,
    object_tags: Mapping[str, str] | None = None,
) -> None:
    """Check that a session of the role may read an object.

    Args:
        facts: The role with its policies.
        bucket: The bucket with its policy.
        key: The key of the object. It does not matter whether the object exists.
        circumstances: The time, and the Region of the gateway.
        object_tags: The tags of the object. None means that the object does not exist.

    Raises:
        AccessDenied: The policies do not allow it.
    """
    request = read_object_request(
        facts.role,
        replace(circumstances, region=bucket.region),  # S3 sees the Region of the bucket
        object_arn=f"arn:{facts.partition}:s3:::{bucket.name}/{key}",
        bucket_account=bucket.account,
        object_tags=object_tags,
    )
    policies = _policies_for(facts, bucket.policy, bucket.account)
    decision = evaluate_access(policies, request)
    if not decision.allowed:
        raise AccessDenied(f"{facts.role.arn} may not read s3://{bucket.name}/{key}: {decision.reason}")


def may_list(facts: RoleFacts, bucket: BucketFacts, circumstances: Circumstances) -> bool:
    """Return whether a session of the role may list the bucket.

    If it may not, S3 answers AccessDenied instead of NoSuchKey for an object that does not exist (documented).
    """
    in_bucket_region = replace(circumstances, region=bucket.region)
    arn = f"arn:{facts.partition}:s3:::{bucket.name}"
    request = list_bucket_request(facts.role, in_bucket_region, arn, bucket_account=bucket.account)
    policies = _policies_for(facts, bucket.policy, bucket.account)
    return evaluate_access(policies, request).allowed


def check_key(
    facts: RoleFacts, key: KeyFacts, circumstances: Circumstances, *, encryption_context: Mapping[str, str]
) -> None:
    """Check that a session of the role may decrypt an object that is encrypted with a KMS key.

    Args:
        facts: The role.
        key: The KMS key.
        circumstances: When the service asks, and the Region of the bucket.
        encryption_context: The encryption context that S3 gives to KMS.

    Raises:
        AccessDenied: The key cannot be used, or neither policies nor grants allow it.
    """
    refusal = f"{facts.role.arn} may not decrypt the object, which is under the KMS key {key.arn}"
    if key.state != "Enabled":
        raise AccessDenied(f"{refusal}: the key is {key.state}, and only an enabled key decrypts (documented)")
    if key.is_aws_managed and key.account != facts.role.account:
        raise AccessDenied(f"{refusal}: the AWS managed key aws/s3 cannot be used from another account (documented)")
    request = decrypt_request(facts.role, circumstances, key.arn, encryption_context=encryption_context)
    policy = key.policy
    if key.is_aws_managed:
        policy = _aws_managed_key_policy(key, circumstances)
    decision = _decide_decryption(facts, replace(key, policy=policy), request, encryption_context)
    if not decision.allowed:
        raise AccessDenied(f"{refusal}: {decision.reason}")


def _policies_for(facts: RoleFacts, resource: NamedPolicy | None, account: str) -> AccessPolicies:
    """Return the policies that decide about a request of the role to a resource of an account."""
    same_account = account == facts.role.account
    return AccessPolicies(facts.policies, facts.boundary, resource=resource, same_account=same_account)


def _decide_decryption(
    facts: RoleFacts, key: KeyFacts, request: AccessRequest, encryption_context: Mapping[str, str]
) -> PolicyDecision:
    """Decide whether the role may decrypt with a key.

    The key policy or a grant must allow it. The role's own policies alone are not enough, even within one account
    (documented).
    """
    policies = replace(_policies_for(facts, key.policy, key.account), resource_must_allow=True)
    decision = evaluate_access(policies, request)
    if decision.allowed or decision.denied_by is not None:
        return decision
    if not any(_grants_decryption(grant, facts.role, encryption_context) for grant in key.grants):
        return decision
    allowed_by_grant = PolicyDecision(True, f"a grant on {key.arn} allows {request.action}")
    if policies.same_account:
        return allowed_by_grant
    own_decision = evaluate(facts.policies, replace(request, principal=None))
    if not own_decision.allowed:
        return own_decision
    return allowed_by_grant


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
    """Return the policy of the key aws/s3: all principals of its account may use it through S3 (documented)."""
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
