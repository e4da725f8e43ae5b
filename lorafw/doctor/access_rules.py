"""LW3xx: rules about the role, the bucket, the object and its encryption."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from lorafw.doctor.findings import Severity, Violations, rule
from lorafw.doctor.subject import AccountFacts, Subject
from lorafw.errors import AccessDenied, InvalidSource, RoleNotTrusted
from lorafw.firmware.image import MAX_IMAGE_BYTES
from lorafw.sources.access import check_key, check_object, check_trust
from lorafw.sources.iam.requests import SERVICE_PRINCIPAL, Circumstances
from lorafw.sources.s3 import Role, S3Location, encryption_context

_ROLE_GUIDE: Final = "AWS IoT Wireless Developer Guide, Upload the firmware file to an S3 bucket and add an IAM role"
_S3_GUIDE: Final = "Amazon S3 User Guide, Protecting data with server-side encryption"
_ANOTHER_ACCOUNT: Final = "000000000000"
"""An account that no customer has."""


@rule(
    "LW301",
    Severity.ERROR,
    title="The role cannot be read.",
    remedy="Create the role, or correct UpdateDataRole.",
    source=_ROLE_GUIDE,
)
def check_role_exists(subject: Subject) -> Violations:
    """Check that IAM has the role."""
    if subject.account is not None and subject.account.role_problem is not None:
        yield f"{subject.account.role_problem}."


@rule(
    "LW302",
    Severity.ERROR,
    title="The role belongs to another account than the gateways.",
    remedy="Create a role in the account of the gateways, and let it read the bucket by the bucket's policy.",
    source="AWS IAM User Guide, Granting a user permissions to pass a role to an AWS service",
)
def check_role_account(subject: Subject) -> Violations:
    """Check that the account in UpdateDataRole is that of the gateways."""
    if subject.account is None or subject.definition is None or subject.definition.role_arn is None:
        return
    try:
        role = Role.parse(subject.definition.role_arn)
    except InvalidSource:
        return  # LW104 says so.
    if role.account != subject.account.account:
        yield f"The role is in the account {role.account}, the gateways are in {subject.account.account}."


@rule(
    "LW303",
    Severity.ERROR,
    title="AWS IoT Wireless may not assume the role.",
    remedy=f"Let {SERVICE_PRINCIPAL} do sts:AssumeRole in the role's trust policy.",
    source=_ROLE_GUIDE,
)
def check_role_trusts_service(subject: Subject) -> Violations:
    """Check that the trust policy allows the service to assume the role."""
    if subject.account is None or subject.account.role is None:
        return
    try:
        check_trust(subject.account.role, _circumstances(subject.account))
    except RoleNotTrusted as error:
        yield f"{error}."


@rule(
    "LW304",
    Severity.NOTE,
    title="The trust policy does not prevent the confused deputy problem.",
    remedy='Add the condition {"StringEquals": {"aws:SourceAccount": "<your account>"}} to the trust policy.',
    source="AWS IAM User Guide, The confused deputy problem",
)
def check_confused_deputy(subject: Subject) -> Violations:
    """Check that the service may not assume the role on behalf of another account."""
    if subject.account is None or subject.account.role is None:
        return
    facts = subject.account.role
    for_another_account = replace(facts, role=replace(facts.role, account=_ANOTHER_ACCOUNT))
    try:
        check_trust(facts, _circumstances(subject.account))
        check_trust(for_another_account, _circumstances(subject.account))
    except RoleNotTrusted:
        return
    yield f"{facts.trust.name} allows {SERVICE_PRINCIPAL} without looking at aws:SourceAccount or aws:SourceArn."


@rule(
    "LW305",
    Severity.ERROR,
    title="The bucket cannot be read.",
    remedy="Create the bucket, or correct UpdateDataSource.",
    source=_ROLE_GUIDE,
)
def check_bucket_exists(subject: Subject) -> Violations:
    """Check that S3 has the bucket."""
    if subject.account is not None and subject.account.bucket_problem is not None:
        yield f"{subject.account.bucket_problem}."


@rule(
    "LW306",
    Severity.ERROR,
    title="The object cannot be read.",
    remedy="Upload the update file, or correct the key in UpdateDataSource.",
    source=_ROLE_GUIDE,
)
def check_object_exists(subject: Subject) -> Violations:
    """Check that the bucket has the object, and that the object is not archived."""
    if subject.account is not None and subject.account.object_problem is not None:
        yield f"{subject.account.object_problem}."


@rule(
    "LW307",
    Severity.ERROR,
    title="The object is over 2 GB or empty, and a station refuses it.",
    remedy="Upload an update file of 1 byte to 2 GB.",
    source="Basics Station 2.0.6, cups.c",
)
def check_object_size(subject: Subject) -> Violations:
    """Check the size of the object."""
    if subject.account is None or subject.account.stored is None:
        return
    size = subject.account.stored.size
    if not 0 < size <= MAX_IMAGE_BYTES:
        yield f"The object has {size} bytes."


@rule(
    "LW308",
    Severity.WARNING,
    title="The bucket is in another Region than the gateways.",
    remedy="Use a bucket in the Region of the gateways, which AWS's example does.",
    source="lorafw (assumed): AWS documents neither that this works nor that it fails",
)
def check_bucket_region(subject: Subject) -> Violations:
    """Check that the bucket is in the Region of the gateways."""
    if subject.account is None or subject.account.bucket is None:
        return
    region = subject.account.bucket.region
    if region != subject.account.region:
        yield f"The bucket is in {region}, the gateways are in {subject.account.region}."


@rule(
    "LW309",
    Severity.ERROR,
    title="The role may not read the object.",
    remedy="Allow s3:GetObject on the object in a policy of the role (and of the bucket, if it is in another account).",
    source=_ROLE_GUIDE,
)
def check_role_reads_object(subject: Subject) -> Violations:
    """Check that the policies of the role and of the bucket allow s3:GetObject."""
    location = _location(subject)
    if subject.account is None or location is None:
        return
    role, bucket = subject.account.role, subject.account.bucket
    if role is None or bucket is None:
        return
    stored = subject.account.stored
    tags = None if stored is None else stored.tags
    try:
        check_object(role, bucket, location.key, _circumstances(subject.account), object_tags=tags)
    except AccessDenied as error:
        yield f"{error}."


@rule(
    "LW310",
    Severity.ERROR,
    title="The object is encrypted with a key that AWS IoT Wireless does not have (SSE-C).",
    remedy="Upload the object again with SSE-S3 or SSE-KMS.",
    source=_S3_GUIDE,
)
def check_customer_key(subject: Subject) -> Violations:
    """Check that the object does not need a key of the customer."""
    if subject.account is not None and subject.account.needs_customer_key:
        yield "The object was uploaded with a customer-provided key."


@rule(
    "LW311",
    Severity.ERROR,
    title="The role may not decrypt the object.",
    remedy="Name an enabled key, and allow kms:Decrypt to the role in the key policy and in a policy of the role.",
    source="AWS KMS Developer Guide, Key policies in AWS KMS",
)
def check_role_decrypts(subject: Subject) -> Violations:
    """Check that key policy, grants and role policies allow kms:Decrypt."""
    account, location = subject.account, _location(subject)
    if account is None or location is None:
        return
    if account.kms_problem is not None:
        yield f"{account.kms_problem}."
    if account.role is None or account.bucket is None or account.stored is None or account.kms_key is None:
        return
    in_bucket_region = Circumstances(account.now_ms, account.bucket.region)
    context = encryption_context(account.role, location, account.stored)
    try:
        check_key(account.role, account.kms_key, in_bucket_region, encryption_context=context)
    except AccessDenied as error:
        yield f"{error}."


@rule(
    "LW312",
    Severity.NOTE,
    title="The bucket keeps no versions, so an upload to the same key replaces the update of a running rollout.",
    remedy="Turn on versioning, or give each update a key of its own.",
    source="lorafw: UpdateDataSource names no version",
)
def check_versioning(subject: Subject) -> Violations:
    """Check that the object has a version id."""
    if subject.account is not None and subject.account.stored is not None and subject.account.stored.version_id is None:
        yield "The object has no version id."


@rule(
    "LW313",
    Severity.ERROR,
    title="The Region does not offer AWS IoT Core for LoRaWAN.",
    remedy="Use one of the Regions that 'AWS IoT Core endpoints and quotas' lists.",
    source="AWS General Reference, AWS IoT Core endpoints and quotas",
)
def check_region(subject: Subject) -> Violations:
    """Check that botocore knows an endpoint of iotwireless in the Region."""
    if subject.account is not None and not subject.account.has_lorawan:
        yield f"The Region is {subject.account.region}."


def _circumstances(account: AccountFacts) -> Circumstances:
    """Return when and in which Region AWS IoT Wireless asks."""
    return Circumstances(account.now_ms, account.region)


def _location(subject: Subject) -> S3Location | None:
    """Return the place of the object. None if UpdateDataSource is missing or malformed."""
    if subject.definition is None or subject.definition.data_source is None:
        return None
    try:
        return S3Location.parse(subject.definition.data_source)
    except InvalidSource:
        return None
