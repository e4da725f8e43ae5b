"""Buckets, objects and KMS keys of moto in this process.

They are read from moto's own state and not through its API: the API checks bucket policies on its own, ignores
Condition and Principal, and would overrule lorafw's verdict; and it does not tell who owns a bucket.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from lorafw.errors import SourceUnavailable
from lorafw.sources.access import BucketFacts, KeyFacts, KeyGrant
from lorafw.sources.iam.documents import MAX_BUCKET, MAX_KEY, NamedPolicy

_ARCHIVED = frozenset(("GLACIER", "DEEP_ARCHIVE"))


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object in a bucket, as it is now.

    Attributes:
        encryption: ``AES256``, ``aws:kms``, ``aws:kms:dsse``, or None, which is AES256 as well.
        kms_key_id: The key as the upload named it; None is the key aws/s3.
        has_bucket_key: Whether the bucket key is in use, which changes the encryption context.
        read: Returns the content.
    """

    etag: str
    size: int
    read: Callable[[], bytes]
    version_id: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    encryption: str | None = None
    kms_key_id: str | None = None
    has_bucket_key: bool = False

    @property
    def uses_kms(self) -> bool:
        """Whether the object is under a KMS key, in one layer or in two."""
        return (self.encryption or "").startswith("aws:kms")


class ObjectStore(Protocol):
    """Where buckets, objects and KMS keys are looked up."""

    def find_bucket(self, name: str) -> BucketFacts | None:
        """Return a bucket of any account, or None."""
        ...

    def find_object(self, bucket: BucketFacts, key: str) -> StoredObject | None:
        """Return the current version of an object, or None if there is none or it was deleted."""
        ...

    def find_key(self, key_id: str | None, bucket: BucketFacts) -> KeyFacts | None:
        """Return the KMS key of an object in a bucket; None as ``key_id`` is the key aws/s3."""
        ...


class MotoStore:
    """The ObjectStore of moto in this process."""

    def find_bucket(self, name: str) -> BucketFacts | None:
        """Return a bucket of any account, or None."""
        owner = _backends("s3").bucket_accounts.get(name)
        if owner is None:
            return None
        partition, account = owner
        found = _backends("s3")[account][partition].buckets.get(name)
        if found is None:
            return None
        policy = None
        if found.policy is not None:
            policy = NamedPolicy(f"policy of bucket {name}", bytes(found.policy), MAX_BUCKET)
        return BucketFacts(name, account, found.region_name, policy)

    def find_object(self, bucket: BucketFacts, key: str) -> StoredObject | None:
        """Return the current version of an object, or None if there is none or it was deleted.

        Raises:
            Unavailable: The object is archived and was not restored.
        """
        backend = _backends("s3")[bucket.account][_partition_of(bucket)]
        found = backend.get_object(bucket.name, key)
        if found is None:
            return None
        if found.storage_class in _ARCHIVED and "x-amz-restore" not in found.response_dict:
            raise SourceUnavailable(
                f"s3://{bucket.name}/{key} is archived ({found.storage_class}) and was not restored"
            )
        version_id = None if found.version_id in (None, "null") else str(found.version_id)
        return StoredObject(
            etag=found.etag.strip('"'),
            size=found.contentsize,
            read=partial(_read, found, f"s3://{bucket.name}/{key}"),
            version_id=version_id,
            tags=backend.tagger.get_tag_dict_for_resource(found.arn),
            encryption=found.encryption,
            kms_key_id=found.kms_key_id,
            has_bucket_key=str(found.bucket_key_enabled).lower() == "true",
        )

    def find_key(self, key_id: str | None, bucket: BucketFacts) -> KeyFacts | None:
        """Return the KMS key of an object in a bucket; None as ``key_id`` is the key aws/s3."""
        name = key_id or "alias/aws/s3"
        account, region = bucket.account, bucket.region
        if name.startswith("arn:"):
            region, account = name.split(":")[3:5]
        if name.rsplit(":", 1)[-1] == "alias/aws/s3":
            arn = f"arn:{_partition_of(bucket)}:kms:{region}:{account}:alias/aws/s3"
            return KeyFacts(arn, account, is_aws_managed=True)
        backend = _backends("kms")[account][region]
        found = backend.keys.get(backend.any_id_to_key_id(name))
        return None if found is None else _key_facts(found)


def _key_facts(key: Any) -> KeyFacts:
    """Return what moto holds of a customer-managed key."""
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


def _backends(service: str) -> Any:
    from moto.backends import get_backend  # noqa: PLC0415 -- moto takes a while, and only some need it

    return get_backend(service)


def _partition_of(bucket: BucketFacts) -> str:
    partition: str = _backends("s3").bucket_accounts.get(bucket.name, ("aws", bucket.account))[0]
    return partition


def _read(found: Any, what: str) -> bytes:
    try:
        content: bytes = found.value
    except ValueError as error:
        # moto closes the content of an object that is overwritten.
        raise SourceUnavailable(f"{what} cannot be read now: it was overwritten") from error
    return content
