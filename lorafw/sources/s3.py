"""The object at UpdateDataSource, read through UpdateDataRole, as AWS reads it.

Each time it is asked for: the role must exist, its trust policy must let iotwireless.amazonaws.com assume it, and its
policies, the bucket's and the key's must allow the reading. An emulated IAM lets anybody do anything, so all of this
is judged by ``lorafw.sources.access``. The content is read once per version.
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
    """Makes boto3 clients. ``credentials`` are the members of an assumed role's Credentials, or None."""

    def __call__(self, service: str, *, region: str, credentials: dict[str, str] | None = None) -> Any: ...


def make_client_factory(
    endpoint_url: str | None = None,
    *,
    ignore_endpoints: bool = False,
    isolated: bool = False,
    before_call: Callable[..., None] | None = None,
) -> Clients:
    """Return a maker of boto3 clients that give up within seconds.

    Args:
        endpoint_url: An address of this machine. Its clients read no setting of the user, and have dummy credentials.
            None means AWS's own addresses.
        ignore_endpoints: Whether clients that are made as boto3 is set up ignore AWS_ENDPOINT_URL.
        isolated: Whether clients without ``endpoint_url`` read no setting of the user either. Otherwise they are made
            as boto3 is set up.
        before_call: Called before each call of such a client. An error that it raises keeps the call from being sent.
    """
    from botocore.config import Config  # noqa: PLC0415

    config = Config(  # type: ignore[call-arg]  # the stubs do not know the last one
        connect_timeout=1,
        read_timeout=20,
        retries={"total_max_attempts": 2, "mode": "standard"},
        ignore_configured_endpoint_urls=ignore_endpoints,
    )
    is_own = isolated or endpoint_url is not None
    making = threading.Lock()
    made: dict[tuple[str, str], Any] = {}

    def make(service: str, *, region: str, credentials: dict[str, str] | None = None) -> Any:
        # Threads may share a client. One of an endpoint that was given stays right; others follow the environment.
        is_cacheable = credentials is None and endpoint_url is not None
        if is_cacheable and (service, region) in made:
            return made[service, region]
        if is_own:
            client = make_client(
                service, region=region, endpoint_url=endpoint_url, config=config, credentials=credentials
            )
        else:
            with making:
                client = _users_client(service, region, config, credentials)
        if before_call is not None:
            client.meta.events.register_first("before-call", before_call)
        if is_cacheable:
            made[service, region] = client
        return client

    return make


def _users_client(service: str, region: str, config: Any, credentials: dict[str, str] | None) -> Any:
    """Return a client as boto3 is set up. boto3 makes clients in one thread at a time only."""
    import boto3  # noqa: PLC0415

    keys = {} if credentials is None else session_keys(credentials)
    return boto3.client(service, region_name=region, config=config, **keys)  # type: ignore[call-overload]


