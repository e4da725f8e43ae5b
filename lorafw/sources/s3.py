"""Read the object at UpdateDataSource through UpdateDataRole, as AWS does.

Each request makes the same checks as AWS: the role must exist, its trust policy must let iotwireless.amazonaws.com
assume it, and the policies of the role, the bucket and the KMS key must allow reading. An emulated IAM allows
everything, so ``lorafw.sources.access`` decides instead. The content of each version is read once and cached.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
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


class RepeatedCheck:
    """A check that is skipped if its arguments equal those of the last call that passed.

    The check must be a pure function, so that equal arguments give equal results. Arguments are equal when the gateways
    of a fleet poll at the same time.
    """

    def __init__(self, check: Callable[..., None]) -> None:
        """Prepare a check.

        Args:
            check: Returns if the check passes, and raises an error otherwise.
        """
        self._check = check
        self._passed_arguments: tuple[object, ...] | None = None

    def __call__(self, *arguments: object) -> None:
        """Check the arguments. Raises what the check raises."""
        if arguments == self._passed_arguments:
            return
        self._check(*arguments)
        self._passed_arguments = arguments


class RoleAccess:
    """Finds objects in S3 through a role, with the checks that AWS makes."""

    def __init__(self, roles: RoleStore, store: ObjectStore, clock: Clock, missing_hint: str = "") -> None:
        """Prepare to find objects.

        Args:
            roles: Looks up roles and their policies.
            store: Looks up buckets, objects and KMS keys.
            clock: The time at which policies are evaluated.
            missing_hint: The end of the error message if a role or a bucket does not exist: what the user can try.
        """
        self._roles = roles
        self._store = store
        self._clock = clock
        self._missing_hint = missing_hint
        self._check_trust = RepeatedCheck(check_trust)
        self._check_object = RepeatedCheck(check_object)

    def find_object(self, location: S3Location, role: Role, *, account: str, region: str) -> StoredObject:
        """Return an object if the role may read it. The checks are in the order in which AWS makes them.

        Args:
            location: The bucket and the key.
            role: The role.
            account: The account of the gateway.
            region: The Region of the gateway.

        Raises:
            SourceError: The role, the bucket or the object is missing or must not be read. The message says which.
        """
        circumstances = Circumstances(self._clock.now_ms(), region)
        # 1. The service assumes the role.
        facts = self._find_role(role, account)
        self._check_trust(facts, circumstances)
        # 2. The role reads the object. Policies can depend on the object's tags, so it is looked up before the check.
        bucket = self._find_bucket(location.bucket)
        stored_object = self._store.find_object(bucket, location.key)
        tags = None if stored_object is None else stored_object.tags
        self._check_object(facts, bucket, location.key, circumstances, tags)
        if stored_object is None:
            is_listable = may_list(facts, bucket, circumstances)
            raise NoSuchObject(_describe_missing(location, is_listable))
        # 3. S3 decrypts the object for the role. S3's own keys (AES256) need no permission.
        if stored_object.uses_kms:
            key = self._store.find_key(stored_object.kms_key_id, bucket)
            if key is None:
                raise AccessDenied(f"{location} is under the KMS key {stored_object.kms_key_id}, which does not exist")
            in_bucket_region = replace(circumstances, region=bucket.region)
            context = encryption_context(facts, location, stored_object)
            check_key(facts, key, in_bucket_region, encryption_context=context)
        return stored_object

    def _find_role(self, role: Role, account: str) -> RoleFacts:
        """Return the role with its policies as IAM stores them now. Raises SourceError if ``account`` cannot use it."""
        check_same_account(role, account)
        facts = self._roles.find_role(role.name, account=account, partition=role.partition)
        if facts is None:
            raise RoleNotTrusted(f"role {role.arn} does not exist (NoSuchEntity){self._missing_hint}")
        # IAM finds a role by its name alone. The ARN also has a path, such as /service/, and the path must be right.
        if facts.role.arn != role.arn:
            raise RoleNotTrusted(f"role {role.arn} does not exist; there is {facts.role.arn}")
        return facts

    def _find_bucket(self, name: str) -> BucketFacts:
        """Return a bucket with its policy as S3 stores it now. Raises NoSuchObject if the bucket does not exist."""
        bucket = self._store.find_bucket(name)
        if bucket is None:
            raise NoSuchObject(f"bucket {name} does not exist (NoSuchBucket){self._missing_hint}")
        return bucket


def check_same_account(role: Role, account: str) -> None:
    """Check that a role is in the account of the gateway.

    Args:
        role: The role.
        account: The account of the gateway.

    Raises:
        AccessDenied: The role is in another account.
    """
    if role.account != account:
        raise AccessDenied(
            f"role {role.arn} is in another account than the gateway's, {account}; a role cannot be passed to a "
            "service across accounts (documented)"
        )


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
        self._access = RoleAccess(roles or MotoRoles(), store or MotoStore(), clock or SystemClock(), missing_hint)
        self._before_read = before_read
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

        def find_and_read() -> CachedUpdate:
            location, stored_object = self._find(data_source, role, account, region)
            version = (location, stored_object.version_id, stored_object.etag, stored_object.size)
            return self._cache.get(version, partial(_read_update, stored_object))

        return self._single_flight.get_result((data_source, role, account, region), find_and_read)

    def check(self, data_source: str, role: str | None, *, account: str, region: str) -> None:
        """Check that the object exists and that the role may read it. The content is not read.

        The arguments and errors are those of ``open``.
        """
        self._find(data_source, role, account, region)

    def _find(self, data_source: str, role: str | None, account: str, region: str) -> tuple[S3Location, StoredObject]:
        """Return the object at an UpdateDataSource with its location, if the role may read it."""
        location = S3Location.parse(data_source)
        if self._before_read is not None:
            self._before_read()
        stored_object = self._access.find_object(location, Role.parse(role), account=account, region=region)
        return location, stored_object


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
