"""Look up buckets, objects and KMS keys in moto, which runs in this process.

They are read from moto's internal state and not through its API. The API evaluates bucket policies itself but ignores
Condition and Principal, so its result could contradict lorafw's. Nor does it say which account owns a bucket.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol

from lorafw.errors import SourceUnavailable
from lorafw.sources.access import BucketFacts, KeyFacts, KeyGrant
from lorafw.sources.iam.documents import MAX_BUCKET, MAX_KEY, NamedPolicy

_ARCHIVED: Final = frozenset(("GLACIER", "DEEP_ARCHIVE"))
KEY_ARN: Final = re.compile(r"arn:[^:]+:kms:(?P<region>[^:]+):(?P<account>[^:]+):.+")
"""The ARN of a KMS key or of an alias."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """The current version of an object in a bucket."""

    etag: str
    """The ETag without its quotes."""
    size: int
    """Number of bytes."""
    read: Callable[[], bytes]
    """Returns the content. Raises SourceUnavailable if the object was overwritten meanwhile."""
    version_id: str | None = None
    """The version, or None if the bucket has no versions."""
    tags: Mapping[str, str] = field(default_factory=dict)
    encryption: str | None = None
    """``AES256``, ``aws:kms`` or ``aws:kms:dsse``. None means AES256 too."""
    kms_key_id: str | None = None
    """The KMS key as the upload named it. None means the key aws/s3."""
    has_bucket_key: bool = False
    """Whether an S3 Bucket Key is in use, which changes the encryption context."""

    @property
    def uses_kms(self) -> bool:
        """Whether a KMS key encrypts the object, in one layer or in two (``aws:kms:dsse``)."""
        return (self.encryption or "").startswith("aws:kms")


class ObjectStore(Protocol):
    """Looks up buckets, objects and KMS keys."""

    def find_bucket(self, name: str) -> BucketFacts | None:
        """Return a bucket of any account, or None."""
        ...

    def find_object(self, bucket: BucketFacts, key: str) -> StoredObject | None:
        """Return the current version of an object, or None if there is none or it was deleted."""
        ...

    def find_key(self, key_id: str | None, bucket: BucketFacts) -> KeyFacts | None:
        """Return the KMS key with which an object in a bucket is encrypted. None if the key does not exist.

        Args:
            key_id: The id, the ARN or an alias of the key. None means the key aws/s3 of the account.
            bucket: The bucket. A key without an ARN is in the account and the Region of the bucket.
        """
        ...


class MotoStore:
    """Looks up buckets, objects and KMS keys in moto, which runs in this process."""

    def find_bucket(self, name: str) -> BucketFacts | None:
        """Return a bucket of any account, or None."""
        owner = moto_backends("s3").bucket_accounts.get(name)
        if owner is None:
            return None
        partition, account = owner
        bucket = moto_backends("s3")[account][partition].buckets.get(name)
        if bucket is None:
            return None
        policy = None
        if bucket.policy is not None:
            policy = NamedPolicy(f"policy of bucket {name}", bytes(bucket.policy), MAX_BUCKET)
        return BucketFacts(name, account, region_of_bucket(bucket.region_name), policy)

    def find_object(self, bucket: BucketFacts, key: str) -> StoredObject | None:
        """Return the current version of an object, or None if there is none or it was deleted.

        Args:
            bucket: The bucket.
            key: The key of the object.

        Raises:
            SourceUnavailable: The object is archived and was not restored.
        """
        backend = moto_backends("s3")[bucket.account][_partition_of(bucket)]
        s3_object = backend.get_object(bucket.name, key)
        if s3_object is None:
            return None
        if s3_object.storage_class in _ARCHIVED and "x-amz-restore" not in s3_object.response_dict:
            raise SourceUnavailable(
                f"s3://{bucket.name}/{key} is archived ({s3_object.storage_class}) and was not restored"
            )
        version_id = None if s3_object.version_id in (None, "null") else str(s3_object.version_id)
        return StoredObject(
            etag=s3_object.etag.strip('"'),
            size=s3_object.contentsize,
            read=partial(_read, s3_object, f"s3://{bucket.name}/{key}"),
            version_id=version_id,
            tags=dict(backend.tagger.get_tag_dict_for_resource(s3_object.arn)),
            encryption=s3_object.encryption,
            kms_key_id=s3_object.kms_key_id,
            has_bucket_key=str(s3_object.bucket_key_enabled).lower() == "true",
        )

    def find_key(self, key_id: str | None, bucket: BucketFacts) -> KeyFacts | None:
        """Return the KMS key with which an object in a bucket is encrypted. None if the key does not exist.

        Args:
            key_id: The id, the ARN or an alias of the key. None means the key aws/s3 of the account.
            bucket: The bucket. A key without an ARN is in the account and the Region of the bucket.
        """
        name = key_id or "alias/aws/s3"
        account = bucket.account
        region = bucket.region
        if name.startswith("arn:"):
            match = KEY_ARN.fullmatch(name)
            if match is None:
                return None
            region, account = match["region"], match["account"]
        if name.rsplit(":", 1)[-1] == "alias/aws/s3":
            arn = f"arn:{_partition_of(bucket)}:kms:{region}:{account}:alias/aws/s3"
            return KeyFacts(arn, account, is_aws_managed=True)
        key = _find_moto_key(name, account, region)
        if key is None:
            return None
        return _key_facts(key)


def region_of_bucket(location_constraint: str | None) -> str:
    """Return the Region of a bucket with this LocationConstraint.

    A bucket in us-east-1 has none, and one in eu-west-1 may have "EU" (documented).
    """
    if location_constraint == "EU":
        return "eu-west-1"
    return location_constraint or "us-east-1"


def _find_moto_key(name: str, account: str, region: str) -> Any:
    """Return moto's KMS key with an id, an ARN or an alias. None if there is no such key or no such Region."""
    try:
        backend = moto_backends("kms")[account][region]
    except KeyError:
        return None
    key_id = backend.get_key_id(name)
    alias = backend.get_alias_name(name)
    if alias.startswith("alias/"):
        key_id = backend.get_key_id_from_alias(alias)
    return backend.keys.get(key_id)


def _key_facts(key: Any) -> KeyFacts:
    """Return the facts of a key that moto stores."""
    grants = tuple(
        KeyGrant(grant.grantee_principal, tuple(grant.operations), grant.constraints or {})
        for grant in key.grants.values()
    )
    return KeyFacts(
        key.arn,
        key.account_id,
        state=key.key_state,
        is_aws_managed=key.key_manager == "AWS",
        policy=NamedPolicy(f"policy of key {key.id}", key.policy, MAX_KEY),
        grants=grants,
    )


def moto_backends(service: str) -> Any:
    """Return moto's backends of a service, by account and then by Region or partition."""
    from moto.backends import get_backend  # noqa: PLC0415 -- importing moto is slow, and few callers need it

    return get_backend(service)


def _partition_of(bucket: BucketFacts) -> str:
    """Return the partition of a bucket, such as ``aws``."""
    partition: str = moto_backends("s3").bucket_accounts.get(bucket.name, ("aws", bucket.account))[0]
    return partition


def _read(s3_object: Any, uri: str) -> bytes:
    """Return the content of an object of moto, or raise SourceUnavailable if it was overwritten."""
    try:
        content: bytes = s3_object.value
    except ValueError as error:
        # moto closes the content of an object that is overwritten.
        raise SourceUnavailable(f"{uri} cannot be read now: it was overwritten") from error
    return content
