"""The object at UpdateDataSource, read through UpdateDataRole, as AWS reads it.

Each time it is asked for: the role must exist, its trust policy must let iotwireless.amazonaws.com assume it, and its
policies must allow s3:GetObject (an emulated IAM lets anybody do anything, so the policies are judged here). Then the
role is assumed and the object looked at with its credentials; its content is read once per version.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol

from lorafw.errors import AccessDenied, InvalidSource, NoSuchObject, TrustPolicy, Unavailable
from lorafw.firmware.flights import Flights
from lorafw.firmware.iam import AccessRequest, Decision, NamedPolicy, Principal, evaluate
from lorafw.firmware.spool import CHUNK, Spool, SpooledObject

SERVICE: Final = "iotwireless.amazonaws.com"
SESSION: Final = "lorafw-update"

_S3_URI: Final = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(.+)", re.DOTALL)
_ROLE_ARN: Final = re.compile(r"arn:(aws[a-z-]*):iam::(\d{12}):role/(?:[!-~]+/)?([\w+=,.@-]{1,64})", re.ASCII)
_GONE: Final = frozenset(("NoSuchKey", "NoSuchBucket", "NoSuchVersion", "404", "NotFound"))
_DENIED: Final = frozenset(("AccessDenied", "403", "Forbidden"))


class Clients(Protocol):
    """Makes boto3 clients. ``credentials`` are the members of an assumed role's Credentials, or None."""

    def __call__(self, service: str, *, region: str, credentials: dict[str, str] | None = None) -> Any: ...


def client_factory(
    endpoint_url: str | None = None,
    *,
    ignore_endpoints: bool = False,
    before_call: Callable[..., None] | None = None,
) -> Clients:
    """boto3 clients that give up within seconds; at ``endpoint_url``, with dummy credentials, or as boto3 is set up.

    ``ignore_endpoints``: AWS_ENDPOINT_URL in the environment does not count. ``before_call`` is asked before each call
    of such a client, and an error that it raises keeps the call from being sent.
    """
    import boto3  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    config = Config(  # type: ignore[call-arg]  # the stubs do not know the last one
        connect_timeout=1,
        read_timeout=20,
        retries={"total_max_attempts": 2, "mode": "standard"},
        proxies={} if endpoint_url else None,  # an endpoint that is given is this machine's own
        ignore_configured_endpoint_urls=ignore_endpoints,
    )
    making = threading.Lock()
    made: dict[tuple[str, str], Any] = {}
    local = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"} if endpoint_url else {}

    def make(service: str, *, region: str, credentials: dict[str, str] | None = None) -> Any:
        keys = dict(local)
        # Threads may share a client. One of an endpoint that was given stays right; others follow the environment.
        is_lasting = credentials is None and endpoint_url is not None
        if is_lasting and (service, region) in made:
            return made[service, region]
        if credentials is not None:
            keys = {
                "aws_access_key_id": credentials["AccessKeyId"],
                "aws_secret_access_key": credentials["SecretAccessKey"],
                "aws_session_token": credentials["SessionToken"],
            }
        options: dict[str, Any] = {**keys, "region_name": region, "endpoint_url": endpoint_url, "config": config}
        # Making a client is the one thing about boto3 that threads must not do at once.
        with making:
            client = boto3.client(service, **options)  # type: ignore[call-overload]
        if before_call is not None:
            client.meta.events.register_first("before-call", before_call)
        if is_lasting:
            made[service, region] = client
        return client

    return make


