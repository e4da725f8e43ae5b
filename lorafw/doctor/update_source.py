"""Read what a definition names in an account: the role, the bucket, the object, and the object's KMS key.

The policies of role, bucket and key are read and not tried out: a call with the operator's own permissions would say
nothing about what AWS IoT Wireless may do. Nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from lorafw.doctor.role import read_role
from lorafw.doctor.subject import AccountFacts, DefinitionDocument, UpdateFile
from lorafw.errors import InvalidSource, SourceError, SourceUnavailable
from lorafw.localaws.connection import Clients
from lorafw.sources.access import BucketFacts, KeyFacts, KeyGrant
from lorafw.sources.iam.documents import MAX_BUCKET, MAX_KEY, NamedPolicy
from lorafw.sources.object_store import KEY_ARN, StoredObject, region_of_bucket
from lorafw.sources.s3 import Role, S3Location

MAX_READ_BYTES: Final = 64 << 20
"""A larger object is not downloaded, so its signature is not checked."""

_NOT_FOUND_CODES: Final = frozenset(("404", "NoSuchBucket", "NoSuchKey", "NotFound", "NotFoundException"))
_BAD_REQUEST_CODE: Final = "400"
"""The error code of HeadObject without the customer's key, if the object is encrypted with such a key (documented)."""
_DEFAULT_S3_KEY: Final = "alias/aws/s3"
"""The key with which S3 encrypts if an object names none."""
_ARCHIVED: Final = frozenset(("GLACIER", "DEEP_ARCHIVE"))


def read_update_source(
    facts: AccountFacts, definition: DefinitionDocument, make_client: Clients
) -> tuple[AccountFacts, UpdateFile | None]:
    """Read the role and the object of a definition.

    Args:
        facts: What is known about the account so far.
        definition: The definition. It has a data source.
        make_client: Returns a boto3 client of a service.

    Returns:
        The facts with role, bucket, object and KMS key, or with the reasons why they cannot be read; and the object.
        The object is None if it cannot be read.
    """
    facts = _add_role(facts, definition, make_client)

    # 1. Where is the object?
    try:
        location = S3Location.parse(definition.data_source or "")
    except InvalidSource:
        return facts, None  # a rule of document_rules reports the malformed location

    # 2. Read its bucket. Without a bucket there is no object.
    s3 = make_client("s3")
    try:
        facts = replace(facts, bucket=_read_bucket(s3, location.bucket, facts.account))
    except SourceError as error:
        return replace(facts, bucket_problem=str(error)), None

    # 3. Read the object and its KMS key.
    try:
        head = _head_object(s3, location)
    except _NeedsCustomerKey:
        return replace(facts, needs_customer_key=True), None
    except SourceError as error:
        return replace(facts, object_problem=str(error)), None
    facts = _add_object(facts, location, head, s3)
    facts = _add_kms_key(facts, make_client)
    return facts, _download(s3, location, head["ContentLength"])


# --- the role ---


def _add_role(facts: AccountFacts, definition: DefinitionDocument, make_client: Clients) -> AccountFacts:
    """Return the facts with the role that a definition names, or with the reason why it cannot be read."""
    try:
        role = Role.parse(definition.role_arn)
    except InvalidSource:
        return facts  # a rule of document_rules reports the malformed ARN
    if role.account != facts.account:
        return facts  # a role of another account cannot be read from here; a rule of its own reports it
    try:
        return replace(facts, role=read_role(make_client("iam"), role))
    except SourceError as error:
        return replace(facts, role_problem=str(error))


# --- the bucket and the object ---


def _read_bucket(s3: Any, name: str, account: str) -> BucketFacts:
    """Return the facts about a bucket. Its owner is taken to be the account unless S3 says otherwise.

    Args:
        s3: A boto3 client of S3.
        name: The name of the bucket.
        account: The account of the gateways, 12 digits.

    Raises:
        SourceError: The bucket does not exist, or it cannot be read.
    """
    with _client_errors(f"bucket {name}"):
        s3.head_bucket(Bucket=name)
        region = region_of_bucket(s3.get_bucket_location(Bucket=name)["LocationConstraint"])
    owner = account
    if _answer_or_none(s3.head_bucket, Bucket=name, ExpectedBucketOwner=account) is None:
        owner = "another account"
    policy = None
    policy_answer = _answer_or_none(s3.get_bucket_policy, Bucket=name)
    if policy_answer is not None:
        policy = NamedPolicy(f"policy of bucket {name}", policy_answer["Policy"], MAX_BUCKET)
    return BucketFacts(name, owner, region, policy)


class _NeedsCustomerKey(SourceUnavailable):
    """An object is encrypted with a key of the customer (SSE-C), and the request did not contain this key."""


def _head_object(s3: Any, location: S3Location) -> dict[str, Any]:
    """Return the answer of HeadObject.

    Raises:
        _NeedsCustomerKey: The object is encrypted with a key of the customer.
        SourceError: The object does not exist, or it cannot be read.
    """
    from botocore.exceptions import ClientError  # noqa: PLC0415 -- importing botocore is slow

    try:
        head: dict[str, Any] = s3.head_object(Bucket=location.bucket, Key=location.key)
    except ClientError as error:
        if _code_of(error) == _BAD_REQUEST_CODE:
            raise _NeedsCustomerKey(f"{location} is encrypted with a key of the customer") from error
        raise _unavailable(str(location), error) from error
    return head


