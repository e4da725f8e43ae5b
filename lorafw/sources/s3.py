"""Read the object at UpdateDataSource through UpdateDataRole, as AWS does.

Each request makes the same checks as AWS: the role must exist, its trust policy must let iotwireless.amazonaws.com
assume it, and the policies of the role, the bucket and the KMS key must allow reading. An emulated IAM allows
everything, so ``lorafw.sources.access`` decides instead. The content of each version is read once and cached.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from lorafw.clock import Clock, SystemClock
from lorafw.errors import AccessDenied, InvalidSource, NoSuchObject, RoleNotTrusted
from lorafw.sources.access import (
    BucketFacts,
    RoleFacts,
    check_key,
    check_object,
    check_trust,
    may_list,
)
from lorafw.sources.cache import CHUNK_BYTES, CachedUpdate, SingleFlight, UpdateCache, download_update
from lorafw.sources.iam.requests import Circumstances
from lorafw.sources.object_store import MotoStore, ObjectStore, StoredObject
from lorafw.sources.role_store import MotoRoles, RoleStore

_S3_URI: Final = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(.+)", re.DOTALL)
_ROLE_ARN: Final = re.compile(r"arn:(aws[a-z-]*):iam::(\d{12}):role/(?:[!-~]+/)?([\w+=,.@-]{1,64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class S3Location:
    """The place of an object: a bucket and a key in it."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, data_source: str) -> S3Location:
        """Return the location in an UpdateDataSource, which has the form ``s3://bucket/key``.

        Args:
            data_source: The UpdateDataSource.

        Raises:
            InvalidSource: The text does not have this form.
        """
        match = _S3_URI.fullmatch(data_source)
        if match is None:
            raise InvalidSource(
                f"UpdateDataSource {data_source!r} is not s3://bucket/key, e.g. s3://my-bucket/fwstation"
            )
        return cls(match[1], match[2])

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True, slots=True)
class Role:
    """The ARN of an IAM role and its parts."""

    arn: str
    partition: str
    account: str
    name: str
    """The name without the path."""

    @classmethod
    def parse(cls, arn: str | None) -> Role:
        """Return the role of an UpdateDataRole.

        Args:
            arn: The UpdateDataRole.

        Raises:
            InvalidSource: The text is not the ARN of a role, or there is none.
        """
        match = _ROLE_ARN.fullmatch(arn or "")
        if match is None:
            raise InvalidSource(f"UpdateDataRole {arn!r} is not the ARN of a role, arn:aws:iam::123456789012:role/Name")
        return cls(match[0], match[1], match[2], match[3])


