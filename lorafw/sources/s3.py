"""Read the object at UpdateDataSource through UpdateDataRole, as AWS does.

Each request makes the same checks as AWS: the role must exist, its trust policy must let iotwireless.amazonaws.com
assume it, and the policies of the role, the bucket and the KMS key must allow reading. An emulated IAM allows
everything, so ``lorafw.sources.access`` decides instead. The content of each version is read once and cached.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

from lorafw.clock import Clock, SystemClock
from lorafw.errors import AccessDenied, InvalidSource, NoSuchObject, RoleNotTrusted, SourceUnavailable
from lorafw.isolation.sessions import make_client, session_keys
from lorafw.sources.access import (
    BucketFacts,
    RoleFacts,
    check_key,
    check_object,
    check_trust,
    may_list,
)
from lorafw.sources.cache import CHUNK, CachedUpdate, SingleFlight, UpdateCache
from lorafw.sources.iam.documents import MAX_INLINE, MAX_MANAGED, MAX_TRUST, NamedPolicy
from lorafw.sources.iam.requests import Circumstances, IamRole
from lorafw.sources.object_store import MotoStore, ObjectStore, StoredObject

_S3_URI: Final = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(.+)", re.DOTALL)
_ROLE_ARN: Final = re.compile(r"arn:(aws[a-z-]*):iam::(\d{12}):role/(?:[!-~]+/)?([\w+=,.@-]{1,64})", re.ASCII)
_NOT_FOUND_CODES: Final = frozenset(("NoSuchEntity", "ValidationError"))
_DENIED_CODES: Final = frozenset(("AccessDenied", "403", "Forbidden"))


class Clients(Protocol):
    """A function that makes boto3 clients."""

    def __call__(self, service: str, *, region: str, credentials: dict[str, str] | None = None) -> Any:
        """Return a client.

        Args:
            service: The name of the service in boto3, such as ``iam``.
            region: The Region.
            credentials: The Credentials of an assumed role, as STS returns them, or None.
        """
        ...


def make_client_factory(
    endpoint_url: str | None = None,
    *,
    ignore_endpoints: bool = False,
    isolated: bool = False,
    before_call: Callable[..., None] | None = None,
) -> Clients:
    """Return a function that makes boto3 clients with short timeouts.

    Args:
        endpoint_url: An address of this machine, or None for AWS's own addresses. Clients of a given address ignore
            the user's AWS settings and have dummy credentials.
        ignore_endpoints: Whether clients that use the user's AWS settings ignore AWS_ENDPOINT_URL.
        isolated: Whether clients without ``endpoint_url`` also ignore the user's AWS settings.
        before_call: Called before each call of a client. If it raises an error, the call is not sent.
    """
    from botocore.config import Config  # noqa: PLC0415

    config = Config(  # type: ignore[call-arg]  # the stubs do not know the last one
        connect_timeout=1,
        read_timeout=20,
        retries={"total_max_attempts": 2, "mode": "standard"},
        ignore_configured_endpoint_urls=ignore_endpoints,
    )
    ignores_user_settings = isolated or endpoint_url is not None
    boto3_lock = threading.Lock()
    cached_clients: dict[tuple[str, str], Any] = {}

    def make(service: str, *, region: str, credentials: dict[str, str] | None = None) -> Any:
        # Threads may share a client. One with a given endpoint stays valid; others depend on the environment.
        is_cacheable = credentials is None and endpoint_url is not None
        if is_cacheable and (service, region) in cached_clients:
            return cached_clients[service, region]
        if ignores_user_settings:
            client = make_client(
                service, region=region, endpoint_url=endpoint_url, config=config, credentials=credentials
            )
        else:
            with boto3_lock:
                client = _users_client(service, region, config, credentials)
        if before_call is not None:
            client.meta.events.register_first("before-call", before_call)
        if is_cacheable:
            cached_clients[service, region] = client
        return client

    return make


def _users_client(service: str, region: str, config: Any, credentials: dict[str, str] | None) -> Any:
    """Return a client with the user's AWS settings. boto3 allows only one thread at a time to make clients."""
    import boto3  # noqa: PLC0415

    keys = {} if credentials is None else session_keys(credentials)
    return boto3.client(service, region_name=region, config=config, **keys)  # type: ignore[call-overload]


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
        clients: Clients | None = None,
        *,
        store: ObjectStore | None = None,
        clock: Clock | None = None,
        missing_hint: str = "",
    ) -> None:
        """Create a source.

        Args:
            clients: Makes the boto3 clients for IAM. By default they use the user's AWS settings.
            store: Looks up buckets, objects and KMS keys. By default moto in this process.
            clock: The time at which policies are evaluated. By default the clock of the machine.
            missing_hint: The end of the error message if a role or a bucket does not exist: what the user can try.
        """
        self._clients = clients
        self._store = store or MotoStore()
        self._clock = clock or SystemClock()
        self._missing_hint = missing_hint
        self._spool = UpdateCache()
        self._flights: SingleFlight[CachedUpdate] = SingleFlight()

    def __enter__(self) -> RoleSource:
        return self

    def __exit__(self, *_: object) -> None:
        self._spool.clear()

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
        question = (data_source, role, account, region)
        return self._flights.get(question, partial(self._open, *question))

    def _open(self, data_source: str, role: str | None, account: str, region: str) -> CachedUpdate:
        """Check access and return the update, from the cache if it holds this version."""
        location = S3Location.parse(data_source)
        found = self._find(location, role, account, region)
        version = (location, found.version_id, found.etag, found.size)
        return self._spool.get(version, partial(_spool, found))

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
        facts = self.read_role(role, account=account, region=region)
        circumstances = Circumstances(self._clock.now_ms(), region)
        check_trust(facts, circumstances)
        bucket = self._store.find_bucket(location.bucket)
        if bucket is None:
            raise NoSuchObject(f"bucket {location.bucket} does not exist (NoSuchBucket){self._missing_hint}")
        found = self._store.find_object(bucket, location.key)
        tags = None if found is None else found.tags
        check_object(facts, bucket, location.key, circumstances, object_tags=tags)
        if found is None:
            is_listable = may_list(facts, bucket, circumstances)
            raise NoSuchObject(_describe_missing(location, is_listable))
        self._check_encryption(facts, bucket, location, found, circumstances)
        return found

    def _check_encryption(
        self,
        facts: RoleFacts,
        bucket: BucketFacts,
        location: S3Location,
        found: StoredObject,
        circumstances: Circumstances,
    ) -> None:
        """Check that the session may decrypt the object. S3's own keys (AES256) need no permission (documented)."""
        if not found.uses_kms:
            return
        key = self._store.find_key(found.kms_key_id, bucket)
        if key is None:
            raise AccessDenied(f"{location} is under the KMS key {found.kms_key_id}, which does not exist")
        in_bucket_region = Circumstances(circumstances.now_ms, bucket.region)
        context = encryption_context(facts, location, found)
        check_key(facts, key, in_bucket_region, encryption_context=context)

    def _client(self, service: str, region: str) -> Any:
        """Return a boto3 client."""
        if self._clients is None:
            self._clients = make_client_factory()
        return self._clients(service, region=region)

    def read_role(self, role_arn: str | None, *, account: str, region: str) -> RoleFacts:
        """Return a role with its policies as IAM stores them now.

        Args:
            role_arn: The ARN in UpdateDataRole, or None if the definition has none.
            account: The account of the gateway.
            region: The Region of the gateway.

        Raises:
            SourceError: The role does not exist, belongs to another account, or cannot be read.
        """
        role = Role.parse(role_arn)
        if role.account != account:
            raise AccessDenied(
                f"role {role.arn} is in another account than the gateway's, {account}; a role cannot be passed to a "
                "service across accounts (documented)"
            )
        iam = self._client("iam", region)
        description = _get_role(iam, role, self._missing_hint)
        with _translate_errors(f"the policies of {role.arn}", AccessDenied):
            policies = tuple(_role_policies(iam, role.name))
            boundary = _read_boundary(iam, description)
        tags = {tag["Key"]: tag["Value"] for tag in description.get("Tags", ())}
        trust_document = _document(description["AssumeRolePolicyDocument"])
        trust = NamedPolicy(f"trust policy of {role.name}", trust_document, MAX_TRUST)
        iam_role = IamRole(role.arn, account, description["RoleId"], tags)
        return RoleFacts(iam_role, role.partition, trust, policies, boundary)