@dataclass(frozen=True, slots=True)
class S3Location:
    """A bucket and a key in it."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, data_source: str) -> S3Location:
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
    """An IAM role, from its ARN."""

    arn: str
    partition: str
    account: str
    name: str

    @classmethod
    def parse(cls, arn: str | None) -> Role:
        match = _ROLE_ARN.fullmatch(arn or "")
        if match is None:
            raise InvalidSource(f"UpdateDataRole {arn!r} is not the ARN of a role, arn:aws:iam::123456789012:role/Name")
        return cls(match[0], match[1], match[2], match[3])


class RoleSource:
    """An UpdateSource on the S3, IAM and KMS of moto in this process. A context manager."""

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
            clients: Makes the boto3 clients that ask IAM; as boto3 is set up, unless given.
            store: Where buckets, objects and KMS keys are; moto in this process, unless given.
            clock: The time that policies see; the machine's, unless given.
            missing_hint: What to try if a role or a bucket does not exist; ends the message.
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
        """The object, whole. Raises a SourceError that says what is wrong, or FirmwareError for its size.

        A fleet that asks for one update at once costs as much as a few gateways.
        """
        question = (data_source, role, account, region)
        return self._flights.get(question, lambda: self._open(data_source, role, account, region))

    def _open(self, data_source: str, role: str | None, account: str, region: str) -> CachedUpdate:
        location = S3Location.parse(data_source)
        found = self._find(location, role, account, region)
        version = (location, found.version_id, found.etag, found.size)
        return self._spool.get(version, partial(_spool, found))

    def check(self, data_source: str, role: str | None, *, account: str, region: str) -> None:
        """Check that the object is there and may be read. Raises a SourceError that names what is in the way."""
        self._find(S3Location.parse(data_source), role, account, region)

    def _find(self, location: S3Location, role: str | None, account: str, region: str) -> StoredObject:
        """Return the object if the role may read it. The checks are in the order in which AWS makes them."""
        facts = self._role_facts(Role.parse(role), account, region)
        circumstances = Circumstances(self._clock.now_ms(), region)
        check_trust(facts, circumstances)
        bucket = self._store.find_bucket(location.bucket)
        if bucket is None:
            raise NoSuchObject(f"bucket {location.bucket} does not exist (NoSuchBucket){self._missing_hint}")
        found = self._store.find_object(bucket, location.key)
        tags = None if found is None else found.tags
        check_object(facts, bucket, location.key, circumstances, object_tags=tags)
        if found is None:
            raise NoSuchObject(_tell_missing(location, may_list(facts, bucket, circumstances)))
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
        where = Circumstances(circumstances.now_ms, bucket.region)
        check_key(facts, key, where, encryption_context=_encryption_context(facts, location, found))

    def _client(self, service: str, region: str) -> Any:
        if self._clients is None:
            self._clients = make_client_factory()
        return self._clients(service, region=region)

    def _role_facts(self, role: Role, account: str, region: str) -> RoleFacts:
        """Return what IAM holds of a role now. Raises a SourceError if there is no such role."""
        if role.account != account:
            raise AccessDenied(
                f"role {role.arn} is in another account than the gateway's, {account}; a role cannot be passed to a "
                "service across accounts (documented)"
            )
        iam = self._client("iam", region)
        found = _get_role(iam, role, self._missing_hint)
        with _translate_errors(f"the policies of {role.arn}", AccessDenied):
            policies = tuple(_role_policies(iam, role.name))
            boundary = _read_boundary(iam, found)
        tags = {tag["Key"]: tag["Value"] for tag in found.get("Tags", ())}
        trust = NamedPolicy(f"trust policy of {role.name}", _document(found["AssumeRolePolicyDocument"]), MAX_TRUST)
        return RoleFacts(IamRole(role.arn, account, found["RoleId"], tags), role.partition, trust, policies, boundary)


def _tell_missing(location: S3Location, listable: bool) -> str:
    """Return why an object cannot be found, and what AWS answers."""
    if listable:
        return f"{location} does not exist (NoSuchKey)"
    return f"{location} does not exist; the role may not s3:ListBucket, so S3 answers AccessDenied (documented)"


def _encryption_context(facts: RoleFacts, location: S3Location, found: StoredObject) -> Mapping[str, str]:
    """Return the encryption context that S3 gives KMS: the object, or the bucket with a bucket key (documented)."""
    arn = f"arn:{facts.partition}:s3:::{location.bucket}"
    if not found.has_bucket_key:
        arn = f"{arn}/{location.key}"
    return {"aws:s3:arn": arn}


def _spool(found: StoredObject) -> CachedUpdate:
    """Read an object whole."""
    content = memoryview(found.read())
    pieces = (bytes(content[start : start + CHUNK]) for start in range(0, len(content), CHUNK))
    # With a key of KMS, once or in two layers, the ETag is not an MD5.
    etag = "" if found.uses_kms else found.etag
    return CachedUpdate(pieces, size=found.size, etag=etag, version_id=found.version_id)


def _get_role(iam: Any, role: Role, missing_hint: str) -> Any:
    def missing(message: str) -> RoleNotTrusted:
        return RoleNotTrusted(f"{message}{missing_hint}")

    with _translate_errors(f"role {role.arn}", missing):
        found = iam.get_role(RoleName=role.name)["Role"]
    if found["Arn"] != role.arn:
        raise RoleNotTrusted(f"role {role.arn} does not exist; there is {found['Arn']}")
    return found


def _read_boundary(iam: Any, role: Any) -> NamedPolicy | None:
    boundary = role.get("PermissionsBoundary")
    if boundary is None:
        return None
    arn = boundary["PermissionsBoundaryArn"]
    return NamedPolicy(f"boundary {arn}", _managed_document(iam, arn), MAX_MANAGED)


def _role_policies(iam: Any, role_name: str) -> Iterator[NamedPolicy]:
    for page in iam.get_paginator("list_role_policies").paginate(RoleName=role_name):
        for name in page["PolicyNames"]:
            found = iam.get_role_policy(RoleName=role_name, PolicyName=name)
            yield NamedPolicy(name, _document(found["PolicyDocument"]), MAX_INLINE)
    for page in iam.get_paginator("list_attached_role_policies").paginate(RoleName=role_name):
        for policy in page["AttachedPolicies"]:
            yield NamedPolicy(policy["PolicyName"], _managed_document(iam, policy["PolicyArn"]), MAX_MANAGED)


def _managed_document(iam: Any, arn: str) -> Any:
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    return _document(iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"])


def _document(document: Any) -> Any:
    return document if isinstance(document, str | dict) else json.dumps(document)


@contextmanager
def _translate_errors(what: str, missing: Callable[[str], Exception]) -> Iterator[None]:
    """Errors of boto3 as SourceErrors; ``missing`` is the error for something that is not there."""
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
        # boto3 parses policy documents, and moto keeps some that are no JSON.
        raise SourceUnavailable(f"{what} cannot be read: IAM holds a document that is no JSON ({error})") from error