class RoleSource:
    """Reads updates from S3 through a role. IAM, S3 and KMS are moto's in this process unless others are given.

    It is a context manager, which removes all cached updates at the end.
    """

    def __init__(
        self,
        *,
        roles: RoleStore | None = None,
        store: ObjectStore | None = None,
        clock: Clock | None = None,
        missing_hint: str = "",
        before_read: Callable[[], None] | None = None,
    ) -> None:
        """Create a source.

        Args:
            roles: Looks up roles and their policies. By default moto in this process.
            store: Looks up buckets, objects and KMS keys. By default moto in this process.
            clock: The time at which policies are evaluated. By default the clock of the machine.
            missing_hint: The end of the error message if a role or a bucket does not exist: what the user can try.
            before_read: Called before anything is looked up. An error that it raises is passed on.
        """
        self._roles = roles or MotoRoles()
        self._store = store or MotoStore()
        self._clock = clock or SystemClock()
        self._missing_hint = missing_hint
        self._before_read = before_read
        self._last_trust_check: object = None
        """The arguments of the last check of a trust policy that passed."""
        self._last_object_check: object = None
        """The arguments of the last check of an object that passed."""
        self._cache = UpdateCache()
        self._single_flight: SingleFlight[CachedUpdate] = SingleFlight()

    def __enter__(self) -> RoleSource:
        return self

    def __exit__(self, *_: object) -> None:
        self._cache.clear()

    def open(self, data_source: str, role: str | None, *, account: str, region: str) -> CachedUpdate:
        """Return the complete update after checking that the role may read it.

        Concurrent calls with equal arguments share one check and one read.

        Args:
            data_source: The UpdateDataSource, ``s3://bucket/key``.
            role: The ARN in UpdateDataRole, or None if the definition has none.
            account: The account of the gateway.
            region: The Region of the gateway.

        Raises:
            SourceError: The role, the bucket or the object is missing or must not be read. The message says which.
            FirmwareError: The object is empty or too large for a station.
        """
        key = (data_source, role, account, region)
        return self._single_flight.get_result(key, partial(self._open, *key))

    def _open(self, data_source: str, role: str | None, account: str, region: str) -> CachedUpdate:
        """Check access and return the update, from the cache if it holds this version."""
        location = S3Location.parse(data_source)
        stored_object = self._find(location, role, account, region)
        version = (location, stored_object.version_id, stored_object.etag, stored_object.size)
        return self._cache.get(version, partial(_read_update, stored_object))

    def check(self, data_source: str, role: str | None, *, account: str, region: str) -> None:
        """Check that the object exists and that the role may read it. The content is not read.

        Args:
            data_source: The UpdateDataSource, ``s3://bucket/key``.
            role: The ARN in UpdateDataRole, or None if the definition has none.
            account: The account of the gateway.
            region: The Region of the gateway.

        Raises:
            SourceError: The role, the bucket or the object is missing or must not be read. The message says which.
        """
        self._find(S3Location.parse(data_source), role, account, region)

    def _find(self, location: S3Location, role: str | None, account: str, region: str) -> StoredObject:
        """Return the object if the role may read it. The checks are in the order in which AWS makes them."""
        if self._before_read is not None:
            self._before_read()
        facts = self._role_facts(Role.parse(role), account)
        circumstances = Circumstances(self._clock.now_ms(), region)
        self._check_trust(facts, circumstances)
        bucket = self._store.find_bucket(location.bucket)
        if bucket is None:
            raise NoSuchObject(f"bucket {location.bucket} does not exist (NoSuchBucket){self._missing_hint}")
        stored_object = self._store.find_object(bucket, location.key)
        tags = None if stored_object is None else stored_object.tags
        self._check_object(facts, bucket, location.key, circumstances, tags)
        if stored_object is None:
            is_listable = may_list(facts, bucket, circumstances)
            raise NoSuchObject(_describe_missing(location, is_listable))
        self._check_encryption(facts, bucket, location, stored_object, circumstances)
        return stored_object

    # A check is a pure function: if all its arguments equal those of one that passed, it passes too. That happens when
    # the gateways of a fleet poll at the same time.

    def _check_trust(self, facts: RoleFacts, circumstances: Circumstances) -> None:
        """Check that the service may assume the role, or raise RoleNotTrusted."""
        arguments = facts, circumstances
        if arguments != self._last_trust_check:
            check_trust(facts, circumstances)
            self._last_trust_check = arguments

    def _check_object(
        self,
        facts: RoleFacts,
        bucket: BucketFacts,
        key: str,
        circumstances: Circumstances,
        tags: Mapping[str, str] | None,
    ) -> None:
        """Check that a session of the role may read the object, or raise AccessDenied."""
        arguments = facts, bucket, key, circumstances, tags
        if arguments != self._last_object_check:
            check_object(facts, bucket, key, circumstances, object_tags=tags)
            self._last_object_check = arguments

    def _check_encryption(
        self,
        facts: RoleFacts,
        bucket: BucketFacts,
        location: S3Location,
        stored_object: StoredObject,
        circumstances: Circumstances,
    ) -> None:
        """Raise AccessDenied if the session may not decrypt the object. S3's own keys (AES256) need no permission."""
        if not stored_object.uses_kms:
            return
        key = self._store.find_key(stored_object.kms_key_id, bucket)
        if key is None:
            raise AccessDenied(f"{location} is under the KMS key {stored_object.kms_key_id}, which does not exist")
        in_bucket_region = Circumstances(circumstances.now_ms, bucket.region)
        context = encryption_context(facts, location, stored_object)
        check_key(facts, key, in_bucket_region, encryption_context=context)

    def _role_facts(self, role: Role, account: str) -> RoleFacts:
        """Return the role with its policies as IAM stores them now, or raise a SourceError."""
        if role.account != account:
            raise AccessDenied(
                f"role {role.arn} is in another account than the gateway's, {account}; a role cannot be passed to a "
                "service across accounts (documented)"
            )
        facts = self._roles.find_role(role.name, account=account, partition=role.partition)
        if facts is None:
            raise RoleNotTrusted(f"role {role.arn} does not exist (NoSuchEntity){self._missing_hint}")
        if facts.role.arn != role.arn:
            raise RoleNotTrusted(f"role {role.arn} does not exist; there is {facts.role.arn}")
        return facts


def _describe_missing(location: S3Location, is_listable: bool) -> str:
    """Return the error message for an object that does not exist, with the answer of AWS."""
    if is_listable:
        return f"{location} does not exist (NoSuchKey)"
    return f"{location} does not exist; the role may not s3:ListBucket, so S3 answers AccessDenied (documented)"


def encryption_context(facts: RoleFacts, location: S3Location, stored_object: StoredObject) -> Mapping[str, str]:
    """Return the encryption context that S3 gives to KMS when the role reads an object (documented).

    It has the ARN of the object, or the ARN of the bucket if an S3 Bucket Key is in use.
    """
    arn = f"arn:{facts.partition}:s3:::{location.bucket}"
    if not stored_object.has_bucket_key:
        arn = f"{arn}/{location.key}"
    return {"aws:s3:arn": arn}


def _read_update(stored_object: StoredObject) -> CachedUpdate:
    """Read an object and return it as a cached update."""
    content = memoryview(stored_object.read())
    chunks = (bytes(content[start : start + CHUNK_BYTES]) for start in range(0, len(content), CHUNK_BYTES))
    # If a KMS key encrypts the object, its ETag is not an MD5 (documented).
    etag = "" if stored_object.uses_kms else stored_object.etag
    return download_update(chunks, size=stored_object.size, etag=etag, version_id=stored_object.version_id)