def _describe_missing(location: S3Location, is_listable: bool) -> str:
    """Return the error message for an object that does not exist, with the answer of AWS."""
    if is_listable:
        return f"{location} does not exist (NoSuchKey)"
    return f"{location} does not exist; the role may not s3:ListBucket, so S3 answers AccessDenied (documented)"


def encryption_context(facts: RoleFacts, location: S3Location, found: StoredObject) -> Mapping[str, str]:
    """Return the encryption context that S3 gives to KMS when the role reads an object (documented).

    It is the ARN of the object, or the ARN of the bucket if an S3 Bucket Key is in use.
    """
    arn = f"arn:{facts.partition}:s3:::{location.bucket}"
    if not found.has_bucket_key:
        arn = f"{arn}/{location.key}"
    return {"aws:s3:arn": arn}


def _spool(found: StoredObject) -> CachedUpdate:
    """Read an object and return it as a cached update."""
    content = memoryview(found.read())
    pieces = (bytes(content[start : start + CHUNK]) for start in range(0, len(content), CHUNK))
    # If a KMS key encrypts the object, its ETag is not an MD5 (documented).
    etag = "" if found.uses_kms else found.etag
    return CachedUpdate(pieces, size=found.size, etag=etag, version_id=found.version_id)


def _get_role(iam: Any, role: Role, missing_hint: str) -> Any:
    """Return the role as GetRole describes it, or raise a SourceError if IAM has no role with this ARN."""

    def missing(message: str) -> RoleNotTrusted:
        return RoleNotTrusted(f"{message}{missing_hint}")

    with _translate_errors(f"role {role.arn}", missing):
        description = iam.get_role(RoleName=role.name)["Role"]
    if description["Arn"] != role.arn:
        raise RoleNotTrusted(f"role {role.arn} does not exist; there is {description['Arn']}")
    return description


