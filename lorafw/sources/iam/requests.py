"""The requests that AWS makes to read an update, each with the condition keys that are known. Does no I/O.

AWS IoT Wireless assumes the role (AssumeRole, as a service), and reads the object with the session (GetObject). If the
object is encrypted with a KMS key, S3 asks KMS to decrypt it on behalf of the session (Decrypt).

Documented: which condition keys exist, and when each is present. Assumed, because AWS does not document it for this
service: the name of the session, the resource in aws:SourceArn, TLS 1.3, and that the service calls S3 from a public
address of AWS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lorafw.clock import format_iso
from lorafw.sources.iam.context import RequestContext
from lorafw.sources.iam.evaluation import AccessRequest
from lorafw.sources.iam.principals import Principal

SERVICE_PRINCIPAL: Final = "iotwireless.amazonaws.com"
ROLE_SESSION_NAME: Final = "lorafw-update"
SOURCE_RESOURCE: Final = "WirelessGatewayTaskDefinition/*"
"""The resource in aws:SourceArn: any task definition of the account."""

_NEVER_IN_A_ROLE_SESSION: Final = frozenset(
    (
        "aws:username",
        "aws:MultiFactorAuthAge",
        "aws:FederatedProvider",
        "aws:SourceIdentity",
        "aws:AssumedRoot",
        "aws:ChatbotSourceArn",
        "aws:Ec2InstanceSourceVpc",
        "aws:Ec2InstanceSourcePrivateIPv4",
        "aws:SourceAccount",
        "aws:SourceArn",
        "aws:SourceOwner",
        "aws:SourceOrgID",
        "aws:SourceOrgPaths",
        "aws:PrincipalServiceName",
        "aws:PrincipalServiceNamesList",
        "aws:referer",
    )
)
_ABSENT_IN_ASSUME_ROLE: Final = frozenset(
    (
        "aws:username",
        "aws:TokenIssueTime",
        "aws:MultiFactorAuthPresent",
        "aws:MultiFactorAuthAge",
        "aws:FederatedProvider",
        "aws:SourceIdentity",
        "aws:PrincipalTag/",
        "aws:ResourceTag/",
        "iam:",
        "kms:",
        "s3:",
        "sts:",
        "aws:referer",
    )
)
_NO_TAGS_IN_THE_REQUEST: Final = frozenset(("aws:RequestTag/", "aws:TagKeys"))
_NOT_CALLED_VIA: Final = frozenset(("aws:CalledVia", "aws:CalledViaFirst", "aws:CalledViaLast"))
_OTHER_SERVICES: Final = frozenset(
    (
        "accounts.google.com:",
        "cloudformation:",
        "cloudfront:",
        "cognito-identity.amazonaws.com:",
        "dynamodb:",
        "ec2:",
        "ecs:",
        "elasticloadbalancing:",
        "events:",
        "glue:",
        "iot:",
        "iotwireless:",
        "lambda:",
        "saml:",
        "secretsmanager:",
        "sns:",
        "sqs:",
        "ssm:",
        "www.amazon.com:",
        "graph.facebook.com:",
    )
)
"""Prefixes of condition keys of other services, which are absent from these requests."""

_ABSENT_IN_A_SESSION: Final = (
    _NEVER_IN_A_ROLE_SESSION | _NO_TAGS_IN_THE_REQUEST | _OTHER_SERVICES | frozenset(("aws:PrincipalTag/",))
)
"""Condition keys that are absent from each request of the session. A tag of the role is present all the same."""

_UNDECIDED_S3_KEYS: Final = frozenset(("s3:signatureAge", "s3:x-amz-content-sha256", "s3:AccessGrantsInstanceArn"))
"""Condition keys of S3 of which it is not known whether the requests of the service have them."""
_OTHER_KEYS_IN_S3_REQUEST: Final = frozenset(("s3:", "kms:", "sts:", "iam:"))
"""Prefixes of condition keys that a request to S3 does not have, except those that get a value."""


@dataclass(frozen=True, slots=True)
class IamRole:
    """The role on whose behalf a request is made."""

    arn: str
    account: str
    role_id: str = ""
    """The unique id of the role (RoleId), or "" if it is not known."""
    tags: Mapping[str, str] | None = None

    @property
    def principal(self) -> Principal:
        """The session that the service creates when it assumes the role."""
        return Principal.role(self.arn, ROLE_SESSION_NAME)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """The time and the Region of a request."""

    now_ms: int
    """The time in milliseconds since 1970."""
    region: str
    """The Region of the service, the bucket and the key."""


def assume_role_request(role: IamRole, circumstances: Circumstances, partition: str) -> AccessRequest:
    """Return the request with which the service assumes the role.

    Args:
        role: The role.
        circumstances: The time of the request, and the Region.
        partition: The first part of the account's ARNs, such as ``aws`` or ``aws-cn``.
    """
    region = circumstances.region
    values = _common_values(circumstances)
    values |= {
        "aws:SourceAccount": role.account,
        "aws:SourceArn": f"arn:{partition}:iotwireless:{region}:{role.account}:{SOURCE_RESOURCE}",
        "aws:PrincipalIsAWSService": "true",
        "aws:PrincipalServiceName": SERVICE_PRINCIPAL,
        "aws:PrincipalServiceNamesList": (SERVICE_PRINCIPAL,),
        "aws:ViaAWSService": "false",
        "aws:ResourceAccount": role.account,
        "aws:RequestedRegion": region,
        "sts:RoleSessionName": ROLE_SESSION_NAME,
    }
    values |= _tags("aws:ResourceTag", role.tags)
    values |= _tags("iam:ResourceTag", role.tags)
    absent = _ABSENT_IN_ASSUME_ROLE | _NO_TAGS_IN_THE_REQUEST | _NOT_CALLED_VIA | _OTHER_SERVICES
    context = RequestContext(values, absent)
    return AccessRequest("sts:AssumeRole", role.arn, Principal.service(SERVICE_PRINCIPAL), context)


def read_object_request(
    role: IamRole,
    circumstances: Circumstances,
    object_arn: str,
    *,
    bucket_account: str,
    object_tags: Mapping[str, str] | None = None,
) -> AccessRequest:
    """Return the request with which the session reads an object.

    Args:
        role: The role of the session.
        circumstances: The time of the request, and the Region of the bucket.
        object_arn: The ARN of the object.
        bucket_account: The account that owns the bucket.
        object_tags: The tags of the object, or None if it does not exist.
    """
    context = _s3_context(role, circumstances, bucket_account, object_tags)
    return AccessRequest("s3:GetObject", object_arn, role.principal, context)


def list_bucket_request(
    role: IamRole, circumstances: Circumstances, bucket_arn: str, *, bucket_account: str
) -> AccessRequest:
    """Return the request with which the session lists a bucket.

    AWS evaluates it when an object does not exist: only a session that may list the bucket is told so.

    Args:
        role: The role of the session.
        circumstances: The time of the request, and the Region of the bucket.
        bucket_arn: The ARN of the bucket.
        bucket_account: The account that owns the bucket.
    """
    context = _s3_context(role, circumstances, bucket_account, object_tags=None)
    return AccessRequest("s3:ListBucket", bucket_arn, role.principal, context)


def _s3_context(
    role: IamRole, circumstances: Circumstances, bucket_account: str, object_tags: Mapping[str, str] | None
) -> RequestContext:
    """Return the condition keys of a request to S3 that a session makes.

    Args:
        role: The role of the session.
        circumstances: The time of the request, and the Region of the bucket.
        bucket_account: The account that owns the bucket.
        object_tags: The tags of the object that is read. None if the request does not read an object.

    Returns:
        The keys with their values, and the names of the keys that are absent or not known.
    """
    values = _session_values(role, circumstances)
    values |= {
        "aws:ViaAWSService": "false",
        "aws:ResourceAccount": bucket_account,
        "aws:RequestedRegion": circumstances.region,
        "s3:ResourceAccount": bucket_account,
        "s3:TlsVersion": "1.3",
        "s3:authType": "REST-HEADER",
        "s3:signatureversion": "AWS4-HMAC-SHA256",
    }
    values |= _tags("s3:ExistingObjectTag", object_tags)
    return RequestContext(
        values,
        absent=_OTHER_KEYS_IN_S3_REQUEST | _ABSENT_IN_A_SESSION | _NOT_CALLED_VIA,
        with_unknown_value=frozenset(("aws:SourceIp",)),
        undecided=_UNDECIDED_S3_KEYS,
    )


def decrypt_request(
    role: IamRole, circumstances: Circumstances, key_arn: str, *, encryption_context: Mapping[str, str]
) -> AccessRequest:
    """Return the request with which S3 asks KMS, for the session, to decrypt the key of an object.

    Args:
        role: The role of the session.
        circumstances: The time of the request, and the Region of the bucket and the key.
        key_arn: The ARN of the KMS key.
        encryption_context: The encryption context that S3 passes to KMS.
    """
    region = circumstances.region
    key_account = key_arn.split(":")[4]
    values = _session_values(role, circumstances)
    values |= {
        "aws:ResourceAccount": key_account,
        "aws:RequestedRegion": region,
        "kms:CallerAccount": role.account,
        "kms:ViaService": f"s3.{region}.amazonaws.com",
        "kms:EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "kms:EncryptionContextKeys": tuple(encryption_context),
    }
    values |= {f"kms:EncryptionContext:{name}": value for name, value in encryption_context.items()}
    # aws:CalledVia is not absent here, because S3 makes the request for the session.
    absent_in_decrypt = frozenset(("s3:", "sts:", "iam:", "kms:EncryptionContext:", "kms:RecipientAttestation:"))
    context = RequestContext(values, absent_in_decrypt | _ABSENT_IN_A_SESSION)
    return AccessRequest("kms:Decrypt", key_arn, role.principal, context)


def _common_values(circumstances: Circumstances) -> dict[str, str | tuple[str, ...]]:
    """Return the condition keys that all requests have (documented). AWS's services use TLS."""
    return {
        "aws:SecureTransport": "true",
        "aws:CurrentTime": format_iso(circumstances.now_ms),
        "aws:EpochTime": str(circumstances.now_ms // 1000),
    }


def _session_values(role: IamRole, circumstances: Circumstances) -> dict[str, str | tuple[str, ...]]:
    """Return the condition keys of the session. Its token was issued at the time of the request."""
    values = _common_values(circumstances)
    values |= {
        "aws:PrincipalArn": role.arn,
        "aws:PrincipalAccount": role.account,
        "aws:PrincipalType": "AssumedRole",
        "aws:PrincipalIsAWSService": "false",
        "aws:TokenIssueTime": format_iso(circumstances.now_ms),
        "aws:MultiFactorAuthPresent": "false",
    }
    values |= _tags("aws:PrincipalTag", role.tags)
    if role.role_id:
        values["aws:userid"] = f"{role.role_id}:{ROLE_SESSION_NAME}"
    return values


def _tags(prefix: str, tags: Mapping[str, str] | None) -> dict[str, str | tuple[str, ...]]:
    """Return the condition keys of tags, such as ``aws:PrincipalTag/team``."""
    return {f"{prefix}/{name}": value for name, value in (tags or {}).items()}