@dataclass(frozen=True, slots=True)
class Location:
    """A bucket and a key in it."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, data_source: str) -> Location:
        match = _S3_URI.fullmatch(data_source)
        if match is None:
            raise InvalidSource(
                f"UpdateDataSource {data_source!r} is not s3://bucket/key, e.g. s3://my-bucket/fwstation"
            )
        return cls(match[1], match[2])


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
    """An UpdateSource on S3 and IAM, by boto3. A context manager."""

    def __init__(self, clients: Clients | None = None) -> None:
        self._clients = clients
        self._spool = Spool()
        self._flights: Flights[SpooledObject] = Flights()

    def __enter__(self) -> RoleSource:
        return self

    def __exit__(self, *_: object) -> None:
        self._spool.clear()

    def open(self, data_source: str, role: str | None, *, account: str, region: str) -> SpooledObject:
        """The object, whole. Raises a SourceError that says what is wrong, or FirmwareError for its size.

        A fleet that asks for one update at once costs as much as a few gateways.
        """
        question = (data_source, role, account, region)
        return self._flights.get(question, lambda: self._open(data_source, role, account, region))

    def _open(self, data_source: str, role: str | None, account: str, region: str) -> SpooledObject:
        self.check(data_source, role, account=account, region=region)
        location, parsed = Location.parse(data_source), Role.parse(role)
        with _in_our_words(f"role {parsed.arn}", TrustPolicy):
            sts = self._client("sts", region)
            credentials = sts.assume_role(RoleArn=parsed.arn, RoleSessionName=SESSION)["Credentials"]
        s3 = self._client("s3", region, credentials)
        with _in_our_words(data_source, NoSuchObject):
            head = s3.head_object(Bucket=location.bucket, Key=location.key)
        version = (region, location, head.get("VersionId"), head["ETag"], head["ContentLength"])
        return self._spool.get(version, lambda: self._read(s3, data_source, location, head))

    def check(self, data_source: str, role: str | None, *, account: str, region: str) -> None:
        """May the role be assumed, and may it read the object? Raises a SourceError that names the statement."""
        location, parsed = Location.parse(data_source), Role.parse(role)
        if parsed.account != account:
            raise AccessDenied(f"role {parsed.arn} is in another account than the gateway's, {account}")
        iam = self._client("iam", region)
        found = self._role(iam, parsed)
        self._check_trust(parsed, found["AssumeRolePolicyDocument"], account)
        request = AccessRequest(
            "s3:GetObject",
            f"arn:{parsed.partition}:s3:::{location.bucket}/{location.key}",
            context={"aws:PrincipalArn": parsed.arn, "aws:PrincipalAccount": account},
        )
        own = self._own_decision(iam, found, request)
        bucket = self._bucket_decision(location, request, parsed, region)
        if bucket is not None and bucket.denied_by is not None:
            raise AccessDenied(f"{parsed.arn} may not read {data_source}: {bucket.reason}")
        if not own.allowed and (own.denied_by is not None or bucket is None or not bucket.allowed):
            raise AccessDenied(f"{parsed.arn} may not read {data_source}: {own.reason}")

    def _client(self, service: str, region: str, credentials: dict[str, str] | None = None) -> Any:
        if self._clients is None:
            self._clients = client_factory()
        return self._clients(service, region=region, credentials=credentials)

    def _role(self, iam: Any, role: Role) -> Any:
        with _in_our_words(f"role {role.arn}", TrustPolicy):
            found = iam.get_role(RoleName=role.name)["Role"]
        if found["Arn"] != role.arn:
            raise TrustPolicy(f"role {role.arn} does not exist; there is {found['Arn']}")
        return found

    def _check_trust(self, role: Role, document: Any, account: str) -> None:
        policy = NamedPolicy(f"trust policy of {role.name}", document)
        request = AccessRequest("sts:AssumeRole", role.arn, Principal.service(SERVICE), {"aws:SourceAccount": account})
        decision = evaluate([policy], request)
        if not decision.allowed:
            raise TrustPolicy(f"{SERVICE} may not assume {role.arn}: {decision.reason}")

    def _own_decision(self, iam: Any, role: Any, request: AccessRequest) -> Decision:
        """What the role's own policies say, within its boundary."""
        with _in_our_words(f"the policies of {role['Arn']}", AccessDenied):
            decision = evaluate(list(_role_policies(iam, role["RoleName"])), request)
            boundary = role.get("PermissionsBoundary")
            if not decision.allowed or boundary is None:
                return decision
            name = boundary["PermissionsBoundaryArn"]
            limit = evaluate([NamedPolicy(f"boundary {name}", _managed_document(iam, name))], request)
        if limit.allowed:
            return decision
        return Decision(False, f"its permissions boundary does not allow it: {limit.reason}", limit.denied_by or name)

    def _bucket_decision(self, location: Location, request: AccessRequest, role: Role, region: str) -> Decision | None:
        from botocore.exceptions import ClientError  # noqa: PLC0415

        s3 = self._client("s3", region)
        try:
            with _in_our_words(f"the policy of bucket {location.bucket}", NoSuchObject, let=("NoSuchBucketPolicy",)):
                document = s3.get_bucket_policy(Bucket=location.bucket)["Policy"]
        except ClientError:
            return None
        asked = AccessRequest(request.action, request.resource, Principal.role(role.arn), request.context)
        return evaluate([NamedPolicy(f"policy of bucket {location.bucket}", document)], asked)

    def _read(self, s3: Any, data_source: str, location: Location, head: Any) -> SpooledObject:
        version = {"VersionId": head["VersionId"]} if head.get("VersionId") not in (None, "null") else {}
        with _in_our_words(data_source, NoSuchObject):
            answer = s3.get_object(Bucket=location.bucket, Key=location.key, IfMatch=head["ETag"], **version)
            # With a key of KMS, once or in two layers, the ETag is not an MD5.
            etag = "" if head.get("ServerSideEncryption", "").startswith("aws:kms") else head["ETag"].strip('"')
            return SpooledObject(
                answer["Body"].iter_chunks(CHUNK),
                size=head["ContentLength"],
                etag=etag,
                version_id=head.get("VersionId"),
            )


def _role_policies(iam: Any, role_name: str) -> Iterator[NamedPolicy]:
    for page in iam.get_paginator("list_role_policies").paginate(RoleName=role_name):
        for name in page["PolicyNames"]:
            found = iam.get_role_policy(RoleName=role_name, PolicyName=name)
            yield NamedPolicy(name, _document(found["PolicyDocument"]))
    for page in iam.get_paginator("list_attached_role_policies").paginate(RoleName=role_name):
        for policy in page["AttachedPolicies"]:
            yield NamedPolicy(policy["PolicyName"], _managed_document(iam, policy["PolicyArn"]))


def _managed_document(iam: Any, arn: str) -> Any:
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    return _document(iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"])


def _document(document: Any) -> Any:
    return document if isinstance(document, str | dict) else json.dumps(document)


@contextmanager
def _in_our_words(what: str, missing: Callable[[str], Exception], *, let: tuple[str, ...] = ()) -> Iterator[None]:
    """Errors of boto3 as SourceErrors; ``missing`` is the error for something that is not there."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
    from urllib3.exceptions import HTTPError  # noqa: PLC0415

    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in let:
            raise
        if code in _GONE or code in ("NoSuchEntity", "ValidationError"):
            raise missing(f"{what} does not exist ({code})") from error
        if code in _DENIED:
            raise AccessDenied(f"{what}: access is denied ({code})") from error
        raise Unavailable(f"{what} cannot be read now: {error}") from error
    except (BotoCoreError, HTTPError, OSError) as error:
        raise Unavailable(f"{what} cannot be read now: {error}") from error