def _read_boundary(iam: Any, role: Any) -> NamedPolicy | None:
    """Return the permissions boundary of a role, or None."""
    boundary = role.get("PermissionsBoundary")
    if boundary is None:
        return None
    arn = boundary["PermissionsBoundaryArn"]
    return NamedPolicy(f"boundary {arn}", _managed_document(iam, arn), MAX_MANAGED)


def _role_policies(iam: Any, role_name: str) -> Iterator[NamedPolicy]:
    """Yield the inline policies of a role and then the attached ones."""
    for page in iam.get_paginator("list_role_policies").paginate(RoleName=role_name):
        for name in page["PolicyNames"]:
            inline = iam.get_role_policy(RoleName=role_name, PolicyName=name)
            yield NamedPolicy(name, _document(inline["PolicyDocument"]), MAX_INLINE)
    for page in iam.get_paginator("list_attached_role_policies").paginate(RoleName=role_name):
        for policy in page["AttachedPolicies"]:
            yield NamedPolicy(policy["PolicyName"], _managed_document(iam, policy["PolicyArn"]), MAX_MANAGED)


def _managed_document(iam: Any, arn: str) -> Any:
    """Return the document of the default version of a managed policy."""
    version_id = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    version = iam.get_policy_version(PolicyArn=arn, VersionId=version_id)["PolicyVersion"]
    return _document(version["Document"])


def _document(document: Any) -> Any:
    """Return a policy document as JSON text or as an object. boto3 may have parsed it to something else."""
    if isinstance(document, str | dict):
        return document
    return json.dumps(document)


@contextmanager
def _translate_errors(what: str, missing: Callable[[str], Exception]) -> Iterator[None]:
    """Raise a SourceError in place of each error of boto3.

    Args:
        what: The subject of the error message.
        missing: Makes the error for something that does not exist from its message.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
    from urllib3.exceptions import HTTPError  # noqa: PLC0415

    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in _NOT_FOUND_CODES:
            raise missing(f"{what} does not exist ({code})") from error
        if code in _DENIED_CODES:
            raise AccessDenied(f"{what}: access is denied ({code})") from error
        raise SourceUnavailable(f"{what} cannot be read now: {error}") from error
    except (BotoCoreError, HTTPError, OSError) as error:
        raise SourceUnavailable(f"{what} cannot be read now: {error}") from error
    except (ValueError, RecursionError) as error:
        # boto3 parses policy documents, and moto also stores some that are not JSON.
        raise SourceUnavailable(f"{what} cannot be read: IAM holds a document that is no JSON ({error})") from error