def _add_object(facts: AccountFacts, location: S3Location, head: dict[str, Any], s3: Any) -> AccountFacts:
    """Return the facts with an object that exists.

    Args:
        facts: What is known so far.
        location: Where the object is.
        head: The answer of HeadObject.
        s3: A boto3 client of S3.
    """
    tagging = _answer_or_none(s3.get_object_tagging, Bucket=location.bucket, Key=location.key) or {}
    stored = StoredObject(
        etag=head["ETag"].strip('"'),
        size=head["ContentLength"],
        read=bytes,
        version_id=head.get("VersionId"),
        tags={tag["Key"]: tag["Value"] for tag in tagging.get("TagSet", ())},
        encryption=head.get("ServerSideEncryption"),
        kms_key_id=head.get("SSEKMSKeyId"),
        has_bucket_key=bool(head.get("BucketKeyEnabled")),
    )
    problem = None
    storage_class = head.get("StorageClass")
    if storage_class in _ARCHIVED and "Restore" not in head:
        problem = f"{location} is archived ({storage_class}) and was not restored"
    return replace(facts, stored=stored, object_problem=problem)


def _download(s3: Any, location: S3Location, size: int) -> UpdateFile:
    """Return the object with its content, or without it if it is too large or cannot be read."""
    content = None
    if size <= MAX_READ_BYTES:
        answer = _answer_or_none(s3.get_object, Bucket=location.bucket, Key=location.key)
        if answer is not None:
            content = answer["Body"].read()
    return UpdateFile(str(location), size, content)


# --- the KMS key ---


def _add_kms_key(facts: AccountFacts, make_client: Clients) -> AccountFacts:
    """Return the facts with the KMS key of the object, or with the reason why the key cannot be read."""
    if facts.stored is None or not facts.stored.uses_kms:
        return facts
    key_id = facts.stored.kms_key_id or _DEFAULT_S3_KEY
    try:
        kms = make_client("kms", _key_region(key_id, facts))
        return replace(facts, kms_key=_read_kms_key(kms, key_id))
    except SourceError as error:
        return replace(facts, kms_problem=str(error))


def _key_region(key_id: str, facts: AccountFacts) -> str | None:
    """Return the Region of a KMS key: the one in its ARN, otherwise that of the bucket. None if neither is known."""
    match = KEY_ARN.fullmatch(key_id)
    if match is not None:
        return match["region"]
    return None if facts.bucket is None else facts.bucket.region


def _read_kms_key(kms: Any, key_id: str) -> KeyFacts:
    """Return the facts about a KMS key.

    Args:
        kms: A boto3 client of KMS.
        key_id: The id, the ARN or the alias of the key.

    Raises:
        SourceError: The key does not exist, or it cannot be read.
    """
    with _client_errors(f"KMS key {key_id}"):
        metadata = kms.describe_key(KeyId=key_id)["KeyMetadata"]
        arn = metadata["Arn"]
        policy_text = kms.get_key_policy(KeyId=arn, PolicyName="default")["Policy"]
        grants = tuple(_read_grants(kms, arn))
    return KeyFacts(
        arn,
        metadata["AWSAccountId"],
        state=metadata["KeyState"],
        is_aws_managed=metadata.get("KeyManager") == "AWS",
        policy=NamedPolicy(f"policy of key {metadata['KeyId']}", policy_text, MAX_KEY),
        grants=grants,
    )


def _read_grants(kms: Any, arn: str) -> Iterator[KeyGrant]:
    """Yield the grants on a KMS key."""
    for page in kms.get_paginator("list_grants").paginate(KeyId=arn):
        for grant in page["Grants"]:
            yield KeyGrant(grant["GranteePrincipal"], tuple(grant["Operations"]), grant.get("Constraints") or {})


# --- errors of AWS ---


@contextmanager
def _client_errors(resource: str) -> Iterator[None]:
    """Raise a SourceUnavailable with a sentence about the resource if AWS answers a call of the block with an error."""
    from botocore.exceptions import ClientError  # noqa: PLC0415 -- importing botocore is slow

    try:
        yield
    except ClientError as error:
        raise _unavailable(resource, error) from error


def _unavailable(resource: str, error: Any) -> SourceUnavailable:
    """Return the error to raise for a resource if AWS has answered with ``error``, a ClientError."""
    code = _code_of(error)
    if code in _NOT_FOUND_CODES:
        return SourceUnavailable(f"{resource} does not exist ({code})")
    return SourceUnavailable(f"{resource} cannot be read ({code})")


def _answer_or_none(operation: Callable[..., Any], **arguments: Any) -> Any:
    """Call an operation of boto3, and return its answer. It is None if AWS answers with an error."""
    from botocore.exceptions import ClientError  # noqa: PLC0415 -- importing botocore is slow

    try:
        return operation(**arguments)
    except ClientError:
        return None


def _code_of(error: Any) -> str:
    """Return the code of an error with which AWS has answered, such as ``NoSuchKey``."""
    code: str = error.response.get("Error", {}).get("Code", "")
    return code
